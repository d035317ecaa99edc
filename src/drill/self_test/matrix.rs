//! The faults, and the level that must see each.

use std::fs;
use std::path::Path;

use super::source::Source;
use crate::backup::Store;
use crate::backup::wal::Segment;
use crate::drill::alter::Alteration;
use crate::drill::fault::{self, PageFault};
use crate::drill::restore::Prepared;
use crate::drill::{Level, fault::Fault as CopyFault};
use crate::pg::cluster::file;

/// What stands in a result where the drill itself gave up, having said why and cleaned up.
pub(super) const CLEAN_FAILURE: &str = "clean failure";

/// One fault and who must see it.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) fault: Fault,
    /// `None` for the sound copy, which nothing may take for spoilt.
    must: Option<Must>,
}

enum Must {
    Level(Level),
    CleanFailure,
}

/// Where a fault is.
pub(super) enum Fault {
    None,
    /// In the rows of the restored copy.
    Rows(Alteration),
    /// In the copy's files or settings.
    Copy(CopyFault),
    /// In the backup or the archive.
    Backup(Spoil),
    /// Another timeline in the archive, along which the copy recovers.
    Timeline,
    /// The disk fills while the log is replayed.
    FullDisk,
}

/// How backup or archive are spoilt.
pub(super) enum Spoil {
    FlipFile(String),
    TruncateFile(String),
    EditManifest,
    RemoveBackupLabel,
    RemoveSegment,
    FlipSegment,
    TruncateSegment,
}

impl Case {
    /// Whether the levels `seen_by` include what must see it; the sound copy must be seen by none.
    pub(super) fn is_seen(&self, seen_by: &[String]) -> bool {
        match &self.must {
            None => seen_by.is_empty(),
            Some(_) => seen_by.contains(&self.must()),
        }
    }

    pub(super) fn must(&self) -> String {
        match &self.must {
            None => "nothing".to_owned(),
            Some(Must::Level(level)) => level.name().to_owned(),
            Some(Must::CleanFailure) => CLEAN_FAILURE.to_owned(),
        }
    }
}

/// Every fault, the sound copy first.
pub(super) fn cases(source: &Source) -> Vec<Case> {
    let level = |name, level, fault| Case { name, fault, must: Some(Must::Level(level)) };
    let page = |file: &Path, number, how| Fault::Copy(CopyFault::Page { file: file.to_owned(), number, how });
    let backup = Fault::Backup;
    let heap_name = source.heap.display().to_string();
    vec![
        Case { name: "none: a sound copy", fault: Fault::None, must: None },
        level(
            "bit flipped in a file of the backup",
            Level::Manifest,
            backup(Spoil::FlipFile(heap_name.clone())),
        ),
        level("file of the backup truncated", Level::Manifest, backup(Spoil::TruncateFile(heap_name))),
        level("manifest edited", Level::Manifest, backup(Spoil::EditManifest)),
        level("backup_label missing", Level::Manifest, backup(Spoil::RemoveBackupLabel)),
        level("segment of the log missing", Level::RightPoint, backup(Spoil::RemoveSegment)),
        level("segment of the log damaged", Level::RightPoint, backup(Spoil::FlipSegment)),
        level("segment of the log truncated", Level::RightPoint, backup(Spoil::TruncateSegment)),
        level("another drill's timeline left in the archive", Level::RightPoint, Fault::Timeline),
        level("target one record late", Level::RightPoint, Fault::Copy(CopyFault::OneRecordLate)),
        level("restore_command that lies", Level::RightPoint, Fault::Copy(CopyFault::LyingRestoreCommand)),
        level("fewer connections than the primary", Level::Starts, Fault::Copy(CopyFault::FewConnections)),
        level("bit flipped in a table", Level::Physical, page(&source.heap, 1, PageFault::Flipped)),
        level("bit flipped in an index", Level::Physical, page(&source.index, 1, PageFault::Flipped)),
        level("bit flipped in TOAST", Level::Physical, page(&source.toast, 0, PageFault::Flipped)),
        level(
            "bit flipped in a table, checksum right",
            Level::Content,
            page(&source.heap, 1, PageFault::FlippedAndSealed),
        ),
        level(
            "bit flipped in an index, checksum right",
            Level::Physical,
            page(&source.index, 1, PageFault::FlippedAndSealed),
        ),
        level(
            "bit flipped in TOAST, checksum right",
            Level::Content,
            page(&source.toast, 0, PageFault::FlippedAndSealed),
        ),
        level("page of a table zeroed", Level::Content, page(&source.heap, 1, PageFault::Zeroed)),
        level("page of an index zeroed", Level::Physical, page(&source.index, 1, PageFault::Zeroed)),
        level("row deleted", Level::Content, Fault::Rows(Alteration::DeleteRow)),
        level("row changed", Level::Content, Fault::Rows(Alteration::UpdateRow)),
        level("row duplicated", Level::Logical, Fault::Rows(Alteration::DuplicateRow)),
        level("two users' rows swapped", Level::Content, Fault::Rows(Alteration::SwapUsers)),
        Case { name: "disk full in replay", fault: Fault::FullDisk, must: Some(Must::CleanFailure) },
    ]
}

impl Spoil {
    /// Spoils `store`, a copy.
    pub(super) fn apply(&self, store: &Store, prepared: &Prepared) -> anyhow::Result<()> {
        let base = store.base(&prepared.backup);
        let archive = store.archive();
        // One that the recovery needs: that of the point, which the backup does not bring along.
        let bytes = prepared.backup.wal_segment_bytes;
        let point = &prepared.marked.point;
        let segment = archive.join(Segment::ending_at(point.timeline, point.lsn, bytes).name(bytes));
        match self {
            Self::FlipFile(name) => fault::flip(&base.join(name))?,
            Self::TruncateFile(name) => fault::truncate(&base.join(name))?,
            Self::EditManifest => fault::edit(&base.join("backup_manifest"), "\"Size\": 3", "\"Size\": 4")?,
            Self::RemoveBackupLabel => remove(&base.join("backup_label"))?,
            Self::RemoveSegment => remove(&segment)?,
            // Within the restore point's own record.
            Self::FlipSegment => fault::flip_at(&segment, point.lsn.0 % bytes - 24)?,
            Self::TruncateSegment => fault::truncate(&segment)?,
        }
        Ok(())
    }
}

fn remove(path: &Path) -> anyhow::Result<()> {
    Ok(file("remove", path, fs::remove_file(path))?)
}
