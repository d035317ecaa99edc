//! An index that PostgreSQL keeps up and does not use: a build that failed, or a partitioned index that lacks a leaf's.

use super::ddl::{attach, concurrently, free_name};
use super::evidence::{Evidence, Partition};
use super::index::Index;
use super::{Finding, Rule, Severity};
use crate::pg::ident::{qualified, quoted};

/// One finding an index; of a tree, the topmost that is invalid.
pub(super) fn judge(evidence: &Evidence) -> Vec<Finding> {
    let reported_above = |index: &Index| {
        evidence.indexes.iter().any(|parent| index.parent_oid == Some(parent.oid) && !parent.is_valid)
    };
    evidence
        .indexes
        .iter()
        .filter(|index| !index.is_valid && !index.being_built && !reported_above(index))
        .map(|index| finding(index, evidence))
        .collect()
}

fn finding(index: &Index, evidence: &Evidence) -> Finding {
    let table = format!("{}.{}", index.table_schema, index.table_name);
    let (seen, remedy) = if index.partitioned {
        let mended = complete(index, evidence);
        let names: Vec<&str> = incomplete(index, evidence).map(|partition| partition.name.as_str()).collect();
        (format!("{table} has partitions without a valid index attached to it: {}", names.join(", ")), mended)
    } else if is_leftover(&index.name) {
        let seen = format!("REINDEX CONCURRENTLY of an index of {table} was stopped and left this behind");
        (seen, vec![format!("DROP INDEX CONCURRENTLY {}", index.sql_name())])
    } else {
        let duplicates =
            if index.is_unique { "; duplicate rows stop it again, so remove them first" } else { "" };
        let seen = format!(
            "its build on {table} failed or was stopped; writes keep it up, no query uses it{duplicates}"
        );
        (seen, vec![reindex(index)])
    };
    Finding {
        id: Rule::InvalidIndex.name().to_owned(),
        severity: Severity::Error,
        object: index.plain_name(),
        evidence: seen,
        verdict: "fix".to_owned(),
        remedy,
        // An index without effect is nothing to go back to.
        undo: Vec::new(),
    }
}

fn reindex(index: &Index) -> String {
    format!("REINDEX INDEX CONCURRENTLY {}", index.sql_name())
}

/// `REINDEX CONCURRENTLY` calls what it builds `…_ccnew` and what it replaces `…_ccold`, with a number where those are taken.
fn is_leftover(name: &str) -> bool {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    stem.ends_with("_ccnew") || stem.ends_with("_ccold")
}

/// The partitions of the index's table without a valid part of it.
fn incomplete<'a>(index: &'a Index, evidence: &'a Evidence) -> impl Iterator<Item = &'a Partition> {
    evidence
        .partitions_of(index.table_oid)
        .filter(|partition| !evidence.attached(index, partition.oid).is_some_and(|child| child.is_valid))
}

/// Gives every partition its part. Attaching a part again is allowed, and makes PostgreSQL look whether all are valid.
fn complete(index: &Index, evidence: &Evidence) -> Vec<String> {
    let mut statements = Vec::new();
    for partition in incomplete(index, evidence) {
        let fitting = || evidence.indexes.iter().find(|i| i.table_oid == partition.oid && i.fits(index));
        let part = match (evidence.attached(index, partition.oid), fitting()) {
            (Some(child), _) if child.partitioned => {
                statements.extend(complete(child, evidence));
                child.sql_name()
            }
            (Some(child), _) => {
                statements.push(reindex(child));
                child.sql_name()
            }
            (None, Some(there)) => there.sql_name(),
            (None, None) => {
                let name =
                    free_name(&format!("{}_{}", partition.name, index.name), &partition.schema, evidence);
                statements.extend(new_part(index, partition, &name));
                qualified(&partition.schema, &name)
            }
        };
        statements.push(attach(&index.sql_name(), &part));
    }
    statements
}

