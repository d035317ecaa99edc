//! Whether an archive rolls every backup forward: holes, wrong sizes, timelines. Pure: it is handed names.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::history::History;
use super::store::Backup;
use super::wal::{Gap, Segment};

/// The archive's segments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    /// How many there are.
    pub segments: u64,
    /// Missing ones.
    pub gaps: Vec<Gap>,
    /// Segments of a wrong size.
    pub truncated: Vec<String>,
    /// Backups whose end the archive does not reach back to.
    pub unconnected: Vec<String>,
    /// Timelines that cannot be reached.
    #[serde(default)]
    pub timelines: Vec<Broken>,
    /// Segments whose content is not what their name says, or in which a record begins that is not sound.
    #[serde(default)]
    pub damaged: Vec<Fault>,
    /// Segments of another server.
    #[serde(default)]
    pub foreign: Vec<Fault>,
    /// Segments with other content than at an earlier verification.
    #[serde(default)]
    pub changed: Vec<Fault>,
    /// Segments that were read this time.
    #[serde(default)]
    pub read: u64,
    /// Segments that an earlier verification has read, and whose size and time have not changed since.
    #[serde(default)]
    pub remembered: u64,
    /// What became of the records inside the segments that were read.
    #[serde(default)]
    pub records: Records,
}

/// A timeline that a recovery cannot follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// The timeline.
    pub timeline: u32,
    /// What is wrong.
    pub detail: String,
}

/// What is wrong with a segment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fault {
    /// Its name.
    pub segment: String,
    /// What was seen.
    pub detail: String,
}

/// Whether the checksums of the records were followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Records {
    /// By `pg_waldump`, from segment to segment.
    Followed,
    /// There is no `pg_waldump` among the programs, or no segment was read.
    #[default]
    NotLookedAt,
}

impl Archive {
    /// Whether any backup can be rolled forward to the archive's end.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.gaps.is_empty()
            && self.truncated.is_empty()
            && self.unconnected.is_empty()
            && self.timelines.is_empty()
            && [&self.damaged, &self.foreign, &self.changed].into_iter().all(Vec::is_empty)
    }
}

/// What an archive's names say it holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Segments with their sizes in bytes.
    pub(super) segments: Vec<(Segment, u64)>,
    /// What the history files say, by timeline, or why they say nothing.
    pub(super) histories: BTreeMap<u32, Result<History, String>>,
}

impl Contents {
    /// The way to `timeline`, where something says it. Nothing comes before the first.
    pub(super) fn known_history(&self, timeline: u32) -> Option<History> {
        match self.histories.get(&timeline) {
            Some(history) => history.clone().ok(),
            None => (timeline == 1).then(|| History::alone(1)),
        }
    }

    fn timelines(&self) -> BTreeSet<u32> {
        self.segments.iter().map(|(segment, _)| segment.timeline).collect()
    }
}

/// What the names and sizes tell about the whole archive.
pub(super) fn judge(backups: &[Backup], contents: &Contents, segment_bytes: u64) -> Archive {
    let there: BTreeSet<Segment> = contents.segments.iter().map(|(segment, _)| *segment).collect();
    let wrong = contents.segments.iter().filter(|(_, bytes)| *bytes != segment_bytes);
    let ways: Vec<Way> = contents
        .timelines()
        .into_iter()
        .map(|timeline| {
            Way::through(
                &there,
                contents.known_history(timeline).unwrap_or_else(|| History::alone(timeline)),
                segment_bytes,
            )
        })
        .collect();
    let unconnected = backups.iter().filter(|backup| ways.iter().any(|way| way.begins_after(backup)));
    Archive {
        segments: contents.segments.len() as u64,
        gaps: gaps(&ways, segment_bytes),
        truncated: wrong.map(|(segment, _)| segment.name(segment_bytes)).collect(),
        unconnected: unconnected.map(|backup| backup.label.clone()).collect(),
        timelines: broken_timelines(backups, contents, &there, segment_bytes),
        ..Archive::default()
    }
}

