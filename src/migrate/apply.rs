//! Applies pending migrations, one at a time.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use refinery_core::error::Kind;
use refinery_core::{Runner, Target as Until};
use tokio_postgres::error::SqlState;

use super::executor::Executor;
use super::lock::Lock;
use super::source::Source;
use super::{Applied, Known, Step, history, plan};
use crate::pg::error::PgError;
use crate::pg::{Session, Target};
use crate::run::Run;
use crate::verdict::Interrupted;

/// How migrations are applied.
#[derive(Debug, Clone)]
pub struct Options {
    /// Version to stop after; `None` applies all.
    pub last: Option<i64>,
    /// How long to wait for another migrator of the same database.
    pub wait: Duration,
    /// How long a statement may wait for a lock, while all who come after it wait behind it.
    pub lock_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { last: None, wait: Duration::from_secs(300), lock_timeout: Duration::from_secs(5) }
    }
}

/// Applies what is pending in `target`'s database, each migration and its row of the history in one transaction.
/// However it ends, every migration is applied wholly or not at all, and the next run continues.
///
/// # Errors
/// When another migrator holds the database for longer than `options.wait` ([`super::Busy`]); when files and history
/// disagree; when a migration fails, naming it and its SQLSTATE; when interrupted.
pub async fn apply(
    target: &Target,
    source: &Source,
    options: &Options,
    run: &Run,
) -> anyhow::Result<Applied> {
    let lock = Lock::take(target, options.wait, run).await?;
    let session = connect(target, options).await?;
    let done = apply_locked(&session, &lock, source, options, run).await;
    session.close().await;
    lock.release().await;
    done
}

async fn connect(target: &Target, options: &Options) -> anyhow::Result<Session> {
    let session = Session::connect(target, "migrate").await?;
    session.limit(Duration::ZERO, options.lock_timeout).await?;
    // When this program is killed, the server is to notice during a long statement, and release what that has locked.
    match session.batch_execute("SET client_connection_check_interval = '1s'").await.map_err(PgError::from) {
        // Where the server's system cannot notice, the next run waits for what the statement has locked.
        Err(error) if error.sqlstate() == Some(SqlState::INVALID_PARAMETER_VALUE.code()) => {}
        set => set?,
    }
    Ok(session)
}

async fn apply_locked(
    session: &Session,
    lock: &Lock,
    source: &Source,
    options: &Options,
    run: &Run,
) -> anyhow::Result<Applied> {
    let status = plan::status(source.migrations(), &history::read(session).await?);
    status.refuse_problems(source)?;
    let todo = plan::up_to(&status, source.migrations(), options.last)?;
    let progress = run.task("migrate", Some(todo.len() as u64), "migrations");
    let mut done = Applied { applied: Vec::new(), current: status.current };
    for next in todo {
        run.check()?;
        lock.check().await?;
        let step = apply_one(session, source, &next, run).await?;
        progress.advance(1);
        done.current = Some(step.version);
        done.applied.push(step);
    }
    Ok(done)
}

async fn apply_one(session: &Session, source: &Source, next: &Known, run: &Run) -> anyhow::Result<Step> {
    let mut runner = Runner::new(source.migrations()).set_target(Until::Version(next.version));
    runner.set_migration_table_name(history::TABLE);
    let since = Instant::now();
    let report = runner.run_async(&mut Executor { session, run }).await;
    let ms = since.elapsed().as_secs_f64() * 1e3;
    match report {
        Ok(_) => Ok(Step { version: next.version, name: next.name.clone(), ms }),
        // The server says "canceled"; whoever pressed the key knows it as an interrupt.
        Err(_) if run.interrupt.is_cancelled() => {
            run.note(format!("{next} is taken back; what was applied before it stays"));
            Err(Interrupted.into())
        }
        Err(error) => Err(explained(error)).with_context(|| format!("apply {next} from {source}")),
    }
}

/// The server's own words; refinery would wrap them twice.
fn explained(error: refinery_core::Error) -> anyhow::Error {
    let refused = match error.kind() {
        Kind::Connection(_, cause) => cause.downcast_ref::<PgError>(),
        _ => None,
    };
    match refused {
        Some(refused) if refused.is_lock_timeout() => anyhow::anyhow!(
            "{refused}\n  help: another session holds what the migration needs; nothing of it was kept. Try again, or allow more with --lock-timeout"
        ),
        Some(refused) => anyhow::anyhow!("{refused}"),
        None => error.into(),
    }
}
