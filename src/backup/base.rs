//! Base backups by `pg_basebackup`.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use serde::Deserialize;

use super::server::Server;
use super::store::{Backup, Store, label_now};
use crate::pg::{Programs, ProgramsError, Target, tools};
use crate::run::Run;
use crate::units::{Bytes, Lsn};

/// Whether the backup is flushed to disk before it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It must survive a crash of the machine.
    Flushed,
    /// It does not outlive the command.
    Transient,
}

/// Takes a base backup of `target` into `store`, with the log it needs to be consistent.
///
/// # Errors
/// What `pg_basebackup` says; [`crate::verdict::Interrupted`].
pub async fn take(
    run: &Run,
    target: &Target,
    programs: &Programs,
    server: &Server,
    store: &mut Store,
    durability: Durability,
) -> anyhow::Result<Backup> {
    Taking { run, target, programs, server, durability, parent: None }.take_into(store).await
}

/// A backup to be taken.
pub(super) struct Taking<'a> {
    pub(super) run: &'a Run,
    pub(super) target: &'a Target,
    pub(super) programs: &'a Programs,
    pub(super) server: &'a Server,
    pub(super) durability: Durability,
    /// The backup since which only the changes are copied; `None` copies everything.
    pub(super) parent: Option<&'a Backup>,
}

impl Taking<'_> {
    /// Takes it into `store`; whatever goes wrong, nothing of it stays there.
    pub(super) async fn take_into(&self, store: &mut Store) -> anyhow::Result<Backup> {
        let began = Instant::now();
        let label = label_now();
        let partial = store.begin(&label)?;
        let manifest_of_parent = self.parent.map(|parent| store.base(parent).join(MANIFEST));
        if let Err(error) = self.copy(&partial, manifest_of_parent.as_deref()).await {
            fs::remove_dir_all(&partial)
                .with_context(|| format!("remove the half-made {}", partial.display()))?;
            return Err(error);
        }
        let manifest = Manifest::read(&partial)?;
        let range = manifest.wal_ranges.last().context("the backup's manifest names no range of the log")?;
        let backup = Backup {
            label,
            system_identifier: self.server.system_identifier.clone(),
            // The same major version as the server's, as checked before; the minor one matters to nobody.
            server_version: self.programs.version(),
            timeline: range.timeline,
            start_lsn: range.start,
            end_lsn: range.end,
            wal_segment_bytes: self.server.wal_segment_bytes,
            bytes: Bytes(manifest.files.iter().map(|file| file.size).sum()),
            seconds: began.elapsed().as_secs_f64(),
            parent: self.parent.map(|parent| parent.label.clone()),
        };
        store.add(backup.clone(), &partial)?;
        Ok(backup)
    }

    async fn copy(&self, into: &Path, manifest_of_parent: Option<&Path>) -> anyhow::Result<()> {
        let mut command = tools::command(self.programs, "pg_basebackup", self.target);
        command.arg("--pgdata").arg(into).args([
            "--format=plain",
            // The log up to consistency comes along: the backup stands by itself, whatever becomes of the archive.
            "--wal-method=stream",
            "--checkpoint=fast",
            "--manifest-checksums=SHA256",
            "--progress",
            "--no-password",
        ]);
        if self.durability == Durability::Transient {
            command.arg("--no-sync");
        }
        if let Some(manifest) = manifest_of_parent {
            command.arg("--incremental").arg(manifest);
        }
        let task = self.run.task("base backup", Some(self.server.data_bytes / 1024), "KiB");
        let mut done = 0;
        let copied = tools::run(self.run, command, |line| {
            let now = kib_done(line);
            task.advance(now.unwrap_or(done).saturating_sub(done));
            done = now.unwrap_or(done);
            now.is_some()
        });
        copied.await.map_err(with_remedy).context("take a base backup")
    }
}

/// What the server summarized begins when `summarize_wal` was turned on: an older backup cannot be built on.
fn with_remedy(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<ProgramsError>() {
        Some(ProgramsError::Failed { said, .. }) if said.contains("WAL summar") => error.context(
            "the server's summaries of its log do not reach back to the newest backup\n  help: take a full one \
             (without --incremental) now that summarize_wal is on",
        ),
        _ => error,
    }
}

/// What the server says about the files of a backup; the last one that it sends.
pub(super) const MANIFEST: &str = "backup_manifest";

/// Reads `  12345/67890 kB (18%), 0/1 tablespace`.
fn kib_done(line: &str) -> Option<u64> {
    let (done, rest) = line.trim_start().split_once('/')?;
    rest.contains(" kB (").then(|| done.parse().ok())?
}

/// What `backup_manifest` says about the whole backup.
#[derive(Deserialize)]
struct Manifest {
    #[serde(rename = "Files")]
    files: Vec<ManifestFile>,
    #[serde(rename = "WAL-Ranges")]
    wal_ranges: Vec<WalRange>,
}

#[derive(Deserialize)]
struct ManifestFile {
    #[serde(rename = "Size")]
    size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WalRange {
    timeline: u32,
    #[serde(rename = "Start-LSN")]
    start: Lsn,
    #[serde(rename = "End-LSN")]
    end: Lsn,
}

impl Manifest {
    fn read(base: &Path) -> anyhow::Result<Self> {
        let path = base.join(MANIFEST);
        let text = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("understand {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_from_messages() {
        assert_eq!(kib_done("   23/39140 kB (0%), 0/1 tablespace"), Some(23));
        assert_eq!(kib_done("39140/39140 kB (100%), 1/1 tablespace"), Some(39140));
        assert_eq!(kib_done("pg_basebackup: error: connection to server at \"a/b\" failed"), None);
    }

    #[test]
    fn a_manifest_is_understood() {
        let text = r#"{"PostgreSQL-Backup-Manifest-Version": 1, "Files": [{"Path": "a", "Size": 3}, {"Path": "b", "Size": 4}],
            "WAL-Ranges": [{"Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000100"}], "Manifest-Checksum": "x"}"#;
        let manifest: Manifest = serde_json::from_str(text).unwrap();
        assert_eq!(manifest.files.iter().map(|file| file.size).sum::<u64>(), 7);
        assert_eq!(manifest.wal_ranges[0].end, Lsn(0x200_0100));
    }
}
