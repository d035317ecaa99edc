//! What can be spoilt on purpose between a backup and its proof.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::barrier::Point;
use crate::pg::cluster::{ClusterError, Settings, file};
use crate::units::Lsn;
use page::{PAGE, Page};

mod page;

/// What is spoilt in a copy before its server is launched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// A page of one of its files.
    Page {
        /// From the data directory.
        file: PathBuf,
        /// Counted from 0.
        number: u32,
        how: PageFault,
    },
    /// It recovers to one record behind the point.
    OneRecordLate,
    /// It recovers along this timeline.
    Timeline(u32),
    /// It stops early, and archives once it is opened.
    Branch {
        /// Where it stops.
        at: Lsn,
        archive_command: String,
    },
    /// Its `restore_command` says that it brought a segment, and did not.
    LyingRestoreCommand,
    /// It may hold fewer connections than its primary.
    FewConnections,
}

/// How a page is spoilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageFault {
    /// One bit of its first row or entry flips.
    Flipped,
    /// The same, and the checksum is made right again: a fault from before the page was written.
    FlippedAndSealed,
    /// Nothing but zeros is left of it, which is a page that was never used.
    Zeroed,
}

impl Fault {
    /// Spoils the files of the copy in `data`.
    pub(super) fn spoil_files(&self, data: &Path) -> anyhow::Result<()> {
        if let Self::Page { file: name, number, how } = self {
            let path = data.join(name);
            file("spoil", &path, spoil_page(&path, *number, *how))?;
        }
        Ok(())
    }

    /// Settings that it adds to those of a sound copy.
    pub(super) fn settings(&self, point: &Point) -> Settings {
        let settings = match self {
            Self::Page { .. } => Vec::new(),
            Self::OneRecordLate => vec![
                ("recovery_target_name", String::new()),
                ("recovery_target_lsn", point.lsn.to_string()),
                ("recovery_target_inclusive", "on".to_owned()),
            ],
            Self::Timeline(timeline) => vec![("recovery_target_timeline", timeline.to_string())],
            Self::Branch { at, archive_command } => vec![
                ("recovery_target_name", String::new()),
                ("recovery_target_lsn", at.to_string()),
                ("recovery_target_inclusive", "off".to_owned()),
                ("archive_mode", "on".to_owned()),
                ("archive_command", archive_command.clone()),
            ],
            Self::LyingRestoreCommand => vec![("restore_command", "true".to_owned())],
            Self::FewConnections => vec![("max_connections", "10".to_owned())],
        };
        settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

fn spoil_page(path: &Path, number: u32, how: PageFault) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let at = u64::from(number) * PAGE as u64;
    let mut bytes = [0; PAGE];
    if how != PageFault::Zeroed {
        file.read_exact_at(&mut bytes, at)?;
        let mut page = Page(&mut bytes);
        let bit = page.first_item_end().ok_or_else(|| io::Error::other("the page holds nothing"))?;
        page.0[bit] ^= 1;
        if how == PageFault::FlippedAndSealed {
            page.seal(number);
        }
    }
    file.write_all_at(&bytes, at)
}

/// Cuts the second half off a file.
pub(super) fn truncate(path: &Path) -> Result<(), ClusterError> {
    let cut = || {
        let file = File::options().write(true).open(path)?;
        file.set_len(file.metadata()?.len() / 2)
    };
    file("truncate", path, cut())
}

/// Flips one bit in the middle of a file.
pub(super) fn flip(path: &Path) -> Result<(), ClusterError> {
    let length = file("read", path, fs::metadata(path))?.len();
    flip_at(path, length / 2)
}

/// Flips one bit of the byte `at`.
pub(super) fn flip_at(path: &Path, at: u64) -> Result<(), ClusterError> {
    let flip = || {
        let file = File::options().read(true).write(true).open(path)?;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at)?;
        file.write_all_at(&[byte[0] ^ 1], at)
    };
    file("spoil", path, flip())
}

/// Replaces the first `from` in a text file by `to`.
pub(super) fn edit(path: &Path, from: &str, to: &str) -> Result<(), ClusterError> {
    let text = file("read", path, fs::read_to_string(path))?;
    file("write", path, fs::write(path, text.replacen(from, to, 1)))
}
