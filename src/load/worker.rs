//! A worker: one thread, one single-threaded runtime, some of the connections, its share of the schedule and a recorder of
//! its own.
//!
//! A connection and the task that waits for its answers share the thread, so no answer is handed from
//! one processor to another, and nothing on the hot path is shared with another thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::resource::{UsageWho, getrusage};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio_util::sync::CancellationToken;

use super::alarm::Alarm;
use super::drift::Teller;
use super::line::{Line, Outcome};
use super::outage::Outage;
use super::pace::{Demand, Job, Lane, Pace};
use super::pulse::{Pulses, Tally};
use super::recorder::{Busy, Recorder, Times};
use super::schedule::{Course, Mix};
use super::statement::Text;
use crate::pg::Target;
use crate::scenario::{PlanCache, Retry};

/// What all workers of one scenario share; nothing in it changes but the two at its end, which are touched when a
/// connection is lost.
pub(super) struct Shared {
    pub(super) target: Target,
    /// For `application_name`.
    pub(super) purpose: String,
    pub(super) ops: Vec<Sent>,
    pub(super) mix: Mix,
    pub(super) course: Course,
    pub(super) demand: Demand,
    pub(super) plan_cache: PlanCache,
    /// Ends everything: an interrupt, the end of patience, or no connection for too long.
    pub(super) stop: CancellationToken,
    pub(super) outage: Outage,
}

/// An operation as it is sent.
pub(super) struct Sent {
    pub(super) name: String,
    pub(super) statements: Vec<Text>,
    pub(super) transaction: bool,
    pub(super) retry: Retry,
    /// Whether the mix holds it.
    pub(super) is_sent: bool,
}

/// What a worker is told at its start.
pub(super) struct Orders {
    /// How many connections are its own.
    pub(super) connections: u32,
    pub(super) lane: Lane,
    /// Where it reports that a connection is ready, or why it never will be.
    pub(super) ready: mpsc::UnboundedSender<anyhow::Result<()>>,
    /// When everything begins.
    pub(super) start: watch::Receiver<Option<Instant>>,
    /// Where it tells each second how it goes.
    pub(super) pulses: Pulses,
    /// How its connections tell their plans, if they do.
    pub(super) teller: Option<Teller>,
}

/// Runs the connections of `orders` to their end, on this thread.
pub(super) fn work(shared: &Arc<Shared>, orders: &Orders) -> anyhow::Result<Recorder> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a worker's runtime")?;
    LocalSet::new().block_on(&runtime, Worker::new(shared, orders)?.run(orders))
}

/// The state of one thread.
struct Worker {
    shared: Arc<Shared>,
    pace: Pace,
    recorder: RefCell<Recorder>,
    /// For the pulses.
    tally: Tally,
    teller: Option<Teller>,
    /// This thread's own end of the shared one.
    stop: CancellationToken,
    /// Processor time and clock when the measurement began.
    since: Cell<Option<(Duration, Instant)>>,
}

impl Worker {
    fn new(shared: &Arc<Shared>, orders: &Orders) -> anyhow::Result<Rc<Self>> {
        Ok(Rc::new(Self {
            shared: Arc::clone(shared),
            pace: Pace::new(shared.demand.clone(), orders.lane),
            recorder: RefCell::new(Recorder::new(shared.ops.len())?),
            tally: Tally::new(shared.ops.len())?,
            teller: orders.teller.clone(),
            stop: shared.stop.child_token(),
            since: Cell::new(None),
        }))
    }

    async fn run(self: Rc<Self>, orders: &Orders) -> anyhow::Result<Recorder> {
        self.drive(orders).await?;
        if let Some((cpu, at)) = self.since.get() {
            let busy = Busy { cpu: cpu_time()?.saturating_sub(cpu), of: at.elapsed() };
            self.recorder.borrow_mut().busy.push(busy);
        }
        let worker = Rc::try_unwrap(self).ok().context("a worker's recorder is still in use")?;
        let (shared, mut recorder) = (worker.shared, worker.recorder.into_inner());
        for job in worker.pace.left().into_iter().filter(|job| shared.course.counts(job.due)) {
            let why = "never sent: no connection was free".to_owned();
            let due = job.due.saturating_sub(shared.course.warmup());
            recorder.failed(shared.mix.op(job.i), job.i, why, due)?;
        }
        Ok(recorder)
    }

