//! What a plan reads, in the names that people use: leaves by their partitioned table, their indexes by its index.

use std::collections::BTreeSet;

use super::catalog::{Catalog, Relation};
use super::tree::{Node, Plan};

/// A scan of a table.
#[derive(Debug, Clone, Copy)]
pub struct Scan<'a> {
    /// The node.
    pub node: &'a Node,
    /// The table; `None` for one outside the catalog (a system table).
    pub table: Option<&'a Relation>,
    /// Whether a nested loop asks it for each of its rows.
    looped: bool,
}

impl Scan<'_> {
    /// Whether it was only planned, below a nested loop that compares the partition key with something of its rows: the executor
    /// will ask one leaf at a time.
    fn is_pruned_when_it_runs(&self) -> bool {
        let is_keyed = |table: &Relation| {
            let conditions = || self.node.walk().into_iter().flat_map(Node::conditions);
            table
                .partition_key
                .iter()
                .all(|key| conditions().any(|(_, text)| is_equal_to_a_column(text, key)))
        };
        self.looped
            && self.node.loops.is_none()
            && self.table.is_some_and(|table| !table.partition_key.is_empty() && is_keyed(table))
    }
}

/// Whether `condition` has `<alias>.<key> = <other alias>.<column>`.
fn is_equal_to_a_column(condition: &str, key: &str) -> bool {
    let compared = format!(".{key} = ");
    let after = condition.split(&compared).skip(1);
    let mut sides = after.map(|rest| rest.split([')', ' ']).next().unwrap_or(rest));
    sides.any(|side| {
        side.contains('.') && side.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '"')
    })
}

/// An index in a plan, whether it ran or not: the planner's choice does not depend on the rows of the other side.
#[derive(Debug, Clone, Copy)]
pub struct IndexUse<'a> {
    /// The node that searches it.
    pub node: &'a Node,
    /// Its name as contracts have it: a leaf's index by the partitioned one.
    pub name: &'a str,
}

/// The scans of tables in `plan`, in its order.
#[must_use]
pub fn scans<'a>(plan: &'a Plan, catalog: &'a Catalog) -> Vec<Scan<'a>> {
    let mut found = Vec::new();
    collect_scans(&plan.root, false, catalog, &mut found);
    found
}

fn collect_scans<'a>(node: &'a Node, looped: bool, catalog: &'a Catalog, found: &mut Vec<Scan<'a>>) {
    if let (Some(schema), Some(relation), true) = (&node.schema, &node.relation, node.is_table_scan()) {
        found.push(Scan { node, table: catalog.get(schema, relation), looped });
    }
    for child in &node.children {
        let is_inner = node.kind == "Nested Loop" && child.relationship.as_deref() == Some("Inner");
        collect_scans(child, looped || is_inner, catalog, found);
    }
}

/// The indexes in `plan`, those included that `ON CONFLICT` asks.
#[must_use]
pub fn indexes<'a>(plan: &'a Plan, catalog: &'a Catalog) -> Vec<IndexUse<'a>> {
    let mut found = Vec::new();
    collect_indexes(&plan.root, None, catalog, &mut found);
    found
}

/// An index lives in its table's schema, which a bitmap index scan does not name: the heap scan above it does.
fn collect_indexes<'a>(
    node: &'a Node,
    above: Option<&'a str>,
    catalog: &'a Catalog,
    found: &mut Vec<IndexUse<'a>>,
) {
    let schema = node.schema.as_deref().or(above);
    for name in node.index.iter().chain(&node.arbiters) {
        found.push(IndexUse { node, name: index_name(schema, name, catalog) });
    }
    for child in &node.children {
        collect_indexes(child, schema, catalog, found);
    }
}

/// The name contracts have for the index `name` of a table in `schema`.
#[must_use]
pub fn index_name<'a>(schema: Option<&str>, name: &'a str, catalog: &'a Catalog) -> &'a str {
    schema.and_then(|schema| catalog.get(schema, name)).map_or(name, |index| index.root_name.as_str())
}

/// The leaves of `table` (qualified) with a scan that ran; in a plan that was not executed, those that are left in it, and one
/// of those that are pruned for each row of a nested loop.
#[must_use]
pub fn scanned_leaves<'a>(scans: &[Scan<'a>], table: &str) -> BTreeSet<&'a str> {
    let of_table =
        scans.iter().filter(|scan| scan.node.ran() && scan.table.is_some_and(|t| t.root() == table));
    let (looped, others): (Vec<&Scan<'a>>, Vec<&Scan<'a>>) =
        of_table.partition(|scan| scan.is_pruned_when_it_runs());
    let counted = others.into_iter().chain(looped.into_iter().take(1));
    counted.filter_map(|scan| scan.node.relation.as_deref()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::golden;
    use super::super::tests::catalog;
    use super::*;

    fn forget_the_execution(node: &mut Node) {
        (node.rows, node.loops) = (None, None);
        node.children.iter_mut().for_each(forget_the_execution);
    }

    #[test]
    fn a_plan_that_was_not_executed_prunes_when_it_would_run() {
        for (version, mut plans) in golden::all() {
            let mut leaves = |name: &str| {
                forget_the_execution(&mut plans.get_mut(name).unwrap().root);
                scanned_leaves(&scans(&plans[name], &catalog()), "interaction.user_media").len()
            };
            assert_eq!((leaves("run_time_pruning"), leaves("generic_array")), (1, 4), "{version}");
        }
    }

    #[test]
    fn a_key_is_looked_up_by_a_column() {
        assert!(is_equal_to_a_column("((um_1.user_id = u.id) AND (um_1.status = 'x'::text))", "user_id"));
        assert!(!is_equal_to_a_column("(um_1.user_id = $1)", "user_id"));
        assert!(!is_equal_to_a_column("(um_1.user_id = '6b.7'::uuid)", "user_id"));
    }
}
