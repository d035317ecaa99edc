//! Applies pending migrations, one at a time.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use refinery_core::{Migration, Runner, Target as Until};

use super::executor::Executor;
use super::hands::{Hands, Policy};
use super::journal::{self, Ending, Journal, Provenance, Subject};
use super::lint::{self, Finding};
use super::lock::Lock;
use super::source::Source;
use super::steps::{self, Plan};
use super::watch::Waits;
use super::work::{PATIENCE, Work};
use super::{Applied, Known, Step, history, plan, stepwise};
use crate::pg::{Patience, Target};
use crate::run::Run;
use crate::verdict::Interrupted;

/// How migrations are applied.
#[derive(Debug, Clone)]
pub struct Options {
    /// Version to stop after; `None` applies all that are not opt-in.
    pub last: Option<i64>,
    /// The plan to carry out; with another one nothing is done.
    pub expected: Option<Plan>,
    /// Whether errors that the lint finds keep everything from being applied.
    pub lint: bool,
    /// How long to wait for another migrator of the same database.
    pub wait: Duration,
    /// How long statements that others queue behind wait for locks, and how long they are tried again.
    pub locks: Patience,
    /// How long one session may keep a step waiting that nobody queues behind.
    pub patience: Duration,
    /// The share of its time that a backfill is at work, above 0 up to 1.
    pub duty: f64,
    /// Who applies, for the journal.
    pub by: Provenance,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            last: None,
            expected: None,
            lint: true,
            wait: Duration::from_secs(300),
            locks: Patience::default(),
            patience: PATIENCE,
            duty: 0.5,
            by: Provenance::default(),
        }
    }
}

impl Options {
    /// For a database of our own, that nobody uses.
    #[must_use]
    pub fn unlinted() -> Self {
        Self { lint: false, ..Self::default() }
    }
}

/// Applies what is pending in `target`'s database. However it ends, a migration that runs in a transaction is applied wholly
/// or not at all, one that runs stepwise is continued by the next run where this one stopped.
///
/// # Errors
/// When another migrator holds the database for longer than `options.wait` ([`super::Busy`]); when files and history
/// disagree, or a file is not understood; when a migration fails, naming it, its statement and SQLSTATE; when interrupted.
pub async fn apply(
    target: &Target,
    source: &Source,
    options: &Options,
    run: &Run,
) -> anyhow::Result<Applied> {
    let lock = Lock::take(target, options.wait, run).await?;
    let done = apply_locked(target, &lock, source, options, run).await;
    lock.release().await;
    done
}

async fn apply_locked(
    target: &Target,
    lock: &Lock,
    source: &Source,
    options: &Options,
    run: &Run,
) -> anyhow::Result<Applied> {
    ready(lock, options, run).await?;
    let options = &as_planned(target, source, options).await?;
    let status = plan::status(source.migrations(), &source.opt_in(), &history::read(lock.session()).await?);
    status.refuse_problems(source)?;
    let todo = plan::up_to(&status, source.migrations(), options.last)?;
    for next in &todo {
        source.script(next.version)?;
    }
    let hands = Hands::new(target, lock, run).await?;
    refuse_unsafe(&hands, source, &todo, options).await?;
    let progress = run.task("migrate", Some(todo.len() as u64), "migrations");
    let mut done = Applied { applied: Vec::new(), current: status.current };
    for next in todo {
        run.check()?;
        lock.check().await?;
        let step = one(target, lock, &hands, source, options, &next).await?;
        progress.advance(1);
        done.current = Some(step.version);
        done.applied.push(step);
    }
    hands.session.close().await;
    Ok(done)
}

/// What was to be done is not what would be done.
#[derive(Debug, thiserror::Error)]
#[error("the plan no longer holds; nothing was applied\n{}\n  help: plan again, and have the new plan looked at", .0.iter().map(|one| format!("  {one}")).collect::<Vec<_>>().join("\n"))]
pub struct PlanChanged(pub Vec<String>);

/// The lint found errors that nobody waived.
#[derive(Debug, thiserror::Error)]
#[error("the lint found {} in what is pending; nothing was applied\n{}\n  help: mend the files, say why it may be by `-- omtdb: allow RULE: REASON`, or apply with --no-lint", errors(.0), .0.iter().map(|one| one.render(false)).collect::<Vec<_>>().join("\n\n"))]
pub struct Unsafe(pub Vec<Finding>);

fn errors(found: &[Finding]) -> String {
    if found.len() == 1 { "1 error".to_owned() } else { format!("{} errors", found.len()) }
}

