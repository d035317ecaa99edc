//! The exact point: a restore point and a snapshot that describe the same state.
//!
//! A snapshot and the log's current position do not: a commit record can stand in the log while its transaction is still
//! invisible. While every table is locked against writing, no writer is in between: locks are released after a commit
//! has become visible. The drill's own transaction, the restore point, the snapshot and the moment are all taken under the
//! lock, which is then released; whatever reads the state goes on from the snapshot.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio_postgres::Row;

use super::fingerprint::State;
use super::patient;
use super::relation::Relation;
use super::sentinel::Sentinels;
use crate::pg::error::{Doing as _, PgError};
use crate::pg::{Session, Target};
use crate::run::Run;
use crate::units::Lsn;
use crate::verdict::Interrupted;

/// More than a second: autovacuum gives way only after `deadlock_timeout`, one second by default. For all locks together: each
/// has to be waited for in turn, while writers wait for those that were granted.
const TRY: &str = "1500ms";
/// What is done under the locks takes milliseconds; whatever keeps it from that must not keep the writers.
const MOST_HELD: Duration = Duration::from_secs(5);
const BETWEEN_TRIES: Duration = Duration::from_millis(300);

/// A point in the log, by each name that a recovery can be given for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) name: String,
    /// Behind the restore point's record.
    pub(super) lsn: Lsn,
    /// Of the drill's own transaction, the last before the restore point.
    pub(super) xid: u64,
    /// Later than every commit before the point, earlier than any after it.
    pub(super) time: Timestamp,
    /// Behind the segment that was ended at the point; the point itself where none was.
    pub(super) end: Lsn,
    pub(super) timeline: u32,
    /// How long writers were kept waiting at most, in all tries.
    pub(super) held: Duration,
    /// How often the locks were asked for.
    pub(super) tries: u32,
}

/// A point, and the state of the database at it.
pub(super) struct Marked {
    pub(super) point: Point,
    /// The tables at the point.
    pub(super) relations: Vec<Relation>,
    /// The snapshot; good while `holder` lives.
    pub(super) state: State,
    /// Holds the snapshot, and a lock against truncation, which no snapshot sees through.
    pub(super) holder: Session,
}

/// How writers are kept out for a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LockBy {
    /// By `LOCK TABLE`, which needs the right to change the tables.
    Statement,
    /// By the function that `drill grants` makes, which has that right and lends it for nothing else.
    Function,
}

/// The point to make.
pub(super) struct Wanted<'a> {
    pub(super) name: &'a str,
    pub(super) relations: &'a [Relation],
    pub(super) lock_by: LockBy,
    /// Ends the segment at the point, so that the archive can end there.
    pub(super) end_segment: bool,
    pub(super) patience: Duration,
}

/// Makes the point; `None` when the locks were not granted within the patience.
///
/// # Errors
/// What the server says; [`Interrupted`].
pub(super) async fn reach(
    run: &Run,
    target: &Target,
    wanted: &Wanted<'_>,
    sentinels: &mut Sentinels,
) -> anyhow::Result<Option<Marked>> {
    let task = run.task("wait for the barrier", None, "tries");
    let (began, mut waited) = (Instant::now(), Duration::ZERO);
    for tries in 1.. {
        run.check()?;
        let asked = Instant::now();
        let tried = attempt(run, target, wanted, sentinels).await?;
        waited += asked.elapsed();
        if let Some(mut marked) = tried {
            (marked.point.held, marked.point.tries) = (waited, tries);
            return Ok(Some(marked));
        }
        task.advance(1);
        if began.elapsed() >= wanted.patience {
            return Ok(None);
        }
        tokio::select! {
            () = tokio::time::sleep(BETWEEN_TRIES) => {}
            () = run.interrupt.cancelled() => return Err(Interrupted.into()),
        }
    }
    Ok(None)
}

