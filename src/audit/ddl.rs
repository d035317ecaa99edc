//! Statements that add and drop indexes without stopping the application where PostgreSQL can: concurrently on tables of
//! rows, leaf by leaf on partitioned tables, whose own index neither `CREATE` nor `DROP` takes concurrently.

use super::evidence::{Evidence, Partition};
use super::foreign_key::ForeignKey;
use super::index::Index;
use crate::pg::ident::{qualified, quoted};

/// The longest name PostgreSQL keeps, in bytes.
const LONGEST_NAME: usize = 63;

/// Drops `index`, the root of its tree. A partitioned one takes its leaves' indexes along, under a brief lock of them all.
pub(super) fn drop_index(index: &Index) -> String {
    let concurrently = if index.partitioned { "" } else { "CONCURRENTLY " };
    format!("DROP INDEX {concurrently}{}", index.sql_name())
}

/// Makes `index` again as it is.
pub(super) fn recreate(index: &Index, evidence: &Evidence) -> Vec<String> {
    if !index.partitioned {
        return vec![concurrently(&index.definition)];
    }
    // The catalog's own text of a partitioned index says ON ONLY.
    let mut statements = vec![index.definition.clone()];
    for child in evidence.indexes.iter().filter(|child| child.parent_oid == Some(index.oid)) {
        statements.extend(recreate(child, evidence));
        statements.push(attach(&index.sql_name(), &child.sql_name()));
    }
    statements
}

/// `CREATE INDEX …` as the catalog writes it, without stopping writers.
pub(super) fn concurrently(definition: &str) -> String {
    // The keyword is the first word INDEX: at most UNIQUE stands before it.
    definition.replacen("INDEX ", "INDEX CONCURRENTLY ", 1)
}

/// Attaches a partition's index; PostgreSQL calls the partitioned index valid once every partition has a valid one.
pub(super) fn attach(parent: &str, child: &str) -> String {
    format!("ALTER INDEX {parent} ATTACH PARTITION {child}")
}

/// A new index, its statements and its qualified name, quoted.
pub(super) struct NewIndex {
    pub(super) statements: Vec<String>,
    pub(super) name: String,
}

/// An index on the columns of `key`.
pub(super) fn index_for(key: &ForeignKey, evidence: &Evidence) -> NewIndex {
    let columns: Vec<String> = key.column_names.iter().map(|column| quoted(column)).collect();
    let columns = columns.join(", ");
    let name = free_name(
        &format!("idx_{}_{}", key.table_name, key.column_names.join("_")),
        &key.table_schema,
        evidence,
    );
    let root = Partition {
        oid: key.table_oid,
        schema: key.table_schema.clone(),
        name: key.table_name.clone(),
        parent_oid: None,
        is_leaf: !key.partitioned,
    };
    let suffix = key.column_names.join("_");
    NewIndex {
        statements: index_on(&root, &name, &columns, &suffix, evidence),
        name: qualified(&key.table_schema, &name),
    }
}

fn index_on(table: &Partition, name: &str, columns: &str, suffix: &str, evidence: &Evidence) -> Vec<String> {
    let on = qualified(&table.schema, &table.name);
    if table.is_leaf {
        return vec![format!("CREATE INDEX CONCURRENTLY {} ON {on} ({columns})", quoted(name))];
    }
    let mut statements = vec![format!("CREATE INDEX {} ON ONLY {on} ({columns})", quoted(name))];
    for partition in evidence.partitions_of(table.oid) {
        let child = free_name(&format!("{}_{suffix}_idx", partition.name), &partition.schema, evidence);
        statements.extend(index_on(partition, &child, columns, suffix, evidence));
        statements.push(attach(&qualified(&table.schema, name), &qualified(&partition.schema, &child)));
    }
    statements
}

