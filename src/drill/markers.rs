//! What a recovering server's log says: pure reading of its lines.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::units::Lsn;

/// What a line of the log marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Marker {
    /// Replaying began with the record here.
    Redo(Lsn),
    /// A segment came from the archive.
    Restored,
    /// The copy is consistent.
    Consistent,
    /// It answers queries.
    Answers,
    /// It accepts writes: the recovery is over.
    Opened,
    /// It stopped where it was told to.
    Stopped(Stop),
    /// It gave up; the message.
    Fatal(String),
}

/// Where a recovery says that it stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// At the restore point of this name.
    RestorePoint(String),
    /// Before the record at this position.
    Before(Lsn),
    /// After the commit of this transaction.
    AfterCommit(u64),
    /// Before the end of a transaction, because of its time.
    BeforeCommit,
    /// In another way, which no recovery of ours asks for.
    Elsewhere,
    /// At the end of the archive; the last record began here.
    End(Lsn),
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

    /// Where it stopped, and when.
    pub(super) fn stopped(&self) -> Option<(&Stop, Timestamp)> {
        self.0.iter().find_map(|(at, marker)| match marker {
            Marker::Stopped(stop) => Some((stop, *at)),
            _ => None,
        })
    }

    /// Where replaying began, and when.
    pub(super) fn redo(&self) -> Option<(Lsn, Timestamp)> {
        self.0.iter().find_map(|(at, marker)| match marker {
            Marker::Redo(lsn) => Some((*lsn, *at)),
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
        // It waits then until somebody raises a setting.
        "WARNING" if message.starts_with("hot standby is not possible") => Marker::Fatal(message.to_owned()),
        _ => return None,
    };
    Some((at, marker))
}

fn event(message: &str) -> Option<Marker> {
    let after = |text| message.strip_prefix(text);
    if let Some(text) = after("recovery stopping ") {
        return Some(Marker::Stopped(stop(text).unwrap_or(Stop::Elsewhere)));
    }
    if let Some(rest) = after("redo done at ") {
        return Some(Marker::Stopped(Stop::End(first_word(rest).parse().ok()?)));
    }
    if let Some(rest) = after("redo starts at ") {
        return Some(Marker::Redo(first_word(rest).parse().ok()?));
    }
    let known = [
        ("restored log file", Marker::Restored),
        ("consistent recovery state reached", Marker::Consistent),
        ("database system is ready to accept read", Marker::Answers),
        ("database system is ready to accept connections", Marker::Opened),
    ];
    known.into_iter().find_map(|(text, marker)| message.starts_with(text).then_some(marker))
}

/// Reads what follows `recovery stopping`.
fn stop(text: &str) -> Option<Stop> {
    if let Some(rest) = text.strip_prefix("at restore point \"") {
        return Some(Stop::RestorePoint(rest.split_once('"')?.0.to_owned()));
    }
    if let Some(rest) = text.strip_prefix("before WAL location (LSN) \"") {
        return Some(Stop::Before(rest.split_once('"')?.0.parse().ok()?));
    }
    if let Some(rest) = text.strip_prefix("after commit of transaction ") {
        return Some(Stop::AfterCommit(first_word(rest).trim_end_matches(',').parse().ok()?));
    }
    // A target time is held against the end of any transaction.
    let ends = ["before commit of transaction ", "before abort of transaction "];
    ends.iter().any(|end| text.starts_with(end)).then_some(Stop::BeforeCommit)
}

fn first_word(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
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
        let (stop, stopped) = markers.stopped().unwrap();
        assert_eq!(*stop, Stop::RestorePoint("drill-x".to_owned()));
        let (from, began) = markers.redo().unwrap();
        assert_eq!((from, seconds_between(began, stopped)), (Lsn(0x200_0028), 1.5));
        assert_eq!(seconds_between(markers.at(&Marker::Consistent).unwrap(), stopped), 1.25);
        assert_eq!((markers.restored(), markers.fatal()), (1, None));
    }

    #[test]
    fn a_hole_in_the_archive_is_fatal() {
        let log = "2026-11-24 13:00:02.000 UTC [9] FATAL:  recovery ended before configured recovery target was reached\n";
        let markers = Markers::read(log);
        assert!(markers.stopped().is_none());
        assert_eq!(markers.fatal(), Some("recovery ended before configured recovery target was reached"));
    }

    /// Texts of `xlogrecovery.c`, the same from 15 to 18.
    #[test]
    fn each_kind_of_stop_is_told_from_its_words() {
        let stops = [
            ("recovery stopping before WAL location (LSN) \"0/42025C98\"", Stop::Before(Lsn(0x4202_5C98))),
            (
                "recovery stopping after commit of transaction 750, time 2026-11-24 12:59:59.1+00",
                Stop::AfterCommit(750),
            ),
            (
                "recovery stopping before commit of transaction 751, time 2026-11-24 12:59:59.1+00",
                Stop::BeforeCommit,
            ),
            (
                "recovery stopping before abort of transaction 752, time 2026-11-24 12:59:59.1+00",
                Stop::BeforeCommit,
            ),
            (
                "redo done at 0/5000110 system usage: CPU: user: 0.00 s, system: 0.00 s",
                Stop::End(Lsn(0x500_0110)),
            ),
        ];
        for (message, expected) in stops {
            assert_eq!(event(message), Some(Marker::Stopped(expected)), "{message}");
        }
        assert_eq!(event("recovery stopping for another reason"), Some(Marker::Stopped(Stop::Elsewhere)));
    }
}
