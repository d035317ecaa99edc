//! Whether backups are what they were when they were taken, and whether the archive has holes.

use serde::{Deserialize, Serialize};

use super::chain::chain;
use super::store::{Backup, Store};
use super::wal::{Gap, Segment, gaps};
use crate::pg::{Programs, ProgramsError, tools};
use crate::run::Run;
use crate::verdict::Verdict;

/// What [`verify`] found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// `Pass` when every backup is whole and the archive reaches on from each without a hole.
    pub verdict: Verdict,
    /// Each backup.
    pub backups: Vec<Checked>,
    /// The archive.
    pub wal: Archive,
}

/// A backup held against its manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Its label.
    pub label: String,
    /// Whether every file is the one the server sent, and the log it needs can be read.
    pub ok: bool,
    /// What `pg_verifybackup` said.
    pub detail: String,
}

/// The archive's segments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    /// How many there are.
    pub segments: u64,
    /// Missing ones.
    pub gaps: Vec<Gap>,
    /// Segments of a wrong size.
    pub truncated: Vec<String>,
    /// Backups whose end the archive does not reach back to.
    pub unconnected: Vec<String>,
}

impl Archive {
    /// Whether any backup can be rolled forward to the archive's end.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.gaps.is_empty() && self.truncated.is_empty() && self.unconnected.is_empty()
    }
}

/// Checks every backup in `store` and the names and sizes of its archive.
///
/// # Errors
/// When a program cannot be run; [`crate::verdict::Interrupted`].
pub async fn verify(run: &Run, store: &Store, programs: &Programs) -> anyhow::Result<Verification> {
    let task = run.task("verify backups", Some(store.backups().len() as u64), "backups");
    let mut backups = Vec::new();
    for backup in store.backups() {
        backups.push(check_alone(run, store, backup, programs).await?);
        task.advance(1);
    }
    let segment_bytes =
        store.backups().last().map_or(DEFAULT_SEGMENT_BYTES, |backup| backup.wal_segment_bytes);
    let wal = judge(store.backups(), &store.segments(segment_bytes)?, segment_bytes);
    let ok = wal.is_whole() && backups.iter().all(|backup| backup.ok);
    Ok(Verification { verdict: Verdict::from_ok(ok), backups, wal })
}

/// PostgreSQL's own default, for an archive without a backup to say so.
const DEFAULT_SEGMENT_BYTES: u64 = 16 << 20;

/// Holds `backup`, and all that it builds on, against their manifests; what is wrong with the first of them, or that
/// nothing is.
///
/// # Errors
/// [`crate::verdict::Interrupted`], and when the program cannot be run.
pub async fn check(
    run: &Run,
    store: &Store,
    backup: &Backup,
    programs: &Programs,
) -> anyhow::Result<Checked> {
    let links = match chain(store.backups(), backup) {
        Ok(links) => links,
        Err(missing) => return Ok(Checked::failed(backup, missing.0)),
    };
    let mut last = Checked::failed(backup, String::new());
    for link in links {
        last = check_alone(run, store, link, programs).await?;
        if !last.ok {
            break;
        }
    }
    Ok(Checked { label: backup.label.clone(), ..last })
}

/// Holds the files of `backup` itself against its manifest; what it builds on must be listed.
async fn check_alone(
    run: &Run,
    store: &Store,
    backup: &Backup,
    programs: &Programs,
) -> anyhow::Result<Checked> {
    if let Err(missing) = chain(store.backups(), backup) {
        return Ok(Checked::failed(backup, missing.0));
    }
    let mut command = programs.command("pg_verifybackup");
    command.arg("--quiet").arg(store.base(backup));
    match tools::run(run, command, |_| false).await {
        Ok(()) => {
            let detail = format!("{} as the server sent them, by SHA-256", backup.bytes);
            Ok(Checked { label: backup.label.clone(), ok: true, detail })
        }
        Err(error) => match error.downcast::<ProgramsError>()? {
            ProgramsError::Failed { said, .. } => Ok(Checked::failed(backup, said)),
            other => Err(other.into()),
        },
    }
}

impl Checked {
    fn failed(backup: &Backup, detail: String) -> Self {
        Self { label: backup.label.clone(), ok: false, detail }
    }
}

fn judge(backups: &[Backup], found: &[(Segment, u64)], segment_bytes: u64) -> Archive {
    let segments: Vec<Segment> = found.iter().map(|(segment, _)| *segment).collect();
    let wrong = found.iter().filter(|(_, bytes)| *bytes != segment_bytes);
    let unconnected = backups.iter().filter(|backup| {
        let end = Segment::ending_at(backup.timeline, backup.end_lsn, segment_bytes);
        let first = segments.iter().filter(|segment| segment.timeline == backup.timeline).min();
        first.is_some_and(|first| *first > end)
    });
    Archive {
        segments: segments.len() as u64,
        gaps: gaps(&segments, segment_bytes),
        truncated: wrong.map(|(segment, _)| segment.name(segment_bytes)).collect(),
        unconnected: unconnected.map(|backup| backup.label.clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::ServerVersion;
    use crate::units::{Bytes, Lsn};

    const SIZE: u64 = 16 << 20;

    fn backup(end: u64) -> Backup {
        Backup {
            label: "b".to_owned(),
            system_identifier: "1".to_owned(),
            server_version: ServerVersion(150_000),
            timeline: 1,
            start_lsn: Lsn(0),
            end_lsn: Lsn(end),
            wal_segment_bytes: SIZE,
            bytes: Bytes(1),
            seconds: 1.0,
            parent: None,
        }
    }

    fn archive(backup_end: u64, segments: &[(u64, u64)]) -> Archive {
        let found: Vec<_> =
            segments.iter().map(|&(number, bytes)| (Segment { timeline: 1, number }, bytes)).collect();
        judge(&[backup(backup_end)], &found, SIZE)
    }

    #[test]
    fn an_archive_reaches_on_from_the_backup() {
        assert!(archive(SIZE * 4 + 9, &[(3, SIZE), (4, SIZE), (5, SIZE)]).is_whole());
        assert!(archive(SIZE * 4 + 9, &[]).is_whole(), "the backup carries the log it needs");
    }

    #[test]
    fn an_archive_that_begins_too_late_or_has_a_hole_is_not_whole() {
        assert_eq!(archive(SIZE * 4 + 9, &[(5, SIZE)]).unconnected, ["b"]);
        assert_eq!(archive(SIZE * 4 + 9, &[(4, SIZE), (6, SIZE)]).gaps.len(), 1);
        assert_eq!(archive(SIZE * 4 + 9, &[(4, SIZE), (5, 7)]).truncated, ["000000010000000000000005"]);
    }
}
