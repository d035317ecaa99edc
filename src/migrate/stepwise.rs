//! A migration whose statements run each for itself: noted before and after, so that a run that was killed anywhere is
//! continued by the next, which does nothing twice.

use std::collections::HashMap;

use anyhow::Context as _;

use super::hands::{Policy, Step, Stop};
use super::journal::{self, Ending, Known};
use super::online::{self, standing};
use super::script::{Act, Form, LockMode, Name, NewIndex, Script, Statement};
use super::watch::Waits;
use super::work::Work;
use crate::pg::error::Doing as _;

/// Runs what of `script` is not done yet, and then `history`.
pub(super) async fn run(work: &mut Work<'_>, script: &Script, history: &str) -> anyhow::Result<()> {
    let known = journal::known(work.lock.session(), work.subject.version, &work.subject.name).await?;
    refuse_changed(script, &known)?;
    for (at, statement) in script.statements.iter().enumerate() {
        work.ordinal = at + 1;
        work.run.check()?;
        work.lock.check().await?;
        let stood = known.get(&work.statement_name());
        if stood.is_some_and(|known| known.outcome == "done") {
            work.run.note(format!("statement {} is done already", work.ordinal));
            continue;
        }
        let place = format!("statement {} in line {}", work.ordinal, statement.at.line);
        one(work, statement, stood.is_some()).await.context(place)?;
    }
    work.ordinal = 0;
    let written = work.hands.session.batch_execute(history).await;
    Ok(written.doing(|| "write the history".to_owned())?)
}

/// Refuses to continue a file that is no longer what was begun.
fn refuse_changed(script: &Script, known: &HashMap<String, Known>) -> anyhow::Result<()> {
    for (at, statement) in script.statements.iter().enumerate() {
        let stood = known.get(&(at + 1).to_string());
        anyhow::ensure!(
            stood.is_none_or(|known| known.digest == journal::digest(&statement.sql)),
            "statement {} in line {} has changed since an earlier run began it\n  \
             help: restore the file; or undo by hand what that run did and forget it by `omtdb migrate repair`",
            at + 1,
            statement.at.line
        );
    }
    Ok(())
}

