//! A migration whose statements run each for itself: noted before and after, so that a run that was killed anywhere is
//! continued by the next, which does nothing twice.

use std::collections::HashMap;

use anyhow::Context as _;

use super::hands::{Policy, Step};
use super::journal::{self, Ending, Known};
use super::online;
use super::script::{self, Act, Form, LockMode, Name, NewIndex, Script, Statement};
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
        let stood = stood.filter(|known| known.digest == journal::digest(&statement.sql));
        one(work, statement, stood).await.context(place)?;
    }
    work.ordinal = 0;
    let written = work.hands.session.batch_execute(history).await;
    Ok(written.doing(|| "write the history".to_owned())?)
}

const CHANGED: &str =
    "restore the file; or undo by hand what that run did and forget it by `omtdb migrate repair`";

/// Refuses to continue a file that is no longer what was begun.
pub(super) fn refuse_changed(script: &Script, known: &HashMap<String, Known>) -> anyhow::Result<()> {
    for (step, stood) in left_behind(known) {
        let Some(statement) = step.checked_sub(1).and_then(|at| script.statements.get(at)) else {
            anyhow::bail!("statement {step} is gone, and an earlier run has begun it\n  help: {CHANGED}");
        };
        anyhow::ensure!(
            stood.digest == journal::digest(&statement.sql),
            "statement {step} in line {} has changed since an earlier run began it\n  help: {CHANGED}",
            statement.at.line
        );
    }
    Ok(())
}

/// Refuses to run together what an earlier run has begun step by step.
pub(super) fn refuse_begun(known: &HashMap<String, Known>) -> anyhow::Result<()> {
    match left_behind(known).first() {
        None => Ok(()),
        Some((step, _)) => anyhow::bail!(
            "an earlier run has begun statement {step} by itself, and now all are to run together\n  help: {CHANGED}"
        ),
    }
}

/// The statements that were begun and may have left something, by number.
fn left_behind(known: &HashMap<String, Known>) -> Vec<(usize, &Known)> {
    let statements = known.iter().filter_map(|(step, one)| Some((step.parse().ok()?, one)));
    let mut left: Vec<(usize, &Known)> =
        statements.filter(|(step, one)| may_have_left(known, *step, one)).collect();
    left.sort_by_key(|(step, _)| *step);
    left
}

/// Whether a statement may have left something: one that did not come to its end has not, where it ran in a transaction.
fn may_have_left(known: &HashMap<String, Known>, step: usize, one: &Known) -> bool {
    let part = format!("{step}/");
    let alone = |script: &Script| script.statements.iter().any(|one| one.refuses_transaction);
    one.outcome == "done"
        || known.keys().any(|other| other.starts_with(&part))
        || script::parse(&one.sql).map_or(true, |script| alone(&script))
}

