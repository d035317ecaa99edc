//! Timelines: where each left its parent, and the way through the archive that a recovery takes to one.

use super::wal::Segment;
use crate::units::Lsn;

/// What `<timeline>.history` says: the timelines before this one, oldest first, and where each was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct History {
    /// The timeline.
    pub(super) timeline: u32,
    /// The timelines before it, and up to which position each is followed.
    pub(super) ancestors: Vec<(u32, Lsn)>,
}

impl History {
    /// Of a timeline that none is known to come before.
    pub(super) fn alone(timeline: u32) -> Self {
        Self { timeline, ancestors: Vec::new() }
    }

    /// The timeline of a file name such as `00000002.history`; `None` for another form.
    pub(super) fn named(name: &str) -> Option<u32> {
        let digits = name.strip_suffix(".history").filter(|digits| digits.len() == 8)?;
        u32::from_str_radix(digits, 16).ok()
    }

    /// Reads the file of `timeline`: lines of timeline, position and reason; the rest is comments.
    ///
    /// # Errors
    /// A sentence about the line that is none, or that is out of order.
    pub(super) fn parse(timeline: u32, text: &str) -> Result<Self, String> {
        let mut ancestors: Vec<(u32, Lsn)> = Vec::new();
        for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            let mut words = line.split_whitespace();
            let ancestor = words.next().and_then(|word| word.parse::<u32>().ok());
            let until = words.next().and_then(|word| word.parse::<Lsn>().ok());
            let (Some(ancestor), Some(until)) = (ancestor, until) else {
                return Err(format!("no timeline and position: {line:?}"));
            };
            if ancestor >= timeline || ancestors.last().is_some_and(|(last, _)| *last >= ancestor) {
                return Err(format!("timelines are out of order: {line:?}"));
            }
            ancestors.push((ancestor, until));
        }
        match ancestors.is_empty() {
            true => Err("it names no parent".to_owned()),
            false => Ok(Self { timeline, ancestors }),
        }
    }

    /// The timeline it left, and where.
    pub(super) fn branch(&self) -> Option<(u32, Lsn)> {
        self.ancestors.last().copied()
    }

    /// The timeline on which the byte at `position` was written.
    pub(super) fn at(&self, position: Lsn) -> u32 {
        let passed = self.ancestors.iter().find(|(_, until)| position < *until);
        passed.map_or(self.timeline, |(ancestor, _)| *ancestor)
    }

    /// Whether a recovery to this timeline passes through the position `lsn` of `timeline`.
    pub(super) fn passes(&self, timeline: u32, lsn: Lsn) -> bool {
        timeline == self.timeline
            || self.ancestors.iter().any(|(ancestor, until)| *ancestor == timeline && lsn <= *until)
    }

    /// The files that a recovery reads: the first segment of each timeline, in order. A new timeline begins with a copy of
    /// the segment in which it left its parent, which the parent may never finish.
    pub(super) fn legs(&self, segment_bytes: u64) -> Vec<Segment> {
        let lefts = self.ancestors.iter().map(|(_, until)| until.0 / segment_bytes);
        let timelines = self.ancestors.iter().map(|(ancestor, _)| *ancestor).chain([self.timeline]);
        let legs = timelines.zip([0].into_iter().chain(lefts));
        legs.map(|(timeline, number)| Segment { timeline, number }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 16 << 20;

    #[test]
    fn a_history_is_read_as_postgresql_writes_it() {
        let text =
            "1\t0/5000000\tno recovery target specified\n\n2\t0/9000148\tbefore 2026-01-01 00:00:00+00\n";
        let history = History::parse(3, text).unwrap();
        assert_eq!(history.ancestors, [(1, Lsn(0x500_0000)), (2, Lsn(0x900_0148))]);
        assert_eq!(History::named("0000000A.history"), Some(10));
        assert_eq!(History::named("0000000A.history.tmp"), None);
        for bad in ["", "x", "1", "1\tzero", "3\t0/1\n", "2\t0/1\n1\t0/2\n"] {
            assert!(History::parse(3, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_new_timeline_begins_in_the_segment_that_it_left() {
        let history = History { timeline: 3, ancestors: vec![(1, Lsn(SIZE * 5)), (2, Lsn(SIZE * 9 + 40))] };
        let legs: Vec<_> = history.legs(SIZE).iter().map(|leg| (leg.timeline, leg.number)).collect();
        assert_eq!(legs, [(1, 0), (2, 5), (3, 9)]);
        assert_eq!([SIZE * 5 - 1, SIZE * 5, SIZE * 9 + 40].map(|at| history.at(Lsn(at))), [1, 2, 3]);
        assert!(history.passes(1, Lsn(SIZE * 5)) && !history.passes(1, Lsn(SIZE * 5 + 1)));
    }
}
