//! What a live database holds of some schemas, in one snapshot.

use std::collections::HashMap;

use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, Row, Transaction};

use super::model::{Leaf, Other, Schema, Shape, Table};
use super::plan::SCHEMAS;
use super::rows::{self, Relation};
use crate::pg::Session;
use crate::pg::error::{Doing as _, Result};

/// Each query by its file's name; all but `extensions` and `user_schemas` take the schemas they are about as `$1`.
pub const QUERIES: [(&str, &str); 14] = [
    ("schemas", SCHEMAS_SQL),
    ("extensions", EXTENSIONS_SQL),
    ("enums", ENUMS_SQL),
    ("tables", TABLES_SQL),
    ("columns", COLUMNS_SQL),
    ("constraints", CONSTRAINTS_SQL),
    ("indexes", INDEXES_SQL),
    ("triggers", TRIGGERS_SQL),
    ("functions", FUNCTIONS_SQL),
    ("comments", COMMENTS_SQL),
    ("owners", OWNERS_SQL),
    ("grants", GRANTS_SQL),
    ("others", OTHERS_SQL),
    ("user_schemas", USER_SCHEMAS_SQL),
];

const SCHEMAS_SQL: &str = include_str!("sql/schemas.sql");
const EXTENSIONS_SQL: &str = include_str!("sql/extensions.sql");
const ENUMS_SQL: &str = include_str!("sql/enums.sql");
const TABLES_SQL: &str = include_str!("sql/tables.sql");
const COLUMNS_SQL: &str = include_str!("sql/columns.sql");
const CONSTRAINTS_SQL: &str = include_str!("sql/constraints.sql");
const INDEXES_SQL: &str = include_str!("sql/indexes.sql");
const TRIGGERS_SQL: &str = include_str!("sql/triggers.sql");
const FUNCTIONS_SQL: &str = include_str!("sql/functions.sql");
const COMMENTS_SQL: &str = include_str!("sql/comments.sql");
const OWNERS_SQL: &str = include_str!("sql/owners.sql");
const GRANTS_SQL: &str = include_str!("sql/grants.sql");
const OTHERS_SQL: &str = include_str!("sql/others.sql");
const USER_SCHEMAS_SQL: &str = include_str!("sql/user_schemas.sql");

/// PostgreSQL prints types, expressions and bounds as these say: everything qualified, instants in UTC.
const PRINTING: &str = "SET LOCAL search_path = ''; SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO'";

/// Reads what there is of the plan's schemas; changes nothing.
///
/// # Errors
/// When the server refuses, or an object went while it was read.
pub async fn read(session: &mut Session) -> Result<Schema> {
    read_schemas(session, &SCHEMAS).await
}

/// Reads the schemas of these names; changes nothing. Lists are sorted, so that equal databases give equal values.
///
/// # Errors
/// When the server refuses, or an object went while it was read.
pub async fn read_schemas(session: &mut Session, schemas: &[&str]) -> Result<Schema> {
    let doing = || "read the catalog".to_owned();
    let snapshot = session
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .doing(doing)?;
    snapshot.batch_execute(PRINTING).await.doing(doing)?;
    let schema = read_all(&snapshot, schemas).await.doing(doing)?;
    snapshot.rollback().await.doing(doing)?;
    Ok(schema)
}

/// Names of all schemas but PostgreSQL's own and omtdb's, where it keeps its books; sorted.
///
/// # Errors
/// When the server refuses.
pub async fn user_schemas(session: &Session) -> Result<Vec<String>> {
    let found = session.query(USER_SCHEMAS_SQL, &[]).await.doing(|| "list the schemas".to_owned())?;
    found.iter().map(|row| Ok(row.try_get("name")?)).collect()
}

