//! The plan tree of `EXPLAIN (FORMAT JSON)`, PostgreSQL 15 to 18: fields that are not needed are ignored, fields that a
//! version or a node does not have are zero or absent. Rows and loops are `f64`: PostgreSQL 18 prints fractions.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What EXPLAIN says of one statement.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Plan {
    /// The top node.
    #[serde(rename = "Plan")]
    pub root: Node,
    /// Settings that make plans and are not the built-in default (option `SETTINGS`).
    #[serde(rename = "Settings", default)]
    pub settings: BTreeMap<String, String>,
    /// Locks on tables and indexes that one execution took, where they were counted; EXPLAIN does not say.
    #[serde(skip)]
    pub locks: u32,
}

/// Why a document is no plan.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A field has another type or is missing; the path says which.
    #[error("EXPLAIN's JSON is not understood at {path}: {why}")]
    Field {
        /// Where in the document.
        path: String,
        /// What is wrong there.
        why: String,
    },
    /// EXPLAIN described no statement, or several (a rule rewrote it).
    #[error("EXPLAIN describes {0} statements where one was expected")]
    NotOne(usize),
}

impl Plan {
    /// Reads the document of one statement.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn from_json(document: serde_json::Value) -> Result<Self, TreeError> {
        let mut plans: Vec<Self> = serde_path_to_error::deserialize(document).map_err(|error| {
            TreeError::Field { path: error.path().to_string(), why: error.inner().to_string() }
        })?;
        match (plans.pop(), plans.len()) {
            (Some(plan), 0) => Ok(plan),
            (_, more) => Err(TreeError::NotOne(if more == 0 { 0 } else { more + 1 })),
        }
    }
}

