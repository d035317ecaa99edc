//! Audits: evidence from the catalog and the statistics views, one rule a file.
//!
//! The evidence is read once, in one snapshot; each rule judges it without asking again.

mod ddl;
mod evidence;
mod foreign_key;
mod foreign_key_without_index;
mod index;
mod invalid_index;
mod redundant_index;
mod stale_parent_statistics;
mod unused_index;

use serde::{Deserialize, Serialize};

use self::evidence::Evidence;
use crate::pg::{Session, Target};
use crate::run::Run;
use crate::verdict::{Interrupted, Verdict};

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

impl Audited {
    /// `Fail` when a finding is at least as severe as `fail_on`.
    #[must_use]
    pub fn verdict(&self, fail_on: Severity) -> Verdict {
        Verdict::from_ok(self.findings.iter().all(|finding| finding.severity < fail_on))
    }
}

impl Severity {
    /// The word used on screen and in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What can be audited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// An index whose work another does.
    RedundantIndex,
    /// An index that nothing uses.
    UnusedIndex,
    /// An index without effect.
    InvalidIndex,
    /// A foreign key that no index serves.
    ForeignKeyWithoutIndex,
    /// A partitioned table without statistics of its own.
    StaleParentStatistics,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 5] = [
        Self::InvalidIndex,
        Self::StaleParentStatistics,
        Self::RedundantIndex,
        Self::UnusedIndex,
        Self::ForeignKeyWithoutIndex,
    ];

    /// Its name on the command line, and the `id` of its findings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RedundantIndex => "redundant-index",
            Self::UnusedIndex => "unused-index",
            Self::InvalidIndex => "invalid-index",
            Self::ForeignKeyWithoutIndex => "foreign-key-without-index",
            Self::StaleParentStatistics => "stale-parent-statistics",
        }
    }

    fn judge(self, evidence: &Evidence) -> Vec<Finding> {
        match self {
            Self::RedundantIndex => redundant_index::judge(evidence),
            Self::UnusedIndex => unused_index::judge(evidence),
            Self::InvalidIndex => invalid_index::judge(evidence),
            Self::ForeignKeyWithoutIndex => foreign_key_without_index::judge(evidence),
            Self::StaleParentStatistics => stale_parent_statistics::judge(evidence),
        }
    }
}

/// Audits the database of `target` by the rules `only`, or by every rule where none is named. Reads and changes nothing.
///
/// # Errors
/// When the catalog cannot be read, or the run is interrupted.
pub async fn run(run: &Run, target: &Target, only: &[Rule]) -> anyhow::Result<Audited> {
    let session = Session::connect(target, "audit").await?;
    let evidence = tokio::select! {
        evidence = Evidence::read(&session) => evidence?,
        () = run.interrupt.cancelled() => {
            session.cancel().await?;
            return Err(Interrupted.into());
        }
    };
    session.close().await;
    let rules = if only.is_empty() { &Rule::ALL[..] } else { only };
    Ok(Audited { findings: judge(rules, &evidence) })
}

/// Every finding of `rules`, worst first, then by rule and object: pure.
fn judge(rules: &[Rule], evidence: &Evidence) -> Vec<Finding> {
    let mut findings: Vec<Finding> = rules.iter().flat_map(|rule| rule.judge(evidence)).collect();
    findings.sort_by(|a, b| (b.severity, &a.id, &a.object).cmp(&(a.severity, &b.id, &b.object)));
    findings.dedup();
    findings
}

#[cfg(test)]
mod tests {
    use super::index::tests::index;
    use super::*;

    #[test]
    fn the_worst_comes_first_and_decides() {
        let invalid = index::Index { is_valid: false, is_usable: false, ..index(3, "broken", &[2]) };
        let evidence = Evidence {
            indexes: vec![index(1, "a", &[1]), index(2, "ab", &[1, 2]), invalid],
            ..Evidence::default()
        };
        let audited = Audited { findings: judge(&Rule::ALL, &evidence) };
        let ids: Vec<&str> = audited.findings.iter().map(|finding| finding.id.as_str()).collect();
        assert_eq!(ids, ["invalid-index", "redundant-index", "unused-index", "unused-index"]);
        assert_eq!(audited.verdict(Severity::Error), Verdict::Fail);
        let mild = Audited { findings: audited.findings[1..].to_vec() };
        assert_eq!(
            (mild.verdict(Severity::Error), mild.verdict(Severity::Warning)),
            (Verdict::Pass, Verdict::Fail)
        );
        assert_eq!(judge(&[Rule::InvalidIndex, Rule::InvalidIndex], &evidence).len(), 1);
    }
}
