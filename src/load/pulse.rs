//! How it goes, told each second while it does.

use std::cell::RefCell;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::sync::mpsc;

use super::recorder::{micros_at, nanos, slice_histogram};
use super::server::Latest;

/// Where workers tell each second how it goes.
pub(super) type Pulses = mpsc::UnboundedSender<Pulse>;

/// What one worker answered in one second of the measured part.
#[derive(Debug)]
pub(super) struct Pulse {
    second: u64,
    /// By the number of the operation.
    ops: Vec<OpPulse>,
    waiting: usize,
}

/// What was answered of one operation.
#[derive(Debug)]
struct OpPulse {
    response: Histogram<u64>,
    failed: u64,
}

impl OpPulse {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { response: slice_histogram()?, failed: 0 })
    }

    fn merge(&mut self, other: &Self) -> anyhow::Result<()> {
        self.failed += other.failed;
        Ok(self.response.add(&other.response)?)
    }
}

/// What a worker has answered since it last told.
#[derive(Debug)]
pub(super) struct Tally(RefCell<Vec<OpPulse>>);

impl Tally {
    pub(super) fn new(ops: usize) -> anyhow::Result<Self> {
        Ok(Self(RefCell::new(blank(ops)?)))
    }

    pub(super) fn succeeded(&self, op: usize, response: Duration) -> anyhow::Result<()> {
        Ok(self.0.borrow_mut()[op].response.record(nanos(response))?)
    }

    pub(super) fn failed(&self, op: usize) {
        self.0.borrow_mut()[op].failed += 1;
    }

    /// What there is to tell of `second`; counting begins anew.
    pub(super) fn pulse(&self, second: u64, waiting: usize) -> anyhow::Result<Pulse> {
        let mut ops = self.0.borrow_mut();
        let blank = blank(ops.len())?;
        Ok(Pulse { second, ops: std::mem::replace(&mut ops, blank), waiting })
    }
}

fn blank(ops: usize) -> anyhow::Result<Vec<OpPulse>> {
    (0..ops).map(|_| OpPulse::new()).collect()
}

impl Pulse {
    /// Takes over what another worker answered in the same second.
    fn merge(&mut self, other: &Self) -> anyhow::Result<()> {
        for (ours, theirs) in self.ops.iter_mut().zip(&other.ops) {
            ours.merge(theirs)?;
        }
        self.waiting += other.waiting;
        Ok(())
    }
}

/// Puts the workers' pulses together.
#[derive(Debug)]
pub(super) struct Heart {
    /// The operations' names.
    ops: Vec<String>,
    workers: u32,
    heard: u32,
    beat: Option<Pulse>,
    /// What sessions wait for, where the server tells.
    waits: Option<Latest>,
}

impl Heart {
    pub(super) fn new(ops: Vec<String>, workers: u32) -> Self {
        Self { ops, workers, heard: 0, beat: None, waits: None }
    }

    /// From now on, what sessions wait for is told too.
    pub(super) fn with_waits(&mut self, waits: Option<Latest>) {
        self.waits = waits;
    }

    /// A second in words, once every worker has told of it: a line for all, and one for each operation that was answered.
    pub(super) fn hear(
        &mut self,
        pulse: Pulse,
        asked: impl Fn(u64) -> Option<f64>,
    ) -> anyhow::Result<Option<String>> {
        match &mut self.beat {
            Some(beat) if beat.second == pulse.second => {
                beat.merge(&pulse)?;
                self.heard += 1;
            }
            beat => {
                *beat = Some(pulse);
                self.heard = 1;
            }
        }
        let whole = self.beat.as_ref().filter(|_| self.heard == self.workers);
        whole.map(|beat| self.words(beat, asked(beat.second))).transpose()
    }

