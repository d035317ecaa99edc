//! What ANALYZE would find of a column when its table is larger: pure.
//!
//! ANALYZE looks at 300 rows for each entry of the statistics target, whatever the size of the table. What it makes of them
//! follows PostgreSQL's `analyze.c`: the number of distinct values by the estimator Duj1 of Haas and Stokes ("Sampling-Based
//! Estimation of the Number of Distinct Values of an Attribute", VLDB 1995), the most common values by `analyze_mcv_list`.

use super::columns::{Column, Common};

/// Rows that ANALYZE looks at for each entry of the statistics target (Chaudhuri, Motwani and Narasayya, SIGMOD 1998).
const ROWS_PER_ENTRY: f64 = 300.0;
/// More distinct values than this share of the rows are taken to grow with the table.
const GROWING_SHARE: f64 = 0.1;

/// Standard deviations (one is the inverse root of the number of values) within which a correlation is chance.
const CORRELATED: f64 = 3.0;

/// How the values of a column change as its table grows.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Growth {
    /// The same values, each in more rows.
    Fixed,
    /// More values, each in as many rows as before; how many values there are of each number of rows in the sample.
    Groups(Vec<(f64, f64)>),
    /// Values of given shares of the rows.
    Shares(Shares),
}

/// Values by their shares of the rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shares {
    /// The most frequent ones, first to last: each as text and its share.
    pub(super) first: Vec<(String, f64)>,
    /// All of them: a share, and how many values have it.
    pub(super) all: Vec<(f64, f64)>,
}

/// The size of a table before and after, and how well ANALYZE looks at it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Grown {
    /// Rows of the sample.
    pub(super) from: f64,
    /// Rows to pretend.
    pub(super) to: f64,
    /// `default_statistics_target`.
    pub(super) target: f64,
    /// How many even values of the sample its correlation stands on.
    pub(super) evenness: f64,
}

impl Grown {
    /// Rows that ANALYZE looks at in the grown table.
    fn looked_at(self) -> f64 {
        Self::looked_at_in(self.to, self.target)
    }

    /// Rows that ANALYZE looks at in a table of `rows`.
    pub(super) fn looked_at_in(rows: f64, target: f64) -> f64 {
        (ROWS_PER_ENTRY * target).min(rows)
    }
}

/// `column` of a table that has grown.
pub(super) fn grown(column: &Column, growth: &Growth, size: Grown) -> Column {
    let mut column = column.clone();
    // Nothing can be said of the values of no rows.
    if size.from < 1.0 || size.to < 1.0 {
        return column;
    }
    match growth {
        Growth::Fixed => {}
        Growth::Groups(groups) => {
            column.n_distinct = in_groups(groups, column.null_frac, size);
            let factor = size.from / size.to;
            if let Some(common) = &mut column.common {
                common.freqs.iter_mut().for_each(|freq| *freq *= factor);
            }
        }
        Growth::Shares(shares) => {
            column.n_distinct = of_shares(&shares.all, size);
            column.common = Common::of(&shares.first[..shares.first.len().min(whole(size.target))]);
        }
    }
    trim(&mut column, size);
    column.correlation = column.correlation.map(|found| correlation(found, size.evenness));
    column
}

