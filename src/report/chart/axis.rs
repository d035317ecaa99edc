//! Axes: where a value lies, and which values to write beside it.

/// A value written at an axis.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::report) struct Tick {
    /// Percent of the axis' length.
    pub(in crate::report) at: f64,
    /// The value with its unit.
    pub(in crate::report) label: String,
    /// `start`, `middle` or `end`: which part of the label stands at the position, so that none leaves the chart.
    pub(in crate::report) anchor: &'static str,
}

impl Tick {
    pub(super) fn new(at: f64, label: String) -> Self {
        let anchor = match at {
            at if at < 4.0 => "start",
            at if at > 96.0 => "end",
            _ => "middle",
        };
        Self { at, label, anchor }
    }
}

/// Two decimals are finer than a pixel, and keep the file small.
pub(super) fn percent(share: f64) -> f64 {
    (share.clamp(0.0, 1.0) * 10_000.0).round() / 100.0
}

/// A logarithmic axis of microseconds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LogAxis {
    low: f64,
    high: f64,
}

impl LogAxis {
    /// The axis that holds every one of `values`, from one round value (1, 2 or 5 times a power of ten) to another.
    /// Zeros are no latencies and are left out; without any value it is the decade from 1 ms.
    pub(super) fn covering(values: impl IntoIterator<Item = u64>) -> Self {
        let (mut min, mut max) = (f64::INFINITY, 0.0_f64);
        for value in values.into_iter().filter(|&value| value > 0) {
            (min, max) = (min.min(float(value)), max.max(float(value)));
        }
        if max == 0.0 {
            return Self { low: 1e3, high: 1e4 };
        }
        let low = round_values(min / 10.0).take_while(|&v| v <= min).last().unwrap_or(min);
        let high = round_values(max).find(|&v| v >= max && v > low).unwrap_or(max);
        Self { low, high }
    }

    /// Where `us` lies, in percent; what is outside lies at the end.
    pub(super) fn at(&self, us: u64) -> f64 {
        let us = float(us.max(1));
        percent((us / self.low).log10() / (self.high / self.low).log10())
    }

    /// Powers of ten where the axis has two of them, every round value on a shorter one.
    pub(super) fn ticks(&self) -> Vec<Tick> {
        let inside = || round_values(self.low).take_while(|&v| v <= self.high * 1.001);
        let decades: Vec<f64> = inside().filter(|v| is_power_of_ten(*v)).collect();
        let values = if decades.len() > 2 { decades } else { inside().collect() };
        let range = (self.high / self.low).log10();
        values
            .iter()
            .map(|&us| Tick::new(percent((us / self.low).log10() / range), whole_latency(us)))
            .collect()
    }
}

/// 1, 2, 5, 10, 20, … from the first that is not under the power of ten at or under `from`.
fn round_values(from: f64) -> impl Iterator<Item = f64> {
    let first = from.max(1.0).log10().floor();
    let decades = (0..20).map(move |n| 10f64.powf(first + f64::from(n)));
    decades
        .flat_map(|decade| [1.0, 2.0, 5.0].map(|step| step * decade))
        .skip_while(move |&v| v < from * 0.999)
}

fn is_power_of_ten(value: f64) -> bool {
    (value.log10() - value.log10().round()).abs() < 1e-6
}

fn whole_latency(us: f64) -> String {
    match us {
        us if us < 999.0 => format!("{us:.0} µs"),
        us if us < 999_999.0 => format!("{:.0} ms", us / 1e3),
        us => format!("{:.0} s", us / 1e6),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a position on a chart")]
fn float(value: u64) -> f64 {
    value as f64
}

/// The step (1, 2 or 5 times a power of ten) that divides `max` into at most `parts`.
pub(super) fn step(max: f64, parts: f64) -> f64 {
    let raw = max / parts;
    if !(raw.is_finite() && raw > 0.0) {
        return 1.0;
    }
    let decade = 10f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * decade >= raw * 0.999);
    factor.unwrap_or(10.0) * decade
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn an_axis_ends_at_round_values() {
        let axis = LogAxis::covering([842, 11_820]);
        assert_eq!((axis.low, axis.high), (500.0, 20_000.0));
        assert_eq!((axis.at(500), axis.at(20_000)), (0.0, 100.0));
        assert_eq!(axis.at(3_162), 50.0);
    }

    #[test]
    fn long_axes_show_powers_of_ten_and_short_ones_every_round_value() {
        let long = LogAxis::covering([842, 2_310_442]).ticks();
        assert_eq!(labels(&long), ["1 ms", "10 ms", "100 ms", "1 s"]);
        let short = LogAxis::covering([842, 4_000]).ticks();
        assert_eq!(labels(&short), ["500 µs", "1 ms", "2 ms", "5 ms"]);
        assert_eq!((short[0].at, short[0].anchor), (0.0, "start"));
        assert_eq!((short[3].at, short[3].anchor), (100.0, "end"));
    }

    #[test]
    fn axes_of_odd_figures_are_axes() {
        for values in [vec![], vec![0], vec![1], vec![1000], vec![u64::MAX], vec![1, u64::MAX]] {
            let axis = LogAxis::covering(values.clone());
            assert!(axis.low < axis.high, "{values:?}");
            assert!(values.iter().all(|&v| (0.0..=100.0).contains(&axis.at(v))), "{values:?}");
            assert!(!axis.ticks().is_empty(), "{values:?}");
        }
    }

    #[test]
    fn steps_are_round_and_few() {
        for (max, parts, expected) in
            [(20.0, 5.0, 5.0), (21.0, 5.0, 5.0), (300.0, 5.0, 100.0), (1.0, 5.0, 0.2), (0.0, 5.0, 1.0)]
        {
            assert!((step(max, parts) - expected).abs() < 1e-9, "{max} {parts}: {}", step(max, parts));
        }
    }
}
