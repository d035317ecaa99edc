//! What is known about the data in the tables, kept in the database itself (schema `omtdb`): a leaf's entry is written in
//! the transaction that loads it, so the two are there together or not at all, whoever is killed.

use std::sync::Arc;

use tokio_postgres::types::Type;

use super::row::Tally;
use super::{DATA_VERSION, Model, Sizes, Table};
use crate::pg::error::{Doing as _, Result};
use crate::pg::{PgError, Session};
use crate::verdict::UsageError;

const LEDGER: &str = include_str!("sql/ledger.sql");
const BEGIN: &str = "INSERT INTO omtdb.data_set (seed, data_version, users, media, user_media)
    VALUES ($1::text::numeric, $2, $3, $4, $5)";
const RECORD: &str = "INSERT INTO omtdb.loaded (relation, table_name, rows, bytes, checksum)
    VALUES ($1, $2, $3, $4, $5::text::numeric)";
const DATA_SET: &str = "SELECT seed::text AS seed, data_version, users, media, user_media, complete, written_to FROM omtdb.data_set";
const WRITTEN_TO: &str = "UPDATE omtdb.data_set SET written_to = TRUE WHERE NOT written_to";
const TOTALS: &str =
    "SELECT table_name, pg_catalog.sum(rows)::int8 AS rows, pg_catalog.sum(bytes)::int8 AS bytes,
    pg_catalog.sum(checksum)::text AS checksum FROM omtdb.loaded GROUP BY table_name";

/// Which data set was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataSet {
    /// Its seed.
    pub seed: u64,
    /// Its data version.
    pub data_version: u32,
    /// Its sizes.
    pub sizes: Sizes,
    /// Whether everything is there: rows, keys, indexes, foreign keys, statistics.
    pub complete: bool,
    /// Whether a load test has written to it since: what an application does to the rows is not the generator's any more.
    pub written_to: bool,
}

/// What was loaded into one table, over all of its leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Qualified name.
    pub table: String,
    /// Rows, bytes, checksum.
    pub tally: Tally,
}

/// Makes the ledger where there is none.
pub(super) async fn prepare(session: &Session) -> Result<()> {
    session.batch_execute("SET LOCAL client_min_messages = warning").await?;
    session.batch_execute(LEDGER).await.doing(|| "make the ledger, schema omtdb".to_owned())
}

/// Forgets everything and opens the ledger of `seed` and `sizes`.
pub(super) async fn begin(session: &Session, seed: u64, sizes: Sizes) -> Result<()> {
    session.batch_execute("DELETE FROM omtdb.loaded; DELETE FROM omtdb.data_set").await?;
    let counts = [sizes.users, sizes.media, sizes.user_media].map(u64::cast_signed);
    let [users, media, user_media] = counts;
    let version = DATA_VERSION.cast_signed();
    let doing = || "open the ledger".to_owned();
    session.execute(BEGIN, &[&seed.to_string(), &version, &users, &media, &user_media]).await.doing(doing)?;
    Ok(())
}

/// Enters what the transaction under way has loaded into `relation`, which is `table` or a leaf of it.
pub(super) async fn record(session: &Session, relation: &str, table: Table, tally: Tally) -> Result<()> {
    let (rows, bytes) = (tally.rows.cast_signed(), tally.bytes.cast_signed());
    let values = [(&relation as _, Type::TEXT), (&table.name() as _, Type::TEXT)];
    let checksum = tally.checksum();
    let rest = [(&rows as _, Type::INT8), (&bytes as _, Type::INT8), (&checksum as _, Type::TEXT)];
    let values: Vec<_> = values.into_iter().chain(rest).collect();
    session.execute_typed(RECORD, &values).await?;
    Ok(())
}

/// Says that everything is there.
pub(super) async fn complete(session: &Session) -> Result<()> {
    session
        .batch_execute("UPDATE omtdb.data_set SET complete = TRUE")
        .await
        .doing(|| "close the ledger".to_owned())
}

/// Whether there is a ledger.
pub(super) async fn exists(session: &Session) -> Result<bool> {
    let row =
        session.query_one("SELECT pg_catalog.to_regclass('omtdb.built') IS NOT NULL AS there", &[]).await;
    Ok(row.doing(|| "look for the ledger".to_owned())?.try_get("there")?)
}

/// The data set that `session`'s database was last filled with; `None` where the generator never ran.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn data_set(session: &Session) -> Result<Option<DataSet>> {
    if !exists(session).await? {
        return Ok(None);
    }
    let doing = || "read the ledger".to_owned();
    let Some(row) = session.query_opt(DATA_SET, &[]).await.doing(doing)? else { return Ok(None) };
    let count = |column| row.try_get::<_, i64>(column).map(i64::cast_unsigned);
    let seed: String = row.try_get("seed")?;
    Ok(Some(DataSet {
        seed: seed.parse().map_err(|_| PgError::broken("read the ledger", format!("seed {seed}")))?,
        data_version: row.try_get::<_, i32>("data_version")?.cast_unsigned(),
        sizes: Sizes { users: count("users")?, media: count("media")?, user_media: count("user_media")? },
        complete: row.try_get("complete")?,
        written_to: row.try_get("written_to")?,
    }))
}

/// Notes that a load test is about to write to the data set.
///
/// # Errors
/// When the ledger cannot be written.
pub async fn note_writes(session: &Session) -> Result<()> {
    session.execute(WRITTEN_TO, &[]).await.doing(|| "note in the ledger that the load writes".to_owned())?;
    Ok(())
}

/// The model of the data in `session`'s database: what values to bind are drawn from.
///
/// # Errors
/// [`UsageError`] where the generator has not filled it, not to the end, or in another version; when the ledger cannot
/// be read.
pub async fn model(session: &Session) -> anyhow::Result<Arc<Model>> {
    let refuse = |why: String| UsageError(format!("{why}\n  help: `omtdb generate` fills it"));
    let data = data_set(session).await?;
    let data =
        data.ok_or_else(|| refuse("the database holds no generated data to draw values from".to_owned()))?;
    if data.data_version != DATA_VERSION {
        let version = data.data_version;
        return Err(
            refuse(format!("its data is of version {version}, this omtdb's is {DATA_VERSION}")).into()
        );
    }
    if !data.complete {
        return Err(refuse("the last `omtdb generate` on it was cut short".to_owned()).into());
    }
    Ok(Arc::new(Model::new(data.seed, data.sizes)))
}

/// What was loaded, by table. There must be a ledger.
pub(super) async fn entries(session: &Session) -> Result<Vec<Entry>> {
    let doing = || "read the ledger".to_owned();
    let rows = session.query(TOTALS, &[]).await.doing(doing)?;
    rows.iter()
        .map(|row| {
            let sum: String = row.try_get("checksum")?;
            let sum = sum.parse().map_err(|_| PgError::broken("", format!("checksum {sum}")))?;
            let count = |column| row.try_get::<_, i64>(column).map(i64::cast_unsigned);
            let tally = Tally { rows: count("rows")?, bytes: count("bytes")?, sum };
            Ok(Entry { table: row.try_get("table_name")?, tally })
        })
        .collect::<Result<_>>()
        .doing(doing)
}