async fn read_all(snapshot: &Transaction<'_>, ours: &[&str]) -> Result<Schema> {
    let about = Query { snapshot, schemas: ours };
    let relations = about.rows(TABLES_SQL, rows::relation).await?;
    let mut shapes = read_shapes(&about).await?;
    let mut others = about.rows(OTHERS_SQL, rows::other).await?;
    let tables = assemble(relations, &mut shapes, &mut others);
    let extensions = snapshot.query(EXTENSIONS_SQL, &[]).await?;
    Ok(Schema {
        schemas: about.rows(SCHEMAS_SQL, |row| Ok(row.try_get("name")?)).await?,
        extensions: extensions.iter().map(rows::extension).collect::<Result<_>>()?,
        enums: about.rows(ENUMS_SQL, rows::one_enum).await?,
        tables,
        functions: about.rows(FUNCTIONS_SQL, rows::function).await?,
        others,
        comments: about.rows(COMMENTS_SQL, rows::comment).await?,
        owner: None,
        owners: about.rows(OWNERS_SQL, rows::owned).await?,
        grants: Some(about.rows(GRANTS_SQL, rows::grant).await?),
    })
}

/// Asks about the named schemas.
struct Query<'a> {
    snapshot: &'a Transaction<'a>,
    schemas: &'a [&'a str],
}

impl Query<'_> {
    async fn rows<T>(&self, sql: &str, read: impl Fn(&Row) -> Result<T>) -> Result<Vec<T>> {
        let schemas: &(dyn ToSql + Sync) = &self.schemas;
        self.snapshot.query(sql, &[schemas]).await?.iter().map(read).collect()
    }
}

/// Columns, constraints, indexes and triggers, by the relation they belong to.
async fn read_shapes(about: &Query<'_>) -> Result<HashMap<u32, Shape>> {
    let mut shapes: HashMap<u32, Shape> = HashMap::new();
    for (relation, one) in about.rows(COLUMNS_SQL, rows::column).await? {
        shapes.entry(relation).or_default().columns.push(one);
    }
    for (relation, one) in about.rows(CONSTRAINTS_SQL, rows::constraint).await? {
        shapes.entry(relation).or_default().constraints.push(one);
    }
    for (relation, one) in about.rows(INDEXES_SQL, rows::index).await? {
        shapes.entry(relation).or_default().indexes.push(one);
    }
    for (relation, one) in about.rows(TRIGGERS_SQL, rows::trigger).await? {
        shapes.entry(relation).or_default().triggers.push(one);
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
        let shape = top.shape(shapes);
        tables.push(Table {
            schema: top.schema,
            name: top.name,
            persistence: top.persistence,
            partition_key: top.partition_key,
            shape,
            leaves: Vec::new(),
        });
    }
    for leaf in leaves {
        let parent = leaf.parent.and_then(|oid| place.get(&oid)).and_then(|&at| tables.get_mut(at));
        match parent {
            Some(parent) if leaf.partition_key.is_none() => parent.leaves.push(leaf.into_leaf(shapes)),
            _ => others.push(leaf.into_other()),
        }
    }
    tables
}

impl Relation {
    /// Takes what belongs to it out of `shapes`.
    fn shape(&self, shapes: &mut HashMap<u32, Shape>) -> Shape {
        Shape {
            options: self.options.clone(),
            replica_identity: self.replica_identity.clone(),
            row_security: self.row_security.clone(),
            ..shapes.remove(&self.oid).unwrap_or_default()
        }
    }

    fn into_leaf(self, shapes: &mut HashMap<u32, Shape>) -> Leaf {
        Leaf {
            shape: self.shape(shapes),
            schema: self.schema,
            name: self.name,
            bound: self.bound.unwrap_or_default(),
            detaching: self.detaching,
            persistence: self.persistence,
        }
    }

    fn into_other(self) -> Other {
        let kind = if self.partition_key.is_some() {
            "leaf with leaves of its own"
        } else {
            "leaf of another table"
        };
        Other {
            kind: kind.to_owned(),
            name: format!("{}.{}", self.schema, self.name),
            definition: self.bound.unwrap_or_default(),
        }
    }
}
