//! Statistics of paired measurements: an estimate that outliers do not move, an exact interval, and a verdict of three
//! values; and of a line that is followed beyond its measurements. Pure.

pub mod change;
pub mod line;
pub mod signed_rank;
pub mod student;

pub use change::{Change, Design};
pub use line::{Estimate, Interval, Line};
pub use signed_rank::SignedRank;

/// The middle of `values`, the mean of the two middle ones where they are even in number; `None` of nothing.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    middle(&sorted)
}

/// The median of values that are sorted already.
fn middle(sorted: &[f64]) -> Option<f64> {
    let half = sorted.len() / 2;
    match sorted.len() % 2 {
        _ if sorted.is_empty() => None,
        1 => Some(sorted[half]),
        _ => Some(0.5 * (sorted[half - 1] + sorted[half])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
