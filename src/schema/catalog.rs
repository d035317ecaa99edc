//! What a live database holds of the schemas that omtdb answers for, in one snapshot.

use std::collections::HashMap;

use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, Row, Transaction};

use super::model::{Column, Constraint, Enum, Extension, Index, Leaf, Other, Schema, Shape, Table};
use super::plan::{PLAN, SCHEMAS};
use crate::pg::Session;
use crate::pg::error::{Doing as _, Result};

/// Each query by its file's name; all take the names they are about as `$1`.
pub const QUERIES: [(&str, &str); 8] = [
    ("schemas", SCHEMAS_SQL),
    ("extensions", EXTENSIONS_SQL),
    ("enums", ENUMS_SQL),
    ("tables", TABLES_SQL),
    ("columns", COLUMNS_SQL),
    ("constraints", CONSTRAINTS_SQL),
    ("indexes", INDEXES_SQL),
    ("others", OTHERS_SQL),
];

const SCHEMAS_SQL: &str = include_str!("sql/schemas.sql");
const EXTENSIONS_SQL: &str = include_str!("sql/extensions.sql");
const ENUMS_SQL: &str = include_str!("sql/enums.sql");
const TABLES_SQL: &str = include_str!("sql/tables.sql");
const COLUMNS_SQL: &str = include_str!("sql/columns.sql");
const CONSTRAINTS_SQL: &str = include_str!("sql/constraints.sql");
const INDEXES_SQL: &str = include_str!("sql/indexes.sql");
const OTHERS_SQL: &str = include_str!("sql/others.sql");

/// PostgreSQL prints types, expressions and bounds as these say: everything qualified, instants in UTC.
const PRINTING: &str = "SET LOCAL search_path = ''; SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO'";

/// Reads the live schema; changes nothing.
///
/// # Errors
/// When the server refuses, or an object went while it was read.
pub async fn read(session: &mut Session) -> Result<Schema> {
    let doing = || "read the catalog".to_owned();
    let snapshot = session
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .doing(doing)?;
    snapshot.batch_execute(PRINTING).await.doing(doing)?;
    let schema = read_all(&snapshot).await.doing(doing)?;
    snapshot.rollback().await.doing(doing)?;
    Ok(schema)
}

async fn read_all(snapshot: &Transaction<'_>) -> Result<Schema> {
    let ours: &[&str] = &SCHEMAS;
    let extensions: Vec<&str> = PLAN.extensions.iter().map(|one| one.name.as_str()).collect();
    let relations = rows(snapshot, TABLES_SQL, &ours, relation).await?;
    let mut shapes = read_shapes(snapshot, ours).await?;
    let mut others = rows(snapshot, OTHERS_SQL, &ours, other).await?;
    let tables = assemble(relations, &mut shapes, &mut others);
    Ok(Schema {
        schemas: rows(snapshot, SCHEMAS_SQL, &ours, |row| Ok(row.try_get("name")?)).await?,
        extensions: rows(snapshot, EXTENSIONS_SQL, &extensions, extension).await?,
        enums: rows(snapshot, ENUMS_SQL, &ours, one_enum).await?,
        tables,
        others,
    })
}

/// A row of `tables.sql`.
struct Relation {
    oid: u32,
    schema: String,
    name: String,
    persistence: String,
    partition_key: Option<String>,
    bound: Option<String>,
    parent: Option<u32>,
}

/// Columns, constraints and indexes, by the relation they belong to.
async fn read_shapes(snapshot: &Transaction<'_>, ours: &[&str]) -> Result<HashMap<u32, Shape>> {
    let mut shapes: HashMap<u32, Shape> = HashMap::new();
    for (relation, one) in rows(snapshot, COLUMNS_SQL, &ours, column).await? {
        shapes.entry(relation).or_default().columns.push(one);
    }
    for (relation, one) in rows(snapshot, CONSTRAINTS_SQL, &ours, constraint).await? {
        shapes.entry(relation).or_default().constraints.push(one);
    }
    for (relation, one) in rows(snapshot, INDEXES_SQL, &ours, index).await? {
        shapes.entry(relation).or_default().indexes.push(one);
    }
    Ok(shapes)
}

