//! Which executions a worker may send, and when each was due.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::alarm::Alarm;
use crate::scenario::Saturation;

/// One execution to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Job {
    /// Its number, unique over all workers of all drivers.
    pub(super) i: u64,
    /// When it was due, from the start; in a closed loop, when it is handed out.
    pub(super) due: Duration,
}

/// A worker's share of the executions: those whose number leaves `number` when divided by `of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) number: u64,
    pub(super) of: u64,
}

impl Lane {
    /// The executions of this lane, in order.
    fn executions(self) -> impl Iterator<Item = u64> {
        (0..).map(move |n| self.number + n * self.of)
    }
}

/// What a run sends, for all workers alike.
#[derive(Debug, Clone)]
pub(super) enum Demand {
    /// At the times of a schedule.
    Open { arrivals: Arc<[Duration]>, saturation: Saturation },
    /// Whenever a client is free, until the end.
    Closed { end: Duration, think: Duration },
}

/// The order in which the connections of one worker take its executions. One queue serves them, so an execution waits only
/// when all of them are busy. Nothing is shared with other threads.
#[derive(Debug)]
pub(super) struct Pace {
    demand: Demand,
    lane: Lane,
    /// How many were taken, in a closed loop.
    taken: Cell<u64>,
    waiting: RefCell<VecDeque<Job>>,
    /// One permit for each that waits, and at the end one for each connection.
    ready: Semaphore,
}

impl Pace {
    pub(super) fn new(demand: Demand, lane: Lane) -> Self {
        let (taken, waiting) = (Cell::new(0), RefCell::default());
        Self { demand, lane, taken, waiting, ready: Semaphore::new(0) }
    }

    /// Waits for the next execution for a connection that has been free since `free`; `None` once there is none left.
    /// Cancel safe.
    pub(super) async fn next(&self, free: Duration) -> Option<Job> {
        let Demand::Closed { end, .. } = &self.demand else {
            self.ready.acquire().await.ok()?.forget();
            return self.waiting.borrow_mut().pop_front();
        };
        let n = self.taken.get();
        self.taken.set(n + 1);
        (free < *end).then(|| Job { i: self.lane.number + n * self.lane.of, due: free })
    }

    /// Whether arrivals are due whatever the answers take.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.demand, Demand::Open { .. })
    }

    /// How long a client pauses after an answer.
    pub(super) fn think(&self) -> Duration {
        match self.demand {
            Demand::Closed { think, .. } => think,
            Demand::Open { .. } => Duration::ZERO,
        }
    }

    /// How many executions wait for a connection.
    pub(super) fn queue(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// Lets executions become due as time passes; then lets each of `connections` see that none is left. Tells `dropped`
    /// of those that find too many waiting. Cancel safe: what was not released is in [`Pace::left`].
    pub(super) async fn keep_time(
        &self,
        start: Instant,
        connections: usize,
        dropped: impl Fn(Job) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let Demand::Open { arrivals, saturation } = &self.demand else { return Ok(()) };
        let mut alarm = Alarm::new()?;
        for job in self.jobs(arrivals) {
            let now = start.elapsed();
            if now < job.due {
                alarm.sleep(job.due - now).await?;
            }
            self.taken.set(self.taken.get() + 1);
            match saturation {
                Saturation::DropBeyond(most) if self.queue() >= *most as usize => dropped(job)?,
                _ => {
                    self.waiting.borrow_mut().push_back(job);
                    self.ready.add_permits(1);
                }
            }
        }
        self.ready.add_permits(connections);
        Ok(())
    }

    fn jobs<'a>(&self, arrivals: &'a [Duration]) -> impl Iterator<Item = Job> + use<'a> {
        self.lane.executions().map_while(|i| Some(Job { i, due: *arrivals.get(usize::try_from(i).ok()?)? }))
    }

    /// The executions that no connection took.
    pub(super) fn left(self) -> Vec<Job> {
        let Demand::Open { arrivals, .. } = &self.demand else { return Vec::new() };
        let released = usize::try_from(self.taken.get()).unwrap_or(usize::MAX);
        let mut left: Vec<Job> = self.waiting.borrow().iter().copied().collect();
        left.extend(self.jobs(arrivals).skip(released));
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(count: u64, lane: Lane, saturation: Saturation) -> Pace {
        let arrivals = (0..count).map(Duration::from_micros).collect();
        Pace::new(Demand::Open { arrivals, saturation }, lane)
    }

    const WHOLE: Lane = Lane { number: 0, of: 1 };

    fn numbers(jobs: &[Job]) -> Vec<u64> {
        jobs.iter().map(|job| job.i).collect()
    }

    #[tokio::test]
    async fn every_arrival_is_handed_out_once_and_then_each_connection_is_dismissed() {
        let pace = open(5, WHOLE, Saturation::Queue);
        let start = Instant::now();
        pace.keep_time(start, 2, |_| Ok(())).await.unwrap();
        for i in 0..5 {
            assert_eq!(pace.next(Duration::ZERO).await.unwrap().i, i);
        }
        assert!(pace.next(Duration::ZERO).await.is_none() && pace.next(Duration::ZERO).await.is_none());
        assert_eq!(pace.left(), []);
    }

    #[tokio::test]
    async fn what_nobody_took_is_left() {
        assert_eq!(numbers(&open(3, WHOLE, Saturation::Queue).left()), [0, 1, 2]);
        let pace = open(3, WHOLE, Saturation::Queue);
        let start = Instant::now();
        pace.keep_time(start, 0, |_| Ok(())).await.unwrap();
        pace.next(Duration::ZERO).await.unwrap();
        assert_eq!(numbers(&pace.left()), [1, 2]);
    }

    #[tokio::test]
    async fn lanes_share_out_the_whole() {
        let mut all = Vec::new();
        for number in 0..3 {
            all.append(&mut numbers(&open(10, Lane { number, of: 3 }, Saturation::Queue).left()));
        }
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn beyond_the_queue_arrivals_are_dropped_and_told() {
        let (pace, lost) = (open(5, WHOLE, Saturation::DropBeyond(2)), RefCell::new(Vec::new()));
        let dropped = |job| {
            lost.borrow_mut().push(job);
            Ok(())
        };
        pace.keep_time(Instant::now(), 0, dropped).await.unwrap();
        assert_eq!((numbers(&lost.borrow()), numbers(&pace.left())), (vec![2, 3, 4], vec![0, 1]));
    }

    #[tokio::test]
    async fn a_closed_loop_numbers_its_executions_in_its_lane() {
        let demand = Demand::Closed { end: Duration::from_secs(60), think: Duration::ZERO };
        let pace = Pace::new(demand, Lane { number: 1, of: 4 });
        let drawn = [pace.next(Duration::ZERO).await.unwrap().i, pace.next(Duration::ZERO).await.unwrap().i];
        assert_eq!(drawn, [1, 5]);
    }
}
