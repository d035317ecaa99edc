//! A plan against the contract of its operation: pure.
//!
//! What counts, precisely. A leaf is *scanned* when a scan of it ran (`Actual Loops` above 0), so pruning counts whenever
//! it happens: when the statement is planned, when the executor starts, or while a nested loop runs. An index is *used*
//! when the plan searches it, whether that node ran or not, or when `ON CONFLICT` asks it. A *sequential scan* is any
//! `Seq Scan` that ran on a table outside the system's schemas, however small the table. A *spill* is a sort, a hash table
//! or a hash aggregate of any process that wrote to disk. *Buffers* are those of the plan's execution, hit and read; what
//! planning reads, and what foreign keys' triggers read after the plan has run, is not in them.

mod limits;

use super::Mode;
use super::catalog::{Catalog, Relation};
use super::scan::{IndexUse, Scan, indexes, scanned_leaves, scans};
use super::text::title;
use super::tree::{Node, Plan};
use crate::scenario::{Forbidden, PlanContract};

/// Every promise of `contract` that `plan`, made in `mode`, does not keep: what is wrong, the part of the plan, and what
/// would mend it.
#[must_use]
pub fn violations(plan: &Plan, contract: &PlanContract, catalog: &Catalog, mode: Mode) -> Vec<String> {
    let scans = scans(plan, catalog);
    let used = indexes(plan, catalog);
    let mut found = Vec::new();
    for (table, &most) in &contract.max_scanned {
        found.extend(too_many_leaves(plan, &scans, table, most, catalog, mode));
    }
    for index in &contract.uses_index {
        found.extend(missing_index(index, &used, &scans, catalog));
    }
    for &forbidden in &contract.forbid {
        found.extend(occurrences(forbidden, plan, &scans));
    }
    found.extend(limits::exceeded(plan, contract, mode));
    found
}

fn violation(what: &str, part: &str, mend: &str) -> String {
    format!("{what}\n  plan: {part}\n  help: {mend}")
}

/// A node with its conditions, as a violation quotes it.
fn quote(node: &Node) -> String {
    let conditions: Vec<String> =
        node.conditions().map(|(name, condition)| format!("{name}: {condition}")).collect();
    if conditions.is_empty() { title(node) } else { format!("{} [{}]", title(node), conditions.join("; ")) }
}

/// The same of a heap scan, whose bitmap index scans say what is searched.
fn quote_below(node: &Node) -> String {
    node.walk().into_iter().map(quote).collect::<Vec<_>>().join(" <- ")
}

