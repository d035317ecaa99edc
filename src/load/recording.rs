//! A measurement to keep: the record for JSON, the histograms as an HDR interval log.

use std::time::{Duration, SystemTime};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use serde::{Deserialize, Serialize};

use super::{Bench, Histograms};

/// Version of the form of [`Recording`]; rises with every change that an older reader would misread.
pub const RECORDING_VERSION: u32 = 1;

/// What `bench run --record` keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    /// [`RECORDING_VERSION`] of the writer.
    pub recording_version: u32,
    /// Version of omtdb.
    pub omtdb_version: String,
    /// What was measured.
    pub bench: Bench,
}

impl Recording {
    /// The recording of `bench`.
    #[must_use]
    pub fn of(bench: Bench) -> Self {
        Self {
            recording_version: RECORDING_VERSION,
            omtdb_version: env!("CARGO_PKG_VERSION").to_owned(),
            bench,
        }
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
