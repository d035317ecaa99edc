//! `omtdb migrate`: what is applied, applying the rest, and whether the database is what the plan says.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use omtdb::migrate::{self, Applied, Options, Problem, Source, Status, Verified};
use omtdb::schema::Drift;
use omtdb::verdict::Verdict;

use self::adopt::{BaselineArgs, RepairArgs};
use self::index::IndexArgs;
use self::manner::MannerArgs;
use self::targets::TargetsArgs;

use super::output::table;
use super::place::PlaceArgs;
use super::{Cx, Outcome};

mod adopt;
mod index;
mod lint;
mod manner;
mod plan;
mod targets;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  omtdb migrate status --url postgresql://app@db/omt    what is applied, what is pending
  omtdb migrate plan --url postgresql://app@db/omt      what applying it would do, and whom it would keep waiting
  omtdb migrate apply --scratch                         build the schema on a throw-away server
  omtdb migrate lint                                    would a migration stop the application?
  omtdb migrate verify --url postgresql://app@db/omt    is the database what the plan says?
  omtdb migrate apply --targets fleet.yaml              many databases, canaries first
  omtdb migrate index rebuild media.idx_media_title     be rid of bloat while the application goes on")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

const APPLY_HELP: &str = "\
A file's statements run in one transaction, tried again as a whole when a lock is not granted in time. Files with \
statements that refuse a transaction, or with an `-- omtdb: online`, `backfill` or `check` directive, run step by step; \
every step is in the journal (schema omtdb), and a run that was killed is continued by the next where it stopped.

Only one omtdb applies migrations to a database at a time; the others wait. Files that say `-- omtdb: opt-in`, with \
none after them that does not, are applied only as far as --target reaches.

Exit code 1: the lint finds an error in what is pending, or --plan no longer holds; nothing is applied then.

Examples:
  omtdb migrate apply --target 7                        no further than version 7
  omtdb migrate apply --migrations ./migrations         a branch's own files
  omtdb migrate apply --lock-timeout 50ms --duty 20     for a database under heavy load
  omtdb migrate apply --wait 0s                         give up at once if somebody else applies
  omtdb migrate apply --targets fleet.yaml --canary-only";

#[derive(Subcommand)]
enum Action {
    /// Show which migrations are applied and which are pending
    #[command(
        after_help = "Changes nothing and takes no lock.\n\nExample, for a pipeline that must not deploy ahead of its database:\n  omtdb migrate status --check"
    )]
    Status(StatusArgs),
    /// Show what apply would do, statement by statement: locks, sizes, steps, and what others notice of it
    #[command(after_help = plan::HELP)]
    Plan(plan::PlanArgs),
    /// Apply pending migrations; locks that others queue behind are waited for briefly, and tried for again
    #[command(after_help = format!("{APPLY_HELP}\n\n{}", targets::HELP))]
    Apply(ApplyArgs),
    /// Find what would stop the application, fail half-way or leave the wrong thing; exit 1 on an error
    #[command(after_help = lint::HELP)]
    Lint(lint::Args),
    /// Hold the live database against the plan's schema; exit 1 on drift
    #[command(
        after_help = "Reads the catalog of the schemas auth, interaction, media and users in one snapshot; changes nothing.\nLeaves of interaction.user_media may be split as long as every hash has exactly one leaf.\n\nExample:\n  omtdb migrate verify --json | jq -r '.drift[] | \"\\(.object) \\(.kind)\"'"
    )]
    Verify(VerifyArgs),
    /// Adopt a database whose schema came about without omtdb, once it is proven to be what the files build
    #[command(after_help = adopt::BASELINE_HELP, disable_version_flag = true)]
    Baseline(BaselineArgs),
    /// Accept a file that was changed after it was applied, or forget a run that was left half done
    #[command(after_help = adopt::REPAIR_HELP, disable_version_flag = true)]
    Repair(RepairArgs),
    /// Rebuild or drop an index while the application goes on
    Index(IndexArgs),
}

#[derive(clap::Args)]
struct StatusArgs {
    /// Exit 1 when a migration is pending, or files and history disagree
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    targets: TargetsArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(clap::Args)]
struct ApplyArgs {
    /// Version to stop after [default: the newest that is not opt-in]
    #[arg(long, value_name = "VERSION")]
    target: Option<i64>,
    #[command(flatten)]
    plan: plan::PlanFile,
    /// Apply in spite of errors that the lint finds
    #[arg(long)]
    no_lint: bool,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    manner: MannerArgs,
    #[command(flatten)]
    targets: TargetsArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(clap::Args)]
struct VerifyArgs {
    #[command(flatten)]
    targets: TargetsArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

/// `--migrations`.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct SourceArgs {
    /// Directory of V<version>__<words>.sql files to use instead of those built into omtdb
    #[arg(long, value_name = "DIR")]
    pub(super) migrations: Option<PathBuf>,
}

impl SourceArgs {
    fn dir(&self) -> Option<&Path> {
        self.migrations.as_deref()
    }

    pub(crate) fn read(&self) -> anyhow::Result<Source> {
        Ok(self.migrations.as_deref().map_or_else(|| Ok(Source::embedded()), Source::read)?)
    }
}

