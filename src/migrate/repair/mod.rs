//! Accepts a file that was changed after it was applied; forgets the steps of a run that was not ended. Both rewrite what
//! later runs go by, so both need a reason, which the journal keeps.

pub(super) mod change;

use refinery_core::Migration;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

use super::apply::ready;
use super::journal::{self, Ending, Journal, Subject};
use super::lock::Lock;
use super::source::Source;
use super::{Options, history};
use crate::pg::error::{Doing as _, Result};
use crate::pg::{PgError, Session, Target};
use crate::run::Run;
use crate::verdict::UsageError;

/// Each query by its file's name; all need the journal's tables.
pub(super) const QUERIES: [(&str, &str); 3] =
    [("begun_steps", BEGUN_STEPS), ("forget_steps", FORGET_STEPS), ("rewrite_history", REWRITE_HISTORY)];

const BEGUN_STEPS: &str = include_str!("begun_steps.sql");
const FORGET_STEPS: &str = include_str!("forget_steps.sql");
const REWRITE_HISTORY: &str = include_str!("rewrite_history.sql");

/// What there is to repair of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Finding {
    /// Nothing: file and history agree, and no run was left half done.
    Nothing,
    /// The file is not what was applied.
    Changed {
        /// Name in the history.
        applied: String,
        /// Name of the file.
        file: String,
        /// Checksum in the history.
        applied_checksum: String,
        /// Checksum of the file.
        file_checksum: String,
        /// What has changed, line by line; `None` where the journal does not hold what was applied.
        diff: Option<String>,
    },
    /// It is not applied, and a run of it was left half done.
    Begun {
        /// What that run did, in the order in which it began.
        steps: Vec<BegunStep>,
    },
}

/// A step of a run that was left half done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BegunStep {
    /// Its name in the journal.
    pub step: String,
    /// `done`, `failed`, `running` (it was killed), …
    pub outcome: String,
    /// One statement.
    pub sql: String,
    /// Rows that a backfill has changed.
    pub changed_rows: Option<i64>,
}

/// What is to be repaired, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repair<'a> {
    /// The version.
    pub version: i64,
    /// Why; the journal keeps it.
    pub reason: &'a str,
    /// What [`look`] has shown; anything else is left alone.
    pub finding: &'a Finding,
}

/// Looks at what there is to repair of `version` in `target`'s database. Takes no lock, changes nothing.
///
/// # Errors
/// When neither file nor history know the version, or only the history does; when the server cannot be reached.
pub async fn look(target: &Target, source: &Source, version: i64) -> anyhow::Result<Finding> {
    let session = Session::connect(target, "migrate").await?;
    let finding = look_over(&session, source, version).await;
    session.close().await;
    finding
}

async fn look_over(session: &Session, source: &Source, version: i64) -> anyhow::Result<Finding> {
    let applied = history::read(session).await?.into_iter().find(|one| one.version() == version);
    let has_journal = journal::exists(session).await?;
    let Some(applied) = applied else {
        let steps = if has_journal { begun(session, version).await? } else { Vec::new() };
        if steps.is_empty() && source.migration(version).is_none() {
            return Err(UsageError(format!("there is no migration {version}")).into());
        }
        return Ok(if steps.is_empty() { Finding::Nothing } else { Finding::Begun { steps } });
    };
    let file = source.migration(version).ok_or_else(|| missing(&applied))?;
    if *file == applied {
        return Ok(Finding::Nothing);
    }
    let accepted = if has_journal { journal::accepted(session, version).await? } else { None };
    Ok(changed(&applied, accepted.as_ref(), file))
}

fn missing(applied: &Migration) -> UsageError {
    UsageError(format!(
        "version {} ({}) was applied, and there is no file for it to be repaired by\n  help: bring the file back, or use a newer omtdb: another branch or release has been here",
        applied.version(),
        applied.name()
    ))
}

fn changed(applied: &Migration, accepted: Option<&(String, String)>, file: &Migration) -> Finding {
    Finding::Changed {
        applied: applied.name().to_owned(),
        file: file.name().to_owned(),
        applied_checksum: applied.checksum().to_string(),
        file_checksum: file.checksum().to_string(),
        diff: change::of(applied, accepted, file),
    }
}

async fn begun(session: &Session, version: i64) -> Result<Vec<BegunStep>> {
    let doing = || format!("read what was begun of version {version}");
    let rows = session.query(BEGUN_STEPS, &[&version]).await.doing(doing)?;
    let one = |row: &Row| {
        Ok(BegunStep {
            step: row.try_get("step")?,
            outcome: row.try_get("outcome")?,
            sql: row.try_get("sql")?,
            changed_rows: row.try_get("changed")?,
        })
    };
    rows.iter().map(one).collect::<Result<_>>().doing(doing)
}

/// Does what `repair` says to `target`'s database, and notes it, all or nothing.
///
/// # Errors
/// When there is something else to repair by now than was shown; when another omtdb works on the database for longer than
/// `options.wait` ([`super::Busy`]); when the server refuses; when interrupted.
pub async fn repair(
    target: &Target,
    source: &Source,
    repair: &Repair<'_>,
    options: &Options,
    run: &Run,
) -> anyhow::Result<()> {
    let lock = Lock::take(target, options.wait, run).await?;
    let done = repair_locked(target, &lock, source, repair, options, run).await;
    lock.release().await;
    done
}

async fn repair_locked(
    target: &Target,
    lock: &Lock,
    source: &Source,
    repair: &Repair<'_>,
    options: &Options,
    run: &Run,
) -> anyhow::Result<()> {
    ready(lock, options, run).await?;
    anyhow::ensure!(
        look_over(lock.session(), source, repair.version).await? == *repair.finding,
        "there is something else to repair by now than was shown; nothing was done\n  help: run the command again"
    );
    // A session that goes rolls back by itself.
    let session = Session::connect(target, "migrate").await?;
    session.batch_execute("BEGIN").await.map_err(PgError::from)?;
    act(&session, repair).await?;
    let journal = Journal::begin(&session, &subject(source, repair), &options.by).await?;
    journal.end(&Ending::Done).await?;
    lock.check().await?;
    session.batch_execute("COMMIT").await.doing(|| "commit".to_owned())?;
    session.close().await;
    Ok(())
}

fn subject(source: &Source, repair: &Repair<'_>) -> Subject {
    let file = source.migration(repair.version);
    Subject {
        event: "repair",
        version: Some(repair.version),
        name: file.map_or_else(|| format!("V{}", repair.version), |file| file.name().to_owned()),
        sql: file.and_then(Migration::sql).unwrap_or_default().to_owned(),
        reason: Some(repair.reason.to_owned()),
    }
}

async fn act(session: &Session, repair: &Repair<'_>) -> anyhow::Result<()> {
    let version = repair.version;
    match repair.finding {
        Finding::Nothing => {}
        Finding::Changed { file, applied_checksum, file_checksum, .. } => {
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                [&version, file, file_checksum, applied_checksum];
            let rewritten = session.execute(REWRITE_HISTORY, &values).await;
            let rewritten = rewritten.doing(|| format!("rewrite version {version} of {}", history::TABLE))?;
            anyhow::ensure!(rewritten == 1, "the history has changed meanwhile; nothing was done");
        }
        Finding::Begun { .. } => {
            let forgotten = session.execute(FORGET_STEPS, &[&version]).await;
            forgotten.doing(|| format!("forget the steps of version {version}"))?;
        }
    }
    Ok(())
}
