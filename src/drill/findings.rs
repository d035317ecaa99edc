//! What a drill has seen so far, and the result it makes of it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::fingerprint::{DifferingRow, Fingerprint};
use super::markers::{Marker, seconds_between};
use super::recovery::Recovery;
use super::sentinel::Journal;
use super::{Fingerprints, LeftOut, Proof, Redo, RestoreDrill, Rpo, Rto, RtoPhase};
use crate::backup::Backup;
use crate::units::Bytes;
use crate::verdict::Verdict;

/// A level of proof; each says more than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// The backup's files are the bytes that the server sent.
    Manifest,
    /// Recovery reached consistency, and the copy answers.
    Starts,
    /// It stands exactly at the point, and is a copy of this server.
    RightPoint,
    /// Every acknowledged write from before the point is there, none from behind it.
    Sentinels,
    /// Pages, indexes and heap agree with themselves and with each other.
    Physical,
    /// Foreign keys, unique keys, routing to leaves and the definitions of lists hold.
    Logical,
    /// Every row is the source's, byte by byte.
    Content,
    /// The scenarios' plans are the source's.
    Service,
    /// The proof notices one changed row.
    SelfTest,
}

impl Level {
    /// From the bottom up.
    pub const ALL: [Self; 9] = [
        Self::Manifest,
        Self::Starts,
        Self::RightPoint,
        Self::Sentinels,
        Self::Physical,
        Self::Logical,
        Self::Content,
        Self::Service,
        Self::SelfTest,
    ];

    /// The word of results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Starts => "starts",
            Self::RightPoint => "right-point",
            Self::Sentinels => "sentinels",
            Self::Physical => "physical",
            Self::Logical => "logical",
            Self::Content => "content",
            Self::Service => "service",
            Self::SelfTest => "self-test",
        }
    }
}

/// What was seen, in the order in which it was seen.
#[derive(Debug, Default)]
pub(super) struct Findings {
    levels: Vec<(Level, bool, String)>,
    left_out: Vec<(Level, String)>,
    reasons: Vec<String>,
    phases: Vec<RtoPhase>,
    redo: Option<Redo>,
    base_bytes: Bytes,
    rpo: Option<Rpo>,
    restored: String,
    rows_per_s: u64,
    differing: Vec<String>,
    rows: Vec<DifferingRow>,
}

/// Whether a level holds, and what was seen.
pub(super) type Seen = (bool, String);

impl Findings {
    pub(super) fn level(&mut self, level: Level, (ok, detail): Seen) {
        if !ok {
            self.reasons.push(format!("{}: {detail}", level.name()));
        }
        self.levels.push((level, ok, detail));
    }

    /// Says that a level was not looked at, which neither proves nor disproves it.
    pub(super) fn leave_out(&mut self, level: Level, why: String) {
        if !self.left_out.iter().any(|(left, _)| *left == level) {
            self.left_out.push((level, why));
        }
    }

    /// Says that the copy was changed on purpose: such a drill is not to be read as one that found something.
    pub(super) fn spoilt(&mut self, how: String) {
        self.reasons.push(how);
    }

    fn phase(&mut self, phase: &str, seconds: f64) {
        self.phases.push(RtoPhase { phase: phase.to_owned(), seconds });
    }

    /// Whether and how the recovery came to an end; returns whether the copy can be read.
    pub(super) fn recovered(&mut self, recovery: &Recovery, backup: &Backup) -> bool {
        for (phase, seconds) in recovery_phases(recovery) {
            self.phase(phase, seconds);
        }
        self.base_bytes = backup.bytes;
        self.redo = redo(recovery);
        let Recovery { markers, last_words, .. } = recovery;
        let answers = markers.at(&Marker::Answers).or_else(|| markers.at(&Marker::Opened)).is_some();
        let why = markers.fatal().unwrap_or(last_words).to_owned();
        let detail = format!("answers queries after {} segments from the archive", markers.restored());
        self.level(Level::Starts, (answers, if answers { detail } else { why.clone() }));
        if recovery.stopped.is_none() {
            self.level(Level::RightPoint, (false, why));
        }
        recovery.stopped.is_some()
    }

    pub(super) fn first_query(&mut self, stopped: Timestamp, answered: Timestamp) {
        self.phase("first query", seconds_between(stopped, answered));
    }

