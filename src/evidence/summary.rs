//! What a history says at a glance: which drills there were, and when a restore was last proven.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{Break, History, Kind, Record};
use crate::verdict::Verdict;

/// A history as it is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// `Fail` where the history is broken, or where the last proven restore is older than was asked for.
    pub verdict: Verdict,
    /// Why it is not a pass.
    pub reasons: Vec<String>,
    /// The name of the key that it was verified with.
    pub key: String,
    /// Where it is broken.
    pub broken: Option<Break>,
    /// Bytes of a line at its end that was not written to its end.
    pub torn_bytes: u64,
    /// The last proven restore.
    pub last_proven_restore: Option<LastProven>,
    /// The drills, oldest first.
    pub drills: Vec<Drill>,
}

/// The last restore that was proven.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LastProven {
    /// When the proof was complete.
    pub at: Timestamp,
    /// How long ago that was, in seconds.
    pub age_s: i64,
    /// The digest of its record.
    pub digest: String,
}

/// One drill.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Drill {
    /// Its line, from 1.
    pub line: usize,
    /// The digest of its record.
    pub digest: String,
    /// What was drilled.
    pub kind: Kind,
    /// When it ended.
    pub finished: Timestamp,
    /// What it concluded.
    pub verdict: Verdict,
    /// The highest level of proof up to which every level holds.
    pub level: Option<String>,
    /// The recovery time, in seconds.
    pub rto_total_s: Option<f64>,
    /// Its phases.
    pub phases: Vec<Phase>,
    /// Acknowledged writes that were lost.
    pub rpo_lost: Option<u64>,
}

/// A phase of a recovery.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Phase {
    /// Its name.
    pub phase: String,
    /// How long it took.
    pub seconds: f64,
}

impl LastProven {
    /// Its age in days, in hours where there is not one.
    #[must_use]
    pub fn age(&self) -> String {
        days(self.age_s)
    }
}

impl Summary {
    /// What `history` says at the moment `now`, when the last proven restore may be `max_age_s` seconds old, and
    /// the record `expected` has to be there.
    #[must_use]
    pub fn of(history: &History, now: Timestamp, max_age_s: Option<i64>, expected: Option<&str>) -> Self {
        let last_proven_restore = last_proven(&history.records, now);
        let broken = history.broken.as_ref().map(|at| format!("line {}: {}", at.line, at.fault));
        let missing = expected
            .filter(|digest| !history.holds(digest))
            .map(|digest| format!("there is no record {digest}"));
        let old = max_age_s.and_then(|most| too_old(last_proven_restore.as_ref(), most));
        let reasons: Vec<String> = [broken, missing, old].into_iter().flatten().collect();
        Self {
            verdict: Verdict::from_ok(reasons.is_empty()),
            reasons,
            key: history.key.clone(),
            broken: history.broken.clone(),
            torn_bytes: history.torn_bytes,
            last_proven_restore,
            drills: history.records.iter().map(Drill::of).collect(),
        }
    }
}

fn last_proven(records: &[Record], now: Timestamp) -> Option<LastProven> {
    let proven = |record: &&Record| record.kind == Kind::Restore && record.verdict == Verdict::Pass;
    let last = records.iter().filter(proven).max_by_key(|record| record.finished)?;
    let age_s = now.as_second() - last.finished.as_second();
    Some(LastProven { at: last.finished, age_s, digest: last.digest.clone() })
}

fn too_old(last: Option<&LastProven>, most_s: i64) -> Option<String> {
    match last {
        None => Some("no restore was ever proven".to_owned()),
        Some(last) if last.age_s > most_s => {
            Some(format!("the last proven restore is {} old, of {} at most", days(last.age_s), days(most_s)))
        }
        Some(_) => None,
    }
}

/// Seconds as days, or hours where there is not one.
fn days(seconds: i64) -> String {
    match (seconds / 86_400, seconds / 3600) {
        (0, 0) => format!("{} min", seconds / 60),
        (0, hours) => format!("{hours} h"),
        (1, _) => "1 day".to_owned(),
        (days, _) => format!("{days} days"),
    }
}

impl Drill {
    /// Reads what is common to the drills' results; what a kind of drill does not have is not there.
    fn of(record: &Record) -> Self {
        let result = &record.result;
        let lost = result.pointer("/rpo/lost").or_else(|| result.get("lost_acks"));
        let phases = result.pointer("/rto/phases").or_else(|| result.get("phases"));
        Self {
            line: record.line,
            digest: record.digest.clone(),
            kind: record.kind,
            finished: record.finished,
            verdict: record.verdict,
            level: level(result),
            rto_total_s: result.pointer("/rto/total_s").and_then(Value::as_f64),
            phases: phases.and_then(Value::as_array).into_iter().flatten().filter_map(phase).collect(),
            rpo_lost: lost.and_then(Value::as_u64),
        }
    }
}

fn level(result: &Value) -> Option<String> {
    let proof = result.get("proof")?.as_array()?;
    let held = proof.iter().take_while(|proof| proof["ok"] == true).last()?;
    held["level"].as_str().map(str::to_owned)
}

fn phase(value: &Value) -> Option<Phase> {
    let seconds = value.get("seconds").or_else(|| value.get("s"))?.as_f64()?;
    Some(Phase { phase: value.get("phase")?.as_str()?.to_owned(), seconds })
}
