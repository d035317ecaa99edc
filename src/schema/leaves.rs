//! Which leaves a partitioned table is to have, judged by what the live ones take together.

use std::collections::BTreeSet;

use super::model::{Leaf, Schema, Table};
use crate::partition::bound::{self, HashBound};
use crate::partition::cover::{Fault, faults};
use crate::partition::month::Month;

/// Whether the leaves of `table` are told apart by a hash.
pub(super) fn is_by_hash(table: &Table) -> bool {
    table.partition_key.as_deref().is_some_and(|key| key.starts_with("HASH "))
}

/// What keeps the leaves of the hash-partitioned `table` from taking every hash exactly once; empty for any other table.
/// Tables among `all` that would fill a gap are added to `detached`.
pub(super) fn uncovered(table: &Table, all: &Schema, detached: &mut BTreeSet<String>) -> Vec<String> {
    if !is_by_hash(table) {
        return Vec::new();
    }
    let leaving = table.leaves.iter().filter(|leaf| leaf.detaching);
    let mut found: Vec<String> =
        leaving.map(|leaf| format!("detaching of {} is pending", leaf.name)).collect();
    for fault in faults(&hashes(table)) {
        let mut said = fault.to_string();
        if let Some(filler) = filler(fault, table, all) {
            said = format!("{said}, {} is a table of its own", filler.name);
            detached.insert(filler.qualified());
        }
        found.push(said);
    }
    found
}

/// Bounds of the leaves whose rows queries see.
fn hashes(table: &Table) -> Vec<HashBound> {
    let leaves = table.leaves.iter().filter(|leaf| !leaf.detaching);
    leaves.filter_map(|leaf| HashBound::parse(&leaf.bound)).collect()
}

/// The table that is named as the leaf for a gap would be.
fn filler<'a>(fault: Fault, table: &Table, all: &'a Schema) -> Option<&'a Table> {
    let Fault::Gap(gap) = fault else { return None };
    all.table(&table.schema, &gap.leaf_name(&table.name))
}

/// Names and bounds of the leaves that `live` lacks, which is not partitioned by hash. Months before its oldest are none:
/// they go when their time is over.
pub(super) fn absent(plan: &Table, live: &Table) -> Vec<(String, String)> {
    if is_by_hash(plan) {
        return Vec::new();
    }
    let oldest = live.leaves.iter().filter_map(|leaf| Month::of_bound(&leaf.bound)).min();
    let is_over = |leaf: &Leaf| {
        Month::of_bound(&leaf.bound).is_some_and(|month| oldest.is_some_and(|oldest| month < oldest))
    };
    let is_absent = |leaf: &&Leaf| !is_over(leaf) && !live.leaves.iter().any(|one| one.bound == leaf.bound);
    plan.leaves.iter().filter(is_absent).map(|leaf| (leaf.name.clone(), leaf.bound.clone())).collect()
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
