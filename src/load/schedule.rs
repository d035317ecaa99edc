//! What is sent when: drawn beforehand, a pure function of (seed, scenario).

use std::time::Duration;

use crate::datagen::float::ln;
use crate::datagen::random::Key;
use crate::scenario::{Process, Scenario};
use crate::units::Rate;

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

/// When each execution of an open loop is due, from its start, in ascending order, for `length`.
pub(super) fn arrivals(
    scenario: &Scenario,
    seed: u64,
    rate: Rate,
    process: Process,
    length: Duration,
) -> Vec<Duration> {
    let key = Key::new(seed, &format!("{}/arrivals", scenario.name));
    let mean_gap = 1.0 / rate.as_per_second();
    let length = length.as_secs_f64();
    let (mut due, mut at) = (Vec::new(), 0.0);
    for i in 0_u64.. {
        at += match process {
            Process::Uniform => mean_gap,
            // Exponential gaps; the argument is never 0.
            Process::Poisson => -ln(1.0 - key.of(i).unit()) * mean_gap,
        };
        if at >= length {
            break;
        }
        due.push(Duration::from_secs_f64(at));
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::judge::tests::scenario;

    fn drawn(seed: u64, process: Process) -> Vec<Duration> {
        let rate = Rate::per_second(100.0).unwrap();
        arrivals(&scenario(&[("a", 1)]), seed, rate, process, Duration::from_secs(100))
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
    fn the_mix_follows_the_weights() {
        let mix = Mix::new(&scenario(&[("a", 3), ("b", 0), ("c", 1)]), 5);
        let mut counts = [0_u32; 3];
        (0..10_000).for_each(|i| counts[mix.op(i)] += 1);
        assert_eq!(counts[1], 0);
        assert!(counts[0].abs_diff(7_500) < 250, "{counts:?}");
    }
}
