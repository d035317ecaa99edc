//! The site's own clock: time as it is counted in activity. People add more at weekends and in January, so an hour there
//! is longer.

use jiff::civil::{Date, Weekday};

use super::model::{DAY, LAUNCH, Micros, NOW};

/// Parts by which an hour is counted on each day of the week, from Monday.
const WEEK: [u64; 7] = [96, 93, 92, 93, 102, 117, 107];
/// Bits of the number of entries of the table that finds a day.
const GUIDE: u32 = 12;
/// Bits behind the point of a day's microseconds a unit.
const POINT: u32 = 20;

/// Calendar time and activity time, each from the other. Both ways are monotonic.
#[derive(Debug, Clone)]
pub struct Clock {
    days: Vec<Day>,
    /// Units of all days.
    total: u64,
    /// The day in which the units with these leading bits begin.
    guide: Vec<u32>,
    /// How many bits come behind the leading ones.
    behind: u32,
}

#[derive(Debug, Clone, Copy)]
struct Day {
    /// Units before it, and in it.
    before: u64,
    units: u64,
    /// Microseconds a unit, with `POINT` bits behind the point.
    micros: u64,
}

impl Default for Clock {
    fn default() -> Self {
        let mut days = Vec::new();
        let mut before = 0;
        for day in 0..(NOW - LAUNCH) / DAY {
            let units = units(day);
            let micros = (DAY.cast_unsigned() << POINT) / units;
            days.push(Day { before, units, micros });
            before += units;
        }
        let behind = u64::BITS - before.leading_zeros() - GUIDE;
        let guide = (0..=before >> behind).map(|slot| {
            let day = days.partition_point(|day: &Day| day.before + day.units <= slot << behind);
            u32::try_from(day.min(days.len() - 1)).unwrap_or(0)
        });
        Self { guide: guide.collect(), days, total: before, behind }
    }
}

/// Units of the `day`th day since the launch, a Monday.
fn units(day: i64) -> u64 {
    let launch = Date::constant(2018, 1, 1);
    let date = launch.saturating_add(jiff::Span::new().days(day));
    debug_assert_eq!(launch.weekday(), Weekday::Monday);
    let season = match (date.month(), date.day()) {
        (1, day) => 135 - u64::from(day.cast_unsigned()),
        (12, 24..) => 120,
        (7 | 8, _) => 94,
        _ => 100,
    };
    #[expect(clippy::cast_sign_loss, reason = "0 to 6")]
    let week = WEEK[(day % 7) as usize];
    week * season * 10_000
}

impl Clock {
    /// Activity time at `time`, which lies between launch and now.
    #[inline]
    #[must_use]
    pub fn at(&self, time: Micros) -> u64 {
        let since = (time - LAUNCH).max(0).cast_unsigned();
        let (day, within) = (since / DAY.cast_unsigned(), since % DAY.cast_unsigned());
        match usize::try_from(day).ok().and_then(|day| self.days.get(day)) {
            // A product of a day's microseconds and its units fits into 64 bits, by a quarter.
            Some(day) => day.before + within * day.units / DAY.cast_unsigned(),
            None => self.total,
        }
    }

    /// The time at activity time `at`.
    #[inline]
    #[must_use]
    pub fn time(&self, at: u64) -> Micros {
        let at = at.min(self.total);
        #[expect(clippy::cast_possible_truncation, reason = "as many as there are leading bits")]
        let mut day = self.guide[(at >> self.behind) as usize] as usize;
        while day + 1 < self.days.len() && self.days[day + 1].before <= at {
            day += 1;
        }
        let Day { before, micros, .. } = self.days[day];
        // A product of a day's microseconds and a million fits; the last unit of all is no part of any day.
        let within = ((at - before) * micros) >> POINT;
        LAUNCH + day.cast_signed() as i64 * DAY + within.cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_ways_agree_and_are_monotonic() {
        let clock = Clock::default();
        let mut last = LAUNCH;
        for i in 0..=100_000u64 {
            let time = clock.time(clock.total / 100_000 * i);
            assert!(time >= last && time <= NOW, "{i}: {time}");
            last = time;
            let there = clock.time(clock.at(time));
            assert!((there - time).abs() <= 2_000, "{time} {there}");
        }
        assert_eq!((clock.at(LAUNCH), clock.at(NOW)), (0, clock.total));
        assert!(NOW - clock.time(clock.total) < 1_000_000);
    }

    #[test]
    fn saturdays_and_januaries_are_longer() {
        assert!(units(5) > units(3) && units(365) > units(365 + 7 * 10));
    }
}