    /// Until every connection has ended.
    async fn drive(self: &Rc<Self>, orders: &Orders) -> anyhow::Result<()> {
        let mut tasks = JoinSet::new();
        for _ in 0..orders.connections {
            let (worker, ready, start) = (Rc::clone(self), orders.ready.clone(), orders.start.clone());
            tasks.spawn_local(async move { worker.connection(ready, start).await });
        }
        let (clock, heart) = (self.clock(orders), self.beat(orders));
        tokio::pin!(clock, heart);
        let (mut ticking, mut beating) = (true, true);
        loop {
            tokio::select! {
                done = &mut clock, if ticking => { ticking = false; done? }
                done = &mut heart, if beating => { beating = false; done? }
                ended = tasks.join_next() => match ended {
                    Some(ended) => ended??,
                    None => return Ok(()),
                },
            }
        }
    }

    /// Lets the schedule become due.
    async fn clock(&self, orders: &Orders) -> anyhow::Result<()> {
        let Some(start) = self.began(orders.start.clone()).await else { return Ok(()) };
        let dropped = |job: Job| {
            if self.shared.course.counts(job.due) {
                self.recorder.borrow_mut().dropped(self.shared.mix.op(job.i));
            }
            Ok(())
        };
        tokio::select! {
            done = self.pace.keep_time(start, orders.connections as usize, dropped) => done,
            () = self.stop.cancelled() => Ok(()),
        }
    }

