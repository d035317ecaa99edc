//! Indexes made, rebuilt and dropped while the application goes on: what is next is decided in [`create`] and [`rebuild`],
//! from what there is ([`standing`]); here it is carried out.

mod create;
mod rebuild;
pub(super) mod standing;

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use anyhow::Context as _;

use self::create::{Next, Task};
use self::standing::{Found, Standing};
use super::hands::{Hands, Policy, Step, Stop};
use super::journal;
use super::script::{Name, NewIndex};
use super::watch::Glance;
use super::work::Work;
use crate::pg::{PgError, Session};
use crate::run;
use crate::verdict::UsageError;

/// Makes `index`, with at most `jobs` builds at once.
pub(super) async fn create(work: &Work<'_>, index: &NewIndex, jobs: usize) -> anyhow::Result<()> {
    let name = index.table.to_string();
    let table = found(work, &index.table).await?.with_context(|| format!("there is no table {name}"))?;
    let left = outline(&work.hands.session, index, &work.begun().await?.into_keys().collect()).await?.len();
    let what = format!("index {}", index.name);
    let progress = work.run.task(&what, Some(left as u64), "steps");
    loop {
        let standing = standing::read(&work.hands.session, table.oid).await?;
        let ours: HashSet<String> = work.begun().await?.into_keys().collect();
        match create::next(index, &standing, &ours)? {
            Next::Nothing => return Ok(()),
            Next::Steps(tasks) => {
                refuse_taken(work, &tasks).await?;
                carry_out(work, tasks, jobs, &progress).await?;
            }
        }
    }
}

/// An index that is to be made has a name that nothing else in its schema may have, whatever table that belongs to.
async fn refuse_taken(work: &Work<'_>, tasks: &[Task]) -> anyhow::Result<()> {
    for task in tasks.iter().filter(|task| task.makes_on.is_some()) {
        if found(work, &task.index).await?.is_some() {
            return Err(create::Refused::Taken(task.index.to_string()).into());
        }
    }
    Ok(())
}

/// The statements that are left to make `index`, in order; none can be told for a table that is not there yet.
pub(super) async fn outline(
    session: &Session,
    index: &NewIndex,
    ours: &HashSet<String>,
) -> anyhow::Result<Vec<String>> {
    let Some(table) = standing::find(session, &index.table.quoted()).await? else { return Ok(Vec::new()) };
    let standing = standing::read(session, table.oid).await?;
    Ok(create::outline(index, &standing, ours)?.into_iter().map(|task| task.sql).collect())
}

/// The statements that are left to rebuild the index called `name`.
pub(super) async fn rebuild_outline(
    session: &Session,
    name: &Name,
    begun: &HashMap<String, bool>,
) -> anyhow::Result<Vec<String>> {
    let table = standing::find(session, &name.quoted()).await?.and_then(|index| index.table);
    let Some(table) = table else { return Ok(Vec::new()) };
    let standing = standing::read(session, table).await?;
    Ok(rebuild::all(&name.name, &standing, begun).into_iter().map(|task| task.sql).collect())
}

/// The statement that drops the index called `name`.
pub(super) async fn drop_sql(session: &Session, name: &Name) -> anyhow::Result<String> {
    let plain = standing::find(session, &name.quoted()).await?.is_some_and(|index| index.kind == "i");
    Ok(drop_statement(name, plain))
}

fn drop_statement(name: &Name, concurrently: bool) -> String {
    let gently = if concurrently { "CONCURRENTLY " } else { "" };
    format!("DROP INDEX {gently}{}", name.quoted())
}

/// Rebuilds the index called `name`, with at most `jobs` rebuilds at once; proves that it is valid afterwards.
pub(super) async fn rebuild(work: &Work<'_>, name: &Name, jobs: usize) -> anyhow::Result<()> {
    let table = found(work, name).await?.and_then(|index| index.table);
    let table = table.with_context(|| format!("there is no index {name}"))?;
    let left = rebuild_outline(&work.hands.session, name, &work.begun().await?).await?.len();
    let progress = work.run.task(&format!("rebuild {name}"), Some(left as u64), "steps");
    loop {
        let standing = standing::read(&work.hands.session, table).await?;
        let tasks = rebuild::next(&name.name, &standing, &work.begun().await?);
        if tasks.is_empty() {
            return prove(name, &standing);
        }
        carry_out(work, tasks, jobs, &progress).await?;
    }
}

