//! Bounds of leaves as PostgreSQL prints them, the names that say them, and whether hash bounds leave a gap.

use std::collections::BTreeSet;
use std::fmt;

/// Which hashes a leaf takes: those with `hash % modulus = remainder`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashBound {
    /// At least 1.
    pub modulus: u64,
    /// Below the modulus.
    pub remainder: u64,
}

impl HashBound {
    /// Reads what `pg_get_expr` gives for `relpartbound`; `None` for a bound of another kind.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let inside = text.strip_prefix("FOR VALUES WITH (modulus ")?.strip_suffix(')')?;
        let (modulus, remainder) = inside.split_once(", remainder ")?;
        let bound = Self { modulus: modulus.parse().ok()?, remainder: remainder.parse().ok()? };
        (bound.remainder < bound.modulus).then_some(bound)
    }

    /// Name of the leaf of `table` with this bound: `user_media_m16_r03`, the remainder padded to the modulus's width.
    #[must_use]
    pub fn leaf_name(self, table: &str) -> String {
        let width = self.modulus.to_string().len();
        format!("{table}_m{}_r{:0width$}", self.modulus, self.remainder)
    }

    /// Whether every hash that `other` takes is taken by this bound too.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        other.modulus.is_multiple_of(self.modulus) && other.remainder % self.modulus == self.remainder
    }
}

/// As PostgreSQL prints it: `FOR VALUES WITH (modulus 16, remainder 3)`.
impl fmt::Display for HashBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FOR VALUES WITH (modulus {}, remainder {})", self.modulus, self.remainder)
    }
}

/// The hashes that no leaf takes, in bounds as large as the moduli in use allow. Moduli may be mixed as PostgreSQL
/// allows it, each dividing the next greater one. Empty when every hash is taken; PostgreSQL itself keeps two leaves from
/// taking the same one. Without any leaf, everything is a gap.
#[must_use]
pub fn gaps(leaves: &[HashBound]) -> Vec<HashBound> {
    let mut moduli: BTreeSet<u64> = leaves.iter().map(|leaf| leaf.modulus).collect();
    moduli.insert(1);
    let moduli: Vec<u64> = moduli.into_iter().collect();
    let mut found = Vec::new();
    collect_gaps(HashBound { modulus: 1, remainder: 0 }, &moduli[1..], leaves, &mut found);
    found.sort_unstable_by_key(|gap| (gap.modulus, gap.remainder));
    found
}

/// Adds what `leaves` leave open of `range`; `finer` are the moduli above the range's own.
fn collect_gaps(range: HashBound, finer: &[u64], leaves: &[HashBound], found: &mut Vec<HashBound>) {
    if leaves.iter().any(|leaf| leaf.contains(range)) {
        return;
    }
    let inside: Vec<HashBound> = leaves.iter().copied().filter(|leaf| range.contains(*leaf)).collect();
    match finer.split_first() {
        // Half of a sixteenth that nobody takes a part of is no gap of its own.
        Some((&modulus, finer)) if !inside.is_empty() => {
            let step = usize::try_from(range.modulus).unwrap_or(usize::MAX);
            for remainder in (range.remainder..modulus).step_by(step) {
                collect_gaps(HashBound { modulus, remainder }, finer, &inside, found);
            }
        }
        _ => found.push(range),
    }
}

/// Name of the leaf of `table` for the month of a bound as PostgreSQL prints it in UTC: `login_events_y2026m01` for
/// `FOR VALUES FROM ('2026-01-01 00:00:00+00') TO ('2026-02-01 00:00:00+00')`; `None` for anything but one whole month.
#[must_use]
pub fn month_leaf_name(table: &str, bound: &str) -> Option<String> {
    let from = bound.strip_prefix("FOR VALUES FROM ('")?;
    let (year, month) = (from.get(0..4)?.parse().ok()?, from.get(5..7)?.parse().ok()?);
    (bound == month_bound(year, month)).then(|| format!("{table}_y{year}m{month:02}"))
}

/// The bound of one month of UTC, as PostgreSQL prints it in UTC.
#[must_use]
pub fn month_bound(year: u16, month: u8) -> String {
    let (next_year, next) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    format!(
        "FOR VALUES FROM ('{year:04}-{month:02}-01 00:00:00+00') TO ('{next_year:04}-{next:02}-01 00:00:00+00')"
    )
}

/// Seconds from 1970 to 2000, where PostgreSQL begins to count.
const EPOCH_S: i64 = 946_684_800;