/// Refuses what would stop the application, fail half-way or leave the wrong thing; what is only advice is a note.
async fn refuse_unsafe(
    hands: &Hands<'_>,
    source: &Source,
    todo: &[Known],
    options: &Options,
) -> anyhow::Result<()> {
    let versions: Vec<i64> = todo.iter().map(|one| one.version).collect();
    if !options.lint || versions.is_empty() {
        return Ok(());
    }
    // Reading waits for whoever has a table for itself, and nobody waits behind it: it may take all the time there is.
    let policy = Policy::Brisk(Patience { lock_timeout: options.locks.budget, ..options.locks });
    let mut waits = Waits::default();
    hands.follow(&policy).await?;
    let catalog = hands.carry(lint::Catalog::read(&hands.session), &policy, &mut waits, |_| {}).await;
    let catalog = catalog.map_err(|stop| stop.explained(&waits)).context("lint what is pending")?;
    let found = lint::before_apply(source, &versions, catalog)?.findings;
    let (errors, warnings): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|finding| finding.severity == lint::Severity::Error);
    if !warnings.is_empty() {
        hands.run.note(format!("the lint has {} warnings; `omtdb migrate lint` shows them", warnings.len()));
    }
    if errors.is_empty() { Ok(()) } else { Err(Unsafe(errors).into()) }
}

/// The options by which to carry out the plan that was given, if one was; it is made again, and must be the same.
async fn as_planned(target: &Target, source: &Source, options: &Options) -> anyhow::Result<Options> {
    let Some(expected) = &options.expected else { return Ok(options.clone()) };
    let last = expected.steps.last().map(|step| step.version);
    let mut options = Options { last: last.or(expected.current).or(options.last), ..options.clone() };
    let now = steps::plan(target, source, &options).await?;
    let changes = steps::changes(expected, &now);
    if !changes.is_empty() {
        return Err(PlanChanged(changes).into());
    }
    options.by.plan = Some(now.fingerprint);
    Ok(options)
}

/// Prepares the journal, and waits until the server has noticed that a killed run is gone: it may still be at a step.
pub(super) async fn ready(lock: &Lock, options: &Options, run: &Run) -> anyhow::Result<()> {
    journal::prepare(lock.session()).await?;
    let since = Instant::now();
    let mut told = false;
    while let Some(who) = journal::orphan(lock.session()).await? {
        anyhow::ensure!(
            since.elapsed() < options.wait,
            "an earlier run was killed, and its session is still at work: {who}\n  help: wait longer with --wait, or pg_terminate_backend that session"
        );
        if !told {
            run.note(format!("waiting for the session of a run that was killed: {who}"));
            told = true;
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
            () = run.interrupt.cancelled() => run.check()?,
        }
    }
    let applied: Vec<i64> = history::read(lock.session()).await?.iter().map(Migration::version).collect();
    Ok(journal::lose(lock.session(), &applied).await?)
}

async fn one(
    target: &Target,
    lock: &Lock,
    hands: &Hands<'_>,
    source: &Source,
    options: &Options,
    next: &Known,
) -> anyhow::Result<Step> {
    let migration = source.migration(next.version).context("a pending migration has a file")?;
    let subject = subject(migration);
    let journal = Journal::begin(lock.session(), &subject, &options.by).await?;
    hands.wash().await?;
    let run = hands.run;
    let work = Work { target, lock, hands, run, options, subject: &subject, journal, ordinal: 0 };
    let since = Instant::now();
    let done = migrate(source, work, migration).await;
    let ms = since.elapsed().as_secs_f64() * 1e3;
    let ending = done.as_ref().map_or_else(stepwise::ending, |()| Ending::Done);
    let noted = journal.end(&ending).await;
    if let Err(error) = done {
        if error.is::<Interrupted>() {
            run.note(format!("{next} is not applied; what was applied before it stays"));
        }
        return Err(error).with_context(|| format!("apply {next} from {source}"));
    }
    noted?;
    let totals = journal.totals().await?;
    Ok(Step { version: next.version, name: next.name.clone(), ms, totals })
}

fn subject(migration: &Migration) -> Subject {
    Subject {
        event: "apply",
        version: Some(migration.version()),
        name: migration.name().to_owned(),
        sql: migration.sql().unwrap_or_default().to_owned(),
        reason: None,
    }
}

async fn migrate(source: &Source, work: Work<'_>, migration: &Migration) -> anyhow::Result<()> {
    let script = source.script(migration.version())?;
    let mut runner = Runner::new(source.migrations()).set_target(Until::Version(migration.version()));
    runner.set_migration_table_name(history::TABLE);
    let sql = migration.sql().unwrap_or_default();
    let mut executor = Executor { work, script: &script, sql, failure: None };
    let report = runner.run_async(&mut executor).await;
    match (report, executor.failure) {
        (Ok(_), _) => Ok(()),
        (Err(_), Some(failure)) => Err(failure),
        (Err(error), None) => Err(error.into()),
    }
}