    /// Tells each second how it goes, and notes what the processor had done when the measurement began.
    async fn beat(&self, orders: &Orders) -> anyhow::Result<()> {
        let Some(start) = self.began(orders.start.clone()).await else { return Ok(()) };
        let measured = start + self.shared.course.warmup();
        // Not by the runtime's timers: while one of them is set, each wait for an answer sets and stops one of the system's.
        let mut alarm = Alarm::new()?;
        alarm.sleep_until(measured).await?;
        self.since.set(Some((cpu_time()?, Instant::now())));
        for second in 0.. {
            alarm.sleep_until(measured + Duration::from_secs(second + 1)).await?;
            let pulse = self.tally.pulse(second, self.pace.queue())?;
            if orders.pulses.send(pulse).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// When everything began; `None` when the run was stopped before.
    async fn began(&self, mut start: watch::Receiver<Option<Instant>>) -> Option<Instant> {
        tokio::select! {
            began = start.wait_for(Option::is_some) => began.ok().and_then(|at| *at),
            () = self.stop.cancelled() => None,
        }
    }

    async fn connection(
        &self,
        ready: mpsc::UnboundedSender<anyhow::Result<()>>,
        start: watch::Receiver<Option<Instant>>,
    ) -> anyhow::Result<()> {
        let line = match Line::open(&self.shared, self.teller.as_ref(), &self.stop).await {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(()),
            Err(error) => {
                // The receiver is gone only when the run is over anyway.
                drop(ready.send(Err(error.into())));
                return Ok(());
            }
        };
        drop(ready.send(Ok(())));
        drop(ready);
        match self.began(start).await {
            Some(began) => self.serve(began, line).await,
            None => {
                line.close().await;
                Ok(())
            }
        }
    }

    /// Takes executions until there is none left or the run is stopped.
    async fn serve(&self, start: Instant, mut line: Line) -> anyhow::Result<()> {
        // The end of one execution is when the connection is free for the next: the clock is not asked twice.
        let mut free = start.elapsed();
        loop {
            if self.stop.is_cancelled() {
                break;
            }
            let job = tokio::select! {
                biased;
                job = self.pace.next(free) => job,
                () = self.stop.cancelled() => None,
            };
            let Some(job) = job else { break };
            let answer = self.send(start, &mut line, job, free).await?;
            free = answer.at;
            if answer.is_lost {
                drop(line);
                self.recorder.borrow_mut().lost += 1;
                let Some(again) = self.reconnect(start).await else { return Ok(()) };
                line = again;
                free = start.elapsed();
            }
            if !self.pace.think().is_zero() {
                self.pause(self.pace.think()).await;
                free = start.elapsed();
            }
        }
        line.close().await;
        Ok(())
    }

    /// Sends one execution over a connection that has been free since `free`, and records what came of it.
    async fn send(
        &self,
        start: Instant,
        line: &mut Line,
        job: Job,
        free: Duration,
    ) -> anyhow::Result<Answer> {
        let op = self.shared.mix.op(job.i);
        // A job that was due before is sent as soon as the connection is free.
        let waited = free <= job.due && self.pace.is_open();
        let sent = if waited { start.elapsed() } else { free };
        let mut attempt = 0;
        let outcome = loop {
            let outcome = line.perform(&self.shared.ops[op], job.i, &self.stop).await;
            let Some(pause) = outcome.again(&self.shared.ops[op].retry, attempt) else { break outcome };
            self.pause(pause).await;
            attempt += 1;
        };
        let done = start.elapsed();
        let answer = Answer { at: done, is_lost: outcome.is_lost() };
        if !self.shared.course.counts(job.due) {
            return Ok(answer);
        }
        let mut recorder = self.recorder.borrow_mut();
        recorder.retries += u64::from(attempt);
        // An idle connection that sends late is the driver's fault; a busy one is the server's.
        if waited {
            recorder.lagged(sent.saturating_sub(job.due))?;
        }
        let response = done.saturating_sub(job.due);
        let measured = done.saturating_sub(self.shared.course.warmup());
        match outcome {
            Outcome::Done => {
                self.tally.succeeded(op, response)?;
                recorder.succeeded(op, Times { response, service: done - sent, done: measured })?;
            }
            failed => {
                self.tally.failed(op);
                recorder.failed(op, job.i, failed.in_one_line(), measured)?;
            }
        }
        Ok(answer)
    }

    async fn pause(&self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Tries to have the connection again; `None` when the run is stopped, also because no connection was there for too
    /// long, or when nothing is left to send over it.
    async fn reconnect(&self, start: Instant) -> Option<Line> {
        let outage = &self.shared.outage;
        outage.lost();
        loop {
            match Line::open(&self.shared, self.teller.as_ref(), &self.stop).await {
                Ok(line) => {
                    outage.found();
                    return line;
                }
                Err(error) if outage.is_over_patience() => {
                    outage.give_up(&error);
                    self.shared.stop.cancel();
                    return None;
                }
                Err(_) if start.elapsed() >= self.shared.course.length() && self.pace.queue() == 0 => {
                    return None;
                }
                Err(error) => tracing::debug!("{error}"),
            }
            self.pause(RECONNECT_PAUSE).await;
        }
    }
}

/// When an execution was over, and whether its connection is gone.
struct Answer {
    at: Duration,
    is_lost: bool,
}

/// Pause between attempts to connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// Processor time of this thread so far; where a system tells it of the process alone, of that.
fn cpu_time() -> anyhow::Result<Duration> {
    #[cfg(target_os = "linux")]
    const WHO: UsageWho = UsageWho::RUSAGE_THREAD;
    #[cfg(not(target_os = "linux"))]
    const WHO: UsageWho = UsageWho::RUSAGE_SELF;
    let usage = getrusage(WHO).context("read the processor time of a worker")?;
    let time = |at: nix::sys::time::TimeVal| {
        let micros = at.tv_sec().unsigned_abs() * 1_000_000 + at.tv_usec().unsigned_abs();
        Duration::from_micros(micros)
    };
    Ok(time(usage.user_time()) + time(usage.system_time()))
}
