//! What a recovery aims at: how PostgreSQL is told, and how to tell that it got there. Pure.
//!
//! `pg_ctl` returning 0 says nothing of it, and neither does a server that answers: a hole in the archive ends a recovery
//! to the latest state early and without a word. Only the server's own words and a position known beforehand do.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::barrier::Point;
use super::markers::{Marker, Markers, Stop};
use crate::backup::wal::Segment;
use crate::pg::cluster::Settings;
use crate::units::Lsn;

/// The kind of recovery target. All of them lead to the same state: that at the drill's restore point.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aim {
    /// `recovery_target_name`: the restore point itself.
    #[default]
    RestorePoint,
    /// `recovery_target_lsn`: the position behind the restore point's record, exclusive.
    Lsn,
    /// `recovery_target_xid`: the drill's own transaction, which commits while all others wait.
    Xid,
    /// `recovery_target_time`: a moment at which all others wait.
    Time,
    /// No target: all that the archive has, up to the segment that ends while all others wait.
    Latest,
}

impl Aim {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::RestorePoint, Self::Lsn, Self::Xid, Self::Time, Self::Latest];

    /// The word of results and of the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::RestorePoint => "restore-point",
            Self::Lsn => "lsn",
            Self::Xid => "xid",
            Self::Time => "time",
            Self::Latest => "latest",
        }
    }

    /// The settings that make a recovery end at `point`.
    pub(super) fn settings(self, point: &Point) -> Settings {
        let target = match self {
            Self::RestorePoint => Some(("recovery_target_name", point.name.clone())),
            Self::Lsn => Some(("recovery_target_lsn", point.lsn.to_string())),
            Self::Xid => Some(("recovery_target_xid", point.xid.to_string())),
            // A zone by name, Z too, is not known yet when a server reads its settings.
            Self::Time => Some(("recovery_target_time", point.time.strftime("%F %T%.6f+00").to_string())),
            Self::Latest => None,
        };
        // The position is an end: the record that begins there comes after the point.
        let inclusive = if self == Self::Lsn { "off" } else { "on" };
        let more = [
            ("recovery_target_inclusive", inclusive.to_owned()),
            ("recovery_target_timeline", point.timeline.to_string()),
            // Paused, it can be read at the point, and makes no timeline of its own.
            ("recovery_target_action", "pause".to_owned()),
        ];
        target.into_iter().chain(more).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Whether the recovery pauses; one to the latest state opens.
    pub(super) fn pauses(self) -> bool {
        self != Self::Latest
    }

    /// Whether a recovery that left `markers` came to its end, wherever that is, and its server answers.
    pub(super) fn has_arrived(self, markers: &Markers) -> bool {
        let answers = if self.pauses() { Marker::Answers } else { Marker::Opened };
        // One that was to pause and came to the end of the archive is about to give up.
        let stopped =
            markers.stopped().is_some_and(|(stop, _)| self.pauses() != matches!(stop, Stop::End(_)));
        markers.fatal().is_none() && stopped && markers.at(&answers).is_some()
    }

    /// Whether a recovery that said `stop` and replayed up to `replayed` stands at `point`.
    pub(super) fn is_met(self, point: &Point, stop: &Stop, replayed: Option<Lsn>) -> bool {
        match (self, stop) {
            (Self::RestorePoint, Stop::RestorePoint(name)) => {
                *name == point.name && replayed == Some(point.lsn)
            }
            (Self::Lsn, Stop::Before(lsn)) => *lsn == point.lsn && replayed == Some(point.lsn),
            // Its commit stands somewhere before the restore point, with nothing of the proven tables in between.
            (Self::Xid, Stop::AfterCommit(xid)) => *xid == point.xid && replayed <= Some(point.lsn),
            // Whatever was replayed since has not committed.
            (Self::Time, Stop::BeforeCommit) => replayed >= Some(point.lsn),
            (Self::Latest, Stop::End(lsn)) => *lsn >= point.lsn,
            _ => false,
        }
    }

    /// What it aims at, for people.
    pub(super) fn describe(self, point: &Point) -> String {
        match self {
            Self::RestorePoint => format!("the restore point at {}", point.lsn),
            Self::Lsn => format!("position {}", point.lsn),
            Self::Xid => format!("transaction {}, before {}", point.xid, point.lsn),
            Self::Time => format!("{}, position {} or later", point.time, point.lsn),
            Self::Latest => format!("the end of the archive, {} or later", point.lsn),
        }
    }
}