/// One node of a plan.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Node {
    /// `Index Scan`, `Append`, …
    #[serde(rename = "Node Type")]
    pub kind: String,
    /// Its place below its parent: `Outer`, `Inner`, `Member`, `InitPlan`, `SubPlan`, `Subquery`.
    #[serde(rename = "Parent Relationship")]
    pub relationship: Option<String>,
    /// Name of the subplan it is the top of.
    #[serde(rename = "Subplan Name")]
    pub subplan: Option<String>,
    /// `Plain`, `Sorted`, `Hashed`, `Mixed`.
    #[serde(rename = "Strategy")]
    pub strategy: Option<String>,
    /// `Partial`, `Finalize`, `Simple`.
    #[serde(rename = "Partial Mode")]
    pub partial_mode: Option<String>,
    /// `Inner`, `Left`, `Semi`, …
    #[serde(rename = "Join Type")]
    pub join_type: Option<String>,
    /// `Insert`, `Update`, `Delete`, `Merge`.
    #[serde(rename = "Operation")]
    pub operation: Option<String>,
    /// Runs in several processes.
    #[serde(rename = "Parallel Aware")]
    pub parallel: bool,
    /// The table scanned or written: a leaf where the table is partitioned and it is a scan.
    #[serde(rename = "Relation Name")]
    pub relation: Option<String>,
    /// The table's schema (option `VERBOSE`).
    #[serde(rename = "Schema")]
    pub schema: Option<String>,
    /// The table's name in this plan.
    #[serde(rename = "Alias")]
    pub alias: Option<String>,
    /// The index scanned: a leaf's where the table is partitioned.
    #[serde(rename = "Index Name")]
    pub index: Option<String>,
    /// `Forward`, `Backward`, `NoMovement`.
    #[serde(rename = "Scan Direction")]
    pub direction: Option<String>,
    /// The indexes that `ON CONFLICT` asks, by the written table's names.
    #[serde(rename = "Conflict Arbiter Indexes")]
    pub arbiters: Vec<String>,
    /// Name of the common table expression read.
    #[serde(rename = "CTE Name")]
    pub cte: Option<String>,
    /// Name of the function scanned.
    #[serde(rename = "Function Name")]
    pub function: Option<String>,
    /// What the index is searched by.
    #[serde(rename = "Index Cond")]
    pub index_cond: Option<String>,
    /// What is checked again on pages of which the bitmap lost the rows.
    #[serde(rename = "Recheck Cond")]
    pub recheck_cond: Option<String>,
    /// What rows are sorted out by.
    #[serde(rename = "Filter")]
    pub filter: Option<String>,
    /// What a hash join joins by.
    #[serde(rename = "Hash Cond")]
    pub hash_cond: Option<String>,
    /// What a merge join joins by.
    #[serde(rename = "Merge Cond")]
    pub merge_cond: Option<String>,
    /// What joined rows are sorted out by.
    #[serde(rename = "Join Filter")]
    pub join_filter: Option<String>,
    /// What is checked once before anything runs.
    #[serde(rename = "One-Time Filter")]
    pub one_time_filter: Option<String>,
    /// What is sorted by.
    #[serde(rename = "Sort Key")]
    pub sort_key: Vec<String>,
    /// What is grouped by.
    #[serde(rename = "Group Key")]
    pub group_key: Vec<String>,
    /// Rows the planner expected from one loop.
    #[serde(rename = "Plan Rows")]
    pub plan_rows: f64,
    /// The planner's cost of all rows.
    #[serde(rename = "Total Cost")]
    pub total_cost: f64,
    /// Rows of one loop on average (option `ANALYZE`).
    #[serde(rename = "Actual Rows")]
    pub rows: Option<f64>,
    /// How often it ran, over all processes (option `ANALYZE`).
    #[serde(rename = "Actual Loops")]
    pub loops: Option<f64>,
    /// Rows that the filter sorted out of one loop on average.
    #[serde(rename = "Rows Removed by Filter")]
    pub removed_by_filter: f64,
    /// Rows that the second check sorted out of one loop on average.
    #[serde(rename = "Rows Removed by Index Recheck")]
    pub removed_by_recheck: f64,
    /// Rows that the join filter sorted out of one loop on average.
    #[serde(rename = "Rows Removed by Join Filter")]
    pub removed_by_join_filter: f64,
    /// Visits to the table in an index-only scan.
    #[serde(rename = "Heap Fetches")]
    pub heap_fetches: Option<f64>,
    /// Pages of which a bitmap kept each row.
    #[serde(rename = "Exact Heap Blocks")]
    pub exact_blocks: u64,
    /// Pages of which a bitmap lost the rows for want of memory.
    #[serde(rename = "Lossy Heap Blocks")]
    pub lossy_blocks: u64,
    /// Children pruned when the executor started.
    #[serde(rename = "Subplans Removed")]
    pub subplans_removed: u32,
    /// `quicksort`, `top-N heapsort`, `external merge`, …
    #[serde(rename = "Sort Method")]
    pub sort_method: Option<String>,
    /// `Memory` or `Disk`.
    #[serde(rename = "Sort Space Type")]
    pub sort_space: Option<String>,
    /// Memory or disk the sort used, in kB.
    #[serde(rename = "Sort Space Used")]
    pub sort_kb: u64,
    /// An incremental sort's groups that were sorted by the whole key.
    #[serde(rename = "Full-sort Groups")]
    pub full_sort: Option<SortGroups>,
    /// An incremental sort's groups that were sorted by the rest of the key.
    #[serde(rename = "Pre-sorted Groups")]
    pub presorted: Option<SortGroups>,
    /// Batches of a hash table; more than one were written to disk.
    #[serde(rename = "Hash Batches")]
    pub hash_batches: u64,
    /// Batches of a hash aggregate; more than one were written to disk.
    #[serde(rename = "HashAgg Batches")]
    pub aggregate_batches: u64,
    /// Disk a hash aggregate used, in kB.
    #[serde(rename = "Disk Usage")]
    pub aggregate_disk_kb: u64,
    /// Shared buffers found, children included.
    #[serde(rename = "Shared Hit Blocks")]
    pub shared_hit: u64,
    /// Shared buffers read, children included.
    #[serde(rename = "Shared Read Blocks")]
    pub shared_read: u64,
    /// Temporary blocks written, children included.
    #[serde(rename = "Temp Written Blocks")]
    pub temp_written: u64,
    /// Bytes of write-ahead log, children included (option `WAL`).
    #[serde(rename = "WAL Bytes")]
    pub wal_bytes: u64,
    /// Pages that were logged whole, children included.
    #[serde(rename = "WAL FPI")]
    pub wal_images: u64,
    /// What each parallel worker did.
    #[serde(rename = "Workers")]
    pub workers: Vec<Worker>,
    /// The nodes below, in the order of execution.
    #[serde(rename = "Plans")]
    pub children: Vec<Node>,
}

