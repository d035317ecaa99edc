//! A directory of backups: `backups.json` (the mark that it is ours, and what is in it), `base/<label>`, `wal/`, and
//! `verified.json` (see `seen`).

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::wal::Segment;
use crate::pg::cluster::{ClusterError, file, make_private_dir};
use crate::pg::{Programs, ServerVersion, leftovers};
use crate::run::Run;
use crate::units::{Bytes, Lsn};
use crate::verdict::{Interrupted, UsageError};

const FILE: &str = "backups.json";

/// One base backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backup {
    /// Its name: the moment it began, in UTC.
    pub label: String,
    /// Of the server it was taken from.
    pub system_identifier: String,
    /// Of the server it was taken from.
    pub server_version: ServerVersion,
    /// The timeline it was taken on.
    pub timeline: u32,
    /// Where a recovery from it begins.
    pub start_lsn: Lsn,
    /// Where it is consistent; the log up to here is in the backup itself.
    pub end_lsn: Lsn,
    /// Size of a segment of the log.
    pub wal_segment_bytes: u64,
    /// Its size.
    pub bytes: Bytes,
    /// How long it took.
    pub seconds: f64,
    /// Label of the backup that this one holds the changes since; `None` when it stands by itself.
    #[serde(default)]
    pub parent: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Mark {
    /// Always `omtdb`.
    made_by: String,
    backups: Vec<Backup>,
    /// Labels of backups whose files are on their way out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    removing: Vec<String>,
}

/// A marked directory, locked against other omtdbs.
pub struct Store {
    dir: PathBuf,
    programs: Programs,
    mark: Mark,
    _lock: File,
}

impl Store {
    /// Opens the store in `dir`.
    ///
    /// # Errors
    /// [`UsageError`] when there is none, or another omtdb works in it.
    pub fn open(dir: &Path, programs: &Programs) -> anyhow::Result<Self> {
        let dir = std::path::absolute(dir)?;
        let none = || UsageError(format!("there are no backups in {}", dir.display()));
        read(&dir)?.ok_or_else(none)?;
        Self::locked(dir, programs)
    }

    /// Opens the store in `dir`, making the directory when it is not there.
    ///
    /// # Errors
    /// [`UsageError`] when `dir` exists without our mark, or another omtdb works in it.
    pub fn make(dir: &Path, programs: &Programs) -> anyhow::Result<Self> {
        let dir = std::path::absolute(dir)?;
        if read(&dir)?.is_some() {
            return Self::locked(dir, programs);
        }
        make_private_dir(&dir, programs)?;
        write(&dir, &Mark::default())?;
        for part in ["base", "wal"] {
            make_private_dir(&dir.join(part), programs)?;
        }
        Self::locked(dir, programs)
    }

    /// Locks a directory that is known to be ours. Only then its list is read to be worked with: another omtdb may have
    /// changed it since.
    fn locked(dir: PathBuf, programs: &Programs) -> anyhow::Result<Self> {
        let lock = lock(&dir)?;
        let mark = read(&dir)?.with_context(|| format!("{} has gone meanwhile", dir.display()))?;
        Ok(Self { _lock: lock, dir, programs: programs.clone(), mark })
    }

    /// Its directory, absolute.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the archive is.
    #[must_use]
    pub fn archive(&self) -> PathBuf {
        self.dir.join("wal")
    }

    /// The data directory of `backup`.
    #[must_use]
    pub fn base(&self, backup: &Backup) -> PathBuf {
        self.dir.join("base").join(&backup.label)
    }

    /// Its backups, oldest first.
    #[must_use]
    pub fn backups(&self) -> &[Backup] {
        &self.mark.backups
    }

    /// An empty directory of the server user's for the backup `label`, which counts only once it is [`Store::add`]ed.
    /// Whatever an earlier run left half done goes.
    pub(super) fn begin(&mut self, label: &str) -> Result<PathBuf, ClusterError> {
        // That of a killed omtdb would go on making files in what is swept.
        leftovers::end_program("pg_basebackup", &self.dir.join("base"))?;
        self.sweep()?;
        let partial = self.dir.join("base").join(format!("{label}.partial"));
        make_private_dir(&partial, &self.programs)?;
        Ok(partial)
    }

