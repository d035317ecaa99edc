//! Against another checkout: the same data under its migrations and its statements, on a second server beside the first.
//! What the plans do is compared without a clock; how fast they are, in short windows that take turns.

mod pair;
mod plans;
mod recordings;
pub mod trials;
mod windows;

use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use self::pair::{Sides, sides};
use crate::datagen::{self, Spec};
use crate::explain::{self, Explained, Modes};
use crate::migrate::{self, Source};
use crate::pg::error::Doing as _;
use crate::pg::{Session, Target};
use crate::run::Run;
use crate::scenario::Scenario;
use crate::verdict::Verdict;

pub use self::recordings::{least_runs, recordings};
pub use self::windows::{Executions, Windows};

/// The other checkout, and how long it is worth to compare with it.
#[derive(Debug, Clone)]
pub struct Baseline {
    /// An empty database on a server of its own, which this run may settle as it needs.
    pub target: Target,
    /// Its migrations.
    pub migrations: Source,
    /// Its scenarios.
    pub scenarios: Vec<Scenario>,
    /// Length of one window.
    pub window: Duration,
}

/// What differs, and by how much.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The scenario's name.
    pub scenario: String,
    /// The operation's name.
    pub op: String,
    /// `leaves`, `indexes`, `buffers`, `rows_read`, `temp_blocks` or `wal_bytes` of a plan; `p50` or `p95` of the response;
    /// `failed`, the share of executions.
    pub metric: String,
    /// The plan's mode; none for a time.
    pub mode: Option<String>,
    /// What the baseline has, in words.
    pub base: String,
    /// What this checkout has, in words.
    pub candidate: String,
    /// This one over the baseline, in percent, where it is a figure.
    pub change_percent: Option<f64>,
    /// Lower end of the interval of a time.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// The smallest slowdown of a time that would have been called one, in percent.
    pub detectable_percent: Option<f64>,
    /// Pairs of windows behind a time.
    pub pairs: Option<usize>,
    /// Worse (fail), not worse (pass), not decided.
    pub verdict: Verdict,
    /// What else differs in this operation, which may be why.
    pub why: Vec<String>,
}

impl Change {
    /// Whether the gate's verdict hangs on it: a tail that is not decided does not decide, it rests on too few executions.
    #[must_use]
    pub fn decides(&self) -> bool {
        self.metric != windows::TAIL || self.verdict == Verdict::Fail
    }
}

/// `scenario/op (mode) metric: base -> candidate, +12.0% (8.1% to 15.9%)`, with the reasons below.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, op, metric, base, candidate, .. } = self;
        let mode = self.mode.as_ref().map_or_else(String::new, |mode| format!(" ({mode})"));
        write!(f, "{scenario}/{op}{mode} {metric}: {base} -> {candidate}")?;
        if let Some(change) = self.change_percent {
            write!(f, ", {change:+.1}%")?;
        }
        if let (Some(low), Some(high)) = (self.low, self.high) {
            write!(f, " ({low:+.1}% to {high:+.1}%)")?;
        }
        if self.verdict == Verdict::Inconclusive {
            let pairs = self.pairs.unwrap_or(0);
            let least =
                self.detectable_percent.map_or_else(|| "no".to_owned(), |least| format!("{least:.0}%"));
            write!(f, ", not decided by {pairs} pairs: {least} slowdown would have been seen")?;
        }
        self.why.iter().try_for_each(|why| write!(f, "\n  {why}"))
    }
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Compared {
    /// Every figure of a plan that is worse, and every time that was measured.
    pub changes: Vec<Change>,
    /// The windows behind the times.
    pub windows: Vec<Windows>,
    /// Operations that only one of the two has.
    pub unpaired: Vec<String>,
}

impl Compared {
    /// The worst of what decides.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        Verdict::worst(self.changes.iter().filter(|change| change.decides()).map(|change| change.verdict))
    }
}

/// Compares the database behind `target`, whose plans are `explained`, with `baseline`, which is filled by `spec` first. Both
/// servers are settled for it (autovacuum and checkpoints), and stay so: they are this run's own.
///
/// # Errors
/// When a server fails, the baseline's migrations cannot be applied, or the run is interrupted.
pub async fn baseline(
    run: &Run,
    target: &Target,
    (scenarios, explained): (&[Scenario], &Explained),
    baseline: &Baseline,
    spec: &Spec,
    seed: u64,
) -> anyhow::Result<Compared> {
    let base = &baseline.target;
    prepare(run, baseline, spec).await.context("prepare the baseline")?;
    let theirs = explain::run(run, base, &baseline.scenarios, Modes::Promised, seed)
        .await
        .context("explain the baseline's statements")?;
    let (pairs, unpaired) = sides(&baseline.scenarios, scenarios);
    let mut compared =
        Compared { changes: plans::changes(&theirs, explained), windows: Vec::new(), unpaired };
    calm(target).await?;
    calm(base).await?;
    let comparisons = pairs.iter().map(|sides| windows::METRICS * sides.ops()).sum();
    for sides in &pairs {
        let windows = windows::take(run, (base, target), sides, (baseline.window, comparisons, seed)).await?;
        compared.changes.extend(windows.changes(comparisons, &why(sides, &theirs, explained)));
        compared.windows.push(windows);
    }
    Ok(compared)
}

/// What may be why an operation of `sides` is slower: whatever differs in its plans.
fn why<'a>(
    sides: &'a Sides,
    base: &'a Explained,
    candidate: &'a Explained,
) -> impl Fn(&str) -> Vec<String> + use<'a> {
    move |op| plans::differences(&sides.candidate.name, op, base, candidate)
}

async fn prepare(run: &Run, baseline: &Baseline, spec: &Spec) -> anyhow::Result<()> {
    let target = &baseline.target;
    migrate::apply(target, &baseline.migrations, &migrate::Options::unlinted(), run).await?;
    datagen::generate(run, target, spec).await?;
    Ok(())
}

/// Keeps out of the windows what comes by the clock: autovacuum and timed checkpoints. The servers are this run's own.
async fn calm(target: &Target) -> anyhow::Result<()> {
    let session = Session::connect(target, "gate").await?;
    for set in [
        "ALTER SYSTEM SET autovacuum = off",
        "ALTER SYSTEM SET checkpoint_timeout = '1h'",
        "ALTER SYSTEM SET max_wal_size = '16GB'",
        "SELECT pg_catalog.pg_reload_conf()",
        "CHECKPOINT",
    ] {
        session.batch_execute(set).await.doing(|| "settle the server for the comparison".to_owned())?;
    }
    session.close().await;
    Ok(())
}
