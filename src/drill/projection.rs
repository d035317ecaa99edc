//! How long a restore takes at sizes that are not there yet.
//!
//! T = a + B / bandwidth + W / replay rate: `a` is what does not grow, B the bytes of the base backup that are copied, W the
//! bytes of log that are redone. A drill tells these phases apart by the server's own marks, so each is fitted alone: copy on
//! B, redo on W, and a mean of the rest; a constant part of copy or redo counts to `a`. One fit of the sum would have to
//! find in T what the drill has measured already, with three coefficients and the error of the largest phase on all of
//! them; apart, each line has its own error and n - 2 degrees of freedom, and the arms of their intervals are added up.
//! Simulated at a thousand times the measured size, from 12 restores with noise of 2% to 10% a phase, intervals of 95% from
//! the one fit held 93% of what happened; those of the lines apart hold 97%, which the tests below repeat.
//!
//! The interval is honest about the measurements, and about nothing that they did not meet: files beyond the page cache, a
//! slower disk, a network. The factors of extrapolation say how far it is from there.

use serde::{Deserialize, Serialize};

use crate::stats::{Estimate, Interval, Line};

/// One measured restore.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Bytes of the base backup that was copied.
    pub base_bytes: u64,
    /// Bytes of log that were redone.
    pub wal_bytes: u64,
    /// How long the copy took.
    pub copy_s: f64,
    /// How long the redo took.
    pub redo_s: f64,
    /// From the first byte copied to the first query answered.
    pub total_s: f64,
}

impl Observation {
    /// What is neither copy nor redo.
    fn rest_s(&self) -> f64 {
        self.total_s - self.copy_s - self.redo_s
    }
}

/// Why measurements do not carry a projection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A line through two sizes fits them whatever they are.
    #[error(
        "{found} sizes of the base backup were measured, a projection needs 3, each a tenth above the one before"
    )]
    FewSizes {
        /// Sizes that are apart.
        found: usize,
    },
    /// With one volume a size, nothing tells the log from the size.
    #[error(
        "one volume of log was redone at a base backup of {base_bytes} bytes, a projection needs 2 that are apart"
    )]
    FewVolumes {
        /// The size at which it is so.
        base_bytes: u64,
    },
    /// The log grows with the size.
    #[error("the volume of log rises with the size of the base backup: redo the same volumes at every size")]
    Collinear,
    /// A time is none, or the phases are more than the whole.
    #[error("the times of a measurement cannot be: {copy_s} s + {redo_s} s of {total_s} s")]
    Impossible {
        /// Copy, in tenths of a second.
        copy_s: String,
        /// Redo.
        redo_s: String,
        /// All.
        total_s: String,
    },
    /// Noise hides what more bytes cost.
    #[error("{what} did not take longer with more bytes: measure larger ones")]
    Flat {
        /// `the copy` or `the redo`.
        what: &'static str,
    },
}

/// What was measured, as lines to go on along.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    copy: Line,
    redo: Line,
    rest: Estimate,
    largest_base: f64,
    largest_wal: f64,
}

/// A recovery time that nobody has measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Projected {
    /// Bytes of log that are redone.
    pub wal_bytes: f64,
    /// The estimate, in seconds.
    pub value_s: f64,
    /// Lower end of the interval of 95%.
    pub low_s: f64,
    /// Upper end.
    pub high_s: f64,
    /// How far beyond the largest measured base backup it is.
    pub base_factor: f64,
    /// How far beyond the largest measured volume of log.
    pub wal_factor: f64,
}

/// Beyond this factor of extrapolation an estimate alone is not told.
pub const FAR: f64 = 10.0;

impl Projected {
    /// The larger factor of extrapolation.
    #[must_use]
    pub fn factor(&self) -> f64 {
        self.base_factor.max(self.wal_factor)
    }

    /// Whether the interval alone may be told.
    #[must_use]
    pub fn is_far(&self) -> bool {
        self.factor() > FAR
    }
}

/// Sizes nearer than this are one size.
const APART: f64 = 1.1;

/// The longest time between two backups that is looked for, in days.
const LONGEST_DAYS: f64 = 3650.0;

impl Projection {
    /// Fits `observations`: three sizes of base backup or more, with two volumes of log or more at each.
    ///
    /// Coefficients are never negative: see [`Line`].
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn fit(observations: &[Observation]) -> Result<Self, Refusal> {
        check(observations)?;
        let line = |point: fn(&Observation) -> (f64, f64), what| {
            let points: Vec<_> = observations.iter().map(point).collect();
            Line::through(&points).ok_or(Refusal::Flat { what })
        };
        let copy = line(|seen| (as_f64(seen.base_bytes), seen.copy_s), "the copy")?;
        let redo = line(|seen| (as_f64(seen.wal_bytes), seen.redo_s), "the redo")?;
        let rests: Vec<f64> = observations.iter().map(Observation::rest_s).collect();
        let rest = Estimate::of_mean(&rests).ok_or(Refusal::FewSizes { found: observations.len() })?;
        let largest = |of: fn(&Observation) -> u64| as_f64(observations.iter().map(of).max().unwrap_or(0));
        let (largest_base, largest_wal) = (largest(|seen| seen.base_bytes), largest(|seen| seen.wal_bytes));
        Ok(Self { copy, redo, rest, largest_base, largest_wal })
    }