/// What a recovery to a timeline finds in the archive.
struct Way {
    history: History,
    /// The number of the first segment that is there.
    first: Option<u64>,
    /// What is missing between that one and the last.
    missing: Vec<Run>,
}

/// Segments of one timeline, from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    timeline: u32,
    first: u64,
    last: u64,
}

impl Way {
    fn through(there: &BTreeSet<Segment>, history: History, segment_bytes: u64) -> Self {
        let legs = history.legs(segment_bytes);
        let ends = legs.iter().skip(1).map(|next| next.number).chain([u64::MAX]);
        let stretches: Vec<(Segment, u64)> = legs.iter().copied().zip(ends).collect();
        let read: Vec<Segment> =
            stretches.iter().flat_map(|(leg, end)| on_leg(there, *leg, *end)).copied().collect();
        let (first, last) = (read.first().map(|first| first.number), read.last().map(|last| last.number));
        let mut missing = Vec::new();
        if let (Some(first), Some(last)) = (first, last) {
            for (leg, end) in stretches {
                let (from, to) = (leg.number.max(first), end.min(last + 1));
                missing.extend(absent(there, leg.timeline, from, to));
            }
        }
        Self { history, first, missing }
    }

    /// Whether a recovery from `backup` lacks the segment in which its own part of the log ends.
    fn begins_after(&self, backup: &Backup) -> bool {
        let end = Segment::ending_at(backup.timeline, backup.end_lsn, backup.wal_segment_bytes);
        self.history.passes(backup.timeline, backup.end_lsn)
            && self.first.is_some_and(|first| first > end.number)
    }
}

/// The segments of `leg`'s timeline from its number to before `end`.
fn on_leg(there: &BTreeSet<Segment>, leg: Segment, end: u64) -> impl Iterator<Item = &Segment> {
    let end = Segment { number: end.max(leg.number), ..leg };
    there.range(leg..end)
}

/// The runs of `timeline` that are not there, from number `from` to before `to`.
fn absent(there: &BTreeSet<Segment>, timeline: u32, from: u64, to: u64) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut next = from;
    for segment in on_leg(there, Segment { timeline, number: from }, to) {
        if segment.number > next {
            runs.push(Run { timeline, first: next, last: segment.number - 1 });
        }
        next = segment.number + 1;
    }
    if next < to {
        runs.push(Run { timeline, first: next, last: to - 1 });
    }
    runs
}

/// What is missing on any of `ways`, once.
fn gaps(ways: &[Way], segment_bytes: u64) -> Vec<Gap> {
    let mut runs: Vec<Run> = ways.iter().flat_map(|way| way.missing.iter().copied()).collect();
    runs.sort_unstable();
    let mut merged: Vec<Run> = Vec::new();
    for run in runs {
        match merged.last_mut() {
            Some(last) if last.timeline == run.timeline && run.first <= last.last + 1 => {
                last.last = last.last.max(run.last);
            }
            _ => merged.push(run),
        }
    }
    let name = |timeline, number| Segment { timeline, number }.name(segment_bytes);
    let gap = |run: &Run| Gap {
        first: name(run.timeline, run.first),
        last: name(run.timeline, run.last),
        segments: run.last - run.first + 1,
    };
    merged.iter().map(gap).collect()
}

