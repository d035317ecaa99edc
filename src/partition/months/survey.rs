//! What there is of a table that is partitioned by month: read-only.

use std::collections::BTreeMap;

use tokio_postgres::{IsolationLevel, Row, Transaction};

use crate::partition::map::LEAVES;
use crate::partition::month::Month;
use crate::pg::error::{Doing as _, PgError, Result};
use crate::pg::{Session, ident};

/// The queries by their files' names; both take schema and table as `$1` and `$2`.
pub const QUERIES: [(&str, &str); 2] = [("table", TABLE), ("unattached", UNATTACHED)];

const TABLE: &str = include_str!("table.sql");
const UNATTACHED: &str = include_str!("unattached.sql");

/// A table that is partitioned by month, as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// Schema of the table and of new leaves.
    pub schema: String,
    /// Name of the table.
    pub table: String,
    /// The column whose month decides on the leaf.
    pub key: String,
    /// Columns that can be inserted into, in order.
    pub columns: Vec<String>,
    /// Its foreign keys, by name and definition.
    pub foreign_keys: Vec<(String, String)>,
    /// The role that is to own new leaves; `None` where that is the role at work.
    pub owner: Option<String>,
    /// The month that it is now, by the server's clock.
    pub now: Month,
    /// Its leaves but the default one.
    pub leaves: Vec<Leaf>,
    /// Schema and name of its default leaf.
    pub default: Option<(String, String)>,
    /// Rows in the default leaf, by month; `None` for those at infinity or beyond the year 9999.
    pub default_rows: BTreeMap<Option<Month>, u64>,
    /// Tables that are named as a leaf would be and are none, and whether this command has built them.
    pub unattached: BTreeMap<String, bool>,
}

/// A leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its bound as PostgreSQL prints it in UTC.
    pub bound: String,
}

/// Reads how `schema.table` stands, in one snapshot. Reads every row of the default leaf.
///
/// # Errors
/// When the server refuses, or the table is not partitioned by the range of one `timestamptz` column.
pub async fn survey(session: &mut Session, schema: &str, table: &str) -> Result<Survey> {
    let doing = || format!("read the months of {schema}.{table}");
    let snapshot = session
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .doing(doing)?;
    let survey = read(&snapshot, schema, table).await.doing(doing)?;
    snapshot.rollback().await.doing(doing)?;
    survey.ok_or_else(|| {
        PgError::broken(doing(), "it is no table partitioned by the range of one timestamptz column")
            .help("apply the migrations, or name another table with --table SCHEMA.NAME")
    })
}

async fn read(snapshot: &Transaction<'_>, schema: &str, table: &str) -> Result<Option<Survey>> {
    snapshot
        .batch_execute("SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO'; SET LOCAL search_path = ''")
        .await?;
    let Some(row) = snapshot.query_opt(TABLE, &[&schema, &table]).await? else { return Ok(None) };
    let Some(mut survey) = described(&row, schema, table)? else { return Ok(None) };
    for row in snapshot.query(LEAVES, &[&schema, &table]).await? {
        let leaf =
            Leaf { schema: row.try_get("schema")?, name: row.try_get("name")?, bound: row.try_get("bound")? };
        if leaf.bound == "DEFAULT" {
            survey.default = Some((leaf.schema, leaf.name));
        } else {
            survey.leaves.push(leaf);
        }
    }
    for row in snapshot.query(UNATTACHED, &[&schema, &table]).await? {
        survey.unattached.insert(row.try_get("name")?, row.try_get("ours")?);
    }
    survey.default_rows = default_rows(snapshot, &survey).await?;
    Ok(Some(survey))
}

/// A survey without leaves; `None` where the key is not one column of moments.
fn described(row: &Row, schema: &str, table: &str) -> Result<Option<Survey>> {
    let key: Vec<String> = row.try_get("key")?;
    let (names, definitions): (Vec<String>, Vec<String>) =
        (row.try_get("foreign_keys")?, row.try_get("definitions")?);
    let (owner, owned): (String, bool) = (row.try_get("owner")?, row.try_get("owned")?);
    let now: String = row.try_get("this_month")?;
    let now =
        Month::parse(&now).ok_or_else(|| PgError::broken("", format!("the server's month is {now}")))?;
    let Some(key) = key.into_iter().next() else { return Ok(None) };
    Ok(Some(Survey {
        schema: schema.to_owned(),
        table: table.to_owned(),
        key,
        columns: row.try_get("columns")?,
        foreign_keys: names.into_iter().zip(definitions).collect(),
        owner: (!owned).then_some(owner),
        now,
        leaves: Vec::new(),
        default: None,
        default_rows: BTreeMap::new(),
        unattached: BTreeMap::new(),
    }))
}

async fn default_rows(snapshot: &Transaction<'_>, survey: &Survey) -> Result<BTreeMap<Option<Month>, u64>> {
    let Some((schema, name)) = &survey.default else { return Ok(BTreeMap::new()) };
    let key = ident::quoted(&survey.key);
    let sql = format!(
        "SELECT CASE WHEN pg_catalog.isfinite(d.{key}) THEN pg_catalog.to_char(d.{key} AT TIME ZONE 'UTC', 'YYYY-MM') END AS month, \
         pg_catalog.count(*) AS rows FROM ONLY {} AS d GROUP BY 1",
        ident::qualified(schema, name)
    );
    let mut found = BTreeMap::new();
    for row in snapshot.query(&sql, &[]).await? {
        let (month, rows): (Option<String>, i64) = (row.try_get("month")?, row.try_get("rows")?);
        *found.entry(month.as_deref().and_then(Month::parse)).or_default() += rows.unsigned_abs();
    }
    Ok(found)
}
