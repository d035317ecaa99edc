//! What is known about the data in the tables, kept in the database itself (schema `omtdb`): a leaf's entry is written in
//! the transaction that loads it, so the two are there together or not at all, whoever is killed.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio_postgres::types::{ToSql, Type};

use super::row::Tally;
use super::{DATA_VERSION, Knob, Layout, Model, Shape, Sizes, Spec, Table};
use crate::pg::error::{Doing as _, Result};
use crate::pg::{PgError, Session};
use crate::verdict::UsageError;

const LEDGER: &str = include_str!("sql/ledger.sql");
const BEGIN: &str =
    "INSERT INTO omtdb.data_set (seed, data_version, users, media, user_media, shape, layout, shards)
    VALUES ($1::text::numeric, $2, $3, $4, $5, $6, $7, $8)";
const RECORD: &str = "INSERT INTO omtdb.loaded (relation, table_name, rows, bytes, checksum)
    VALUES ($1, $2, $3, $4, $5::text::numeric)";
const DATA_SET: &str = "SELECT seed::text AS seed, data_version, users, media, user_media, shape, layout, shards, complete, written_to
    FROM omtdb.data_set";
const WRITTEN_TO: &str = "UPDATE omtdb.data_set SET written_to = TRUE WHERE NOT written_to";
const ENTRIES: &str = "SELECT relation, table_name, rows, bytes, checksum::text AS checksum FROM omtdb.loaded ORDER BY relation";

/// Which data set was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DataSet {
    /// Its seed.
    pub seed: u64,
    /// Its data version.
    pub data_version: u32,
    /// Its sizes.
    pub sizes: Sizes,
    /// Its shape.
    pub shape: Shape,
    /// In which order the rows of a leaf lie.
    pub layout: Layout,
    /// How many runs share its loading.
    pub shards: u32,
    /// Whether everything is there: rows, keys, indexes, foreign keys, statistics.
    pub complete: bool,
    /// Whether a load test has written to it since: what an application does to the rows is not the generator's any more.
    pub written_to: bool,
}

impl DataSet {
    /// Its values.
    #[must_use]
    pub fn model(&self) -> Model {
        Model::new(self.seed, self.sizes, &self.shape)
    }

    /// Whether it is what `spec` asks for, in this version.
    #[must_use]
    pub fn is(&self, spec: &Spec) -> bool {
        (self.seed, self.data_version, self.sizes) == (spec.seed, DATA_VERSION, spec.sizes)
            && (self.shape, self.layout) == (spec.shape, spec.layout)
    }
}

/// What was loaded into one relation: a table, or a leaf of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Qualified name.
    pub relation: String,
    /// Qualified name of the table.
    pub table: String,
    /// Rows, bytes, checksum.
    pub tally: Tally,
}

impl DataSet {
    /// In what it is not what `spec` asks for: its own values.
    pub(super) fn differs(&self, spec: &Spec) -> Vec<String> {
        let mut found = Vec::new();
        let mut say = |differs: bool, what: String| found.extend(differs.then_some(what));
        say(self.seed != spec.seed, format!("seed {}", self.seed));
        say(self.sizes != spec.sizes, self.sizes.to_string());
        say(self.layout != spec.layout, format!("layout {}", self.layout));
        say(self.data_version != DATA_VERSION, format!("data version {}", self.data_version));
        for (knob, name, _) in Knob::all() {
            let value = self.shape.get(knob);
            say(value.to_bits() != spec.shape.get(knob).to_bits(), format!("{name} {value}"));
        }
        found
    }
}

/// Entries added up by table.
#[must_use]
pub fn by_table(entries: &[Entry]) -> BTreeMap<&str, Tally> {
    let mut tables: BTreeMap<&str, Tally> = BTreeMap::new();
    for entry in entries {
        *tables.entry(&entry.table).or_default() += entry.tally;
    }
    tables
}

/// Makes the ledger where there is none.
pub(super) async fn prepare(session: &Session) -> Result<()> {
    session.batch_execute("SET LOCAL client_min_messages = warning").await?;
    session.batch_execute(LEDGER).await.doing(|| "make the ledger, schema omtdb".to_owned())
}

