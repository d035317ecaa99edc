//! A continuous archive of a server that does not feed it by itself: `pg_receivewal`, in the foreground.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use super::server::Server;
use super::store::Store;
use crate::pg::error::Doing as _;
use crate::pg::{Programs, Session, Target, leftovers, tools};
use crate::run::Run;
use crate::verdict::{Interrupted, UsageError};

const FIND_SLOT: &str = "SELECT FROM pg_catalog.pg_replication_slots WHERE slot_name = $1";
const FREE_SLOT: &str = "SELECT FROM pg_catalog.pg_replication_slots WHERE slot_name = $1 AND NOT active";
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// How often to look whether the slot is free: ten seconds long.
const RELEASES: u32 = 100;
const MAKE_SLOT: &str = "SELECT FROM pg_catalog.pg_create_physical_replication_slot($1, true)";

/// Receives the log of `target` into the archive of the store in `dir`, made if it is not there, until the run is interrupted;
/// goes on where an earlier one stopped. `slot` keeps the server from removing what was not received, also while nobody
/// receives: it is made if it is not there, and stays.
///
/// # Errors
/// Another server's directory; a segment begun there that is damaged; what the programs say. The end by an interrupt is none.
pub async fn receive(
    run: &Run,
    target: &Target,
    programs: &Programs,
    dir: &Path,
    slot: Option<&str>,
) -> anyhow::Result<()> {
    let session = Session::connect(target, "backup").await?;
    let server = Server::ask(&session).await?;
    server.check_backup(&session, programs)?;
    // Locked only for a look: backups are taken and verified meanwhile.
    let archive = {
        let store = Store::make(dir, programs)?;
        super::check_same_server(&store, &server)?;
        store.archive()
    };
    let _alone = alone(dir)?;
    leftovers::end_program("pg_receivewal", &archive)?;
    remove_half_made(&archive, server.wal_segment_bytes)?;
    if let Some(slot) = slot {
        make_slot(&session, slot).await?;
    }
    session.close().await;
    let mut command = tools::command(programs, "pg_receivewal", target);
    command.arg("--directory").arg(&archive).args(["--no-password", "--synchronous"]);
    command.args(slot.iter().flat_map(|slot| ["--slot", slot]));
    let task = run.task("receive the log", None, "segments");
    let received = tools::run(run, command, |line| {
        // It says nothing as long as all is well, and tries again for ever when it is not.
        tracing::warn!("{line}");
        true
    });
    tokio::select! {
        received = received => match received {
            Err(error) if error.is::<Interrupted>() => Ok(()),
            received => received.context("receive the write-ahead log"),
        },
        counted = count(&archive, &task) => counted,
    }
}

/// Excludes other receivers from `dir`, so that one that is there all the same is a killed one's.
fn alone(dir: &Path) -> anyhow::Result<File> {
    let path = dir.join(".receive.lock");
    let lock = File::options().create(true).truncate(false).write(true).open(&path);
    let lock = lock.with_context(|| format!("open {}", path.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => {
            Err(UsageError(format!("another omtdb receives into {}", dir.display())).into())
        }
        Err(fs::TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {}", path.display())),
    }
}

/// Removes the segments that a killed `pg_receivewal` was still making in `archive`. It fills a new file with zeros before it
/// writes into it, and one that is neither empty nor whole it refuses again and again (`open_walfile` in receivelog.c).
fn remove_half_made(archive: &Path, segment_bytes: u64) -> anyhow::Result<()> {
    for entry in fs::read_dir(archive).with_context(|| format!("list {}", archive.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "partial") {
            remove_if_half_made(&path, segment_bytes)?;
        }
    }
    Ok(())
}

fn remove_if_half_made(path: &Path, segment_bytes: u64) -> anyhow::Result<()> {
    let looking = || format!("look at {}", path.display());
    let bytes = fs::metadata(path).with_context(looking)?.len();
    if [0, segment_bytes].contains(&bytes) {
        return Ok(());
    }
    if !is_blank(path).with_context(looking)? {
        return Err(UsageError(format!(
            "{} is damaged: it has {bytes} bytes, a segment has {segment_bytes}\n  help: move it out of the archive; what \
             it held is received again if the server still has it",
            path.display()
        ))
        .into());
    }
    tracing::info!("{} was still being made, and goes", path.display());
    fs::remove_file(path).with_context(|| format!("remove {}", path.display()))
}

/// Whether a file holds nothing but zeros.
fn is_blank(path: &Path) -> io::Result<bool> {
    let mut file = BufReader::new(File::open(path)?);
    loop {
        let bytes = file.fill_buf()?;
        match (bytes.len(), bytes.iter().all(|byte| *byte == 0)) {
            (0, _) => return Ok(true),
            (_, false) => return Ok(false),
            (count, true) => file.consume(count),
        }
    }
}

async fn make_slot(session: &Session, slot: &str) -> anyhow::Result<()> {
    let doing = || format!("make the replication slot {slot}");
    if session.query_opt(FIND_SLOT, &[&slot]).await.doing(doing)?.is_none() {
        session.execute(MAKE_SLOT, &[&slot]).await.doing(doing)?;
    }
    // That of a receiver that was just ended may be in use for a moment yet.
    for _ in 0..RELEASES {
        if session.query_opt(FREE_SLOT, &[&slot]).await.doing(doing)?.is_some() {
            return Ok(());
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    Err(UsageError(format!(
        "somebody else receives through the replication slot {slot}\n  help: name another with --slot"
    ))
    .into())
}

/// Reports whole segments as they arrive; never ends by itself.
async fn count(archive: &Path, task: &crate::run::Task) -> anyhow::Result<()> {
    let whole = || -> std::io::Result<u64> {
        let names = fs::read_dir(archive)?.flatten().map(|entry| entry.file_name());
        Ok(names.filter(|name| name.len() == 24).count() as u64)
    };
    let mut seen = whole()?;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = whole()?;
        task.advance(now.saturating_sub(seen));
        seen = now;
    }
}
