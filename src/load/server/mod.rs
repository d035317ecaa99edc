//! What the server did meanwhile: counters before and after, and what the sessions of the load waited for, so that a figure
//! comes with its why.

mod waits;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use self::waits::Waits;
pub(super) use self::waits::{Latest, Shares};
use crate::pg::error::{Doing as _, Result};
use crate::pg::{Session, Target};

/// How often the sessions are looked at.
const EVERY: Duration = Duration::from_millis(100);
/// Statements that are told of, those that took the most time first.
const MOST_STATEMENTS: usize = 20;

/// What the server did between the start and the end of a scenario, warm-up included.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ServerWork {
    /// Growth of the server's counters that grew, by name: transactions, blocks, rows, temporary files, write-ahead log,
    /// checkpoints, autovacuum, and reads and writes by kind of process from PostgreSQL 16 on.
    pub counters: BTreeMap<String, f64>,
    /// Share of the moments in which an active session was seen waiting for this, 0 to 1; `on CPU` is no wait.
    pub waits: BTreeMap<String, f64>,
    /// The same of the moments in which it executed a statement of one operation, by operation.
    #[serde(default)]
    pub op_waits: BTreeMap<String, BTreeMap<String, f64>>,
    /// What each statement took, where `pg_stat_statements` is there.
    pub statements: Vec<StatementWork>,
}

/// What one statement took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatementWork {
    /// Its text, constants replaced.
    pub query: String,
    /// Executions.
    pub calls: f64,
    /// Mean time in the executor.
    pub mean_us: f64,
    /// Rows of one execution.
    pub rows: f64,
    /// Shared buffers of one execution, hit and read.
    pub blocks: f64,
    /// Bytes of write-ahead log of one execution.
    pub wal_bytes: f64,
}

/// Counters at one moment.
struct Snapshot {
    counters: BTreeMap<String, f64>,
    statements: BTreeMap<String, [f64; 5]>,
}

/// Watches a server from a session of its own.
pub(super) struct Watch {
    session: Session,
    before: Snapshot,
    waits: Waits,
}

impl Watch {
    /// Begins to watch; `statements` are each with its operation.
    pub(super) async fn begin(target: &Target, statements: Vec<(String, String)>) -> Result<(Self, Latest)> {
        let session = Session::connect(target, "bench watch").await?;
        let before = snapshot(&session).await?;
        let (waits, latest) = Waits::new(statements);
        Ok((Self { session, before, waits }, latest))
    }

    /// Looks at the sessions of `application` until `enough`; then at the counters again. A server that is gone by then has
    /// nothing to tell.
    pub(super) async fn until(
        mut self,
        application: String,
        enough: CancellationToken,
    ) -> Option<ServerWork> {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = enough.cancelled() => break,
                _ = ticks.tick() => {}
            }
            // A server that stands still does not answer, and need not.
            tokio::select! {
                looked = self.waits.look(&self.session, &application) => looked?,
                () = enough.cancelled() => break,
            }
        }
        let after = snapshot(&self.session).await.ok()?;
        self.session.close().await;
        Some(work(&self.before, &after, self.waits.shares()))
    }
}

/// Without named statements: a pooler may be in between.
async fn snapshot(session: &Session) -> Result<Snapshot> {
    let version = session.version();
    let mut queries = vec![include_str!("counters.sql")];
    queries.push(match version.major() {
        ..=16 => include_str!("checkpoints_15.sql"),
        _ => include_str!("checkpoints_17.sql"),
    });
    if version.major() >= 16 {
        queries.push(include_str!("io_16.sql"));
    }
    let doing = || "read the server's counters".to_owned();
    let mut counters = BTreeMap::new();
    for query in queries {
        for row in session.query_typed(query, &[]).await.doing(doing)? {
            let value: Option<f64> = row.try_get("value").doing(doing)?;
            counters.insert(row.try_get("name").doing(doing)?, value.unwrap_or(0.0));
        }
    }
    Ok(Snapshot { counters, statements: statements(session).await? })
}

/// What `pg_stat_statements` has; nothing where it is not there or not loaded.
async fn statements(session: &Session) -> Result<BTreeMap<String, [f64; 5]>> {
    let doing = || "read pg_stat_statements".to_owned();
    let rows = match session.query_typed(include_str!("statements.sql"), &[]).await {
        Err(error) if is_absent(&error) => return Ok(BTreeMap::new()),
        rows => rows.doing(doing)?,
    };
    let mut found = BTreeMap::new();
    for row in rows {
        let mut figures = [0.0; 5];
        for (figure, name) in figures.iter_mut().zip(["calls", "exec_ms", "rows", "blocks", "wal_bytes"]) {
            *figure = row.try_get::<_, Option<f64>>(name).doing(doing)?.unwrap_or(0.0);
        }
        found.insert(row.try_get::<_, Option<String>>("query").doing(doing)?.unwrap_or_default(), figures);
    }
    Ok(found)
}

fn is_absent(error: &tokio_postgres::Error) -> bool {
    let absent = [SqlState::UNDEFINED_TABLE, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE];
    error.code().is_some_and(|code| absent.contains(code))
}

/// The difference of two snapshots: pure.
fn work(before: &Snapshot, after: &Snapshot, mut waits: BTreeMap<String, Shares>) -> ServerWork {
    let grown = after.counters.iter().filter_map(|(name, value)| {
        let growth = value - before.counters.get(name).copied().unwrap_or(0.0);
        (growth > 0.0).then(|| (name.clone(), growth))
    });
    let mut statements: Vec<(f64, StatementWork)> = after
        .statements
        .iter()
        .filter_map(|(query, now)| {
            let then = before.statements.get(query).copied().unwrap_or_default();
            let [calls, exec_ms, rows, blocks, wal_bytes] = std::array::from_fn(|i| now[i] - then[i]);
            let each = |figure: f64| figure / calls;
            let work = StatementWork {
                query: query.clone(),
                calls,
                mean_us: each(1e3 * exec_ms),
                rows: each(rows),
                blocks: each(blocks),
                wal_bytes: each(wal_bytes),
            };
            (calls > 0.0).then_some((exec_ms, work))
        })
        .collect();
    statements.sort_by(|a, b| b.0.total_cmp(&a.0));
    ServerWork {
        counters: grown.collect(),
        waits: waits.remove("").unwrap_or_default(),
        op_waits: waits,
        statements: statements.into_iter().take(MOST_STATEMENTS).map(|(_, work)| work).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grew_is_told() {
        let snapshot = |blocks, calls, ms| Snapshot {
            counters: [("blocks_read".to_owned(), blocks), ("deadlocks".to_owned(), 0.0)].into(),
            statements: [("SELECT $1".to_owned(), [calls, ms, calls, 3.0 * calls, 0.0])].into(),
        };
        let shares = Shares::from([("IO:DataFileRead".to_owned(), 0.25)]);
        let seen = [(String::new(), shares.clone()), ("one".to_owned(), shares)].into();
        let work = work(&snapshot(10.0, 2.0, 1.0), &snapshot(15.0, 12.0, 6.0), seen);
        assert_eq!(work.counters, [("blocks_read".to_owned(), 5.0)].into());
        assert_eq!((work.waits["IO:DataFileRead"], work.op_waits["one"]["IO:DataFileRead"]), (0.25, 0.25));
        let [one] = &work.statements[..] else { panic!("{work:?}") };
        assert_eq!((one.calls, one.mean_us, one.blocks), (10.0, 500.0, 3.0));
    }
}
