//! How often would the verdict be wrong? Trials of the comparison on noise that is known, because both sides are the same,
//! with and without a slowdown put into one of them. Pure, reproducible from a seed.

use super::windows::{METRICS, MIDDLE, Windows};
use crate::datagen::float::normal_quantile;
use crate::datagen::random::{Draws, Key};
use crate::stats::Design;
use crate::verdict::Verdict;

/// Where the differences between two sides that are the same come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Noise {
    /// Student's t with four degrees of freedom, scaled to standard deviation `sigma` of the log-ratio of two windows:
    /// now and then a window is far off, as on a shared machine.
    Simulated {
        /// Standard deviation.
        sigma: f64,
        /// Operations, independent of each other.
        ops: usize,
    },
    /// The log-ratios of recorded pairs, for each operation as many: one pair is drawn for all operations at once, for what
    /// disturbs one disturbs the others, and which side of it is called the candidate is drawn too.
    Recorded(Vec<Vec<f64>>),
}

/// What came of trials.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Trials {
    /// How many there were.
    pub count: u32,
    /// How many failed.
    pub failed: u32,
    /// How many were not decided.
    pub undecided: u32,
    /// Pairs that all of them took together.
    pub pairs: u64,
}

impl Noise {
    /// The pairs of the middle response times of `windows`, of two sides that were the same.
    #[must_use]
    pub fn of(windows: &Windows) -> Self {
        let ratios = |pairs: &Vec<[f64; 2]>| pairs.iter().map(|[a, b]| (b / a).ln()).collect();
        Self::Recorded(
            windows.times_us.values().filter_map(|metrics| metrics.get(MIDDLE)).map(ratios).collect(),
        )
    }

    fn ops(&self) -> usize {
        match self {
            Self::Simulated { ops, .. } => *ops,
            Self::Recorded(ops) => ops.len(),
        }
    }

    /// The log-ratios of one pair, an operation each.
    fn draw(&self, draws: &mut Draws) -> Vec<f64> {
        match self {
            Self::Simulated { sigma, ops } => (0..*ops).map(|_| sigma * student(draws)).collect(),
            Self::Recorded(ops) => {
                let length = ops.iter().map(Vec::len).min().unwrap_or(0) as u64;
                let (at, sign) = (draws.below(length), if draws.bits() & 1 == 0 { 1.0 } else { -1.0 });
                ops.iter().map(|ratios| usize::try_from(at).map_or(0.0, |at| sign * ratios[at])).collect()
            }
        }
    }
}

/// Of Student's t with four degrees of freedom, scaled to variance 1.
fn student(draws: &mut Draws) -> f64 {
    let mut normal = || normal_quantile(draws.unit().max(1e-12));
    let z = normal();
    let chi: f64 = (0..4).map(|_| normal().powi(2)).sum();
    z / (chi / 4.0).sqrt() / std::f64::consts::SQRT_2
}

/// Runs `count` trials in which the first operation is slower by `slowdown` (0.1 is a tenth).
#[must_use]
pub fn trials(noise: &Noise, slowdown: f64, count: u32, seed: u64) -> Trials {
    let key = Key::new(seed, "trials");
    let mut all = Trials { count, ..Trials::default() };
    for trial in 0..count {
        let windows = one(noise, slowdown, &mut key.of(u64::from(trial)));
        let verdicts = windows.changes(METRICS * noise.ops(), &|_| Vec::new());
        match Verdict::worst(verdicts.iter().map(|change| change.verdict)) {
            Verdict::Fail => all.failed += 1,
            Verdict::Inconclusive => all.undecided += 1,
            Verdict::Pass => {}
        }
        all.pairs += windows.pairs() as u64;
    }
    all
}

fn one(noise: &Noise, slowdown: f64, draws: &mut Draws) -> Windows {
    let (mut windows, design) = (Windows::default(), Design::of(METRICS * noise.ops()));
    while !windows.is_enough(&design) {
        for (op, ratio) in noise.draw(draws).into_iter().enumerate() {
            let slower = if op == 0 { 1.0 + slowdown } else { 1.0 };
            windows.push(&format!("op{op}"), MIDDLE, [1e3, 1e3 * slower * ratio.exp()]);
        }
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simulated() -> [Noise; 3] {
        [0.02, 0.04, 0.06].map(|sigma| Noise::Simulated { sigma, ops: 5 })
    }

    /// Operations that are disturbed together, one pair in ten by 30%.
    fn disturbed() -> Noise {
        let ratio = |i: u32| if i.is_multiple_of(10) { 0.3 } else { 0.004 * f64::from(i % 9) - 0.016 };
        Noise::Recorded(vec![(0..40).map(ratio).collect(); 5])
    }

    #[test]
    fn equal_sides_are_called_different_in_at_most_one_trial_of_a_hundred() {
        for noise in simulated().into_iter().chain([disturbed()]) {
            let found = trials(&noise, 0.0, 200, 1);
            assert!(found.failed <= 2, "{noise:?}: {found:?}");
        }
    }

    #[test]
    fn a_tenth_slower_is_caught_in_at_least_nineteen_trials_of_twenty() {
        for noise in simulated() {
            let found = trials(&noise, 0.1, 200, 2);
            assert!(found.failed >= 190, "{noise:?}: {found:?}");
        }
    }

    #[test]
    fn a_machine_that_is_often_disturbed_may_leave_it_undecided_but_passes_no_tenth() {
        let found = trials(&disturbed(), 0.1, 200, 3);
        assert!(found.failed + found.undecided >= 190, "{found:?}");
    }
}