/// A leaf's own index like `index`, with the constraint it must keep to be attached to one that does.
fn new_part(index: &Index, partition: &Partition, name: &str) -> Vec<String> {
    let table = qualified(&partition.schema, &partition.name);
    let unique = if index.is_unique { "UNIQUE " } else { "" };
    // All that follows the table's name is the same for the leaf.
    let rest = index.definition.split_once(" USING ").map_or("", |(_, rest)| rest);
    let create = format!("CREATE {unique}INDEX {} ON {table} USING {rest}", quoted(name));
    if !partition.is_leaf {
        // Without ONLY: the partitions below get theirs at once, in one transaction.
        return vec![create];
    }
    let mut statements = vec![concurrently(&create)];
    if index.is_unique && index.serves_constraint {
        let kind = if index.is_primary { "PRIMARY KEY" } else { "UNIQUE" };
        statements
            .push(format!("ALTER TABLE {table} ADD CONSTRAINT {0} {kind} USING INDEX {0}", quoted(name)));
    }
    statements
}

#[cfg(test)]
mod tests {
    use super::super::index::tests::index;
    use super::*;

    fn broken(oid: u32, name: &str) -> Index {
        Index { is_valid: false, is_usable: false, ..index(oid, name, &[1]) }
    }

    fn leaf(oid: u32, name: &str) -> Partition {
        Partition { oid, schema: "s".to_owned(), name: name.to_owned(), parent_oid: Some(1), is_leaf: true }
    }

    #[test]
    fn a_failed_build_is_built_again() {
        let evidence =
            Evidence { indexes: vec![broken(1, "i"), index(2, "fine", &[1])], ..Evidence::default() };
        let found = judge(&evidence);
        assert_eq!((found.len(), found[0].severity), (1, Severity::Error));
        assert_eq!(found[0].remedy, [r#"REINDEX INDEX CONCURRENTLY "s"."i""#]);
    }

    #[test]
    fn a_build_under_way_is_left_alone() {
        let indexes = vec![Index { being_built: true, ..broken(1, "i") }];
        assert_eq!(judge(&Evidence { indexes, ..Evidence::default() }), []);
    }

    #[test]
    fn leftovers_are_dropped() {
        let evidence = Evidence { indexes: vec![broken(1, "i_ccnew1")], ..Evidence::default() };
        assert_eq!(judge(&evidence)[0].remedy, [r#"DROP INDEX CONCURRENTLY "s"."i_ccnew1""#]);
        assert!(!is_leftover("ccnewspaper"));
    }

    #[test]
    fn a_partitioned_index_gets_what_it_lacks() {
        let root = Index {
            partitioned: true,
            definition: "CREATE INDEX i ON ONLY s.t USING btree (c1)".to_owned(),
            ..broken(10, "i")
        };
        let evidence = Evidence {
            indexes: vec![
                root,
                Index { table_oid: 2, parent_oid: Some(10), ..broken(11, "t0_i") },
                Index { table_oid: 3, ..index(12, "t1_own", &[1]) },
                Index { table_oid: 5, parent_oid: Some(10), ..index(13, "t3_i", &[1]) },
            ],
            partitions: vec![leaf(2, "t0"), leaf(3, "t1"), leaf(4, "t2"), leaf(5, "t3")],
            ..Evidence::default()
        };
        let found = judge(&evidence);
        assert_eq!(found.len(), 1, "the leaf's own is mended with the root");
        assert!(found[0].evidence.ends_with("t0, t1, t2"));
        let expected = [
            r#"REINDEX INDEX CONCURRENTLY "s"."t0_i""#,
            r#"ALTER INDEX "s"."i" ATTACH PARTITION "s"."t0_i""#,
            r#"ALTER INDEX "s"."i" ATTACH PARTITION "s"."t1_own""#,
            r#"CREATE INDEX CONCURRENTLY "t2_i" ON "s"."t2" USING btree (c1)"#,
            r#"ALTER INDEX "s"."i" ATTACH PARTITION "s"."t2_i""#,
        ];
        assert_eq!(found[0].remedy, expected);
    }
}
