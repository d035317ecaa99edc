//! How often, and how far apart, to try for a lock behind which everybody else has to wait.
//!
//! A statement that waits for a lock holds up all who come after it, also those that would not mind each other. So an
//! attempt waits briefly ([`Patience::lock_timeout`]), and then lets the others through before the next.

use std::time::Duration;

use super::error::{PgError, Result};
use crate::run::Run;

/// The limits of trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How long an attempt may wait for its lock. Below the server's `deadlock_timeout` (1 s), whoever waits for us while
    /// we wait for them is let go before the server has to end one of us.
    pub lock_timeout: Duration,
    /// Attempts at most; none is one.
    pub attempts: u32,
    /// Longest pause after the first attempt; it doubles with each further one.
    pub first_pause: Duration,
    /// Longest pause of all.
    pub longest_pause: Duration,
    /// Time at most for pauses and waiting together.
    pub budget: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            lock_timeout: Duration::from_millis(200),
            attempts: 40,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(10),
            budget: Duration::from_secs(300),
        }
    }
}

impl Patience {
    /// The pauses between attempts: one fewer than there are attempts, fewer still where the budget ends before. Each lies
    /// between half and all of what its turn allows, as `seed` says, so that two who collide do not go on colliding.
    pub fn pauses(self, seed: u64) -> impl Iterator<Item = Duration> {
        let mut spent = Duration::ZERO;
        (1..self.attempts).map_while(move |attempt| {
            let pause = self.pause(attempt, seed);
            spent = spent.saturating_add(self.lock_timeout).saturating_add(pause);
            (spent.saturating_add(self.lock_timeout) <= self.budget).then_some(pause)
        })
    }

    fn pause(self, attempt: u32, seed: u64) -> Duration {
        let doublings = 1_u32 << (attempt - 1).min(20);
        let most = self.first_pause.saturating_mul(doublings).min(self.longest_pause);
        let per_mille = 500 + u32::try_from(mixed(seed, attempt) % 501).unwrap_or_default();
        most.saturating_mul(per_mille) / 1000
    }

    /// Makes the attempt until it succeeds, for as long as a lock is what keeps it from doing so; what it gave, and the
    /// number of attempts. `attempt` sets the lock timeout itself, and leaves nothing behind when it fails.
    ///
    /// # Errors
    /// A failure of another kind at once; the last one when patience ends; when interrupted in a pause.
    pub async fn persist<T>(
        self,
        seed: u64,
        run: &Run,
        mut attempt: impl AsyncFnMut() -> Result<T>,
    ) -> anyhow::Result<(T, u32)> {
        let mut pauses = self.pauses(seed);
        let mut made = 0;
        loop {
            made += 1;
            let failure = match attempt().await {
                Ok(done) => return Ok((done, made)),
                Err(failure) if is_worth_another(&failure) => failure,
                Err(failure) => return Err(failure.into()),
            };
            let Some(pause) = pauses.next() else { return Err(self.exhausted(failure, made).into()) };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = run.interrupt.cancelled() => run.check()?,
            }
        }
    }

    fn exhausted(self, failure: PgError, made: u32) -> PgError {
        let timeout_ms = self.lock_timeout.as_millis();
        failure.help(format!(
            "other sessions held the lock through {made} attempts of {timeout_ms} ms; nothing of the last one was kept. Try again, or end what holds it (pg_locks, pg_stat_activity)"
        ))
    }
}

/// A lock that was not granted in time, or a deadlock.
fn is_worth_another(failure: &PgError) -> bool {
    failure.is_lock_timeout() || failure.is_retryable()
}

/// The finalizer of `SplitMix64` over seed and turn.
fn mixed(seed: u64, turn: u32) -> u64 {
    let mut z = seed.wrapping_add(u64::from(turn).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Patience = Patience {
        lock_timeout: Duration::from_millis(10),
        attempts: 6,
        first_pause: Duration::from_millis(100),
        longest_pause: Duration::from_millis(400),
        budget: Duration::from_secs(60),
    };

    #[test]
    fn pauses_double_up_to_the_longest_and_are_jittered() {
        for seed in 0..100 {
            let pauses: Vec<u128> = SHORT.pauses(seed).map(|pause| pause.as_millis()).collect();
            for (pause, most) in pauses.iter().zip([100, 200, 400, 400, 400]) {
                assert!((most / 2..=most).contains(pause), "{pauses:?}");
            }
            assert_eq!(pauses.len(), 5);
        }
        let first = |seed| SHORT.pauses(seed).next();
        assert_eq!(first(7), first(7));
        assert_ne!(first(7), first(8));
    }

    #[test]
    fn attempts_and_budget_both_end_it() {
        assert_eq!(Patience { attempts: 1, ..SHORT }.pauses(1).count(), 0);
        assert_eq!(Patience { attempts: 0, ..SHORT }.pauses(1).count(), 0);
        let budget = Duration::from_millis(600);
        let pauses: Vec<Duration> = Patience { attempts: 1000, budget, ..SHORT }.pauses(1).collect();
        let attempts = u32::try_from(pauses.len()).unwrap() + 1;
        assert!(pauses.iter().sum::<Duration>() + SHORT.lock_timeout * attempts <= budget);
        assert!(attempts > 1);
    }

    #[tokio::test]
    async fn only_a_lock_is_worth_another_attempt() {
        let mut made = 0;
        let other = SHORT
            .persist(1, &Run::silent(), async || {
                made += 1;
                Err::<(), _>(PgError::broken("x", "y"))
            })
            .await;
        assert!(other.is_err());
        assert_eq!(made, 1);
    }
}