/// The moments of a bound of one `timestamptz` column, from and to, as PostgreSQL prints it in UTC: microseconds since 2000.
/// `None` for any other bound.
#[must_use]
pub fn moments(bound: &str) -> Option<std::ops::Range<i64>> {
    let (from, to) = bound.strip_prefix("FOR VALUES FROM ('")?.strip_suffix("')")?.split_once("') TO ('")?;
    let moment = |text: &str| {
        let timestamp: jiff::Timestamp = text.parse().ok()?;
        Some(timestamp.as_microsecond() - EPOCH_S * 1_000_000)
    };
    Some(moment(from)?..moment(to)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bound(modulus: u64, remainder: u64) -> HashBound {
        HashBound { modulus, remainder }
    }

    #[test]
    fn bounds_are_read_as_printed() {
        assert_eq!(HashBound::parse("FOR VALUES WITH (modulus 16, remainder 3)"), Some(bound(16, 3)));
        for other in ["DEFAULT", "FOR VALUES WITH (modulus 4, remainder 4)", "FOR VALUES FROM (1) TO (2)", ""]
        {
            assert_eq!(HashBound::parse(other), None, "{other}");
        }
    }

    #[test]
    fn names_say_the_bound() {
        assert_eq!(bound(16, 3).leaf_name("user_media"), "user_media_m16_r03");
        assert_eq!(bound(128, 3).leaf_name("user_media"), "user_media_m128_r003");
        assert_eq!(bound(8, 3).leaf_name("user_media"), "user_media_m8_r3");
    }

    #[test]
    fn a_gap_is_said_in_the_largest_bound() {
        assert_eq!(gaps(&[]), [bound(1, 0)]);
        let all_but_3: Vec<_> = (0..16).filter(|&r| r != 3).map(|r| bound(16, r)).collect();
        assert_eq!(gaps(&all_but_3), [bound(16, 3)]);
        let half_split = [all_but_3.as_slice(), &[bound(32, 3)]].concat();
        assert_eq!(gaps(&half_split), [bound(32, 19)]);
        assert_eq!(gaps(&[half_split.as_slice(), &[bound(32, 19)]].concat()), []);
    }

    #[test]
    fn a_split_by_three_is_legal() {
        assert_eq!(gaps(&[bound(2, 0), bound(6, 1), bound(6, 3)]), [bound(6, 5)]);
    }

    #[test]
    fn months_have_names() {
        let december = month_bound(2027, 12);
        assert_eq!(december, "FOR VALUES FROM ('2027-12-01 00:00:00+00') TO ('2028-01-01 00:00:00+00')");
        assert_eq!(month_leaf_name("login_events", &december).as_deref(), Some("login_events_y2027m12"));
        for other in ["DEFAULT", "FOR VALUES FROM ('2027-12-02 00:00:00+00') TO ('2028-01-01 00:00:00+00')"] {
            assert_eq!(month_leaf_name("login_events", other), None, "{other}");
        }
    }

    #[test]
    fn moments_are_read_as_printed() {
        let day = 86_400_000_000;
        assert_eq!(moments(&month_bound(2000, 1)), Some(0..31 * day));
        for other in [
            "DEFAULT",
            "FOR VALUES FROM (1) TO (2)",
            "FOR VALUES FROM (MINVALUE) TO ('2000-01-01 00:00:00+00')",
        ] {
            assert_eq!(moments(other), None, "{other}");
        }
    }

    proptest! {
        /// Splitting leaves at random, over and over, never opens a gap; taking one away opens exactly that one's.
        #[test]
        fn splits_keep_the_cover(choices in prop::collection::vec((0_usize..1000, 2_u64..4), 0..12), gone in 0_usize..1000) {
            let mut leaves = vec![bound(1, 0)];
            for (which, parts) in choices {
                let greatest = leaves.iter().map(|leaf| leaf.modulus).max().unwrap();
                let leaf = leaves.swap_remove(which % leaves.len());
                let modulus = if leaf.modulus == greatest { greatest * parts } else { greatest };
                leaves.extend((0..modulus / leaf.modulus).map(|i| bound(modulus, leaf.remainder + i * leaf.modulus)));
            }
            prop_assert_eq!(gaps(&leaves), []);
            let taken = leaves.swap_remove(gone % leaves.len());
            let open = gaps(&leaves);
            prop_assert!(open.iter().all(|gap| taken.contains(*gap)));
            let greatest = leaves.iter().map(|leaf| leaf.modulus).max().unwrap_or(1).max(taken.modulus);
            let share = |bounds: &[HashBound]| bounds.iter().map(|one| greatest / one.modulus).sum::<u64>();
            prop_assert_eq!(share(&open), share(&[taken]));
        }
    }
}
