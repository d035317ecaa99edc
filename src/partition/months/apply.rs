//! Creates and drops leaves of months while others read and write.
//!
//! A leaf is built as a table of its own, with a constraint that says what its bound will say, and with the foreign keys of
//! its table: so that attaching it reads none of its rows. Rows of its month that lie in the default leaf are moved first;
//! then writers are kept out, what came meanwhile is moved, and the leaf is attached, all in one transaction. Queries see
//! each row once at every moment. A run that is killed leaves at most a table that the next one attaches.
//!
//! Writers are kept out at the table, not only at the default leaf: one that had already chosen the default leaf for its row
//! would be refused there once the leaf of the month is attached.
//!
//! A leaf is dropped as a leaf. Detaching it first would make foreign keys of its own for it, and dropping those would lock
//! the tables that they refer to.

use std::time::Duration;

use tokio_postgres::{IsolationLevel, Transaction};

use super::{Action, MonthStep, Months, Survey, Wanted, plan, survey};
use crate::pg::error::{Doing as _, PgError, Result};
use crate::pg::patience::Patience;
use crate::pg::{Session, ident};
use crate::run::Run;

/// The key of the advisory lock: `omtdb_pm` in ASCII.
const KEY: i64 = i64::from_be_bytes(*b"omtdb_pm");

const POLL: Duration = Duration::from_millis(200);

/// Does what is `wanted` of the table that `planned` is about; drops no leaf but those that `planned` would. Others who do
/// the same are waited for, and what they have done is not done again. `seed` spreads the pauses between attempts.
///
/// # Errors
/// When a lock is not granted within `patience`, the server refuses, or the run is interrupted; leaves that were done before
/// stay done.
pub async fn apply(
    session: &mut Session,
    (schema, table): (&str, &str),
    (wanted, planned): (Wanted, &Months),
    (patience, seed): (Patience, u64),
    run: &Run,
) -> anyhow::Result<Months> {
    wait_for_others(session, patience.budget, run).await?;
    let found = survey(session, schema, table).await?;
    let mut todo = plan(&found, wanted)?;
    let confirmed = planned.drops();
    todo.months.retain(|step| step.action != Action::Drop || confirmed.contains(&step.name.as_str()));
    let progress = run.task("months", Some(todo.months.len() as u64), "months");
    let mut work = Work { session, found: &found, patience, seed, run };
    for step in &mut todo.months {
        run.check()?;
        work.step(step).await?;
        progress.advance(1);
    }
    let done = "SELECT pg_catalog.pg_advisory_unlock($1::int8)";
    session.execute(done, &[&KEY]).await.doing(|| "let others maintain months again".to_owned())?;
    Ok(todo)
}

/// Takes the advisory lock that keeps others from maintaining months; the end of the session releases it too.
async fn wait_for_others(session: &Session, wait: Duration, run: &Run) -> anyhow::Result<()> {
    let doing = || "keep others from maintaining months meanwhile".to_owned();
    let since = tokio::time::Instant::now();
    loop {
        let row = session.query_one("SELECT pg_catalog.pg_try_advisory_lock($1::int8)", &[&KEY]).await;
        if row.and_then(|row| row.try_get(0)).doing(doing)? {
            return Ok(());
        }
        if since.elapsed() >= wait {
            let why = format!("another omtdb has been at it for {:.0} s", wait.as_secs_f64());
            return Err(PgError::broken(doing(), why)
                .help("run the command again when that one is done")
                .into());
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = run.interrupt.cancelled() => run.check()?,
        }
    }
}

/// What the steps have in common.
struct Work<'a> {
    session: &'a mut Session,
    found: &'a Survey,
    patience: Patience,
    seed: u64,
    run: &'a Run,
}

