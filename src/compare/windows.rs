//! Short windows of load that take turns on the two servers, until the pairs decide.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::Change;
use super::pair::Sides;
use crate::datagen::random::Key;
use crate::load::{self, Histograms, Measured, ScenarioRun};
use crate::pg::Target;
use crate::run::Run;
use crate::scenario::Scenario;
use crate::stats::Design;
use crate::stats::change;
use crate::verdict::Verdict;

/// The times that are compared for each operation.
pub(super) const METRICS: usize = 2;
pub(super) const MIDDLE: &str = "p50";
pub(super) const TAIL: &str = "p95";
/// Executions that a window must hold for its tail to be compared: ten of them are beyond.
const LEAST_OF_TAIL: u64 = 200;
/// Share of executions that may fail beyond the baseline's.
const MORE_FAILED: f64 = 0.001;
/// Before each window, so that caches and connections are as in the middle of a run.
const WARMUP: Duration = Duration::from_millis(300);
/// Windows may be taken again this often for each pair that is wanted, where the driver was disturbed.
const ATTEMPTS: usize = 2;

/// The windows of one scenario, pair by pair.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Windows {
    /// The scenario's name.
    pub scenario: String,
    /// Pairs that were left out because the driver was disturbed in one of them.
    pub disturbed: usize,
    /// By operation: failed and answered executions of all windows, the baseline's first.
    #[serde(default)]
    pub executions: BTreeMap<String, [Executions; 2]>,
    /// By operation and metric: a pair of times in microseconds each, the baseline's first.
    pub times_us: BTreeMap<String, BTreeMap<String, Vec<[f64; 2]>>>,
}

/// What became of the executions of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Executions {
    /// Failed, or never sent.
    pub failed: u64,
    /// Answered.
    pub answered: u64,
}

impl Executions {
    /// Share that failed, 0 to 1; all of them where nothing was answered.
    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    fn failed_share(self) -> f64 {
        match self.failed + self.answered {
            0 => 0.0,
            all => self.failed as f64 / all as f64,
        }
    }
}

impl Windows {
    fn new(sides: &Sides) -> Self {
        // Every operation is there from the start: one that no window measures is undecided.
        let no_pairs = || BTreeMap::from([(MIDDLE.to_owned(), Vec::new())]);
        let times_us = sides.candidate.ops.iter().map(|op| (op.name.clone(), no_pairs())).collect();
        Self { scenario: sides.candidate.name.clone(), times_us, ..Self::default() }
    }

    /// How many pairs there are.
    #[must_use]
    pub fn pairs(&self) -> usize {
        self.times_us.values().flat_map(BTreeMap::values).map(Vec::len).max().unwrap_or(0)
    }

    /// Adds a pair of windows, the operations of both in the same order.
    pub(super) fn add(&mut self, base: &[Histograms], candidate: &[Histograms]) {
        for (base, candidate) in base.iter().zip(candidate) {
            let executions = self.executions.entry(candidate.op.clone()).or_default();
            for (sum, side) in executions.iter_mut().zip([base, candidate]) {
                sum.failed += side.failed;
                sum.answered += side.response.len();
            }
            // An operation of which nothing was answered stays undecided: it must not be missing.
            self.times_us.entry(candidate.op.clone()).or_default().entry(MIDDLE.to_owned()).or_default();
            for (metric, quantile, least) in [(MIDDLE, 0.5, 1), (TAIL, 0.95, LEAST_OF_TAIL)] {
                if base.response.len().min(candidate.response.len()) >= least {
                    let pair = [base, candidate].map(|side| micros(&side.response, quantile));
                    self.push(&candidate.op, metric, pair);
                }
            }
        }
    }

    /// Adds the times of one pair in microseconds, the baseline's first.
    pub(super) fn push(&mut self, op: &str, metric: &str, pair: [f64; 2]) {
        self.times_us.entry(op.to_owned()).or_default().entry(metric.to_owned()).or_default().push(pair);
    }

    /// Whether no more pairs are worth taking: all is decided, or there are as many as are ever taken.
    pub(super) fn is_enough(&self, design: &Design) -> bool {
        let pairs = self.pairs();
        pairs >= design.most() || (design.looks.contains(&pairs) && self.is_decided(design.comparisons))
    }

