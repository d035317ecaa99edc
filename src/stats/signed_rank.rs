//! The location of paired differences: Hodges and Lehmann's estimate with the exact interval that inverts Wilcoxon's
//! signed-rank test.
//!
//! Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, 3rd edition, 2014, sections 3.2 and 3.3. It assumes that
//! the differences are independent and symmetric about their location, which differences of windows that take turns are when
//! both sides are slowed by the same machine; it does not assume that they are normal, which they are not.

use super::middle;

/// Paired differences, ready to be asked for their location.
#[derive(Debug, Clone, PartialEq)]
pub struct SignedRank {
    /// How many differences.
    pairs: usize,
    /// The means of all pairs of differences, each with itself too, in ascending order.
    averages: Vec<f64>,
}

impl SignedRank {
    /// Of `differences`, in any order; those that are not finite are left out.
    #[must_use]
    pub fn of(differences: &[f64]) -> Self {
        let finite: Vec<f64> = differences.iter().copied().filter(|d| d.is_finite()).collect();
        let mut averages: Vec<f64> = (0..finite.len())
            .flat_map(|i| finite[i..].iter().map(move |other| (i, other)))
            .map(|(i, other)| 0.5 * (finite[i] + other))
            .collect();
        averages.sort_by(f64::total_cmp);
        Self { pairs: finite.len(), averages }
    }

    /// How many differences there are.
    #[must_use]
    pub fn pairs(&self) -> usize {
        self.pairs
    }

    /// The median of the averages; `None` without differences.
    #[must_use]
    pub fn estimate(&self) -> Option<f64> {
        middle(&self.averages)
    }

    /// What the location is above, with an error of at most `alpha`; negative infinity where so few differences cannot say.
    #[must_use]
    pub fn lower(&self, alpha: f64) -> f64 {
        let rank = self.rank(alpha);
        rank.and_then(|rank| self.averages.get(rank)).copied().unwrap_or(f64::NEG_INFINITY)
    }

    /// What the location is below, with an error of at most `alpha`; infinity where so few differences cannot say.
    #[must_use]
    pub fn upper(&self, alpha: f64) -> f64 {
        let rank = self.rank(alpha).and_then(|rank| self.averages.len().checked_sub(rank + 1));
        rank.and_then(|rank| self.averages.get(rank)).copied().unwrap_or(f64::INFINITY)
    }

    /// How many averages lie outside a one-sided bound of error `alpha`: the largest `k` of which the rank sum is at most
    /// `k` with a probability of no more than `alpha`, if there is one.
    fn rank(&self, alpha: f64) -> Option<usize> {
        let mut sum = 0.0;
        let within = probabilities(self.pairs).into_iter().take_while(|p| {
            sum += p;
            sum <= alpha
        });
        within.count().checked_sub(1)
    }
}

/// The distribution of the rank sum of `n` differences about 0: how probable each of 0 to n (n + 1) / 2 is. Adding rank `r`
/// to half of the cases shifts their sums by `r`.
fn probabilities(n: usize) -> Vec<f64> {
    let mut found = vec![0.0; n * (n + 1) / 2 + 1];
    found[0] = 1.0;
    for rank in 1..=n {
        for sum in (0..found.len()).rev() {
            let shifted = sum.checked_sub(rank).map_or(0.0, |before| found[before]);
            found[sum] = 0.5 * (found[sum] + shifted);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distribution_is_that_of_the_tables() {
        // Hollander and Wolfe, table A.4: P(T <= 3) with n = 8 is 5 / 256, and with n = 5 the least is 1 / 32.
        let at_most = |n, k: usize| probabilities(n).iter().take(k + 1).sum::<f64>();
        assert!((at_most(8, 3) - 5.0 / 256.0).abs() < 1e-12);
        assert!((at_most(5, 0) - 1.0 / 32.0).abs() < 1e-12);
        assert!((probabilities(32).iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_estimate_ignores_an_outlier() {
        let mut differences = vec![0.10, 0.11, 0.09, 0.10, 0.12, 0.08, 0.10, 0.11];
        let calm = SignedRank::of(&differences).estimate().unwrap();
        differences.push(50.0);
        let outlier = SignedRank::of(&differences).estimate().unwrap();
        assert!((calm - 0.10).abs() < 0.01 && (outlier - calm).abs() < 0.01, "{calm} {outlier}");
    }

    #[test]
    #[expect(clippy::approx_constant, reason = "it was measured")]
    fn the_published_example_comes_out() {
        // Hollander and Wolfe, example 3.3: Hamilton depression scale factor IV, the estimate is -0.46.
        let before = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30];
        let after = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29];
        let differences: Vec<f64> = before.iter().zip(after).map(|(x, y)| y - x).collect();
        let found = SignedRank::of(&differences);
        assert!((found.estimate().unwrap() + 0.46).abs() < 0.005, "{found:?}");
        // And the interval of 96%: -0.786 to -0.010.
        let (low, high) = (found.lower(0.02), found.upper(0.02));
        assert!((low + 0.786).abs() < 0.001 && (high + 0.010).abs() < 0.001, "{low} {high}");
    }

    #[test]
    fn too_few_pairs_bound_nothing() {
        let few = SignedRank::of(&[0.1; 6]);
        assert_eq!((few.lower(0.01), few.upper(0.01)), (f64::NEG_INFINITY, f64::INFINITY));
        assert_eq!(SignedRank::of(&[0.1; 7]).lower(0.01), 0.1);
        assert_eq!(SignedRank::of(&[f64::NAN]).estimate(), None);
    }
}