/// Timelines that lack their history, and those that branch off where their parent is not in the archive.
fn broken_timelines(
    backups: &[Backup],
    contents: &Contents,
    there: &BTreeSet<Segment>,
    segment_bytes: u64,
) -> Vec<Broken> {
    let ends =
        backups.iter().map(|backup| Segment::ending_at(backup.timeline, backup.end_lsn, segment_bytes));
    let held: BTreeSet<Segment> = there.iter().copied().chain(ends).collect();
    let oldest = held.iter().map(|segment| segment.timeline).min();
    let mut broken = Vec::new();
    for timeline in contents.timelines() {
        let detail = match contents.histories.get(&timeline) {
            Some(Err(why)) => Some(format!("its history cannot be understood: {why}")),
            Some(Ok(history)) => history.branch().and_then(|(parent, at)| {
                let branch = Segment { timeline: parent, number: at.0 / segment_bytes };
                let ends = unreached(&held, branch, segment_bytes)?;
                Some(format!(
                    "it branches off timeline {parent} at {at}, which the archive does not reach: {ends}"
                ))
            }),
            // Where nothing older is held, there is nothing that it could have left.
            None if oldest.is_some_and(|oldest| oldest < timeline) => {
                Some(format!("{timeline:08X}.history is missing: nothing says where it left its parent"))
            }
            None => None,
        };
        broken.extend(detail.map(|detail| Broken { timeline, detail }));
    }
    broken
}

/// Says where the parent's part ends when it does not reach the segment of the branch. A parent of which nothing from
/// before the branch is held has nothing to reach it with, and need not.
fn unreached(held: &BTreeSet<Segment>, branch: Segment, segment_bytes: u64) -> Option<String> {
    let last = on_leg(held, Segment { number: 0, ..branch }, branch.number + 1).last()?;
    // The segment of the branch itself is the child's, whose copy has the parent's part of it.
    (last.number + 1 < branch.number).then(|| format!("it ends with {}", last.name(segment_bytes)))
}

#[cfg(test)]
mod tests {
    use super::super::store::tests::{SIZE, backup};
    use super::*;
    use crate::units::Lsn;

    /// The archive of `(timeline, numbers)`, with history files of `(timeline, parent, where it was left)`.
    fn contents(parts: &[(u32, &[u64])], branches: &[(u32, u32, u64)]) -> Contents {
        let segments = parts.iter().flat_map(|(timeline, numbers)| {
            numbers.iter().map(|&number| (Segment { timeline: *timeline, number }, SIZE))
        });
        let mut histories = BTreeMap::new();
        for &(timeline, parent, at) in branches {
            let before =
                histories.get(&parent).and_then(|known: &Result<History, String>| known.clone().ok());
            let mut ancestors = before.map_or_else(Vec::new, |history| history.ancestors);
            ancestors.push((parent, Lsn(at)));
            histories.insert(timeline, Ok(History { timeline, ancestors }));
        }
        Contents { segments: segments.collect(), histories }
    }

    fn ending_in(timeline: u32, number: u64) -> Backup {
        Backup { timeline, end_lsn: Lsn(SIZE * number + 9), ..backup("b", None) }
    }

    fn judged(backups: &[Backup], contents: &Contents) -> Archive {
        judge(backups, contents, SIZE)
    }

    #[test]
    fn an_archive_reaches_on_from_the_backup() {
        assert!(judged(&[ending_in(1, 4)], &contents(&[(1, &[3, 4, 5])], &[])).is_whole());
        assert!(
            judged(&[ending_in(1, 4)], &contents(&[], &[])).is_whole(),
            "the backup has the log it needs"
        );
    }

    #[test]
    fn an_archive_that_begins_too_late_or_has_a_hole_is_not_whole() {
        assert_eq!(judged(&[ending_in(1, 4)], &contents(&[(1, &[5])], &[])).unconnected, ["b"]);
        let holed = judged(&[ending_in(1, 4)], &contents(&[(1, &[4, 7, 8, 10])], &[]));
        let names: Vec<_> = holed.gaps.iter().map(|gap| (gap.first.as_str(), gap.segments)).collect();
        assert_eq!(names, [("000000010000000000000005", 2), ("000000010000000000000009", 1)]);
        let mut short = contents(&[(1, &[4, 5])], &[]);
        short.segments[1].1 = 7;
        assert_eq!(judged(&[], &short).truncated, ["000000010000000000000005"]);
    }