    pub(super) fn sentinels(&mut self, journal: &Journal, found: &BTreeMap<i64, Uuid>) {
        let judged = journal.judge(found);
        let Rpo { acked, restored, lost } = judged.rpo;
        let detail = format!(
            "{restored} of {acked} acknowledged writes are there, {lost} lost; {} of {} from behind the point",
            judged.unexpected,
            journal.written_after()
        );
        self.level(Level::Sentinels, (lost == 0 && judged.unexpected == 0, detail));
        self.rpo = Some(judged.rpo);
    }

    pub(super) fn content(
        &mut self,
        source: &Fingerprint,
        (copy, took): (&Fingerprint, Duration),
        differing: Vec<String>,
        rows: Vec<DifferingRow>,
    ) {
        self.restored = copy.digest();
        self.rows_per_s = rate(copy.rows(), took);
        let ok = differing.is_empty() && source.digest() == self.restored;
        let detail = if ok {
            format!("{} rows in {} tables and leaves are equal, byte by byte", copy.rows(), copy.leaves())
        } else {
            format!("{} differ: {}{}", differing.len(), differing.join(", "), rows_text(&rows))
        };
        self.level(Level::Content, (ok, detail));
        (self.differing, self.rows) = (differing, rows);
    }

    pub(super) fn proven(&mut self, answered: Timestamp, proven: Timestamp) {
        self.phase(PROOF, seconds_between(answered, proven));
    }

    /// A drill that failed before there was anything to restore.
    pub(super) fn failed(mut self, why: String, source: &Fingerprint, journal: &Journal) -> RestoreDrill {
        self.reasons.push(why);
        self.conclude(source, journal)
    }

    /// The result. A level that was not reached is not proven; one that was left out is not listed.
    pub(super) fn conclude(self, source: &Fingerprint, journal: &Journal) -> RestoreDrill {
        let proof = self.proof();
        let left_out = self.left_out.into_iter();
        RestoreDrill {
            verdict: Verdict::from_ok(self.reasons.is_empty() && proof.iter().all(|level| level.ok)),
            reached: reached(&proof),
            reasons: self.reasons,
            proof,
            left_out: left_out.map(|(level, why)| LeftOut { level: level.name().to_owned(), why }).collect(),
            rto: rto(self.phases, self.base_bytes, self.redo),
            rpo: self.rpo.unwrap_or_else(|| journal.judge(&BTreeMap::new()).rpo),
            fingerprint: Fingerprints {
                source: source.digest(),
                restored: self.restored,
                rows_per_s: self.rows_per_s,
                differing: self.differing,
                rows: self.rows,
            },
            ..RestoreDrill::default()
        }
    }

    /// Each level: the worst that was seen of it.
    fn proof(&self) -> Vec<Proof> {
        let left_out = |level| self.left_out.iter().any(|(left, _)| *left == level);
        let seen = |level| self.levels.iter().filter(move |(seen, ..)| *seen == level);
        let listed =
            Level::ALL.into_iter().filter(|level| seen(*level).next().is_some() || !left_out(*level));
        listed
            .map(|level| {
                let worst = seen(level).min_by_key(|(_, ok, _)| *ok);
                let (ok, detail) = worst.map_or((false, "not reached"), |(_, ok, detail)| (*ok, detail));
                Proof { level: level.name().to_owned(), ok, detail: detail.to_owned() }
            })
            .collect()
    }
}

/// The highest level below which, and at which, everything holds.
fn reached(proof: &[Proof]) -> Option<String> {
    proof.iter().take_while(|proof| proof.ok).last().map(|proof| proof.level.clone())
}

/// A drill that could not decide, for the reason given.
pub(super) fn inconclusive(why: String) -> RestoreDrill {
    RestoreDrill {
        verdict: Verdict::Inconclusive,
        reasons: vec![why],
        ..Findings::default().conclude(&Fingerprint::default(), &Journal::default())
    }
}

/// The phase that comes after the copy is open.
const PROOF: &str = "proof";

fn rto(phases: Vec<RtoPhase>, base_bytes: Bytes, redo: Option<Redo>) -> Rto {
    let sum = |with_proof| {
        let counted = phases.iter().filter(|phase| with_proof || phase.phase != PROOF);
        // An empty sum is -0.0.
        counted.map(|phase| phase.seconds).sum::<f64>() + 0.0
    };
    Rto { total_s: sum(true), open_s: sum(false), phases, base_bytes, redo }
}

