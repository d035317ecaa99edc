//! Runs scenarios one after the other, each with its own connections.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Bench;
use super::judge::{Evidence, judge};
use super::pace::Pace;
use super::recorder::{Histograms, Recorder};
use super::schedule::{Mix, arrivals};
use super::worker::{self, Sent, Shared};
use crate::datagen::Model;
use crate::pg::Target;
use crate::run::Run;
use crate::scenario::draw::Drawing;
use crate::scenario::{Arrival, Load, Scenario};
use crate::verdict::{Interrupted, UsageError};

/// How long answers are awaited after the last arrival before what is left counts as failed.
const DRAIN: Duration = Duration::from_secs(30);
/// Longest run: what is longer is no load test.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);
/// Most arrivals of one schedule, which is drawn beforehand and kept in memory, 16 bytes each.
const MOST_ARRIVALS: f64 = 50e6;
/// How often progress is reported.
const TICK: Duration = Duration::from_millis(250);

/// How to run scenarios.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Seed of the schedule and of the bound values.
    pub seed: u64,
    /// Warm-up instead of each scenario's own.
    pub warmup: Option<Duration>,
    /// Length of the measurement instead of each scenario's own.
    pub duration: Option<Duration>,
}

/// What was measured, and the histograms behind it.
#[derive(Debug, Clone)]
pub struct Measured {
    /// For the record.
    pub bench: Bench,
    /// One entry an operation, in the order of the record.
    pub histograms: Vec<Histograms>,
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
    let mut measured =
        Measured { bench: Bench { scenarios: Vec::new(), violations: Vec::new() }, histograms: Vec::new() };
    for scenario in scenarios {
        run.check()?;
        let load = feasible(Load {
            warmup: options.warmup.unwrap_or(scenario.load.warmup),
            duration: options.duration.unwrap_or(scenario.load.duration),
            ..scenario.load
        })?;
        let evidence = measure(run, target, scenario, load, (options.seed, &model))
            .await
            .with_context(|| format!("run {} ({})", scenario.name, scenario.file.display()))?;
        let (result, mut violations) = judge(scenario, load, options.seed, &evidence);
        measured.histograms.extend(histograms(scenario, load.duration, evidence.recorder));
        measured.bench.scenarios.push(result);
        measured.bench.violations.append(&mut violations);
    }
    Ok(measured)
}

/// Refuses what could not be run in reasonable time or memory.
fn feasible(load: Load) -> Result<Load, UsageError> {
    let length = load.warmup.saturating_add(load.duration);
    if length > LONGEST {
        return Err(UsageError(format!(
            "warm-up and duration are longer than {} days",
            LONGEST.as_secs() / 86_400
        )));
    }
    match load.arrival {
        Arrival::Open { rate, .. } if rate.as_per_second() * length.as_secs_f64() > MOST_ARRIVALS => {
            Err(UsageError(format!(
                "{rate} for {} s are more than {MOST_ARRIVALS:.0} arrivals",
                length.as_secs()
            )))
        }
        _ => Ok(load),
    }
}

fn histograms(
    scenario: &Scenario,
    duration: Duration,
    recorder: Recorder,
) -> impl Iterator<Item = Histograms> {
    scenario.ops.iter().zip(recorder.ops).filter(|(op, _)| op.weight > 0).map(move |(op, record)| {
        Histograms {
            duration,
            scenario: scenario.name.clone(),
            op: op.name.clone(),
            response: record.response,
            service: record.service,
        }
    })
}

