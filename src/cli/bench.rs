//! `omtdb bench`: load tests from scenario files.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use omtdb::load::{self, Bench, Options, Recording, ScenarioRun};
use omtdb::pg::Session;
use omtdb::report;
use omtdb::scenario::{self, Names, Problem, Rejected, Scenario};
use omtdb::schema::PLAN;
use omtdb::verdict::Verdict;
use serde::Serialize;

use super::output::table;
use super::place::PlaceArgs;
use super::{Cx, Outcome};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  omtdb bench run --scratch --duration 5s               every scenario of the application, five seconds each
  omtdb bench run scenarios/login.yaml --record a.json  one of them, kept for later
  omtdb bench check my.yaml --db                        is the file sound, does the server take its statements?")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Send the load of scenarios and hold the answers against their objectives; exit 1 when one is missed
    #[command(after_help = "\
Response times count from the moment at which an execution was due, so a stalled server cannot hide behind a driver \
that waits for it. The data must come from omtdb generate. Exit 3 when the driver, not the server, was the limit.")]
    Run(RunArgs),
    /// Check scenario files without running them; exit 2 with file, line and column of every mistake
    Check(CheckArgs),
}

/// Which scenarios.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct ScenarioArgs {
    /// Scenario files, or directories of them [default: those built into omtdb]
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<PathBuf>,
}

impl ScenarioArgs {
    pub(crate) fn read(&self) -> anyhow::Result<Vec<Scenario>> {
        scenario::load(&self.scenarios, &Names::from(&*PLAN))
    }
}

#[derive(clap::Args)]
struct RunArgs {
    #[command(flatten)]
    scenarios: ScenarioArgs,
    #[command(flatten)]
    times: TimeArgs,
    /// Seed of the arrivals and of the bound values; the same seed asks the same questions
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep the measurement in this file
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceArgs,
}

/// `--duration`, `--warmup`.
#[derive(clap::Args)]
#[command(next_help_heading = "Load")]
pub(crate) struct TimeArgs {
    /// Measure for this long instead of what each scenario says
    #[arg(long, value_name = "TIME", value_parser = positive)]
    duration: Option<Duration>,
    /// Warm up for this long instead of what each scenario says
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    warmup: Option<Duration>,
}

impl TimeArgs {
    /// How the load is sent, drawn from `seed`.
    pub(crate) fn options(&self, seed: u64) -> Options {
        Options { seed, warmup: self.warmup, duration: self.duration, ..Options::default() }
    }
}

#[derive(clap::Args)]
struct CheckArgs {
    #[command(flatten)]
    scenarios: ScenarioArgs,
    /// Prepare every statement on the server too, and look for the tables and indexes that are named
    #[arg(long)]
    db: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

fn positive(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time.is_zero() => Err("nothing is measured in no time".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
    }
}

pub(crate) async fn run(args: Args, cx: &Cx) -> Outcome {
    match args.action {
        Action::Run(args) => measure(&args, cx).await,
        Action::Check(args) => check(&args, cx).await,
    }
}

async fn measure(args: &RunArgs, cx: &Cx) -> Outcome {
    let scenarios = args.scenarios.read()?;
    let place = args.place.resolve().await?;
    let options = args.times.options(args.seed);
    let measured = load::run(&cx.run, &place.target, &scenarios, &options).await;
    let measured = place.end(measured)?;
    let recording = Recording::of(measured.bench);
    if let Some(path) = &args.record {
        report::write_whole(path, &serde_json::to_vec_pretty(&recording)?)?;
    }
    let bench = recording.bench;
    cx.out.result(&bench, bench_text(&bench))?;
    Ok(Verdict::worst(bench.scenarios.iter().map(|run| run.verdict)))
}

#[derive(Serialize)]
struct Checked<'a> {
    errors: &'a [Problem],
}

async fn check(args: &CheckArgs, cx: &Cx) -> Outcome {
    match checked(args).await {
        Ok(scenarios) => {
            let ops: usize = scenarios.iter().map(|one| one.ops.len()).sum();
            let text = format!("{} scenarios with {ops} operations are sound", scenarios.len());
            cx.out.result(&Checked { errors: &[] }, text)?;
            Ok(Verdict::Pass)
        }
        Err(error) => {
            if let Some(rejected) = error.downcast_ref::<Rejected>().filter(|_| cx.out.is_json()) {
                cx.out.result(&Checked { errors: &rejected.problems }, "")?;
            }
            Err(error)
        }
    }
}

async fn checked(args: &CheckArgs) -> anyhow::Result<Vec<Scenario>> {
    let scenarios = args.scenarios.read()?;
    if args.db {
        let place = args.place.resolve().await?;
        let session = Session::connect(&place.target, "bench check").await?;
        let checked = scenario::check_live(&session, &scenarios).await;
        session.close().await;
        checked?;
    }
    Ok(scenarios)
}

fn bench_text(bench: &Bench) -> String {
    let mut parts = Vec::new();
    for run in &bench.scenarios {
        parts.push(format!("{}\n{}\n", headline(run), ops_table(run)));
        let doubts = run.invalid_because.iter();
        parts.extend(doubts.map(|doubt| format!("{}: no measurement: {doubt}", run.name)));
    }
    parts.extend(bench.violations.iter().cloned());
    parts.join("\n")
}

fn headline(run: &ScenarioRun) -> String {
    let asked = run.asked_per_s.map_or_else(String::new, |asked| format!(" of {asked:.1}/s asked"));
    format!(
        "{}: {}, {} loop, {:.1}/s{asked} over {} s",
        run.name,
        run.verdict.word(),
        run.loop_kind,
        run.achieved_per_s,
        run.duration_s
    )
}

fn ops_table(run: &ScenarioRun) -> String {
    let ms = |us: u64| format!("{}.{:02}", us / 1_000, us % 1_000 / 10);
    let rows = run.ops.iter().map(|op| {
        [
            op.op.clone(),
            op.count.to_string(),
            op.errors.to_string(),
            ms(op.p50_us),
            ms(op.p95_us),
            ms(op.p99_us),
            ms(op.max_us),
            ms(op.service_p99_us),
        ]
    });
    table(["operation", "count", "errors", "p50 ms", "p95 ms", "p99 ms", "max ms", "service p99 ms"], rows)
}
