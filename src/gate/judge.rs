//! From what an engine found to what the stage concludes: pure.

use crate::audit::{Audited, Severity};
use crate::compare::{Compared, Windows};
use crate::datagen::{self, Generated};
use crate::drill::RestoreDrill;
use crate::explain::Explained;
use crate::load::Bench;
use crate::migrate::lint::{self, Finding, Linted};
use crate::migrate::{Applied, Verified};
use crate::schema::Drift;
use crate::units::Rows;
use crate::verdict::Verdict;

/// What a stage concludes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Conclusion {
    pub(super) verdict: Verdict,
    pub(super) summary: String,
    pub(super) reasons: Vec<String>,
}

/// A pass without reasons, a failure with them.
fn conclude(summary: String, reasons: Vec<String>) -> Conclusion {
    Conclusion { verdict: Verdict::from_ok(reasons.is_empty()), summary, reasons }
}

pub(super) fn migrated(applied: &Applied, linted: &Linted) -> Conclusion {
    let summary = match (applied.applied.len(), applied.current) {
        (0, Some(version)) => format!("nothing to do, at version {version}"),
        (n, Some(version)) => format!("{n} applied, now at version {version}"),
        (_, None) => "no migrations".to_owned(),
    };
    let errors = linted.findings.iter().filter(|finding| finding.severity == lint::Severity::Error);
    conclude(summary, errors.map(unsafe_statement).collect())
}

fn unsafe_statement(finding: &Finding) -> String {
    let Finding { file, line, rule, message, help, .. } = finding;
    format!("{file}:{line}: {message} ({rule}); {help}")
}

pub(super) fn verified(verified: &Verified) -> Conclusion {
    let reasons: Vec<String> = verified.drift.iter().map(difference).collect();
    let summary = match reasons.len() {
        0 => "the schema is the plan's".to_owned(),
        n => format!("{n} differences from the plan's schema"),
    };
    conclude(summary, reasons)
}

fn difference(drift: &Drift) -> String {
    let side = |text: &Option<String>| text.clone().unwrap_or_else(|| "nothing".to_owned());
    format!(
        "{} ({}): the plan says {}, the database has {}",
        drift.object,
        drift.kind,
        side(&drift.expected),
        side(&drift.found)
    )
}

pub(super) fn generated(generated: &Generated, checks: &datagen::Verified) -> Conclusion {
    let rows: u64 = generated.tables.iter().map(|table| table.rows).sum();
    let summary = format!(
        "{rows} rows in {} tables at {:.0} rows/s, {}",
        generated.tables.len(),
        generated.rows_per_s,
        count_checks(checks)
    );
    conclude(summary, failed_checks(checks))
}

pub(super) fn kept(seed: u64, user_media: Rows, checks: &datagen::Verified) -> Conclusion {
    let summary = format!(
        "kept what is loaded (seed {seed}, {user_media} rows of user_media), {}",
        count_checks(checks)
    );
    conclude(summary, failed_checks(checks))
}

fn count_checks(checks: &datagen::Verified) -> String {
    format!("{} of {} checks hold", checks.checks.iter().filter(|c| c.ok).count(), checks.checks.len())
}

fn failed_checks(checks: &datagen::Verified) -> Vec<String> {
    let failed = checks.checks.iter().filter(|check| !check.ok);
    failed.map(|c| format!("{}: expected {}, found {}", c.name, c.expected, c.found)).collect()
}

pub(super) fn explained(explained: &Explained) -> Conclusion {
    let reasons: Vec<String> = explained
        .ops
        .iter()
        .flat_map(|op| {
            op.violations.iter().map(move |v| format!("{}/{} ({}): {v}", op.scenario, op.op, op.mode))
        })
        .collect();
    let good = explained.ops.iter().filter(|op| op.verdict == Verdict::Pass).count();
    conclude(format!("{good} of {} plans keep their contract", explained.ops.len()), reasons)
}

/// What became worse fails; what could not be decided is told with the smallest change that would have been seen.
pub(super) fn compared(compared: &Compared) -> Conclusion {
    let not_passed =
        compared.changes.iter().filter(|change| change.decides() && change.verdict != Verdict::Pass);
    let reasons: Vec<String> = not_passed.map(ToString::to_string).collect();
    let pairs: usize = compared.windows.iter().map(Windows::pairs).sum();
    let timed = compared.changes.iter().filter(|change| change.pairs.is_some());
    let least = timed.filter_map(|change| change.detectable_percent).reduce(f64::max);
    let least =
        least.map_or_else(String::new, |least| format!(", slowdowns of {least:.0}% would have been seen"));
    let summary = format!(
        "{pairs} pairs of windows{least}; {} operations without a counterpart",
        compared.unpaired.len()
    );
    Conclusion { verdict: compared.verdict(), summary, reasons }
}

/// An invalid measurement is inconclusive whatever it measured; a missed objective in a valid one is a failure.
pub(super) fn measured(bench: &Bench) -> Conclusion {
    let count: u64 = bench.scenarios.iter().flat_map(|s| &s.ops).map(|op| op.count).sum();
    let invalid = bench.scenarios.iter().filter(|scenario| !scenario.valid);
    let doubts = invalid.flat_map(|s| s.invalid_because.iter().map(move |why| format!("{}: {why}", s.name)));
    let reasons: Vec<String> = bench.violations.iter().cloned().chain(doubts).collect();
    Conclusion {
        verdict: Verdict::worst(bench.scenarios.iter().map(|scenario| scenario.verdict)),
        summary: format!("{count} operations in {} scenarios", bench.scenarios.len()),
        reasons,
    }
}

/// Findings that are broken now fail the gate; the others are for people to weigh.
pub(super) fn audited(audited: &Audited) -> Conclusion {
    let broken = audited.findings.iter().filter(|finding| finding.severity == Severity::Error);
    let reasons: Vec<String> =
        broken.map(|finding| format!("{} {}: {}", finding.id, finding.object, finding.evidence)).collect();
    let summary = format!("{} findings, {} of them errors", audited.findings.len(), reasons.len());
    conclude(summary, reasons)
}

pub(super) fn drilled(drill: &RestoreDrill) -> Conclusion {
    let held: Vec<&str> =
        drill.proof.iter().filter(|proof| proof.ok).map(|proof| proof.level.as_str()).collect();
    let summary = format!(
        "restored in {:.1} s, {} of {} acknowledged writes; proven: {}",
        drill.rto.total_s,
        drill.rpo.restored,
        drill.rpo.acked,
        held.join(", ")
    );
    Conclusion { verdict: drill.verdict, summary, reasons: drill.reasons.clone() }
}
