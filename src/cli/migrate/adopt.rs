//! `omtdb migrate baseline` and `repair`: what later runs go by, written for a reason.

use clap::builder::NonEmptyStringValueParser;
use omtdb::migrate::baseline::{self, Adopted, Adoption};
use omtdb::migrate::repair::{self, BegunStep, Finding, Repair};
use omtdb::verdict::Verdict;
use serde::Serialize;

use super::super::cluster::confirm;
use super::super::output::table;
use super::super::place::PlaceArgs;
use super::super::{Cx, Outcome};
use super::manner::WaitArgs;
use super::{SourceArgs, drift_text};

/// Explains `baseline` where its arguments end.
pub(super) const BASELINE_HELP: &str = "\
The files up to the version are built on a throw-away server, and the schemas compared. Where they differ, every difference \
is shown, nothing is written, and the exit code is 1; where they do not, the history that applying the files would have left \
is written, and noted in the journal with the reason. A database that has a history is refused.

Owners and grants are compared where the files set them. --unproven compares nothing, and the journal says so.

Examples:
  omtdb migrate baseline --version 11 --reason 'built by the old scripts' --url postgresql://app@db/omt
  omtdb migrate baseline --version 3 --reason 'as agreed' --migrations ./migrations";

#[derive(clap::Args)]
pub(super) struct BaselineArgs {
    /// The version that the database is at
    #[arg(long, value_name = "VERSION")]
    version: i64,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    /// Compare nothing, and believe it
    #[arg(long)]
    unproven: bool,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

pub(super) async fn baseline(args: &BaselineArgs, cx: &Cx) -> Outcome {
    let source = args.source.read()?;
    let place = args.place.resolve().await?;
    let built = if args.unproven { None } else { Some(args.place.throw_away("baseline").await?) };
    if built.is_none() {
        tracing::warn!("the schema is not compared with what the files build: --unproven");
    }
    let proof = built.as_ref().map(|built| &built.target);
    let adoption = Adoption { version: args.version, reason: &args.reason, proof };
    let options = args.wait.options(args.source.dir());
    let adopted = baseline::baseline(&place.target, &source, &adoption, &options, &cx.run).await;
    let adopted = place.end(adopted)?;
    cx.out.result(&adopted, adopted_text(&adopted))?;
    Ok(Verdict::from_ok(adopted.drift.is_empty()))
}

fn adopted_text(adopted: &Adopted) -> String {
    let Adopted { version, proven, adopted, drift } = adopted;
    if !drift.is_empty() {
        let drift = drift_text(drift, "what the files build");
        return format!("{drift}; nothing was written");
    }
    let how = if *proven { "proven to be what the files build" } else { "unproven" };
    format!("the database is at version {version}, {how}; {} in its history", adopted.len())
}

/// Explains `repair` where its arguments end.
pub(super) const REPAIR_HELP: &str = "\
Where the version is applied and its file has changed since, the change is shown, and the history takes over the file's name \
and checksum. Where a run of the version was left half done, its steps are listed and forgotten: the next apply begins the \
version anew, and what those steps did is to be undone by hand before. Either is noted in the journal with the reason.

Examples:
  omtdb migrate repair --version 7 --reason 'a comment was corrected'
  omtdb migrate repair --version 21 --reason 'the statement was wrong; undone by hand' --yes";

#[derive(clap::Args)]
pub(super) struct RepairArgs {
    /// The version
    #[arg(long, value_name = "VERSION")]
    version: i64,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Repaired {
    version: i64,
    repaired: bool,
    #[serde(flatten)]
    finding: Finding,
}

pub(super) async fn repair(args: &RepairArgs, cx: &Cx) -> Outcome {
    let source = args.source.read()?;
    let place = args.place.resolve().await?;
    let finding = repair::look(&place.target, &source, args.version).await?;
    let text = finding_text(args.version, &finding);
    let repaired = finding != Finding::Nothing;
    if repaired {
        confirm(args.yes, &format!("{text}\n\n{}", question(&finding)))?;
        let repair = Repair { version: args.version, reason: &args.reason, finding: &finding };
        let options = args.wait.options(args.source.dir());
        let done = repair::repair(&place.target, &source, &repair, &options, &cx.run).await;
        place.end(done)?;
    }
    let text = if repaired { format!("{text}\n\n{}", outcome(&finding)) } else { text };
    cx.out.result(&Repaired { version: args.version, repaired, finding }, text)?;
    Ok(Verdict::Pass)
}

fn finding_text(version: i64, finding: &Finding) -> String {
    match finding {
        Finding::Nothing => {
            format!("nothing to repair: version {version} is as its file and the history say")
        }
        Finding::Changed { applied, file, diff, .. } => {
            let diff = diff
                .as_deref()
                .unwrap_or("the journal does not hold what was applied, so what has changed cannot be shown");
            format!("version {version} was applied as {applied}; its file is V{version}__{file}\n\n{diff}")
        }
        Finding::Begun { steps } => begun_text(version, steps),
    }
}

fn begun_text(version: i64, steps: &[BegunStep]) -> String {
    let row = |one: &BegunStep| {
        let changed = one.changed_rows.map_or_else(String::new, |rows| rows.to_string());
        [one.step.clone(), one.outcome.clone(), changed, one.sql.clone()]
    };
    format!(
        "version {version} is not applied, and was begun; what is `done` stays in the database, what is not may have left an INVALID index\n\n{}",
        table(["step", "outcome", "rows changed", "statement"], steps.iter().map(row))
    )
}

fn question(finding: &Finding) -> &'static str {
    match finding {
        Finding::Begun { .. } => "Forget these steps, so that the next apply begins the version anew?",
        Finding::Nothing | Finding::Changed { .. } => {
            "Have the history say that the file is what was applied?"
        }
    }
}

fn outcome(finding: &Finding) -> &'static str {
    match finding {
        Finding::Begun { .. } => "forgotten; undo what they did before the next apply",
        Finding::Nothing | Finding::Changed { .. } => "the history has the file's name and checksum now",
    }
}
