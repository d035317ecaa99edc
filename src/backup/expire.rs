//! Which backups and which part of the archive are no longer wanted.

use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::base::MANIFEST;
use super::chain::chain;
use super::store::{Backup, Store, began};
use super::wal::Segment;
use crate::pg::cluster::file;
use crate::run::Run;
use crate::units::Bytes;
use crate::verdict::UsageError;

/// What must stay. Either rule is enough to keep a backup; the newest stays whatever they say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// That many of the newest backups.
    pub newest: Option<usize>,
    /// Whatever it takes to go back to any moment this long ago or later: the backups since, and the last one before.
    pub reach: Option<Duration>,
}

/// What goes and what stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expiry {
    /// Backups that go, oldest first.
    pub backups: Vec<String>,
    /// Backups that are older than what was asked for, and stay because a younger one holds only the changes since.
    pub needed: Vec<String>,
    /// Segments of the archive that go: those from before the oldest backup that stays begins.
    pub segments: u64,
    /// The last of them.
    pub last_segment: Option<String>,
    /// Size of those segments and backups.
    pub bytes: Bytes,
}

impl Expiry {
    /// Whether everything stays.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.backups.is_empty() && self.segments == 0
    }
}

/// What goes from `store` at the moment `now`.
///
/// # Errors
/// [`UsageError`] when neither rule is given, or a backup to be kept builds on one that is not there; when the archive
/// cannot be read.
pub fn plan(store: &Store, keep: Keep, now: Timestamp) -> anyhow::Result<Expiry> {
    Ok(look(store, keep, now)?.0)
}

/// Removes what [`plan`] says, and what a run that was killed left half removed. Killed on the way, what is left is sound
/// and the next run removes the rest.
///
/// # Errors
/// Those of [`plan`]; when a backup that is to stay has lost its files; a file that cannot be removed; [`crate::verdict::Interrupted`] between two files.
pub fn expire(run: &Run, store: &mut Store, keep: Keep, now: Timestamp) -> anyhow::Result<Expiry> {
    let (expiry, segments) = look(store, keep, now)?;
    let stay = store.backups().iter().filter(|backup| !expiry.backups.contains(&backup.label));
    if let Some(lost) = stay.into_iter().find(|backup| !store.base(backup).join(MANIFEST).is_file()) {
        return Err(UsageError(format!(
            "backup {} was to stay, and its files are not there: nothing was removed\n  help: omtdb backup verify",
            lost.label
        ))
        .into());
    }
    store.remove(&expiry.backups)?;
    let task = run.task("remove segments", Some(expiry.segments), "segments");
    for segment in segments {
        run.check()?;
        let path = store.archive().join(segment);
        file("remove", &path, fs::remove_file(&path))?;
        task.advance(1);
    }
    Ok(expiry)
}

/// What goes, and the names of the segments among it.
fn look(store: &Store, keep: Keep, now: Timestamp) -> anyhow::Result<(Expiry, Vec<String>)> {
    let segment_bytes = store.backups().last().map(|newest| newest.wal_segment_bytes);
    let found = segment_bytes.map_or_else(|| Ok(Vec::new()), |bytes| store.segments(bytes))?;
    let (expiry, gone) = decide(store.backups(), &found, keep, now)?;
    let names =
        segment_bytes.into_iter().flat_map(|bytes| gone.iter().map(move |segment| segment.name(bytes)));
    Ok((expiry, names.collect()))
}

/// What goes, and the segments of it, oldest first: a run that is killed leaves no hole.
fn decide(
    backups: &[Backup],
    found: &[(Segment, u64)],
    keep: Keep,
    now: Timestamp,
) -> Result<(Expiry, Vec<Segment>), UsageError> {
    if keep.newest.is_none() && keep.reach.is_none() {
        return Err(UsageError("say what to keep: --keep N, --keep-for DURATION, or both".to_owned()));
    }
    let wanted = wanted(backups, keep, now);
    let mut kept = vec![false; backups.len()];
    for backup in wanted.iter().map(|&index| &backups[index]) {
        for link in chain(backups, backup)? {
            let index = backups.iter().position(|other| other.label == link.label);
            index.into_iter().for_each(|index| kept[index] = true);
        }
    }
    let of =
        |is: bool| backups.iter().zip(&kept).filter(move |(_, kept)| **kept == is).map(|(backup, _)| backup);
    let begins = of(true).map(|backup| backup.start_lsn.0 / backup.wal_segment_bytes).min();
    let mut old: Vec<(Segment, u64)> = found
        .iter()
        .filter(|(segment, _)| begins.is_some_and(|begins| segment.number < begins))
        .copied()
        .collect();
    old.sort_unstable_by_key(|(segment, _)| (segment.number, segment.timeline));
    let bytes = of(false).map(|backup| backup.bytes.0).chain(old.iter().map(|(_, bytes)| *bytes)).sum();
    let needed = kept.iter().enumerate().filter(|(index, kept)| **kept && !wanted.contains(index));
    let expiry = Expiry {
        backups: of(false).map(|backup| backup.label.clone()).collect(),
        needed: needed.map(|(index, _)| backups[index].label.clone()).collect(),
        segments: old.len() as u64,
        last_segment: old
            .last()
            .zip(backups.last())
            .map(|((last, _), newest)| last.name(newest.wal_segment_bytes)),
        bytes: Bytes(bytes),
    };
    Ok((expiry, old.into_iter().map(|(segment, _)| segment).collect()))
}