/// An incremental sort's groups of one kind.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct SortGroups {
    /// Present where a group did not fit in memory.
    #[serde(rename = "Sort Space Disk")]
    pub disk: Option<SortSpace>,
}

/// Space that sorted groups used.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct SortSpace {
    /// The largest group's, in kB.
    #[serde(rename = "Peak Sort Space Used")]
    pub peak_kb: u64,
}

/// One parallel worker's share of a node.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Worker {
    /// As [`Node::sort_space`].
    #[serde(rename = "Sort Space Type")]
    pub sort_space: Option<String>,
    /// As [`Node::sort_kb`].
    #[serde(rename = "Sort Space Used")]
    pub sort_kb: u64,
    /// As [`Node::full_sort`].
    #[serde(rename = "Full-sort Groups")]
    pub full_sort: Option<SortGroups>,
    /// As [`Node::presorted`].
    #[serde(rename = "Pre-sorted Groups")]
    pub presorted: Option<SortGroups>,
    /// As [`Node::aggregate_batches`].
    #[serde(rename = "HashAgg Batches")]
    pub aggregate_batches: u64,
    /// As [`Node::aggregate_disk_kb`].
    #[serde(rename = "Disk Usage")]
    pub aggregate_disk_kb: u64,
    /// As [`Node::lossy_blocks`]; apart from the node's since PostgreSQL 18.
    #[serde(rename = "Lossy Heap Blocks")]
    pub lossy_blocks: u64,
}

impl Node {
    /// Whether it ran; without `ANALYZE`, whether it is there.
    #[must_use]
    pub fn ran(&self) -> bool {
        self.loops.is_none_or(|loops| loops > 0.0)
    }

    /// Rows that scans read, here and below, those that a filter sorted out included.
    #[must_use]
    pub fn rows_read(&self) -> f64 {
        let scans = self.walk().into_iter().filter(|node| node.is_table_scan());
        let of = |node: &Self| {
            let each = node.rows.unwrap_or(0.0) + node.removed_by_filter + node.removed_by_recheck;
            each * node.loops.unwrap_or(0.0)
        };
        scans.map(of).sum()
    }

    /// Whether it reads a table: the leaf itself, where the table is partitioned.
    #[must_use]
    pub fn is_table_scan(&self) -> bool {
        self.relation.is_some() && self.kind.ends_with("Scan")
    }

    /// Shared buffers hit and read, children included. The two are told apart by the cache, their sum is not.
    #[must_use]
    pub fn buffers(&self) -> u64 {
        self.shared_hit + self.shared_read
    }

    /// Disk that sorting here used, in kB, the largest of all processes; `None` where it fitted in memory.
    #[must_use]
    pub fn sort_spill_kb(&self) -> Option<u64> {
        let own = spill_of(self.sort_space.as_deref(), self.sort_kb, [&self.full_sort, &self.presorted]);
        let theirs = self
            .workers
            .iter()
            .filter_map(|w| spill_of(w.sort_space.as_deref(), w.sort_kb, [&w.full_sort, &w.presorted]));
        own.into_iter().chain(theirs).max()
    }

    /// Batches of a hash table or a hash aggregate, the most of all processes; more than one were written to disk.
    #[must_use]
    pub fn batches(&self) -> u64 {
        let theirs = self.workers.iter().map(|w| w.aggregate_batches).max().unwrap_or_default();
        self.hash_batches.max(self.aggregate_batches).max(theirs)
    }

    /// Pages of which a bitmap lost the rows, in all processes.
    #[must_use]
    pub fn all_lossy_blocks(&self) -> u64 {
        self.lossy_blocks + self.workers.iter().map(|w| w.lossy_blocks).sum::<u64>()
    }

