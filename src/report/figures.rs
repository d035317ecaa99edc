//! Figures as people read them: three significant digits and a unit.

use crate::verdict::Verdict;

/// `1213420` as `1,213,420`.
pub(super) fn count(n: u64) -> String {
    grouped(&n.to_string())
}

fn grouped(digits: &str) -> String {
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 leaf`, `16 leaves`.
pub(super) fn counted(n: usize, one: &str, many: &str) -> String {
    format!("{} {}", count(n as u64), if n == 1 { one } else { many })
}

/// Microseconds in the unit that leaves one to three digits before the point.
pub(super) fn micros(us: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "printed with three digits")]
    let us = us as f64;
    match us {
        us if us < 999.5 => format!("{us:.0} µs"),
        us if us < 999_500.0 => format!("{} ms", three_digits(us / 1e3)),
        us => format!("{} s", three_digits(us / 1e6)),
    }
}

/// Seconds as people say them: `0.23 s`, `54.3 s`, `2 min 24 s`.
pub(super) fn seconds(s: f64) -> String {
    if s < 119.5 {
        return format!("{} s", if s < 9.995 { format!("{s:.2}") } else { three_digits(s) });
    }
    let whole = s.round();
    let (minutes, rest) = ((whole / 60.0).floor(), whole % 60.0);
    if minutes < 60.0 {
        return format!("{minutes:.0} min {rest:.0} s");
    }
    format!("{:.0} h {:.0} min", (minutes / 60.0).floor(), minutes % 60.0)
}

/// Events per second, without a digit that means nothing.
pub(super) fn per_second(rate: f64) -> String {
    format!("{}/s", three_digits(rate))
}

/// Events per second at the end of an axis, which is a round figure.
pub(super) fn per_second_round(rate: f64) -> String {
    if rate < 10.0 { format!("{rate:.1}/s") } else { format!("{}/s", grouped(&format!("{rate:.0}"))) }
}

fn three_digits(value: f64) -> String {
    match value {
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => grouped(&format!("{v:.0}")),
    }
}

/// A verdict in capitals, for the top of a report.
pub(super) fn loud(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "PASS",
        Verdict::Inconclusive => "INCONCLUSIVE",
        Verdict::Fail => "FAIL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_213_420, "1,213,420")] {
            assert_eq!(count(n), text);
        }
        assert_eq!(counted(1, "leaf", "leaves"), "1 leaf");
        assert_eq!(counted(16, "leaf", "leaves"), "16 leaves");
    }

    #[test]
    fn latencies_keep_three_digits() {
        for (us, text) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1000, "1.00 ms"),
            (9_994, "9.99 ms"),
            (9_996, "10.0 ms"),
            (131_804, "132 ms"),
            (999_499, "999 ms"),
            (999_500, "1.00 s"),
            (12_000_000, "12.0 s"),
        ] {
            assert_eq!(micros(us), text);
        }
    }

    #[test]
    fn rates_keep_three_digits_and_group_the_rest() {
        for (rate, text) in [(8.5, "8.50/s"), (199.7, "200/s"), (58_225.5, "58,226/s")] {
            assert_eq!(per_second(rate), text);
        }
        assert_eq!((per_second_round(80.0), per_second_round(0.6)), ("80/s".to_owned(), "0.6/s".to_owned()));
    }

    #[test]
    fn long_times_turn_to_minutes_and_hours() {
        for (s, text) in [
            (0.231, "0.23 s"),
            (9.996, "10.0 s"),
            (54.302, "54.3 s"),
            (119.6, "2 min 0 s"),
            (143.5, "2 min 24 s"),
            (7_322.0, "2 h 2 min"),
        ] {
            assert_eq!(seconds(s), text);
        }
    }
}
