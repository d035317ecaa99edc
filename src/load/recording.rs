//! A measurement to keep: everything that was recorded, with what it was recorded on, so that it can be judged again, put
//! together with the recordings of other drivers, and compared.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use serde::{Deserialize, Serialize};

use super::drift;
use super::judge::{Evidence, judge};
use super::run::Options;
use super::schedule::Course;
use super::{Bench, Histograms, Measured, ScenarioRun};
use crate::datagen::Shard;
use crate::datagen::ledger::{self, DataSet};
use crate::host::{self, Host, Server};
use crate::pg::{Session, Target};
use crate::scenario::Scenario;

/// Version of the form of [`Recording`]; rises with every change that an older reader would misread, and with a driver whose
/// own share of the times is another.
pub const RECORDING_VERSION: u32 = 3;

/// What `bench run --record` keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    /// [`RECORDING_VERSION`] of the writer.
    pub recording_version: u32,
    /// Version of omtdb.
    pub omtdb_version: String,
    /// What it was recorded on.
    #[serde(flatten)]
    pub origin: Origin,
    /// What was measured.
    pub bench: Bench,
    /// What was recorded, a scenario each.
    pub recorded: Vec<Recorded>,
}

/// What a recording is made on; read before the load, for the server may be gone after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// When the load began.
    pub started_at: jiff::Timestamp,
    /// Which of several drivers it was.
    pub driver: Shard,
    /// Seed of the schedule and of the bound values.
    pub seed: u64,
    /// The machine of the driver.
    pub host: Host,
    /// The server.
    pub server: Server,
    /// The data in it, where the generator loaded them.
    pub data: Option<DataSet>,
}

impl Origin {
    /// That of a run with `options` against `target` which begins now.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn read(target: &Target, options: &Options) -> anyhow::Result<Self> {
        let session = Session::connect(target, "bench").await?;
        let server = host::server(&session, target).await?;
        let data = ledger::data_set(&session).await?;
        session.close().await;
        let (driver, seed) = (options.driver, options.seed);
        Ok(Self { started_at: jiff::Timestamp::now(), driver, seed, host: host::host(), server, data })
    }
}

/// One scenario and what its workers recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// The scenario with every default in place, and its load as it was sent.
    pub scenario: Scenario,
    /// What was seen.
    pub(super) evidence: Evidence,
}

impl Recorded {
    /// What it comes to, and every missed objective.
    pub(super) fn judged(&self, options: &Options) -> (ScenarioRun, Vec<String>) {
        judge(&self.scenario, &self.scenario.load, options, &self.evidence)
    }

    /// The histograms of the operations that were sent.
    pub fn histograms(&self) -> impl Iterator<Item = Histograms> {
        let duration = Course::of(&self.scenario.load).measured();
        let ops = self.scenario.ops.iter().zip(&self.evidence.recorder.ops).filter(|(op, _)| op.weight > 0);
        ops.map(move |(op, record)| Histograms {
            duration,
            scenario: self.scenario.name.clone(),
            op: op.name.clone(),
            failed: record.errors + record.dropped,
            response: record.response.clone(),
            service: record.service.clone(),
        })
    }
}

impl Measured {
    /// Judges what was recorded.
    pub(super) fn of(recorded: Vec<Recorded>, options: &Options) -> Self {
        let mut bench = Bench { scenarios: Vec::new(), violations: Vec::new() };
        for (run, mut violations) in recorded.iter().map(|one| one.judged(options)) {
            bench.scenarios.push(run);
            bench.violations.append(&mut violations);
        }
        let histograms = recorded.iter().flat_map(Recorded::histograms).collect();
        Self { bench, histograms, recorded }
    }
}

impl Recording {
    /// What `measured` left, recorded on `origin`.
    #[must_use]
    pub fn new(origin: Origin, measured: Measured) -> Self {
        let (recording_version, omtdb_version) = (RECORDING_VERSION, env!("CARGO_PKG_VERSION").to_owned());
        Self { recording_version, omtdb_version, origin, bench: measured.bench, recorded: measured.recorded }
    }

    /// The interval log of the recording, as [`hlog`] writes it.
    ///
    /// # Errors
    /// When a histogram cannot be encoded.
    pub fn hlog(&self) -> anyhow::Result<Vec<u8>> {
        hlog(&self.recorded.iter().flat_map(Recorded::histograms).collect::<Vec<_>>())
    }

    /// The recordings of all drivers of one run as one, as a single driver would have recorded it.
    ///
    /// # Errors
    /// When they are not of one run, or one is missing, or is there twice.
    pub fn merge(mut parts: Vec<Self>) -> anyhow::Result<Self> {
        parts.sort_by_key(|part| part.origin.driver.number);
        let of = parts.first().context("there is nothing to merge")?.origin.driver.of.get();
        let numbers: Vec<u32> = parts.iter().map(|part| part.origin.driver.number.get()).collect();
        ensure!(
            numbers == (1..=of).collect::<Vec<_>>(),
            "the recordings are of the drivers {numbers:?} of {of}: each has to be there once"
        );
        let mut parts = parts.into_iter();
        let mut whole = parts.next().context("there is nothing to merge")?;
        for part in parts {
            whole.add(part)?;
        }
        whole.origin.driver = Shard::WHOLE;
        let options = Options { seed: whole.origin.seed, ..Options::default() };
        whole.bench = Measured::of(whole.recorded.clone(), &options).bench;
        Ok(whole)
    }