impl Work<'_> {
    async fn step(&mut self, step: &mut MonthStep) -> anyhow::Result<()> {
        let mut failed = 0;
        if step.action == Action::Create {
            let build = build(self.found, step);
            failed = self.transaction(step, async |open| Ok(open.batch_execute(&build).await?)).await?.1 - 1;
        }
        let (moved, attempts) = if step.action == Action::Drop {
            let leaf = ident::qualified(&self.found.schema, &step.name);
            let drop = format!("DROP TABLE {leaf}");
            self.transaction(step, async |open| Ok(open.batch_execute(&drop).await.map(|()| 0)?)).await?
        } else {
            let attach = Attach::of(self.found, step);
            self.transaction(step, async |open| attach.run(open).await).await?
        };
        (step.rows_moved, step.lock_attempts) = (moved, failed + attempts);
        Ok(())
    }

    /// Runs `work` in a transaction whose locks are tried for with patience; what it gave, and the number of attempts.
    async fn transaction<T>(
        &mut self,
        step: &MonthStep,
        work: impl AsyncFn(&Transaction<'_>) -> Result<T>,
    ) -> anyhow::Result<(T, u32)> {
        let (patience, session) = (self.patience, &mut *self.session);
        let doing = || format!("{} {}.{}", step.action.word(), self.found.schema, step.name);
        let limit = format!("SET LOCAL lock_timeout = {}", patience.lock_timeout.as_millis());
        let attempt = async || {
            // What comes before a lock is granted must be seen after it.
            let level = IsolationLevel::ReadCommitted;
            let open = session.build_transaction().isolation_level(level).start().await.doing(doing)?;
            open.batch_execute(&limit).await.doing(doing)?;
            let done = work(&open).await.doing(doing)?;
            open.commit().await.doing(doing)?;
            Ok(done)
        };
        patience.persist(self.seed, self.run, attempt).await
    }
}

/// Builds a leaf as a table of its own.
fn build(found: &Survey, step: &MonthStep) -> String {
    let leaf = ident::qualified(&found.schema, &step.name);
    let mut statements = vec![format!(
        "CREATE TABLE {leaf} (LIKE {} INCLUDING ALL, CONSTRAINT {} CHECK ({}))",
        ident::qualified(&found.schema, &found.table),
        ident::quoted(&bound_constraint(step)),
        within(found, step)
    )];
    for (name, definition) in &found.foreign_keys {
        statements.push(format!("ALTER TABLE {leaf} ADD CONSTRAINT {} {definition}", ident::quoted(name)));
    }
    if let Some(owner) = &found.owner {
        statements.push(format!("ALTER TABLE {leaf} OWNER TO {}", ident::quoted(owner)));
    }
    statements.join("; ")
}

/// Name of the constraint by which a table that was built for a month is known, as in `unattached.sql`.
fn bound_constraint(step: &MonthStep) -> String {
    format!("{}_bound", step.name)
}

/// That a row belongs to the month.
fn within(found: &Survey, step: &MonthStep) -> String {
    let key = ident::quoted(&found.key);
    format!("{key} >= {} AND {key} < {}", ident::literal(&step.from), ident::literal(&step.to))
}

/// The statements that move rows and attach a leaf.
struct Attach {
    /// Keeps writers out of the table, and everybody out of the default leaf, which attaching reads.
    lock: Option<String>,
    /// Moves the month's rows out of the default leaf.
    move_rows: Option<String>,
    attach: String,
}

impl Attach {
    fn of(found: &Survey, step: &MonthStep) -> Self {
        let leaf = ident::qualified(&found.schema, &step.name);
        let table = ident::qualified(&found.schema, &found.table);
        let default = found.default.as_ref().map(|(schema, name)| ident::qualified(schema, name));
        let attach = format!(
            "ALTER TABLE {table} ATTACH PARTITION {leaf} FOR VALUES FROM ({}) TO ({}); ALTER TABLE {leaf} DROP CONSTRAINT {}",
            ident::literal(&step.from),
            ident::literal(&step.to),
            ident::quoted(&bound_constraint(step))
        );
        let lock = |default: &String| {
            format!(
                "LOCK TABLE ONLY {table} IN SHARE ROW EXCLUSIVE MODE; LOCK TABLE ONLY {default} IN ACCESS EXCLUSIVE MODE"
            )
        };
        Self {
            lock: default.as_ref().map(lock),
            move_rows: default.as_ref().map(|name| move_rows(found, step, name, &leaf)),
            attach,
        }
    }

    /// How many rows were moved.
    async fn run(&self, open: &Transaction<'_>) -> Result<u64> {
        let mut moved = 0;
        if let (Some(lock), Some(move_rows)) = (&self.lock, &self.move_rows) {
            moved += open.execute(move_rows, &[]).await?;
            open.batch_execute(lock).await?;
            // Those that came before the lock was granted.
            moved += open.execute(move_rows, &[]).await?;
        }
        open.batch_execute(&self.attach).await?;
        Ok(moved)
    }
}

fn move_rows(found: &Survey, step: &MonthStep, default: &str, leaf: &str) -> String {
    let columns: Vec<String> = found.columns.iter().map(|column| ident::quoted(column)).collect();
    let columns = columns.join(", ");
    format!(
        "WITH moved AS (DELETE FROM ONLY {default} WHERE {} RETURNING {columns}) \
         INSERT INTO {leaf} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM moved",
        within(found, step)
    )
}
