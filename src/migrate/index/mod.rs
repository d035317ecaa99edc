//! An index rebuilt or dropped by itself, beside the migrations: under their lock, in their journal, by the same hands.

mod facts;

use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

use self::facts::Facts;
use super::apply::ready;
use super::hands::Hands;
use super::journal::{self, Ending, Journal, Subject, Totals};
use super::lock::Lock;
use super::script::Name;
use super::work::Work;
use super::{Options, online, stepwise};
use crate::pg::error::{Doing as _, Result};
use crate::pg::{Session, Target};
use crate::run::Run;
use crate::verdict::UsageError;

/// Each query by its file's name; `steps` needs the journal's tables.
pub(super) const QUERIES: [(&str, &str); 2] = [("facts", facts::FACTS), ("steps", STEPS)];

const STEPS: &str = include_str!("steps.sql");

/// What is to be done to an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// It is made anew while it is in use; of a partitioned one each leaf's, at most so many at once.
    Rebuild {
        /// At once.
        jobs: usize,
    },
    /// It goes.
    Drop,
}

impl Deed {
    fn event(self) -> &'static str {
        match self {
            Self::Rebuild { .. } => "rebuild",
            Self::Drop => "drop",
        }
    }
}

/// What would be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// The index.
    pub index: String,
    /// The steps, in order.
    pub steps: Vec<PlannedStep>,
    /// What the index and its parts take on disk; `None` where there is none any more.
    pub bytes: Option<i64>,
    /// Invalid indexes that another rebuild has left, which omtdb did not begin.
    pub left: Vec<String>,
}

/// A step that would be carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Its name in the journal.
    pub step: String,
    /// One statement.
    pub sql: String,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Worked {
    /// The index.
    pub index: String,
    /// The steps, in the order in which they began.
    pub steps: Vec<WorkedStep>,
    /// What the index and its parts took on disk.
    pub bytes_before: Option<i64>,
    /// What they take now.
    pub bytes_after: Option<i64>,
    /// Invalid indexes that another rebuild has left, which omtdb did not begin.
    pub left: Vec<String>,
    /// What the steps come to.
    pub totals: Totals,
}

/// A step that was carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkedStep {
    /// Its name in the journal.
    pub step: String,
    /// One statement.
    pub sql: String,
    /// `done`, as a rule.
    pub outcome: String,
    /// How long it took with all its attempts, in milliseconds.
    pub ms: f64,
    /// Attempts that gave way because a lock was not granted in time.
    pub retries: i64,
    /// Waited for locks, in milliseconds, as sampled.
    pub lock_wait_ms: f64,
}

/// The statement that the steps in the journal belong to; there is only one.
const ONLY: usize = 1;

/// What [`run()`] would do to the index `name` of `target`'s database. Takes no lock, changes nothing.
///
/// # Errors
/// When there is no such index, or it is needed; when the server cannot be reached.
pub async fn plan(target: &Target, name: &Name, deed: Deed) -> anyhow::Result<Planned> {
    let session = Session::connect(target, "migrate").await?;
    let planned = plan_over(&session, name, deed).await;
    session.close().await;
    planned
}

async fn plan_over(session: &Session, name: &Name, deed: Deed) -> anyhow::Result<Planned> {
    let facts = facts::read(session, name).await?;
    refuse_needed(facts.as_ref(), name, deed)?;
    let begun = match journal::exists(session).await? {
        true => online::begun(session, None, &name.to_string(), ONLY).await?,
        false => std::collections::HashMap::new(),
    };
    let (steps, left) = match deed {
        Deed::Rebuild { .. } => online::steps_of_rebuild(session, name, &begun).await?,
        Deed::Drop => (online::steps_of_drop(session, name, &begun).await?, Vec::new()),
    };
    let step = |(step, sql)| PlannedStep { step, sql };
    Ok(Planned {
        index: name.to_string(),
        steps: steps.into_iter().map(step).collect(),
        bytes: facts.map(|facts| facts.bytes),
        left,
    })
}

fn refuse_needed(facts: Option<&Facts>, name: &Name, deed: Deed) -> Result<(), UsageError> {
    let needed = facts.filter(|_| deed == Deed::Drop).and_then(|facts| facts.needed(name));
    needed.map_or(Ok(()), |why| Err(UsageError(why)))
}

/// Rebuilds or drops the index `name` of `target`'s database. A run that was killed is continued by the next.
///
/// # Errors
/// When there is no such index, or it is needed; when another omtdb works on the database for longer than `options.wait`
/// ([`super::Busy`]); when a step fails, naming it; when interrupted.
pub async fn run(
    target: &Target,
    name: &Name,
    deed: Deed,
    options: &Options,
    run: &Run,
) -> anyhow::Result<Worked> {
    let lock = Lock::take(target, options.wait, run).await?;
    let done = run_locked(target, &lock, name, deed, options, run).await;
    lock.release().await;
    done
}

async fn run_locked(
    target: &Target,
    lock: &Lock,
    name: &Name,
    deed: Deed,
    options: &Options,
    run: &Run,
) -> anyhow::Result<Worked> {
    ready(lock, options, run).await?;
    let planned = plan_over(lock.session(), name, deed).await?;
    let subject = subject(name, deed, &planned);
    let hands = Hands::new(target, lock, run).await?;
    let journal = Journal::begin(lock.session(), &subject, &options.by).await?;
    let work = Work { target, lock, hands: &hands, run, options, subject: &subject, journal, ordinal: ONLY };
    let done = match deed {
        Deed::Rebuild { jobs } => online::rebuild(&work, name, jobs).await,
        Deed::Drop => online::drop_index(&work, name).await,
    };
    let ending = done.as_ref().map_or_else(stepwise::ending, |()| Ending::Done);
    let noted = journal.end(&ending).await;
    hands.session.close().await;
    done?;
    noted?;
    let bytes_after = facts::read(lock.session(), name).await?.map(|facts| facts.bytes);
    let (steps, totals) = (steps(lock.session(), journal).await?, journal.totals().await?);
    let Planned { index, bytes: bytes_before, left, .. } = planned;
    Ok(Worked { index, steps, bytes_before, bytes_after, left, totals })
}

fn subject(name: &Name, deed: Deed, planned: &Planned) -> Subject {
    let sql: Vec<&str> = planned.steps.iter().map(|one| one.sql.as_str()).collect();
    Subject { event: deed.event(), version: None, name: name.to_string(), sql: sql.join(";\n"), reason: None }
}

async fn steps(session: &Session, journal: Journal<'_>) -> Result<Vec<WorkedStep>> {
    let doing = || "read what was done".to_owned();
    let rows = session.query(STEPS, &[&journal.id()]).await.doing(doing)?;
    rows.iter().map(step).collect::<Result<_>>().doing(doing)
}

fn step(row: &Row) -> Result<WorkedStep> {
    let step: String = row.try_get("step")?;
    Ok(WorkedStep {
        step: step.split_once('/').map_or(step.as_str(), |(_, part)| part).to_owned(),
        sql: row.try_get("sql")?,
        outcome: row.try_get("outcome")?,
        ms: row.try_get("ms")?,
        retries: row.try_get("retries")?,
        lock_wait_ms: row.try_get("lock_wait_ms")?,
    })
}
