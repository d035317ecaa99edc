//! How it goes, told each second while it does.

use hdrhistogram::Histogram;
use tokio::sync::mpsc;

use super::recorder::{Recorder, micros_at};

/// Where workers tell each second how it goes.
pub(super) type Pulses = mpsc::UnboundedSender<Pulse>;

/// What one worker answered in one second of the measured part.
#[derive(Debug)]
pub(super) struct Pulse {
    pub(super) second: u64,
    response: Option<Histogram<u64>>,
    errors: u64,
    waiting: usize,
}

impl Pulse {
    pub(super) fn of(recorder: &Recorder, second: u64, waiting: usize) -> Self {
        let slice = usize::try_from(second).ok().and_then(|second| recorder.slices.get(second));
        Self {
            second,
            response: slice.map(|slice| slice.response.clone()),
            errors: slice.map_or(0, |slice| slice.errors),
            waiting,
        }
    }

    /// Takes over what another worker answered in the same second.
    fn merge(&mut self, other: Self) -> anyhow::Result<()> {
        match (&mut self.response, other.response) {
            (Some(ours), Some(theirs)) => ours.add(&theirs)?,
            (ours, theirs) => *ours = ours.take().or(theirs),
        }
        self.errors += other.errors;
        self.waiting += other.waiting;
        Ok(())
    }
}

/// Puts the workers' pulses together.
#[derive(Debug)]
pub(super) struct Heart {
    workers: u32,
    heard: u32,
    beat: Option<Pulse>,
}

impl Heart {
    pub(super) fn new(workers: u32) -> Self {
        Self { workers, heard: 0, beat: None }
    }

    /// A few words on a second, once every worker has told of it.
    pub(super) fn hear(&mut self, pulse: Pulse, asked: Option<f64>) -> anyhow::Result<Option<String>> {
        match &mut self.beat {
            Some(beat) if beat.second == pulse.second => {
                beat.merge(pulse)?;
                self.heard += 1;
            }
            beat => {
                *beat = Some(pulse);
                self.heard = 1;
            }
        }
        let whole = self.beat.as_ref().filter(|_| self.heard == self.workers);
        Ok(whole.map(|beat| words(beat, asked)))
    }
}

fn words(beat: &Pulse, asked: Option<f64>) -> String {
    let asked = asked.map_or_else(String::new, |asked| format!(" of {asked:.0}"));
    let Some(response) = beat.response.as_ref().filter(|response| !response.is_empty()) else {
        return format!("0{asked}/s, {} failed, {} waiting", beat.errors, beat.waiting);
    };
    #[expect(clippy::cast_precision_loss, reason = "milliseconds for people")]
    let ms = |quantile| micros_at(response, quantile) as f64 / 1e3;
    format!(
        "{}{asked}/s, p50 {:.1} ms, p99 {:.1} ms, {} failed, {} waiting",
        response.len(),
        ms(0.5),
        ms(0.99),
        beat.errors,
        beat.waiting
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::recorder::Times;
    use super::*;

    fn pulse(second: u64) -> Pulse {
        let mut recorder = Recorder::new(1).unwrap();
        let time = Duration::from_millis(4);
        recorder.succeeded(0, Times { response: time, service: time, done: time }).unwrap();
        Pulse::of(&recorder, second, 3)
    }

    #[test]
    fn a_second_is_told_once_all_workers_have() {
        let mut heart = Heart::new(2);
        assert_eq!(heart.hear(pulse(0), Some(5.0)).unwrap(), None);
        let said = heart.hear(pulse(0), Some(5.0)).unwrap().unwrap();
        assert!(said.starts_with("2 of 5/s, p50 4.0 ms") && said.ends_with("6 waiting"), "{said}");
        assert_eq!(heart.hear(pulse(1), None).unwrap(), None);
        assert_eq!(heart.hear(pulse(1), None).unwrap().unwrap(), "0/s, 0 failed, 6 waiting");
    }
}
