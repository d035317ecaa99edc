//! What a drill has seen so far, and the result it makes of it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::fingerprint::{DifferingRow, Fingerprint};
use super::markers::{Marker, Markers, seconds_between};
use super::recovery::Recovery;
use super::sentinel::Journal;
use super::{Fingerprints, Proof, RestoreDrill, Rpo, Rto, RtoPhase};
use crate::verdict::Verdict;

/// A level of proof; each says more than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Manifest,
    Starts,
    RightPoint,
    Sentinels,
    Content,
    SelfTest,
}

impl Level {
    const ALL: [Self; 6] =
        [Self::Manifest, Self::Starts, Self::RightPoint, Self::Sentinels, Self::Content, Self::SelfTest];

    fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Starts => "starts",
            Self::RightPoint => "right-point",
            Self::Sentinels => "sentinels",
            Self::Content => "content",
            Self::SelfTest => "self-test",
        }
    }
}

/// What was seen, in the order in which it was seen.
#[derive(Debug, Default)]
pub(super) struct Findings {
    levels: Vec<(Level, bool, String)>,
    reasons: Vec<String>,
    phases: Vec<RtoPhase>,
    rpo: Option<Rpo>,
    restored: String,
    differing: Vec<String>,
    rows: Vec<DifferingRow>,
}

impl Findings {
    pub(super) fn level(&mut self, level: Level, ok: bool, detail: String) {
        if !ok {
            self.reasons.push(format!("{}: {detail}", level.name()));
        }
        self.levels.push((level, ok, detail));
    }

    /// Says that the copy was changed on purpose: such a drill is not to be read as one that found something.
    pub(super) fn spoilt(&mut self, how: String) {
        self.reasons.push(how);
    }

    fn phase(&mut self, phase: &str, seconds: f64) {
        self.phases.push(RtoPhase { phase: phase.to_owned(), seconds });
    }

    /// Whether and how the recovery came to an end.
    pub(super) fn recovered(&mut self, recovery: &Recovery) {
        let Recovery { markers, last_words, copied, launched, .. } = recovery;
        for (phase, seconds) in recovery_phases(markers, *copied, *launched) {
            self.phase(phase, seconds);
        }
        let answers = markers.at(&Marker::Answers).is_some();
        let detail = format!("answers queries after {} segments from the archive", markers.restored());
        let why = markers.fatal().unwrap_or(last_words);
        self.level(Level::Starts, answers, if answers { detail } else { why.to_owned() });
        if answers && markers.stopped_at().is_none() {
            self.level(Level::RightPoint, false, why.to_owned());
        }
    }

    pub(super) fn first_query(&mut self, recovery: &Recovery, answered: Timestamp) {
        if let Some((_, stopped)) = recovery.markers.stopped_at() {
            self.phase("first query", seconds_between(stopped, answered));
        }
    }

    pub(super) fn sentinels(&mut self, journal: &Journal, found: &BTreeMap<i64, Uuid>) {
        let judged = journal.judge(found);
        let Rpo { acked, restored, lost } = judged.rpo;
        let detail = format!(
            "{restored} of {acked} acknowledged writes are there, {lost} lost; {} of {} from behind the point",
            judged.unexpected,
            journal.written_after()
        );
        self.level(Level::Sentinels, lost == 0 && judged.unexpected == 0, detail);
        self.rpo = Some(judged.rpo);
    }

    pub(super) fn content(
        &mut self,
        source: &Fingerprint,
        copy: &Fingerprint,
        differing: Vec<String>,
        rows: Vec<DifferingRow>,
    ) {
        self.restored = copy.digest();
        let ok = differing.is_empty() && source.digest() == self.restored;
        let detail = if ok {
            format!("{} rows in {} tables and leaves are equal, byte by byte", copy.rows(), copy.leaves())
        } else {
            format!("{} differ: {}{}", differing.len(), differing.join(", "), rows_text(&rows))
        };
        self.level(Level::Content, ok, detail);
        (self.differing, self.rows) = (differing, rows);
    }

    pub(super) fn proven(&mut self, answered: Timestamp, proven: Timestamp) {
        self.phase("proof", seconds_between(answered, proven));
    }

