//! Lengths of time that make a whole: beside one another in one bar, or each in its own row.

use super::axis::percent;
use crate::report::figures;

/// How many shades there are; a longer bar begins again.
const SHADES: usize = 6;

/// A bar of parts.
#[derive(Debug, PartialEq)]
pub(in crate::report) struct Stack {
    /// The parts in order.
    pub(in crate::report) parts: Vec<Part>,
    /// Their sum.
    pub(in crate::report) total: String,
}

/// One part of a bar.
#[derive(Debug, PartialEq)]
pub(in crate::report) struct Part {
    /// Its number, from 1, which ties it to its name.
    pub(in crate::report) number: usize,
    /// Its name.
    pub(in crate::report) name: String,
    /// Its length.
    pub(in crate::report) length: String,
    /// Which of the shades it has, from 1.
    pub(in crate::report) shade: usize,
    /// Where it lies.
    pub(in crate::report) span: Span,
    /// Whether its number has room inside.
    pub(in crate::report) has_room: bool,
}

/// A stretch of a bar, in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::report) struct Span {
    /// From the left.
    pub(in crate::report) x: f64,
    /// How wide.
    pub(in crate::report) width: f64,
}

/// The bar of `parts`, each a name and seconds.
pub(in crate::report) fn stack<'a>(parts: impl IntoIterator<Item = (&'a str, f64)>) -> Stack {
    let (names, seconds): (Vec<&str>, Vec<f64>) = parts.into_iter().unzip();
    let placed = spans(&seconds).into_iter().zip(&names).zip(&seconds).enumerate();
    let parts = placed.map(|(i, ((span, name), seconds))| Part {
        number: i + 1,
        name: (*name).to_owned(),
        length: figures::seconds(*seconds),
        shade: i % SHADES + 1,
        span,
        has_room: span.width >= 5.0,
    });
    Stack { parts: parts.collect(), total: figures::seconds(seconds.iter().sum()) }
}

/// Where each of `seconds` lies when they follow one another over the whole width.
pub(in crate::report) fn spans(seconds: &[f64]) -> Vec<Span> {
    let lengths: Vec<f64> = seconds.iter().map(|s| if s.is_finite() { s.max(0.0) } else { 0.0 }).collect();
    let total: f64 = lengths.iter().sum();
    if total <= 0.0 {
        return lengths.iter().map(|_| Span { x: 0.0, width: 0.0 }).collect();
    }
    let mut before = 0.0;
    lengths
        .iter()
        .map(|length| {
            let span = Span { x: percent(before / total), width: percent(length / total) };
            before += length;
            span
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_fill_the_bar_in_order() {
        let bar = stack([("fetch", 1.0), ("replay", 3.0)]);
        assert_eq!(bar.total, "4.00 s");
        assert_eq!(bar.parts[0].span, Span { x: 0.0, width: 25.0 });
        assert_eq!(bar.parts[1].span, Span { x: 25.0, width: 75.0 });
        assert_eq!((bar.parts[1].number, bar.parts[1].length.as_str()), (2, "3.00 s"));
    }

    #[test]
    fn odd_lengths_take_no_room() {
        assert_eq!(spans(&[]), []);
        assert!(spans(&[0.0, 0.0]).iter().all(|span| span.width == 0.0));
        let odd = spans(&[f64::NAN, -1.0, 2.0]);
        assert_eq!(odd[2], Span { x: 0.0, width: 100.0 });
    }
}