/// Forgets everything and opens the ledger of the data set of `spec`.
pub(super) async fn begin(session: &Session, spec: &Spec) -> Result<()> {
    session.batch_execute("DELETE FROM omtdb.loaded; DELETE FROM omtdb.data_set").await?;
    let Sizes { users, media, user_media } = spec.sizes;
    let [users, media, user_media] = [users, media, user_media].map(u64::cast_signed);
    let (seed, version) = (spec.seed.to_string(), DATA_VERSION.cast_signed());
    let shape = serde_json::to_value(spec.shape).map_err(|error| PgError::broken("", error.to_string()))?;
    let (layout, shards) = (spec.layout.name(), spec.shard.of.get().cast_signed());
    let values: [&(dyn ToSql + Sync); 8] =
        [&seed, &version, &users, &media, &user_media, &shape, &layout, &shards];
    session.execute(BEGIN, &values).await.doing(|| "open the ledger".to_owned())?;
    Ok(())
}

/// What the ledger says was loaded into `relation`.
pub(super) async fn entry(session: &Session, relation: &str) -> Result<Option<Entry>> {
    Ok(entries(session).await?.into_iter().find(|entry| entry.relation == relation))
}

/// Strikes out what was loaded into `relation`.
pub(super) async fn strike(session: &Session, relation: &str) -> Result<()> {
    session.execute("DELETE FROM omtdb.loaded WHERE relation = $1", &[&relation]).await?;
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
    let look = "SELECT pg_catalog.to_regclass('omtdb.load_window') IS NOT NULL AS there";
    let rows = session.query_typed(look, &[]).await.doing(|| "look for the ledger".to_owned())?;
    Ok(rows.first().map(|row| row.try_get("there")).transpose()?.unwrap_or(false))
}

/// The data set that `session`'s database was last filled with; `None` where the generator never ran. Asked without a named
/// statement, for load tests go through poolers, which may give each message another server.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn data_set(session: &Session) -> Result<Option<DataSet>> {
    if !exists(session).await? {
        return Ok(None);
    }
    let doing = || "read the ledger".to_owned();
    let rows = session.query_typed(DATA_SET, &[]).await.doing(doing)?;
    let Some(row) = rows.first() else { return Ok(None) };
    let count = |column| row.try_get::<_, i64>(column).map(i64::cast_unsigned);
    let (seed, layout): (String, String) = (row.try_get("seed")?, row.try_get("layout")?);
    let shape: serde_json::Value = row.try_get("shape")?;
    let broken = |what: String| PgError::broken("read the ledger", what);
    Ok(Some(DataSet {
        seed: seed.parse().map_err(|_| broken(format!("seed {seed}")))?,
        shape: serde_json::from_value(shape).map_err(|error| broken(error.to_string()))?,
        layout: layout.parse().map_err(|_| broken(format!("layout {layout}")))?,
        shards: row.try_get::<_, i32>("shards")?.cast_unsigned(),
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
    session
        .execute_typed(WRITTEN_TO, &[])
        .await
        .doing(|| "note in the ledger that the load writes".to_owned())?;
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
    Ok(Arc::new(data.model()))
}

/// What was loaded, by relation. There must be a ledger.
pub(super) async fn entries(session: &Session) -> Result<Vec<Entry>> {
    let doing = || "read the ledger".to_owned();
    let rows = session.query(ENTRIES, &[]).await.doing(doing)?;
    rows.iter()
        .map(|row| {
            let sum: String = row.try_get("checksum")?;
            let sum = sum.parse().map_err(|_| PgError::broken("", format!("checksum {sum}")))?;
            let count = |column| row.try_get::<_, i64>(column).map(i64::cast_unsigned);
            let tally = Tally { rows: count("rows")?, bytes: count("bytes")?, sum };
            Ok(Entry { relation: row.try_get("relation")?, table: row.try_get("table_name")?, tally })
        })
        .collect::<Result<_>>()
        .doing(doing)
}
