//! What one worker saw; merged when all have ended.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Shortest time that is told apart, in nanoseconds.
const SHORTEST_NS: u64 = 100;
/// Longer times are recorded as this: an hour.
const LONGEST_NS: u64 = 3_600_000_000_000;
/// What a histogram has room for before it grows.
const FIRST_LONGEST_NS: u64 = 100_000_000;
/// Significant digits of percentiles.
const DIGITS: u8 = 3;
/// Significant digits of the second-by-second percentiles, of which there can be many.
const SLICE_DIGITS: u8 = 2;

/// Response and service times of one operation, in nanoseconds.
#[derive(Debug, Clone)]
pub struct Histograms {
    /// The scenario.
    pub scenario: String,
    /// The operation.
    pub op: String,
    /// Length of the measured part.
    pub duration: Duration,
    /// Executions that failed or were never sent.
    pub failed: u64,
    /// From the scheduled start to the answer.
    pub response: Histogram<u64>,
    /// From the sending to the answer.
    pub service: Histogram<u64>,
}

/// Everything a worker records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Recorder {
    pub(super) ops: Vec<OpRecord>,
    pub(super) slices: Vec<SliceRecord>,
    /// How late the driver sent to connections that waited, in nanoseconds.
    #[serde(with = "super::encoded")]
    pub(super) lag: Histogram<u64>,
    /// Connections lost.
    pub(super) lost: u64,
    /// Attempts after the first.
    pub(super) retries: u64,
    /// Processor time of each worker's thread while it measured, and how long that was.
    pub(super) busy: Vec<Busy>,
    /// Last answer, from the start of the measured part.
    pub(super) last: Duration,
}

/// What a worker's thread used of its processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Busy {
    pub(super) cpu: Duration,
    pub(super) of: Duration,
}

impl Busy {
    /// Share of the time, 0 to 1.
    pub(super) fn share(self) -> f64 {
        if self.of.is_zero() { 0.0 } else { self.cpu.as_secs_f64() / self.of.as_secs_f64() }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct OpRecord {
    #[serde(with = "super::encoded")]
    pub(super) response: Histogram<u64>,
    #[serde(with = "super::encoded")]
    pub(super) service: Histogram<u64>,
    pub(super) errors: u64,
    /// Never sent, because too many waited.
    pub(super) dropped: u64,
    /// Number of the first failed execution, and why it failed.
    pub(super) first_error: Option<(u64, String)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SliceRecord {
    #[serde(with = "super::encoded")]
    pub(super) response: Histogram<u64>,
    pub(super) errors: u64,
}

/// Times of one successful execution.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) response: Duration,
    pub(super) service: Duration,
    /// When the answer was there, from the start of the measured part.
    pub(super) done: Duration,
}

impl Recorder {
    pub(super) fn new(ops: usize) -> anyhow::Result<Self> {
        Ok(Self {
            ops: (0..ops).map(|_| OpRecord::new()).collect::<anyhow::Result<_>>()?,
            slices: Vec::new(),
            lag: histogram(DIGITS)?,
            lost: 0,
            retries: 0,
            busy: Vec::new(),
            last: Duration::ZERO,
        })
    }

    /// Records a successful execution of operation `op`.
    pub(super) fn succeeded(&mut self, op: usize, times: Times) -> anyhow::Result<()> {
        self.ops[op].response.record(nanos(times.response))?;
        self.ops[op].service.record(nanos(times.service))?;
        self.slice(times.done)?.response.record(nanos(times.response))?;
        Ok(())
    }

    /// Records that execution `i` of operation `op` failed, `done` after the start of the measured part.
    pub(super) fn failed(&mut self, op: usize, i: u64, why: String, done: Duration) -> anyhow::Result<()> {
        self.ops[op].failed(i, why);
        self.slice(done)?.errors += 1;
        Ok(())
    }

    /// Records that an execution of operation `op` was not sent because too many waited.
    pub(super) fn dropped(&mut self, op: usize) {
        self.ops[op].dropped += 1;
    }

    /// Records how late the driver was.
    pub(super) fn lagged(&mut self, lag: Duration) -> anyhow::Result<()> {
        Ok(self.lag.record(nanos(lag))?)
    }

    fn slice(&mut self, done: Duration) -> anyhow::Result<&mut SliceRecord> {
        self.last = self.last.max(done);
        let second = usize::try_from(done.as_secs())?;
        while self.slices.len() <= second {
            self.slices.push(SliceRecord { response: slice_histogram()?, errors: 0 });
        }
        Ok(&mut self.slices[second])
    }

    /// Takes over what another worker saw of the same scenario.
    pub(super) fn merge(&mut self, other: Self) -> anyhow::Result<()> {
        for (ours, theirs) in self.ops.iter_mut().zip(other.ops) {
            ours.response.add(&theirs.response)?;
            ours.service.add(&theirs.service)?;
            ours.errors += theirs.errors;
            ours.dropped += theirs.dropped;
            ours.first_error = [ours.first_error.take(), theirs.first_error].into_iter().flatten().min();
        }
        for (second, theirs) in other.slices.into_iter().enumerate() {
            match self.slices.get_mut(second) {
                Some(ours) => {
                    ours.response.add(&theirs.response)?;
                    ours.errors += theirs.errors;
                }
                None => self.slices.push(theirs),
            }
        }
        self.lag.add(&other.lag)?;
        self.lost += other.lost;
        self.retries += other.retries;
        self.busy.extend(other.busy);
        self.last = self.last.max(other.last);
        Ok(())
    }
}

impl OpRecord {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            response: histogram(DIGITS)?,
            service: histogram(DIGITS)?,
            errors: 0,
            dropped: 0,
            first_error: None,
        })
    }

    fn failed(&mut self, i: u64, why: String) {
        self.errors += 1;
        if self.first_error.as_ref().is_none_or(|(first, _)| i < *first) {
            self.first_error = Some((i, why));
        }
    }

    /// Executions, failed ones included, dropped ones not.
    pub(super) fn count(&self) -> u64 {
        self.response.len() + self.errors
    }
}

