//! How long no connection has been there.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a server may be gone altogether before the run ends: a restart takes seconds, a failover less than this.
const PATIENCE: Duration = Duration::from_secs(10);

/// Counts the connections of a run that are there. Touched when one is lost or found again, never between.
#[derive(Debug)]
pub(super) struct Outage(Mutex<State>);

#[derive(Debug)]
struct State {
    alive: u32,
    /// Since when none has been.
    since: Option<Instant>,
    /// Why the run was given up.
    gone: Option<String>,
}

impl Outage {
    /// With `connections` that are all there.
    pub(super) fn new(connections: u32) -> Self {
        Self(Mutex::new(State { alive: connections, since: None, gone: None }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lost(&self) {
        let mut state = self.state();
        state.alive = state.alive.saturating_sub(1);
        if state.alive == 0 {
            state.since.get_or_insert_with(Instant::now);
        }
    }

    pub(super) fn found(&self) {
        let mut state = self.state();
        state.alive += 1;
        state.since = None;
    }

    /// Whether no connection has been there for longer than one waits.
    pub(super) fn is_over_patience(&self) -> bool {
        self.state().since.is_some_and(|since| since.elapsed() > PATIENCE)
    }

    pub(super) fn give_up(&self, why: &impl ToString) {
        self.state().gone.get_or_insert_with(|| why.to_string());
    }

    /// Why the run was given up, if it was.
    pub(super) fn gone(&self) -> Option<String> {
        self.state().gone.clone()
    }
}
