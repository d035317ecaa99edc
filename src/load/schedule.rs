//! What is sent when: drawn beforehand, a pure function of (seed, scenario).

use std::time::Duration;

use crate::datagen::float::ln;
use crate::datagen::random::Key;
use crate::scenario::{Load, Process, Scenario, Stage};

/// Chooses the operation of each execution.
#[derive(Debug, Clone)]
pub(super) struct Mix {
    key: Key,
    weights: Vec<u64>,
    total: u64,
}

impl Mix {
    pub(super) fn new(scenario: &Scenario, seed: u64) -> Self {
        let weights: Vec<u64> = scenario.ops.iter().map(|op| u64::from(op.weight)).collect();
        let total = weights.iter().sum();
        Self { key: Key::new(seed, &format!("{}/mix", scenario.name)), weights, total }
    }

    /// The operation of execution `i`, by its position in the scenario.
    pub(super) fn op(&self, i: u64) -> usize {
        let mut at = self.key.of(i).below(self.total);
        for (op, weight) in self.weights.iter().enumerate() {
            if at < *weight {
                return op;
            }
            at -= weight;
        }
        0
    }
}

/// The load over time: the warm-up, then the stages.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Course {
    warmup: Duration,
    stages: Vec<Stage>,
}

impl Course {
    pub(super) fn of(load: &Load) -> Self {
        let rate = load.stages.first().map_or(0.0, |stage| stage.from_per_s);
        let warmup = Stage { length: load.warmup, from_per_s: rate, to_per_s: rate, measured: false };
        Self {
            warmup: load.warmup,
            stages: std::iter::once(warmup).chain(load.stages.iter().copied()).collect(),
        }
    }

    /// From the start to the last arrival that could be.
    pub(super) fn length(&self) -> Duration {
        self.stages.iter().map(|stage| stage.length).sum()
    }

    /// Length of what is measured.
    pub(super) fn measured(&self) -> Duration {
        self.stages.iter().filter(|stage| stage.measured).map(|stage| stage.length).sum()
    }

    pub(super) fn warmup(&self) -> Duration {
        self.warmup
    }

    /// Whether what is due at `at` counts.
    pub(super) fn counts(&self, at: Duration) -> bool {
        let mut end = Duration::ZERO;
        let stage = self.stages.iter().find(|stage| {
            end += stage.length;
            at < end
        });
        stage.is_some_and(|stage| stage.measured)
    }

    /// Arrivals expected in second `second` after the warm-up; `None` where nothing is asked for.
    #[expect(clippy::cast_precision_loss, reason = "runs are shorter than 2^53 seconds")]
    pub(super) fn asked_in(&self, second: u64) -> Option<f64> {
        let from = self.warmup.as_secs_f64() + second as f64;
        let to = from + 1.0;
        let (mut began, mut asked) = (0.0, 0.0);
        for stage in &self.stages {
            let length = stage.length.as_secs_f64();
            let (a, b) = ((from - began).clamp(0.0, length), (to - began).clamp(0.0, length));
            let slope = (stage.to_per_s - stage.from_per_s) / length.max(f64::MIN_POSITIVE);
            asked += (b - a) * (stage.from_per_s + slope * 0.5 * (a + b));
            began += length;
        }
        (self.expected() > 0.0).then_some(asked)
    }

    /// How many of the measured arrivals are expected.
    pub(super) fn asked(&self) -> f64 {
        self.stages.iter().filter(|stage| stage.measured).map(arrivals_of).sum()
    }

    /// How many arrivals are expected in all.
    pub(super) fn expected(&self) -> f64 {
        self.stages.iter().map(arrivals_of).sum()
    }

    /// When each execution of an open loop is due, from its start, in ascending order.
    ///
    /// A Poisson process with a rate that varies is one of rate 1 seen through the inverse of the expected number of
    /// arrivals (Çinlar, Introduction to Stochastic Processes, 1975, chapter 4.7).
    pub(super) fn arrivals(&self, scenario: &Scenario, seed: u64, process: Process) -> Vec<Duration> {
        let key = Key::new(seed, &format!("{}/arrivals", scenario.name));
        let gap = |i: u64| match process {
            Process::Uniform => 1.0,
            // Exponential gaps; the argument is never 0.
            Process::Poisson => -ln(1.0 - key.of(i).unit()),
        };
        let (mut due, mut i, mut next) = (Vec::new(), 1, gap(0));
        let (mut began, mut passed) = (0.0, 0.0);
        for stage in &self.stages {
            let (length, here) = (stage.length.as_secs_f64(), arrivals_of(stage));
            while next < passed + here {
                let at = began + reached(stage, next - passed).min(length);
                due.push(Duration::from_secs_f64(at));
                next += gap(i);
                i += 1;
            }
            began += length;
            passed += here;
        }
        due
    }
}