/// Puts leaves under their tables. A leaf of a leaf, or of a table elsewhere, is no kind the plan knows.
fn assemble(
    relations: Vec<Relation>,
    shapes: &mut HashMap<u32, Shape>,
    others: &mut Vec<Other>,
) -> Vec<Table> {
    let (leaves, tops): (Vec<_>, Vec<_>) = relations.into_iter().partition(|one| one.bound.is_some());
    let mut place: HashMap<u32, usize> = HashMap::new();
    let mut tables: Vec<Table> = Vec::new();
    for top in tops {
        place.insert(top.oid, tables.len());
        tables.push(Table {
            schema: top.schema,
            name: top.name,
            persistence: top.persistence,
            partition_key: top.partition_key,
            shape: shapes.remove(&top.oid).unwrap_or_default(),
            leaves: Vec::new(),
        });
    }
    for leaf in leaves {
        let parent = leaf.parent.and_then(|oid| place.get(&oid)).and_then(|&at| tables.get_mut(at));
        match (parent, leaf.partition_key) {
            (Some(parent), None) => parent.leaves.push(Leaf {
                schema: leaf.schema,
                name: leaf.name,
                bound: leaf.bound.unwrap_or_default(),
                persistence: leaf.persistence,
                shape: shapes.remove(&leaf.oid).unwrap_or_default(),
            }),
            (_, key) => {
                let kind =
                    if key.is_some() { "leaf with leaves of its own" } else { "leaf of another table" };
                others.push(Other { kind: kind.to_owned(), name: format!("{}.{}", leaf.schema, leaf.name) });
            }
        }
    }
    tables
}

async fn rows<T>(
    snapshot: &Transaction<'_>,
    sql: &str,
    names: &(impl ToSql + Sync),
    read: impl Fn(&Row) -> Result<T>,
) -> Result<Vec<T>> {
    snapshot.query(sql, &[names]).await?.iter().map(read).collect()
}

fn extension(row: &Row) -> Result<Extension> {
    Ok(Extension { name: row.try_get("name")?, schema: row.try_get("schema")? })
}

fn one_enum(row: &Row) -> Result<Enum> {
    Ok(Enum { name: row.try_get("name")?, values: row.try_get("values")? })
}

fn other(row: &Row) -> Result<Other> {
    Ok(Other { kind: row.try_get("kind")?, name: row.try_get("name")? })
}

fn relation(row: &Row) -> Result<Relation> {
    Ok(Relation {
        oid: row.try_get("oid")?,
        schema: row.try_get("schema")?,
        name: row.try_get("name")?,
        persistence: row.try_get("persistence")?,
        partition_key: row.try_get("partition_key")?,
        bound: row.try_get("bound")?,
        parent: row.try_get("parent")?,
    })
}

fn column(row: &Row) -> Result<(u32, Column)> {
    let column = Column {
        name: row.try_get("name")?,
        data_type: row.try_get("data_type")?,
        not_null: row.try_get("not_null")?,
        default: row.try_get("column_default")?,
    };
    Ok((row.try_get("relation")?, column))
}

fn constraint(row: &Row) -> Result<(u32, Constraint)> {
    let text: String = row.try_get("definition")?;
    // Whether it is validated is a value of its own.
    let definition = text.strip_suffix(" NOT VALID").unwrap_or(&text).to_owned();
    let constraint = Constraint { name: row.try_get("name")?, definition, valid: row.try_get("valid")? };
    Ok((row.try_get("relation")?, constraint))
}

fn index(row: &Row) -> Result<(u32, Index)> {
    let text: String = row.try_get("definition")?;
    let index = Index {
        name: row.try_get("name")?,
        definition: index_definition(&text),
        valid: row.try_get("valid")?,
        parent: row.try_get("parent")?,
    };
    Ok((row.try_get("relation")?, index))
}

/// What of `CREATE [UNIQUE] INDEX name ON [ONLY] table USING …` does not depend on names.
pub(crate) fn index_definition(text: &str) -> String {
    let rest = text.split_once(" USING ").map_or(text, |(_, rest)| rest);
    if text.starts_with("CREATE UNIQUE ") { format!("UNIQUE {rest}") } else { rest.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_free_of_names() {
        let unique =
            "CREATE UNIQUE INDEX idx_media_external_id_unique ON media.media USING btree (external_id)";
        assert_eq!(index_definition(unique), "UNIQUE btree (external_id)");
        let partitioned =
            "CREATE INDEX i ON ONLY interaction.user_media USING btree (user_id) WHERE (rating > 5)";
        assert_eq!(index_definition(partitioned), "btree (user_id) WHERE (rating > 5)");
    }
}