async fn measure(
    run: &Run,
    target: &Target,
    scenario: &Scenario,
    load: Load,
    (seed, model): (u64, &Arc<Model>),
) -> anyhow::Result<Evidence> {
    let shared = Arc::new(shared(target, scenario, load, (seed, model)));
    // Workers block threads of their own: if this future is dropped, they are told.
    let _stop_workers = shared.stop.clone().drop_guard();
    let (start, started) = watch::channel(None);
    let (ready, mut readiness) = mpsc::unbounded_channel();
    let mut workers = workers(&shared, load.connections, &ready, &started);
    drop(ready);
    let prepared = tokio::select! {
        prepared = all_ready(&mut readiness, load.connections) => prepared,
        () = run.interrupt.cancelled() => Err(Interrupted.into()),
    };
    if let Err(error) = prepared {
        shared.stop.cancel();
        join(&mut workers, scenario).await?;
        return Err(error);
    }
    let began = Instant::now();
    start.send_replace(Some(began));
    let clock = {
        let shared = Arc::clone(&shared);
        tokio::task::spawn_blocking(move || {
            shared.pace.keep_time(began, load.connections as usize, &shared.stop);
        })
    };
    let recorder = until_the_end(run, &shared, load, &mut workers, scenario).await;
    shared.stop.cancel();
    clock.await.context("the clock of the schedule failed")?;
    let recorder = recorder?;
    run.check()?;
    evidence(&shared, recorder)
}

/// Puts together what the workers saw and what they did not get to.
fn evidence(shared: &Shared, mut recorder: Recorder) -> anyhow::Result<Evidence> {
    let gone = shared.gone.lock().unwrap_or_else(PoisonError::into_inner).take();
    for job in shared.pace.left() {
        if let Some(measured) = job.due.checked_sub(shared.warmup) {
            recorder.failed(
                shared.mix.op(job.i),
                job.i,
                "never sent: no connection was free".to_owned(),
                measured,
            )?;
        }
    }
    Ok(Evidence { recorder, gone })
}

fn shared(target: &Target, scenario: &Scenario, load: Load, (seed, model): (u64, &Arc<Model>)) -> Shared {
    let length = load.warmup + load.duration;
    let sent = |op: &crate::scenario::Op| Sent {
        name: op.name.clone(),
        sql: op.sql.clone(),
        drawing: Drawing::new(scenario, op, seed, model),
        is_sent: op.weight > 0,
    };
    Shared {
        target: target.clone(),
        purpose: format!("bench {}", scenario.name),
        ops: scenario.ops.iter().map(sent).collect(),
        mix: Mix::new(scenario, seed),
        pace: match load.arrival {
            Arrival::Open { rate, process } => Pace::open(arrivals(scenario, seed, rate, process, length)),
            Arrival::Closed { .. } => Pace::closed(length),
        },
        warmup: load.warmup,
        stop: CancellationToken::new(),
        alive: AtomicUsize::new(load.connections as usize),
        gone: Mutex::new(None),
    }
}

type Workers = JoinSet<anyhow::Result<Recorder>>;

fn workers(
    shared: &Arc<Shared>,
    connections: u32,
    ready: &worker::Ready,
    started: &watch::Receiver<Option<Instant>>,
) -> Workers {
    let cores = available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
    let threads = cores.min(connections).max(1);
    let mut workers = JoinSet::new();
    for thread in 0..threads {
        let share = connections / threads + u32::from(thread < connections % threads);
        let (shared, ready, started) = (Arc::clone(shared), ready.clone(), started.clone());
        workers.spawn_blocking(move || worker::work(&shared, share, &ready, &started));
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

/// Waits for the workers; stops them when the run is interrupted or answers are outstanding for too long.
async fn until_the_end(
    run: &Run,
    shared: &Shared,
    load: Load,
    workers: &mut Workers,
    scenario: &Scenario,
) -> anyhow::Result<Recorder> {
    let length = load.warmup + load.duration;
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
    use crate::scenario::Process;
    use crate::units::Rate;

    #[test]
    fn what_would_never_end_or_fit_is_refused() {
        let load = scenario(&[("a", 1)]).load;
        assert!(feasible(load).is_ok());
        assert!(feasible(Load { warmup: Duration::MAX, ..load }).is_err());
        let flood = Arrival::Open { rate: Rate::per_second(1e9).unwrap(), process: Process::Poisson };
        assert!(feasible(Load { arrival: flood, ..load }).is_err());
    }
}
