//! What happened second by second: latencies on a logarithmic axis, and below them the rate.

use super::axis::{LogAxis, Tick, percent, step};
use crate::load::{ScenarioRun, Slice};
use crate::report::figures;

/// One chart for a scenario. Points are in a box of 1000 by 100.
#[derive(Debug, PartialEq)]
pub(in crate::report) struct OverTime {
    /// The latency axis, from the bottom.
    pub(in crate::report) latency_ticks: Vec<Tick>,
    /// Points of the median; a second without completions breaks the line.
    pub(in crate::report) p50: Vec<String>,
    /// Points of the 99th percentile.
    pub(in crate::report) p99: Vec<String>,
    /// Where the two lines end, in percent from the top, for their names.
    pub(in crate::report) ends: Option<(f64, f64)>,
    /// Seconds with failures.
    pub(in crate::report) errors: Vec<ErrorMark>,
    /// The outline of the completed operations each second.
    pub(in crate::report) rate: String,
    /// Where the asked rate lies, in percent from the top.
    pub(in crate::report) asked_y: Option<f64>,
    /// The highest value of the rate's axis.
    pub(in crate::report) rate_label: String,
    /// The seconds.
    pub(in crate::report) seconds: Vec<Tick>,
}

/// A second with failures.
#[derive(Debug, PartialEq)]
pub(in crate::report) struct ErrorMark {
    /// Percent from the left.
    pub(in crate::report) at: f64,
    /// The second.
    pub(in crate::report) second: u64,
    /// How many operations failed.
    pub(in crate::report) errors: u64,
}

/// The chart of `run`; `None` when nothing completed.
pub(in crate::report) fn over_time(run: &ScenarioRun) -> Option<OverTime> {
    let (first, last) = (run.slices.first()?, run.slices.last()?);
    let axis = LogAxis::covering(run.slices.iter().flat_map(|slice| [slice.p50_us, slice.p99_us]));
    let time = Time { seconds: float(last.at_s.saturating_sub(first.at_s) + 1), from: first.at_s };
    let rates = run.slices.iter().map(|slice| float(slice.count)).chain(run.asked_per_s);
    let most = rates.fold(1.0, f64::max);
    let rate_step = step(most, 5.0);
    let rate_high = (most / rate_step).ceil() * rate_step;
    let done = || run.slices.iter().filter(|slice| slice.p99_us > 0);
    let end = done().next_back();
    end?;
    Some(OverTime {
        latency_ticks: axis.ticks(),
        p50: lines(&run.slices, &time, |slice| (slice.p50_us > 0).then(|| 100.0 - axis.at(slice.p50_us))),
        p99: lines(&run.slices, &time, |slice| (slice.p99_us > 0).then(|| 100.0 - axis.at(slice.p99_us))),
        ends: end.map(|slice| (100.0 - axis.at(slice.p50_us), 100.0 - axis.at(slice.p99_us))),
        errors: run.slices.iter().filter(|slice| slice.errors > 0).map(|slice| error(slice, &time)).collect(),
        rate: outline(&run.slices, &time, rate_high),
        asked_y: run.asked_per_s.map(|asked| percent(1.0 - asked / rate_high)),
        rate_label: figures::per_second_round(rate_high),
        seconds: time.ticks(),
    })
}

/// The horizontal axis.
struct Time {
    seconds: f64,
    from: u64,
}

impl Time {
    /// Share of the width at which second `at_s` begins.
    fn start(&self, at_s: u64) -> f64 {
        float(at_s.saturating_sub(self.from)) / self.seconds
    }

    fn middle(&self, at_s: u64) -> f64 {
        self.start(at_s) + 0.5 / self.seconds
    }

    fn ticks(&self) -> Vec<Tick> {
        let step = step(self.seconds, 6.0).max(1.0);
        let marks = (0..).map(|n: u32| f64::from(n) * step).take_while(|&s| s <= self.seconds);
        marks
            .map(|s| Tick::new(percent(s / self.seconds), format!("{:.0} s", s + float(self.from))))
            .collect()
    }
}

