//! Walks over a table by ranges of its key: changes rows, or looks for wrong ones, in batches that each are a transaction of
//! their own together with the note of the last key. So a walk that is killed goes on where it was, and no batch is done
//! twice. Batches are fitted to the time they take, and the walk rests between them.

use std::error::Error;
use std::time::Duration;

use bytes::BytesMut;
use tokio::time::Instant;
use tokio_postgres::Statement;
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

use super::hands::{Hands, Stop};
use super::journal;
use super::script::Sweep;
use super::watch::Waits;
use super::work::Work;
use crate::pg::error::{Doing as _, PgError, Result};
use crate::pg::ident::quoted;
use crate::run;

/// Each query by its file's name.
pub(super) const QUERIES: [(&str, &str); 4] =
    [("sweep", STATE), ("advance", ADVANCE), ("lag", LAG), ("walkable", WALKABLE)];

const STATE: &str = include_str!("journal/sweep.sql");
const ADVANCE: &str = include_str!("journal/advance.sql");
const LAG: &str = include_str!("journal/lag.sql");
const WALKABLE: &str = include_str!("walkable.sql");

/// What a batch is to take: short enough that who waits for one of its rows hardly notices.
const BATCH_TIME: Duration = Duration::from_millis(100);
/// Replicas further behind than this are waited for.
const MOST_LAG_MS: f64 = 10_000.0;
/// Between two looks at the replicas.
const LOOK: Duration = Duration::from_secs(1);
/// Wrong rows that a failed check shows.
const SHOWN: usize = 10;
/// Wrong rows that are read at most; more say no more.
const MOST_WRONG: usize = 100;

/// Carries out the statement under way for every range of keys of its table; a check fails when it finds a row.
/// What its batches wait for goes to `waits`.
pub(super) async fn run(
    work: &Work<'_>,
    sweep: &Sweep,
    sql: &str,
    is_check: bool,
    waits: &mut Waits,
) -> anyhow::Result<()> {
    let mut walk = Walk::begin(work, sweep, sql, is_check).await?;
    let total = walk.estimate().await?;
    let progress = work.run.task(
        &format!("V{} {}", work.subject.version.unwrap_or_default(), sweep.table),
        total,
        "rows",
    );
    let mut looked = Instant::now();
    loop {
        work.run.check()?;
        let since = Instant::now();
        let Some(batch) = walk.next(waits).await? else { return Ok(()) };
        progress.advance(batch.keys);
        if !batch.wrong.is_empty() {
            return Err(wrong(sweep, &batch.wrong));
        }
        walk.rest(since.elapsed(), &mut looked, &progress).await?;
    }
}

fn wrong(sweep: &Sweep, rows: &[String]) -> anyhow::Error {
    let shown: Vec<String> = rows.iter().take(SHOWN).map(|row| format!("  {row}")).collect();
    let more = rows.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("\n  and {more} more in this batch") } else { String::new() };
    anyhow::anyhow!(
        "the check of {} found rows that are wrong\n{}{more}\n  help: put them right and run again; the check begins anew",
        sweep.table,
        shown.join("\n")
    )
}

/// A walk sees every row once only along a column that none has NULL in, and fast only along an index.
async fn refuse_unwalkable(hands: &Hands<'_>, sweep: &Sweep) -> anyhow::Result<()> {
    let row = hands.session.query_opt(WALKABLE, &[&sweep.table.quoted(), &sweep.key]).await;
    let row = row.doing(|| format!("look at {}", sweep.table))?;
    let (table, key) = (&sweep.table, &sweep.key);
    let Some(row) = row else { anyhow::bail!("there is no column {key} in a table {table}") };
    let (not_null, indexed): (bool, bool) =
        (row.try_get("not_null").map_err(PgError::from)?, row.try_get("indexed").map_err(PgError::from)?);
    anyhow::ensure!(
        not_null,
        "rows of {table} whose {key} is NULL would be passed over\n  help: walk by a column that is NOT NULL"
    );
    anyhow::ensure!(
        indexed,
        "no index of {table} begins with {key}: every batch would read the whole table\n  help: walk by the first column of a B-tree index"
    );
    Ok(())
}

/// A batch that was done.
struct Batch {
    /// Rows whose keys were in its range.
    keys: u64,
    /// What a check found, as JSON.
    wrong: Vec<String>,
}

struct Walk<'a> {
    work: &'a Work<'a>,
    hands: &'a Hands<'a>,
    version: i64,
    step: String,
    digest: String,
    table: String,
    key: String,
    statement: Statement,
    is_check: bool,
    last: Option<String>,
    batch: u32,
    most: u32,
}

