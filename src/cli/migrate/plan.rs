//! `omtdb migrate plan`: what apply would do, explained before it runs.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use omtdb::migrate::script::Mode;
use omtdb::migrate::steps::{Plan, Planned, PlannedStatement};
use omtdb::migrate::{self, Options};
use omtdb::verdict::{UsageError, Verdict};

use super::super::place::PlaceArgs;
use super::super::{Cx, Outcome};
use super::SourceArgs;
use super::manner::MannerArgs;

pub(super) const HELP: &str = "\
Nothing is written: the database itself refuses it meanwhile. Nobody is kept waiting; who has a table for himself is waited \
for, no longer than --lock-budget.

Examples:
  omtdb migrate plan --target 14                        the second phase's first steps
  omtdb migrate plan --json > plan.json                 for review
  omtdb migrate apply --plan plan.json                  exactly that, or nothing if anything has changed since";

#[derive(clap::Args)]
pub(super) struct PlanArgs {
    /// Version to stop after [default: the newest that is not opt-in]
    #[arg(long, value_name = "VERSION")]
    target: Option<i64>,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    manner: MannerArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

pub(super) async fn run(args: &PlanArgs, cx: &Cx) -> Outcome {
    let source = args.source.read()?;
    let place = args.place.resolve().await?;
    let options = Options { last: args.target, ..args.manner.options(args.source.dir())? };
    let plan = migrate::plan(&place.target, &source, &options).await;
    let plan = place.end(plan)?;
    cx.out.result(&plan, text(&plan))?;
    Ok(Verdict::Pass)
}

/// Reads a plan that `migrate plan --json` has written.
pub(super) fn read(path: &Path) -> anyhow::Result<Plan> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| {
        UsageError(format!(
            "{} is no plan: {error}\n  help: write one by `omtdb migrate plan --json`",
            path.display()
        ))
        .into()
    })
}

/// `--plan`.
#[derive(clap::Args, Debug, Clone)]
pub(super) struct PlanFile {
    /// Plan to carry out, as `migrate plan --json` wrote it; exit 1 when anything has changed since
    #[arg(long, value_name = "FILE", conflicts_with_all = ["target", "targets"])]
    pub(super) plan: Option<PathBuf>,
}

fn text(plan: &Plan) -> String {
    if plan.steps.is_empty() {
        return "nothing to apply".to_owned();
    }
    let mut lines: Vec<String> = plan.steps.iter().map(step).collect();
    let count: usize = plan.steps.iter().map(|step| step.statements.len()).sum();
    lines.push(format!(
        "{} migrations, {count} statements; plan {}",
        plan.steps.len(),
        &plan.fingerprint[..12]
    ));
    lines.join("\n\n")
}

fn step(step: &Planned) -> String {
    let how = match step.mode {
        Mode::Together => "one transaction",
        Mode::Stepwise => "step by step, each in the journal",
    };
    let statements: Vec<String> = step.statements.iter().map(statement).collect();
    let findings: Vec<String> = step.findings.iter().map(|one| one.render(false)).collect();
    let mut parts = vec![format!("V{}__{}: {how}\n{}", step.version, step.name, statements.join("\n"))];
    parts.extend(findings);
    parts.join("\n\n")
}

fn statement(statement: &PlannedStatement) -> String {
    let done = if statement.done { " (done already)" } else { "" };
    let mut lines = vec![format!("  line {}{done}: {}", statement.line, first_line(&statement.sql))];
    lines.push(format!("    {}", statement.explanation));
    lines.extend(statement.parts.iter().map(|part| format!("    - {part}")));
    lines.join("\n")
}

const WIDEST: usize = 100;

/// The beginning of a statement, in one line.
fn first_line(sql: &str) -> String {
    let line = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(WIDEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
