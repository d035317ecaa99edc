//! Base backups by `pg_basebackup`.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use serde::Deserialize;

use super::server::Server;
use super::store::{Backup, Store};
use crate::pg::{Programs, Target, tools};
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
    let began = Instant::now();
    let label = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%3fZ").to_string();
    let partial = store.begin(&label)?;
    let taken = copy(run, target, programs, server, &partial, durability).await;
    if let Err(error) = taken {
        fs::remove_dir_all(&partial)
            .with_context(|| format!("remove the half-made {}", partial.display()))?;
        return Err(error);
    }
    let manifest = Manifest::read(&partial)?;
    let range = manifest.wal_ranges.last().context("the backup's manifest names no range of the log")?;
    let backup = Backup {
        label,
        system_identifier: server.system_identifier.clone(),
        // The same major version as the server's, as checked before; the minor one matters to nobody.
        server_version: programs.version(),
        timeline: range.timeline,
        start_lsn: range.start,
        end_lsn: range.end,
        wal_segment_bytes: server.wal_segment_bytes,
        bytes: Bytes(manifest.files.iter().map(|file| file.size).sum()),
        seconds: began.elapsed().as_secs_f64(),
    };
    store.add(backup.clone(), &partial)?;
    Ok(backup)
}

async fn copy(
    run: &Run,
    target: &Target,
    programs: &Programs,
    server: &Server,
    into: &Path,
    durability: Durability,
) -> anyhow::Result<()> {
    let mut command = tools::command(programs, "pg_basebackup", target);
    command.arg("--pgdata").arg(into).args([
        "--format=plain",
        // The log up to consistency comes along: the backup stands by itself, whatever becomes of the archive.
        "--wal-method=stream",
        "--checkpoint=fast",
        "--manifest-checksums=SHA256",
        "--progress",
        "--no-password",
    ]);
    if durability == Durability::Transient {
        command.arg("--no-sync");
    }
    let task = run.task("base backup", Some(server.data_bytes / 1024), "KiB");
    let mut done = 0;
    tools::run(run, command, |line| {
        let now = kib_done(line);
        task.advance(now.unwrap_or(done).saturating_sub(done));
        done = now.unwrap_or(done);
        now.is_some()
    })
    .await
    .context("take a base backup")
}

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
        let path = base.join("backup_manifest");
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
