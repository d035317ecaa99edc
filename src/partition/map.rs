//! The live leaves of a hash-partitioned table, always from the catalog: during a split moduli are mixed, and arithmetic
//! on names would be wrong.

use std::ops::Range;

use tokio_postgres::Row;

use super::bound::HashBound;
use crate::pg::Session;
use crate::pg::error::{Doing as _, PgError, Result};

/// The leaves of a partitioned table: `$1` schema, `$2` table.
pub const LEAVES: &str = include_str!("leaves.sql");

/// A leaf of a hash-partitioned table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Its oid.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name, without the schema.
    pub name: String,
    /// Modulus of its bound.
    pub modulus: u64,
    /// Remainder of its bound.
    pub remainder: u64,
}

impl Leaf {
    /// Its bound.
    #[must_use]
    pub fn bound(&self) -> HashBound {
        HashBound { modulus: self.modulus, remainder: self.remainder }
    }
}

/// A leaf of a table that is partitioned by time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonthLeaf {
    /// Its schema.
    pub schema: String,
    /// Its name, without the schema.
    pub name: String,
    /// The moments that it takes, in microseconds since 2000; `None` for the default leaf.
    pub months: Option<Range<i64>>,
}

/// The leaves of `schema.table`, which is partitioned by one column of moments; none when there is no such table. `None`
/// where a bound is of another kind. The session's time zone is to be UTC.
///
/// # Errors
/// When the server refuses.
pub async fn live_months(session: &Session, schema: &str, table: &str) -> Result<Option<Vec<MonthLeaf>>> {
    let doing = || format!("read the leaves of {schema}.{table}");
    let rows = session.query(LEAVES, &[&schema, &table]).await.doing(doing)?;
    let leaf = |row: &Row| {
        let bound: String = row.try_get("bound")?;
        let months = super::bound::moments(&bound);
        let known = months.is_some() || bound == "DEFAULT";
        let leaf = MonthLeaf { schema: row.try_get("schema")?, name: row.try_get("name")?, months };
        Ok(known.then_some(leaf))
    };
    rows.iter().map(leaf).collect::<Result<Option<Vec<_>>>>().doing(doing)
}

/// The leaves of `schema.table` by modulus and remainder; none when there is no such partitioned table.
///
/// # Errors
/// When the server refuses, or a leaf's bound is not one of hashes.
pub async fn live_leaves(session: &Session, schema: &str, table: &str) -> Result<Vec<Leaf>> {
    let doing = || format!("read the leaves of {schema}.{table}");
    let rows = session.query(LEAVES, &[&schema, &table]).await.doing(doing)?;
    let mut leaves = rows.iter().map(leaf).collect::<Result<Vec<_>>>().doing(doing)?;
    leaves.sort_unstable_by_key(|leaf| (leaf.modulus, leaf.remainder));
    Ok(leaves)
}

fn leaf(row: &Row) -> Result<Leaf> {
    let name: String = row.try_get("name")?;
    let text: String = row.try_get("bound")?;
    let bound = HashBound::parse(&text)
        .ok_or_else(|| PgError::broken("", format!("leaf {name} is not bounded by a hash but {text}")))?;
    Ok(Leaf {
        oid: row.try_get("oid")?,
        schema: row.try_get("schema")?,
        name,
        modulus: bound.modulus,
        remainder: bound.remainder,
    })
}
