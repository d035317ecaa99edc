//! A straight line through measurements whose errors are a share of what is measured.

use super::student;

/// `y = intercept + slope x`, neither of them negative, fitted by least squares of the relative residuals.
///
/// Each measurement is weighted by 1 / ŷ², its standard deviation being taken for a fixed share of it. The weights stand on
/// the fitted values, found in a few rounds: weights on the measured ones favour those that came out small. Seber and Lee,
/// Linear Regression Analysis, 2nd edition, 2003, sections 3.10 and 5.3.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// At x = 0. A negative one is set to 0 and the slope fitted again; the variances stay those of the free fit, which
    /// are the larger ones: where the truth is near 0 the interval is too wide rather than too narrow.
    pub intercept: f64,
    /// For each unit of x.
    pub slope: f64,
    /// Degrees of freedom.
    pub df: f64,
    /// Standard deviation of one measurement, as a share of it.
    pub spread: f64,
    /// The inverse of X'WX: variances over spread².
    inverse: [f64; 3],
}

/// An estimate with its variance, ready to be added to others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// What is expected.
    pub value: f64,
    /// Variance of a measurement yet to be made about it.
    pub variance: f64,
    /// Degrees of freedom of that variance.
    pub df: f64,
}

/// A value with the interval that holds it with 95%.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Interval {
    /// The estimate.
    pub value: f64,
    /// The lower end, above 0 where the estimate is.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Rounds in which weights and fit settle.
const ROUNDS: usize = 8;

impl Line {
    /// Through `points` of x and y, y being positive. `None` for fewer than three points or fewer than two values of x, and
    /// where y does not rise with x.
    #[must_use]
    pub fn through(points: &[(f64, f64)]) -> Option<Self> {
        let mut weights: Vec<f64> = points.iter().map(|(_, y)| weight(*y)).collect();
        let mut found = None;
        for _ in 0..ROUNDS {
            let line = Self::weighted(points, &weights)?;
            weights = points.iter().map(|(x, _)| weight(line.at(*x))).collect();
            found = Some(line);
        }
        // A slope of rounding errors is none.
        let furthest = points.iter().map(|(x, _)| x.abs()).fold(0.0, f64::max);
        found.filter(|line| line.slope * furthest > 1e-9 * line.at(furthest))
    }

    fn weighted(points: &[(f64, f64)], weights: &[f64]) -> Option<Self> {
        let sum = |term: &dyn Fn(f64, f64) -> f64| {
            points.iter().zip(weights).map(|((x, y), w)| w * term(*x, *y)).sum::<f64>()
        };
        let (w, x, xx) = (sum(&|_, _| 1.0), sum(&|x, _| x), sum(&|x, _| x * x));
        let (y, xy) = (sum(&|_, y| y), sum(&|x, y| x * y));
        let determinant = w * xx - x * x;
        if points.len() < 3 || determinant <= 1e-12 * w * xx {
            return None;
        }
        let inverse = [xx, -x, w].map(|cofactor| cofactor / determinant);
        let (mut intercept, mut slope) = (inverse[0] * y + inverse[1] * xy, inverse[1] * y + inverse[2] * xy);
        if intercept < 0.0 {
            (intercept, slope) = (0.0, xy / xx);
        }
        #[expect(clippy::cast_precision_loss, reason = "a few points")]
        let df = points.len() as f64 - 2.0;
        let squares = sum(&|x, y| (y - intercept - slope * x).powi(2));
        Some(Self { intercept, slope, df, spread: (squares / df).sqrt(), inverse })
    }

    /// The expected y at `x`.
    #[must_use]
    pub fn at(&self, x: f64) -> f64 {
        self.intercept + self.slope * x
    }

    /// What a measurement at `x` is going to be: its variance is that of the line there and that of one measurement.
    #[must_use]
    pub fn predict(&self, x: f64) -> Estimate {
        let value = self.at(x);
        let [a, ab, b] = self.inverse;
        let of_line = a + 2.0 * ab * x + b * x * x;
        Estimate { value, variance: self.spread.powi(2) * (value * value + of_line), df: self.df }
    }

    /// The slope with its interval.
    #[must_use]
    pub fn slope_interval(&self) -> Interval {
        let variance = self.spread.powi(2) * self.inverse[2];
        Estimate { value: self.slope, variance, df: self.df }.interval()
    }
}

fn weight(y: f64) -> f64 {
    // A time of nothing would weigh more than all others together.
    y.max(1e-6).powi(-2)
}

impl Estimate {
    /// What does not depend on x: the mean of `values` with a relative spread. `None` for fewer than two.
    #[must_use]
    pub fn of_mean(values: &[f64]) -> Option<Self> {
        #[expect(clippy::cast_precision_loss, reason = "a few values")]
        let n = values.len() as f64;
        if n < 2.0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Some(Self { value: mean, variance: squares / (n - 1.0) * (1.0 + 1.0 / n), df: n - 1.0 })
    }

