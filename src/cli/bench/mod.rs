//! `omtdb bench`: load tests from scenario files.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use omtdb::datagen::Shard;
use omtdb::load::{self, Bench, Knee, Options, Origin, PlanSeen, Recording, ScenarioRun};
use omtdb::pg::Session;
use omtdb::scenario::Protocol;
use omtdb::scenario::{self, Names, Problem, Rejected, Scenario};
use omtdb::schema::PLAN;
use omtdb::units::Rate;
use omtdb::verdict::Verdict;
use serde::de::{self, IntoDeserializer as _};
use serde::{Deserialize as _, Serialize};

use super::output::table;
use super::place::{Place, PlaceArgs};
use super::{Cx, Outcome};

mod recordings;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  omtdb bench run --scratch --duration 5s               every scenario of the application, five seconds each
  omtdb bench run scenarios/login.yaml --record a.json  one of them, kept for later
  omtdb bench run my.yaml --find-max --duration 10s     the highest rate that meets the objectives
  omtdb bench compare main/ branch/                     recordings that took turns: has it become slower?
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
that waits for it. The data must come from omtdb generate. Exit 3 when the driver, not the server, was the limit: when it
sent late to idle connections, or one of its threads was busy for more than 80% of the time.

On a scratch cluster auto_explain tells the plans of a few executions: one that comes or goes in \
mid-run is reported, with when it was seen.

Several drivers share a load: the same command on each machine with --driver 1/3, 2/3, 3/3, the same --seed, and \
--start-at a moment to come; omtdb bench merge makes one recording of theirs.")]
    Run(Box<RunArgs>),
    /// Put the recordings of several drivers together, as one driver would have recorded them
    Merge(recordings::MergeArgs),
    /// Compare recordings of two sides that took turns; exit 1 when the second is slower, 3 when that is not decided
    #[command(after_help = recordings::COMPARE_HELP)]
    Compare(recordings::CompareArgs),
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
    /// Keep the measurement in this file, and its histograms beside it as .hlog
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Send this rate instead of what each scenario says
    #[arg(long, value_name = "RATE")]
    rate: Option<Rate>,
    /// Send statements this way (prepared, unnamed or simple) instead of what each scenario says
    #[arg(long, value_name = "HOW", value_parser = protocol)]
    protocol: Option<Protocol>,
    /// Search the highest rate that meets the objectives, and confirm it
    #[arg(long, conflicts_with_all = ["record", "driver"])]
    find_max: bool,
    /// Send a part of the load, from this one of several drivers
    #[arg(long, value_name = "I/N", default_value_t = Shard::WHOLE)]
    driver: Shard,
    /// Start at this moment, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    start_at: Option<jiff::Timestamp>,
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

pub(super) fn positive(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time.is_zero() => Err("nothing is measured in no time".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
    }
}

fn protocol(text: &str) -> Result<Protocol, de::value::Error> {
    Protocol::deserialize(text.into_deserializer())
}

pub(crate) async fn run(args: Args, cx: &Cx) -> Outcome {
    match args.action {
        Action::Run(args) if args.find_max => find_max(&args, cx).await,
        Action::Run(args) => measure(&args, cx).await,
        Action::Merge(args) => recordings::merge(&args, cx),
        Action::Compare(args) => recordings::compare(&args, cx),
        Action::Check(args) => check(&args, cx).await,
    }
}

impl RunArgs {
    fn options(&self, place: &Place) -> Options {
        Options {
            rate: self.rate,
            plans: place.lease.is_some(),
            protocol: self.protocol,
            driver: self.driver,
            start_at: self.start_at,
            ..self.times.options(self.seed)
        }
    }
}

async fn measure(args: &RunArgs, cx: &Cx) -> Outcome {
    let scenarios = args.scenarios.read()?;
    let place = args.place.resolve().await?;
    let options = args.options(&place);
    let measured = async {
        let origin = match &args.record {
            Some(_) => Some(Origin::read(&place.target, &options).await?),
            None => None,
        };
        anyhow::Ok((origin, load::run(&cx.run, &place.target, &scenarios, &options).await?))
    };
    let measured = measured.await;
    let (origin, measured) = place.end(measured)?;
    let bench = measured.bench.clone();
    if let (Some(path), Some(origin)) = (&args.record, origin) {
        recordings::keep(path, &Recording::new(origin, measured))?;
    }
    cx.out.result(&bench, bench_text(&bench))?;
    Ok(Verdict::worst(bench.scenarios.iter().map(|run| run.verdict)))
}

#[derive(Serialize)]
struct Knees {
    knees: Vec<Knee>,
}

async fn find_max(args: &RunArgs, cx: &Cx) -> Outcome {
    let scenarios = args.scenarios.read()?;
    let place = args.place.resolve().await?;
    let options = args.options(&place);
    let mut knees = Vec::new();
    let searched = async {
        for scenario in &scenarios {
            knees.push(load::find_max(&cx.run, &place.target, scenario, &options).await?);
        }
        anyhow::Ok(())
    };
    let searched = searched.await;
    place.end(searched)?;
    let found = knees.iter().all(|knee| knee.rate_per_s.is_some());
    let text: Vec<String> = knees.iter().map(knee_text).collect();
    cx.out.result(&Knees { knees }, text.join("\n"))?;
    Ok(if found { Verdict::Pass } else { Verdict::Inconclusive })
}

fn knee_text(knee: &Knee) -> String {
    let rows = knee.tried.iter().map(|tried| {
        let figures = [tried.rate_per_s, tried.achieved_per_s].map(|rate| format!("{rate:.1}"));
        let [asked, achieved] = figures;
        let p99 = format!("{}.{:02}", tried.p99_us / 1_000, tried.p99_us % 1_000 / 10);
        [asked, achieved, p99, tried.verdict.word().to_owned()]
    });
    let tried = table(["asked/s", "achieved/s", "p99 ms", "objectives"], rows);
    match (knee.rate_per_s, &knee.because) {
        (Some(rate), _) => format!("{tried}\n{}: bears {rate:.0}/s", knee.scenario),
        (None, why) => format!("{tried}\n{}: no rate found: {}", knee.scenario, why.as_deref().unwrap_or("")),
    }
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
        parts.extend(run.changed_plans().into_iter().map(|seen| plan_text(run, seen)));
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

/// A plan that came or went.
fn plan_text(run: &ScenarioRun, seen: &PlanSeen) -> String {
    let ((first, last), count) = (seen.span(), seen.count());
    let plan: Vec<String> = seen.plan.lines().map(|line| format!("    {line}")).collect();
    format!(
        "{} {}: its plan changed; this one was seen {count} times from second {first} to {last}\n{}",
        run.name,
        seen.op,
        plan.join("\n")
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