    #[test]
    fn a_switch_to_a_new_timeline_loses_nothing() {
        let switched = [
            // In the middle of a segment, which the old timeline never finished, or did.
            contents(&[(1, &[3, 4, 5]), (2, &[6, 7])], &[(2, 1, SIZE * 6 + 99)]),
            contents(&[(1, &[3, 4, 5, 6]), (2, &[6, 7])], &[(2, 1, SIZE * 6 + 99)]),
            // Between two segments.
            contents(&[(1, &[3, 4, 5]), (2, &[6, 7])], &[(2, 1, SIZE * 6)]),
            // The old server went on for a while.
            contents(&[(1, &[3, 4, 5, 6, 7, 8]), (2, &[6, 7])], &[(2, 1, SIZE * 6 + 99)]),
            // Twice in one segment: nothing of the timeline between was ever archived.
            contents(&[(1, &[3, 4, 5]), (3, &[6, 7])], &[(2, 1, SIZE * 6 + 99), (3, 2, SIZE * 6 + 500)]),
            // A number was left out.
            contents(&[(1, &[3, 4, 5]), (7, &[6, 7])], &[(7, 1, SIZE * 6 + 99)]),
        ];
        for archive in switched {
            let found = judged(&[ending_in(1, 3)], &archive);
            assert!(found.is_whole(), "{archive:?}\n{found:?}");
        }
    }

    #[test]
    fn a_branch_that_the_parent_does_not_reach_is_found() {
        let short = contents(&[(1, &[3, 4]), (2, &[6, 7])], &[(2, 1, SIZE * 6 + 99)]);
        let found = judged(&[ending_in(1, 3)], &short);
        assert_eq!(found.gaps[0].first, "000000010000000000000005");
        assert_eq!(found.timelines[0].timeline, 2);
        assert!(found.timelines[0].detail.contains("ends with 000000010000000000000004"), "{found:?}");
        // Not a segment of the parent is there, only the backup that was taken on it.
        let none = contents(&[(2, &[6, 7])], &[(2, 1, SIZE * 6 + 99)]);
        assert_eq!(judged(&[ending_in(1, 3)], &none).unconnected, ["b"]);
        assert_eq!(judged(&[ending_in(1, 3)], &none).timelines.len(), 1);
        assert!(judged(&[ending_in(1, 6)], &none).is_whole(), "it ends in the segment of the branch");
    }

    #[test]
    fn the_childs_first_segment_counts() {
        let late = contents(&[(1, &[3, 4, 5, 6]), (2, &[7])], &[(2, 1, SIZE * 6 + 99)]);
        assert_eq!(judged(&[], &late).gaps[0].first, "000000020000000000000006");
    }

    #[test]
    fn a_missing_or_senseless_history_is_found() {
        let mut without = contents(&[(1, &[3]), (2, &[4])], &[]);
        assert!(judged(&[], &without).timelines[0].detail.contains("00000002.history is missing"));
        without.histories.insert(2, Err("it names no parent".to_owned()));
        assert!(judged(&[], &without).timelines[0].detail.contains("names no parent"));
        // The archive was made on timeline 5: what came before was never in it.
        assert!(judged(&[ending_in(5, 3)], &contents(&[(5, &[3, 4])], &[])).is_whole());
    }

    #[test]
    fn what_expired_before_a_branch_is_not_missed() {
        let expired = contents(&[(1, &[8, 9]), (2, &[8, 9])], &[(2, 1, SIZE * 6 + 99)]);
        let found = judged(&[ending_in(2, 8)], &expired);
        assert!(found.is_whole(), "{found:?}");
    }

    #[test]
    fn a_hole_is_told_once() {
        let twice = contents(&[(1, &[3, 9]), (2, &[7])], &[(2, 1, SIZE * 7 + 99)]);
        let found = judged(&[], &twice);
        assert_eq!(found.gaps.len(), 1, "{found:?}");
        assert_eq!((found.gaps[0].last.as_str(), found.gaps[0].segments), ("000000010000000000000008", 5));
    }
}