    /// A drill that failed before there was anything to restore.
    pub(super) fn failed(mut self, why: String, source: &Fingerprint, journal: &Journal) -> RestoreDrill {
        self.reasons.push(why);
        self.conclude(source, journal)
    }

    /// The result. A level that was not reached is not proven.
    pub(super) fn conclude(self, source: &Fingerprint, journal: &Journal) -> RestoreDrill {
        let seen = |level| self.levels.iter().find(|(seen, ..)| *seen == level);
        let proof: Vec<Proof> = Level::ALL
            .into_iter()
            .map(|level| {
                let (ok, detail) =
                    seen(level).map_or((false, "not reached"), |(_, ok, detail)| (*ok, detail));
                Proof { level: level.name().to_owned(), ok, detail: detail.to_owned() }
            })
            .collect();
        RestoreDrill {
            verdict: Verdict::from_ok(self.reasons.is_empty() && proof.iter().all(|level| level.ok)),
            reasons: self.reasons,
            proof,
            rto: rto(self.phases),
            rpo: self.rpo.unwrap_or_else(|| journal.judge(&BTreeMap::new()).rpo),
            fingerprint: Fingerprints {
                source: source.digest(),
                restored: self.restored,
                differing: self.differing,
                rows: self.rows,
            },
        }
    }
}

/// A drill that could not decide, for the reason given.
pub(super) fn inconclusive(why: String) -> RestoreDrill {
    RestoreDrill {
        verdict: Verdict::Inconclusive,
        reasons: vec![why],
        ..Findings::default().conclude(&Fingerprint::default(), &Journal::default())
    }
}

fn rto(phases: Vec<RtoPhase>) -> Rto {
    let total_s = phases.iter().map(|phase| phase.seconds).sum();
    Rto { phases, total_s }
}

/// The phases that the log tells apart, as far as the recovery came.
fn recovery_phases(markers: &Markers, copied: Duration, launched: Timestamp) -> Vec<(&'static str, f64)> {
    let mut phases = vec![("base copy", copied.as_secs_f64())];
    let ends = [
        ("start", markers.at(&Marker::Redo)),
        ("redo to consistency", markers.at(&Marker::Consistent)),
        ("redo to the restore point", markers.stopped_at().map(|(_, at)| at)),
    ];
    let mut from = launched;
    for (phase, end) in ends {
        let Some(end) = end else { break };
        phases.push((phase, seconds_between(from, end)));
        from = end;
    }
    phases
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
        findings.level(Level::Manifest, true, "whole".to_owned());
        let drill = findings.conclude(&Fingerprint::default(), &Journal::default());
        assert_eq!(drill.verdict, Verdict::Fail);
        assert!(drill.proof[0].ok && drill.proof[1..].iter().all(|level| !level.ok));
    }

    #[test]
    fn all_levels_make_a_pass() {
        let mut findings = Findings::default();
        for level in Level::ALL {
            findings.level(level, true, String::new());
        }
        let drill = findings.conclude(&Fingerprint::default(), &Journal::default());
        assert_eq!((drill.verdict, drill.reasons.len()), (Verdict::Pass, 0));
    }

    #[test]
    fn one_failed_level_fails_the_drill_and_says_why() {
        let mut findings = Findings::default();
        for level in Level::ALL {
            findings.level(level, level != Level::RightPoint, "x".to_owned());
        }
        let drill = findings.conclude(&Fingerprint::default(), &Journal::default());
        assert_eq!((drill.verdict, drill.reasons), (Verdict::Fail, vec!["right-point: x".to_owned()]));
    }

    #[test]
    fn phases_end_where_the_recovery_did() {
        let log = "2026-11-24 13:00:01.000 UTC [9] LOG:  redo starts at 0/2000028\n\
                   2026-11-24 13:00:03.000 UTC [9] FATAL:  recovery ended before configured recovery target was reached\n";
        let launched = "2026-11-24T13:00:00.5Z".parse().unwrap();
        let phases = recovery_phases(&Markers::read(log), Duration::from_secs(2), launched);
        assert_eq!(phases, [("base copy", 2.0), ("start", 0.5)]);
    }
}
