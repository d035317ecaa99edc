//! One migrator a database at a time: an advisory lock on a session of its own.
//!
//! The lock is polled. A session that *waits* in `pg_advisory_lock` keeps a snapshot, for which `CREATE INDEX
//! CONCURRENTLY` of the lock's holder waits in turn: a deadlock. Between polls this session is idle and in no
//! transaction. Closing the session releases the lock, however the program ends.

use std::time::Duration;

use tokio::time::Instant;

use crate::pg::error::Result;
use crate::pg::{Session, Target};
use crate::run::Run;

/// The lock's key: `omtdb_mg` in ASCII. Advisory locks belong to a database, so one key serves all.
pub const KEY: i64 = i64::from_be_bytes(*b"omtdb_mg");

const LOCK: &str = include_str!("lock.sql");
const HOLDER: &str = include_str!("lock_holder.sql");
const POLL: Duration = Duration::from_millis(200);

/// Somebody else went on applying migrations for longer than was to be waited.
#[derive(Debug, thiserror::Error)]
#[error(
    "another omtdb applies migrations to this database: {holder}\n  help: waited {waited_s:.0} s; wait longer with --wait, or end that session if it is stuck"
)]
pub struct Busy {
    /// Who holds the lock.
    pub holder: String,
    /// How long was waited, in seconds.
    pub waited_s: f64,
}

/// The lock, held; dropping it releases it.
pub(super) struct Lock {
    session: Session,
    pid: i32,
}

impl Lock {
    /// Takes the lock of `target`'s database, waiting at most `wait` for whoever holds it.
    pub(super) async fn take(target: &Target, wait: Duration, run: &Run) -> anyhow::Result<Self> {
        let session = Session::connect(target, "migrate-lock").await?;
        // The session is idle on purpose, for as long as the migrations take.
        session.batch_execute("SET idle_session_timeout = 0").await?;
        let since = Instant::now();
        let mut told = None;
        while !taken(&session).await? {
            let holder = holder(&session).await?;
            if since.elapsed() >= wait {
                let holder = holder.unwrap_or_else(|| "it has just ended".to_owned());
                return Err(Busy { holder, waited_s: since.elapsed().as_secs_f64() }.into());
            }
            if let Some(who) = holder.as_ref().filter(|_| holder != told) {
                run.note(format!("waiting for another omtdb that applies migrations: {who}"));
                told = holder;
            }
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = run.interrupt.cancelled() => run.check()?,
            }
        }
        let pid = session.query_one("SELECT pg_catalog.pg_backend_pid()", &[]).await?.try_get(0)?;
        Ok(Self { session, pid })
    }

    /// Makes sure that the lock is still held: the connection may be gone, or a pooler may have put another server
    /// session behind it.
    pub(super) async fn check(&self) -> anyhow::Result<()> {
        let held = match self.session.query_opt(HOLDER, &[&KEY]).await {
            Ok(Some(row)) => row.try_get::<_, i32>("pid")? == self.pid,
            Ok(None) | Err(_) => false,
        };
        anyhow::ensure!(
            held,
            "the session that keeps other migrators out is gone; no further migration was begun\n  \
             help: run the command again; it continues where this one stopped. Behind a pooler, connect to the server itself"
        );
        Ok(())
    }

    /// Releases the lock and waits until it is released.
    pub(super) async fn release(self) {
        self.session.close().await;
    }
}

async fn taken(session: &Session) -> Result<bool> {
    Ok(session.query_one(LOCK, &[&KEY]).await?.try_get("taken")?)
}

async fn holder(session: &Session) -> Result<Option<String>> {
    let Some(row) = session.query_opt(HOLDER, &[&KEY]).await? else { return Ok(None) };
    let (pid, application): (i32, Option<String>) = (row.try_get("pid")?, row.try_get("application_name")?);
    let host: Option<String> = row.try_get("host")?;
    Ok(Some(format!(
        "pid {pid} ({}) from {}",
        application.as_deref().unwrap_or("no application name"),
        host.as_deref().unwrap_or("this machine")
    )))
}
