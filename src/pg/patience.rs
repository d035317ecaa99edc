//! How often and how long to try for a lock that others hold: pure.
//!
//! A statement that waits for a strong lock keeps everybody behind it waiting too. So it waits briefly, gives way, and
//! tries again after a pause that grows and is never the same for two that try (exponential backoff with jitter, as in
//! <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).

use std::time::Duration;

/// For how long others may be kept waiting, and for how long to go on trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// The longest that one attempt waits for a lock.
    pub lock_timeout: Duration,
    /// The longest that all attempts and pauses together take; there is no last attempt without a limit.
    pub budget: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { lock_timeout: Duration::from_millis(200), budget: Duration::from_secs(300) }
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl Patience {
    /// The pause after `failed` attempts, from half to one and a half times 100 ms, 200 ms, 400 ms … 5 s; `None` when
    /// the budget does not allow another attempt. `chance` is any random number.
    #[must_use]
    pub fn pause(&self, failed: u32, spent: Duration, chance: u64) -> Option<Duration> {
        let doublings = failed.saturating_sub(1).min(16);
        let base = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
        let percent = 50 + u32::try_from(chance % 101).unwrap_or_default();
        let pause = base * percent / 100;
        (spent + pause + self.lock_timeout <= self.budget).then_some(pause)
    }
}

/// A random number, for [`Patience::pause`].
#[must_use]
pub fn chance() -> u64 {
    u64::try_from(uuid::Uuid::new_v4().as_u128() & u128::from(u64::MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_differ() {
        let patience = Patience { budget: Duration::from_secs(3600), ..Patience::default() };
        let pause = |failed, chance| patience.pause(failed, Duration::ZERO, chance).unwrap().as_millis();
        assert_eq!([pause(1, 50), pause(2, 50), pause(3, 50)], [100, 200, 400]);
        assert_eq!((pause(1, 0), pause(1, 100)), (50, 150));
        assert_eq!((pause(9, 50), pause(4_000_000_000, 100)), (5000, 7500));
    }

    #[test]
    fn the_budget_ends_it() {
        let patience = Patience { lock_timeout: Duration::from_secs(1), budget: Duration::from_secs(10) };
        assert!(patience.pause(1, Duration::from_secs(8), 100).is_some());
        assert!(patience.pause(1, Duration::from_secs(9), 0).is_none());
    }
}
