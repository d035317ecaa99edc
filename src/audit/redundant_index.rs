//! An index whose work another one does as well: the same keys, or the first of them.
//!
//! Not redundant, whatever its keys: what keeps a constraint, is unique, or identifies rows for replication. On partitioned
//! tables only roots are reported; nobody can drop a leaf's part alone.

use super::ddl::{drop_index, recreate};
use super::evidence::Evidence;
use super::index::{Covers, Index};
use super::{Finding, Rule, Severity};
use crate::units::Bytes;

/// One finding an index.
pub(super) fn judge(evidence: &Evidence) -> Vec<Finding> {
    let droppable = |index: &&Index| index.is_root() && !index.enforces();
    evidence.indexes.iter().filter(droppable).filter_map(|index| finding(index, evidence)).collect()
}

fn finding(index: &Index, evidence: &Evidence) -> Option<Finding> {
    let covering: Vec<(&Index, Covers)> = evidence
        .indexes
        .iter()
        .filter_map(|other| Some((other, other.covers(index)?)))
        .filter(|&(other, covers)| covers != Covers::Equal || stays(other, index))
        .collect();
    let strongest = covering.iter().map(|&(_, covers)| covers).min()?;
    let others: Vec<String> =
        covering.iter().map(|(other, _)| format!("{} {}", other.name, other.keys())).collect();
    let (severity, verdict, how) = match strongest {
        Covers::Equal => (Severity::Warning, "drop-safe", "has the same keys as"),
        Covers::Prefix => (Severity::Warning, "drop-after-rehearsal", "has the first keys of"),
        Covers::Unfiltered => (Severity::Info, "drop-after-rehearsal", "holds some of the rows of"),
    };
    let smaller = if strongest == Covers::Equal {
        ""
    } else {
        "; it is the smaller one, so rehearse the queries that only count"
    };
    Some(Finding {
        id: Rule::RedundantIndex.name().to_owned(),
        severity,
        object: index.plain_name(),
        evidence: format!(
            "{} on {}.{} {how} {}; {}, {} scans, written by every insert{smaller}",
            index.keys(),
            index.table_schema,
            index.table_name,
            others.join(" and "),
            Bytes(index.size_bytes.unsigned_abs()),
            index.scans,
        ),
        verdict: verdict.to_owned(),
        remedy: vec![drop_index(index)],
        undo: recreate(index, evidence),
    })
}

/// Which of two copies stays: one that more depends on, else the older.
fn stays(this: &Index, other: &Index) -> bool {
    let rank = |index: &Index| (!index.enforces(), !index.is_root(), index.oid);
    rank(this) < rank(other)
}

#[cfg(test)]
mod tests {
    use super::super::index::tests::index;
    use super::*;

    fn found(indexes: Vec<Index>) -> Vec<(String, String)> {
        let evidence = Evidence { indexes, ..Evidence::default() };
        judge(&evidence).into_iter().map(|finding| (finding.object, finding.verdict)).collect()
    }

    #[test]
    fn a_prefix_is_reported_once() {
        let pkey = Index { is_unique: true, serves_constraint: true, ..index(1, "pkey", &[1, 2]) };
        let found = found(vec![pkey, index(2, "a", &[1]), index(3, "ac", &[1, 3])]);
        assert_eq!(found, [("s.a".to_owned(), "drop-after-rehearsal".to_owned())]);
    }

    #[test]
    fn of_two_copies_the_newer_goes() {
        let copies = vec![index(5, "new", &[1]), index(4, "old", &[1])];
        assert_eq!(found(copies), [("s.new".to_owned(), "drop-safe".to_owned())]);
    }

    #[test]
    fn what_enforces_something_stays() {
        for change in [
            (|i| i.is_unique = true) as fn(&mut Index),
            |i| i.serves_constraint = true,
            |i| i.is_replica_identity = true,
            |i| i.is_exclusion = true,
            |i| i.parent_oid = Some(9),
        ] {
            let mut a = index(2, "a", &[1]);
            change(&mut a);
            assert_eq!(found(vec![index(1, "ab", &[1, 2]), a]), []);
        }
    }

    #[test]
    fn a_partial_twin_is_only_worth_knowing() {
        let partial = Index { predicate: Some("(c1 > 0)".to_owned()), ..index(2, "p", &[1]) };
        let evidence = Evidence { indexes: vec![index(1, "a", &[1]), partial], ..Evidence::default() };
        assert_eq!(judge(&evidence)[0].severity, Severity::Info);
    }
}
