//! How fast a load goes, over all sessions, and what the server waits for meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::work::open;
use crate::pg::{Session, Target};
use crate::run::{Run, Task};
use crate::units::Bytes;

const WAITS: &str = include_str!("sql/waits.sql");
const EVERY: Duration = Duration::from_millis(500);

/// Counts what all sessions of a load have sent.
pub(super) struct Meter {
    task: Task,
    bytes: AtomicU64,
}

impl Meter {
    pub(super) fn new(run: &Run, rows: u64) -> Arc<Self> {
        Arc::new(Self { task: run.task("load", Some(rows), "rows"), bytes: AtomicU64::new(0) })
    }

    pub(super) fn add(&self, rows: u64, bytes: u64) {
        self.task.advance(rows);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Says the rate and the server's waits until the returned watch is dropped. A watch that cannot be kept is no reason
    /// to end a load.
    pub(super) fn watch(self: &Arc<Self>, target: &Target) -> Watch {
        let (meter, target) = (Arc::clone(self), target.clone());
        Watch(tokio::spawn(async move {
            match open(&target).await {
                Ok(session) => meter.look(&session).await,
                Err(error) => tracing::debug!("nobody watches the server's waits: {error:#}"),
            }
        }))
    }

    async fn look(&self, session: &Session) {
        let (began, mut seen) = (Instant::now(), BTreeMap::new());
        loop {
            tokio::time::sleep(EVERY).await;
            let Ok(rows) = session.query(WAITS, &[]).await else { return };
            for row in rows {
                let Ok(wait) = row.try_get::<_, String>("wait") else { return };
                *seen.entry(wait).or_insert(0u32) += 1;
            }
            self.task.say(self.line(began.elapsed(), &seen));
        }
    }

    fn line(&self, took: Duration, seen: &BTreeMap<String, u32>) -> String {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate for people"
        )]
        let rate = (self.bytes.load(Ordering::Relaxed) as f64 / took.as_secs_f64()) as u64;
        format!("{}/s; server: {}", Bytes(rate), shares(seen))
    }
}

/// The most frequent three of what was seen, in percent: `CPU 70 %, IO/WALWrite 30 %`.
fn shares(seen: &BTreeMap<String, u32>) -> String {
    let all: u32 = seen.values().sum();
    let mut seen: Vec<_> = seen.iter().collect();
    seen.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let share = |(wait, count): &(&String, &u32)| format!("{wait} {} %", *count * 100 / all.max(1));
    seen.iter().take(3).map(share).collect::<Vec<_>>().join(", ")
}

/// Ends the watching when it is dropped.
pub(super) struct Watch(JoinHandle<()>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_waits_are_named() {
        let seen = [("CPU", 7), ("IO/WALWrite", 2), ("Client/ClientRead", 1), ("IO/A", 0)];
        let seen = seen.map(|(wait, count)| (wait.to_owned(), count)).into();
        assert_eq!(shares(&seen), "CPU 70 %, IO/WALWrite 20 %, Client/ClientRead 10 %");
    }
}
