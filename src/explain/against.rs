//! Plans against those that were kept: pure.

use serde::{Deserialize, Serialize};
use similar::{ChangeTag, TextDiff};

use super::{Explained, OpPlan};

/// A plan that is another than the one that was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanChange {
    /// The scenario's name.
    pub scenario: String,
    /// The operation's name.
    pub op: String,
    /// `custom`, `generic` or `auto`.
    pub mode: String,
    /// The two plans line by line, without leaves and costs: what both have, what went (`-`) and what came (`+`).
    pub diff: String,
}

/// The plans of `now` that are others than in `kept`. An operation that only one of the two has is no change.
#[must_use]
pub fn changes(kept: &Explained, now: &Explained) -> Vec<PlanChange> {
    let key = |op: &OpPlan| (op.scenario.clone(), op.op.clone(), op.mode.clone());
    let pairs = now.ops.iter().filter_map(|op| Some((kept.ops.iter().find(|old| key(old) == key(op))?, op)));
    pairs.filter(|(old, op)| old.fingerprint != op.fingerprint).map(|(old, op)| change(old, op)).collect()
}

fn change(old: &OpPlan, now: &OpPlan) -> PlanChange {
    let diff = TextDiff::from_lines(&old.outline, &now.outline);
    let lines = diff.iter_all_changes().map(|change| {
        let sign = match change.tag() {
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
            ChangeTag::Equal => ' ',
        };
        format!("{sign} {}", change.value().trim_end())
    });
    PlanChange {
        scenario: now.scenario.clone(),
        op: now.op.clone(),
        mode: now.mode.clone(),
        diff: lines.collect::<Vec<_>>().join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::op_plan;
    use super::*;

    #[test]
    fn what_went_and_what_came_is_told_line_by_line() {
        let plan = |outline: &str| OpPlan {
            outline: outline.to_owned(),
            fingerprint: outline.to_owned(),
            ..op_plan()
        };
        let explained = |ops: Vec<OpPlan>| Explained { ops, changes: Vec::new() };
        let old = explained(vec![plan("Limit\n  Index Scan t by_a")]);
        assert_eq!(changes(&old, &old), []);
        let [change] = &changes(&old, &explained(vec![plan("Limit\n  Seq Scan t")]))[..] else { panic!() };
        assert_eq!(change.diff, "  Limit\n-   Index Scan t by_a\n+   Seq Scan t");
        let other = OpPlan { op: "other".to_owned(), ..plan("x") };
        assert_eq!(changes(&old, &explained(vec![other])), []);
    }
}
