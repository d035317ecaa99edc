//! Figures of a plan that a contract bounds.

use super::{quote, violation};
use crate::explain::Mode;
use crate::explain::estimates::worst_estimate;
use crate::explain::text::title;
use crate::explain::tree::Plan;
use crate::scenario::PlanContract;

/// What is more than allowed.
pub(super) fn exceeded(plan: &Plan, contract: &PlanContract, mode: Mode) -> impl Iterator<Item = String> {
    let found = [
        too_many_buffers(plan, contract.max_buffers),
        misjudged(plan, contract.max_row_error),
        too_many_locks(plan, contract.max_locks, mode),
    ];
    found.into_iter().flatten()
}

fn too_many_buffers(plan: &Plan, most: Option<u64>) -> Option<String> {
    let (most, found) = (most?, plan.root.buffers());
    let heaviest =
        plan.root.walk().into_iter().filter(|node| node.children.is_empty()).max_by_key(|n| n.buffers());
    (found > most).then(|| {
        violation(
            &format!("max_buffers: {found} shared buffers hit or read, {most} allowed"),
            &heaviest.map(|n| format!("{} read {} of them", quote(n), n.buffers())).unwrap_or_default(),
            "read fewer rows: a narrower index condition, a smaller LIMIT, an index that covers the query; VACUUM where rows are dead",
        )
    })
}

/// Plans are chosen by expected rows: where they are far off, the next plan is chance.
fn misjudged(plan: &Plan, most: Option<u64>) -> Option<String> {
    let (error, node) = worst_estimate(plan)?;
    #[expect(clippy::cast_precision_loss, reason = "factors people write")]
    let most = most? as f64;
    (error > most).then(|| {
        violation(
            &format!("max_row_error: rows misjudged by a factor of {error:.0}, {most:.0} allowed"),
            &format!("{} expected {} rows, found {}", quote(node), node.plan_rows, node.rows.unwrap_or_default()),
            "ANALYZE; a higher statistics target for the column, or CREATE STATISTICS for columns that depend on each other",
        )
    })
}

fn too_many_locks(plan: &Plan, most: Option<u32>, mode: Mode) -> Option<String> {
    let (most, found) = (most?, plan.locks);
    let help = match mode {
        Mode::Custom => {
            "name the partition key in the query, so that leaves are pruned before they are locked; drop indexes that nobody uses"
        }
        Mode::Generic | Mode::Auto => {
            "a generic plan locks all leaves before it prunes them: plan with the values (plan_cache_mode = force_custom_plan)"
        }
    };
    (found > most).then(|| {
        violation(&format!("max_locks: {found} locks taken, {most} allowed"), &title(&plan.root), help)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::golden;

    #[test]
    fn misjudged_rows_and_locks_are_told() {
        for (version, mut plans) in golden::all() {
            let mut plan = plans.remove("sort_spill").unwrap();
            (plan.root.children[0].plan_rows, plan.locks) = (1e9, 80);
            let strict =
                PlanContract { max_row_error: Some(100), max_locks: Some(16), ..PlanContract::default() };
            let found: Vec<String> = exceeded(&plan, &strict, Mode::Generic).collect();
            assert!(
                found.iter().any(|one| one.contains("max_locks: 80 locks taken, 16 allowed")),
                "{version}: {found:?}"
            );
            assert!(found.iter().any(|one| one.contains("force_custom_plan")), "{version}: {found:?}");
            let lax = PlanContract { max_row_error: Some(10_000_000_000), max_locks: Some(80), ..strict };
            assert_eq!(exceeded(&plan, &lax, Mode::Generic).count(), 0, "{version}");
            plan.root.plan_rows = 1e12;
        }
    }
}
