//! What a recovering server's log says: pure reading of its lines.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// What a line of the log marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Marker {
    /// Replaying began.
    Redo,
    /// A segment came from the archive.
    Restored,
    /// The copy is consistent.
    Consistent,
    /// It answers queries.
    Answers,
    /// It stopped at the restore point of this name.
    StoppedAt(String),
    /// It gave up; the message.
    Fatal(String),
}

/// The markers of one recovery, in order, each with its moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Markers(Vec<(Timestamp, Marker)>);

impl Markers {
    /// Reads a log written with `log_line_prefix = '%m [%p] '` in UTC.
    pub(super) fn read(log: &str) -> Self {
        Self(log.lines().filter_map(line).collect())
    }

    /// When `marker` first stood in the log.
    pub(super) fn at(&self, marker: &Marker) -> Option<Timestamp> {
        self.0.iter().find(|(_, other)| other == marker).map(|(at, _)| *at)
    }

    /// The restore point it stopped at.
    pub(super) fn stopped_at(&self) -> Option<(&str, Timestamp)> {
        self.0.iter().find_map(|(at, marker)| match marker {
            Marker::StoppedAt(name) => Some((name.as_str(), *at)),
            _ => None,
        })
    }

    /// Why it gave up.
    pub(super) fn fatal(&self) -> Option<&str> {
        self.0.iter().find_map(|(_, marker)| match marker {
            Marker::Fatal(message) => Some(message.as_str()),
            _ => None,
        })
    }

    /// How many segments came from the archive.
    pub(super) fn restored(&self) -> usize {
        self.0.iter().filter(|(_, marker)| *marker == Marker::Restored).count()
    }
}

fn line(line: &str) -> Option<(Timestamp, Marker)> {
    let (stamp, rest) = line.split_once(" UTC [").or_else(|| line.split_once(" GMT ["))?;
    let stamp: DateTime = stamp.parse().ok()?;
    let at = stamp.to_zoned(TimeZone::UTC).ok()?.timestamp();
    let (severity, message) = rest.split_once("] ")?.1.split_once(":  ")?;
    let marker = match severity {
        // Sessions that come too early are turned away by such a message; it is not the recovery's.
        "FATAL" if message.starts_with("the database system is") => return None,
        "FATAL" | "PANIC" => Marker::Fatal(message.to_owned()),
        "LOG" => event(message)?,
        _ => return None,
    };
    Some((at, marker))
}

fn event(message: &str) -> Option<Marker> {
    let starts = |text| message.starts_with(text);
    if let Some(rest) = message.strip_prefix("recovery stopping at restore point \"") {
        return Some(Marker::StoppedAt(rest.split_once('"')?.0.to_owned()));
    }
    if starts("redo starts at") {
        Some(Marker::Redo)
    } else if starts("restored log file") {
        Some(Marker::Restored)
    } else if starts("consistent recovery state reached") {
        Some(Marker::Consistent)
    } else if starts("database system is ready to accept read") {
        Some(Marker::Answers)
    } else {
        None
    }
}

/// Seconds from `from` to `to`; zero where the clock went backwards.
pub(super) fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).max(SignedDuration::ZERO).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
2026-11-24 13:00:00.100 UTC [9] LOG:  starting point-in-time recovery to \"drill-x\"
2026-11-24 13:00:00.200 GMT [9] LOG:  restored log file \"000000010000000000000002\" from archive
2026-11-24 13:00:00.250 UTC [9] LOG:  redo starts at 0/2000028
2026-11-24 13:00:00.300 UTC [10] FATAL:  the database system is not yet accepting connections
2026-11-24 13:00:00.500 UTC [9] LOG:  consistent recovery state reached at 0/2000138
2026-11-24 13:00:00.510 UTC [8] LOG:  database system is ready to accept read-only connections
2026-11-24 13:00:01.750 UTC [9] LOG:  recovery stopping at restore point \"drill-x\", time 2026-11-24 12:59:59.1+00
";

    #[test]
    fn phases_are_read_from_the_log() {
        let markers = Markers::read(LOG);
        let (name, stopped) = markers.stopped_at().unwrap();
        assert_eq!(name, "drill-x");
        assert_eq!(seconds_between(markers.at(&Marker::Redo).unwrap(), stopped), 1.5);
        assert_eq!(seconds_between(markers.at(&Marker::Consistent).unwrap(), stopped), 1.25);
        assert_eq!((markers.restored(), markers.fatal()), (1, None));
    }

    #[test]
    fn a_hole_in_the_archive_is_fatal() {
        let log = "2026-11-24 13:00:02.000 UTC [9] FATAL:  recovery ended before configured recovery target was reached\n";
        let markers = Markers::read(log);
        assert!(markers.stopped_at().is_none());
        assert_eq!(markers.fatal(), Some("recovery ended before configured recovery target was reached"));
    }

    #[test]
    fn another_restore_point_is_another_name() {
        let log = LOG.replace("point \"drill-x\", time", "point \"drill-y\", time");
        assert_eq!(Markers::read(&log).stopped_at().unwrap().0, "drill-y");
    }
}