/// The phases that the log tells apart, as far as the recovery came. Fetching segments goes on between the records that are
/// redone; its time is taken out of each phase and stands for itself.
fn recovery_phases(recovery: &Recovery) -> Vec<(&'static str, f64)> {
    let Recovery { markers, fetches, copied, launched, .. } = recovery;
    let mut phases = vec![("base copy", copied.as_secs_f64())];
    let ends = [
        ("start", markers.redo().map(|(_, at)| at)),
        ("redo to consistency", markers.at(&Marker::Consistent)),
        ("redo to the restore point", markers.stopped().map(|(_, at)| at)),
        ("end of recovery", markers.at(&Marker::Opened)),
    ];
    let (mut from, mut fetched) = (*launched, 0.0);
    for (phase, end) in ends {
        let Some(end) = end else { break };
        let fetching = fetches.seconds_within(from, end);
        fetched += fetching;
        phases.push((phase, (seconds_between(from, end) - fetching).max(0.0)));
        from = end;
    }
    phases.insert(1, ("fetch of the log", fetched));
    phases
}

/// How much log was redone, and how fast.
fn redo(recovery: &Recovery) -> Option<Redo> {
    let (from, began) = recovery.markers.redo()?;
    let (_, ended) = recovery.stopped.as_ref()?;
    let seconds = (seconds_between(began, *ended) - recovery.fetches.seconds_within(began, *ended)).max(0.0);
    let bytes = Bytes(recovery.point.0.saturating_sub(from.0));
    Some(Redo { bytes, seconds, segments: recovery.markers.restored() as u64 })
}

/// Whole rows a second.
fn rate(rows: i64, took: Duration) -> u64 {
    let millis = took.as_millis().max(1);
    u64::try_from(u128::from(rows.unsigned_abs()) * 1000 / millis).unwrap_or(u64::MAX)
}

fn rows_text(rows: &[DifferingRow]) -> String {
    let line = |row: &DifferingRow| format!("\n{} {} is {}", row.relation, row.key, row.how.word());
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_was_not_reached_is_not_proven() {
        let mut findings = Findings::default();
        findings.level(Level::Manifest, (true, "whole".to_owned()));
        let drill = findings.conclude(&Fingerprint::default(), &Journal::default());
        assert_eq!(drill.verdict, Verdict::Fail);
        assert!(drill.proof[0].ok && drill.proof[1..].iter().all(|level| !level.ok));
    }

    #[test]
    fn all_levels_make_a_pass() {
        let mut findings = Findings::default();
        for level in Level::ALL {
            findings.level(level, (true, String::new()));
        }
        let drill = findings.conclude(&Fingerprint::default(), &Journal::default());
        assert_eq!((drill.verdict, drill.reasons.len()), (Verdict::Pass, 0));
    }

    #[test]
    fn one_failed_level_fails_the_drill_and_says_why() {
        let mut findings = Findings::default();
        for level in Level::ALL {
            findings.level(level, (level != Level::RightPoint, "x".to_owned()));
        }
        let drill = findings.conclude(&Fingerprint::default(), &Journal::default());
        assert_eq!((drill.verdict, drill.reasons), (Verdict::Fail, vec!["right-point: x".to_owned()]));
    }

    #[test]
    fn what_is_left_out_neither_proves_nor_disproves() {
        let mut findings = Findings::default();
        for level in Level::ALL.into_iter().filter(|level| *level != Level::Physical) {
            findings.level(level, (true, String::new()));
        }
        findings.leave_out(Level::Physical, "not asked for".to_owned());
        let drill = findings.conclude(&Fingerprint::default(), &Journal::default());
        assert_eq!((drill.verdict, drill.proof.len()), (Verdict::Pass, 8));
        assert_eq!((drill.reached.as_deref(), drill.left_out.len()), (Some("self-test"), 1));
    }

    #[test]
    fn a_level_seen_twice_counts_by_the_worse() {
        let mut findings = Findings::default();
        findings.level(Level::Physical, (false, "a bad page".to_owned()));
        findings.level(Level::Physical, (true, "checksums".to_owned()));
        let drill = findings.conclude(&Fingerprint::default(), &Journal::default());
        let physical = drill.proof.iter().find(|proof| proof.level == "physical").unwrap();
        assert_eq!((physical.ok, physical.detail.as_str()), (false, "a bad page"));
    }
}