/// The places of the backups that `keep` asks for. One whose label does not say when it began stays.
fn wanted(backups: &[Backup], keep: Keep, now: Timestamp) -> Vec<usize> {
    let newest = keep.newest.unwrap_or(0).max(1);
    let since = keep.reach.map(|reach| now.as_second().saturating_sub_unsigned(reach.as_secs()));
    let begins = |backup: &Backup| began(&backup.label).map_or(i64::MAX, |began| began.as_second());
    // To reach a moment, a backup from before it is needed.
    let anchor = since.and_then(|since| backups.iter().rposition(|backup| begins(backup) <= since));
    let is_wanted = |(index, backup): &(usize, &Backup)| {
        index + newest >= backups.len()
            || anchor == Some(*index)
            || since.is_some_and(|since| begins(backup) > since)
    };
    backups.iter().enumerate().filter(is_wanted).map(|(index, _)| index).collect()
}

#[cfg(test)]
mod tests {
    use super::super::store::tests::{SIZE, backup};
    use super::*;
    use crate::units::Lsn;

    /// A backup of day `day` that begins in segment `day * 10`.
    fn of_day(day: u8, parent: Option<u8>) -> Backup {
        let label = |day| format!("202601{day:02}T000000000Z");
        let begins = u64::from(day) * 10 * SIZE + 40;
        let parent = parent.map(label);
        Backup { start_lsn: Lsn(begins), end_lsn: Lsn(begins + 9), ..backup(&label(day), parent.as_deref()) }
    }

    fn archive(numbers: std::ops::Range<u64>) -> Vec<(Segment, u64)> {
        numbers.map(|number| (Segment { timeline: 1, number }, SIZE)).collect()
    }

    fn days(labels: &[String]) -> Vec<&str> {
        labels.iter().map(|label| &label[6..8]).collect()
    }

    fn expiry(backups: &[Backup], newest: Option<usize>, days_back: Option<u64>) -> Expiry {
        let reach = days_back.map(|days| Duration::from_secs(days * 86_400));
        let now = "2026-01-09T12:00:00Z".parse().unwrap();
        decide(backups, &archive(5..95), Keep { newest, reach }, now).unwrap().0
    }

    fn daily() -> Vec<Backup> {
        (1..=9).map(|day| of_day(day, None)).collect()
    }

    #[test]
    fn the_newest_stay_with_the_log_from_the_oldest_of_them_on() {
        let gone = expiry(&daily(), Some(2), None);
        assert_eq!(days(&gone.backups), ["01", "02", "03", "04", "05", "06", "07"]);
        assert_eq!((gone.segments, gone.last_segment.as_deref()), (75, Some("00000001000000000000004F")));
        assert_eq!(gone.bytes.0, 7 + 75 * SIZE);
        assert!(expiry(&daily(), Some(100), None).backups.is_empty());
    }

    #[test]
    fn the_newest_backup_never_goes() {
        assert_eq!(expiry(&daily(), Some(0), None).backups.len(), 8);
        let all_old = expiry(&[of_day(1, None), of_day(2, None)], None, Some(1));
        assert_eq!(days(&all_old.backups), ["01"]);
        assert!(expiry(&[], Some(1), None).is_empty());
    }

    #[test]
    fn to_go_back_to_any_moment_takes_the_last_backup_before_it() {
        // Two days before noon of the 9th is noon of the 7th.
        assert_eq!(days(&expiry(&daily(), None, Some(2)).backups), ["01", "02", "03", "04", "05", "06"]);
        assert_eq!(days(&expiry(&daily(), Some(5), Some(2)).backups), ["01", "02", "03", "04"]);
    }

    #[test]
    fn what_an_incremental_backup_needs_stays() {
        let all =
            [of_day(1, None), of_day(2, Some(1)), of_day(3, None), of_day(4, Some(2)), of_day(5, Some(4))];
        let gone = expiry(&all, Some(1), None);
        assert_eq!(days(&gone.backups), ["03"]);
        assert_eq!(days(&gone.needed), ["01", "02", "04"]);
        assert_eq!(gone.last_segment.as_deref(), Some("000000010000000000000009"));
    }

    #[test]
    fn no_rule_is_no_wish() {
        let keep = Keep { newest: None, reach: None };
        assert!(decide(&daily(), &[], keep, Timestamp::UNIX_EPOCH).is_err());
    }

    #[test]
    fn every_timeline_loses_what_is_too_old_and_no_hole_is_left_on_the_way() {
        let found: Vec<_> = [(1, 3), (1, 11), (2, 4), (2, 12)]
            .map(|(timeline, number)| (Segment { timeline, number }, SIZE))
            .to_vec();
        let keep = Keep { newest: Some(1), reach: None };
        let (_, gone) = decide(&[of_day(1, None)], &found, keep, Timestamp::UNIX_EPOCH).unwrap();
        let numbers: Vec<u64> = gone.iter().map(|segment| segment.number).collect();
        assert_eq!(numbers, [3, 4]);
    }
}