/// `found` among so many even `values`, without what chance makes of values in random order: the rows of one lie near each other,
/// so values count, not rows, and of those a larger table has more.
fn correlation(found: f64, values: f64) -> f64 {
    if found.abs() * values.sqrt() < CORRELATED { 0.0 } else { found }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 10000 entries")]
fn whole(target: f64) -> usize {
    target as usize
}

/// Drops the most common values that ANALYZE would not call so.
fn trim(column: &mut Column, size: Grown) {
    let distinct = column.values(size.to);
    let Some(common) = &column.common else { return };
    // All values there are: the list is whole.
    if common.freqs.len() as f64 == column.n_distinct {
        return;
    }
    let looked_at = size.looked_at();
    let seen_twice = common.freqs.iter().take_while(|freq| *freq * looked_at >= 2.0).count();
    let kept = most_common(&common.freqs[..seen_twice], distinct, column.null_frac, (looked_at, size.to));
    column.common = common.first(kept);
}

/// How many of the values with the shares `freqs` are significantly more common than those not listed: `analyze_mcv_list`.
fn most_common(freqs: &[f64], distinct: f64, null_frac: f64, (looked_at, rows): (f64, f64)) -> usize {
    let mut kept = freqs.len();
    if looked_at >= rows {
        return kept;
    }
    let mut before: f64 = freqs.iter().take(kept.saturating_sub(1)).sum();
    while let Some(last) = kept.checked_sub(1) {
        let others = distinct - last as f64;
        let rest = (1.0 - before - null_frac).clamp(0.0, 1.0);
        let unlisted = if others > 1.0 { rest / others } else { rest };
        let count = freqs[last] * looked_at;
        let of_all = freqs[last] * rows;
        let variance =
            looked_at * of_all * (rows - of_all) * (rows - looked_at) / (rows * rows * (rows - 1.0));
        if count > unlisted * looked_at + 2.0 * variance.max(0.0).sqrt() + 0.5 {
            break;
        }
        kept = last;
        before -= last.checked_sub(1).map_or(0.0, |i| freqs[i]);
    }
    kept
}

/// `n_distinct` where there are more groups of the same sizes.
fn in_groups(groups: &[(f64, f64)], null_frac: f64, size: Grown) -> f64 {
    let looked_at = size.looked_at();
    let (share, factor) = (looked_at / size.to, size.to / size.from);
    let (mut seen, mut once) = (0.0, 0.0);
    for &(rows, number) in groups {
        seen += factor * number * (1.0 - (1.0 - share).powf(rows));
        once += factor * number * rows * share * (1.0 - share).powf(rows - 1.0);
    }
    distinct((seen, once), looked_at * (1.0 - null_frac), size.to * (1.0 - null_frac), size.to)
}

/// `n_distinct` where values have given shares of the rows.
fn of_shares(shares: &[(f64, f64)], size: Grown) -> f64 {
    let looked_at = size.looked_at();
    let (mut seen, mut once) = (0.0, 0.0);
    for &(share, number) in shares {
        let share = share.min(1.0);
        seen += number * (1.0 - (1.0 - share).powf(looked_at));
        once += number * looked_at * share * (1.0 - share).powf(looked_at - 1.0);
    }
    distinct((seen, once), looked_at, size.to, size.to)
}

/// The estimator Duj1, in the form in which `pg_statistic` keeps it: a count, or the negative of a share of the rows where
/// it is more than a tenth of them. `seen` values were found among `looked_at` of `rows`, `once` of them once.
fn distinct((seen, once): (f64, f64), looked_at: f64, rows: f64, all: f64) -> f64 {
    // Nothing was seen twice: a key.
    if seen - once < 0.5 {
        return -rows / all;
    }
    let denominator = (looked_at - once) + once * looked_at / rows;
    let found = (looked_at * seen / denominator).max(seen).min(rows).round();
    if found > GROWING_SHARE * all { -found / all } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: Grown = Grown { from: 10_000.0, to: 10_000_000.0, target: 100.0, evenness: 60.0 };

    fn column(n_distinct: f64, freqs: &[f64]) -> Column {
        let values: Vec<(String, f64)> = freqs.iter().map(|&freq| (format!("v{freq}"), freq)).collect();
        Column { n_distinct, common: Common::of(&values), ..Column::default() }
    }

    #[test]
    fn a_few_values_stay_what_they_are() {
        let status = column(4.0, &[0.5, 0.3, 0.15, 0.05]);
        assert_eq!(grown(&status, &Growth::Fixed, LARGE), status);
    }

    #[test]
    fn groups_become_more_and_none_of_them_is_common() {
        // 100 users of 100 rows each become 100,000.
        let users = grown(&column(100.0, &[0.02, 0.01]), &Growth::Groups(vec![(100.0, 100.0)]), LARGE);
        assert!((users.n_distinct / 100_000.0 - 1.0).abs() < 0.02, "{}", users.n_distinct);
        assert_eq!(users.common, None);
        // Pairs: half as many values as rows.
        let pairs = grown(&column(-0.5, &[]), &Growth::Groups(vec![(2.0, 5_000.0)]), LARGE);
        assert!((pairs.n_distinct + 0.5).abs() < 0.01, "{}", pairs.n_distinct);
        let key = grown(&column(-1.0, &[]), &Growth::Groups(vec![(1.0, 10_000.0)]), LARGE);
        assert_eq!(key.n_distinct, -1.0);
    }

    #[test]
    fn a_table_that_is_read_whole_is_known_exactly() {
        let small = Grown { from: 1_000.0, to: 20_000.0, target: 100.0, evenness: 60.0 };
        let found = grown(&column(10.0, &[0.1]), &Growth::Groups(vec![(100.0, 10.0)]), small);
        assert_eq!(found.n_distinct, 200.0);
        assert!((found.common.unwrap().freqs[0] - 0.005).abs() < 1e-9);
    }

    #[test]
    fn popular_values_keep_their_shares_as_long_as_they_stand_out() {
        let first: Vec<(String, f64)> = (1..=50).map(|i| (format!("m{i}"), 0.01 / f64::from(i))).collect();
        let head: f64 = first.iter().map(|(_, share)| share).sum();
        let mut all: Vec<(f64, f64)> = first.iter().map(|&(_, share)| (share, 1.0)).collect();
        all.push(((1.0 - head) / 1e6, 1e6));
        let shares = Growth::Shares(Shares { first, all });
        let media = grown(&column(-0.9, &[]), &shares, LARGE);
        let common = media.common.unwrap();
        assert_eq!(common.freqs[..2], [0.01, 0.005]);
        // The thirtieth is seen ten times in 30,000 rows, an unlisted one never: all stand out down to some four.
        assert!((40..=50).contains(&common.freqs.len()), "{}", common.freqs.len());
        assert!(
            common.values.starts_with("{m1,m2,") || common.values.starts_with("{\"m1\""),
            "{}",
            common.values
        );
        assert!(
            (300_000.0..2_000_000.0)
                .contains(&(if media.n_distinct < 0.0 { -media.n_distinct * 1e7 } else { media.n_distinct }))
        );
    }

    #[test]
    fn a_correlation_of_few_values_is_chance() {
        let groups = Growth::Groups(vec![(100.0, 60.0)]);
        let of = |found| {
            grown(&Column { correlation: Some(found), ..column(60.0, &[]) }, &groups, LARGE).correlation
        };
        assert_eq!((of(0.3), of(0.9)), (Some(0.0), Some(0.9)));
    }

    #[test]
    fn what_is_no_more_common_than_the_rest_is_dropped() {
        let even = column(500.0, &[0.002; 100]);
        assert_eq!(grown(&even, &Growth::Fixed, LARGE).common, None);
    }
}