    /// Removes what an earlier run left half made or half removed. Directories that the mark says nothing of are left alone.
    fn sweep(&mut self) -> Result<(), ClusterError> {
        let base = self.dir.join("base");
        for entry in file("list", &base, fs::read_dir(&base))? {
            let entry = file("list", &base, entry)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".partial") || self.mark.removing.contains(&name) {
                file("remove", &entry.path(), fs::remove_dir_all(entry.path()))?;
            }
        }
        if self.mark.removing.is_empty() {
            return Ok(());
        }
        self.mark.removing.clear();
        write(&self.dir, &self.mark)
    }

    /// Takes the backups with `labels` out of the store. The mark goes first: killed on the way, the store never lists a
    /// backup whose files are gone, and the next run finishes the work.
    pub(super) fn remove(&mut self, labels: &[String]) -> Result<(), ClusterError> {
        self.mark.backups.retain(|backup| !labels.contains(&backup.label));
        self.mark.removing.extend_from_slice(labels);
        write(&self.dir, &self.mark)?;
        self.sweep()
    }

    /// Makes the finished `partial` a backup.
    pub(super) fn add(&mut self, backup: Backup, partial: &Path) -> Result<(), ClusterError> {
        file("name", partial, fs::rename(partial, self.base(&backup)))?;
        self.mark.backups.push(backup);
        write(&self.dir, &self.mark)
    }

    /// The segments in the archive with their sizes in bytes.
    pub(crate) fn segments(&self, segment_bytes: u64) -> Result<Vec<(Segment, u64)>, ClusterError> {
        let archive = self.archive();
        let mut segments = Vec::new();
        for entry in file("list", &archive, fs::read_dir(&archive))? {
            let entry = file("list", &archive, entry)?;
            let name = entry.file_name();
            if let Some(segment) = name.to_str().and_then(|name| Segment::parse(name, segment_bytes)) {
                segments.push((segment, file("read", &entry.path(), entry.metadata())?.len()));
            }
        }
        segments.sort_unstable();
        Ok(segments)
    }

    /// Waits until `segment` is whole in the archive; returns false when `patience` is over first.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub async fn wait_for(
        &self,
        run: &Run,
        segment: Segment,
        segment_bytes: u64,
        patience: Duration,
    ) -> Result<bool, Interrupted> {
        let path = self.archive().join(segment.name(segment_bytes));
        let arrived = async {
            while fs::metadata(&path).map_or(0, |meta| meta.len()) != segment_bytes {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            arrived = tokio::time::timeout(patience, arrived) => Ok(arrived.is_ok()),
            () = run.interrupt.cancelled() => Err(Interrupted),
        }
    }
}

const LABEL: &str = "%Y%m%dT%H%M%S%3fZ";

/// The label of a backup that begins now.
pub(super) fn label_now() -> String {
    jiff::Timestamp::now().strftime(LABEL).to_string()
}

/// The moment a backup with this label began, to the second; `None` for another form of name.
pub(super) fn began(label: &str) -> Option<jiff::Timestamp> {
    let digits = |range: std::ops::Range<usize>| {
        label.get(range).filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    digits(15..18)?;
    let (date, time) = (digits(0..8)?, digits(9..15)?);
    let exact = label.len() == 19 && label.as_bytes()[8] == b'T' && label.ends_with('Z');
    let read = || jiff::Timestamp::strptime("%Y%m%dT%H%M%S%z", format!("{date}T{time}+0000")).ok();
    exact.then(read).flatten()
}

impl Default for Mark {
    fn default() -> Self {
        Self { made_by: "omtdb".to_owned(), backups: Vec::new(), removing: Vec::new() }
    }
}

/// The mark of `dir`; `None` when there is no such directory.
fn read(dir: &Path) -> anyhow::Result<Option<Mark>> {
    if !dir.exists() {
        return Ok(None);
    }
    let not_ours =
        || UsageError(format!("{} exists and holds no backups of omtdb; it is left alone", dir.display()));
    let text = match fs::read_to_string(dir.join(FILE)) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Err(not_ours().into());
        }
        text => file("read", &dir.join(FILE), text)?,
    };
    match serde_json::from_str::<Mark>(&text) {
        Ok(mark) if mark.made_by == "omtdb" => Ok(Some(mark)),
        _ => Err(not_ours().into()),
    }
}

/// Writes the mark so that a crash leaves the old or the new one.
fn write(dir: &Path, mark: &Mark) -> Result<(), ClusterError> {
    let write = || {
        let mut temporary = tempfile::NamedTempFile::new_in(dir)?;
        serde_json::to_writer_pretty(&mut temporary, mark)?;
        temporary.as_file().sync_all()?;
        temporary.persist(dir.join(FILE)).map(|_| ()).map_err(|error| error.error)
    };
    file("write", &dir.join(FILE), write())
}

fn lock(dir: &Path) -> anyhow::Result<File> {
    let path = dir.join(".lock");
    let lock = file("open", &path, File::options().create(true).truncate(false).write(true).open(&path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => {
            Err(UsageError(format!("another omtdb works in {}", dir.display())).into())
        }
        Err(fs::TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {}", path.display())),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::backup) const SIZE: u64 = 16 << 20;

    /// A backup on timeline 1 that lies in the first segments.
    pub(in crate::backup) fn backup(label: &str, parent: Option<&str>) -> Backup {
        Backup {
            label: label.to_owned(),
            system_identifier: "7".to_owned(),
            server_version: ServerVersion(150_000),
            timeline: 1,
            start_lsn: Lsn(0),
            end_lsn: Lsn(9),
            wal_segment_bytes: SIZE,
            bytes: Bytes(1),
            seconds: 1.0,
            parent: parent.map(str::to_owned),
        }
    }

    #[test]
    fn labels_say_when_they_began() {
        let label = label_now();
        let apart = jiff::Timestamp::now().as_second() - began(&label).unwrap().as_second();
        assert!((0..=1).contains(&apart), "{label}: {apart}");
        assert_eq!(began("20260102T030405678Z").unwrap().to_string(), "2026-01-02T03:04:05Z");
        for other in
            ["lost+found", "20260102T030405678Z.partial", "20260102T0304056789", "20261302T030405678Z"]
        {
            assert_eq!(began(other), None, "{other}");
        }
    }
}
