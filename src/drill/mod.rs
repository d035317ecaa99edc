//! Drills: what a team hopes about its backups, proven.
//!
//! [`restore`] brings a base backup and the archived log to an exact point in a scratch cluster, and proves level by level
//! that it is whole, starts, stands at the right point, has every acknowledged write and none from later, holds the same
//! rows byte by byte, and that the proof itself notices one changed row.

mod aim;
mod alter;
mod barrier;
mod fault;
mod findings;
mod fingerprint;
pub mod grants;
mod logical;
mod markers;
mod patient;
mod physical;
pub mod project;
pub mod projection;
mod prove;
mod receiver;
mod recovery;
mod relation;
pub mod replica;
mod restore;
pub mod self_test;
mod sentinel;
mod workspace;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use aim::Aim;
pub use alter::Alteration;
pub use findings::Level;
pub use fingerprint::{DifferingRow, RowDifference};
pub use relation::SCHEMAS;
pub use restore::restore;

use crate::backup::PgBackRest;
use crate::pg::Programs;
use crate::scenario::Scenario;
use crate::units::{Bytes, Lsn};
use crate::verdict::Verdict;

/// Where the copy is made.
#[derive(Debug, Clone)]
pub struct Site {
    /// The directory of scratch clusters.
    pub home: PathBuf,
    /// Programs of the source's major version.
    pub programs: Programs,
}

/// Where the backup comes from.
#[derive(Debug, Clone, Default)]
pub enum BackupFrom {
    /// It is taken, and the log received, for the time of the drill.
    #[default]
    Source,
    /// The newest in a directory of backups whose archive the source feeds.
    Dir(PathBuf),
    /// The newest of a stanza of pgBackRest that the source feeds.
    Stanza(PgBackRest),
}

/// What a drill is to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the backup comes from.
    pub from: BackupFrom,
    /// What the recovery aims at.
    pub aim: Aim,
    /// Changes one row of the copy before the comparison: the drill must fail.
    pub sabotage: Option<Alteration>,
    /// Levels that are not to be looked at, to save their time.
    pub left_out: Vec<Level>,
    /// Scenarios whose plans must be the same on source and copy.
    pub scenarios: Vec<Scenario>,
    /// How long to try for a moment without writers.
    pub lock_patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            from: BackupFrom::default(),
            aim: Aim::default(),
            sabotage: None,
            left_out: Vec::new(),
            scenarios: Vec::new(),
            lock_patience: Duration::from_secs(30),
        }
    }
}

/// What a restore drill proved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestoreDrill {
    /// `Pass` only when the right point and equal content are proven.
    pub verdict: Verdict,
    /// The highest level of proof up to which everything holds.
    #[serde(default)]
    pub reached: Option<String>,
    /// The kind of recovery target.
    #[serde(default)]
    pub aim: Aim,
    /// Where the source was marked; `None` when it could not be.
    #[serde(default)]
    pub marked: Option<Mark>,
    /// Why it is not a pass.
    pub reasons: Vec<String>,
    /// What was proven, in rising order.
    pub proof: Vec<Proof>,
    /// What was not looked at, and why.
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
    /// Recovery time.
    pub rto: Rto,
    /// Recovery point.
    pub rpo: Rpo,
    /// Digests of the content.
    pub fingerprint: Fingerprints,
}

impl Default for RestoreDrill {
    /// One that proved nothing.
    fn default() -> Self {
        Self {
            verdict: Verdict::Fail,
            reached: None,
            aim: Aim::default(),
            marked: None,
            reasons: Vec::new(),
            proof: Vec::new(),
            left_out: Vec::new(),
            rto: Rto { phases: Vec::new(), total_s: 0.0, open_s: 0.0, base_bytes: Bytes(0), redo: None },
            rpo: Rpo { acked: 0, restored: 0, lost: 0 },
            fingerprint: Fingerprints {
                source: String::new(),
                restored: String::new(),
                rows_per_s: 0,
                differing: Vec::new(),
                rows: Vec::new(),
            },
        }
    }
}

/// The marked point of the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Name of the restore point.
    pub name: String,
    /// Behind its record.
    pub lsn: Lsn,
    /// Its timeline.
    pub timeline: u32,
    /// Of the source and of every copy.
    pub system_identifier: String,
    /// How long writers were kept waiting, in milliseconds.
    pub held_ms: u64,
    /// The backup that was restored.
    pub backup: String,
    /// Digest of its manifest.
    #[serde(default)]
    pub manifest_digest: Option<String>,
}

/// A level that was not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its name.
    pub level: String,
    /// Why.
    pub why: String,
}

/// One level of proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The name of a [`Level`].
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
    /// Their sum, in seconds: until the copy is proven.
    pub total_s: f64,
    /// Until the copy answered the first query, in seconds.
    #[serde(default)]
    pub open_s: f64,
    /// Size of the base backup that was copied.
    #[serde(default)]
    pub base_bytes: Bytes,
    /// The log that was replayed; `None` when the recovery did not come to its end.
    #[serde(default)]
    pub redo: Option<Redo>,
}

/// How much log was replayed, and how long that took without fetching it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Redo {
    /// From the first record to the last.
    pub bytes: Bytes,
    /// Without the time of `restore_command`.
    pub seconds: f64,
    /// Segments that came from the archive.
    pub segments: u64,
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
    /// How fast the copy was read, in rows a second; 0 where it was not.
    #[serde(default)]
    pub rows_per_s: u64,
    /// Relations (leaf or table) whose content differs.
    pub differing: Vec<String>,
    /// Rows that differ, some of them where there are many.
    #[serde(default)]
    pub rows: Vec<DifferingRow>,
}