    fn add(&mut self, part: Self) -> anyhow::Result<()> {
        let number = part.origin.driver.number;
        let of = (part.origin.driver.of, self.origin.driver.of);
        ensure!(of.0 == of.1, "driver {number} is one of {}, not of {}", of.0, of.1);
        ensure!(
            part.origin.seed == self.origin.seed,
            "driver {number} drew from seed {}, not {}",
            part.origin.seed,
            self.origin.seed
        );
        ensure!(self.is_of_same_data(&part), "driver {number} found other data in its database");
        ensure!(
            part.origin.server.version == self.origin.server.version,
            "driver {number} ran against another server"
        );
        ensure!(part.recorded.len() == self.recorded.len(), "driver {number} ran other scenarios");
        for (ours, theirs) in self.recorded.iter_mut().zip(part.recorded) {
            let same = ours.scenario == theirs.scenario;
            ensure!(same, "driver {number} sent something else in {}", ours.scenario.name);
            ours.evidence.recorder.merge(theirs.evidence.recorder)?;
            drift::add(&mut ours.evidence.plans, theirs.evidence.plans);
            ours.evidence.gone = ours.evidence.gone.take().or(theirs.evidence.gone);
        }
        self.origin.started_at = self.origin.started_at.min(part.origin.started_at);
        Ok(())
    }

    /// When the last arrival of the last scenario could be: no earlier was the run over.
    #[must_use]
    pub fn ended_at(&self) -> jiff::Timestamp {
        let length = |one: &Recorded| Course::of(&one.scenario.load).length();
        let lasted: Duration = self.recorded.iter().map(length).sum();
        self.origin.started_at.saturating_add(lasted).unwrap_or(jiff::Timestamp::MAX)
    }

    /// Whether both ran over the same generated data, whatever load tests have written to it since.
    #[must_use]
    pub fn is_of_same_data(&self, other: &Self) -> bool {
        let unwritten = |data: &Option<DataSet>| data.map(|data| DataSet { written_to: false, ..data });
        unwritten(&self.origin.data) == unwritten(&other.origin.data)
    }
}

/// `histograms` as an interval log in the form of `HdrHistogram`'s version 2, with one interval an operation and kind,
/// tagged `<scenario>/<op>/response` or `/service`. Values are nanoseconds; the maximum beside each is in microseconds.
///
/// # Errors
/// When a histogram cannot be encoded.
pub fn hlog<'a>(histograms: impl IntoIterator<Item = &'a Histograms>) -> anyhow::Result<Vec<u8>> {
    let mut serializer = V2DeflateSerializer::new();
    let mut log = Vec::new();
    let mut writer = IntervalLogWriterBuilder::new()
        .with_base_time(SystemTime::UNIX_EPOCH)
        .with_max_value_divisor(1_000.0)
        .begin_log_with(&mut log, &mut serializer)?;
    for entry in histograms {
        for (kind, histogram) in [("response", &entry.response), ("service", &entry.service)] {
            let tag = format!("{}/{}/{kind}", entry.scenario, entry.op).replace([',', ' '], "_");
            let written = writer.write_histogram(histogram, Duration::ZERO, entry.duration, Tag::new(&tag));
            written.map_err(|error| anyhow::anyhow!("encode the histogram of {tag}: {error:?}"))?;
        }
    }
    Ok(log)
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;
    use crate::load::recorder::{Recorder, Times};

    #[test]
    fn a_log_is_read_back() {
        let mut recorder = Recorder::new(1).unwrap();
        for ms in 1..=1_000 {
            let time = Duration::from_millis(ms);
            recorder.succeeded(0, Times { response: time, service: time / 2, done: time }).unwrap();
        }
        let record = recorder.ops.remove(0);
        let entry = Histograms {
            scenario: "user library".to_owned(),
            op: "list".to_owned(),
            duration: Duration::from_secs(20),
            failed: 0,
            response: record.response,
            service: record.service,
        };
        let log = hlog([&entry]).unwrap();
        let intervals: Vec<_> = IntervalLogIterator::new(&log)
            .filter_map(|line| match line.unwrap() {
                LogEntry::Interval(interval) => Some(interval),
                _ => None,
            })
            .collect();
        let tags: Vec<&str> = intervals.iter().map(|interval| interval.tag().unwrap().as_str()).collect();
        assert_eq!(tags, ["user_library/list/response", "user_library/list/service"]);
        let bytes = base64(intervals[0].encoded_histogram());
        let read: hdrhistogram::Histogram<u64> =
            Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
        assert_eq!(read, entry.response);
    }

    /// Enough of RFC 4648 to read what the log holds.
    fn base64(text: &str) -> Vec<u8> {
        const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let (mut bits, mut held, mut bytes) = (0_u32, 0, Vec::new());
        for digit in text.trim_end_matches('=').chars() {
            bits = bits << 6 | u32::try_from(DIGITS.find(digit).unwrap()).unwrap();
            held += 6;
            if held >= 8 {
                held -= 8;
                bytes.push((bits >> held & 0xff).try_into().unwrap());
            }
        }
        bytes
    }
}
