//! Drills: what a team hopes about its backups, proven.
//!
//! [`restore`] brings a base backup and the archived log to an exact point in a scratch cluster, and proves level by level
//! that it is whole, starts, stands at the right point, has every acknowledged write and none from later, holds the same
//! rows byte by byte, and that the proof itself notices one changed row.

mod alter;
mod barrier;
mod findings;
mod fingerprint;
mod markers;
pub mod project;
pub mod projection;
mod receiver;
mod recovery;
mod relation;
mod restore;
mod sentinel;
mod workspace;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use alter::Alteration;
pub use fingerprint::{DifferingRow, RowDifference};
pub use relation::SCHEMAS;
pub use restore::restore;

use crate::pg::Programs;

use crate::verdict::Verdict;

/// Where the copy is made.
#[derive(Debug, Clone)]
pub struct Site {
    /// The directory of scratch clusters.
    pub home: PathBuf,
    /// Programs of the source's major version.
    pub programs: Programs,
}

/// What a drill is to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// A directory of backups whose archive the source feeds; `None` takes a backup for the time of the drill.
    pub dir: Option<PathBuf>,
    /// Changes one row of the copy before the comparison: the drill must fail.
    pub sabotage: Option<Alteration>,
    /// How long to try for a moment without writers.
    pub lock_patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { dir: None, sabotage: None, lock_patience: Duration::from_secs(30) }
    }
}

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
    /// Rows that differ, some of them where there are many.
    #[serde(default)]
    pub rows: Vec<DifferingRow>,
}
