//! The journal: tables of ours in schema `omtdb` of the migrated database, in which every run and step is noted before it
//! begins and after it ended, failures too. A later run reads there what an earlier one left.
//!
//! It is written over the session that holds the lock: who has lost the lock cannot go on, for nothing begins unnoted.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::watch::{Blocker, Waits};
use crate::pg::error::{Doing as _, PgError, Result};
use crate::pg::{Session, ident};

/// Each query by its file's name.
pub(super) const QUERIES: [(&str, &str); 12] = [
    ("keep", KEEP),
    ("accepted_text", ACCEPTED_TEXT),
    ("exists", EXISTS),
    ("begin_run", BEGIN_RUN),
    ("end_run", END_RUN),
    ("lost_runs", LOST_RUNS),
    ("begin_step", BEGIN_STEP),
    ("end_step", END_STEP),
    ("known_steps", KNOWN_STEPS),
    ("totals", TOTALS),
    ("orphans", ORPHANS),
    ("take_back", TAKE_BACK),
];

/// The journal's tables; making them again changes nothing.
pub const TABLES: &str = include_str!("tables.sql");

const ACCEPTED_TEXT: &str = include_str!("accepted_text.sql");
const EXISTS: &str = include_str!("exists.sql");
const BEGIN_RUN: &str = include_str!("begin_run.sql");
const END_RUN: &str = include_str!("end_run.sql");
const LOST_RUNS: &str = include_str!("lost_runs.sql");
const BEGIN_STEP: &str = include_str!("begin_step.sql");
const END_STEP: &str = include_str!("end_step.sql");
const KEEP: &str = include_str!("keep.sql");
const KNOWN_STEPS: &str = include_str!("known_steps.sql");
const TOTALS: &str = include_str!("totals.sql");
const ORPHANS: &str = include_str!("orphans.sql");
const TAKE_BACK: &str = include_str!("take_back.sql");

/// Who does it, from where, and by which revision of the files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Provenance {
    /// The user of this machine.
    pub os_user: Option<String>,
    /// This machine's name.
    pub host: Option<String>,
    /// Revision of the repository that the files come from, with `+` where it is changed.
    pub revision: Option<String>,
    /// Fingerprint of the plan that is carried out, where one was given.
    pub plan: Option<String>,
}

/// What a run is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    /// `apply`, `baseline`, `repair`, `rebuild`, `drop`.
    pub(super) event: &'static str,
    /// The migration's version; `None` for work on an index alone.
    pub(super) version: Option<i64>,
    /// The migration's, or the index's, name.
    pub(super) name: String,
    /// Its text.
    pub(super) sql: String,
    /// Why, where somebody had to say.
    pub(super) reason: Option<String>,
}

/// How a run or step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// As it should.
    Done,
    /// As it should, in a transaction that is yet to be committed.
    Held,
    /// Somebody interrupted it.
    Interrupted,
    /// It failed: SQLSTATE where there is one, and the message.
    Failed(Option<String>, String),
}

impl Ending {
    fn word(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Held => "held",
            Self::Interrupted => "interrupted",
            Self::Failed(..) => "failed",
        }
    }

    fn why(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::Failed(sqlstate, message) => (sqlstate.as_deref(), Some(message)),
            Self::Done | Self::Held | Self::Interrupted => (None, None),
        }
    }
}

/// What is known of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// Of its text.
    pub(super) digest: String,
    /// Its text.
    pub(super) sql: String,
    /// `running`, `done`, `failed`, …
    pub(super) outcome: String,
}

/// What a run's steps come to.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Steps carried out by this run.
    pub steps: i64,
    /// Attempts that gave way because a lock was not granted in time.
    pub retries: i64,
    /// Waited for locks, in milliseconds, as sampled.
    pub lock_wait_ms: f64,
    /// The longest single wait for a lock, in milliseconds, as sampled.
    pub longest_lock_wait_ms: f64,
    /// Log that the whole server wrote meanwhile, in bytes.
    pub wal_bytes: i64,
}