    /// This node and all below, parents first.
    #[must_use]
    pub fn walk(&self) -> Vec<&Self> {
        let mut nodes = vec![self];
        let mut next = 0;
        while let Some(node) = nodes.get(next) {
            let children = &node.children;
            next += 1;
            nodes.splice(next..next, children);
        }
        nodes
    }

    /// Its conditions in the order in which EXPLAIN prints them, each with its name.
    pub fn conditions(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("Index Cond", &self.index_cond),
            ("Recheck Cond", &self.recheck_cond),
            ("Hash Cond", &self.hash_cond),
            ("Merge Cond", &self.merge_cond),
            ("Join Filter", &self.join_filter),
            ("Filter", &self.filter),
            ("One-Time Filter", &self.one_time_filter),
        ]
        .into_iter()
        .filter_map(|(name, condition)| Some((name, condition.as_deref()?)))
    }
}

fn spill_of(space: Option<&str>, kb: u64, groups: [&Option<SortGroups>; 2]) -> Option<u64> {
    let whole = (space == Some("Disk")).then_some(kb);
    let grouped = groups.into_iter().flatten().filter_map(|g| g.disk.as_ref()).map(|disk| disk.peak_kb);
    whole.into_iter().chain(grouped).max()
}

#[cfg(test)]
mod tests {
    use super::super::golden;
    use super::*;

    #[test]
    fn every_version_says_the_same() {
        for (version, plans) in golden::all() {
            let removed =
                |name: &str| plans[name].root.walk().iter().map(|n| n.subplans_removed).sum::<u32>();
            let scanned =
                |name: &str| plans[name].root.walk().iter().filter(|n| n.is_table_scan() && n.ran()).count();
            assert_eq!((removed("custom"), scanned("custom")), (0, 1), "{version}");
            assert_eq!((removed("generic"), scanned("generic")), (3, 1), "{version}");
            assert_eq!((removed("generic_array"), scanned("generic_array")), (0, 4), "{version}");
            assert_eq!((removed("run_time_pruning"), scanned("run_time_pruning")), (0, 1), "{version}");
            assert_eq!(scanned("upsert"), 0, "{version}: writing is not scanning");
            assert_eq!(plans["custom"].settings["plan_cache_mode"], "force_custom_plan", "{version}");
            assert!(plans["custom"].root.buffers() > 0, "{version}");
        }
    }

    #[test]
    fn spills_are_read_in_every_version() {
        for (version, plans) in golden::all() {
            let walk = |name: &str| plans[name].root.walk();
            let sorts = |name: &str| walk(name).iter().any(|n| n.sort_spill_kb().is_some());
            assert!(sorts("sort_spill") && sorts("parallel") && !sorts("incremental_sort"), "{version}");
            let batches = |name: &str| walk(name).iter().map(|n| n.batches()).max().unwrap();
            assert!(batches("hash_spill") > 1 && batches("aggregate_spill") > 1, "{version}");
            assert!(walk("lossy_bitmap").iter().any(|n| n.all_lossy_blocks() > 0), "{version}");
        }
    }

    #[test]
    fn workers_count() {
        let node: Node = serde_json::from_value(serde_json::json!({
            "Node Type": "Sort", "Sort Space Type": "Memory", "Sort Space Used": 25,
            "Workers": [{"Sort Space Type": "Disk", "Sort Space Used": 900, "HashAgg Batches": 5, "Lossy Heap Blocks": 2},
                {"Full-sort Groups": {"Sort Space Disk": {"Peak Sort Space Used": 1000}}}]
        }))
        .unwrap();
        assert_eq!((node.sort_spill_kb(), node.batches(), node.all_lossy_blocks()), (Some(1000), 5, 2));
    }

    #[test]
    fn what_is_no_plan_is_named() {
        let error =
            Plan::from_json(serde_json::json!([{"Plan": {"Node Type": "Sort", "Actual Rows": "many"}}]));
        assert!(error.unwrap_err().to_string().contains("[0].Plan.Actual Rows"));
        assert!(matches!(Plan::from_json(serde_json::json!([])), Err(TreeError::NotOne(0))));
    }
}
