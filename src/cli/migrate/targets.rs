//! `--targets FILE`: the same for many databases, one after the other.

use std::path::PathBuf;

use anyhow::Context as _;
use omtdb::migrate::targets::{self, Answer, Asked, Choice, Chosen, Entry, Rollout, State, Way};
use omtdb::migrate::{self, Options, Source, Status, Verified};
use omtdb::pg::target::Secret;
use omtdb::verdict::{UsageError, Verdict};
use serde::Serialize;

use super::super::output::table;
use super::super::place::PlaceArgs;
use super::super::{Cx, Outcome};
use super::{drift_text, problem_text};

/// Explains a file of targets where the arguments end.
pub(super) const HELP: &str = "\
A file of targets is YAML. Canaries go first, then the others, each kind in the order of the file; the first failure ends it, \
and what comes after is not tried. No password may stand in it: passwords come from ~/.pgpass, the service file or the \
variable that url_env names.
  version: 1
  targets:
    - { name: eu-canary, service: omt-eu-canary, canary: true }
    - { name: eu-1, url: \"postgresql://migrator@db1.example/omt?sslmode=verify-full\" }
    - { name: us-1, url_env: OMT_US1_URL }";

/// `--targets`, `--only`, `--canary-only`.
#[derive(clap::Args, Debug, Clone)]
#[command(next_help_heading = "Many targets")]
pub(super) struct TargetsArgs {
    /// Do it to each target of this file, canaries first
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "scratch"])]
    targets: Option<PathBuf>,
    /// To these alone
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',', requires = "targets")]
    only: Vec<String>,
    /// To canaries alone
    #[arg(long, requires = "targets")]
    canary_only: bool,
}

impl TargetsArgs {
    /// The targets that are meant, in order, all of them resolved before anything is done to one; `None` without a file.
    pub(super) async fn chosen(&self, place: &PlaceArgs) -> anyhow::Result<Option<Vec<Chosen>>> {
        let Some(file) = &self.targets else { return Ok(None) };
        let entries = targets::read(file)?;
        let choice = Choice { only: self.only.clone(), canary_only: self.canary_only };
        let mut chosen = Vec::new();
        for entry in targets::order(&entries, &choice)? {
            let place = PlaceArgs { url: Some(conninfo(entry)?), scratch: None, ..place.clone() };
            let resolved = place.resolve().await;
            let named = || format!("target {} of {}", entry.name, file.display());
            chosen.push(Chosen { name: entry.name.clone(), target: resolved.with_context(named)?.target });
        }
        match targets::same(&chosen) {
            None => Ok(Some(chosen)),
            Some((one, other)) => {
                Err(UsageError(format!("targets {one} and {other} lead to the same database")).into())
            }
        }
    }
}

fn conninfo(entry: &Entry) -> anyhow::Result<Secret> {
    match &entry.way {
        Way::Url(url) => Ok(Secret::new(url)),
        Way::Service(name) => {
            Ok(Secret::new(format!("service='{}'", name.replace('\\', "\\\\").replace('\'', "\\'"))))
        }
        Way::Variable(name) => match std::env::var(name).ok().filter(|value| !value.is_empty()) {
            Some(value) => Ok(Secret::new(value)),
            None => Err(UsageError(format!("target {}: the variable {name} is not set", entry.name)).into()),
        },
    }
}

pub(super) async fn apply(chosen: &[Chosen], source: &Source, options: &Options, cx: &Cx) -> Outcome {
    let asked = targets::apply_each(chosen, source, options, &cx.run).await;
    let text = rollout_text(&asked.targets);
    end(asked, text, Verdict::Pass, cx)
}

pub(super) async fn status(chosen: &[Chosen], source: &Source, check: bool, cx: &Cx) -> Outcome {
    let asked =
        targets::ask_each(chosen, &cx.run, async |target| migrate::status(target, source).await).await;
    let is_clean = |one: &Answer<Status>| one.answer.as_ref().is_none_or(Status::is_clean);
    let verdict = Verdict::from_ok(!check || asked.targets.iter().all(is_clean));
    let text = status_text(&asked.targets);
    end(asked, text, verdict, cx)
}

pub(super) async fn verify(chosen: &[Chosen], cx: &Cx) -> Outcome {
    let asked = targets::ask_each(chosen, &cx.run, async |target| migrate::verify(target).await).await;
    let is_same = |one: &Answer<Verified>| one.answer.as_ref().is_none_or(|one| one.drift.is_empty());
    let verdict = Verdict::from_ok(asked.targets.iter().all(is_same));
    let text = verified_text(&asked.targets);
    end(asked, text, verdict, cx)
}

/// Reports on all of them; the first failure is the command's.
fn end<T: Serialize>(asked: Asked<T>, text: String, verdict: Verdict, cx: &Cx) -> Outcome {
    cx.out.result(&asked, text)?;
    asked.failure.map_or(Ok(verdict), Err)
}

fn version(version: Option<i64>) -> String {
    version.map_or_else(|| "-".to_owned(), |version| version.to_string())
}

fn rollout_text(rollouts: &[Rollout]) -> String {
    let row = |one: &Rollout| {
        let state = match one.state {
            State::Applied => format!("applied {}", one.applied.len()),
            State::UpToDate => "up to date".to_owned(),
            State::Failed => "failed".to_owned(),
            State::NotTried => "not tried".to_owned(),
        };
        [one.name.clone(), state, version(one.from), version(one.to), format!("{:.1}", one.seconds)]
    };
    table(["target", "state", "from", "to", "seconds"], rollouts.iter().map(row))
}

fn status_text(answers: &[Answer<Status>]) -> String {
    let row = |one: &Answer<Status>| {
        let state = match &one.answer {
            None => "no answer".to_owned(),
            Some(status) if !status.problems.is_empty() => "disagrees with the files".to_owned(),
            Some(status) if status.pending.is_empty() => "up to date".to_owned(),
            Some(status) => format!("{} pending", status.pending.len()),
        };
        let status = one.answer.as_ref();
        let (current, latest) =
            (status.and_then(|status| status.current), status.and_then(|status| status.latest));
        [one.name.clone(), state, version(current), version(latest)]
    };
    let mut parts = vec![table(["target", "state", "at", "latest"], answers.iter().map(row))];
    for one in answers {
        let problems = one.answer.iter().flat_map(|status| &status.problems);
        parts.extend(problems.map(|problem| format!("{}: {}", one.name, problem_text(problem))));
        parts.extend(one.error.iter().map(|error| format!("{}: {error}", one.name)));
    }
    parts.join("\n\n")
}

fn verified_text(answers: &[Answer<Verified>]) -> String {
    let one = |one: &Answer<Verified>| match (&one.answer, &one.error) {
        (Some(verified), _) if verified.drift.is_empty() => {
            format!("{}: the database is what the plan says", one.name)
        }
        (Some(verified), _) => format!("{}:\n{}", one.name, drift_text(&verified.drift, "the plan")),
        (None, error) => format!("{}: {}", one.name, error.as_deref().unwrap_or("no answer")),
    };
    answers.iter().map(one).collect::<Vec<_>>().join("\n\n")
}
