//! Work shared out over several sessions.

use std::collections::VecDeque;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;

use crate::pg::{Session, Target};
use crate::run::Run;
use crate::verdict::Interrupted;

/// Does every job on one of `sessions` sessions, in order of beginning. The first failure, or an interrupt, stops the
/// others: their statements are cancelled on the server and nothing runs any more when this returns.
pub(super) async fn share_out<J, T, F>(
    run: &Run,
    target: &Target,
    sessions: NonZeroUsize,
    jobs: Vec<J>,
    work: impl Fn(Arc<Session>, J, Run) -> F + Clone + Send + Sync + 'static,
) -> anyhow::Result<Vec<T>>
where
    J: Send + 'static,
    T: Send + 'static,
    F: Future<Output = anyhow::Result<T>> + Send,
{
    let target = target.clone();
    side_by_side(run, sessions, jobs, move |queue, stop| {
        let (work, target) = (work.clone(), target.clone());
        async move {
            let session = open(&target).await?;
            let on_session = |job, run: Run| stoppable_job(Arc::clone(&session), job, run, work.clone());
            let done = until_empty(&queue, &stop, on_session).await;
            if let Ok(session) = Arc::try_unwrap(session) {
                session.close().await;
            }
            done
        }
    })
    .await
}

/// Does every job, `workers` of them at the same time, without a server.
pub(super) async fn each<J, T, F>(
    run: &Run,
    workers: NonZeroUsize,
    jobs: Vec<J>,
    work: impl Fn(J, Run) -> F + Clone + Send + Sync + 'static,
) -> anyhow::Result<Vec<T>>
where
    J: Send + 'static,
    T: Send + 'static,
    F: Future<Output = anyhow::Result<T>> + Send,
{
    side_by_side(run, workers, jobs, move |queue, stop| {
        let work = work.clone();
        async move { until_empty(&queue, &stop, work).await }
    })
    .await
}

type Queue<J> = Arc<Mutex<VecDeque<J>>>;

/// Runs as many workers on the queue of `jobs`; the first failure stops the others.
async fn side_by_side<J, T, F>(
    run: &Run,
    workers: NonZeroUsize,
    jobs: Vec<J>,
    worker: impl Fn(Queue<J>, Run) -> F,
) -> anyhow::Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = anyhow::Result<Vec<T>>> + Send + 'static,
{
    let workers = workers.get().min(jobs.len());
    let queue = Arc::new(Mutex::new(VecDeque::from(jobs)));
    let stop = run.part();
    let mut set = JoinSet::new();
    for _ in 0..workers {
        set.spawn(worker(Arc::clone(&queue), stop.clone()));
    }
    let (mut all, mut failure) = (Vec::new(), None);
    while let Some(done) = set.join_next().await {
        match done.map_err(anyhow::Error::from).and_then(|done| done) {
            Ok(results) => all.extend(results),
            Err(error) => {
                stop.interrupt.cancel();
                // Those stopped on account of the first failure only say that they were.
                if failure.as_ref().is_none_or(|first: &anyhow::Error| first.is::<Interrupted>()) {
                    failure = Some(error);
                }
            }
        }
    }
    failure.map_or(Ok(all), Err)
}

async fn stoppable_job<J, T, F>(
    session: Arc<Session>,
    job: J,
    run: Run,
    work: impl Fn(Arc<Session>, J, Run) -> F,
) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    stoppable(&run, &session, work(Arc::clone(&session), job, run.clone())).await
}

async fn until_empty<J, T, F>(
    queue: &Mutex<VecDeque<J>>,
    run: &Run,
    work: impl Fn(J, Run) -> F,
) -> anyhow::Result<Vec<T>>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let mut done = Vec::new();
    loop {
        run.check()?;
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(job) = next else { return Ok(done) };
        done.push(work(job, run.clone()).await?);
    }
}

/// `work`, or [`Interrupted`] as soon as the run is interrupted: then the statement under way is cancelled.
pub(super) async fn stoppable<T>(
    run: &Run,
    session: &Session,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    tokio::select! {
        done = work => done,
        () = run.interrupt.cancelled() => {
            // Where this fails the session is gone, and its statement with it.
            drop(session.cancel().await);
            Err(Interrupted.into())
        }
    }
}

/// A session for definitions and rows: names in what the catalog prints are qualified, nothing times out, a lock
/// that somebody else keeps is given up on, and the server notices when this process is killed: it would otherwise go on
/// with an index for hours, beside the next run.
pub(super) async fn open(target: &Target) -> anyhow::Result<Arc<Session>> {
    let session = Session::connect(target, "generate").await?;
    let settings = "SET search_path = pg_catalog; SET TimeZone = 'UTC'; SET lock_timeout = '60s';
        SET client_min_messages = warning; SET client_connection_check_interval = '2s'";
    session.batch_execute(settings).await?;
    // Not every version has them all.
    let unlimited = "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name IN
        ('statement_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout')";
    session.query(unlimited, &[]).await?;
    Ok(Arc::new(session))
}
