//! The record of a run, and everything rendered from it.

mod host;
mod record;
#[cfg(test)]
mod samples;

use serde::{Deserialize, Serialize};

pub use self::host::{host, server};
pub use self::record::{RecordError, read, write, write_whole};
use crate::pg::ServerVersion;
use crate::verdict::Verdict;
use crate::{audit, datagen, drill, explain, load, migrate};

/// Version of `run.json`; rises when a field changes its meaning or goes.
pub const RECORD_VERSION: u32 = 1;

/// `run.json`: all that a gate saw. Reports are rendered from it and nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// [`RECORD_VERSION`] of the writer.
    pub record_version: u32,
    /// Version of omtdb.
    pub omtdb_version: String,
    /// When the run began.
    pub started_at: jiff::Timestamp,
    /// Length of the run.
    pub total_s: f64,
    /// The worst of the stages'.
    pub verdict: Verdict,
    /// Whether the user interrupted it.
    pub interrupted: bool,
    /// Where it ran.
    pub host: Host,
    /// What it ran against.
    pub server: Option<Server>,
    /// Name of the profile of sizes.
    pub profile: String,
    /// Seed of the data.
    pub seed: u64,
    /// The stages in order.
    pub stages: Vec<Stage>,
    /// Migrations applied.
    pub migrate: Option<migrate::Applied>,
    /// Schema against the plan.
    pub verify: Option<migrate::Verified>,
    /// Data loaded.
    pub generate: Option<datagen::Generated>,
    /// Data against the model.
    pub generate_verify: Option<datagen::Verified>,
    /// Plans against their contracts.
    pub explain: Option<explain::Explained>,
    /// Load scenarios.
    pub bench: Option<load::Bench>,
    /// Findings.
    pub audit: Option<audit::Audited>,
    /// The proven restore.
    pub drill: Option<drill::RestoreDrill>,
}

/// The machine a run was measured on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Processors available to us.
    pub cpus: usize,
    /// Their model, where the system tells.
    pub cpu_model: String,
    /// Memory of the machine.
    pub memory_bytes: u64,
    /// Kernel release.
    pub kernel: String,
}

/// The server a run was measured on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Its version.
    pub version: ServerVersion,
    /// `user@host:port/dbname`.
    pub target: String,
    /// Settings that are not the built-in default, name to value; none that could hold a secret.
    pub settings: std::collections::BTreeMap<String, String>,
}

/// One stage of a gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// `migrate`, `verify`, `generate`, `explain`, `bench`, `audit`, `drill`.
    pub stage: String,
    /// What it concluded.
    pub verdict: Verdict,
    /// How long it took.
    pub seconds: f64,
    /// One line for people: what was done.
    pub summary: String,
    /// Why it is not a pass; one entry a reason.
    pub reasons: Vec<String>,
}