    /// The interval of 95%: that of the logarithm, by the delta method. What is measured here is positive and errs by
    /// shares, upwards more than downwards; an interval of equal arms would reach down to nothing where the spread is wide, and
    /// not far enough up. An arm longer than the estimate goes up in proportion, else it would have no end near nothing.
    #[must_use]
    pub fn interval(&self) -> Interval {
        let arm = student::quantile(0.975, self.df) * self.variance.sqrt();
        if arm < self.value {
            let factor = (arm / self.value).exp();
            return Interval { value: self.value, low: self.value / factor, high: self.value * factor };
        }
        let low = if self.value > 0.0 { self.value * (-arm / self.value).exp() } else { 0.0 };
        Interval { value: self.value, low, high: self.value + arm * 1.0_f64.exp_m1() }
    }
}

impl Interval {
    /// The interval of a sum of independent quantities, by Zou and Donner's recovery of variances from the arms of theirs
    /// (Statistics in Medicine 27, 2008): their squares add up, upwards and downwards apart. It rises with each part.
    #[must_use]
    pub fn sum(parts: &[Self]) -> Self {
        let value: f64 = parts.iter().map(|part| part.value).sum();
        let down: f64 = parts.iter().map(|part| (part.value - part.low).powi(2)).sum();
        let up: f64 = parts.iter().map(|part| (part.high - part.value).powi(2)).sum();
        Self { value, low: (value - down.sqrt()).max(0.0), high: value + up.sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_noise_comes_out() {
        let points = [1.0, 2.0, 4.0, 8.0].map(|x| (x, 3.0 + 2.0 * x));
        let line = Line::through(&points).unwrap();
        assert!((line.intercept - 3.0).abs() < 1e-9 && (line.slope - 2.0).abs() < 1e-9, "{line:?}");
        let at = line.predict(100.0).interval();
        assert!((at.value - 203.0).abs() < 1e-6 && at.high - at.low < 1e-6, "{at:?}");
    }

    #[test]
    fn relative_weights_are_those_of_the_scaled_equations() {
        // y / ŷ = a / ŷ + b x / ŷ by ordinary least squares, worked out in Python from the sums.
        let line = Line::through(&[(1.0, 1.1), (2.0, 1.9), (3.0, 3.2), (4.0, 3.9)]).unwrap();
        assert!(
            (line.intercept - 0.124_088).abs() < 1e-6 && (line.slope - 0.958_270).abs() < 1e-6,
            "{line:?}"
        );
    }

    #[test]
    fn nothing_is_negative() {
        let line = Line::through(&[(1.0, 0.8), (2.0, 2.1), (3.0, 3.3)]).unwrap();
        assert_eq!(line.intercept, 0.0);
        assert!(line.slope > 0.9 && line.slope < 1.1, "{line:?}");
        assert_eq!(Line::through(&[(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)]), None);
    }

    #[test]
    fn what_bounds_nothing_is_no_line() {
        assert_eq!(Line::through(&[(1.0, 1.0), (2.0, 2.0)]), None);
        assert_eq!(Line::through(&[(5.0, 1.0), (5.0, 2.0), (5.0, 3.0)]), None);
        assert_eq!(Estimate::of_mean(&[1.0]), None);
    }

    #[test]
    fn an_interval_errs_by_a_factor_and_ends_near_nothing_too() {
        let at = |value: f64, arm: f64| {
            let variance = (arm / student::quantile(0.975, 4.0)).powi(2);
            Estimate { value, variance, df: 4.0 }.interval()
        };
        let half = at(10.0, 5.0);
        assert!(
            (half.high / 10.0 - 0.5_f64.exp()).abs() < 1e-9 && (10.0 / half.low - 0.5_f64.exp()).abs() < 1e-9
        );
        let (below, above) = (at(10.0, 9.999_999), at(10.0, 10.000_001));
        assert!((below.high - above.high).abs() < 1e-3 && (below.low - above.low).abs() < 1e-3);
        assert_eq!(at(0.0, 1.0).low, 0.0);
        assert!((at(0.0, 1.0).high - 1.718_282).abs() < 1e-6);
    }

    #[test]
    fn arms_of_a_sum_add_up_by_their_squares() {
        let parts =
            [Interval { value: 10.0, low: 7.0, high: 16.0 }, Interval { value: 20.0, low: 16.0, high: 28.0 }];
        assert_eq!(Interval::sum(&parts), Interval { value: 30.0, low: 25.0, high: 40.0 });
    }
}