/// One try; `None` when a lock was not granted in time, or a table came or went meanwhile. Whatever way it ends, the session
/// that keeps writers out ends with it.
async fn attempt(
    run: &Run,
    target: &Target,
    wanted: &Wanted<'_>,
    sentinels: &mut Sentinels,
) -> anyhow::Result<Option<Marked>> {
    let state = State { target: target.clone(), snapshot: None };
    // Before the writers are kept out: nothing may have to be waited for then. Locking takes no snapshot yet.
    let holder = state.open().await?;
    let writers = patient::connect(target).await?;
    let hold = format!(
        "SET statement_timeout = '{TRY}'; LOCK TABLE {} IN ACCESS SHARE MODE",
        roots(wanted.relations)
    );
    let locked = async {
        holder.batch_execute(&hold).await.doing(|| "keep the tables from being truncated".to_owned())?;
        holder
            .batch_execute("SET statement_timeout = 0")
            .await
            .doing(|| "prepare the snapshot".to_owned())?;
        lock(&writers, wanted).await
    };
    match locked.await {
        Ok(()) => {}
        Err(error) if error.is_cancelled() || error.is_lock_timeout() || error.is_retryable() => {
            tracing::info!("the barrier was not obtained: {error}");
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    }
    let relations = Relation::all(&writers).await?;
    if labels(&relations) != labels(wanted.relations) {
        anyhow::bail!(
            "tables of the plan's schemas came or went while the backup was taken\n  help: run again"
        );
    }
    tokio::select! {
        marked = tokio::time::timeout(MOST_HELD, mark(&writers, &holder, wanted, sentinels)) => match marked {
            Ok(marked) => {
                let (point, snapshot) = marked?;
                writers.close().await;
                Ok(Some(Marked { point, relations, state: State { snapshot: Some(snapshot), ..state }, holder }))
            }
            Err(_) => anyhow::bail!("the restore point took more than {} s; writers go on", MOST_HELD.as_secs()),
        },
        () = run.interrupt.cancelled() => Err(Interrupted.into()),
    }
}

fn labels(relations: &[Relation]) -> BTreeSet<String> {
    relations.iter().map(Relation::label).collect()
}

/// Locks every table against writers; a lock on a parent takes its leaves along. Should omtdb be gone, the server lets go soon.
async fn lock(session: &Session, wanted: &Wanted<'_>) -> Result<(), PgError> {
    let lock = match wanted.lock_by {
        LockBy::Statement => format!("LOCK TABLE {} IN SHARE MODE", roots(wanted.relations)),
        LockBy::Function => "SELECT omtdb.drill_lock()".to_owned(),
    };
    let limits = format!("SET idle_in_transaction_session_timeout = '10s'; SET statement_timeout = '{TRY}'");
    // The limit is for the wait; how long the locks are held is limited by who holds them.
    let sql = format!("{limits}; BEGIN; {lock}; SET LOCAL statement_timeout = 0");
    session.batch_execute(&sql).await.doing(|| "lock the tables against writing".to_owned())
}

fn roots(relations: &[Relation]) -> String {
    let roots: Vec<String> = relations.iter().filter(|r| r.is_root).map(Relation::quoted).collect();
    roots.join(", ")
}

/// With the tables locked by `writers`: the last transaction, the restore point, the snapshot, the moment, and the end of
/// the lock.
async fn mark(
    writers: &Session,
    holder: &Session,
    wanted: &Wanted<'_>,
    sentinels: &mut Sentinels,
) -> Result<(Point, String), PgError> {
    let xid = sentinels.write_last().await?;
    let mut point = restore_point(writers, wanted.name).await?;
    point.xid = xid;
    let doing = || "export a snapshot".to_owned();
    let row = holder.query_one("SELECT pg_catalog.pg_export_snapshot()", &[]).await.doing(doing)?;
    let snapshot: String = row.try_get(0).doing(doing)?;
    if wanted.end_segment {
        point.end = switch_segment(writers).await?;
    }
    writers.batch_execute("COMMIT").await.doing(|| "let writers go on".to_owned())?;
    Ok((point, snapshot))
}

/// Makes the restore point, and asks for the time after it.
async fn restore_point(session: &Session, name: &str) -> Result<Point, PgError> {
    const QUERY: &str = "SELECT lsn::text AS lsn, pg_catalog.left(pg_catalog.pg_walfile_name(lsn), 8) AS timeline, \
                         pg_catalog.clock_timestamp() AS moment FROM pg_catalog.pg_create_restore_point($1) AS lsn";
    let doing = || "make the restore point".to_owned();
    let row = session.query_one(QUERY, &[&name]).await.doing(doing)?;
    let text = |column: &str| -> Result<String, PgError> { row_text(&row, column).doing(doing) };
    let broken = |what: &str| PgError::broken(doing(), format!("the server's {what} cannot be read"));
    let lsn = text("lsn")?.parse().map_err(|_| broken("position"))?;
    let timeline = u32::from_str_radix(&text("timeline")?, 16).map_err(|_| broken("timeline"))?;
    let time = row.try_get("moment").doing(doing)?;
    Ok(Point { name: name.to_owned(), lsn, xid: 0, time, end: lsn, timeline, held: Duration::ZERO, tries: 0 })
}

#[cfg(test)]
impl Point {
    pub(super) fn at(name: &str, lsn: Lsn, xid: u64) -> Self {
        let (time, held) = (Timestamp::UNIX_EPOCH, Duration::ZERO);
        Self { name: name.to_owned(), lsn, xid, time, end: lsn, timeline: 1, held, tries: 1 }
    }
}

fn row_text(row: &Row, column: &str) -> Result<String, tokio_postgres::Error> {
    row.try_get(column)
}

/// Ends the current segment, so that what was written so far can be archived; returns where it ends.
pub(super) async fn switch_segment(session: &Session) -> Result<Lsn, PgError> {
    let doing = || "end the segment of the write-ahead log".to_owned();
    let row = session.query_one("SELECT pg_catalog.pg_switch_wal()::text AS lsn", &[]).await.doing(doing)?;
    row_text(&row, "lsn")
        .doing(doing)?
        .parse()
        .map_err(|_| PgError::broken(doing(), "the position cannot be read"))
}
