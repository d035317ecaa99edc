//! What the rules judge: read once, in one snapshot of the catalog.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::foreign_key::ForeignKey;
use super::index::Index;
use super::stale_parent_statistics::ParentStatistics;
use crate::pg::Session;
use crate::pg::error::{Doing as _, Result};

/// The catalog and the statistics views, as far as the rules need them.
#[derive(Debug, Clone, Default)]
pub(super) struct Evidence {
    pub(super) indexes: Vec<Index>,
    pub(super) foreign_keys: Vec<ForeignKey>,
    pub(super) partitions: Vec<Partition>,
    pub(super) parents: Vec<ParentStatistics>,
    pub(super) window: Window,
    /// Major version of the server: what it can do decides what is proposed.
    pub(super) major: u32,
}

/// A table in a partition tree, the root included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Partition {
    pub(super) oid: u32,
    pub(super) schema: String,
    pub(super) name: String,
    /// The table it is a partition of; none for the root.
    pub(super) parent_oid: Option<u32>,
    pub(super) is_leaf: bool,
}

impl TryFrom<&Row> for Partition {
    type Error = tokio_postgres::Error;

    fn try_from(row: &Row) -> std::result::Result<Self, Self::Error> {
        Ok(Self {
            oid: row.try_get("oid")?,
            schema: row.try_get("schema")?,
            name: row.try_get("name")?,
            parent_oid: row.try_get("parent_oid")?,
            is_leaf: row.try_get("is_leaf")?,
        })
    }
}

/// What the scan counters cover.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Window {
    /// Since when they count; `None` where the server does not say.
    pub(super) since: Option<Timestamp>,
    /// How long that is, in days.
    pub(super) days: Option<f64>,
    /// Receivers of this server's WAL: scans on standbys are counted there.
    pub(super) standbys: i64,
}

impl TryFrom<&Row> for Window {
    type Error = tokio_postgres::Error;

    fn try_from(row: &Row) -> std::result::Result<Self, Self::Error> {
        Ok(Self {
            since: row.try_get("since")?,
            days: row.try_get("days")?,
            standbys: row.try_get("standbys")?,
        })
    }
}

impl Evidence {
    /// Reads it in one read-only transaction, so that the parts agree.
    pub(super) async fn read(session: &Session) -> Result<Self> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        session.batch_execute(begin).await.doing(|| "begin".to_owned())?;
        let windows: Vec<Window> = rows(session, include_str!("statistics_window.sql")).await?;
        let evidence = Self {
            indexes: rows(session, include_str!("index.sql")).await?,
            foreign_keys: rows(session, include_str!("foreign_key.sql")).await?,
            partitions: rows(session, include_str!("partition_tree.sql")).await?,
            parents: rows(session, include_str!("stale_parent_statistics.sql")).await?,
            window: windows.into_iter().next().unwrap_or_default(),
            major: session.version().major(),
        };
        session.batch_execute("COMMIT").await.doing(|| "end the transaction".to_owned())?;
        Ok(evidence)
    }

    /// The partitions directly below the table `oid`.
    pub(super) fn partitions_of(&self, oid: u32) -> impl Iterator<Item = &Partition> {
        self.partitions.iter().filter(move |partition| partition.parent_oid == Some(oid))
    }

    /// The index that is attached to `parent` on the partition `table_oid`.
    pub(super) fn attached(&self, parent: &Index, table_oid: u32) -> Option<&Index> {
        self.indexes.iter().find(|index| index.parent_oid == Some(parent.oid) && index.table_oid == table_oid)
    }
}

async fn rows<T>(session: &Session, sql: &str) -> Result<Vec<T>>
where
    T: for<'a> TryFrom<&'a Row, Error = tokio_postgres::Error>,
{
    let named = || {
        let name = sql.trim_start_matches("-- ").split(':').next().unwrap_or_default();
        format!("query {name}")
    };
    let rows = session.query(sql, &[]).await.doing(named)?;
    rows.iter().map(T::try_from).collect::<std::result::Result<_, _>>().doing(named)
}
