//! A partitioned table whose own statistics are missing or old: autovacuum analyses leaves and never the table above them,
//! and the planner needs both.

use tokio_postgres::Row;

use super::evidence::Evidence;
use super::{Finding, Rule, Severity};
use crate::pg::ident::qualified;

/// The statistics of a partitioned table beside those of its leaves.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ParentStatistics {
    pub(super) schema: String,
    pub(super) name: String,
    /// -1 where never analysed.
    pub(super) parent_rows: f64,
    /// Sum over the leaves that were analysed.
    pub(super) leaf_rows: f64,
    /// Leaves with rows that were never analysed.
    pub(super) unknown_leaves: i64,
    /// Leaves with rows.
    pub(super) filled_leaves: i64,
    /// Whether columns have statistics over all leaves.
    pub(super) has_inherited: bool,
    /// Whether this role would see them.
    pub(super) readable: bool,
}

impl TryFrom<&Row> for ParentStatistics {
    type Error = tokio_postgres::Error;

    fn try_from(row: &Row) -> Result<Self, Self::Error> {
        Ok(Self {
            schema: row.try_get("schema")?,
            name: row.try_get("name")?,
            parent_rows: row.try_get("parent_rows")?,
            leaf_rows: row.try_get("leaf_rows")?,
            unknown_leaves: row.try_get("unknown_leaves")?,
            filled_leaves: row.try_get("filled_leaves")?,
            has_inherited: row.try_get("has_inherited")?,
            readable: row.try_get("readable")?,
        })
    }
}

/// How far parent and leaves may be apart, as a share of the leaves' rows.
const TOLERATED_SHARE: f64 = 0.1;

/// The version from which `ANALYZE ONLY` leaves the leaves alone.
const ANALYZE_ONLY_SINCE: u32 = 18;

/// One finding a partitioned table.
pub(super) fn judge(evidence: &Evidence) -> Vec<Finding> {
    let of = |parent| weigh(parent).map(|(severity, seen)| finding(parent, severity, seen, evidence.major));
    evidence.parents.iter().filter_map(of).collect()
}

fn weigh(parent: &ParentStatistics) -> Option<(Severity, String)> {
    if parent.filled_leaves == 0 {
        return None;
    }
    let (rows, leaves) = (parent.parent_rows, parent.leaf_rows);
    if rows < 0.0 {
        let seen = format!(
            "never analysed, with rows in {} leaves; autovacuum will not do it",
            parent.filled_leaves
        );
        Some((Severity::Error, seen))
    } else if parent.readable && !parent.has_inherited {
        let seen =
            "no column has statistics over all leaves, so the planner guesses; autovacuum will not make them";
        Some((Severity::Error, seen.to_owned()))
    } else if (leaves - rows).abs() > leaves * TOLERATED_SHARE {
        Some((Severity::Warning, format!("its statistics say {rows} rows, those of its leaves {leaves}")))
    } else if parent.unknown_leaves > 0 {
        let seen = format!("{} leaves with rows were never analysed", parent.unknown_leaves);
        Some((Severity::Warning, seen))
    } else {
        None
    }
}

fn finding(parent: &ParentStatistics, severity: Severity, seen: String, major: u32) -> Finding {
    let only = if major >= ANALYZE_ONLY_SINCE && parent.unknown_leaves == 0 { "ONLY " } else { "" };
    Finding {
        id: Rule::StaleParentStatistics.name().to_owned(),
        severity,
        object: format!("{}.{}", parent.schema, parent.name),
        evidence: seen,
        verdict: "fix".to_owned(),
        remedy: vec![format!("ANALYZE {only}{}", qualified(&parent.schema, &parent.name))],
        // Old statistics are nothing to go back to.
        undo: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(parent_rows: f64, leaf_rows: f64) -> ParentStatistics {
        ParentStatistics {
            schema: "s".to_owned(),
            name: "t".to_owned(),
            parent_rows,
            leaf_rows,
            unknown_leaves: 0,
            filled_leaves: 4,
            has_inherited: true,
            readable: true,
        }
    }

    #[test]
    fn ten_percent_are_tolerated() {
        let severity = |parent: &ParentStatistics| weigh(parent).map(|(severity, _)| severity);
        assert_eq!(severity(&parent(90.0, 100.0)), None);
        assert_eq!(severity(&parent(89.0, 100.0)), Some(Severity::Warning));
        assert_eq!(severity(&parent(111.0, 100.0)), Some(Severity::Warning));
        assert_eq!(severity(&parent(-1.0, 100.0)), Some(Severity::Error));
        let no_columns = ParentStatistics { has_inherited: false, ..parent(100.0, 100.0) };
        assert_eq!(severity(&no_columns), Some(Severity::Error));
        assert_eq!(severity(&ParentStatistics { readable: false, ..no_columns }), None, "not ours to see");
        assert_eq!(
            severity(&ParentStatistics { filled_leaves: 0, ..parent(-1.0, 0.0) }),
            None,
            "nothing to analyse"
        );
        let unknown = ParentStatistics { unknown_leaves: 1, ..parent(100.0, 100.0) };
        assert_eq!(severity(&unknown), Some(Severity::Warning));
    }

    #[test]
    fn newer_servers_analyse_the_parent_alone() {
        let remedy = |major| {
            let evidence = Evidence { parents: vec![parent(-1.0, 10.0)], major, ..Evidence::default() };
            judge(&evidence).remove(0).remedy.remove(0)
        };
        assert_eq!(
            (remedy(17).as_str(), remedy(18).as_str()),
            (r#"ANALYZE "s"."t""#, r#"ANALYZE ONLY "s"."t""#)
        );
    }
}
