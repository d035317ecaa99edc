//! Drills: what a team hopes about its backups, proven.

use serde::{Deserialize, Serialize};

use crate::verdict::Verdict;

/// What a restore drill proved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestoreDrill {
    /// `Pass` only when the right point and equal content are proven.
    pub verdict: Verdict,
    /// Why it is not a pass.
    pub reasons: Vec<String>,
    /// What was proven, in rising order.
    pub proof: Vec<Proof>,
    /// Recovery time.
    pub rto: Rto,
    /// Recovery point.
    pub rpo: Rpo,
    /// Digests of the content.
    pub fingerprint: Fingerprints,
}

/// One level of proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// `manifest`, `starts`, `right-point`, `sentinels`, `content`, `self-test`.
    pub level: String,
    /// Whether it holds.
    pub ok: bool,
    /// What was seen.
    pub detail: String,
}

/// Recovery time by phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rto {
    /// The phases in order.
    pub phases: Vec<RtoPhase>,
    /// Their sum, in seconds.
    pub total_s: f64,
}

/// One phase of a recovery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RtoPhase {
    /// Its name.
    pub phase: String,
    /// How long it took.
    pub seconds: f64,
}

/// Writes around the restore point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rpo {
    /// Writes acknowledged before the restore point.
    pub acked: u64,
    /// Of those, found in the restored copy.
    pub restored: u64,
    /// Of those, missing.
    pub lost: u64,
}

/// Digests of the whole content at the restore point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprints {
    /// Of the source.
    pub source: String,
    /// Of the restored copy.
    pub restored: String,
    /// Relations (leaf or table) whose content differs.
    pub differing: Vec<String>,
}