fn prove(name: &Name, standing: &Standing) -> anyhow::Result<()> {
    let invalid = rebuild::invalid(&name.name, standing);
    anyhow::ensure!(
        invalid.is_empty(),
        "the index is rebuilt, and yet INVALID: {}\n  help: look into the server's log for what the rebuild met",
        invalid.join(", ")
    );
    Ok(())
}

/// Drops the index called `name`. A partitioned one goes at once with its parts, for PostgreSQL has no concurrent way: that
/// takes no time once the lock is there, for which it tries briefly, again and again.
pub(super) async fn drop_index(work: &Work<'_>, name: &Name) -> anyhow::Result<()> {
    let step = drop_step(name);
    let Some(index) = found(work, name).await? else {
        let begun = work.begun().await?.contains_key(&step);
        anyhow::ensure!(begun, "there is no index {name}");
        return Ok(());
    };
    let task = drop_of(name, &index);
    let progress = work.run.task(&format!("drop {name}"), None, "steps");
    carry_out(work, vec![task], 1, &progress).await
}

fn drop_step(name: &Name) -> String {
    format!("drop {name}")
}

fn drop_of(name: &Name, index: &Found) -> Task {
    let concurrently = index.kind == "i";
    let sql = drop_statement(name, concurrently);
    Task { step: drop_step(name), sql, concurrently, index: name.clone(), makes_on: None }
}

/// Name and text of a step.
pub(super) type StepText = (String, String);

/// What [`rebuild()`] would do where `begun` was begun; and the invalid indexes that a rebuild has left which is not ours.
pub(super) async fn steps_of_rebuild(
    session: &Session,
    name: &Name,
    begun: &HashMap<String, bool>,
) -> anyhow::Result<(Vec<StepText>, Vec<String>)> {
    let table = standing::find(session, &name.quoted()).await?.and_then(|index| index.table);
    let table = table.ok_or_else(|| UsageError(format!("there is no index {name}")))?;
    let standing = standing::read(session, table).await?;
    let tasks = rebuild::all(&name.name, &standing, begun).into_iter();
    Ok((tasks.map(|task| (task.step, task.sql)).collect(), rebuild::left(&name.name, &standing, begun)))
}

/// What [`drop_index`] would do where `begun` was begun.
pub(super) async fn steps_of_drop(
    session: &Session,
    name: &Name,
    begun: &HashMap<String, bool>,
) -> anyhow::Result<Vec<StepText>> {
    match standing::find(session, &name.quoted()).await?.filter(|found| found.table.is_some()) {
        Some(index) => Ok(vec![drop_of(name, &index)].into_iter().map(|one| (one.step, one.sql)).collect()),
        None if begun.contains_key(&drop_step(name)) => Ok(Vec::new()),
        None => Err(UsageError(format!("there is no index {name}")).into()),
    }
}

async fn found(work: &Work<'_>, name: &Name) -> anyhow::Result<Option<Found>> {
    Ok(standing::find(&work.hands.session, &name.quoted()).await?)
}

/// Carries out `tasks`: what runs concurrently by at most `jobs` sessions at once, the rest one after the other before it.
async fn carry_out(
    work: &Work<'_>,
    tasks: Vec<Task>,
    jobs: usize,
    progress: &run::Task,
) -> anyhow::Result<()> {
    let (concurrent, brief): (Vec<_>, Vec<_>) = tasks.into_iter().partition(|task| task.concurrently);
    for task in brief {
        one(work, work.hands, &task, progress).await?;
    }
    let jobs = jobs.min(concurrent.len());
    let queue = Mutex::new(concurrent.into_iter());
    // When one fails the others are stopped, and still waited for: a build let go would go on without us.
    let together = work.run.part();
    let mut hands = Vec::new();
    for _ in 0..jobs {
        hands.push(Hands::new(work.target, work.lock, &together).await?);
    }
    let workers = hands.iter().map(|hands| worker(work, hands, &queue, progress));
    let outcomes = futures_util::future::join_all(workers).await;
    for hands in hands {
        hands.session.close().await;
    }
    first_failure(outcomes)
}

