//! Migrations: which there are ([`source`]), which are applied, applying the rest ([`apply()`]), and whether the database
//! is what they promise.
//!
//! Refinery gives the files' format, the history and its checks. What it lacks is here: one migrator at a time, names
//! that are checked, an interrupt, a limit to lock waits, and a duration for each migration.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::pg::{Session, Target};
use crate::schema::{self, Drift};

mod apply;
pub mod baseline;
mod executor;
mod hands;
mod history;
pub mod index;
pub mod journal;
pub mod lint;
mod lock;
mod online;
mod plan;
pub mod repair;
pub mod script;
pub mod source;
pub mod steps;
mod stepwise;
mod sweep;
pub mod targets;
mod together;
mod watch;
mod work;

pub use apply::{Options, PlanChanged, Unsafe, apply};
pub use journal::{Provenance, Totals};
pub use lock::{Busy, KEY as LOCK_KEY};
pub use plan::Problem;
pub use source::{Source, SourceError};
pub use steps::{Plan, plan};

/// Every query of this module by its file's name; those of the journal need its tables ([`journal::TABLES`]).
pub fn queries() -> impl Iterator<Item = (&'static str, &'static str)> {
    let own = [
        ("watch", watch::WATCH),
        ("detaching", stepwise::DETACHING),
        ("history", history::HISTORY),
        ("sizes", steps::SIZES),
    ];
    let locks = [("lock", lock::LOCK), ("lock_holder", lock::HOLDER)];
    let journal = journal::QUERIES.into_iter().chain(sweep::QUERIES);
    own.into_iter()
        .chain(locks)
        .chain(journal)
        .chain(online::standing::QUERIES)
        .chain(index::QUERIES)
        .chain(repair::QUERIES)
}

/// What is applied to `target`'s database and what is not. Takes no lock, creates nothing.
///
/// # Errors
/// When the server cannot be reached, or its history cannot be read.
pub async fn status(target: &Target, source: &Source) -> anyhow::Result<Status> {
    let session = Session::connect(target, "migrate").await?;
    let applied = history::read(&session).await?;
    let mut status = plan::status(source.migrations(), &source.opt_in(), &applied);
    repair::change::show(&session, source, &applied, &mut status.problems).await?;
    session.close().await;
    Ok(status)
}

/// Holds `target`'s database against the plan's schema at the version that its history says; without a history, against
/// the first phase's.
///
/// # Errors
/// When the server cannot be reached, or its catalog cannot be read.
pub async fn verify(target: &Target) -> anyhow::Result<Verified> {
    let mut session = Session::connect(target, "verify").await?;
    let current = history::read(&session).await?.iter().map(refinery_core::Migration::version).max();
    let live = schema::read(&mut session).await?;
    session.close().await;
    Ok(Verified { drift: schema::diff(&schema::plan::at(current.unwrap_or_default()), &live) })
}

/// What `migrate status` reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the newest applied migration.
    pub current: Option<i64>,
    /// Version that applying what is pending leads to.
    pub latest: Option<i64>,
    /// Known and not applied, in order.
    pub pending: Vec<Known>,
    /// Known, not applied, and only applied when a target version reaches them, in order.
    pub optional: Vec<Known>,
    /// Applied, in order.
    pub applied: Vec<Done>,
    /// Disagreements between the files and the history; while there is one, nothing is applied.
    pub problems: Vec<Problem>,
}

impl Status {
    /// Whether nothing is pending, and files and history agree.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.pending.is_empty() && self.problems.is_empty()
    }

    /// Fails while files and history disagree, saying every way in which they do.
    ///
    /// # Errors
    /// All problems at once.
    fn refuse_problems(&self, source: &Source) -> anyhow::Result<()> {
        let problems: Vec<String> = self.problems.iter().map(Problem::to_string).collect();
        anyhow::ensure!(
            problems.is_empty(),
            "the database's history disagrees with {source}; nothing was applied\n{}",
            problems.join("\n")
        );
        Ok(())
    }
}

/// A migration that there is a file for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Number in the file's name.
    pub version: i64,
    /// Words in the file's name.
    pub name: String,
}

/// `V7__user_media`, as in its file's name.
impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "V{}__{}", self.version, self.name)
    }
}

/// A migration in the database's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Its version.
    pub version: i64,
    /// Its name.
    pub name: String,
    /// When it was applied, RFC 3339.
    pub applied_on: String,
}

/// What `migrate apply` did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Applied {
    /// The migrations applied by this run, in order; empty when there was nothing to do.
    pub applied: Vec<Step>,
    /// Version of the newest applied migration afterwards.
    pub current: Option<i64>,
}

/// One applied migration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its version.
    pub version: i64,
    /// Its name.
    pub name: String,
    /// How long it took, in milliseconds.
    pub ms: f64,
    /// What its steps come to.
    #[serde(flatten)]
    pub totals: Totals,
}

/// What `migrate verify` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Every difference between the database and the plan; empty when there is none.
    pub drift: Vec<Drift>,
}