/// `wanted`, shortened to what PostgreSQL keeps, with a number where an index has that name.
pub(super) fn free_name(wanted: &str, schema: &str, evidence: &Evidence) -> String {
    let taken =
        |name: &str| evidence.indexes.iter().any(|index| index.schema == schema && index.name == name);
    let numbered = |n: u32| {
        let number = if n == 1 { String::new() } else { format!("_{n}") };
        format!("{}{number}", &wanted[..wanted.floor_char_boundary(LONGEST_NAME - number.len())])
    };
    (1..).map(numbered).find(|name| !taken(name)).unwrap_or_else(|| wanted.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::foreign_key::tests::foreign_key;
    use super::super::index::tests::index;
    use super::*;

    fn partition(oid: u32, name: &str, parent_oid: u32) -> Partition {
        Partition {
            oid,
            schema: "s".to_owned(),
            name: name.to_owned(),
            parent_oid: Some(parent_oid),
            is_leaf: true,
        }
    }

    #[test]
    fn plain_tables_keep_their_writers() {
        let one = index(7, "i", &[1]);
        assert_eq!(drop_index(&one), r#"DROP INDEX CONCURRENTLY "s"."i""#);
        assert_eq!(
            recreate(&one, &Evidence::default()),
            ["CREATE INDEX CONCURRENTLY i ON s.t USING btree (c1)"]
        );
        assert_eq!(
            concurrently("CREATE UNIQUE INDEX i ON t (a)"),
            "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)"
        );
    }

    #[test]
    fn partitioned_indexes_go_leaf_by_leaf() {
        let root = Index {
            partitioned: true,
            definition: "CREATE INDEX i ON ONLY s.t (c1)".to_owned(),
            ..index(7, "i", &[1])
        };
        let leaf = Index {
            parent_oid: Some(7),
            definition: "CREATE INDEX l ON s.t0 (c1)".to_owned(),
            ..index(8, "l", &[1])
        };
        let evidence = Evidence { indexes: vec![root.clone(), leaf], ..Evidence::default() };
        assert_eq!(drop_index(&root), r#"DROP INDEX "s"."i""#);
        let expected = [
            "CREATE INDEX i ON ONLY s.t (c1)",
            "CREATE INDEX CONCURRENTLY l ON s.t0 (c1)",
            r#"ALTER INDEX "s"."i" ATTACH PARTITION "s"."l""#,
        ];
        assert_eq!(recreate(&root, &evidence), expected);
    }

    #[test]
    fn a_new_index_covers_every_leaf() {
        let key = ForeignKey { partitioned: true, ..foreign_key(&[1]) };
        let evidence = Evidence {
            partitions: vec![partition(2, "t0", 1), partition(3, "t1", 1)],
            ..Evidence::default()
        };
        let new = index_for(&key, &evidence);
        let expected = [
            r#"CREATE INDEX "idx_t_c1" ON ONLY "s"."t" ("c1")"#,
            r#"CREATE INDEX CONCURRENTLY "t0_c1_idx" ON "s"."t0" ("c1")"#,
            r#"ALTER INDEX "s"."idx_t_c1" ATTACH PARTITION "s"."t0_c1_idx""#,
            r#"CREATE INDEX CONCURRENTLY "t1_c1_idx" ON "s"."t1" ("c1")"#,
            r#"ALTER INDEX "s"."idx_t_c1" ATTACH PARTITION "s"."t1_c1_idx""#,
        ];
        assert_eq!(
            (new.statements, new.name.as_str()),
            (expected.map(str::to_owned).to_vec(), r#""s"."idx_t_c1""#)
        );
    }

    #[test]
    fn names_are_free_and_fit() {
        let taken = Evidence { indexes: vec![index(1, "idx", &[1])], ..Evidence::default() };
        assert_eq!(free_name("idx", "s", &taken), "idx_2");
        assert_eq!(free_name("idx", "other", &taken), "idx");
        assert_eq!(free_name(&"é".repeat(40), "s", &taken).len(), 62);
    }
}