fn arrivals_of(stage: &Stage) -> f64 {
    0.5 * (stage.from_per_s + stage.to_per_s) * stage.length.as_secs_f64()
}

/// Seconds into `stage` at which `count` arrivals are expected: `from t + slope t^2 / 2 = count`, in the form of the
/// quadratic formula that does not cancel when the slope is small.
fn reached(stage: &Stage, count: f64) -> f64 {
    let slope = (stage.to_per_s - stage.from_per_s) / stage.length.as_secs_f64();
    let root = (stage.from_per_s * stage.from_per_s + 2.0 * slope * count).max(0.0).sqrt();
    2.0 * count / (stage.from_per_s + root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::judge::tests::scenario;

    fn steady(rate: f64, seconds: u64) -> Stage {
        Stage { length: Duration::from_secs(seconds), from_per_s: rate, to_per_s: rate, measured: true }
    }

    fn course(stages: &[Stage]) -> Course {
        Course { warmup: Duration::ZERO, stages: stages.to_vec() }
    }

    fn drawn(seed: u64, process: Process) -> Vec<Duration> {
        course(&[steady(100.0, 100)]).arrivals(&scenario(&[("a", 1)]), seed, process)
    }

    #[test]
    fn arrivals_are_reproducible_ascending_and_as_many_as_asked() {
        let poisson = drawn(1, Process::Poisson);
        assert_eq!(poisson, drawn(1, Process::Poisson));
        assert_ne!(poisson, drawn(2, Process::Poisson));
        assert!(poisson.is_sorted() && poisson.last().unwrap().as_secs() < 100);
        // Ten thousand with a standard deviation of a hundred.
        assert!(poisson.len().abs_diff(10_000) < 500, "{}", poisson.len());
        assert!(drawn(1, Process::Uniform).len().abs_diff(10_000) <= 1);
    }

    #[test]
    fn poisson_gaps_vary_as_much_as_they_last() {
        let due = drawn(3, Process::Poisson);
        let gaps: Vec<f64> = due.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let n = gaps.len() as f64;
        let mean = gaps.iter().sum::<f64>() / n;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / n;
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.1, "{variance} {mean}");
    }

    #[test]
    fn a_ramp_a_pause_and_a_step_have_their_shares() {
        let ramp = Stage { to_per_s: 300.0, ..steady(100.0, 10) };
        let pause = Stage { measured: false, ..steady(0.0, 5) };
        let course = course(&[ramp, pause, steady(50.0, 10), Stage { to_per_s: 0.0, ..steady(100.0, 10) }]);
        let due = course.arrivals(&scenario(&[("a", 1)]), 1, Process::Uniform);
        let between = |from: u64, to: u64| due.iter().filter(|at| (from..to).contains(&at.as_secs())).count();
        // The first half of the ramp holds 100 to 200 a second, the second 200 to 300.
        assert!(between(0, 5).abs_diff(750) <= 1 && between(5, 10).abs_diff(1_250) <= 1);
        assert_eq!(between(10, 15), 0);
        assert!(between(15, 25).abs_diff(500) <= 1 && between(25, 35).abs_diff(500) <= 1);
        assert!(due.is_sorted());
        assert!((course.expected() - 3_000.0).abs() < 1e-6);
        assert!((course.asked_in(0).unwrap() - 110.0).abs() < 1e-6);
        assert!((course.asked_in(12).unwrap() - 0.0).abs() < 1e-6);
        assert_eq!(course.measured(), Duration::from_secs(30));
        assert!(course.counts(Duration::from_secs(9)) && !course.counts(Duration::from_secs(12)));
        assert!(!course.counts(Duration::from_secs(35)));
    }

    #[test]
    fn the_mix_follows_the_weights() {
        let mix = Mix::new(&scenario(&[("a", 3), ("b", 0), ("c", 1)]), 5);
        let mut counts = [0_u32; 3];
        (0..10_000).for_each(|i| counts[mix.op(i)] += 1);
        assert_eq!(counts[1], 0);
        assert!(counts[0].abs_diff(7_500) < 250, "{counts:?}");
    }
}