pub(crate) async fn run(args: Args, cx: &Cx) -> Outcome {
    match args.action {
        Action::Status(args) => status(&args, cx).await,
        Action::Plan(args) => plan::run(&args, cx).await,
        Action::Apply(args) => apply(&args, cx).await,
        Action::Lint(args) => lint::run(args, cx).await,
        Action::Verify(args) => verify(&args, cx).await,
        Action::Baseline(args) => adopt::baseline(&args, cx).await,
        Action::Repair(args) => adopt::repair(&args, cx).await,
        Action::Index(args) => index::run(args, cx).await,
    }
}

async fn status(args: &StatusArgs, cx: &Cx) -> Outcome {
    let source = args.source.read()?;
    if let Some(chosen) = args.targets.chosen(&args.place).await? {
        return targets::status(&chosen, &source, args.check, cx).await;
    }
    let place = args.place.resolve().await?;
    let status = migrate::status(&place.target, &source).await?;
    cx.out.result(&status, status_text(&status))?;
    Ok(Verdict::from_ok(!args.check || status.is_clean()))
}

async fn apply(args: &ApplyArgs, cx: &Cx) -> Outcome {
    let source = args.source.read()?;
    if let Some(chosen) = args.targets.chosen(&args.place).await? {
        let lint = !args.no_lint;
        let options = Options { last: args.target, lint, ..args.manner.options(args.source.dir())? };
        return targets::apply(&chosen, &source, &options, cx).await;
    }
    let place = args.place.resolve().await?;
    let expected = args.plan.plan.as_deref().map(plan::read).transpose()?;
    let options = Options {
        last: args.target,
        expected,
        lint: !args.no_lint,
        ..args.manner.options(args.source.dir())?
    };
    let applied = migrate::apply(&place.target, &source, &options, &cx.run).await;
    let applied = place.end(applied)?;
    cx.out.result(&applied, applied_text(&applied))?;
    Ok(Verdict::Pass)
}

async fn verify(args: &VerifyArgs, cx: &Cx) -> Outcome {
    if let Some(chosen) = args.targets.chosen(&args.place).await? {
        return targets::verify(&chosen, cx).await;
    }
    let place = args.place.resolve().await?;
    let verified = migrate::verify(&place.target).await?;
    cx.out.result(&verified, verified_text(&verified))?;
    Ok(Verdict::from_ok(verified.drift.is_empty()))
}

fn status_text(status: &Status) -> String {
    let done = status
        .applied
        .iter()
        .map(|one| [format!("V{}", one.version), one.name.clone(), one.applied_on.clone()]);
    let todo = status
        .pending
        .iter()
        .map(|one| [format!("V{}", one.version), one.name.clone(), "pending".to_owned()]);
    let optional = status
        .optional
        .iter()
        .map(|one| [format!("V{}", one.version), one.name.clone(), "opt-in".to_owned()]);
    let mut parts = vec![table(["version", "name", "applied"], done.chain(todo).chain(optional))];
    parts.extend(status.problems.iter().map(problem_text));
    parts.push(match (status.current, status.pending.len()) {
        (None, pending) => format!("nothing is applied, {pending} pending"),
        (Some(current), 0) => format!("at version {current}, nothing is pending"),
        (Some(current), pending) => format!("at version {current}, {pending} pending"),
    });
    if let (Some(first), Some(last)) = (status.optional.first(), status.optional.last()) {
        parts.push(format!("{first} to {last} are applied when --target reaches them"));
    }
    parts.join("\n\n")
}

fn problem_text(problem: &Problem) -> String {
    match problem {
        Problem::Divergent { diff: Some(diff), .. } => format!("{problem}\n\n{diff}"),
        _ => problem.to_string(),
    }
}

fn applied_text(applied: &Applied) -> String {
    let current =
        applied.current.map_or_else(|| "no version".to_owned(), |version| format!("version {version}"));
    if applied.applied.is_empty() {
        return format!("nothing to apply; the database is at {current}");
    }
    let steps = applied.applied.iter().map(|one| {
        let totals = &one.totals;
        [
            format!("V{}", one.version),
            one.name.clone(),
            format!("{:.1}", one.ms),
            totals.steps.to_string(),
            totals.retries.to_string(),
            format!("{:.0}", totals.longest_lock_wait_ms),
        ]
    });
    let heads = ["version", "name", "ms", "steps", "retries", "longest lock wait ms"];
    let count = applied.applied.len();
    format!("{}\n\n{count} applied; the database is at {current}", table(heads, steps))
}

fn verified_text(verified: &Verified) -> String {
    if verified.drift.is_empty() {
        return "the database is what the plan says".to_owned();
    }
    drift_text(&verified.drift, "the plan")
}

/// Every difference from what `expected` says.
fn drift_text(drift: &[Drift], expected: &str) -> String {
    let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".to_owned());
    let rows =
        drift.iter().map(|one| [one.object.clone(), one.kind.clone(), side(&one.expected), side(&one.found)]);
    let count = drift.len();
    let noun = if count == 1 { "difference" } else { "differences" };
    let heads = ["object", "kind", expected, "the database"];
    format!("{}\n\n{count} {noun} from {expected}", table(heads, rows))
}
