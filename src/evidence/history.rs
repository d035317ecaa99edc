//! A history read and verified: every record, or the exact place of the first break.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::envelope::{EVIDENCE_VERSION, Envelope, Predicate};
use super::key::{PublicKey, sha256};
use super::{Facts, HEAD, HISTORY, Kind, PUBLIC_KEY};
use crate::verdict::{UsageError, Verdict};

/// A history, as far as it is whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct History {
    /// The name of the key that it was verified with.
    pub key: String,
    /// The records before the first break, oldest first; all of them where there is none.
    pub records: Vec<Record>,
    /// The first break.
    pub broken: Option<Break>,
    /// Bytes of a line at the end that was not written to its end; the next record moves them aside.
    pub torn_bytes: u64,
}

/// One verified record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// Its line, from 1.
    pub line: usize,
    /// Its digest, named by its algorithm.
    pub digest: String,
    /// What was drilled.
    pub kind: Kind,
    /// When the drill began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// What it concluded.
    pub verdict: Verdict,
    /// Version of omtdb that drilled.
    pub omtdb_version: String,
    /// What it was about.
    pub facts: Facts,
    /// The drill's own JSON.
    pub result: Value,
}

/// Where and how a history is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Break {
    /// The line, from 1; the one after the last where the end is missing.
    pub line: usize,
    /// What is wrong there.
    pub fault: Fault,
}

/// What can be wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Fault {
    /// It cannot be read.
    Malformed {
        /// Why.
        why: String,
    },
    /// Another key signed it.
    OtherKey {
        /// The name of that key.
        key: String,
    },
    /// It was changed after the record that follows it had been written.
    Edited,
    /// The signature does not fit, and nothing says that the line was ever another one.
    BadSignature,
    /// A later omtdb wrote it.
    OtherVersion {
        /// Its version.
        version: u32,
    },
    /// The records before it are gone.
    Removed {
        /// The first that is gone, from 1.
        first: u64,
        /// The last.
        last: u64,
    },
    /// Its place was taken before: a line stands twice or was moved.
    Repeated {
        /// The place it claims.
        sequence: u64,
    },
    /// It followed another record than the one before it.
    BrokenChain,
    /// The records at the end are gone.
    Truncated {
        /// How many there were at least.
        written: u64,
    },
    /// The record that `head` tells of is another one.
    OtherHead,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { why } => write!(out, "it is no record: {why}"),
            Self::OtherKey { key } => write!(out, "another key signed it: {key}"),
            Self::Edited => write!(out, "it was changed after it had been written"),
            Self::BadSignature => write!(out, "its signature does not fit"),
            Self::OtherVersion { version } => write!(
                out,
                "it is of version {version}, this omtdb reads {EVIDENCE_VERSION}: verify it with the omtdb that wrote it"
            ),
            Self::Removed { first, last } if first == last => write!(out, "record {first} before it is gone"),
            Self::Removed { first, last } => write!(out, "records {first} to {last} before it are gone"),
            Self::Repeated { sequence } => {
                write!(out, "it is record {sequence}, which stands before it already")
            }
            Self::BrokenChain => write!(out, "it followed another record than the one before it"),
            Self::Truncated { written } => write!(out, "the end is gone: {written} records were written"),
            Self::OtherHead => write!(out, "{HEAD} tells of another record"),
        }
    }
}

/// How far a history has come, kept beside it: else nobody would miss records at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) sequence: u64,
    pub(super) digest: String,
}

impl History {
    /// Reads and verifies the history in `dir`, with the key `public` where it is given, else with the one beside it.
    ///
    /// A history that is broken is a value: see [`History::broken`].
    ///
    /// # Errors
    /// [`UsageError`] when there is none; when a file cannot be read.
    pub fn read(dir: &Path, public: Option<&Path>) -> anyhow::Result<Self> {
        // In this order: a record that is written meanwhile is in the history before the head tells of it.
        let head = head(dir)?;
        let text = optional(&dir.join(HISTORY))?;
        if text.is_none() && head.is_none() {
            let none = format!(
                "there is no evidence of a drill in {}\n  help: omtdb drill restore --evidence {0}",
                dir.display()
            );
            return Err(UsageError(none).into());
        }
        let key = PublicKey::read(public.unwrap_or(&dir.join(PUBLIC_KEY)))?;
        Ok(verify(&text.unwrap_or_default(), head.as_ref(), &key))
    }

