//! What is in the database before a load.

use super::unit::Present;
use super::{Table, ledger};
use crate::pg::Session;
use crate::pg::error::{Doing as _, Result};
use crate::pg::ident::qualified;

const TABLES: &str = include_str!("sql/tables.sql");
const DEPENDENTS: &str = include_str!("sql/dependents.sql");

/// Tables hold rows that the generator did not load.
#[derive(Debug, thiserror::Error)]
#[error("these tables hold rows that omtdb generate did not load: {}", .0.join(", "))]
pub struct ForeignRows(pub Vec<String>);

/// A table that is not the generator's.
#[derive(Debug, Clone)]
pub(super) struct Other {
    schema: String,
    name: String,
}

impl Other {
    pub(super) fn quoted(&self) -> String {
        qualified(&self.schema, &self.name)
    }
}

/// The tables of the plan that are there. Those of authentication may be missing, the others must not.
pub(super) async fn present(session: &Session) -> anyhow::Result<Vec<Present>> {
    let names: Vec<&str> = Table::ALL.map(Table::name).to_vec();
    let rows = session.query(TABLES, &[&names]).await.doing(|| "look for the tables".to_owned())?;
    let mut found = Vec::new();
    for row in &rows {
        let name: String = row.try_get("name")?;
        let (oid, partitioned) = (row.try_get("oid")?, row.try_get("partitioned")?);
        let table = Table::ALL.into_iter().find(|table| table.name() == name);
        found.extend(table.map(|table| Present { table, oid, partitioned }));
    }
    found.sort_by_key(|present| present.table);
    let there = |table: &Table| found.iter().any(|present| present.table == *table);
    let missing: Vec<&str> = Table::ALL
        .into_iter()
        .filter(|table| table.schema() != "auth" && !there(table))
        .map(Table::name)
        .collect();
    anyhow::ensure!(
        missing.is_empty(),
        "there is no {}: bring the database up to date with omtdb migrate apply",
        missing.join(", ")
    );
    Ok(found)
}

/// Tables whose foreign keys point at those of the generator.
pub(super) async fn dependents(session: &Session, tables: &[Present]) -> Result<Vec<Other>> {
    let oids: Vec<u32> = tables.iter().map(|present| present.oid).collect();
    let rows = session.query(DEPENDENTS, &[&oids]).await.doing(|| "look for dependent tables".to_owned())?;
    rows.iter()
        .map(|row| Ok(Other { schema: row.try_get("schema_name")?, name: row.try_get("name")? }))
        .collect()
}

/// Fails where tables hold other rows than the ledger says, unless `allowed`.
pub(super) async fn refuse_foreign(
    session: &Session,
    tables: &[Present],
    allowed: bool,
) -> anyhow::Result<()> {
    if allowed {
        return Ok(());
    }
    let known = if ledger::exists(session).await? { ledger::entries(session).await? } else { Vec::new() };
    let mut foreign = Vec::new();
    for Present { table, .. } in tables {
        let relation = qualified(table.schema(), table.table());
        let recorded = known.iter().find(|entry| entry.table == table.name());
        let differs = match recorded {
            Some(entry) => count(session, &relation).await? != entry.tally.rows.cast_signed(),
            None => has_rows(session, &relation).await?,
        };
        if differs {
            foreign.push(table.name().to_owned());
        }
    }
    for other in dependents(session, tables).await? {
        if has_rows(session, &other.quoted()).await? {
            foreign.push(format!("{}.{}", other.schema, other.name));
        }
    }
    if foreign.is_empty() { Ok(()) } else { Err(ForeignRows(foreign).into()) }
}

async fn count(session: &Session, relation: &str) -> Result<i64> {
    let row = session.query_one(&format!("SELECT pg_catalog.count(*) AS rows FROM {relation}"), &[]).await;
    Ok(row.doing(|| format!("count the rows of {relation}"))?.try_get("rows")?)
}

async fn has_rows(session: &Session, relation: &str) -> Result<bool> {
    let row = session.query_one(&format!("SELECT EXISTS (SELECT FROM {relation}) AS any"), &[]).await;
    Ok(row.doing(|| format!("look for rows in {relation}"))?.try_get("any")?)
}
