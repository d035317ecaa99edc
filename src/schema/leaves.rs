//! Which leaves a partitioned table is to have, judged by what the live ones take together.

use super::model::{Leaf, Table};
use crate::partition::bound::{self, HashBound};

/// Names and bounds of the leaves that `live` lacks.
pub(super) fn absent(plan: &Table, live: &Table) -> Vec<(String, String)> {
    let hashes: Vec<HashBound> =
        live.leaves.iter().filter_map(|leaf| HashBound::parse(&leaf.bound)).collect();
    if hashes.is_empty() {
        let is_absent = |leaf: &&Leaf| !live.leaves.iter().any(|one| one.bound == leaf.bound);
        return plan
            .leaves
            .iter()
            .filter(is_absent)
            .map(|leaf| (leaf.name.clone(), leaf.bound.clone()))
            .collect();
    }
    bound::gaps(&hashes).into_iter().map(|gap| (gap.leaf_name(&plan.name), gap.to_string())).collect()
}

/// Qualified name of the leaf of `table` with this bound; `None` for a bound of which the plan knows no kind.
pub(super) fn proper_name(table: &Table, bound: &str) -> Option<String> {
    let name = match HashBound::parse(bound) {
        Some(hash) => hash.leaf_name(&table.name),
        None if bound == "DEFAULT" => format!("{}_default", table.name),
        None => bound::month_leaf_name(&table.name, bound)?,
    };
    Some(format!("{}.{name}", table.schema))
}
