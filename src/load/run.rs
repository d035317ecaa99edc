//! Runs scenarios one after the other, each with its own connections.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::Bench;
use super::drift::{Drift, Teller};
use super::judge::Evidence;
use super::pace::Lane;
use super::prepare;
use super::pulse::{Heart, Pulse, Pulses};
use super::recorder::{Histograms, Recorder};
use super::recording::Recorded;
use super::schedule::Course;
use super::server::{Latest, ServerWork, Watch};
use super::worker::{self, Orders, Shared};
use crate::datagen::{Model, Shard};
use crate::pg::{Session, Target};
use crate::run::Run;
use crate::scenario::{Arrival, Load, Protocol, Scenario};
use crate::units::Rate;
use crate::verdict::{Interrupted, UsageError};

/// How long answers are awaited after the last arrival before what is left counts as failed.
const DRAIN: Duration = Duration::from_secs(30);
/// Longest run: what is longer is no load test.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);
/// Most arrivals of one schedule, which is drawn beforehand and kept in memory, 16 bytes each.
const MOST_ARRIVALS: f64 = 50e6;
/// How long a run that fails waits for the session that watched it.
const LAST_LOOK: Duration = Duration::from_secs(1);
/// How often progress is reported.
const TICK: Duration = Duration::from_millis(250);

/// How to run scenarios.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Seed of the schedule and of the bound values.
    pub seed: u64,
    /// Warm-up instead of each scenario's own.
    pub warmup: Option<Duration>,
    /// Length of the measurement instead of each scenario's own.
    pub duration: Option<Duration>,
    /// Rate instead of each scenario's own; stages keep their shape.
    pub rate: Option<Rate>,
    /// Protocol instead of each scenario's own.
    pub protocol: Option<Protocol>,
    /// Whether to look at the plans that are executed, which costs the server a little; for a server of ours.
    pub plans: bool,
    /// Which of several drivers this is: each sends its share of one schedule.
    pub driver: Shard,
    /// When the first scenario starts, warm-up first; as soon as everything is ready where it is not said.
    pub start_at: Option<jiff::Timestamp>,
}

impl Default for Options {
    fn default() -> Self {
        let (warmup, duration, rate, protocol) = (None, None, None, None);
        let (plans, driver, start_at) = (false, Shard::WHOLE, None);
        Self { seed: 0, warmup, duration, rate, protocol, plans, driver, start_at }
    }
}

impl Options {
    /// The load of `scenario` as these options have it.
    ///
    /// # Errors
    /// What cannot be run in reasonable time or memory, or has no rate to change.
    pub fn load(&self, scenario: &Scenario) -> Result<Load, UsageError> {
        let mut load = scenario.load.clone();
        load.warmup = self.warmup.unwrap_or(load.warmup);
        load.protocol = self.protocol.unwrap_or(load.protocol);
        if let Some(length) = self.duration {
            load = load.lasting(length);
        }
        if let Some(rate) = self.rate {
            load = load.at(rate).ok_or_else(|| {
                UsageError(format!("{} is a closed loop: its clients have no rate to change", scenario.name))
            })?;
        }
        feasible(load)
    }
}

/// What was measured, and the histograms behind it.
#[derive(Debug, Clone)]
pub struct Measured {
    /// For the record.
    pub bench: Bench,
    /// One entry an operation, in the order of the record.
    pub histograms: Vec<Histograms>,
    /// Everything, one entry a scenario.
    pub recorded: Vec<Recorded>,
}

/// Sends the load of each of `scenarios` to `target` and holds the answers against their objectives.
///
/// # Errors
/// When the server cannot be reached, a statement cannot be prepared, the database does not hold the generated data that
/// a parameter is drawn from, or the run is interrupted ([`Interrupted`]); nothing is left running on the server.
pub async fn run(
    run: &Run,
    target: &Target,
    scenarios: &[Scenario],
    options: &Options,
) -> anyhow::Result<Measured> {
    let model = super::data::model_for(target, scenarios).await?;
    with_model(run, target, &model, scenarios, options).await
}

/// As [`run`], with the model of the data at hand.
///
/// # Errors
/// As [`run`].
pub async fn with_model(
    run: &Run,
    target: &Target,
    model: &Arc<Model>,
    scenarios: &[Scenario],
    options: &Options,
) -> anyhow::Result<Measured> {
    let mut recorded = Vec::new();
    for scenario in scenarios {
        run.check()?;
        let load = options.load(scenario)?;
        // Drivers that start together go on each at its own pace.
        let options = &Options { start_at: options.start_at.filter(|_| recorded.is_empty()), ..*options };
        let evidence = measure(run, target, scenario, &load, options, model)
            .await
            .with_context(|| format!("run {} ({})", scenario.name, scenario.file.display()))?;
        recorded.push(Recorded { scenario: Scenario { load, ..scenario.clone() }, evidence });
    }
    Ok(Measured::of(recorded, options))
}