    /// What the pairs say of each operation, at the last look that they are enough for.
    pub(super) fn changes(&self, comparisons: usize, why: &impl Fn(&str) -> Vec<String>) -> Vec<Change> {
        let design = Design::of(comparisons);
        let look = design.looks.iter().rposition(|pairs| *pairs <= self.pairs()).unwrap_or(0);
        let mut found: Vec<Change> =
            self.executions.iter().filter_map(|(op, sides)| self.failures(op, *sides)).collect();
        for (op, metrics) in &self.times_us {
            for (metric, pairs) in metrics {
                let judged = design.judge(&log_ratios(pairs), look);
                let why = if judged.verdict == Verdict::Pass { Vec::new() } else { why(op) };
                found.push(self.change(op, metric, pairs, &judged, why));
            }
        }
        found
    }

    /// More failures than the baseline has: how fast the rest was answered does not matter then.
    fn failures(&self, op: &str, sides: [Executions; 2]) -> Option<Change> {
        let [base, candidate] = sides.map(Executions::failed_share);
        (candidate > base + MORE_FAILED).then(|| Change {
            scenario: self.scenario.clone(),
            op: op.to_owned(),
            metric: "failed".to_owned(),
            mode: None,
            base: format!("{:.2}%", 100.0 * base),
            candidate: format!("{:.2}%", 100.0 * candidate),
            change_percent: None,
            low: None,
            high: None,
            detectable_percent: None,
            pairs: None,
            verdict: Verdict::Fail,
            why: Vec::new(),
        })
    }

    fn change(
        &self,
        op: &str,
        metric: &str,
        pairs: &[[f64; 2]],
        judged: &change::Change,
        why: Vec<String>,
    ) -> Change {
        let middle = |side: usize| {
            let times: Vec<f64> = pairs.iter().map(|pair| pair[side]).collect();
            format!("{:.3} ms", crate::stats::median(&times).unwrap_or(0.0) / 1e3)
        };
        Change {
            scenario: self.scenario.clone(),
            op: op.to_owned(),
            metric: metric.to_owned(),
            mode: None,
            base: middle(0),
            candidate: middle(1),
            change_percent: Some(judged.change_percent),
            low: judged.low,
            high: judged.high,
            detectable_percent: judged.detectable_percent,
            pairs: Some(judged.pairs),
            verdict: judged.verdict,
            why,
        }
    }

    /// Whether another look could change what is said of any operation. The tail does not ask for more pairs.
    fn is_decided(&self, comparisons: usize) -> bool {
        let undecided = |change: &Change| change.metric == MIDDLE && change.verdict == Verdict::Inconclusive;
        !self.changes(comparisons, &|_| Vec::new()).iter().any(undecided)
    }
}

