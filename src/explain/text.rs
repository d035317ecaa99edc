//! Plans as people read them: indented, with what the executor counted.

use super::tree::{Node, Plan};

/// `plan` as indented text, two lines and more a node.
#[must_use]
pub fn text(plan: &Plan) -> String {
    let mut lines = Vec::new();
    write(&plan.root, 0, &mut lines);
    if !plan.settings.is_empty() {
        let settings: Vec<String> =
            plan.settings.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        lines.push(format!("Settings: {}", settings.join(", ")));
    }
    lines.join("\n")
}

fn write(node: &Node, depth: usize, lines: &mut Vec<String>) {
    let margin = "  ".repeat(depth);
    if let Some(subplan) = &node.subplan {
        lines.push(format!("{margin}{subplan}:"));
    }
    lines.push(format!("{margin}{}  {}", title(node), counts(node)));
    lines.extend(details(node).into_iter().map(|detail| format!("{margin}    {detail}")));
    for child in &node.children {
        write(child, depth + 1, lines);
    }
}

/// The node with what it works on: `Index Scan using i on s.t a`.
#[must_use]
pub fn title(node: &Node) -> String {
    let mut words = Vec::new();
    if node.parallel {
        words.push("Parallel".to_owned());
    }
    words.extend(node.strategy.as_deref().filter(|s| *s == "Hashed" || *s == "Mixed").map(str::to_owned));
    words.extend(node.join_type.as_deref().filter(|join| *join != "Inner").map(str::to_owned));
    words.extend(node.operation.clone());
    words.push(node.kind.clone());
    if let Some(index) = &node.index {
        let word = if node.relation.is_some() { "using" } else { "on" };
        words.push(format!("{word} {index}"));
    }
    if let Some(relation) = &node.relation {
        let schema = node.schema.as_ref().map(|schema| format!("{schema}.")).unwrap_or_default();
        words.push(format!("on {schema}{relation}"));
        words.extend(node.alias.clone().filter(|alias| alias != relation));
    } else if let Some(source) = node.cte.as_ref().or(node.function.as_ref()) {
        words.push(format!("on {source}"));
    }
    words.join(" ")
}

fn counts(node: &Node) -> String {
    match (node.rows, node.loops) {
        (_, Some(0.0)) => "(never executed)".to_owned(),
        (Some(rows), Some(loops)) => {
            format!("(rows={rows} expected={} loops={loops} buffers={})", node.plan_rows, node.buffers())
        }
        _ => format!("(expected={} cost={:.2})", node.plan_rows, node.total_cost),
    }
}

fn details(node: &Node) -> Vec<String> {
    let mut lines: Vec<String> =
        node.conditions().map(|(name, condition)| format!("{name}: {condition}")).collect();
    let mut count = |name: &str, n: f64| {
        if n > 0.0 {
            lines.push(format!("{name}: {n}"));
        }
    };
    count("Rows Removed by Filter", node.removed_by_filter);
    count("Rows Removed by Index Recheck", node.removed_by_recheck);
    count("Rows Removed by Join Filter", node.removed_by_join_filter);
    count("Heap Fetches", node.heap_fetches.unwrap_or_default());
    count("Subplans Removed", f64::from(node.subplans_removed));
    for (name, key) in [("Sort Key", &node.sort_key), ("Group Key", &node.group_key)] {
        if !key.is_empty() {
            lines.push(format!("{name}: {}", key.join(", ")));
        }
    }
    if let (Some(method), Some(space)) = (&node.sort_method, &node.sort_space) {
        lines.push(format!("Sort Method: {method}, {space} {} kB", node.sort_kb));
    }
    if node.batches() > 1 {
        lines.push(format!("Batches: {}", node.batches()));
    }
    if !node.arbiters.is_empty() {
        lines.push(format!("Conflict Arbiter Indexes: {}", node.arbiters.join(", ")));
    }
    if node.exact_blocks + node.all_lossy_blocks() > 0 {
        lines.push(format!("Heap Blocks: exact={} lossy={}", node.exact_blocks, node.all_lossy_blocks()));
    }
    if node.temp_written > 0 {
        lines.push(format!("Temp Blocks Written: {}", node.temp_written));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::golden;
    use super::*;

    #[test]
    fn reads_like_a_plan() {
        for (version, plans) in golden::all() {
            let generic = text(&plans["generic"]);
            for part in
                ["Limit", "Append", "Subplans Removed: 3", "(user_media_1.user_id = $1)", "Sort Key: "]
            {
                assert!(generic.contains(part), "{version}: {part} is missing in\n{generic}");
            }
            assert!(text(&plans["run_time_pruning"]).contains("(never executed)"), "{version}");
            assert!(text(&plans["hash_spill"]).contains("Batches: "), "{version}");
            assert!(
                text(&plans["upsert"]).contains("Insert ModifyTable on interaction.user_media"),
                "{version}"
            );
        }
    }
}