fn too_many_leaves(
    plan: &Plan,
    scans: &[Scan<'_>],
    table: &str,
    most: u32,
    catalog: &Catalog,
    mode: Mode,
) -> Option<String> {
    if !catalog.has_table(table) {
        return Some(violation(
            &format!("the contract names {table}, which is not in the database"),
            &title(&plan.root),
            "apply the migrations, or correct the table's name in the scenario",
        ));
    }
    let leaves = scanned_leaves(scans, table);
    if u32::try_from(leaves.len()).is_ok_and(|n| n <= most) {
        return None;
    }
    let first = scans.iter().find(|scan| scan.node.relation.as_deref() == leaves.first().copied())?;
    Some(violation(
        &format!("{table}: {} of {} leaves scanned, {most} allowed", leaves.len(), catalog.leaves(table)),
        &quote_below(first.node),
        &why_not_pruned(plan, first.node, catalog.partition_key(table), mode),
    ))
}

/// Why the leaves around `scan` were not pruned, and what would prune them.
fn why_not_pruned(plan: &Plan, scan: &Node, key: &[String], mode: Mode) -> String {
    let keys = key.join(", ");
    let on_key: Vec<&str> = scan
        .walk()
        .into_iter()
        .flat_map(Node::conditions)
        .map(|(_, condition)| condition)
        .filter(|condition| key.iter().any(|column| mentions(condition, column)))
        .collect();
    let joined = plan.root.walk().into_iter().flat_map(Node::conditions).any(|(name, condition)| {
        matches!(name, "Hash Cond" | "Merge Cond" | "Join Filter")
            && key.iter().any(|column| mentions(condition, column))
    });
    if on_key.is_empty() && joined {
        format!(
            "{keys} is constrained only by a join that reads every leaf first: compare {keys} with a value, or see to it that a nested loop looks up one {keys} at a time"
        )
    } else if on_key.is_empty() {
        format!(
            "the query does not constrain {keys}, by which the rows are spread over the leaves: add {keys} = $n"
        )
    } else if on_key.iter().any(|condition| condition.contains("ANY (")) && mode != Mode::Custom {
        format!(
            "an array parameter does not prune in a generic plan: join unnest($n) with the table, so that a nested loop prunes for each {keys}, or plan with the values (plan_cache_mode = force_custom_plan)"
        )
    } else if on_key.iter().any(|condition| condition.contains("ANY (")) {
        format!(
            "the array names values of {keys} in that many leaves: pass fewer values, or allow as many leaves as values"
        )
    } else {
        format!(
            "{keys} is compared in a way that does not prune: compare the bare column, by =, with a value of its own type"
        )
    }
}

/// Whether `condition` reads the column `name`, of whatever table.
fn mentions(condition: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    condition.match_indices(name).any(|(at, _)| {
        !condition[..at].ends_with(is_part) && !condition[at + name.len()..].starts_with(is_part)
    })
}

fn missing_index(name: &str, used: &[IndexUse<'_>], scans: &[Scan<'_>], catalog: &Catalog) -> Option<String> {
    if used.iter().any(|index| index.name == name) {
        return None;
    }
    let known = catalog.index(name);
    let part = instead(known, used, scans);
    Some(match known {
        None => violation(
            &format!("index {name} does not exist"),
            &part,
            "make it again (`omtdb migrate verify` says which objects are missing), or correct its name in the scenario",
        ),
        Some(index) if !index.valid => violation(
            &format!("index {name} is invalid, so PostgreSQL does not use it"),
            &part,
            "`omtdb audit --only invalid-index` says how to mend it",
        ),
        Some(index) => violation(
            &format!("index {name} is not used"),
            &part,
            &format!(
                "the query's conditions must match {}; if they do, run ANALYZE, or name the index that the planner prefers in the scenario",
                index.definition
            ),
        ),
    })
}

/// What the planner did where `index` was expected: the indexes it used, else the scans of its table, else of any.
fn instead(index: Option<&Relation>, used: &[IndexUse<'_>], scans: &[Scan<'_>]) -> String {
    let on = |scan: &&Scan<'_>| {
        let table = scan.table.map(Relation::root);
        index.is_none_or(|index| table.is_some_and(|table| index.definition.contains(&format!(" {table} "))))
    };
    let mut parts: Vec<String> = scans.iter().filter(on).map(|scan| quote_below(scan.node)).collect();
    if parts.is_empty() {
        parts = scans.iter().map(|scan| quote_below(scan.node)).collect();
    }
    let names: std::collections::BTreeSet<&str> = used.iter().map(|index| index.name).collect();
    let more = parts.len().saturating_sub(1);
    let first = parts.into_iter().next().unwrap_or_else(|| "no table is scanned".to_owned());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    if names.is_empty() {
        format!("no index is used; {first}{more}")
    } else {
        format!("the planner used {}; {first}{more}", names.into_iter().collect::<Vec<_>>().join(", "))
    }
}

