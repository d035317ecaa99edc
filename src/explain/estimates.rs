//! What a plan says beside its contract: how leaves were pruned, and how far the planner's row counts were off.

use super::catalog::Catalog;
use super::scan::{scanned_leaves, scans};
use super::tree::{Node, Plan};

/// When the leaves of the table `qualified` that were not scanned were left out; `None` where the plan does not read it, or
/// reads all of them.
#[must_use]
pub fn pruned(plan: &Plan, catalog: &Catalog, qualified: &str) -> Option<&'static str> {
    let scans = scans(plan, catalog);
    let present: Vec<_> =
        scans.iter().filter(|scan| scan.table.is_some_and(|table| table.root() == qualified)).collect();
    let leaves = catalog.leaves(qualified);
    if present.is_empty() || scanned_leaves(&scans, qualified).len() >= leaves {
        return None;
    }
    let removed = plan.root.walk().iter().any(|node| node.subplans_removed > 0);
    Some(if present.iter().any(|scan| !scan.node.ran()) {
        "run time"
    } else if removed {
        "executor start"
    } else {
        "plan time"
    })
}

/// The scan or join whose rows the planner misjudged most, and by which factor: the greater of expected and found over the
/// other, both at least 1 (the q-error of Moerkotte, Neumann and Steidl, VLDB 2009). What a `Limit` ends early is left out, and
/// what never ran.
#[must_use]
pub fn worst_estimate(plan: &Plan) -> Option<(f64, &Node)> {
    let mut found = Vec::new();
    collect(&plan.root, &mut found);
    found.into_iter().max_by(|a, b| a.0.total_cmp(&b.0))
}

fn collect<'a>(node: &'a Node, found: &mut Vec<(f64, &'a Node)>) {
    // A semi-join asks its inner side for the first row alone.
    let ends_early = |child: &Node| {
        matches!(node.join_type.as_deref(), Some("Semi" | "Anti"))
            && child.relationship.as_deref() == Some("Inner")
    };
    if node.kind == "Limit" {
        return;
    }
    let is_counted = node.is_table_scan() || node.kind.ends_with("Join") || node.kind == "Nested Loop";
    if let (true, Some(rows), true) = (is_counted, node.rows, node.loops.is_some_and(|loops| loops > 0.0)) {
        let (expected, rows) = (node.plan_rows.max(1.0), rows.max(1.0));
        found.push(((expected / rows).max(rows / expected), node));
    }
    for child in node.children.iter().filter(|child| !ends_early(child)) {
        collect(child, found);
    }
}

#[cfg(test)]
mod tests {
    use super::super::golden;
    use super::super::tests::catalog;
    use super::*;

    #[test]
    fn each_phase_of_pruning_has_its_signature() {
        for (version, plans) in golden::all() {
            let phase = |name: &str| pruned(&plans[name], &catalog(), "interaction.user_media");
            assert_eq!(phase("custom"), Some("plan time"), "{version}");
            assert_eq!(phase("generic"), Some("executor start"), "{version}");
            assert_eq!(phase("run_time_pruning"), Some("run time"), "{version}");
            assert_eq!(phase("generic_array"), None, "{version}: nothing was pruned");
        }
    }

    #[test]
    fn misjudged_rows_are_found_where_they_count() {
        let node = |kind: &str, expected: f64, rows: f64, children: Vec<Node>| Node {
            kind: kind.to_owned(),
            relation: Some("t".to_owned()),
            plan_rows: expected,
            rows: Some(rows),
            loops: Some(1.0),
            children,
            ..Node::default()
        };
        let join = node("Hash Join", 10.0, 10.0, vec![node("Seq Scan", 2.0, 500.0, Vec::new())]);
        let plan = |root| Plan { root, settings: Default::default(), locks: 0 };
        assert_eq!(worst_estimate(&plan(join.clone())).unwrap().0, 250.0);
        let limited = Node { kind: "Limit".to_owned(), children: vec![join], ..Node::default() };
        assert!(worst_estimate(&plan(limited)).is_none());
        assert_eq!(worst_estimate(&plan(node("Seq Scan", 40.0, 0.0, Vec::new()))).unwrap().0, 40.0);
    }
}
