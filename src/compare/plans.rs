//! Plans of two checkouts over the same data, without a clock: pure.

use super::Change;
use crate::explain::{Explained, OpPlan};
use crate::verdict::Verdict;

/// Figures of the same data may differ by this much: pages of an index are filled a little differently by each build.
const TOLERANCE: f64 = 0.02;
/// And by this many.
const FEW: f64 = 2.0;

/// Every figure that is worse in `candidate` than in `base`.
pub(super) fn changes(base: &Explained, candidate: &Explained) -> Vec<Change> {
    pairs(base, candidate).flat_map(|(base, candidate)| worse(base, candidate)).collect()
}

/// The plans that both have, by scenario, operation and mode.
fn pairs<'a>(
    base: &'a Explained,
    candidate: &'a Explained,
) -> impl Iterator<Item = (&'a OpPlan, &'a OpPlan)> {
    candidate.ops.iter().filter_map(|ours| {
        let is_same = |theirs: &&OpPlan| {
            (&theirs.scenario, &theirs.op, &theirs.mode) == (&ours.scenario, &ours.op, &ours.mode)
        };
        Some((base.ops.iter().find(is_same)?, ours))
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts of blocks and rows")]
fn worse(base: &OpPlan, candidate: &OpPlan) -> Vec<Change> {
    let why = differing(base, candidate);
    let mut found = Vec::new();
    let mut figure = |metric: &str, before: f64, after: f64, tolerated: f64| {
        if after > before + tolerated {
            let percent = (before > 0.0).then(|| 100.0 * (after / before - 1.0));
            found.push(change(candidate, metric, (before.to_string(), after.to_string()), percent, &why));
        }
    };
    let about = |before: f64| (before * TOLERANCE).max(FEW);
    figure("leaves", f64::from(base.scanned_leaves), f64::from(candidate.scanned_leaves), 0.0);
    figure("buffers", base.buffers as f64, candidate.buffers as f64, about(base.buffers as f64));
    figure("rows_read", base.rows_read, candidate.rows_read, about(base.rows_read));
    figure("temp_blocks", base.temp_blocks as f64, candidate.temp_blocks as f64, 0.0);
    if let (Some(before), Some(after)) = (base.wal_bytes, candidate.wal_bytes) {
        // A record more or less is alignment.
        figure("wal_bytes", before as f64, after as f64, (before as f64 * TOLERANCE).max(64.0));
    }
    let lost: Vec<&str> =
        base.indexes.iter().filter(|name| !candidate.indexes.contains(name)).map(String::as_str).collect();
    // Another index may be a better one: only together with more work is a lost one a loss.
    if !lost.is_empty() && !found.is_empty() {
        let names = (base.indexes.join(", "), candidate.indexes.join(", "));
        found.push(change(candidate, "indexes", names, None, &why));
    }
    found
}

fn change(
    plan: &OpPlan,
    metric: &str,
    (base, candidate): (String, String),
    change_percent: Option<f64>,
    why: &[String],
) -> Change {
    Change {
        scenario: plan.scenario.clone(),
        op: plan.op.clone(),
        metric: metric.to_owned(),
        mode: Some(plan.mode.clone()),
        base,
        candidate,
        change_percent,
        low: None,
        high: None,
        detectable_percent: None,
        pairs: None,
        verdict: Verdict::Fail,
        why: why.to_vec(),
    }
}

/// Whatever differs between the plans of operation `op`, its statements included, each said once.
pub(super) fn differences(scenario: &str, op: &str, base: &Explained, candidate: &Explained) -> Vec<String> {
    let mut found: Vec<String> = pairs(base, candidate)
        .filter(|(_, plan)| plan.scenario == scenario && plan.op.split('#').next() == Some(op))
        .flat_map(|(base, candidate)| differing(base, candidate))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// What differs between two plans of one statement: the definitions of the indexes they use, and their shapes.
fn differing(base: &OpPlan, candidate: &OpPlan) -> Vec<String> {
    let mut found = Vec::new();
    for definition in base.index_definitions.iter().filter(|it| !candidate.index_definitions.contains(it)) {
        found.push(format!("the baseline uses {definition}"));
    }
    for definition in candidate.index_definitions.iter().filter(|it| !base.index_definitions.contains(it)) {
        found.push(format!("this checkout uses {definition}"));
    }
    if base.fingerprint != candidate.fingerprint {
        found.push(format!("the baseline's {} plan:\n{}", base.mode, base.plan));
        found.push(format!("this checkout's {} plan:\n{}", candidate.mode, candidate.plan));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> OpPlan {
        OpPlan {
            scenario: "s".to_owned(),
            op: "list".to_owned(),
            mode: "generic".to_owned(),
            verdict: Verdict::Pass,
            scanned_leaves: 1,
            indexes: vec!["by_status".to_owned()],
            buffers: 100,
            rows_read: 50.0,
            temp_blocks: 0,
            wal_bytes: None,
            index_definitions: vec!["CREATE INDEX by_status ON t (a, b)".to_owned()],
            violations: Vec::new(),
            fingerprint: "x".to_owned(),
            plan: "Index Scan".to_owned(),
            outline: String::new(),
            pruned: None,
            row_error: None,
            locks: 1,
        }
    }

    fn found(candidate: OpPlan) -> Vec<Change> {
        let explained = |plan| Explained { ops: vec![plan], changes: Vec::new() };
        changes(&explained(plan()), &explained(candidate))
    }

    #[test]
    fn the_same_and_better_are_no_change() {
        assert_eq!(found(plan()), []);
        assert_eq!(found(OpPlan { buffers: 102, ..plan() }), []);
        assert_eq!(found(OpPlan { buffers: 10, indexes: vec!["other".to_owned()], ..plan() }), []);
        assert_eq!(found(OpPlan { op: "other".to_owned(), buffers: 900, ..plan() }), []);
    }

    #[test]
    fn each_loss_is_named_with_what_differs() {
        let index_definitions = vec!["CREATE INDEX by_status ON t (a)".to_owned()];
        let worse = found(OpPlan { buffers: 150, index_definitions, ..plan() });
        let [buffers] = &worse[..] else { panic!("{worse:?}") };
        assert_eq!((buffers.metric.as_str(), buffers.change_percent), ("buffers", Some(50.0)));
        assert_eq!(
            buffers.why,
            [
                "the baseline uses CREATE INDEX by_status ON t (a, b)",
                "this checkout uses CREATE INDEX by_status ON t (a)"
            ]
        );
        let seq = found(OpPlan { scanned_leaves: 16, buffers: 900, indexes: Vec::new(), ..plan() });
        assert_eq!(
            seq.iter().map(|c| c.metric.as_str()).collect::<Vec<_>>(),
            ["leaves", "buffers", "indexes"]
        );
    }

    #[test]
    fn log_counts_where_both_sides_tell_it() {
        let base = Explained { ops: vec![OpPlan { wal_bytes: Some(1_000), ..plan() }], changes: Vec::new() };
        let with = |wal_bytes| {
            let ops = vec![OpPlan { wal_bytes, ..plan() }];
            changes(&base, &Explained { ops, changes: Vec::new() }).len()
        };
        assert_eq!((with(None), with(Some(1_050)), with(Some(1_200))), (0, 0, 1));
    }
}
