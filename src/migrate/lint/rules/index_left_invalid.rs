//! **index-left-invalid**: an index of a partitioned table alone (`ON ONLY`) without a part for each of its leaves by the
//! end of the run. It stays invalid: queries read the other leaves without it, a unique one keeps nothing unique, and nothing
//! says so. Where a `DO` block follows, which may attach parts, nothing is said.
//! See [partition maintenance](https://www.postgresql.org/docs/current/ddl-partitioning.html#DDL-PARTITIONING-DECLARATIVE-MAINTENANCE).

use super::{Check, Rule};
use crate::migrate::lint::catalog::{Catalog, Index, Origin};
use crate::migrate::lint::ddl::Said;
use crate::migrate::lint::finding::Finding;
use crate::migrate::lint::reading::Reading;
use crate::migrate::script::Name;

pub(super) const NAME: &str = "index-left-invalid";
pub(super) const RULE: Rule = Rule {
    name: NAME,
    summary: "an index ON ONLY a partitioned table lacks leaves' parts at the end",
    check: Check::Run(check),
};

const HELP: &str = "attach an index of every leaf (ALTER INDEX … ATTACH PARTITION), or write one \
                    `-- omtdb: online` CREATE INDEX instead of all of them";

fn check(readings: &[Reading<'_>], catalog: &Catalog) -> Vec<Finding> {
    catalog.indexes().filter_map(|(name, index)| judge(readings, catalog, name, index)).collect()
}

fn judge(readings: &[Reading<'_>], catalog: &Catalog, name: &Name, index: &Index) -> Option<Finding> {
    let Origin { file, span } = index.made.as_ref().filter(|_| index.only)?;
    if readings[*file..].iter().any(|reading| reading.said.iter().any(Said::is_block)) {
        return None;
    }
    let leaves: Vec<&Name> = catalog.partitions(&index.table).map(|(leaf, _)| leaf).collect();
    let parts = index.parts.len();
    // A part of nobody's known table may be of any leaf.
    if parts >= leaves.len() {
        return None;
    }
    let missing = leaves.iter().find(|leaf| !index.parts.contains(**leaf))?;
    let message = format!(
        "{name} stays invalid: {parts} of the {} partitions of {} have their part of it, and {missing} has not",
        leaves.len(),
        index.table
    );
    Some(readings.get(*file)?.error(NAME, span.clone(), message, HELP))
}

#[cfg(test)]
mod tests {
    use super::super::examples::{DIVIDED, found};
    use super::NAME;

    #[test]
    fn a_missing_part_is_shown() {
        let sql = "CREATE INDEX i ON ONLY t.notes (written);\nCREATE INDEX i0 ON t.notes_m2_r0 (written);\n\
                   ALTER INDEX t.i ATTACH PARTITION t.i0;";
        insta::assert_snapshot!(found(NAME, &format!("{DIVIDED}{sql}")), @r"
        error[index-left-invalid]: t.i stays invalid: 1 of the 2 partitions of t.notes have their part of it, and t.notes_m2_r1 has not
         --> V40__example.sql:4:1
          |
        4 | CREATE INDEX i ON ONLY t.notes (written);
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: attach an index of every leaf (ALTER INDEX … ATTACH PARTITION), or write one `-- omtdb: online` CREATE INDEX instead of all of them
        ");
    }

    #[test]
    fn all_parts_are_fine() {
        let sql = "CREATE INDEX i ON ONLY t.notes (written);\n\
                   CREATE INDEX i0 ON t.notes_m2_r0 (written);\nCREATE INDEX i1 ON t.notes_m2_r1 (written);\n\
                   ALTER INDEX t.i ATTACH PARTITION t.i0;\nALTER INDEX t.i ATTACH PARTITION t.i1;";
        insta::assert_snapshot!(found(NAME, &format!("{DIVIDED}{sql}")), @"");
    }
}
