//! The load engine: a schedule drawn beforehand, workers that own their recorders, and what they measured.

mod alarm;
mod data;
mod drift;
mod encoded;
mod judge;
mod knee;
mod line;
mod outage;
mod pace;
mod prepare;
mod pulse;
mod recorder;
mod recording;
mod run;
mod schedule;
mod server;
mod slices;
mod statement;
mod worker;

use serde::{Deserialize, Serialize};

use crate::scenario::Protocol;
use crate::verdict::Verdict;

pub use data::model_for;
pub use drift::PlanSeen;
pub use knee::{Knee, Tried, find_max};
pub use recorder::Histograms;
pub use recording::{Origin, RECORDING_VERSION, Recorded, Recording, hlog};
pub use run::{Measured, Options, run, with_model};
pub use server::{ServerWork, StatementWork};

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
    /// Whether the driver, not the server, was the limit.
    #[serde(default)]
    pub driver_limited: bool,
    /// Why it does not count.
    pub invalid_because: Vec<String>,
    /// `open` (arrivals on a schedule) or `closed` (clients that wait for their answers).
    pub loop_kind: String,
    /// Seed of the schedule and of the bound values.
    pub seed: u64,
    /// Asked rate over all operations, in an open loop.
    pub asked_per_s: Option<f64>,
    /// Successful operations each second, from the start of the measured part to the last answer.
    pub achieved_per_s: f64,
    /// Length of the measured part.
    pub duration_s: f64,
    /// How late the driver itself was in sending to an idle connection: 99th percentile, in microseconds.
    pub lag_p99_us: u64,
    /// Share of a processor that the busiest of the driver's threads used, 0 to 1.
    #[serde(default)]
    pub driver_cpu_share: Option<f64>,
    /// Processor time of the driver for each execution, in microseconds.
    #[serde(default)]
    pub driver_cpu_us_per_op: Option<f64>,
    /// How statements were sent.
    #[serde(default)]
    pub protocol: Protocol,
    /// Connections that the server ended or that broke.
    pub lost_connections: u64,
    /// Attempts after the first, where the scenario asks for them.
    #[serde(default)]
    pub retries: u64,
    /// What the server did meanwhile, where it could be asked.
    #[serde(default)]
    pub server: Option<ServerWork>,
    /// Which plans were executed, warm-up included, where that was looked at; different values may have different ones.
    #[serde(default)]
    pub plans: Vec<PlanSeen>,
    /// One entry an operation, by name.
    pub ops: Vec<OpRun>,
    /// What happened second by second.
    pub slices: Vec<Slice>,
}

impl ScenarioRun {
    /// The plans that came or went in mid-run.
    #[must_use]
    pub fn changed_plans(&self) -> Vec<&PlanSeen> {
        drift::changed(&self.plans)
    }
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
    /// Arrivals that were never sent because too many waited; not part of the count.
    #[serde(default)]
    pub dropped: u64,
    /// SQLSTATE and message of the first failure.
    pub first_error: Option<String>,
    /// Response time of successful executions, from the scheduled start (open loop) or the sending (closed loop), in
    /// microseconds: median.
    pub p50_us: u64,
    /// 95th percentile.
    pub p95_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// Longest.
    pub max_us: u64,
    /// Service time, from sending to answer: 99th percentile.
    pub service_p99_us: u64,
    /// Successful executions each second, over the same time as the scenario's.
    pub achieved_per_s: f64,
}

/// One second of the measured part, or of the time it took to answer what was left at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// Seconds from the start of the measured part.
    pub at_s: u64,
    /// Operations that the schedule had for this second, in an open loop.
    #[serde(default)]
    pub asked: Option<f64>,
    /// Operations answered in this second, failed ones included.
    pub count: u64,
    /// Failed ones.
    pub errors: u64,
    /// Median response time over all successful operations, in microseconds.
    pub p50_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
}
