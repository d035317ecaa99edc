//! Sleeping precisely on a runtime that has other things to do meanwhile.
//!
//! tokio's timers are precise to a millisecond, which would be the better part of a response time. Linux wakes a waiting
//! runtime through a timer descriptor within some 60 us; elsewhere tokio's timer has to do.

use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
pub(super) use self::precise::Alarm;

#[cfg(target_os = "linux")]
mod precise {
    use std::fs::File;
    use std::io::ErrorKind;
    use std::os::fd::AsFd as _;

    use anyhow::Context as _;
    use nix::sys::time::TimeSpec;
    use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
    use tokio::net::unix::pipe::Receiver;

    use super::Duration;

    /// A timer of its own.
    pub(in crate::load) struct Alarm {
        timer: TimerFd,
        /// The same timer, watched by the runtime, to which it is a pipe like any other: eight bytes are read when it rings.
        rings: Receiver,
    }

    impl Alarm {
        pub(in crate::load) fn new() -> anyhow::Result<Self> {
            let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
            let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).context("make a timer")?;
            let same = timer.as_fd().try_clone_to_owned().context("share a timer")?;
            let rings = Receiver::from_file_unchecked(File::from(same)).context("watch a timer")?;
            Ok(Self { timer, rings })
        }

        /// Sleeps for `time`, which is not 0. Cancel safe.
        pub(in crate::load) async fn sleep(&mut self, time: Duration) -> anyhow::Result<()> {
            let (once, flags) = (Expiration::OneShot(TimeSpec::from(time)), TimerSetTimeFlags::empty());
            self.timer.set(once, flags).context("set a timer")?;
            loop {
                self.rings.readable().await.context("wait for a timer")?;
                match self.rings.try_read(&mut [0; 8]) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    rung => return rung.map(drop).context("wait for a timer"),
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) struct Alarm;

#[cfg(not(target_os = "linux"))]
impl Alarm {
    #[expect(clippy::unnecessary_wraps, reason = "as on Linux")]
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self)
    }

    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "as on Linux")]
    pub(super) async fn sleep(&mut self, time: Duration) -> anyhow::Result<()> {
        tokio::time::sleep(time).await;
        Ok(())
    }
}

impl Alarm {
    /// Sleeps until `moment`. Cancel safe.
    pub(super) async fn sleep_until(&mut self, moment: Instant) -> anyhow::Result<()> {
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() { Ok(()) } else { self.sleep(left).await }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_never_rings_early_and_rings_again() {
        let mut alarm = Alarm::new().unwrap();
        for micros in [1, 300, 2_000, 50] {
            let (began, time) = (Instant::now(), Duration::from_micros(micros));
            alarm.sleep(time).await.unwrap();
            assert!(began.elapsed() >= time);
        }
    }
}
