//! The tables whose content a drill proves.

use tokio_postgres::Row;

use crate::pg::Session;
use crate::pg::error::{Doing as _, PgError};
use crate::pg::ident::{qualified, quoted};

/// Schemas whose content is proven: those of the plan.
pub const SCHEMAS: [&str; 4] = ["auth", "interaction", "media", "users"];

const QUERY: &str = include_str!("relations.sql");

/// A table or leaf, as `relations.sql` finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relation {
    schema: String,
    name: String,
    /// Whether it is no partition of another.
    pub(super) is_root: bool,
    /// Whether it holds rows itself.
    pub(super) is_leaf: bool,
    /// Columns of its primary key, in order; empty without one.
    key: Vec<String>,
    /// A column that a time stamp can be written to without touching a key.
    pub(super) stamp: Option<String>,
}

impl Relation {
    pub(super) async fn all(session: &Session) -> Result<Vec<Self>, PgError> {
        let rows = session.query(QUERY, &[&SCHEMAS.as_slice()]).await;
        rows.and_then(|rows| rows.iter().map(Self::try_from).collect())
            .doing(|| "list the tables to prove".to_owned())
    }

    /// `schema.name`, for people.
    pub(super) fn label(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// Its name inside SQL.
    pub(super) fn quoted(&self) -> String {
        qualified(&self.schema, &self.name)
    }

    /// Whether a user has many rows in it.
    pub(super) fn is_by_user(&self) -> bool {
        self.key.len() > 1 && self.key[0] == "user_id"
    }

    /// `sql` with this relation's names in place of `{leaf}` and `{key}`. Without a primary key the whole row is the key.
    pub(super) fn fill_in(&self, sql: &str) -> String {
        let columns: Vec<String> = self.key.iter().map(|column| format!("t.{}", quoted(column))).collect();
        let key =
            if columns.is_empty() { "pg_catalog.record_send(t)".to_owned() } else { columns.join(", ") };
        sql.replace("{leaf}", &self.quoted()).replace("{key}", &key)
    }
}

impl TryFrom<&Row> for Relation {
    type Error = tokio_postgres::Error;

    fn try_from(row: &Row) -> Result<Self, Self::Error> {
        Ok(Self {
            schema: row.try_get("schema")?,
            name: row.try_get("name")?,
            is_root: row.try_get("is_root")?,
            is_leaf: row.try_get("is_leaf")?,
            key: row.try_get("key")?,
            stamp: row.try_get("stamp")?,
        })
    }
}
