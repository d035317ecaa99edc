//! The spread of latencies: one row an operation, from the median to the longest, on one logarithmic axis.

use super::axis::{LogAxis, Tick};
use crate::load::OpRun;

/// Height of a row: its name above, its marks below.
const ROW: u32 = 46;

/// One chart for the operations of a scenario.
#[derive(Debug, PartialEq)]
pub(in crate::report) struct Spread {
    /// Height of the rows together, in pixels.
    pub(in crate::report) height: u32,
    /// The axis.
    pub(in crate::report) ticks: Vec<Tick>,
    /// One row an operation that completed at least once.
    pub(in crate::report) rows: Vec<SpreadRow>,
}

/// One operation; positions in percent.
#[derive(Debug, PartialEq)]
pub(in crate::report) struct SpreadRow {
    /// Its name.
    pub(in crate::report) op: String,
    /// Where its name stands, in pixels from the top.
    pub(in crate::report) name_y: u32,
    /// Where its marks stand.
    pub(in crate::report) y: u32,
    /// Median response time.
    pub(in crate::report) p50: f64,
    /// 95th percentile.
    pub(in crate::report) p95: f64,
    /// 99th percentile.
    pub(in crate::report) p99: f64,
    /// Longest.
    pub(in crate::report) max: f64,
    /// 99th percentile of the service time.
    pub(in crate::report) service_p99: f64,
    /// 99th percentile, in microseconds.
    pub(in crate::report) p99_us: u64,
}

/// The chart of `ops`; `None` when none of them completed.
pub(in crate::report) fn spread(ops: &[OpRun]) -> Option<Spread> {
    let measured: Vec<&OpRun> = ops.iter().filter(|op| op.max_us > 0).collect();
    if measured.is_empty() {
        return None;
    }
    let axis = LogAxis::covering(measured.iter().flat_map(|op| [op.p50_us, op.service_p99_us, op.max_us]));
    let rows = measured.iter().zip(0..).map(|(op, n)| row(op, &axis, n * ROW)).collect::<Vec<_>>();
    let height = rows.last().map_or(0, |last| last.y + ROW / 3);
    Some(Spread { height, ticks: axis.ticks(), rows })
}

fn row(op: &OpRun, axis: &LogAxis, top: u32) -> SpreadRow {
    SpreadRow {
        op: op.op.clone(),
        name_y: top + 16,
        y: top + 30,
        p50: axis.at(op.p50_us),
        p95: axis.at(op.p95_us),
        p99: axis.at(op.p99_us),
        max: axis.at(op.max_us),
        service_p99: axis.at(op.service_p99_us),
        p99_us: op.p99_us,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn marks_stand_in_their_order() {
        let bench = samples::failing().bench.unwrap();
        for run in &bench.scenarios {
            let chart = spread(&run.ops).unwrap();
            assert_eq!(chart.rows.len(), run.ops.len());
            for row in &chart.rows {
                assert!(
                    0.0 < row.p50 && row.p50 < row.p95 && row.p95 < row.p99 && row.p99 < row.max,
                    "{row:?}"
                );
                assert!(row.max <= 100.0 && row.service_p99 <= row.p99 && row.y < chart.height, "{row:?}");
            }
        }
    }

    #[test]
    fn operations_that_never_completed_have_no_marks() {
        let mut ops = samples::passing().bench.unwrap().scenarios.remove(0).ops;
        ops[0].max_us = 0;
        assert_eq!(spread(&ops).unwrap().rows.len(), ops.len() - 1);
        assert_eq!(spread(&[]), None);
    }
}