/// Refuses what could not be run in reasonable time or memory.
fn feasible(load: Load) -> Result<Load, UsageError> {
    let length = load.warmup.saturating_add(load.length());
    if length > LONGEST {
        let days = LONGEST.as_secs() / 86_400;
        return Err(UsageError(format!("warm-up and duration are longer than {days} days")));
    }
    let expected = Course::of(&load).expected();
    match load.arrival {
        Arrival::Open { rate, .. } if expected > MOST_ARRIVALS => Err(UsageError(format!(
            "{rate} for {} s are more than {MOST_ARRIVALS:.0} arrivals",
            length.as_secs()
        ))),
        _ => Ok(load),
    }
}

async fn measure(
    run: &Run,
    target: &Target,
    scenario: &Scenario,
    load: &Load,
    options: &Options,
    model: &Arc<Model>,
) -> anyhow::Result<Evidence> {
    let shared = Arc::new(prepare::shared(target, scenario, load, options, model).await?);
    // Workers block threads of their own: if this future is dropped, they are told.
    let _stop_workers = shared.stop.clone().drop_guard();
    let (begin, start) = watch::channel(None);
    let (ready, mut readiness) = mpsc::unbounded_channel();
    let (pulses, mut beats) = mpsc::unbounded_channel();
    let (drift, teller) = drift(run, target, scenario, load, options).await.unzip();
    // Given away: that all of them have ended is seen from their ties.
    let ties = Ties { ready, start, pulses, teller };
    let mut workers = workers(&shared, load.connections, options.driver, ties);
    let names = scenario.ops.iter().map(|op| op.name.clone()).collect();
    let mut heart = Heart::new(names, u32::try_from(workers.len())?);
    let prepared = tokio::select! {
        prepared = together(all_ready(&mut readiness, load.connections), options.start_at) => prepared,
        () = run.interrupt.cancelled() => Err(Interrupted.into()),
    };
    if let Err(error) = prepared {
        shared.stop.cancel();
        join(&mut workers, scenario).await?;
        return Err(error);
    }
    let (watch, waits) = watch(run, target, scenario, &shared.purpose).await.unzip();
    heart.with_waits(waits);
    let began = Instant::now();
    begin.send_replace(Some(began));
    let drift = drift.map(|drift| tokio::spawn(drift.until_the_end(began + load.warmup)));
    // A run that fails does not go on watching.
    let _enough = watch.as_ref().map(|(_, enough)| enough.clone().drop_guard());
    let recorder = until_the_end(run, &shared, &mut workers, scenario, (&mut beats, heart)).await;
    shared.stop.cancel();
    let mut watching = watch.map(|(watching, enough)| {
        enough.cancel();
        watching
    });
    if let (true, Some(watching)) = (recorder.is_err() || run.check().is_err(), &mut watching) {
        // What it asks last does not outlive the run, unless the server stands still.
        drop(tokio::time::timeout(LAST_LOOK, watching).await);
    }
    let recorder = recorder?;
    run.check()?;
    let server = match watching {
        Some(watching) => watching.await.context("watch the server")?,
        None => None,
    };
    let plans = match drift {
        Some(drift) => drift.await.context("look at the plans")?,
        None => Vec::new(),
    };
    Ok(Evidence { recorder, gone: shared.outage.gone(), server, plans })
}

type Watching = (JoinHandle<Option<ServerWork>>, CancellationToken);

/// Begins to watch what the server does; a run does not fail for a server (or a pooler before it) that does not tell.
async fn watch(run: &Run, target: &Target, scenario: &Scenario, purpose: &str) -> Option<(Watching, Latest)> {
    let ops = scenario.ops.iter().flat_map(|op| std::iter::repeat(op).zip(&op.statements));
    let statements = ops.map(|(op, statement)| (statement.sql.clone(), op.name.clone())).collect();
    match Watch::begin(target, statements).await {
        Ok((watch, latest)) => {
            let enough = CancellationToken::new();
            let watching = watch.until(Session::name(target, purpose), enough.clone());
            Some(((tokio::spawn(watching), enough), latest))
        }
        Err(error) => {
            run.note(format!("what the server does is not told: {error}"));
            None
        }
    }
}