/// A histogram of one second.
pub(super) fn slice_histogram() -> anyhow::Result<Histogram<u64>> {
    histogram(SLICE_DIGITS)
}

fn histogram(digits: u8) -> anyhow::Result<Histogram<u64>> {
    let mut histogram = Histogram::new_with_bounds(SHORTEST_NS, FIRST_LONGEST_NS, digits)?;
    // Memory follows the longest time seen; hardly any histogram sees an hour.
    histogram.auto(true);
    Ok(histogram)
}

/// `time` as it is recorded.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(LONGEST_NS).clamp(1, LONGEST_NS)
}

/// The time at `quantile` in microseconds, 0 where nothing was recorded.
pub(super) fn micros_at(histogram: &Histogram<u64>, quantile: f64) -> u64 {
    if histogram.is_empty() { 0 } else { histogram.value_at_quantile(quantile) / 1_000 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(ms: u64) -> Times {
        let time = Duration::from_millis(ms);
        Times { response: time, service: time / 2, done: Duration::from_millis(999 + ms) }
    }

    #[test]
    fn workers_add_up() {
        let (mut all, mut one) = (Recorder::new(2).unwrap(), Recorder::new(2).unwrap());
        for ms in 1..=100 {
            all.succeeded(0, times(ms)).unwrap();
            one.succeeded(0, times(100 + ms)).unwrap();
        }
        one.failed(1, 7, "late".to_owned(), Duration::from_secs(3)).unwrap();
        all.failed(1, 9, "later".to_owned(), Duration::from_secs(5)).unwrap();
        one.lost = 2;
        all.merge(one).unwrap();
        assert_eq!((all.ops[0].count(), all.ops[1].count(), all.lost), (200, 1 + 1, 2));
        assert!(micros_at(&all.ops[0].response, 0.5).abs_diff(100_000) <= 200);
        assert!(micros_at(&all.ops[0].service, 1.0).abs_diff(100_000) <= 200);
        assert_eq!(all.ops[1].first_error, Some((7, "late".to_owned())));
        assert_eq!(all.slices.iter().map(|slice| slice.errors).collect::<Vec<_>>(), [0, 0, 0, 1, 0, 1]);
        assert_eq!((all.slices[1].response.len(), all.last), (200, Duration::from_secs(5)));
    }

    #[test]
    fn a_day_is_recorded_as_an_hour() {
        let mut recorder = Recorder::new(1).unwrap();
        recorder.lagged(Duration::from_secs(86_400)).unwrap();
        assert!(micros_at(&recorder.lag, 1.0).abs_diff(3_600_000_000) < 4_000_000);
        assert_eq!(micros_at(&recorder.ops[0].response, 0.99), 0);
    }

    proptest::proptest! {
        /// Whatever is recorded by whom: together it is what one would have recorded, also after a way through JSON.
        #[test]
        fn many_recorders_are_one(samples in proptest::collection::vec((0..3_usize, 1..5_000_u64, 0..4_usize), 0..200)) {
            let mut one = Recorder::new(3).unwrap();
            let mut many: Vec<Recorder> = (0..4).map(|_| Recorder::new(3).unwrap()).collect();
            for (i, (op, ms, whose)) in (0..).zip(&samples) {
                for recorder in [&mut one, &mut many[*whose]] {
                    match ms % 7 {
                        0 => recorder.failed(*op, i, format!("error {i}"), times(*ms).done).unwrap(),
                        1 => recorder.dropped(*op),
                        _ => recorder.succeeded(*op, times(*ms)).unwrap(),
                    }
                    recorder.lagged(times(*ms).service).unwrap();
                }
            }
            let mut all = Recorder::new(3).unwrap();
            for part in many {
                let json = serde_json::to_string(&part).unwrap();
                all.merge(serde_json::from_str(&json).unwrap()).unwrap();
            }
            proptest::prop_assert_eq!(all, one);
        }
    }
}