async fn worker(
    work: &Work<'_>,
    hands: &Hands<'_>,
    queue: &Mutex<std::vec::IntoIter<Task>>,
    progress: &run::Task,
) -> anyhow::Result<()> {
    let next = || queue.lock().map_or(None, |mut queue| queue.next());
    while let Some(task) = next() {
        hands.run.check()?;
        if let Err(error) = one(work, hands, &task, progress).await {
            hands.run.interrupt.cancel();
            return Err(error);
        }
    }
    Ok(())
}

/// The failure that made the others stop.
fn first_failure(outcomes: Vec<anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut failures: Vec<anyhow::Error> = outcomes.into_iter().filter_map(Result::err).collect();
    let cause = failures.iter().position(|error| !error.is::<crate::verdict::Interrupted>()).unwrap_or(0);
    if failures.is_empty() { Ok(()) } else { Err(failures.swap_remove(cause)) }
}

async fn one(work: &Work<'_>, hands: &Hands<'_>, task: &Task, progress: &run::Task) -> anyhow::Result<()> {
    let step = work.step_name(&task.step);
    let policy = if task.concurrently {
        Policy::Patient(work.options.patience)
    } else {
        Policy::Brisk(work.options.locks)
    };
    let said = Mutex::new(None);
    let seen = |glance: &Glance| say(progress, hands.run, &task.step, glance, &said);
    let carried = Step {
        name: &step,
        sql: &task.sql,
        text: &task.sql,
        policy,
        within: !task.concurrently,
        seen: &seen,
    };
    match hands.step(work.journal, &carried).await {
        Ok(_) => {
            progress.advance(1);
            Ok(())
        }
        Err((stop, waits)) => {
            if task.concurrently {
                clear_up(hands, task, &stop).await;
            }
            Err(stop.explained(&waits)).with_context(|| task.step.clone())
        }
    }
}

/// Shows how far a build is, and tells once of each session that keeps it waiting.
fn say(progress: &run::Task, run: &run::Run, step: &str, glance: &Glance, told: &Mutex<Option<i32>>) {
    if let Some((phase, done, of)) = &glance.build {
        let percent = if *of > 0 { format!(" {}%", done * 100 / of) } else { String::new() };
        progress.say(format!("{step}: {phase}{percent}"));
    }
    let Some(blocker) = glance.blocker() else { return };
    let Ok(mut told) = told.lock() else { return };
    if *told != Some(blocker.pid) {
        *told = Some(blocker.pid);
        run.note(format!("{step} waits for {blocker}"));
    }
}

/// An INVALID index costs every write and serves no read: what a failed build leaves is dropped at once if nobody is in the
/// way, else by the next run. What bears its name without being that is not touched.
async fn clear_up(hands: &Hands<'_>, task: &Task, stop: &Stop) {
    let (Some(table), false) = (task.makes_on, matches!(stop, Stop::Refused(error) if error.is_lost()))
    else {
        return;
    };
    let left = standing::find(&hands.session, &task.index.quoted()).await;
    let Ok(Some(_)) = left.map(|found| found.filter(|found| found.table == Some(table) && !found.valid))
    else {
        return;
    };
    let limited = hands.session.batch_execute("SET lock_timeout = 0; SET statement_timeout = '10s'").await;
    let drop = drop_statement(&task.index, true);
    let dropped = match limited {
        Ok(()) => hands.session.batch_execute(&drop).await,
        Err(error) => Err(error),
    };
    if dropped.is_err() {
        hands.run.note(format!("what is built of {} stays INVALID; the next run drops it", task.index));
    }
}

impl Work<'_> {
    /// The steps within the statement under way that this migration has ever begun, and whether they are done.
    pub(super) async fn begun(&self) -> anyhow::Result<HashMap<String, bool>> {
        let (session, subject) = (self.lock.session(), self.subject);
        Ok(begun(session, subject.version, &subject.name, self.ordinal).await?)
    }
}

/// The steps within statement `ordinal` that `version`, or work on the index `name`, has ever begun, and whether they are
/// done.
pub(super) async fn begun(
    session: &Session,
    version: Option<i64>,
    name: &str,
    ordinal: usize,
) -> Result<HashMap<String, bool>, PgError> {
    let known = journal::known(session, version, name).await?;
    let prefix = format!("{ordinal}/");
    let of_this = known
        .into_iter()
        .filter_map(|(step, known)| Some((step.strip_prefix(&prefix)?.to_owned(), known.outcome == "done")));
    Ok(of_this.collect())
}
