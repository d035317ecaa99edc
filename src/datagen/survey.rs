//! What is in the database before a load.

use super::unit::{Present, Route};
use super::{Model, Table, ledger};
use crate::partition::hash::Router;
use crate::partition::map::{live_leaves, live_months};
use crate::pg::Session;
use crate::pg::error::{Doing as _, Result};
use crate::pg::ident::qualified;

const PROBE: &str = include_str!("sql/probe.sql");
const TABLES: &str = include_str!("sql/tables.sql");
const MOVED: &str = include_str!("sql/moved.sql");
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

/// The tables of the plan that are there, with the way rows take into each, and what is to be said of ways that are not
/// the best. Tables of authentication may be missing, the others must not.
pub(super) async fn present(session: &Session, model: &Model) -> anyhow::Result<(Vec<Present>, Vec<String>)> {
    let names: Vec<&str> = Table::ALL.map(Table::name).to_vec();
    let rows = session.query(TABLES, &[&names]).await.doing(|| "look for the tables".to_owned())?;
    let mut found = Vec::new();
    for row in &rows {
        let name: String = row.try_get("name")?;
        let (oid, partitioned) = (row.try_get("oid")?, row.try_get("partitioned")?);
        let odd: Option<String> = row.try_get("odd_leaf")?;
        let table = Table::ALL.into_iter().find(|table| table.name() == name);
        found.extend(table.map(|table| (table, oid, partitioned, odd)));
    }
    found.sort_by_key(|(table, ..)| *table);
    let there = |table: &Table| found.iter().any(|(present, ..)| present == table);
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
    let moved: bool =
        session.query_one(MOVED, &[]).await.doing(|| "look for the tables".to_owned())?.try_get("moved")?;
    anyhow::ensure!(
        !moved,
        "this database keeps attributes in tables of their own (V22 and later), which omtdb generate does not fill\n  \
         help: generate at version 21 or before, and apply the rest of the migrations afterwards"
    );
    let (mut tables, mut notes) = (Vec::new(), Vec::new());
    for (table, oid, partitioned, odd) in found {
        let route = match (partitioned, odd) {
            (false, _) => Ok(Route::Table { freeze: true }),
            (true, Some(leaf)) => Err(format!("its leaf {leaf} is not an ordinary table")),
            (true, None) => route(session, model, table, oid).await?,
        };
        let route = route.unwrap_or_else(|why| {
            notes
                .push(format!("{} is loaded through its parent, slower and not frozen: {why}", table.name()));
            Route::Table { freeze: false }
        });
        tables.push(Present { table, oid, partitioned, route });
    }
    Ok((tables, notes))
}

/// The way straight into the leaves of a partitioned table, or why there is none.
async fn route(
    session: &Session,
    model: &Model,
    table: Table,
    oid: u32,
) -> anyhow::Result<Result<Route, String>> {
    if table == Table::UserMedia {
        let leaves = live_leaves(session, table.schema(), table.table()).await?;
        let bounds: Vec<(u64, u64)> = leaves.iter().map(|leaf| (leaf.modulus, leaf.remainder)).collect();
        // Leaves with gaps are refused when the load is planned.
        let Ok(router) = Router::new(&bounds) else { return Ok(Ok(Route::Hash(leaves))) };
        let misplaced = misplaced(session, model, oid, &router, &bounds).await?;
        return Ok(match misplaced {
            0 => Ok(Route::Hash(leaves)),
            _ => Err(format!(
                "the server puts {misplaced} of {PROBES} users into other leaves than omtdb would, so its hash differs \
                 (another byte order, or another operator class)"
            )),
        });
    }
    if table != Table::LoginEvents {
        return Ok(Err("its rows are not in the order of its leaves".to_owned()));
    }
    let leaves = live_months(session, table.schema(), table.table()).await?;
    Ok(leaves.map(Route::Months).ok_or_else(|| "its leaves are not bounded by moments".to_owned()))
}

/// Users by which our hash is compared with the server's.
const PROBES: u64 = 1000;

/// How many of the first users the server puts into other leaves than we do.
async fn misplaced(
    session: &Session,
    model: &Model,
    parent: u32,
    router: &Router,
    bounds: &[(u64, u64)],
) -> anyhow::Result<i64> {
    let keys: Vec<uuid::Uuid> = (0..PROBES).map(|index| model.user_id(index)).collect();
    let bound = |key: &uuid::Uuid| bounds[router.leaf(*key)];
    let narrow = |number: u64| i32::try_from(number).unwrap_or(i32::MAX);
    let moduli: Vec<i32> = keys.iter().map(|key| narrow(bound(key).0)).collect();
    let remainders: Vec<i32> = keys.iter().map(|key| narrow(bound(key).1)).collect();
    let row = session.query_one(PROBE, &[&parent, &keys, &moduli, &remainders]).await;
    Ok(row.doing(|| "probe the server's partition hash".to_owned())?.try_get("misplaced")?)
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
    let known = ledger::by_table(&known);
    let mut foreign = Vec::new();
    for Present { table, .. } in tables {
        let relation = qualified(table.schema(), table.table());
        let differs = match known.get(table.name()) {
            Some(tally) => count(session, &relation).await? != tally.rows.cast_signed(),
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

/// Number of rows of `relation`, named as in the ledger; `None` where it is not there.
pub(super) async fn count_of(session: &Session, relation: &str) -> Result<Option<u64>> {
    match find(session, relation).await? {
        Some(quoted) => Ok(Some(count(session, &quoted).await?.cast_unsigned())),
        None => Ok(None),
    }
}

async fn count(session: &Session, relation: &str) -> Result<i64> {
    let row = session.query_one(&format!("SELECT pg_catalog.count(*) AS rows FROM {relation}"), &[]).await;
    Ok(row.doing(|| format!("count the rows of {relation}"))?.try_get("rows")?)
}

/// The quoted name of `relation`, named as in the ledger, where it is there.
async fn find(session: &Session, relation: &str) -> Result<Option<String>> {
    let (schema, name) = relation.split_once('.').unwrap_or(("public", relation));
    let quoted = qualified(schema, name);
    let there = session.query_one("SELECT pg_catalog.to_regclass($1) IS NOT NULL AS there", &[&quoted]).await;
    let there: bool = there.doing(|| format!("look for {relation}"))?.try_get("there")?;
    Ok(there.then_some(quoted))
}

/// Whether `relation`, named as in the ledger, is there and has rows.
pub(super) async fn holds_rows(session: &Session, relation: &str) -> Result<bool> {
    match find(session, relation).await? {
        Some(quoted) => has_rows(session, &quoted).await,
        None => Ok(false),
    }
}

async fn has_rows(session: &Session, relation: &str) -> Result<bool> {
    let row = session.query_one(&format!("SELECT EXISTS (SELECT FROM {relation}) AS any"), &[]).await;
    Ok(row.doing(|| format!("look for rows in {relation}"))?.try_get("any")?)
}
