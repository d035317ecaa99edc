//! Clients that write and journal what they are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use super::journal::Journal;
use crate::pg::error::{Doing as _, PgError};
use crate::pg::{Session, Target};

const TABLES: &str = include_str!("tables.sql");
/// One write, with one of the rows that the application would touch.
const WRITE: &str = include_str!("write.sql");
const BEAT: &str = "UPDATE omtdb.drill_heartbeat SET at = pg_catalog.clock_timestamp()";
const BETWEEN_BEATS: Duration = Duration::from_millis(10);
const BETWEEN_TRIES: Duration = Duration::from_millis(5);
/// How long a promoted server may take to accept a write.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes the tables that the clients write to.
pub(super) async fn prepare(target: &Target) -> Result<(), PgError> {
    let session = Session::connect(target, "drill").await?;
    session.batch_execute(TABLES).await.doing(|| "make the drill's tables".to_owned())?;
    session.close().await;
    Ok(())
}

/// Clients under way.
pub(super) struct Load {
    clients: JoinSet<()>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// Lets `writers` clients write to `target` until they are stopped or lose it.
    pub(super) fn begin(target: &Target, journal: &Journal, writers: u32) -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for writer in 0..i32::try_from(writers)? {
            let (target, journal, stop) = (target.clone(), journal.clone(), Arc::clone(&stop));
            clients.spawn(async move {
                if let Err(error) = write(&target, &journal, writer, &stop).await {
                    tracing::debug!("writer {writer} ended: {error}");
                }
            });
        }
        clients.spawn(beat(target.clone(), Arc::clone(&stop)));
        Ok(Self { clients, stop })
    }

    /// Waits for the answers that are under way. A client that a dead server keeps waiting is ended.
    pub(super) async fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let all = async { while self.clients.join_next().await.is_some() {} };
        drop(tokio::time::timeout(Duration::from_secs(5), all).await);
    }
}

async fn write(target: &Target, journal: &Journal, writer: i32, stop: &AtomicBool) -> Result<(), PgError> {
    let doing = || "write".to_owned();
    let session = Session::connect(target, "drill").await?;
    let statement = session.prepare(WRITE).await.doing(doing)?;
    for seq in journal.next_seq(writer).. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let one = (writer, seq);
        journal.asked(one);
        match session.execute(&statement, &[&writer, &seq]).await {
            Ok(_) => journal.acked(one),
            Err(error) => {
                let error = PgError::from(error);
                // A server that says no has not done it; one that says nothing may have.
                if !error.is_lost() {
                    journal.refused(one);
                }
                return Err(error);
            }
        }
    }
    session.close().await;
    Ok(())
}

/// A time stamp that is renewed all the while: what a replica shows of it is how old its state is.
async fn beat(target: Target, stop: Arc<AtomicBool>) {
    let Ok(session) = Session::connect(&target, "drill").await else { return };
    while !stop.load(Ordering::Relaxed) && session.batch_execute(BEAT).await.is_ok() {
        tokio::time::sleep(BETWEEN_BEATS).await;
    }
    session.close().await;
}

/// Returns when `target` has accepted a write.
pub(super) async fn first_write(target: &Target) -> anyhow::Result<()> {
    let tried = async {
        loop {
            let written = async {
                let session = Session::connect(target, "drill").await?;
                // The drill's primary is alone now: it must not wait for anybody.
                let alone =
                    "ALTER SYSTEM SET synchronous_standby_names = ''; SELECT pg_catalog.pg_reload_conf()";
                for sql in alone.split("; ").chain([BEAT]) {
                    session.batch_execute(sql).await.doing(|| "write to the new primary".to_owned())?;
                }
                session.close().await;
                Ok::<_, PgError>(())
            };
            if written.await.is_ok() {
                return;
            }
            tokio::time::sleep(BETWEEN_TRIES).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, tried).await;
    waited.map_err(|_| {
        anyhow::anyhow!("the promoted server has accepted no write for {} s", PATIENCE.as_secs())
    })
}
