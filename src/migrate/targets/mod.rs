//! Many databases migrated one after the other: which ([`mod@file`]), in which order ([`mod@order`]), and until the first failure.

pub mod file;
pub mod order;
mod secret;

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{Applied, Known, Options, Source, Status, apply, status};
use crate::pg::Target;
use crate::run::Run;

pub use file::read;
pub use order::{Choice, order};

/// A target of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, unique in the file.
    pub name: String,
    /// Whether it goes before the others.
    pub canary: bool,
    /// Where it is.
    pub way: Way,
}

/// Where a target is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// A connection string without a password.
    Url(String),
    /// A service of the service file.
    Service(String),
    /// An environment variable that holds the connection string.
    Variable(String),
}

/// A target, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub target: Target,
}

/// Two of the names that lead to one and the same database, where there are two.
#[must_use]
pub fn same(chosen: &[Chosen]) -> Option<(&str, &str)> {
    chosen.iter().enumerate().find_map(|(at, one)| {
        let earlier = chosen.iter().take(at);
        let is_same = |other: &&Chosen| {
            other.target.hosts == one.target.hosts && other.target.dbname == one.target.dbname
        };
        earlier.into_iter().find(is_same).map(|other| (other.name.as_str(), one.name.as_str()))
    })
}

/// What was asked of several targets, and why it was not done to the end.
#[derive(Debug, Serialize)]
pub struct Asked<T> {
    /// Each of them, in order.
    pub targets: Vec<T>,
    /// The first failure.
    #[serde(skip)]
    pub failure: Option<anyhow::Error>,
}

/// How it went with a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Something was applied.
    Applied,
    /// Nothing was left to be applied.
    UpToDate,
    /// Not all that was to be applied is.
    Failed,
    /// Another one failed before.
    NotTried,
}

/// What `migrate apply` did to a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// The target.
    pub name: String,
    /// How it went.
    pub state: State,
    /// Version before; `None` where there was none, or it is unknown.
    pub from: Option<i64>,
    /// Version afterwards.
    pub to: Option<i64>,
    /// What was applied, in order.
    pub applied: Vec<Known>,
    /// Why it failed.
    pub error: Option<String>,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// Applies what is pending to each of `chosen`, in their order, until one fails.
pub async fn apply_each(chosen: &[Chosen], source: &Source, options: &Options, run: &Run) -> Asked<Rollout> {
    let mut asked = Asked { targets: Vec::new(), failure: None };
    for one in chosen {
        if asked.failure.is_some() {
            asked.targets.push(not_tried(one));
            continue;
        }
        let (rollout, failure) = apply_one(one, source, options, run).await;
        asked.targets.push(rollout);
        asked.failure = failure.map(|error| error.context(format!("target {}", one.name)));
    }
    asked
}

fn not_tried(one: &Chosen) -> Rollout {
    Rollout {
        name: one.name.clone(),
        state: State::NotTried,
        from: None,
        to: None,
        applied: Vec::new(),
        error: None,
        seconds: 0.0,
    }
}

async fn apply_one(
    one: &Chosen,
    source: &Source,
    options: &Options,
    run: &Run,
) -> (Rollout, Option<anyhow::Error>) {
    let (run, since) = (run.of(&one.name), Instant::now());
    let mut rollout = not_tried(one);
    let before = match status(&one.target, source).await {
        Ok(before) => before,
        Err(error) => return failed(rollout, error, since),
    };
    rollout.from = before.current;
    match apply(&one.target, source, options, &run).await {
        Ok(applied) => (done(rollout, applied, since, &run), None),
        Err(error) => {
            // What was applied before the failure stays; a server that is gone cannot be asked.
            if let Ok(after) = status(&one.target, source).await {
                rollout.applied = newer(&before, &after);
                rollout.to = after.current;
            }
            failed(rollout, error, since)
        }
    }
}

fn done(rollout: Rollout, applied: Applied, since: Instant, run: &Run) -> Rollout {
    let known = applied.applied.into_iter().map(|step| Known { version: step.version, name: step.name });
    let known: Vec<Known> = known.collect();
    run.note(format!("{} applied, at {}", known.len(), version(applied.current)));
    let state = if known.is_empty() { State::UpToDate } else { State::Applied };
    Rollout { state, to: applied.current, applied: known, seconds: since.elapsed().as_secs_f64(), ..rollout }
}

fn version(version: Option<i64>) -> String {
    version.map_or_else(|| "no version".to_owned(), |version| format!("version {version}"))
}

fn failed(rollout: Rollout, error: anyhow::Error, since: Instant) -> (Rollout, Option<anyhow::Error>) {
    let seconds = since.elapsed().as_secs_f64();
    let rollout = Rollout { state: State::Failed, error: Some(format!("{error:#}")), seconds, ..rollout };
    (rollout, Some(error))
}

/// What the history has after, and had not before.
fn newer(before: &Status, after: &Status) -> Vec<Known> {
    let is_new = |version| before.applied.iter().all(|one| one.version != version);
    let new = after.applied.iter().filter(|one| is_new(one.version));
    new.map(|one| Known { version: one.version, name: one.name.clone() }).collect()
}

/// What a target answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer<T> {
    /// The target.
    pub name: String,
    /// Its answer.
    #[serde(flatten)]
    pub answer: Option<T>,
    /// Why there is none.
    pub error: Option<String>,
}

/// Asks each of `chosen`, in their order; who does not answer keeps nobody from being asked.
pub async fn ask_each<T>(
    chosen: &[Chosen],
    run: &Run,
    ask: impl AsyncFn(&Target) -> anyhow::Result<T>,
) -> Asked<Answer<T>> {
    let mut asked = Asked { targets: Vec::new(), failure: None };
    for one in chosen {
        let answered = match run.check() {
            Ok(()) => ask(&one.target).await,
            Err(interrupted) => Err(interrupted.into()),
        };
        let error = answered.as_ref().err().map(|error| format!("{error:#}"));
        match answered {
            Ok(answer) => {
                asked.targets.push(Answer { name: one.name.clone(), answer: Some(answer), error });
            }
            Err(error_itself) => {
                asked.targets.push(Answer { name: one.name.clone(), answer: None, error });
                let named = || error_itself.context(format!("target {}", one.name));
                asked.failure = asked.failure.or_else(|| Some(named()));
            }
        }
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_names_of_one_database_are_told() {
        let chosen = |name: &str, dbname: &str| Chosen {
            name: name.to_owned(),
            target: Target::socket("/tmp", 5432, name, dbname),
        };
        assert_eq!(same(&[chosen("a", "x"), chosen("b", "y")]), None);
        assert_eq!(same(&[chosen("a", "x"), chosen("b", "y"), chosen("c", "x")]), Some(("a", "c")));
    }
}
