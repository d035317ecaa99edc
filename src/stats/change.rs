//! Has something become slower? A verdict of three values over paired measurements, looked at several times.

use serde::{Deserialize, Serialize};

use super::SignedRank;
use crate::verdict::Verdict;

/// A change that is not worth failing for: the bound that a failure must exceed.
pub const HARMLESS: f64 = 0.03;
/// The least estimate that fails.
pub const NOTABLE: f64 = 0.05;
/// The change that a pass excludes.
pub const EXCLUDED: f64 = 0.10;

/// When to look, and how sure one must be each time.
///
/// Errors are spent on the looks as O'Brien and Fleming do (Biometrics 35, 1979): next to nothing early, most at the end, so
/// that a slowdown is judged by many pairs and no luck early on is taken for one. The figures were chosen by simulation,
/// which `cargo run --release --example gate-trials` repeats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Design {
    /// Pairs at each look.
    pub looks: [usize; 3],
    /// Error of calling something slower that is not, over all comparisons, at each look.
    pub fail_alpha: [f64; 3],
    /// Error of passing what is slower by [`EXCLUDED`], for one comparison, at each look.
    pub pass_alpha: [f64; 3],
    /// How many comparisons share the error (Bonferroni).
    pub comparisons: usize,
}

impl Design {
    /// The design for `comparisons` operations and metrics.
    #[must_use]
    pub fn of(comparisons: usize) -> Self {
        Self {
            looks: [8, 16, 32],
            fail_alpha: [1e-6, 8e-4, 9e-3],
            pass_alpha: [0.005, 0.01, 0.02],
            comparisons: comparisons.max(1),
        }
    }

    /// The largest number of pairs.
    #[must_use]
    pub fn most(&self) -> usize {
        self.looks[2]
    }

    /// What the log-ratios of candidate over base say when there are as many as look `look` asks for.
    #[must_use]
    pub fn judge(&self, log_ratios: &[f64], look: usize) -> Change {
        let look = look.min(self.looks.len() - 1);
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let (fail_alpha, pass_alpha) =
            (self.fail_alpha[look] / self.comparisons as f64, self.pass_alpha[look]);
        let ranks = SignedRank::of(log_ratios);
        let estimate = ranks.estimate().unwrap_or(0.0);
        let (sure, high) = (ranks.lower(fail_alpha), ranks.upper(pass_alpha));
        let verdict = if sure > HARMLESS.ln_1p() && estimate >= NOTABLE.ln_1p() {
            Verdict::Fail
        } else if high < EXCLUDED.ln_1p() {
            Verdict::Pass
        } else {
            Verdict::Inconclusive
        };
        Change {
            pairs: ranks.pairs(),
            change_percent: percent(estimate),
            low: percent_of(ranks.lower(pass_alpha)),
            high: percent_of(high),
            detectable_percent: detectable(&ranks, estimate, fail_alpha),
            verdict,
        }
    }
}

/// The smallest slowdown that these pairs would have called one, nine times in ten: what is harmless, the width of the
/// bound, and 1.28 standard deviations of the estimate, one of which is half an interval of 68%.
fn detectable(ranks: &SignedRank, estimate: f64, alpha: f64) -> Option<f64> {
    let width = estimate - ranks.lower(alpha);
    let spread = 0.5 * (ranks.upper(0.16) - ranks.lower(0.16));
    let least = HARMLESS.ln_1p() + width + 1.28 * spread;
    percent_of(least.max(NOTABLE.ln_1p()))
}

fn percent(log_ratio: f64) -> f64 {
    100.0 * log_ratio.exp_m1()
}

/// `None` for a bound that is none.
fn percent_of(log_ratio: f64) -> Option<f64> {
    log_ratio.is_finite().then(|| percent(log_ratio))
}

/// How much something has changed, and what that means.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Pairs it rests on.
    pub pairs: usize,
    /// Candidate over base, in percent: 10 is a tenth slower.
    pub change_percent: f64,
    /// Lower end of the interval, where the pairs give one.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// The smallest slowdown that would have been called one.
    pub detectable_percent: Option<f64>,
    /// Slower (fail), not slower (pass), or not decided.
    pub verdict: Verdict,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(percent: f64, pairs: usize, look: usize) -> Change {
        with_noise(0.01, percent, pairs, look)
    }

    fn with_noise(step: f64, percent: f64, pairs: usize, look: usize) -> Change {
        let noise = |i: usize| step * (f64::from(u32::try_from(i * 7 % 11).unwrap()) - 5.0);
        let ratios: Vec<f64> = (0..pairs).map(|i| (percent / 100.0).ln_1p() + noise(i)).collect();
        Design::of(4).judge(&ratios, look)
    }

    #[test]
    fn nothing_passes_and_much_fails() {
        assert_eq!(judged(0.0, 16, 1).verdict, Verdict::Pass);
        assert_eq!(judged(-30.0, 16, 1).verdict, Verdict::Pass);
        assert_eq!(judged(25.0, 16, 1).verdict, Verdict::Fail);
        assert_eq!(judged(12.0, 32, 2).verdict, Verdict::Fail);
    }

    #[test]
    fn a_first_look_does_not_fail_and_few_pairs_decide_nothing() {
        assert_eq!(judged(100.0, 8, 0).verdict, Verdict::Inconclusive);
        let few = judged(0.0, 3, 0);
        assert_eq!((few.verdict, few.low, few.high), (Verdict::Inconclusive, None, None));
    }

    #[test]
    fn a_harmless_change_passes_and_one_in_between_is_not_decided() {
        assert_eq!(judged(2.0, 32, 2).verdict, Verdict::Pass);
        let between = with_noise(0.03, 9.0, 16, 1);
        assert_eq!(between.verdict, Verdict::Inconclusive);
        assert!(between.detectable_percent.unwrap() > 5.0, "{between:?}");
    }
}
