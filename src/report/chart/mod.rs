//! Geometry of the report's charts: pure functions from figures to positions; the templates draw them.
//!
//! Horizontal positions are percentages of the chart's width and marks are placed, not scaled, so that a chart reads as
//! well on a telephone as on a wide screen. Lines are in a box of 1000 by 100 that is stretched.

mod axis;
mod latency;
mod over_time;
mod parts;

pub(super) use self::latency::{Spread, spread};
pub(super) use self::over_time::{OverTime, over_time};
pub(super) use self::parts::{Span, Stack, spans, stack};