/// Where an archive ends for a recovery to the latest state: whatever the server archives later is not to be seen.
pub(super) fn last_segment(aim: Aim, point: &Point, segment_bytes: u64) -> Option<String> {
    let last = Segment::ending_at(point.timeline, point.end, segment_bytes);
    (aim == Aim::Latest).then(|| last.name(segment_bytes))
}

/// When segments were fetched, by what a copy's `restore_command` left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fetches(Vec<(Timestamp, Timestamp)>);

impl Fetches {
    /// Reads the directory that `wal::timed` fills.
    pub(super) fn read(dir: &Path) -> Self {
        let names = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let begun = names.filter(|path| path.extension().is_some_and(|end| end == "began"));
        Self(
            begun
                .filter_map(|began| Some((moment(&began)?, moment(&began.with_extension("ended"))?)))
                .collect(),
        )
    }

    /// Seconds of `from` to `to` in which segments were fetched.
    pub(super) fn seconds_within(&self, from: Timestamp, to: Timestamp) -> f64 {
        let overlap = |(began, ended): &(Timestamp, Timestamp)| {
            super::markers::seconds_between((*began).max(from), (*ended).min(to))
        };
        self.0.iter().map(overlap).sum()
    }
}

/// When a file was written last.
fn moment(path: &Path) -> Option<Timestamp> {
    fs::metadata(path).ok()?.modified().ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    const L: Lsn = Lsn(0x500_0000);

    #[test]
    fn each_aim_is_met_by_its_own_stop_only() {
        let point = Point::at("drill-x", L, 750);
        let stops = [
            (Aim::RestorePoint, Stop::RestorePoint("drill-x".to_owned())),
            (Aim::Lsn, Stop::Before(L)),
            (Aim::Xid, Stop::AfterCommit(750)),
            (Aim::Time, Stop::BeforeCommit),
            (Aim::Latest, Stop::End(L)),
        ];
        for (aim, _) in &stops {
            for (of, stop) in &stops {
                assert_eq!(aim.is_met(&point, stop, Some(L)), aim == of, "{aim:?} {stop:?}");
            }
        }
    }

    #[test]
    fn one_record_late_or_early_is_not_the_point() {
        let point = Point::at("drill-x", L, 750);
        let (early, late) = (Lsn(L.0 - 8), Lsn(L.0 + 72));
        let name = Stop::RestorePoint("drill-x".to_owned());
        for replayed in [None, Some(early), Some(late)] {
            assert!(!Aim::RestorePoint.is_met(&point, &name, replayed));
            assert!(!Aim::Lsn.is_met(&point, &Stop::Before(L), replayed));
        }
        assert!(!Aim::Lsn.is_met(&point, &Stop::Before(late), Some(late)));
        assert!(!Aim::Xid.is_met(&point, &Stop::AfterCommit(751), Some(early)));
        assert!(!Aim::Xid.is_met(&point, &Stop::AfterCommit(750), Some(late)));
        assert!(!Aim::Time.is_met(&point, &Stop::BeforeCommit, Some(early)));
        assert!(!Aim::Latest.is_met(&point, &Stop::End(early), Some(early)), "the archive has a hole");
    }

    #[test]
    fn fetches_are_added_up_within_a_phase() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let span = |second, millis| (at(second), at(second) + SignedDuration::from_millis(millis));
        let fetches = Fetches(vec![span(1, 250), span(3, 500)]);
        assert_eq!(fetches.seconds_within(at(0), at(9)), 0.75);
        assert_eq!(fetches.seconds_within(at(2), at(9)), 0.5);
        assert_eq!(fetches.seconds_within(at(5), at(9)), 0.0);
    }
}
