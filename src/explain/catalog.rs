//! The names behind a plan: which partitioned table a leaf belongs to, which partitioned index a leaf's index.

use std::collections::BTreeMap;

use tokio_postgres::Row;

use crate::pg::Session;
use crate::pg::error::{Doing as _, Result};

/// A table or index, and the root of its partition tree (itself where it is no partition).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Its schema.
    pub schema: String,
    /// Its name in the schema.
    pub name: String,
    /// Whether it is an index.
    pub is_index: bool,
    /// Whether it is a table with rows of its own: a leaf, or not partitioned.
    pub holds_rows: bool,
    /// The root's schema.
    pub root_schema: String,
    /// The root's name.
    pub root_name: String,
    /// Columns of the root's partition key.
    pub partition_key: Vec<String>,
    /// False for an index that PostgreSQL does not use.
    pub valid: bool,
    /// The statement that would create it, where it is an index.
    pub definition: String,
}

impl TryFrom<&Row> for Relation {
    type Error = tokio_postgres::Error;

    fn try_from(row: &Row) -> std::result::Result<Self, Self::Error> {
        Ok(Self {
            schema: row.try_get("schema")?,
            name: row.try_get("name")?,
            is_index: row.try_get("is_index")?,
            holds_rows: row.try_get("holds_rows")?,
            root_schema: row.try_get("root_schema")?,
            root_name: row.try_get("root_name")?,
            partition_key: row.try_get("partition_key")?,
            valid: row.try_get("valid")?,
            definition: row.try_get("definition")?,
        })
    }
}

impl Relation {
    /// The root's qualified name.
    #[must_use]
    pub fn root(&self) -> String {
        format!("{}.{}", self.root_schema, self.root_name)
    }
}

/// The tables and indexes of a database.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    relations: BTreeMap<(String, String), Relation>,
}

impl Catalog {
    /// The catalog of `session`'s database.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn read(session: &Session) -> Result<Self> {
        let doing = || "read the tables and indexes".to_owned();
        let rows = session.query(include_str!("catalog.sql"), &[]).await.doing(doing)?;
        rows.iter().map(Relation::try_from).collect::<std::result::Result<Self, _>>().doing(doing)
    }

    /// The table or index `schema.name`.
    #[must_use]
    pub fn get(&self, schema: &str, name: &str) -> Option<&Relation> {
        self.relations.get(&(schema.to_owned(), name.to_owned()))
    }

    /// The index that contracts call `name`: no leaf's index, in any schema.
    #[must_use]
    pub fn index(&self, name: &str) -> Option<&Relation> {
        self.indexes().find(|index| index.name == name)
    }

    /// The indexes that contracts can name.
    pub fn indexes(&self) -> impl Iterator<Item = &Relation> {
        self.relations.values().filter(|r| r.is_index && r.name == r.root_name && r.schema == r.root_schema)
    }

    /// Whether there is a table with this qualified name.
    #[must_use]
    pub fn has_table(&self, qualified: &str) -> bool {
        self.tables_of(qualified).next().is_some()
    }

    /// How many leaves the table with this qualified name has; 1 where it is not partitioned.
    #[must_use]
    pub fn leaves(&self, qualified: &str) -> usize {
        self.tables_of(qualified).filter(|table| table.holds_rows).count()
    }

    /// The columns that decide in which leaf of the table a row is; none where it is not partitioned.
    #[must_use]
    pub fn partition_key(&self, qualified: &str) -> &[String] {
        self.tables_of(qualified).next().map_or(&[], |table| &table.partition_key)
    }

    fn tables_of(&self, qualified: &str) -> impl Iterator<Item = &Relation> {
        self.relations.values().filter(move |table| !table.is_index && table.root() == qualified)
    }
}

impl FromIterator<Relation> for Catalog {
    fn from_iter<I: IntoIterator<Item = Relation>>(relations: I) -> Self {
        let named = |relation: Relation| ((relation.schema.clone(), relation.name.clone()), relation);
        Self { relations: relations.into_iter().map(named).collect() }
    }
}