/// How a statement is carried out.
pub(super) enum Way<'a> {
    Create(&'a NewIndex, usize),
    Drop(&'a Name),
    Rebuild(&'a Name, usize),
    Sweep { check: bool },
    Plain,
}

/// A concurrent statement about one index is carried out as an online one is: what it leaves when it fails or is killed is
/// known then. One that names no schema is left to the server.
pub(super) fn way(statement: &Statement) -> Way<'_> {
    let jobs = match (&statement.form, statement.refuses_transaction) {
        (Form::Online { jobs }, _) => *jobs,
        (Form::Plain, true) => 1,
        (Form::Backfill(_), _) => return Way::Sweep { check: false },
        (Form::Check(_), _) => return Way::Sweep { check: true },
        (Form::Plain, false) => return Way::Plain,
    };
    match &statement.act {
        Act::CreateIndex(index) if index.table.schema.is_some() && !index.name.is_empty() => {
            Way::Create(index, jobs)
        }
        Act::DropIndex(names) => match names.as_slice() {
            [name] if name.schema.is_some() => Way::Drop(name),
            _ => Way::Plain,
        },
        Act::Reindex(name) if name.schema.is_some() => Way::Rebuild(name, jobs),
        _ => Way::Plain,
    }
}

async fn one(work: &Work<'_>, statement: &Statement, stood: Option<&Known>) -> anyhow::Result<()> {
    match way(statement) {
        Way::Plain => plain(work, statement, stood).await,
        way => whole(work, statement, way).await,
    }
}

/// What its parts wait for is noted with each of them; what batches wait for goes to `waits`.
async fn carry_out(
    work: &Work<'_>,
    statement: &Statement,
    way: Way<'_>,
    waits: &mut Waits,
) -> anyhow::Result<()> {
    match (way, &statement.form) {
        (Way::Create(index, jobs), _) => online::create(work, index, jobs).await,
        (Way::Drop(name), _) => online::drop_index(work, name).await,
        (Way::Rebuild(name, jobs), _) => online::rebuild(work, name, jobs).await,
        (Way::Sweep { check }, Form::Backfill(sweep) | Form::Check(sweep)) => {
            super::sweep::run(work, sweep, &statement.sql, check, waits).await
        }
        (Way::Sweep { .. } | Way::Plain, _) => Ok(()),
    }
}

/// Notes a statement that consists of steps, before and after.
async fn whole(work: &Work<'_>, statement: &Statement, way: Way<'_>) -> anyhow::Result<()> {
    let (name, mut waits) = (work.statement_name(), Waits::default());
    work.journal.begin_step(&name, &statement.sql, work.hands.pid).await?;
    let done = carry_out(work, statement, way, &mut waits).await;
    let ending = done.as_ref().map_or_else(ending, |()| Ending::Done);
    let noted = work.journal.end_step(&name, &ending, &waits).await;
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
async fn plain(work: &Work<'_>, statement: &Statement, stood: Option<&Known>) -> anyhow::Result<()> {
    let sql = match (&statement.act, stood) {
        (Act::Detach { parent, leaf }, Some(stood)) => detached(work, parent, leaf, statement, stood).await?,
        _ => Some(statement.sql.clone()),
    };
    let name = work.statement_name();
    let Some(sql) = sql else {
        work.journal.begin_step(&name, &statement.sql, work.hands.pid).await?;
        return Ok(work.journal.end_step(&name, &Ending::Done, &Waits::default()).await?);
    };
    let (policy, within) = (policy(work, statement), !statement.refuses_transaction);
    let step = Step { name: &name, sql: &sql, text: &statement.sql, policy, within, seen: &|_| {} };
    let done = work.hands.step(work.journal, &step).await;
    done.map(drop).map_err(|(stop, waits)| stop.explained(&waits))
}

/// Nobody queues behind SHARE UPDATE EXCLUSIVE, and what takes it waits for old snapshots besides, which a short limit would
/// turn into failures; a concurrent detach so twice, and takes its leaf when nobody reads it any more. What takes a lock
/// that the statement does not name is brisk.
fn policy(work: &Work<'_>, statement: &Statement) -> Policy {
    match (&statement.act, statement.strongest()) {
        (Act::Detach { .. }, _) | (_, Some(LockMode::ShareUpdateExclusive)) => work.patient(),
        _ => work.brisk(),
    }
}

pub(super) const DETACHING: &str = include_str!("detaching.sql");

/// What is to be run of a concurrent detach that was begun. It has two transactions; between them it is pending, and to be
/// finished. What is no leaf any more is detached if the run was killed at it, and was never one if the server said so.
async fn detached(
    work: &Work<'_>,
    parent: &Name,
    leaf: &Name,
    statement: &Statement,
    stood: &Known,
) -> anyhow::Result<Option<String>> {
    let row = work.hands.session.query_opt(DETACHING, &[&parent.quoted(), &leaf.quoted()]).await;
    let row = row.doing(|| format!("look for {leaf}"))?;
    let pending: Option<bool> =
        row.map(|row| row.try_get("pending")).transpose().doing(|| format!("look for {leaf}"))?;
    let finalize = || format!("ALTER TABLE {} DETACH PARTITION {} FINALIZE", parent.quoted(), leaf.quoted());
    Ok(match pending {
        Some(true) => Some(finalize()),
        None if matches!(stood.outcome.as_str(), "running" | "interrupted") => None,
        None | Some(false) => Some(statement.sql.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(steps: &[(&str, &str, &str)]) -> HashMap<String, Known> {
        let one = |&(step, sql, outcome): &(&str, &str, &str)| {
            let known =
                Known { digest: journal::digest(sql), sql: sql.to_owned(), outcome: outcome.to_owned() };
            (step.to_owned(), known)
        };
        steps.iter().map(one).collect()
    }

    fn refused(text: &str, steps: &[(&str, &str, &str)]) -> bool {
        refuse_changed(&script::parse(text).unwrap(), &known(steps)).is_err()
    }

    #[test]
    fn what_left_nothing_may_change() {
        let text = "-- omtdb: no-transaction\nSELECT 1;\nSELECT 2";
        assert!(!refused(text, &[("1", "SELECT 1", "done"), ("2", "SELECT 1 / 0", "failed")]));
        assert!(refused(text, &[("1", "SELECT 0", "done")]));
        assert!(refused(text, &[("2", "VACUUM", "failed")]), "it ran in no transaction");
        assert!(refused(text, &[("2", "UPDATE a SET b = 1 WHERE c BETWEEN $1 AND $2", "failed")]));
        let online =
            [("2", "CREATE INDEX i ON a (b)", "failed"), ("2/build a.i", "CREATE INDEX …", "running")];
        assert!(refused(text, &online) && !refused(text, &online[..1]));
        assert!(refused(text, &[("3", "SELECT 3", "done")]), "a statement is gone");
    }

    #[test]
    fn what_was_begun_by_itself_does_not_run_together() {
        assert!(refuse_begun(&known(&[("1", "SELECT 1", "failed")])).is_ok());
        assert!(refuse_begun(&known(&[("1", "SELECT 1", "done")])).is_err());
    }
}
