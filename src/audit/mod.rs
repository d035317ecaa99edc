//! Audits: evidence from the catalog and the statistics views, one rule a file.

use serde::{Deserialize, Serialize};

/// What `audit` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audited {
    /// Every finding, worst first.
    pub findings: Vec<Finding>,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth acting on.
    Warning,
    /// Broken, or about to be.
    Error,
}

/// One finding with its evidence and its remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule: `redundant-index`.
    pub id: String,
    /// How much it matters.
    pub severity: Severity,
    /// The object, qualified.
    pub object: String,
    /// What was seen.
    pub evidence: String,
    /// What follows: `drop-safe`, `drop-after-rehearsal`, `keep`, `cannot-tell`, `fix`.
    pub verdict: String,
    /// Statements that mend it, in order.
    #[serde(rename = "do")]
    pub remedy: Vec<String>,
    /// Statements that undo the remedy.
    pub undo: Vec<String>,
}