fn occurrences(forbidden: Forbidden, plan: &Plan, scans: &[Scan<'_>]) -> Vec<String> {
    let nodes = plan.root.walk().into_iter();
    match forbidden {
        Forbidden::SeqScan => seq_scans(scans),
        Forbidden::SortSpill => {
            nodes.filter_map(|node| Some(sort_spill(node, node.sort_spill_kb()?))).collect()
        }
        Forbidden::HashSpill => nodes.filter(|node| node.batches() > 1).map(hash_spill).collect(),
        Forbidden::LossyBitmap => {
            nodes.filter(|node| node.all_lossy_blocks() > 0).map(lossy_bitmap).collect()
        }
        Forbidden::NestedLoopOver(most) => nodes.filter_map(|node| nested_loop(node, most)).collect(),
    }
}

/// One violation a table: its leaves are scanned alike.
fn seq_scans(scans: &[Scan<'_>]) -> Vec<String> {
    let mut tables: std::collections::BTreeMap<String, Vec<&Node>> = std::collections::BTreeMap::new();
    for scan in scans.iter().filter(|scan| scan.node.kind == "Seq Scan" && scan.node.ran()) {
        if let Some(table) = scan.table {
            tables.entry(table.root()).or_default().push(scan.node);
        }
    }
    let of_table = |(table, nodes): (String, Vec<&Node>)| {
        let leaves = if nodes.len() == 1 { String::new() } else { format!(" ({} scans)", nodes.len()) };
        violation(
            &format!("seq_scan: {table} is read from end to end{leaves}"),
            &nodes.first().map(|node| quote(node)).unwrap_or_default(),
            "give the filter an index that serves it, or select by an indexed column; a table of few rows needs a contract without seq_scan",
        )
    };
    tables.into_iter().map(of_table).collect()
}

fn sort_spill(node: &Node, kb: u64) -> String {
    violation(
        &format!("sort_spill: a sort wrote {kb} kB to disk"),
        &format!("{} [Sort Key: {}]", title(node), node.sort_key.join(", ")),
        "let an index deliver the order, sort fewer rows (LIMIT, a narrower WHERE), or raise work_mem for this query",
    )
}

fn hash_spill(node: &Node) -> String {
    violation(
        &format!("hash_spill: {} batches, all but one of them on disk", node.batches()),
        &quote(node),
        "hash fewer rows, bring the planner's row estimates right (ANALYZE), or raise work_mem for this query",
    )
}

fn lossy_bitmap(node: &Node) -> String {
    violation(
        &format!("lossy_bitmap: the bitmap kept {} pages without their rows", node.all_lossy_blocks()),
        &quote_below(node),
        "select fewer rows, or raise work_mem for this query: every row of such a page is checked again",
    )
}

fn nested_loop(node: &Node, most: u64) -> Option<String> {
    let inner = node.children.iter().find(|child| child.relationship.as_deref() == Some("Inner"))?;
    let loops = inner.loops?;
    #[expect(clippy::cast_precision_loss, reason = "bounds people write are far below 2^53")]
    let over = node.kind == "Nested Loop" && loops > most as f64;
    over.then(|| {
        violation(
            &format!("nested_loop_over: the inner side ran {loops} times, {most} allowed"),
            &format!("{} <- {}", quote(node), quote_below(inner)),
            "bring the outer side's row estimate right (ANALYZE), or give the join an order or an index that needs fewer lookups",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::golden;
    use super::super::tests::catalog;
    use super::*;

    /// The violations of the golden plan `name` in every version must be one, and say each of `parts`.
    #[track_caller]
    fn fails(name: &str, mode: Mode, contract: &PlanContract, parts: &[&str]) {
        for (version, plans) in golden::all() {
            let found = violations(&plans[name], contract, &catalog(), mode);
            let [one] = found.as_slice() else { panic!("{version} {name}: {found:#?}") };
            for part in parts {
                assert!(one.contains(part), "{version} {name}: {part:?} is missing in\n{one}");
            }
        }
    }

    #[track_caller]
    fn holds(name: &str, contract: &PlanContract) {
        for (version, plans) in golden::all() {
            let found = violations(&plans[name], contract, &catalog(), Mode::Generic);
            assert!(found.is_empty(), "{version} {name}: {found:#?}");
        }
    }

    fn scans_at_most(most: u32) -> PlanContract {
        let max_scanned = [("interaction.user_media".to_owned(), most)].into();
        PlanContract { max_scanned, ..PlanContract::default() }
    }

    fn forbids(forbidden: Forbidden) -> PlanContract {
        PlanContract { forbid: vec![forbidden], ..PlanContract::default() }
    }

    fn uses(index: &str) -> PlanContract {
        PlanContract { uses_index: vec![index.to_owned()], ..PlanContract::default() }
    }

    #[test]
    fn pruning_in_any_phase_counts() {
        for name in ["custom", "custom_array", "generic", "run_time_pruning", "update", "upsert"] {
            holds(name, &scans_at_most(1));
        }
    }

    #[test]
    fn unpruned_leaves_are_explained() {
        let one = scans_at_most(1);
        fails(
            "generic_array",
            Mode::Generic,
            &one,
            &["4 of 4 leaves scanned, 1 allowed", "unnest($n)", "ANY ($1)"],
        );
        fails(
            "no_key",
            Mode::Custom,
            &one,
            &["the query does not constrain user_id", "'dropped'", "add user_id = $n"],
        );
        holds("no_key", &scans_at_most(4));
        let unknown = PlanContract { max_scanned: [("interaction.user_medias".to_owned(), 1)].into(), ..one };
        fails("custom", Mode::Custom, &unknown, &["interaction.user_medias, which is not in the database"]);
    }

    #[test]
    fn indexes_go_by_the_partitioned_name() {
        for name in ["custom", "generic", "run_time_pruning"] {
            holds(name, &uses("idx_user_media_user_status"));
        }
        holds("upsert", &uses("user_media_pkey"));
        let other = uses("idx_user_media_media_id");
        fails(
            "custom",
            Mode::Custom,
            &other,
            &["is not used", "the planner used idx_user_media_user_status", "(media_id)"],
        );
        fails("custom", Mode::Custom, &uses("idx_gone"), &["idx_gone does not exist", "migrate verify"]);
    }

    #[test]
    fn what_is_forbidden_is_quoted() {
        fails(
            "sort_spill",
            Mode::Custom,
            &forbids(Forbidden::SeqScan),
            &["interaction.user_media", "(4 scans)"],
        );
        fails(
            "sort_spill",
            Mode::Custom,
            &forbids(Forbidden::SortSpill),
            &["kB to disk", "notes", "work_mem"],
        );
        fails("hash_spill", Mode::Custom, &forbids(Forbidden::HashSpill), &["batches"]);
        fails("aggregate_spill", Mode::Custom, &forbids(Forbidden::HashSpill), &["Hashed Aggregate"]);
        fails(
            "lossy_bitmap",
            Mode::Custom,
            &forbids(Forbidden::LossyBitmap),
            &["idx_media_id", "1555 pages"],
        );
        fails(
            "run_time_pruning",
            Mode::Custom,
            &forbids(Forbidden::NestedLoopOver(1)),
            &["ran 2 times, 1 allowed"],
        );
        holds("run_time_pruning", &forbids(Forbidden::NestedLoopOver(2)));
        for forbidden in
            [Forbidden::SeqScan, Forbidden::SortSpill, Forbidden::HashSpill, Forbidden::LossyBitmap]
        {
            holds("generic", &forbids(forbidden));
        }
    }

    #[test]
    fn buffers_are_counted() {
        fails(
            "no_key",
            Mode::Custom,
            &PlanContract { max_buffers: Some(3), ..PlanContract::default() },
            &["shared buffers hit or read, 3 allowed"],
        );
        holds("custom", &PlanContract { max_buffers: Some(1000), ..PlanContract::default() });
    }

    #[test]
    fn a_column_is_a_word() {
        assert!(mentions("(um_1.user_id = $1)", "user_id") && mentions("user_id", "user_id"));
        assert!(!mentions("(old_user_id = $1)", "user_id") && !mentions("(user_id2 = 1)", "user_id"));
    }
}
