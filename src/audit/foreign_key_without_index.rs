//! A foreign key whose referring columns no index leads with: each delete of a referenced row reads the whole table.

use super::ddl::index_for;
use super::evidence::Evidence;
use super::foreign_key::ForeignKey;
use super::{Finding, Rule, Severity};

/// One finding a foreign key.
pub(super) fn judge(evidence: &Evidence) -> Vec<Finding> {
    let unserved = |key: &&ForeignKey| !evidence.indexes.iter().any(|index| index.serves(key));
    evidence.foreign_keys.iter().filter(unserved).map(|key| finding(key, evidence)).collect()
}

fn finding(key: &ForeignKey, evidence: &Evidence) -> Finding {
    let table = format!("{}.{}", key.table_schema, key.table_name);
    let new = index_for(key, evidence);
    // A partitioned index cannot be dropped concurrently.
    let concurrently = if key.partitioned { "" } else { "CONCURRENTLY " };
    let rows = if key.table_rows < 0.0 {
        "never analysed".to_owned()
    } else {
        format!("about {} rows", key.table_rows)
    };
    Finding {
        id: Rule::ForeignKeyWithoutIndex.name().to_owned(),
        severity: Severity::Warning,
        object: table.clone(),
        evidence: format!(
            "no index begins with ({}), which {} refers to {}.{} by: deleting one of its rows reads all of {table} ({rows}){}",
            key.column_names.join(", "),
            key.name,
            key.referenced_schema,
            key.referenced_name,
            consequence(&key.on_delete),
        ),
        verdict: "fix".to_owned(),
        undo: vec![format!("DROP INDEX {concurrently}{}", new.name)],
        remedy: new.statements,
    }
}

fn consequence(on_delete: &str) -> &'static str {
    match on_delete {
        "c" => " to delete what refers to it",
        "n" | "d" => " to change what refers to it",
        _ => " to see whether anything refers to it",
    }
}

#[cfg(test)]
mod tests {
    use super::super::foreign_key::tests::foreign_key;
    use super::super::index::Index;
    use super::super::index::tests::index;
    use super::*;

    fn served(columns: &[i16], index: Index) -> bool {
        let evidence = Evidence {
            indexes: vec![index],
            foreign_keys: vec![foreign_key(columns)],
            ..Evidence::default()
        };
        judge(&evidence).is_empty()
    }

    #[test]
    fn the_columns_must_lead() {
        assert!(served(&[1], index(1, "ab", &[1, 2])));
        assert!(!served(&[2], index(1, "ab", &[1, 2])));
        assert!(served(&[1, 2], index(1, "ba", &[2, 1])), "in any order");
        assert!(!served(&[1, 2], index(1, "acb", &[1, 3, 2])));
        assert!(!served(&[1, 2], index(1, "a", &[1])));
    }

    #[test]
    fn the_index_must_hold_every_row_and_be_usable() {
        let with = |predicate: &str| Index { predicate: Some(predicate.to_owned()), ..index(1, "a", &[1]) };
        assert!(served(&[1], with("(c1 IS NOT NULL)")));
        assert!(!served(&[1], with("(c1 > 0)")));
        assert!(!served(&[1], Index { is_usable: false, ..index(1, "a", &[1]) }));
        assert!(!served(&[1], Index { table_oid: 2, ..index(1, "a", &[1]) }));
        assert!(!served(&[1], Index { method: "brin".to_owned(), ..index(1, "a", &[1]) }));
    }

    #[test]
    fn the_remedy_names_what_is_missing() {
        let evidence = Evidence { foreign_keys: vec![foreign_key(&[1])], ..Evidence::default() };
        let finding = judge(&evidence).remove(0);
        assert_eq!(finding.remedy, [r#"CREATE INDEX CONCURRENTLY "idx_t_c1" ON "s"."t" ("c1")"#]);
        assert_eq!(finding.undo, [r#"DROP INDEX CONCURRENTLY "s"."idx_t_c1""#]);
        assert!(finding.evidence.contains("about 1000 rows") && finding.evidence.contains("t_fkey"));
    }
}