    /// The recovery time with a base backup of `base_bytes` and `wal_bytes` of log after it. Where the size is itself an
    /// estimate, the ends of its interval make those of the time.
    #[must_use]
    pub fn predict(&self, base_bytes: Interval, wal_bytes: f64) -> Projected {
        let at = |base| {
            let parts = [self.copy.predict(base), self.redo.predict(wal_bytes), self.rest];
            Interval::sum(&parts.map(|part| part.interval()))
        };
        Projected {
            wal_bytes,
            value_s: at(base_bytes.value).value,
            low_s: at(base_bytes.low).low,
            high_s: at(base_bytes.high).high,
            base_factor: base_bytes.value / self.largest_base,
            wal_factor: wal_bytes / self.largest_wal,
        }
    }

    /// The longest time between two backups, in days, with which the upper end of the recovery time stays within `rto_s`
    /// seconds, when `wal_per_day` bytes of log are written a day: all of them since the last backup have to be redone.
    /// At most ten years; `None` where even a backup without any log takes longer.
    #[must_use]
    pub fn longest_days(&self, base_bytes: Interval, wal_per_day: f64, rto_s: f64) -> Option<f64> {
        let meets = |days: f64| self.predict(base_bytes, wal_per_day * days).high_s <= rto_s;
        if !meets(0.0) {
            return None;
        }
        if meets(LONGEST_DAYS) {
            return Some(LONGEST_DAYS);
        }
        let (mut met, mut missed) = (0.0, LONGEST_DAYS);
        for _ in 0..80 {
            let middle = 0.5 * (met + missed);
            if meets(middle) { met = middle } else { missed = middle }
        }
        Some(met)
    }

    /// What is expected of `seen`, as a share that it lies above: 0.1 took a tenth longer than the lines say.
    #[must_use]
    pub fn residual(&self, seen: &Observation) -> f64 {
        let (copy, redo) = (self.copy.at(as_f64(seen.base_bytes)), self.redo.at(as_f64(seen.wal_bytes)));
        seen.total_s / (copy + redo + self.rest.value) - 1.0
    }

    /// Bytes that are copied in a second.
    #[must_use]
    pub fn copy_bytes_per_s(&self) -> Interval {
        rate(self.copy.slope_interval())
    }

    /// Bytes of log that are redone in a second.
    #[must_use]
    pub fn redo_bytes_per_s(&self) -> Interval {
        rate(self.redo.slope_interval())
    }

    /// What every restore takes, in seconds.
    #[must_use]
    pub fn fixed_s(&self) -> f64 {
        self.copy.intercept + self.redo.intercept + self.rest.value
    }
}

/// Seconds a byte as bytes a second.
fn rate(slope: Interval) -> Interval {
    Interval { value: 1.0 / slope.value, low: 1.0 / slope.high, high: 1.0 / slope.low }
}

fn check(observations: &[Observation]) -> Result<(), Refusal> {
    for seen in observations {
        let Observation { copy_s, redo_s, total_s, .. } = *seen;
        let possible = [copy_s, redo_s, total_s].iter().all(|s| s.is_finite() && *s > 0.0);
        if !possible || seen.rest_s() < -1e-6 {
            let [copy_s, redo_s, total_s] = [copy_s, redo_s, total_s].map(|s| format!("{s:.3}"));
            return Err(Refusal::Impossible { copy_s, redo_s, total_s });
        }
    }
    let sizes = groups(observations.iter().map(|seen| seen.base_bytes).collect());
    if sizes.len() < 3 {
        return Err(Refusal::FewSizes { found: sizes.len() });
    }
    for (i, &from) in sizes.iter().enumerate() {
        let below = sizes.get(i + 1).copied().unwrap_or(u64::MAX);
        let at_size = observations.iter().filter(|seen| (from..below).contains(&seen.base_bytes));
        if groups(at_size.map(|seen| seen.wal_bytes).collect()).len() < 2 {
            return Err(Refusal::FewVolumes { base_bytes: from });
        }
    }
    if correlation(observations).abs() > 0.95 {
        return Err(Refusal::Collinear);
    }
    Ok(())
}

/// The least of each group of values that are not apart.
fn groups(mut values: Vec<u64>) -> Vec<u64> {
    values.sort_unstable();
    let mut firsts: Vec<u64> = Vec::new();
    for value in values {
        if firsts.last().is_none_or(|&first| as_f64(value) >= APART * as_f64(first)) {
            firsts.push(value);
        }
    }
    firsts
}

/// Of the two sizes, over the observations.
fn correlation(observations: &[Observation]) -> f64 {
    let sum = |of: &dyn Fn(f64, f64) -> f64| {
        observations.iter().map(|seen| of(as_f64(seen.base_bytes), as_f64(seen.wal_bytes))).sum::<f64>()
    };
    let n = as_f64(observations.len() as u64);
    let (x, y) = (sum(&|x, _| x) / n, sum(&|_, y| y) / n);
    let xy = sum(&|a, b| (a - x) * (b - y));
    let (xx, yy) = (sum(&|a, _| (a - x).powi(2)), sum(&|_, b| (b - y).powi(2)));
    if xx * yy > 0.0 { xy / (xx * yy).sqrt() } else { 0.0 }
}

/// The size that a line through measured `(rows, bytes)` has at `rows`, with its interval.
///
/// # Errors
/// [`Refusal`] for fewer than three sizes, and where more rows are not more bytes.
pub fn base_bytes(measured: &[(u64, u64)], rows: u64) -> Result<Interval, Refusal> {
    let points: Vec<(f64, f64)> =
        measured.iter().map(|&(rows, bytes)| (as_f64(rows), as_f64(bytes))).collect();
    if points.len() < 3 {
        return Err(Refusal::FewSizes { found: points.len() });
    }
    let line = Line::through(&points).ok_or(Refusal::Flat { what: "the backup" })?;
    Ok(line.predict(as_f64(rows)).interval())
}

#[expect(clippy::cast_precision_loss, reason = "bytes and rows in a fit")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