impl<'a> Walk<'a> {
    async fn begin(work: &'a Work<'a>, sweep: &Sweep, sql: &str, is_check: bool) -> anyhow::Result<Self> {
        let hands = work.hands;
        refuse_unwalkable(hands, sweep).await?;
        let (step, digest) = (work.statement_name(), journal::digest(sql));
        let version = work.subject.version.unwrap_or_default();
        let stood = hands.session.query_opt(STATE, &[&version, &step, &digest]).await;
        let stood = stood.doing(|| "read how far the walk has come".to_owned())?;
        let (last, batch) = match &stood {
            // What a check passed before may be wrong by now only if somebody changes it; a failed one begins anew.
            Some(row) => (
                row.try_get("last_key").map_err(PgError::from)?,
                row.try_get::<_, i32>("batch").map_err(PgError::from)?,
            ),
            None => (None, i32::try_from(sweep.batch)?),
        };
        let text = if is_check {
            format!("SELECT pg_catalog.to_jsonb(q)::text FROM ({sql}) AS q LIMIT {MOST_WRONG}")
        } else {
            sql.to_owned()
        };
        let statement = hands.session.prepare(&text).await.doing(|| format!("prepare statement {step}"))?;
        let most = sweep.batch.saturating_mul(50);
        let (table, key) = (sweep.table.quoted(), quoted(&sweep.key));
        Ok(Self {
            work,
            hands,
            version,
            step,
            digest,
            table,
            key,
            statement,
            is_check,
            last,
            batch: batch.unsigned_abs(),
            most,
        })
    }

    /// Rows of the table as its statistics have it, less what is behind us; `None` where it was never analyzed.
    async fn estimate(&self) -> Result<Option<u64>> {
        let sql =
            "SELECT c.reltuples::int8 FROM pg_catalog.pg_class AS c WHERE c.oid = pg_catalog.to_regclass($1)";
        let row = self
            .hands
            .session
            .query_opt(sql, &[&self.table])
            .await
            .doing(|| format!("look for {}", self.table))?;
        let rows: Option<i64> = row.map(|row| row.try_get(0)).transpose().map_err(PgError::from)?;
        Ok(rows.and_then(|rows| u64::try_from(rows).ok()).filter(|_| self.last.is_none()))
    }

    /// Does the next batch, again while others are in the way; `None` when no key is left.
    async fn next(&mut self, all: &mut Waits) -> anyhow::Result<Option<Batch>> {
        let policy = self.work.brisk();
        let mut retries = policy.retries();
        self.hands.follow(&policy).await?;
        loop {
            // Each attempt may wait anew: its limit is on what it waits itself.
            let mut waits = Waits::default();
            let done = self.attempt(&mut waits).await;
            policy.at_least(&done, &mut waits);
            all.merge(waits.clone());
            let stop = match done {
                Ok(done) => return Ok(done),
                Err(stop) => stop,
            };
            drop(self.hands.session.batch_execute("ROLLBACK").await);
            match retries.after(&stop) {
                Some(pause) => {
                    let paused = self.hands.pause(pause, "a batch", &waits).await;
                    paused.map_err(|stop| stop.explained(&waits))?;
                }
                None => return Err(stop.explained(&waits)),
            }
        }
    }

    async fn attempt(&mut self, waits: &mut Waits) -> Result<Option<Batch>, Stop> {
        let since = Instant::now();
        self.hands.session.batch_execute("BEGIN").await?;
        let policy = self.work.brisk();
        let range = self.hands.carry(self.range(), &policy, waits, |_| {}).await?;
        let Some((low, high, keys)) = range else {
            self.hands.session.batch_execute("COMMIT").await?;
            return Ok(None);
        };
        let (changed, wrong) = self.execute(&low, &high, waits).await?;
        let next = if wrong.is_empty() { fitted(self.batch, self.most, since.elapsed()) } else { self.batch };
        if wrong.is_empty() {
            self.note(&high, changed, next).await?;
            self.hands.session.batch_execute("COMMIT").await?;
            (self.last, self.batch) = (Some(high), next);
        } else {
            self.hands.session.batch_execute("ROLLBACK").await?;
            self.begin_anew().await?;
        }
        Ok(Some(Batch { keys, wrong }))
    }

    /// First and last key of the next batch, and how many rows there are from the one to the other.
    async fn range(&self) -> Result<Option<(String, String, u64)>> {
        let Self { table, key, batch, .. } = self;
        let after = if self.last.is_some() { format!("WHERE t.{key} > $1") } else { String::new() };
        let sql = format!(
            "WITH k AS MATERIALIZED (SELECT t.{key} AS key FROM {table} AS t {after} ORDER BY t.{key} LIMIT {batch}) \
             SELECT (SELECT k.key::text FROM k ORDER BY k.key LIMIT 1), \
             (SELECT k.key::text FROM k ORDER BY k.key DESC LIMIT 1), (SELECT pg_catalog.count(*) FROM k)"
        );
        let last = self.last.clone().map(Text);
        let values: Vec<&(dyn ToSql + Sync)> = last.iter().map(|last| last as &(dyn ToSql + Sync)).collect();
        let row = self
            .hands
            .session
            .query_one(&sql, &values)
            .await
            .doing(|| format!("find the next keys of {table}"))?;
        let (low, high): (Option<String>, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
        let keys = u64::try_from(row.try_get::<_, i64>(2)?).unwrap_or_default();
        Ok(low.zip(high).map(|(low, high)| (low, high, keys)))
    }

    /// How many rows were changed, or which are wrong.
    async fn execute(&self, low: &str, high: &str, waits: &mut Waits) -> Result<(u64, Vec<String>), Stop> {
        let (low, high) = (Text(low.to_owned()), Text(high.to_owned()));
        let values: [&(dyn ToSql + Sync); 2] = [&low, &high];
        let policy = self.work.brisk();
        if !self.is_check {
            let work = self.hands.session.execute(&self.statement, &values);
            return Ok((self.hands.carry(work, &policy, waits, |_| {}).await?, Vec::new()));
        }
        let work = self.hands.session.query(&self.statement, &values);
        let rows = self.hands.carry(work, &policy, waits, |_| {}).await?;
        let wrong: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get(0)).collect();
        Ok((0, wrong?))
    }

