//! Plans: read from EXPLAIN, held against the contract of the operation that they serve.

use serde::{Deserialize, Serialize};

use crate::verdict::Verdict;

/// What `explain` found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// One entry an operation and plan mode.
    pub ops: Vec<OpPlan>,
}

/// One operation's plan in one mode, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpPlan {
    /// The scenario's name.
    pub scenario: String,
    /// The operation's name.
    pub op: String,
    /// `custom` or `generic`.
    pub mode: String,
    /// `Fail` when there is a violation.
    pub verdict: Verdict,
    /// Leaves of `interaction.user_media` with a scan that ran.
    pub scanned_leaves: u32,
    /// Indexes used, a partitioned one by its parent's name.
    pub indexes: Vec<String>,
    /// Shared buffers hit and read in one execution, after one that was discarded.
    pub buffers: u64,
    /// What the contract forbids and the plan does, each quoting the part of the plan and saying what would mend it.
    pub violations: Vec<String>,
    /// Shape of the plan without leaf names and costs: equal plans have equal fingerprints.
    pub fingerprint: String,
    /// The plan as indented text for people.
    pub plan: String,
}
