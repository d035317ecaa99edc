//! Base backups with a continuous write-ahead-log archive.
//!
//! A store ([`Store`]) holds base backups and the archive that rolls them forward. On a scratch cluster of ours
//! [`create`] turns continuous archiving on. A server that is not ours keeps its own settings: its backup carries the
//! log it needs to be consistent, and [`Created::archiving`] says whether the server feeds the archive, and the
//! settings that would make it. [`Repo`] is a store or a stanza of pgBackRest ([`PgBackRest`]), where it does not matter
//! which.

mod archive;
mod base;
mod chain;
mod expire;
mod history;
mod inspect;
mod page;
mod pgbackrest;
mod receive;
mod records;
mod repo;
mod seen;
mod server;
mod store;
mod verify;
pub mod wal;

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

pub use archive::{Archive, Broken, Fault, Records};
pub use base::{Durability, take};
pub use chain::{chain, materialize};
pub use expire::{Expiry, Keep, expire, plan};
pub use pgbackrest::PgBackRest;
pub use receive::receive;
pub use repo::Repo;
pub use server::Server;
pub use store::{Backup, Store};
pub use verify::{Checked, Look, Verification, check, verify};

use base::Taking;
use server::check_incremental;

use crate::pg::cluster::Settings;
use crate::pg::{Cluster, Programs, Session, Target};
use crate::run::Run;
use crate::verdict::UsageError;
use wal::Segment;

/// How long a segment may take from the server to the archive.
pub const ARCHIVE_PATIENCE: Duration = Duration::from_secs(60);

/// What [`create`] made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Created {
    /// The base backup.
    pub backup: Backup,
    /// Whether the log after it reaches the archive.
    pub archiving: Archiving,
}

/// Whether the log reaches the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Archiving {
    /// It does, segment by segment.
    Continuous,
    /// It does not; the server would need these settings, and a restart where `archive_mode` changes.
    NotFed {
        /// Name to value.
        settings: Settings,
    },
}

/// How much a backup copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Everything.
    Full,
    /// What has changed since the newest backup; PostgreSQL 17 and later.
    Incremental,
}

/// Takes a base backup of `target` into the store in `dir`, which is made if it is not there. `cluster` is the server
/// where it is one of ours; what a backup needs of its settings (continuous archiving, summaries of the log) is then
/// turned on, which restarts it once.
///
/// # Errors
/// [`UsageError`] for a foreign directory, another server's backups, a role that may not, or an incremental backup with
/// nothing to build on; what the programs say.
pub async fn create(
    run: &Run,
    target: &Target,
    programs: &Programs,
    cluster: Option<&Cluster>,
    dir: &Path,
    kind: Kind,
) -> anyhow::Result<Created> {
    let session = Session::connect(target, "backup").await?;
    let mut server = Server::ask(&session).await?;
    server.check_backup(&session, programs)?;
    if kind == Kind::Incremental {
        check_incremental(session.version(), server.summarizes, cluster.is_some())?;
    }
    session.close().await;
    let mut store = match kind {
        Kind::Full => Store::make(dir, programs)?,
        Kind::Incremental => Store::open(dir, programs)?,
    };
    check_same_server(&store, &server)?;
    let parent = match kind {
        Kind::Full => None,
        Kind::Incremental => Some(to_build_on(&store)?),
    };
    let lacking = lacking_settings(&server, &store);
    if let Some(cluster) = cluster
        && !lacking.is_empty()
    {
        let _task = run.task("turn archiving on", None, "restarts");
        cluster.restart_with(&lacking).context("turn archiving on")?;
        let session = Session::connect(target, "backup").await?;
        server = Server::ask(&session).await?;
        session.close().await;
    }
    let durability = Durability::Flushed;
    let taking = Taking { run, target, programs, server: &server, durability, parent: parent.as_ref() };
    let backup = taking.take_into(&mut store).await?;
    if !feeds(&server, &store) {
        return Ok(Created { backup, archiving: Archiving::NotFed { settings: archive_settings(&store) } });
    }
    // A backup ends its segment: once that is there, the archive is known to work.
    let last = Segment::ending_at(backup.timeline, backup.end_lsn, server.wal_segment_bytes);
    if !store.wait_for(run, last, server.wal_segment_bytes, ARCHIVE_PATIENCE).await? {
        anyhow::bail!(
            "the server's archive_command has not brought segment {} into {} within {} s\n  help: its log says why",
            last.name(server.wal_segment_bytes),
            store.archive().display(),
            ARCHIVE_PATIENCE.as_secs()
        );
    }
    Ok(Created { backup, archiving: Archiving::Continuous })
}

/// The newest backup, with all that it builds on.
fn to_build_on(store: &Store) -> Result<Backup, UsageError> {
    let newest = store.backups().last().ok_or_else(|| {
        UsageError(format!(
            "{} holds no backup yet that another could build on\n  help: take a full one first: leave --incremental out",
            store.dir().display()
        ))
    })?;
    chain(store.backups(), newest)?;
    Ok(newest.clone())
}

/// What a scratch cluster's server has to be told before its backup. The summaries are for incremental backups to come.
fn lacking_settings(server: &Server, store: &Store) -> Settings {
    let mut lacking = if feeds(server, store) { Settings::new() } else { archive_settings(store) };
    if server.summarizes == Some(false) {
        lacking.insert("summarize_wal".to_owned(), "on".to_owned());
    }
    lacking
}

/// The settings with which a server feeds the archive of `store`.
#[must_use]
pub fn archive_settings(store: &Store) -> Settings {
    [("archive_mode", "on".to_owned()), ("archive_command", wal::archive_command(&store.archive()))]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Whether `server` says that it archives into `store`; a command of the operator's own need only name the directory.
#[must_use]
pub fn feeds(server: &Server, store: &Store) -> bool {
    let archive = store.archive().display().to_string();
    server.archive_mode != "off"
        && server.archive_command.as_ref().is_some_and(|command| command.contains(&archive))
}

/// Refuses to mix the segments of two servers, which may have the same names.
pub(crate) fn check_same_server(store: &Store, server: &Server) -> Result<(), UsageError> {
    repo::check_same_server(&store.dir().display().to_string(), store.backups(), &server.system_identifier)
}
