//! Who may send the next execution, and when it was due.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// One execution to send.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    /// Its number.
    pub(super) i: u64,
    /// When it was due, from the start; in a closed loop, when it is handed out.
    pub(super) due: Duration,
}

/// The order in which connections take executions. One queue serves all of them, so an execution waits only when every
/// connection is busy; none is left out, however long that takes.
#[derive(Debug)]
pub(super) enum Pace {
    /// At the times of a schedule.
    Open { arrivals: Vec<Duration>, due: Semaphore, next: AtomicU64 },
    /// Whenever a client is free, until the end.
    Closed { end: Duration, next: AtomicU64 },
}

/// Longest sleep of the clock, after which it looks whether the run was stopped.
const NAP: Duration = Duration::from_millis(20);

impl Pace {
    pub(super) fn open(arrivals: Vec<Duration>) -> Self {
        Self::Open { arrivals, due: Semaphore::new(0), next: AtomicU64::new(0) }
    }

    pub(super) fn closed(end: Duration) -> Self {
        Self::Closed { end, next: AtomicU64::new(0) }
    }

    /// Waits for the next execution; `None` once there is none left. Cancel safe.
    pub(super) async fn next(&self, start: Instant) -> Option<Job> {
        match self {
            Self::Open { arrivals, due, next } => {
                due.acquire().await.ok()?.forget();
                let i = next.fetch_add(1, Ordering::Relaxed);
                let due = arrivals.get(usize::try_from(i).ok()?)?;
                Some(Job { i, due: *due })
            }
            Self::Closed { end, next } => {
                let now = start.elapsed();
                (now < *end).then(|| Job { i: next.fetch_add(1, Ordering::Relaxed), due: now })
            }
        }
    }

    /// Lets executions become due as time passes; then lets each of `connections` see that none is left. Blocks its
    /// thread: the operating system's timers are precise to some 60 us, tokio's to a millisecond.
    pub(super) fn keep_time(&self, start: Instant, connections: usize, stop: &CancellationToken) {
        let Self::Open { arrivals, due, .. } = self else { return };
        let mut released = 0;
        while released < arrivals.len() && !stop.is_cancelled() {
            let now = start.elapsed();
            let ready = arrivals[released..].partition_point(|at| *at <= now);
            due.add_permits(ready);
            released += ready;
            if let Some(at) = arrivals.get(released) {
                std::thread::sleep(at.saturating_sub(start.elapsed()).min(NAP));
            }
        }
        due.add_permits(connections);
    }

    /// The executions that no connection took.
    pub(super) fn left(&self) -> impl Iterator<Item = Job> + '_ {
        let (arrivals, next) = match self {
            Self::Open { arrivals, next, .. } => (arrivals.as_slice(), next.load(Ordering::Relaxed)),
            Self::Closed { .. } => (&[][..], 0),
        };
        (0_u64..).zip(arrivals).filter(move |(i, _)| *i >= next).map(|(i, due)| Job { i, due: *due })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_arrival_is_handed_out_once_and_then_each_connection_is_dismissed() {
        let pace = Pace::open((0..5).map(Duration::from_micros).collect());
        let start = Instant::now();
        assert_eq!(pace.left().count(), 5);
        pace.keep_time(start, 2, &CancellationToken::new());
        for i in 0..5 {
            assert_eq!(pace.next(start).await.unwrap().i, i);
        }
        assert!(pace.next(start).await.is_none() && pace.next(start).await.is_none());
        assert_eq!(pace.left().count(), 0);
    }

    #[tokio::test]
    async fn what_nobody_took_is_left() {
        let pace = Pace::open((0..3).map(Duration::from_micros).collect());
        let start = Instant::now();
        pace.keep_time(start, 0, &CancellationToken::new());
        pace.next(start).await.unwrap();
        assert_eq!(pace.left().map(|job| job.i).collect::<Vec<_>>(), [1, 2]);
    }
}