    /// Whether a record of digest `digest` is among the verified ones.
    #[must_use]
    pub fn holds(&self, digest: &str) -> bool {
        self.records.iter().any(|record| record.digest == digest)
    }
}

/// What `dir` says of how far its history has come.
pub(super) fn head(dir: &Path) -> anyhow::Result<Option<Head>> {
    let path = dir.join(HEAD);
    let Some(text) = optional(&path)? else { return Ok(None) };
    let broken = || {
        UsageError(format!(
            "{} is not what omtdb wrote\n  help: remove it once the history is known to be whole",
            path.display()
        ))
    };
    Ok(Some(serde_json::from_slice(&text).map_err(|_| broken())?))
}

/// The bytes of a file; `None` where there is none.
pub(super) fn optional(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => Ok(Some(read.with_context(|| format!("read {}", path.display()))?)),
    }
}

/// The lines of `text` and what follows the last end of line. A whole record that only lacks its end of line is a line.
pub(super) fn lines(text: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let mut lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
    let rest = lines.pop().unwrap_or_default();
    if !rest.is_empty() && Envelope::parse(rest).is_ok() {
        lines.push(rest);
        return (lines, &[]);
    }
    (lines, rest)
}

/// The verdict over the bytes of a history.
pub(super) fn verify(text: &[u8], head: Option<&Head>, key: &PublicKey) -> History {
    let (lines, rest) = lines(text);
    let mut history =
        History { key: key.id(), records: Vec::new(), broken: None, torn_bytes: rest.len() as u64 };
    for (i, line) in lines.iter().enumerate() {
        match judge(&history, line, lines.get(i + 1).copied(), key) {
            Ok(record) => history.records.push(record),
            Err(fault) => {
                history.broken = Some(Break { line: i + 1, fault });
                return history;
            }
        }
    }
    history.broken = head.and_then(|head| judge_end(&history.records, head));
    history
}

/// The record in `line`, which stands after those of `history` and before `next`.
fn judge(history: &History, line: &[u8], next: Option<&[u8]>, key: &PublicKey) -> Result<Record, Fault> {
    let envelope = Envelope::parse(line).map_err(|why| Fault::Malformed { why })?;
    if envelope.keyid() != key.id() {
        return Err(Fault::OtherKey { key: envelope.keyid().to_owned() });
    }
    let digest = sha256(line);
    if !envelope.is_signed_by(key) {
        // The record after it remembers what stood here.
        let remembered = next.and_then(|next| Envelope::parse(next).ok()?.predicate().ok()?.previous);
        let edited = remembered.is_some_and(|remembered| remembered != digest);
        return Err(if edited { Fault::Edited } else { Fault::BadSignature });
    }
    let said = envelope.predicate().map_err(|why| Fault::Malformed { why })?;
    follows(&history.records, &said)?;
    Ok(record(history.records.len() + 1, digest, said))
}

/// Whether `said` is what comes after `records`.
fn follows(records: &[Record], said: &Predicate) -> Result<(), Fault> {
    let expected = records.len() as u64 + 1;
    if said.evidence_version != EVIDENCE_VERSION {
        Err(Fault::OtherVersion { version: said.evidence_version })
    } else if said.sequence > expected {
        Err(Fault::Removed { first: expected, last: said.sequence - 1 })
    } else if said.sequence < expected {
        Err(Fault::Repeated { sequence: said.sequence })
    } else if said.previous.as_deref() != records.last().map(|last| last.digest.as_str()) {
        Err(Fault::BrokenChain)
    } else {
        Ok(())
    }
}

fn record(line: usize, digest: String, said: Predicate) -> Record {
    let Predicate { kind, started, finished, verdict, omtdb_version, facts, result, .. } = said;
    Record { line, digest, kind, started, finished, verdict, omtdb_version, facts, result }
}

/// A record may be there of which `head` does not tell yet: the process was killed in between.
fn judge_end(records: &[Record], head: &Head) -> Option<Break> {
    let told = head.sequence.checked_sub(1).and_then(|before| usize::try_from(before).ok());
    match told.and_then(|told| records.get(told)) {
        None => Some(Break { line: records.len() + 1, fault: Fault::Truncated { written: head.sequence } }),
        Some(record) => {
            (record.digest != head.digest).then_some(Break { line: record.line, fault: Fault::OtherHead })
        }
    }
}
