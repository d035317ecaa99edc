//! A migration whose statements run in one transaction with its row of the history, tried again as a whole while others are
//! in the way.

use super::hands::{Policy, Stop};
use super::journal::{self, Ending};
use super::script::{LockMode, Script, Statement};
use super::stepwise;
use super::watch::Waits;
use super::work::Work;
use crate::pg::error::{Doing as _, PgError};

/// Runs `script` and then `history`, all or nothing.
pub(super) async fn run(work: &mut Work<'_>, script: &Script, history: &str) -> anyhow::Result<()> {
    let known = journal::known(work.lock.session(), work.subject.version, &work.subject.name).await?;
    stepwise::refuse_begun(&known)?;
    let policy = policy(work, script);
    let (mut waits, mut retries) = (Waits::default(), policy.retries());
    loop {
        let stop = match attempt(work, script, history, &policy, &mut waits).await {
            Ok(()) => return Ok(work.journal.keep().await?),
            Err(stop) => stop,
        };
        // The first failure is the one to report; a lost session rolls back by itself.
        drop(work.hands.session.batch_execute("ROLLBACK").await);
        work.journal.take_back().await?;
        match retries.after(&stop) {
            Some(pause) => {
                let what = format!("V{}", work.subject.version.unwrap_or_default());
                work.hands.pause(pause, &what, &waits).await.map_err(|stop| stop.explained(&waits))?;
            }
            None => {
                let place = script.statements.get(work.ordinal.wrapping_sub(1)).map(|one| one.at.line);
                let error = stop.explained(&waits);
                return Err(match place {
                    Some(line) => error.context(format!("statement {} in line {line}", work.ordinal)),
                    None => error,
                });
            }
        }
    }
}

/// Patient only where no statement has a lock that others queue behind: what one of them took is kept while the next waits.
fn policy(work: &Work<'_>, script: &Script) -> Policy {
    let gentle = |one: &Statement| one.strongest() == Some(LockMode::ShareUpdateExclusive);
    if !script.statements.is_empty() && script.statements.iter().all(gentle) {
        work.patient()
    } else {
        work.brisk()
    }
}

async fn attempt(
    work: &mut Work<'_>,
    script: &Script,
    history: &str,
    policy: &Policy,
    waits: &mut Waits,
) -> Result<(), Stop> {
    let session = &work.hands.session;
    work.hands.follow(policy).await?;
    // An id from the beginning makes the transaction recognisable.
    session.batch_execute("BEGIN; SELECT pg_catalog.pg_current_xact_id()").await?;
    let before = transaction(work).await?;
    let mut waited_ms = 0.0;
    for (at, statement) in script.statements.iter().enumerate() {
        work.ordinal = at + 1;
        let policy = policy.less(waited_ms);
        if waited_ms > 0.0 {
            work.hands.follow(&policy).await?;
        }
        waited_ms += one(work, statement, &policy, waits).await?;
        // A procedure that commits would leave its work without a row in the history.
        if transaction(work).await? != before {
            return Err(Stop::Refused(PgError::broken("", ENDED)));
        }
    }
    work.ordinal = 0;
    session.batch_execute(history).await.doing(|| "write the history".to_owned())?;
    session.batch_execute("COMMIT").await.doing(|| "commit".to_owned())?;
    Ok(())
}

const ENDED: &str = "it ends the transaction it runs in; what it did before that stays\n  \
                     help: take COMMIT and ROLLBACK out of it, and undo by hand what it did";

/// How long it waited for locks, in milliseconds.
async fn one(
    work: &Work<'_>,
    statement: &Statement,
    policy: &Policy,
    waits: &mut Waits,
) -> Result<f64, Stop> {
    let name = work.statement_name();
    work.journal.begin_step(&name, &statement.sql, work.hands.pid).await?;
    let mut these = Waits::default();
    let under_way = work.hands.session.batch_execute(&statement.sql);
    let done = work.hands.carry(under_way, policy, &mut these, |_| {}).await;
    policy.at_least(&done, &mut these);
    let ending = done.as_ref().map_or_else(Stop::ending, |()| Ending::Held);
    let noted = work.journal.end_step(&name, &ending, &these).await;
    let waited_ms = these.total_ms;
    waits.merge(these);
    done?;
    noted?;
    Ok(waited_ms)
}

async fn transaction(work: &Work<'_>) -> Result<Option<String>, PgError> {
    let id = "SELECT pg_catalog.pg_current_xact_id_if_assigned()::text";
    Ok(work.hands.session.query_one(id, &[]).await?.try_get(0)?)
}
