//! **unique-without-partition-key**: a primary key, unique constraint or unique index of a partitioned table that lacks a
//! column of the partition key. PostgreSQL refuses it (`0A000`): uniqueness is kept within each leaf, so the key must say
//! which leaf a row is in. An expression in the partition key allows no such constraint at all.
//! See [limitations](https://www.postgresql.org/docs/current/ddl-partitioning.html#DDL-PARTITIONING-DECLARATIVE-LIMITATIONS).

use super::{Check, Here, Rule};
use crate::migrate::lint::ddl::{Change, Constraint, Key, PartitionBy, What};
use crate::migrate::lint::finding::Finding;
use crate::migrate::script::Name;

pub(super) const NAME: &str = "unique-without-partition-key";
pub(super) const RULE: Rule = Rule {
    name: NAME,
    summary: "a unique key of a partitioned table lacks a column of the partition key",
    check: Check::Statement(check),
};

fn check(here: &Here<'_>) -> Vec<Finding> {
    here.changes().flat_map(|change| judge(here, change)).collect()
}

fn judge(here: &Here<'_>, change: &Change) -> Vec<Finding> {
    let of = |table: &Name, by: Option<&PartitionBy>, keys: Vec<&[String]>| {
        let missing = by.into_iter().flat_map(|by| keys.iter().filter_map(move |key| missing(by, key)));
        missing.map(|column| finding(here, change, table, column)).collect()
    };
    match &change.what {
        What::CreateTable(table) => {
            let by = table.divided.as_ref();
            of(&table.name, by, table.constraints.iter().filter_map(columns).collect())
        }
        What::AddConstraint { table, constraint } => {
            of(table, here.now.divided(table), columns(constraint).into_iter().collect())
        }
        What::CreateIndex(index) if index.unique => {
            let plain = index.keys.iter().filter_map(|key| match key {
                Key::Column(name) => Some(name.clone()),
                Key::Expression => None,
            });
            of(&index.table, here.now.divided(&index.table), vec![plain.collect::<Vec<_>>().as_slice()])
        }
        _ => Vec::new(),
    }
}

/// The columns of a key; of one that takes over an index they are the index's.
fn columns(constraint: &Constraint) -> Option<&[String]> {
    match constraint {
        Constraint::Key { columns, index: None, .. } => Some(columns),
        _ => None,
    }
}

fn missing<'a>(by: &'a PartitionBy, key: &[String]) -> Option<&'a String> {
    by.keys.iter().find(|column| !key.contains(column))
}

fn finding(here: &Here<'_>, change: &Change, table: &Name, column: &str) -> Finding {
    let message =
        format!("{table} is partitioned by {column}, which this unique key lacks: PostgreSQL refuses it");
    let help =
        format!("add {column} to the key; what is to be unique over all partitions needs a table of its own");
    here.reading.error(NAME, change.span.clone(), message, help)
}

#[cfg(test)]
mod tests {
    use super::super::examples::found;
    use super::NAME;

    #[test]
    fn a_key_without_the_partition_key_is_shown() {
        let sql = "CREATE TABLE t.notes (id UUID PRIMARY KEY, user_id UUID NOT NULL) PARTITION BY HASH (user_id);\n\
                   -- omtdb: allow index-blocks-writes: an example\n\
                   CREATE UNIQUE INDEX i ON interaction.user_media (media_id);\n\
                   ALTER TABLE interaction.user_media ADD CONSTRAINT k UNIQUE (media_id, rating);";
        insta::assert_snapshot!(found(NAME, sql), @r"
        error[unique-without-partition-key]: t.notes is partitioned by user_id, which this unique key lacks: PostgreSQL refuses it
         --> V40__example.sql:1:1
          |
        1 | CREATE TABLE t.notes (id UUID PRIMARY KEY, user_id UUID NOT NULL) PARTITION BY HASH (user_id);
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: add user_id to the key; what is to be unique over all partitions needs a table of its own

        error[unique-without-partition-key]: interaction.user_media is partitioned by user_id, which this unique key lacks: PostgreSQL refuses it
         --> V40__example.sql:3:1
          |
        3 | CREATE UNIQUE INDEX i ON interaction.user_media (media_id);
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: add user_id to the key; what is to be unique over all partitions needs a table of its own

        error[unique-without-partition-key]: interaction.user_media is partitioned by user_id, which this unique key lacks: PostgreSQL refuses it
         --> V40__example.sql:4:36
          |
        4 | ALTER TABLE interaction.user_media ADD CONSTRAINT k UNIQUE (media_id, rating);
          |                                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: add user_id to the key; what is to be unique over all partitions needs a table of its own
        ");
    }

    #[test]
    fn a_key_with_it_is_fine() {
        let sql = "CREATE TABLE t.notes (id UUID, user_id UUID, PRIMARY KEY (user_id, id)) PARTITION BY HASH (user_id);\n\
                   CREATE UNIQUE INDEX i ON t.notes (lower(id::text), user_id);\n\
                   CREATE UNIQUE INDEX j ON media.media (title);";
        insta::assert_snapshot!(found(NAME, sql), @"");
    }
}