/// How a statement is carried out.
enum Way<'a> {
    Create(&'a NewIndex, usize),
    Drop(&'a Name),
    Rebuild(&'a Name, usize),
    Sweep { check: bool },
    Plain,
}

fn way(statement: &Statement) -> Way<'_> {
    match (&statement.form, &statement.act) {
        (Form::Online { jobs }, Act::CreateIndex(index)) => Way::Create(index, *jobs),
        (Form::Online { .. }, Act::DropIndex(names)) => names.first().map_or(Way::Plain, Way::Drop),
        (Form::Online { jobs }, Act::Reindex(name)) => Way::Rebuild(name, *jobs),
        (Form::Backfill(_), _) => Way::Sweep { check: false },
        (Form::Check(_), _) => Way::Sweep { check: true },
        _ => Way::Plain,
    }
}

async fn one(work: &Work<'_>, statement: &Statement, again: bool) -> anyhow::Result<()> {
    match way(statement) {
        Way::Plain => plain(work, statement, again).await,
        way => whole(work, statement, carry_out(work, statement, way)).await,
    }
}

async fn carry_out(work: &Work<'_>, statement: &Statement, way: Way<'_>) -> anyhow::Result<()> {
    match (way, &statement.form) {
        (Way::Create(index, jobs), _) => online::create(work, index, jobs).await,
        (Way::Drop(name), _) => online::drop_index(work, name).await,
        (Way::Rebuild(name, jobs), _) => online::rebuild(work, name, jobs).await,
        (Way::Sweep { check }, Form::Backfill(sweep) | Form::Check(sweep)) => {
            super::sweep::run(work, sweep, &statement.sql, check).await
        }
        (Way::Sweep { .. } | Way::Plain, _) => Ok(()),
    }
}

/// Notes a statement that consists of steps, before and after.
async fn whole(
    work: &Work<'_>,
    statement: &Statement,
    steps: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let name = work.statement_name();
    work.journal.begin_step(&name, &statement.sql, work.hands.pid).await?;
    let done = steps.await;
    let ending = done.as_ref().map_or_else(ending, |()| Ending::Done);
    let noted = work.journal.end_step(&name, &ending, &Waits::default()).await;
    done?;
    Ok(noted?)
}

/// As the journal notes the failure of something that consists of steps.
pub(super) fn ending(error: &anyhow::Error) -> Ending {
    if error.is::<crate::verdict::Interrupted>() {
        Ending::Interrupted
    } else {
        Ending::Failed(None, format!("{error:#}"))
    }
}

/// A statement as it stands. One that may run in a transaction does, together with the note that it is done; of another,
/// begun before, is found out first how far it came.
async fn plain(work: &Work<'_>, statement: &Statement, again: bool) -> anyhow::Result<()> {
    let sql = if again && statement.refuses_transaction {
        resumed(work, statement).await?
    } else {
        Some(statement.sql.clone())
    };
    let name = work.statement_name();
    let Some(sql) = sql else {
        work.journal.begin_step(&name, &statement.sql, work.hands.pid).await?;
        return Ok(work.journal.end_step(&name, &Ending::Done, &Waits::default()).await?);
    };
    let policy = policy(work, statement);
    let step = Step { name: &name, sql: &sql, policy, within: !statement.refuses_transaction, seen: &|_| {} };
    match work.hands.step(work.journal, &step).await {
        Ok(_) => Ok(()),
        Err((stop, waits)) => {
            note_remains(work, statement, &stop);
            Err(stop.explained(&waits))
        }
    }
}

/// Nobody queues behind SHARE UPDATE EXCLUSIVE, and what takes it waits for old snapshots besides, which a short limit would
/// turn into failures.
fn policy(work: &Work<'_>, statement: &Statement) -> Policy {
    match statement.strongest() {
        Some(mode) if mode > LockMode::ShareUpdateExclusive => work.brisk(),
        None if !statement.refuses_transaction => work.brisk(),
        _ => work.patient(),
    }
}

fn note_remains(work: &Work<'_>, statement: &Statement, stop: &Stop) {
    if let (Act::CreateIndex(index), Stop::Refused(_) | Stop::Stuck(_)) = (&statement.act, stop) {
        work.run.note(format!(
            "what is built of {} may stay INVALID; the next run drops it and builds anew",
            index.name
        ));
    }
}

/// What is to be run of a statement that an earlier run has begun and not ended: nothing when it came to its end.
async fn resumed(work: &Work<'_>, statement: &Statement) -> anyhow::Result<Option<String>> {
    let rerun = Some(statement.sql.clone());
    match &statement.act {
        Act::CreateIndex(index) if !index.name.is_empty() => {
            let name = Name { schema: index.table.schema.clone(), name: index.name.clone() };
            match standing::find(&work.hands.session, &name.quoted()).await? {
                None => Ok(rerun),
                Some(found) if found.valid => Ok(None),
                Some(_) => {
                    let drop = format!("DROP INDEX CONCURRENTLY {}", name.quoted());
                    work.hands.follow(&work.patient()).await?;
                    work.hands.session.batch_execute(&drop).await.doing(|| drop.clone())?;
                    Ok(rerun)
                }
            }
        }
        Act::DropIndex(names) => {
            for name in names {
                if standing::find(&work.hands.session, &name.quoted()).await?.is_some() {
                    return Ok(rerun);
                }
            }
            Ok(None)
        }
        Act::Detach { parent, leaf } => detached(work, parent, leaf, rerun).await,
        Act::CreateIndex(_) | Act::Reindex(_) | Act::Other => Ok(rerun),
    }
}

pub(super) const DETACHING: &str = include_str!("detaching.sql");

/// A concurrent detach has two transactions; between them it is pending, and to be finished.
async fn detached(
    work: &Work<'_>,
    parent: &Name,
    leaf: &Name,
    rerun: Option<String>,
) -> anyhow::Result<Option<String>> {
    let row = work.hands.session.query_opt(DETACHING, &[&parent.quoted(), &leaf.quoted()]).await;
    let row = row.doing(|| format!("look for {leaf}"))?;
    let pending: Option<bool> =
        row.map(|row| row.try_get("pending")).transpose().doing(|| format!("look for {leaf}"))?;
    Ok(match pending {
        None => None,
        Some(false) => rerun,
        Some(true) => {
            Some(format!("ALTER TABLE {} DETACH PARTITION {} FINALIZE", parent.quoted(), leaf.quoted()))
        }
    })
}