/// Prepares to look at the plans that are executed, where that is asked for; not where statements hold their values, for
/// then nobody knows whose plan it is.
async fn drift(
    run: &Run,
    target: &Target,
    scenario: &Scenario,
    load: &Load,
    options: &Options,
) -> Option<(Drift, Teller)> {
    if !options.plans || load.protocol == Protocol::Simple {
        return None;
    }
    match Drift::begin(target, scenario, load).await {
        Ok(both) => Some(both),
        Err(error) => {
            run.note(format!("plans are not looked at during the load: {error}"));
            None
        }
    }
}

type Workers = JoinSet<anyhow::Result<Recorder>>;
/// What ties workers to the run.
#[derive(Clone)]
struct Ties {
    ready: mpsc::UnboundedSender<anyhow::Result<()>>,
    start: watch::Receiver<Option<Instant>>,
    pulses: Pulses,
    teller: Option<Teller>,
}

/// Starts a worker a processor, each with its share of the connections and of the schedule.
fn workers(shared: &Arc<Shared>, connections: u32, driver: Shard, ties: Ties) -> Workers {
    let cores = available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
    let threads = cores.min(connections).max(1);
    let mut workers = JoinSet::new();
    for thread in 0..threads {
        let (drivers, driver) = (u64::from(driver.of.get()), u64::from(driver.number.get() - 1));
        let lane = Lane { number: driver + u64::from(thread) * drivers, of: drivers * u64::from(threads) };
        let orders = Orders {
            connections: connections / threads + u32::from(thread < connections % threads),
            lane,
            ready: ties.ready.clone(),
            start: ties.start.clone(),
            pulses: ties.pulses.clone(),
            teller: ties.teller.clone(),
        };
        let shared = Arc::clone(shared);
        workers.spawn_blocking(move || worker::work(&shared, &orders));
    }
    workers
}

async fn all_ready(
    readiness: &mut mpsc::UnboundedReceiver<anyhow::Result<()>>,
    connections: u32,
) -> anyhow::Result<()> {
    for _ in 0..connections {
        readiness.recv().await.context("a worker ended before it began")??;
    }
    Ok(())
}

/// Waits until everything is `ready`, and until the moment at which all drivers start.
async fn together(
    ready: impl Future<Output = anyhow::Result<()>>,
    start_at: Option<jiff::Timestamp>,
) -> anyhow::Result<()> {
    ready.await?;
    let Some(at) = start_at else { return Ok(()) };
    let left = Duration::try_from(at.duration_since(jiff::Timestamp::now()));
    let left = left.map_err(|_| UsageError(format!("everything was ready only after {at}: start later")))?;
    tokio::time::sleep(left).await;
    Ok(())
}

/// Waits for the workers; stops them when the run is interrupted or answers are outstanding for too long.
async fn until_the_end(
    run: &Run,
    shared: &Shared,
    workers: &mut Workers,
    scenario: &Scenario,
    (beats, mut heart): (&mut mpsc::UnboundedReceiver<Pulse>, Heart),
) -> anyhow::Result<Recorder> {
    let length = shared.course.length();
    let progress =
        run.task(&format!("bench {}", scenario.name), u64::try_from(length.as_millis()).ok(), "ms");
    let patience = tokio::time::sleep(length + DRAIN);
    tokio::pin!(patience);
    let mut ticks = tokio::time::interval(TICK);
    let all = join(workers, scenario);
    tokio::pin!(all);
    loop {
        tokio::select! {
            recorder = &mut all => return recorder,
            _ = ticks.tick() => progress.advance(u64::try_from(TICK.as_millis())?),
            Some(pulse) = beats.recv() => {
                if let Some(words) = heart.hear(pulse, |second| shared.course.asked_in(second))? {
                    progress.say(words);
                }
            }
            () = run.interrupt.cancelled(), if !shared.stop.is_cancelled() => shared.stop.cancel(),
            () = &mut patience, if !shared.stop.is_cancelled() => {
                run.note(format!("{}: no answer within {} s of the last arrival", scenario.name, DRAIN.as_secs()));
                shared.stop.cancel();
            }
        }
    }
}

async fn join(workers: &mut Workers, scenario: &Scenario) -> anyhow::Result<Recorder> {
    let mut all = Recorder::new(scenario.ops.len())?;
    while let Some(ended) = workers.join_next().await {
        all.merge(ended.context("a worker failed")??)?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::judge::tests::scenario;

    #[test]
    fn what_would_never_end_or_fit_is_refused() {
        let load = scenario(&[("a", 1)]).load;
        assert!(feasible(load.clone()).is_ok());
        assert!(feasible(Load { warmup: Duration::MAX, ..load.clone() }).is_err());
        assert!(feasible(load.at(Rate::per_second(1e9).unwrap()).unwrap()).is_err());
    }
}
