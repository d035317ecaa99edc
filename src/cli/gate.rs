//! `omtdb gate`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use omtdb::compare::Baseline;
use omtdb::datagen::Profile;
use omtdb::drill::{Alteration, Site};
use omtdb::gate::{self, Gated, Options};
use omtdb::migrate::Source;
use omtdb::report::{self, Written};
use omtdb::scenario::{Names, Scenario};
use omtdb::schema::PLAN;
use omtdb::verdict::UsageError;
use omtdb::{load, scenario};

use super::bench::{TimeArgs, positive};
use super::drill::Sabotage;
use super::generate::SpecArgs;
use super::migrate::SourceArgs;
use super::place::{Place, PlaceArgs, UNNAMED, home};
use super::{Cx, Outcome};

const SMOKE_WARMUP: Duration = Duration::from_secs(1);
const SMOKE_DURATION: Duration = Duration::from_secs(3);

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  omtdb gate --scratch --profile smoke --out gate            the whole job on a throw-away server
  omtdb gate --scratch --migrations migrations --scenarios scenarios   a branch's own, without rebuilding omtdb
  omtdb gate --scratch --profile ci --baseline ../main                 is this checkout slower than main's, and why?
  omtdb gate --url postgresql://ci@db/omt --out gate --json  a server of yours

With --baseline, leaves, indexes, buffers, rows read, temporary blocks and log of every plan are compared with the other
checkout's, and response times in pairs of short windows that take turns on the two servers, until 8, 16 or 32 pairs decide:
slower (more than 3% for sure, 5% by the estimate), not slower (10% excluded), or not decided, with the smallest slowdown
that would have been seen.

With --scratch alone the server is made for this run and destroyed after it; --scratch=NAME keeps NAME's data. A database
that omtdb generate has filled is measured as it is; an empty one is filled. The profile smoke warms up for one second and
measures for three; the others for as long as each scenario says. With --url the load writes to your database,
and the drill restores it on this machine: name one that may be written to.

Exit codes: 0 pass, 1 fail, 3 inconclusive, 2 usage, 4 could not run, 130 interrupted.")]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    source: SourceArgs,
    /// Scenario file or directory of them, instead of those in this binary; may be given several times
    #[arg(long, value_name = "PATH")]
    scenarios: Vec<PathBuf>,
    /// Directory for run.json and all that is made of it: report.html, junit.xml, summary.md, results.sarif, metrics.txt,
    /// latency.hlog
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    times: TimeArgs,
    #[command(flatten)]
    baseline: BaselineArgs,
    /// Change one row of the restored copy before it is compared, to see the gate fail
    #[arg(long, value_enum)]
    sabotage: Option<Sabotage>,
    #[command(flatten)]
    place: PlaceArgs,
}

/// `--baseline`, `--window`.
#[derive(clap::Args)]
#[command(next_help_heading = "Comparison")]
struct BaselineArgs {
    /// Compare with this checkout's migrations/ and scenarios/, main's for a pull request: the same data, two scratch
    /// servers, measured in windows that take turns
    #[arg(long, value_name = "DIR")]
    baseline: Option<PathBuf>,
    /// Length of one such window
    #[arg(long, value_name = "TIME", value_parser = positive, default_value = "2s", requires = "baseline")]
    window: Duration,
}

impl BaselineArgs {
    /// The other checkout's migrations and scenarios.
    fn read(&self) -> anyhow::Result<Option<(Source, Vec<Scenario>)>> {
        let Some(dir) = &self.baseline else { return Ok(None) };
        let migrations = Source::read(&dir.join("migrations"))?;
        Ok(Some((migrations, scenario::load(&[dir.join("scenarios")], &Names::from(&*PLAN))?)))
    }
}

pub(crate) async fn run(args: Args, cx: &Cx) -> Outcome {
    let mut options = args.options()?;
    let other = args.baseline.read()?;
    if let Some(dir) = &args.out {
        // A place that cannot be written to is better known before the work than after it.
        std::fs::create_dir_all(dir).with_context(|| format!("make the directory {}", dir.display()))?;
    }
    let place = args.place().await?;
    let beside = args.beside().await?;
    let baseline = |((migrations, scenarios), place): (_, &Place)| Baseline {
        target: place.target.clone(),
        migrations,
        scenarios,
        window: args.baseline.window,
    };
    options.baseline = other.zip(beside.as_ref()).map(baseline);
    let mut gated = gate::run(&cx.run, &place.target, &options).await;
    gated.ended = place.end(gated.ended);
    if let Some(beside) = beside {
        gated.ended = beside.end(gated.ended);
    }
    let written = match &args.out {
        Some(dir) => Some(write(&gated, dir)?),
        None => None,
    };
    cx.out.result(&gated.record, report::text(&gated.record, written.as_ref(), cx.out.color().into()))?;
    gated.ended?;
    Ok(gated.record.verdict)
}

impl Args {
    fn options(&self) -> anyhow::Result<Options> {
        let spec = self.spec.spec()?;
        Ok(Options {
            baseline: None,
            profile: self.spec.profile.to_string(),
            spec,
            migrations: self.source.read()?,
            scenarios: scenario::load(&self.scenarios, &Names::from(&*PLAN))?,
            load: load::Options { plans: self.place.scratch.is_some(), ..self.load(spec.seed) },
            site: Site { home: home()?, programs: self.place.programs.find()? },
            sabotage: self.sabotage.map(Alteration::from),
        })
    }

    /// A smoke test is to be over soon; every other profile measures for as long as its scenarios say.
    fn load(&self, seed: u64) -> load::Options {
        let asked = self.times.options(seed);
        match self.spec.profile {
            Profile::Smoke => load::Options {
                warmup: asked.warmup.or(Some(SMOKE_WARMUP)),
                duration: asked.duration.or(Some(SMOKE_DURATION)),
                ..asked
            },
            _ => asked,
        }
    }

    /// The server of the baseline, where there is one.
    async fn beside(&self) -> anyhow::Result<Option<Place>> {
        if self.baseline.baseline.is_none() {
            return Ok(None);
        }
        if self.place.scratch.as_deref() != Some(UNNAMED) {
            let both = "--baseline compares two servers that this run makes and may settle: use it with --scratch alone";
            return Err(UsageError(both.to_owned()).into());
        }
        Ok(Some(self.place.throw_away("base").await?))
    }

    /// `--scratch` without a name is a server of this run alone.
    async fn place(&self) -> anyhow::Result<Place> {
        match self.place.scratch.as_deref() {
            Some(UNNAMED) => self.place.throw_away("gate").await,
            _ => self.place.resolve().await,
        }
    }
}

fn write(gated: &Gated, dir: &Path) -> anyhow::Result<Written> {
    let written = report::write_all(&gated.record, dir)?;
    let latency = dir.join("latency.hlog");
    report::write_whole(&latency, &load::hlog(&gated.histograms)?)
        .with_context(|| format!("write {}", latency.display()))?;
    Ok(written)
}
