//! A month of UTC, and the bound and the name of its leaf.

use std::fmt;
use std::ops::Range;

use super::bound::{moments, month_bound, month_leaf_name};

/// A month of UTC, of a year from 0 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(u32);

impl Month {
    /// Month 1 to 12 of a year; `None` for any other.
    #[must_use]
    pub fn new(year: u16, month: u8) -> Option<Self> {
        let is_one = year <= 9999 && (1..=12).contains(&month);
        is_one.then(|| Self(u32::from(year) * 12 + u32::from(month) - 1))
    }

    /// Reads `2026-01`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        Self::new(year.parse().ok()?, month.parse().ok()?)
    }

    /// The month that a bound as PostgreSQL prints it in UTC says; `None` for anything but one whole month.
    #[must_use]
    pub fn of_bound(bound: &str) -> Option<Self> {
        let from = bound.strip_prefix("FOR VALUES FROM ('")?;
        let month = Self::parse(from.get(0..7)?)?;
        (bound == month.bound()).then_some(month)
    }

    /// The month `months` later.
    #[must_use]
    pub fn plus(self, months: u32) -> Self {
        Self(self.0.saturating_add(months))
    }

    /// The month `months` earlier.
    #[must_use]
    pub fn minus(self, months: u32) -> Self {
        Self(self.0.saturating_sub(months))
    }

    fn year(self) -> u16 {
        u16::try_from(self.0 / 12).unwrap_or(u16::MAX - 1)
    }

    fn of_year(self) -> u8 {
        u8::try_from(self.0 % 12 + 1).unwrap_or(12)
    }

    /// Its first moment, as PostgreSQL prints it in UTC.
    #[must_use]
    pub fn start(self) -> String {
        format!("{:04}-{:02}-01 00:00:00+00", self.year(), self.of_year())
    }

    /// Its bound, as PostgreSQL prints it in UTC.
    #[must_use]
    pub fn bound(self) -> String {
        month_bound(self.year(), self.of_year())
    }

    /// Its moments, in microseconds since 2000; `None` where there are none so far away.
    #[must_use]
    pub fn moments(self) -> Option<Range<i64>> {
        moments(&self.bound())
    }

    /// Name of the leaf of `table` for it: `login_events_y2026m01`.
    #[must_use]
    pub fn leaf_name(self, table: &str) -> Option<String> {
        month_leaf_name(table, &self.bound())
    }
}

/// `2026-01`.
impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year(), self.of_year())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_count_over_the_turn_of_the_year() {
        let november = Month::parse("2027-11").unwrap();
        assert_eq!(november.plus(2).to_string(), "2028-01");
        assert_eq!(november.minus(11).to_string(), "2026-12");
        assert_eq!(november.plus(2).start(), "2028-01-01 00:00:00+00");
        assert_eq!(november.leaf_name("login_events").as_deref(), Some("login_events_y2027m11"));
    }

    #[test]
    fn only_whole_months_are_read() {
        let march = Month::new(2026, 3).unwrap();
        assert_eq!(Month::of_bound(&march.bound()), Some(march));
        for other in
            ["DEFAULT", "FOR VALUES FROM ('2026-03-01 00:00:00+00') TO ('2026-05-01 00:00:00+00')", ""]
        {
            assert_eq!(Month::of_bound(other), None, "{other}");
        }
        for other in ["2026-13", "2026-00", "2026", "x-1", "10000-01"] {
            assert_eq!(Month::parse(other), None, "{other}");
        }
    }
}
