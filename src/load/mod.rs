//! The load engine: a schedule drawn beforehand, workers that own their recorders, and what they measured.

use serde::{Deserialize, Serialize};

use crate::verdict::Verdict;

/// What `bench run` measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bench {
    /// One entry a scenario, in the order in which they ran.
    pub scenarios: Vec<ScenarioRun>,
    /// Every missed objective, in words.
    pub violations: Vec<String>,
}

/// One scenario's measurement, warm-up excluded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScenarioRun {
    /// Its name.
    pub name: String,
    /// Whether every objective was met.
    pub verdict: Verdict,
    /// Whether the measurement counts: false when the driver, not the server, was the limit.
    pub valid: bool,
    /// Why it does not count.
    pub invalid_because: Vec<String>,
    /// `open` (arrivals on a schedule) or `closed` (clients that wait for their answers).
    pub loop_kind: String,
    /// Asked rate over all operations, in an open loop.
    pub asked_per_s: Option<f64>,
    /// Completed operations each second of the measured part.
    pub achieved_per_s: f64,
    /// Length of the measured part.
    pub duration_s: f64,
    /// One entry an operation, by name.
    pub ops: Vec<OpRun>,
    /// What happened second by second.
    pub slices: Vec<Slice>,
}

/// One operation's measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpRun {
    /// Its name.
    pub op: String,
    /// Completed executions, failed ones included.
    pub count: u64,
    /// Executions that failed.
    pub errors: u64,
    /// SQLSTATE and message of the first failure.
    pub first_error: Option<String>,
    /// Response time from the scheduled start (open loop) or the sending (closed loop), in microseconds.
    pub p50_us: u64,
    /// 95th percentile.
    pub p95_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// Longest.
    pub max_us: u64,
    /// Service time, from sending to answer: 99th percentile.
    pub service_p99_us: u64,
    /// Completed executions each second.
    pub achieved_per_s: f64,
}

/// One second of the measured part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// Seconds from the start of the measured part.
    pub at_s: u64,
    /// Completed operations.
    pub count: u64,
    /// Failed operations.
    pub errors: u64,
    /// Median response time over all operations.
    pub p50_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
}
