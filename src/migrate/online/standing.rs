//! What there is of a table, its leaves and their indexes.

use tokio_postgres::Row;

use crate::pg::Session;
use crate::pg::error::{Doing as _, PgError, Result};

/// Each query by its file's name.
pub(in crate::migrate) const QUERIES: [(&str, &str); 2] = [("relation", RELATION), ("standing", STANDING)];

const RELATION: &str = include_str!("relation.sql");
const STANDING: &str = include_str!("standing.sql");

/// A relation found by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::migrate) struct Found {
    pub(super) oid: u32,
    /// `r` table, `p` partitioned table, `i` index, `I` partitioned index.
    pub(super) kind: String,
    /// The table of an index.
    pub(super) table: Option<u32>,
    pub(in crate::migrate) valid: bool,
}

/// A table, its leaves and their indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    /// The table.
    pub(super) table: Relation,
    /// Its leaves, by name; none for a table that is not partitioned.
    pub(super) leaves: Vec<Relation>,
}

/// A table or leaf with its indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) oid: u32,
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) divided: bool,
    pub(super) indexes: Vec<Existing>,
}

/// An index that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Existing {
    pub(super) oid: u32,
    pub(super) name: String,
    pub(super) valid: bool,
    /// What does not depend on names: `UNIQUE` where it is, method, keys and what follows.
    pub(super) definition: String,
    /// The partitioned index it is attached to.
    pub(super) part_of: Option<u32>,
}

impl Relation {
    /// The index called `name`.
    pub(super) fn index(&self, name: &str) -> Option<&Existing> {
        self.indexes.iter().find(|one| one.name == name)
    }
}

/// The relation called `quoted`, a quoted and qualified name.
pub(in crate::migrate) async fn find(session: &Session, quoted: &str) -> Result<Option<Found>> {
    let row = session.query_opt(RELATION, &[&quoted]).await.doing(|| format!("look for {quoted}"))?;
    let found = |row: &Row| {
        Ok::<_, PgError>(Found {
            oid: row.try_get("oid")?,
            kind: row.try_get("kind")?,
            table: row.try_get("table_oid")?,
            valid: row.try_get("valid")?,
        })
    };
    row.as_ref().map(found).transpose()
}

/// What there is of the table with this oid.
pub(super) async fn read(session: &Session, table: u32) -> Result<Standing> {
    let rows = session.query(STANDING, &[&table]).await.doing(|| "read the table's indexes".to_owned())?;
    let mut relations: Vec<(bool, Relation)> = Vec::new();
    for row in &rows {
        let oid = row.try_get("relation")?;
        if relations.last().is_none_or(|(_, last)| last.oid != oid) {
            relations.push((row.try_get("leaf")?, relation(row, oid)?));
        }
        if let (Some(index), Some((_, last))) = (existing(row)?, relations.last_mut()) {
            last.indexes.push(index);
        }
    }
    let gone = || PgError::broken("read the table's indexes", "the table is gone");
    let (leaves, mut tables): (Vec<_>, Vec<_>) = relations.into_iter().partition(|(leaf, _)| *leaf);
    let (_, table) = tables.pop().ok_or_else(gone)?;
    Ok(Standing { table, leaves: leaves.into_iter().map(|(_, leaf)| leaf).collect() })
}

fn relation(row: &Row, oid: u32) -> Result<Relation> {
    Ok(Relation {
        oid,
        schema: row.try_get("schema")?,
        name: row.try_get("name")?,
        divided: row.try_get("divided")?,
        indexes: Vec::new(),
    })
}

fn existing(row: &Row) -> Result<Option<Existing>> {
    let Some(oid) = row.try_get("index_oid")? else { return Ok(None) };
    let text: String = row.try_get("definition")?;
    Ok(Some(Existing {
        oid,
        name: row.try_get("index_name")?,
        valid: row.try_get("valid")?,
        definition: crate::schema::index_definition(&text, &[]),
        part_of: row.try_get("part_of")?,
    }))
}