    async fn note(&self, high: &str, changed: u64, batch: u32) -> Result<()> {
        let changed = i64::try_from(changed).unwrap_or(i64::MAX);
        let batch = i32::try_from(batch).unwrap_or(i32::MAX);
        let noted = self
            .hands
            .session
            .execute(ADVANCE, &[&self.version, &self.step, &self.digest, &high, &changed, &batch])
            .await;
        noted.doing(|| "note how far the walk has come".to_owned())?;
        Ok(())
    }

    /// A check that failed has to look at everything again: what it passed may be changed meanwhile.
    async fn begin_anew(&self) -> Result<()> {
        let forget = "DELETE FROM omtdb.migration_sweep WHERE version = $1 AND step = $2";
        let forgotten = self.hands.session.execute(forget, &[&self.version, &self.step]).await;
        forgotten.doing(|| "begin the walk anew".to_owned())?;
        Ok(())
    }

    /// Leaves the server to others for a while, longer while replicas fall behind.
    async fn rest(&self, worked: Duration, looked: &mut Instant, progress: &run::Task) -> anyhow::Result<()> {
        self.sleep(pause_after(worked, self.work.options.duty)).await?;
        if looked.elapsed() < LOOK {
            return Ok(());
        }
        let since = Instant::now();
        let mut told = false;
        loop {
            *looked = Instant::now();
            let row = self
                .work
                .lock
                .session()
                .query_one(LAG, &[])
                .await
                .doing(|| "look at the replicas".to_owned())?;
            let lag: f64 = row.try_get("lag_ms").map_err(PgError::from)?;
            if lag <= MOST_LAG_MS {
                return Ok(());
            }
            let name: Option<String> = row.try_get("name").map_err(PgError::from)?;
            let behind = format!("replica {} is {:.0} s behind", name.unwrap_or_default(), lag / 1e3);
            anyhow::ensure!(
                since.elapsed() < self.work.options.patience,
                "{behind}, and the backfill has waited for it long enough\n  help: see to the replica, or allow more with --patience, and run again: it continues here"
            );
            if !told {
                told = true;
                self.work.run.note(format!("the backfill waits: {behind}"));
            }
            progress.say(format!("waits: {behind}"));
            self.sleep(LOOK).await?;
        }
    }

    async fn sleep(&self, pause: Duration) -> anyhow::Result<()> {
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = self.work.run.interrupt.cancelled() => Ok(self.work.run.check()?),
        }
    }
}

/// The next batch's size after one of `batch` rows that took `took`: half as many to twice as many, from 10 to `most`.
fn fitted(batch: u32, most: u32, took: Duration) -> u32 {
    let ratio = (BATCH_TIME.as_secs_f64() / took.as_secs_f64().max(1e-6)).clamp(0.5, 2.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most twice a batch, and not negative"
    )]
    let next = (f64::from(batch) * ratio).round() as u32;
    next.clamp(10.min(most), most)
}

/// The rest after a batch, so that the walk is at work for the share `duty` of the time.
fn pause_after(worked: Duration, duty: f64) -> Duration {
    worked.mul_f64((1.0 / duty.clamp(0.01, 1.0)) - 1.0)
}

/// A key, in the words in which the server told it; of whatever type it is.
#[derive(Debug)]
struct Text(String);

impl ToSql for Text {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_fitted_to_their_time() {
        assert_eq!(fitted(1000, 50_000, Duration::from_millis(100)), 1000);
        assert_eq!(fitted(1000, 50_000, Duration::from_millis(50)), 2000);
        assert_eq!(fitted(1000, 50_000, Duration::from_millis(1)), 2000);
        assert_eq!(fitted(1000, 50_000, Duration::from_secs(9)), 500);
        assert_eq!(fitted(12, 50_000, Duration::from_secs(9)), 10);
        assert_eq!(fitted(40_000, 50_000, Duration::ZERO), 50_000);
        assert_eq!(fitted(1, 5, Duration::ZERO), 5);
    }

    #[test]
    fn the_walk_rests_as_long_as_it_is_told() {
        let worked = Duration::from_millis(100);
        assert_eq!(pause_after(worked, 1.0), Duration::ZERO);
        assert_eq!(pause_after(worked, 0.5).as_millis(), 100);
        assert_eq!(pause_after(worked, 0.1).as_millis(), 900);
    }
}