fn log_ratios(pairs: &[[f64; 2]]) -> Vec<f64> {
    pairs.iter().map(|[base, candidate]| (candidate / base).ln()).collect()
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of an hour are below 2^53")]
fn micros(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1e3
}

/// Takes pairs of windows until every operation is decided or there are as many as are worth it. Which side goes first is
/// drawn: whatever grows over time falls on both alike.
pub(super) async fn take(
    run: &Run,
    (base, candidate): (&Target, &Target),
    sides: &Sides,
    (window, comparisons, seed): (Duration, usize, u64),
) -> anyhow::Result<Windows> {
    let design = Design::of(comparisons);
    let order = Key::new(seed, &format!("{}/order", sides.candidate.name));
    let task = run.task(&format!("pairs of {}", sides.candidate.name), Some(design.most() as u64), "pairs");
    let model = load::model_for(candidate, std::slice::from_ref(&sides.candidate)).await?;
    let mut windows = Windows::new(sides);
    for pair in 0..(ATTEMPTS * design.most()) as u64 {
        run.check()?;
        // Both sides of a pair are asked the same; each pair is asked something else.
        let options = load::Options {
            seed: seed.wrapping_add(pair),
            warmup: Some(WARMUP),
            duration: Some(window),
            ..load::Options::default()
        };
        let measure = async |target: &Target, scenario: &Scenario| {
            load::with_model(run, target, &model, std::slice::from_ref(scenario), &options).await
        };
        let first_base = order.of(pair).bits() & 1 == 0;
        let (of_base, of_candidate) = if first_base {
            let of_base = measure(base, &sides.base).await?;
            (of_base, measure(candidate, &sides.candidate).await?)
        } else {
            let of_candidate = measure(candidate, &sides.candidate).await?;
            (measure(base, &sides.base).await?, of_candidate)
        };
        if is_sound(&of_base) && is_sound(&of_candidate) {
            windows.add(&of_base.histograms, &of_candidate.histograms);
            task.advance(1);
        } else {
            windows.disturbed += 1;
        }
        if windows.is_enough(&design) {
            break;
        }
    }
    Ok(windows)
}

/// Work of the server's own that makes a window another than its partner.
const DISTURBANCES: [&str; 4] = ["checkpoints_timed", "checkpoints_requested", "autovacuums", "autoanalyzes"];

/// Whether a window measured the statements, not the driver, and not what the server did besides. One in which an operation was
/// never due is sound.
fn is_sound(measured: &Measured) -> bool {
    let is_disturbed = |run: &ScenarioRun| {
        let counters = run.server.as_ref().map(|server| &server.counters);
        counters.is_some_and(|grown| DISTURBANCES.iter().any(|name| grown.contains_key(*name)))
    };
    !measured.bench.scenarios.iter().any(|run| run.driver_limited || is_disturbed(run))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(slower: f64) -> Windows {
        let pairs =
            (0..16).map(|i| [1_000.0 + f64::from(i % 3), slower * (1_000.0 + f64::from(i % 5))]).collect();
        let metrics = [(MIDDLE.to_owned(), pairs)].into();
        let times_us = [("op".to_owned(), metrics)].into();
        Windows { scenario: "s".to_owned(), times_us, ..Windows::default() }
    }

    fn side(answered: u64, failed: u64) -> Histograms {
        let mut response = Histogram::new(3).unwrap();
        response.record_n(1_000_000, answered).unwrap();
        let (scenario, op, service) = ("s".to_owned(), "op".to_owned(), response.clone());
        Histograms { scenario, op, duration: WARMUP, failed, response, service }
    }

    /// The verdict of 8 pairs of windows whose sides answered and failed so often.
    fn verdicts(base: (u64, u64), candidate: (u64, u64)) -> Vec<(String, Verdict)> {
        let mut windows = Windows::default();
        for _ in 0..8 {
            windows.add(&[side(base.0, base.1)], &[side(candidate.0, candidate.1)]);
        }
        let changes = windows.changes(2, &|_| Vec::new());
        changes.into_iter().map(|change| (change.metric, change.verdict)).collect()
    }

    #[test]
    fn a_window_in_which_the_server_did_something_else_does_not_count() {
        let record: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/records/passing.json")).unwrap();
        let bench: load::Bench = serde_json::from_value(record["bench"].clone()).unwrap();
        let mut measured = Measured { bench, histograms: Vec::new(), recorded: Vec::new() };
        assert!(is_sound(&measured));
        let run = &mut measured.bench.scenarios[0];
        let counters = [("transactions_committed".to_owned(), 1.0)].into();
        run.server = Some(load::ServerWork { counters, ..load::ServerWork::default() });
        assert!(is_sound(&measured));
        let server = measured.bench.scenarios[0].server.as_mut().unwrap();
        server.counters.insert("checkpoints_timed".to_owned(), 1.0);
        assert!(!is_sound(&measured));
    }

    #[test]
    fn an_operation_without_answers_does_not_pass_and_one_that_fails_more_fails() {
        let of = |metric: &str, verdict| (metric.to_owned(), verdict);
        assert_eq!(verdicts((100, 0), (100, 0)), [of(MIDDLE, Verdict::Pass)]);
        assert_eq!(verdicts((100, 0), (0, 0)), [of(MIDDLE, Verdict::Inconclusive)]);
        assert_eq!(
            verdicts((100, 0), (0, 100)),
            [of("failed", Verdict::Fail), of(MIDDLE, Verdict::Inconclusive)]
        );
        assert_eq!(verdicts((90, 10), (90, 10)), [of(MIDDLE, Verdict::Pass)]);
        assert_eq!(verdicts((100, 0), (99, 1))[0], of("failed", Verdict::Fail));
    }

    #[test]
    fn a_slower_side_fails_with_its_reason() {
        let slow = windows(1.2).changes(4, &|op| vec![format!("{op} differs")]);
        assert_eq!(
            (slow[0].verdict, slow[0].pairs, &slow[0].why[..]),
            (Verdict::Fail, Some(16), &["op differs".to_owned()][..])
        );
        assert!((slow[0].change_percent.unwrap() - 20.0).abs() < 1.0);
        let same = windows(1.0);
        assert!(same.is_decided(4) && same.changes(4, &|_| Vec::new())[0].verdict == Verdict::Pass);
    }
}
