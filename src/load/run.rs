//! Runs scenarios one after the other, each with its own connections.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use super::Bench;
use super::judge::{Evidence, judge};
use super::outage::Outage;
use super::pace::{Demand, Lane};
use super::pulse::{Heart, Pulse, Pulses};
use super::recorder::{Histograms, Recorder};
use super::schedule::{Course, Mix};
use super::statement::Text;
use super::worker::{self, Orders, Sent, Shared};
use crate::datagen::{Model, Shard};
use crate::pg::error::Doing as _;
use crate::pg::{PgError, Session, Target};
use crate::run::Run;
use crate::scenario::draw::Drawing;
use crate::scenario::{Arrival, Load, Protocol, Scenario};
use crate::units::Rate;
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
    /// Which of several drivers this is: each sends its share of one schedule.
    pub driver: Shard,
}

impl Default for Options {
    fn default() -> Self {
        let (warmup, duration, rate, protocol) = (None, None, None, None);
        Self { seed: 0, warmup, duration, rate, protocol, driver: Shard::WHOLE }
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
        let load = options.load(scenario)?;
        let evidence = measure(run, target, scenario, &load, options, &model)
            .await
            .with_context(|| format!("run {} ({})", scenario.name, scenario.file.display()))?;
        let (result, mut violations) = judge(scenario, &load, options, &evidence);
        measured.histograms.extend(histograms(scenario, Course::of(&load).measured(), evidence.recorder));
        measured.bench.scenarios.push(result);
        measured.bench.violations.append(&mut violations);
    }
    Ok(measured)
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
    load: &Load,
    options: &Options,
    model: &Arc<Model>,
) -> anyhow::Result<Evidence> {
    let shared = Arc::new(shared(target, scenario, load, options, model).await?);
    // Workers block threads of their own: if this future is dropped, they are told.
    let _stop_workers = shared.stop.clone().drop_guard();
    let (start, started) = watch::channel(None);
    let (ready, mut readiness) = mpsc::unbounded_channel();
    let (pulses, mut beats) = mpsc::unbounded_channel();
    let mut workers = workers(&shared, load.connections, options.driver, &(ready, started, pulses));
    let heart = Heart::new(u32::try_from(workers.len())?);
    let prepared = tokio::select! {
        prepared = all_ready(&mut readiness, load.connections) => prepared,
        () = run.interrupt.cancelled() => Err(Interrupted.into()),
    };
    if let Err(error) = prepared {
        shared.stop.cancel();
        join(&mut workers, scenario).await?;
        return Err(error);
    }
    start.send_replace(Some(Instant::now()));
    let recorder = until_the_end(run, &shared, &mut workers, scenario, (&mut beats, heart)).await;
    shared.stop.cancel();
    let recorder = recorder?;
    run.check()?;
    Ok(Evidence { recorder, gone: shared.outage.gone() })
}

async fn shared(
    target: &Target,
    scenario: &Scenario,
    load: &Load,
    options: &Options,
    model: &Arc<Model>,
) -> anyhow::Result<Shared> {
    let course = Course::of(load);
    let demand = match load.arrival {
        Arrival::Open { process, .. } => Demand::Open {
            arrivals: course.arrivals(scenario, options.seed, process).into(),
            saturation: load.saturation,
        },
        Arrival::Closed { think, .. } => Demand::Closed { end: course.length(), think },
    };
    Ok(Shared {
        target: target.clone(),
        purpose: format!("bench {}", scenario.name),
        ops: sent(target, scenario, load.protocol, options.seed, model).await?,
        mix: Mix::new(scenario, options.seed),
        course,
        demand,
        protocol: load.protocol,
        plan_cache: load.plan_cache,
        stop: CancellationToken::new(),
        outage: Outage::new(load.connections),
    })
}

/// The operations as they are sent. Where parameter types go with each statement, the server is asked for them once.
async fn sent(
    target: &Target,
    scenario: &Scenario,
    protocol: Protocol,
    seed: u64,
    model: &Arc<Model>,
) -> anyhow::Result<Vec<Sent>> {
    let mut session = match protocol {
        Protocol::Unnamed => Some(Session::connect(target, "bench").await?),
        Protocol::Prepared | Protocol::Simple => None,
    };
    let mut all = Vec::new();
    for op in &scenario.ops {
        let mut statements = Vec::new();
        for statement in &op.statements {
            let types = match &mut session {
                Some(session) if op.weight > 0 => {
                    types(session, &statement.sql).await.doing(|| format!("prepare {}", op.name))?
                }
                _ => Vec::new(),
            };
            let drawing = Drawing::new(scenario, op, statement, seed, model);
            statements.push(Text { sql: statement.sql.clone(), drawing, types });
        }
        all.push(Sent {
            name: op.name.clone(),
            statements,
            transaction: op.transaction,
            retry: op.retry.clone(),
            is_sent: op.weight > 0,
        });
    }
    if let Some(session) = session {
        session.close().await;
    }
    Ok(all)
}

/// The types of the parameters of `sql`. In a transaction: a pooler then keeps to one server between the two messages.
async fn types(session: &mut Session, sql: &str) -> Result<Vec<Type>, PgError> {
    let transaction = session.transaction().await?;
    let types = transaction.prepare(sql).await?.params().to_vec();
    transaction.rollback().await?;
    Ok(types)
}

type Workers = JoinSet<anyhow::Result<Recorder>>;
type Ties = (mpsc::UnboundedSender<anyhow::Result<()>>, watch::Receiver<Option<Instant>>, Pulses);

/// Starts a worker a processor, each with its share of the connections and of the schedule.
fn workers(shared: &Arc<Shared>, connections: u32, driver: Shard, ties: &Ties) -> Workers {
    let cores = available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
    let threads = cores.min(connections).max(1);
    let mut workers = JoinSet::new();
    for thread in 0..threads {
        let (drivers, driver) = (u64::from(driver.of.get()), u64::from(driver.number.get() - 1));
        let lane = Lane {
            number: driver + u64::from(thread) * drivers,
            of: drivers * u64::from(threads),
        };
        let orders = Orders {
            connections: connections / threads + u32::from(thread < connections % threads),
            lane,
            ready: ties.0.clone(),
            start: ties.1.clone(),
            pulses: ties.2.clone(),
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
                let asked = shared.course.asked_in(pulse.second);
                if let Some(words) = heart.hear(pulse, asked)? {
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