/// A run, noted.
#[derive(Clone, Copy)]
pub(super) struct Journal<'a> {
    session: &'a Session,
    run: i64,
}

/// Makes the journal's tables where there are none.
///
/// Notes need not reach the disk one by one: whatever a step leaves behind is in the log after the note of its beginning,
/// and a step whose end was lost is looked at again.
pub(super) async fn prepare(session: &Session) -> Result<()> {
    let doing = || "prepare the journal in schema omtdb".to_owned();
    session.batch_execute("SET synchronous_commit = off").await.doing(doing)?;
    let standing = standing(session).await?;
    if standing.tables {
        return Ok(());
    }
    let remedy = "let a role that may create schemas run CREATE SCHEMA omtdb AUTHORIZATION <this role>";
    // The server asks for the right to create a schema before it sees that there is one.
    let schema = if standing.schema { "" } else { "CREATE SCHEMA omtdb; " };
    let made = session.batch_execute(&format!("{schema}{TABLES}")).await.doing(doing);
    made.map_err(|error| if error.is_forbidden() { error.help(remedy) } else { error })
}

/// What there is of the journal.
struct Standing {
    schema: bool,
    tables: bool,
}

/// Refuses a journal that somebody else has laid out: its triggers would run as us, and its notes would be believed.
async fn standing(session: &Session) -> Result<Standing> {
    let doing = || "look for the journal".to_owned();
    let row = session.query_one(EXISTS, &[]).await.doing(doing)?;
    if let Some(strangers) = row.try_get::<_, Option<String>>("strangers")? {
        let why =
            format!("schema omtdb, or a table in it, belongs to {strangers}, whom this role need not trust");
        return Err(PgError::broken(doing(), why)
            .help("make its owner a role that this one is a member of, or drop it if it is not omtdb's"));
    }
    Ok(Standing { schema: row.try_get("schema_there")?, tables: row.try_get("there")? })
}

/// A session of a run that was killed, which is still at a step.
pub(super) async fn orphan(session: &Session) -> Result<Option<String>> {
    let row =
        session.query_opt(ORPHANS, &[]).await.doing(|| "look for sessions of earlier runs".to_owned())?;
    let who = |row: tokio_postgres::Row| {
        let (pid, step, name): (i32, String, String) =
            (row.try_get("pid")?, row.try_get("step")?, row.try_get("name")?);
        Ok(format!("pid {pid}, at step {step} of {name}"))
    };
    row.map(who).transpose()
}

/// Notes how runs ended that nobody ended: as the history, which has `applied`, says, or lost.
pub(super) async fn lose(session: &Session, applied: &[i64]) -> Result<()> {
    session.execute(LOST_RUNS, &[&applied]).await.doing(|| "note how earlier runs ended".to_owned())?;
    Ok(())
}

/// Whether there is a journal.
pub(super) async fn exists(session: &Session) -> Result<bool> {
    Ok(standing(session).await?.tables)
}

/// Name and text with which `version` was last applied, adopted or accepted.
pub(super) async fn accepted(session: &Session, version: i64) -> Result<Option<(String, String)>> {
    let doing = || format!("read what version {version} was applied with");
    let row = session.query_opt(ACCEPTED_TEXT, &[&version]).await.doing(doing)?;
    let text = |row: tokio_postgres::Row| Ok::<_, PgError>((row.try_get("name")?, row.try_get("sql")?));
    row.map(text).transpose().doing(doing)
}

