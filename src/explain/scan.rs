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
    let scan = |node: &'a Node| {
        let (schema, relation) = (node.schema.as_deref()?, node.relation.as_deref()?);
        node.is_table_scan().then(|| Scan { node, table: catalog.get(schema, relation) })
    };
    plan.root.walk().into_iter().filter_map(scan).collect()
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

/// The leaves of `table` (qualified) with a scan that ran.
#[must_use]
pub fn scanned_leaves<'a>(scans: &[Scan<'a>], table: &str) -> BTreeSet<&'a str> {
    scans
        .iter()
        .filter(|scan| scan.node.ran() && scan.table.is_some_and(|t| t.root() == table))
        .filter_map(|scan| scan.node.relation.as_deref())
        .collect()
}
