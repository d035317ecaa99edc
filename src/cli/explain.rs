//! `omtdb explain`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ValueEnum;
use omtdb::datagen::spec::DEFAULT_SEED;
use omtdb::explain::against::{PlanChange, changes};
use omtdb::explain::{self, Explained, Mode, Modes, OpPlan};
use omtdb::report;
use omtdb::scenario::{self, Names};
use omtdb::schema::PLAN;
use omtdb::verdict::UsageError;

use super::output::table;
use super::place::PlaceArgs;
use super::{Cx, Outcome};

mod scale;

#[derive(clap::Args)]
#[command(after_help = "\
Executes each operation with drawn values in a transaction that is rolled back; the database must hold generated data.
A leaf counts as scanned when a scan of it ran, whenever the others were pruned.

With --at-scale nothing is executed and no data is needed: a throw-away server is given a sample, its files and statistics \
are made those of so many rows, and each operation is planned there, and at a tenth, a hundredth and a thousandth of it.

Examples:
  omtdb explain --scratch                                  every shipped scenario, as its contracts promise
  omtdb explain scenarios/user-library.yaml --mode generic
  omtdb explain --json | jq -r '.ops[] | select(.violations != []) | .plan'
  omtdb explain --save plans.json                          … and on another day, or after a change:
  omtdb explain --against plans.json                       which plans are others, line by line
  omtdb explain --at-scale 1B                              which plans change on the way to the plan's target
  omtdb explain --at-scale 1B --settings-from $PRODUCTION  with production's planner settings
  omtdb explain --at-scale 1B --without-index idx_user_media_media_id")]
pub(crate) struct Args {
    /// Scenario files, or directories of them [default: the shipped ones]
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<PathBuf>,
    /// How the server plans [default: as each contract promises]
    #[arg(long, value_enum)]
    mode: Option<Choice>,
    /// Seed of the drawn values
    #[arg(long, value_name = "S", default_value_t = DEFAULT_SEED)]
    seed: u64,
    /// Keep the plans in this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["with_index", "without_index", "partitions"])]
    save: Option<PathBuf>,
    /// Compare with the plans kept in this file; exit 1 where one is another
    #[arg(long, value_name = "FILE", conflicts_with_all = ["with_index", "without_index", "partitions"])]
    against: Option<PathBuf>,
    #[command(flatten)]
    scale: scale::ScaleArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Choice {
    /// For the bound values, where the contract promises it
    Custom,
    /// Once for any values, where the contract promises it
    Generic,
    /// As the server decides after six executions
    Auto,
    /// As each contract promises, and auto
    All,
}

impl From<Choice> for Modes {
    fn from(choice: Choice) -> Self {
        match choice {
            Choice::Custom => Self::Only(Mode::Custom),
            Choice::Generic => Self::Only(Mode::Generic),
            Choice::Auto => Self::Only(Mode::Auto),
            Choice::All => Self::All,
        }
    }
}

pub(crate) async fn run(args: Args, cx: &Cx) -> Outcome {
    let scenarios = scenario::load(&args.scenarios, &Names::from(&*PLAN))?;
    let modes = args.mode.map_or(Modes::Promised, Modes::from);
    if args.scale.is_asked_for() {
        return scale::run(&args, &scenarios, modes, cx).await;
    }
    let place = args.place.resolve().await?;
    let mut explained = explain::run(&cx.run, &place.target, &scenarios, modes, args.seed).await?;
    explained.changes = args.keep_and_compare(&explained.ops)?;
    cx.out.result(&explained, text(&explained))?;
    Ok(explained.verdict())
}

impl Args {
    /// Compares `ops` with those kept, then keeps them, as the command line asks for.
    fn keep_and_compare(&self, ops: &[OpPlan]) -> anyhow::Result<Vec<PlanChange>> {
        let now = Explained { ops: ops.to_vec(), changes: Vec::new() };
        let changes = match &self.against {
            Some(path) => changes(&kept(path)?, &now),
            None => Vec::new(),
        };
        if let Some(path) = &self.save {
            report::write_whole(path, &serde_json::to_vec_pretty(&now)?)
                .with_context(|| format!("write {}", path.display()))?;
        }
        Ok(changes)
    }
}

fn kept(path: &Path) -> anyhow::Result<Explained> {
    let file = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&file).map_err(|error| {
        UsageError(format!("{} holds no plans that explain --save kept: {error}", path.display())).into()
    })
}

fn change_text(change: &PlanChange) -> String {
    let diff: Vec<String> = change.diff.lines().map(|line| format!("    {line}")).collect();
    format!("{} of {} ({}) has another plan:\n{}", change.op, change.scenario, change.mode, diff.join("\n"))
}

fn text(explained: &Explained) -> String {
    let row = |op: &OpPlan| {
        [
            op.scenario.clone(),
            op.op.clone(),
            op.mode.clone(),
            op.verdict.word().to_owned(),
            op.scanned_leaves.to_string(),
            op.pruned.clone().unwrap_or_default(),
            op.buffers.to_string(),
            op.locks.to_string(),
            op.row_error.map_or_else(String::new, |error| format!("{error:.1}")),
            op.indexes.join(", "),
        ]
    };
    let header = [
        "scenario",
        "operation",
        "mode",
        "verdict",
        "leaves",
        "pruned at",
        "buffers",
        "locks",
        "row error",
        "indexes",
    ];
    let mut parts = vec![table(header, explained.ops.iter().map(row))];
    parts.extend(explained.changes.iter().map(change_text));
    parts.extend(explained.ops.iter().filter(|op| !op.violations.is_empty()).map(violations));
    parts.join("\n\n")
}

fn violations(op: &OpPlan) -> String {
    let plan: Vec<String> = op.plan.lines().map(|line| format!("    {line}")).collect();
    format!("{} of {} ({}):\n{}\n{}", op.op, op.scenario, op.mode, op.violations.join("\n"), plan.join("\n"))
}
