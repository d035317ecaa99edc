//! A worker: one thread, one single-threaded runtime, some of the connections and a recorder of its own.
//!
//! A connection, its driver task and the code that waits for its answers share the thread, so no answer is handed from
//! one processor to another, and nothing on the hot path takes a lock.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::{StreamExt as _, pin_mut};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio_postgres::Statement;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_util::sync::CancellationToken;

use super::pace::{Job, Pace};
use super::recorder::{Recorder, Times};
use super::schedule::Mix;
use crate::pg::error::Doing as _;
use crate::pg::{PgError, Session, Target};
use crate::scenario::draw::Drawing;

/// Executions of each statement on each connection before the load starts: PostgreSQL plans the first five for their
/// values and may keep one plan from the sixth on, and that change belongs to no measurement.
const PLAN_CACHE_RUNS: u64 = 6;
/// How long a lost connection is tried again.
const RECONNECT_FOR: Duration = Duration::from_secs(5);
/// Pause between attempts to connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
/// How long the server may take to end a cancelled statement before the connection is dropped, and asked how often.
const CANCEL_PATIENCE: (u32, Duration) = (5, Duration::from_secs(1));

/// What all workers of one scenario share.
pub(super) struct Shared {
    pub(super) target: Target,
    /// For `application_name`.
    pub(super) purpose: String,
    pub(super) ops: Vec<Sent>,
    pub(super) mix: Mix,
    pub(super) pace: Pace,
    pub(super) warmup: Duration,
    /// Ends everything: an interrupt, the end of patience, or no connection left.
    pub(super) stop: CancellationToken,
    /// Connections that are not given up.
    pub(super) alive: AtomicUsize,
    /// Why the last connection was given up.
    pub(super) gone: Mutex<Option<String>>,
}

/// An operation as it is sent.
pub(super) struct Sent {
    pub(super) name: String,
    pub(super) sql: String,
    pub(super) drawing: Drawing,
    /// Whether the mix holds it.
    pub(super) is_sent: bool,
}

/// Reports that a connection is ready, or why it never will be.
pub(super) type Ready = mpsc::UnboundedSender<anyhow::Result<()>>;

/// Runs `connections` connections to their end, on this thread.
pub(super) fn work(
    shared: &std::sync::Arc<Shared>,
    connections: u32,
    ready: &Ready,
    start: &watch::Receiver<Option<Instant>>,
) -> anyhow::Result<Recorder> {
    let recorder = Rc::new(RefCell::new(Recorder::new(shared.ops.len())?));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a worker's runtime")?;
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            let (shared, recorder) = (std::sync::Arc::clone(shared), Rc::clone(&recorder));
            let (ready, start) = (ready.clone(), start.clone());
            tasks.spawn_local(async move { connection(&shared, &recorder, ready, start).await });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        anyhow::Ok(())
    })?;
    drop((local, runtime));
    Ok(Rc::try_unwrap(recorder).ok().context("a worker's recorder is still in use")?.into_inner())
}

/// A session with everything prepared.
struct Line {
    session: Session,
    statements: Vec<Option<Statement>>,
}