    fn words(&self, beat: &Pulse, asked: Option<f64>) -> anyhow::Result<String> {
        let mut all = OpPulse::new()?;
        for op in &beat.ops {
            all.merge(op)?;
        }
        let asked = asked.map_or_else(String::new, |asked| format!(" of {asked:.0}"));
        let (first, waits) = (figures(&all, &asked), self.waits_of(""));
        let mut lines = vec![format!("{first}, {} waiting{waits}", beat.waiting)];
        let answered = self.ops.iter().zip(&beat.ops).filter(|(_, op)| op.response.len() + op.failed > 0);
        lines.extend(
            answered.map(|(name, op)| format!("  {name}: {}{}", figures(op, ""), self.waits_of(name))),
        );
        Ok(lines.join("\n"))
    }

    /// What is waited for most, where that is known.
    fn waits_of(&self, op: &str) -> String {
        let Some(latest) = &self.waits else { return String::new() };
        let latest = latest.borrow();
        let mut shares: Vec<_> = latest.get(op).into_iter().flatten().collect();
        shares.sort_by(|a, b| b.1.total_cmp(a.1));
        let most = shares.iter().take(SHOWN_WAITS);
        let words: Vec<String> =
            most.map(|(event, share)| format!("{event} {:.0}%", 100.0 * *share)).collect();
        if words.is_empty() { String::new() } else { format!("; {}", words.join(", ")) }
    }
}

/// How many of the events waited for are shown.
const SHOWN_WAITS: usize = 2;

fn figures(op: &OpPulse, asked: &str) -> String {
    let (count, failed) = (op.response.len(), op.failed);
    if count == 0 {
        return format!("0{asked}/s, {failed} failed");
    }
    #[expect(clippy::cast_precision_loss, reason = "milliseconds for people")]
    let ms = |quantile| micros_at(&op.response, quantile) as f64 / 1e3;
    format!("{count}{asked}/s, p50 {:.1} ms, p99 {:.1} ms, {failed} failed", ms(0.5), ms(0.99))
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;

    fn pulse(second: u64, failed: bool) -> Pulse {
        let tally = Tally::new(2).unwrap();
        if failed {
            tally.failed(1);
        } else {
            tally.succeeded(0, Duration::from_millis(4)).unwrap();
        }
        let pulse = tally.pulse(second, 3).unwrap();
        assert_eq!(tally.pulse(second, 3).unwrap().ops[0].response.len(), 0);
        pulse
    }

    #[test]
    fn a_second_is_told_once_all_workers_have() {
        let mut heart = Heart::new(vec!["list".to_owned(), "add".to_owned()], 2);
        assert_eq!(heart.hear(pulse(0, false), |_| Some(5.0)).unwrap(), None);
        let said = heart.hear(pulse(0, true), |_| Some(5.0)).unwrap().unwrap();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[0], "1 of 5/s, p50 4.0 ms, p99 4.0 ms, 1 failed, 6 waiting");
        assert_eq!(lines[1..], ["  list: 1/s, p50 4.0 ms, p99 4.0 ms, 0 failed", "  add: 0/s, 1 failed"]);
        assert_eq!(heart.hear(pulse(1, true), |_| None).unwrap(), None);
        assert!(
            heart.hear(pulse(1, true), |_| None).unwrap().unwrap().starts_with("0/s, 2 failed, 6 waiting")
        );
    }

    #[test]
    fn what_is_waited_for_most_is_told() {
        let mut heart = Heart::new(vec!["list".to_owned(), "add".to_owned()], 1);
        let shares = [("on CPU", 0.2), ("IO:WALSync", 0.5), ("Lock:tuple", 0.3)];
        let shares = shares.into_iter().map(|(event, share)| (event.to_owned(), share)).collect();
        let (_told, latest) = watch::channel([("list".to_owned(), shares)].into());
        heart.with_waits(Some(latest));
        let said = heart.hear(pulse(0, false), |_| None).unwrap().unwrap();
        assert!(said.ends_with("0 failed; IO:WALSync 50%, Lock:tuple 30%"), "{said}");
    }
}