/// Points of one line, in pieces where `y` has no value or a second is missing.
fn lines(slices: &[Slice], time: &Time, y: impl Fn(&Slice) -> Option<f64>) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut previous = None;
    for slice in slices {
        let Some(y) = y(slice) else { continue };
        let point = format!("{:.1},{y:.2}", 1000.0 * time.middle(slice.at_s));
        match pieces.last_mut().filter(|_| previous.is_some_and(|at_s: u64| at_s + 1 == slice.at_s)) {
            Some(piece) => *piece = format!("{piece} {point}"),
            None => pieces.push(point),
        }
        previous = Some(slice.at_s);
    }
    pieces
}

/// The rate as a closed outline of steps, one a second.
fn outline(slices: &[Slice], time: &Time, high: f64) -> String {
    let steps = slices.iter().map(|slice| {
        let (left, right) = (1000.0 * time.start(slice.at_s), 1000.0 * time.start(slice.at_s + 1));
        let top = 100.0 - percent(float(slice.count) / high);
        format!("{left:.1},100 {left:.1},{top:.2} {right:.1},{top:.2} {right:.1},100")
    });
    steps.collect::<Vec<_>>().join(" ")
}

fn error(slice: &Slice, time: &Time) -> ErrorMark {
    ErrorMark { at: percent(time.middle(slice.at_s)), second: slice.at_s, errors: slice.errors }
}

#[expect(clippy::cast_precision_loss, reason = "a position on a chart")]
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    fn run(slices: &[(u64, u64, u64)]) -> ScenarioRun {
        let mut run = samples::passing().bench.unwrap().scenarios.remove(0);
        let slice = |&(at_s, count, p99_us)| Slice { count, p50_us: p99_us / 2, p99_us, ..at(at_s) };
        run.slices = slices.iter().map(slice).collect();
        run
    }

    fn at(at_s: u64) -> Slice {
        Slice { at_s, ..samples::passing().bench.unwrap().scenarios[0].slices[0].clone() }
    }

    #[test]
    fn a_second_without_completions_breaks_the_line() {
        let chart =
            over_time(&run(&[(0, 9, 100), (1, 9, 100), (2, 0, 0), (3, 9, 100), (5, 9, 100)])).unwrap();
        assert_eq!(chart.p99.len(), 3);
        assert_eq!(chart.p99[0].split(' ').count(), 2);
        assert!(chart.p99[2].starts_with("916.7,"), "{:?}", chart.p99);
    }

    #[test]
    fn nothing_completed_is_no_chart() {
        assert_eq!(over_time(&run(&[])), None);
        assert_eq!(over_time(&run(&[(0, 0, 0)])), None);
    }

    #[test]
    fn the_rate_axis_holds_what_was_asked_and_what_was_achieved() {
        let bench = samples::failing().bench.unwrap();
        for run in &bench.scenarios {
            let chart = over_time(run).unwrap();
            let high: f64 = chart.rate_label.trim_end_matches("/s").replace(',', "").parse().unwrap();
            assert!(run.slices.iter().all(|slice| float(slice.count) <= high));
            assert!(run.asked_per_s.is_none_or(|asked| asked <= high));
            assert_eq!(chart.asked_y.is_some(), run.asked_per_s.is_some());
        }
        assert_eq!(over_time(&bench.scenarios[1]).unwrap().errors[0].errors, 3);
    }

    #[test]
    fn seconds_are_labelled_at_round_values() {
        let chart = over_time(&samples::passing().bench.unwrap().scenarios[0]).unwrap();
        let labels: Vec<&str> = chart.seconds.iter().map(|tick| tick.label.as_str()).collect();
        assert_eq!(labels, ["0 s", "5 s", "10 s", "15 s", "20 s"]);
    }
}
