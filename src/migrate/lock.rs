//! One migrator a database at a time: an advisory lock on a session of its own.
//!
//! The lock is polled. A session that *waits* in `pg_advisory_lock` keeps a snapshot, for which `CREATE INDEX
//! CONCURRENTLY` of the lock's holder waits in turn: a deadlock. Between polls this session is idle and in no
//! transaction. Closing the session releases the lock, however the program ends.

use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::SimpleQueryMessage;

use super::hands::{KEPT_ALIVE, NO_TRANSACTION_LIMIT};
use crate::pg::error::Result;
use crate::pg::{Session, Target};
use crate::run::Run;

/// The lock's key: `omtdb_mg` in ASCII. Advisory locks belong to a database, so one key serves all.
pub const KEY: i64 = i64::from_be_bytes(*b"omtdb_mg");

pub(super) const LOCK: &str = include_str!("lock.sql");
pub(super) const HOLDER: &str = include_str!("lock_holder.sql");
const POLL: Duration = Duration::from_millis(200);
/// For how long a pooler may think about a second session.
const PROBE: Duration = Duration::from_secs(15);

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
        refuse_pooler(target, &session).await?;
        // The session is idle on purpose, for as long as the migrations take.
        session.batch_execute(KEPT_ALIVE).await?;
        session.batch_execute("SET search_path = pg_catalog, pg_temp; SET lock_timeout = 0").await?;
        if session.version().major() >= 17 {
            session.batch_execute(NO_TRANSACTION_LIMIT).await?;
        }
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

    /// The session that holds the lock: idle but for looks and notes, never in a transaction.
    pub(super) fn session(&self) -> &Session {
        &self.session
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

/// Refuses a way to the server on which a session is not always the same process. There, a lock of the session would stay
/// with whatever process it was taken by, for ever; so this is asked before it is taken.
async fn refuse_pooler(target: &Target, lock: &Session) -> anyhow::Result<()> {
    let other = Session::connect(target, "migrate").await?;
    let asked = tokio::time::timeout(PROBE, steady(lock, &other)).await;
    other.close().await;
    // A pool with a single server session has none left for the second question.
    let steady = asked.unwrap_or(Ok(false))?;
    anyhow::ensure!(
        steady,
        "there is a pooler between omtdb and the server that gives each transaction another session (PgBouncer's transaction mode)\n  \
         help: a lock would be left behind in its pool; connect to the server itself, or to a pool in session mode"
    );
    Ok(())
}

/// Whether each session keeps its process while the other one begins and ends transactions. A pool that hands out the
/// session last given back shows itself when the other one has given back its own; one that goes round shows itself when
/// one session asks twice.
async fn steady(one: &Session, other: &Session) -> Result<bool> {
    let (first, second) = (pid(one).await?, pid(other).await?);
    for _ in 0..2 {
        one.batch_execute("BEGIN").await?;
        let kept = pid(other).await? == second && pid(one).await? == first;
        other.batch_execute("BEGIN").await?;
        one.batch_execute("COMMIT").await?;
        let back = pid(one).await? == first && pid(other).await? == second;
        other.batch_execute("COMMIT").await?;
        if !(kept && back && pid(other).await? == second) {
            return Ok(false);
        }
    }
    Ok(first != second)
}

/// By the simple protocol, which needs no prepared statement.
async fn pid(session: &Session) -> Result<String> {
    let messages = session.simple_query("SELECT pg_catalog.pg_backend_pid()").await?;
    let pid = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    Ok(pid.unwrap_or_default())
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