/// BLAKE3 of a text, hexadecimal.
pub(super) fn digest(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

impl<'a> Journal<'a> {
    /// Notes that a run begins.
    pub(super) async fn begin(session: &'a Session, subject: &Subject, by: &Provenance) -> Result<Self> {
        let row = session
            .query_one(
                BEGIN_RUN,
                &[
                    &subject.event,
                    &subject.version,
                    &subject.name,
                    &digest(&subject.sql),
                    &subject.sql,
                    &subject.reason,
                    &by.plan,
                    &by.os_user,
                    &by.host,
                    &env!("CARGO_PKG_VERSION"),
                    &by.revision,
                ],
            )
            .await
            .doing(|| format!("note the beginning of {}", subject.name))?;
        Ok(Self { session, run: row.try_get("id")? })
    }

    /// The run's number.
    pub(super) fn id(self) -> i64 {
        self.run
    }

    /// Notes how the run ended.
    pub(super) async fn end(self, ending: &Ending) -> Result<()> {
        let (sqlstate, message) = ending.why();
        self.note(END_RUN, &[&self.run, &ending.word(), &sqlstate, &message]).await
    }

    /// Notes that `step` begins in the session with process `pid`.
    pub(super) async fn begin_step(self, step: &str, sql: &str, pid: i32) -> Result<()> {
        self.note(BEGIN_STEP, &[&self.run, &step, &digest(sql), &sql, &pid]).await
    }

    /// Notes how `step` ended, and what it waited for.
    pub(super) async fn end_step(self, step: &str, ending: &Ending, waits: &Waits) -> Result<()> {
        let (sqlstate, message) = ending.why();
        let blockers: Vec<String> = waits.blockers.iter().map(Blocker::brief).collect();
        let (total, longest) = (waits.total_ms, waits.longest_ms);
        self.note(
            END_STEP,
            &[&self.run, &step, &ending.word(), &sqlstate, &message, &total, &longest, &blockers],
        )
        .await
    }

    /// The statement that notes a step as done within the transaction that does it: both last, or neither.
    pub(super) fn done_with(self, step: &str) -> String {
        format!(
            "UPDATE omtdb.migration_step SET outcome = 'done' WHERE run = {} AND step = {}",
            self.run,
            ident::literal(step)
        )
    }

    /// Notes that what was done in a transaction lasts.
    pub(super) async fn keep(self) -> Result<()> {
        self.note(KEEP, &[&self.run]).await
    }

    /// Notes that what was done in a transaction did not last.
    pub(super) async fn take_back(self) -> Result<()> {
        self.note(TAKE_BACK, &[&self.run]).await
    }

    /// What the run's steps come to so far.
    pub(super) async fn totals(self) -> Result<Totals> {
        let row = self.session.query_one(TOTALS, &[&self.run]).await.doing(|| "sum up the run".to_owned())?;
        Ok(Totals {
            steps: row.try_get("steps")?,
            retries: row.try_get("retries")?,
            lock_wait_ms: row.try_get("lock_wait_ms")?,
            longest_lock_wait_ms: row.try_get("longest_lock_wait_ms")?,
            wal_bytes: row.try_get("wal_bytes")?,
        })
    }

    async fn note(self, sql: &str, values: &[&(dyn tokio_postgres::types::ToSql + Sync)]) -> Result<()> {
        match self.session.execute(sql, values).await.map_err(PgError::from) {
            Ok(_) => Ok(()),
            Err(error) if error.is_lost() => Err(error.doing("write the journal").help(
                "the session that keeps other migrators out is gone; run the command again: it continues where this one stopped",
            )),
            Err(error) => Err(error.doing("write the journal")),
        }
    }
}

/// What is known of the steps of `version`, or of the index `name`.
pub(super) async fn known(
    session: &Session,
    version: Option<i64>,
    name: &str,
) -> Result<HashMap<String, Known>> {
    let rows =
        session.query(KNOWN_STEPS, &[&version, &name]).await.doing(|| "read the journal".to_owned())?;
    let one = |row: &tokio_postgres::Row| {
        Ok((
            row.try_get("step")?,
            Known {
                digest: row.try_get("digest")?,
                sql: row.try_get("sql")?,
                outcome: row.try_get("outcome")?,
            },
        ))
    };
    rows.iter().map(one).collect()
}