async fn connection(
    shared: &Shared,
    recorder: &RefCell<Recorder>,
    ready: Ready,
    mut start: watch::Receiver<Option<Instant>>,
) -> anyhow::Result<()> {
    let line = match open(shared).await {
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
    let began = tokio::select! {
        began = start.wait_for(Option::is_some) => began.ok().and_then(|at| *at),
        () = shared.stop.cancelled() => None,
    };
    match began {
        Some(began) => serve(shared, recorder, began, line).await,
        None => {
            line.session.close().await;
            Ok(())
        }
    }
}

/// Connects, prepares every statement and has PostgreSQL choose its plans; `None` when the run is stopped meanwhile.
async fn open(shared: &Shared) -> Result<Option<Line>, PgError> {
    let session = tokio::select! {
        session = Session::connect(&shared.target, &shared.purpose) => session?,
        () = shared.stop.cancelled() => return Ok(None),
    };
    let statements = prepare(shared, &session).await;
    if shared.stop.is_cancelled() {
        session.close().await;
        return Ok(None);
    }
    Ok(Some(Line { session, statements: statements? }))
}

async fn prepare(shared: &Shared, session: &Session) -> Result<Vec<Option<Statement>>, PgError> {
    let mut statements = Vec::new();
    for op in &shared.ops {
        if !op.is_sent {
            statements.push(None);
            continue;
        }
        let prepared = or_cancelled(shared, session, session.prepare(&op.sql)).await;
        let statement = prepared.doing(|| format!("prepare {}", op.name))?;
        for i in 0..PLAN_CACHE_RUNS {
            match or_cancelled(shared, session, execute(session, &statement, op, u64::MAX - i)).await {
                // An operation that fails is counted when it is measured.
                Err(Unanswered::Failed(error)) if !is_lost(session, &error) => {}
                done => done.doing(|| format!("execute {} for the first time", op.name))?,
            }
        }
        statements.push(Some(statement));
    }
    Ok(statements)
}

/// Takes executions until there is none left or the run is stopped.
async fn serve(
    shared: &Shared,
    recorder: &RefCell<Recorder>,
    start: Instant,
    mut line: Line,
) -> anyhow::Result<()> {
    loop {
        let free = start.elapsed();
        let job = tokio::select! {
            biased;
            () = shared.stop.cancelled() => None,
            job = shared.pace.next(start) => job,
        };
        let Some(job) = job else { break };
        if !send(shared, recorder, start, &line, (job, free)).await? {
            drop(line);
            recorder.borrow_mut().lost += 1;
            let Some(again) = reconnect(shared).await else { return Ok(()) };
            line = again;
        }
    }
    line.session.close().await;
    Ok(())
}

/// Sends one execution and records what came of it; false when the connection is lost.
async fn send(
    shared: &Shared,
    recorder: &RefCell<Recorder>,
    start: Instant,
    line: &Line,
    (job, free): (Job, Duration),
) -> anyhow::Result<bool> {
    let op = shared.mix.op(job.i);
    let statement = line.statements[op].as_ref().context("an operation outside the mix was drawn")?;
    let sent = start.elapsed();
    let work = execute(&line.session, statement, &shared.ops[op], job.i);
    let answer = or_cancelled(shared, &line.session, work).await;
    let done = start.elapsed();
    let lost = match &answer {
        Ok(()) => false,
        Err(Unanswered::Failed(error)) => is_lost(&line.session, error),
        Err(Unanswered::Deaf) => true,
    };
    let Some(measured) = job.due.checked_sub(shared.warmup) else { return Ok(!lost) };
    let mut recorder = recorder.borrow_mut();
    // An idle connection that sends late is the driver's fault; a busy one is the server's.
    if free <= job.due {
        recorder.lagged(sent.saturating_sub(job.due))?;
    }
    let response = done.saturating_sub(job.due);
    match answer {
        Ok(()) => {
            let times = Times { response, service: done - sent, done: measured + response };
            recorder.succeeded(op, times)?;
        }
        Err(error) => recorder.failed(op, job.i, in_one_line(error), measured + response)?,
    }
    Ok(!lost)
}

/// Why there is no answer.
enum Unanswered {
    /// The server refused, or the connection broke.
    Failed(tokio_postgres::Error),
    /// The server does not even end the statement when asked.
    Deaf,
}

impl From<Unanswered> for PgError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Failed(error) => error.into(),
            Unanswered::Deaf => Self::broken("", "no answer, not even to the request to cancel"),
        }
    }
}

/// Awaits `work` on `session`; once the run is stopped, has the server end the statement first.
async fn or_cancelled<T>(
    shared: &Shared,
    session: &Session,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Unanswered> {
    pin_mut!(work);
    tokio::select! {
        done = &mut work => return done.map_err(Unanswered::Failed),
        () = shared.stop.cancelled() => {}
    }
    let (attempts, patience) = CANCEL_PATIENCE;
    for _ in 0..attempts {
        // A request that comes before the statement or after it has no effect: ask again.
        let asked = async {
            if let Err(error) = session.cancel().await {
                tracing::debug!("{error}");
            }
            (&mut work).await
        };
        if let Ok(done) = tokio::time::timeout(patience, asked).await {
            return done.map_err(Unanswered::Failed);
        }
    }
    Err(Unanswered::Deaf)
}

async fn execute(
    session: &Session,
    statement: &Statement,
    op: &Sent,
    i: u64,
) -> Result<(), tokio_postgres::Error> {
    let values = op.drawing.values(i);
    let rows = session.query_raw(statement, values.iter().map(|value| value as &(dyn ToSql + Sync))).await?;
    pin_mut!(rows);
    while let Some(row) = rows.next().await {
        row?;
    }
    Ok(())
}

/// Tries for a while to have the connection again; `None` when it is given up or the run is stopped.
async fn reconnect(shared: &Shared) -> Option<Line> {
    let until = Instant::now() + RECONNECT_FOR;
    loop {
        match open(shared).await {
            Ok(line) => return line,
            Err(error) if Instant::now() > until => {
                give_up(shared, error);
                return None;
            }
            Err(error) => tracing::debug!("{error}"),
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

fn give_up(shared: &Shared, error: PgError) {
    if shared.alive.fetch_sub(1, Ordering::Relaxed) == 1 {
        *shared.gone.lock().unwrap_or_else(PoisonError::into_inner) = Some(in_one_line(error));
        shared.stop.cancel();
    }
}

/// The server ends a session with an error of class 57P a moment before the connection is seen to be closed.
fn is_lost(session: &Session, error: &tokio_postgres::Error) -> bool {
    let ended = |state: &SqlState| state.code().starts_with("57P") || state.code().starts_with("08");
    session.is_closed() || error.is_closed() || error.code().is_some_and(ended)
}

/// SQLSTATE and message, without detail and hint.
fn in_one_line(error: impl Into<PgError>) -> String {
    let error = error.into();
    match error.refusal() {
        Some(refusal) => format!("{} {}", refusal.sqlstate, refusal.message),
        None => error.to_string(),
    }
}
