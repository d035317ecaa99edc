//! `generate verify`: whether the database still holds what was generated. Everything is recomputed on the server.

use super::model::NOW;
use super::row::Tally;
use super::survey;
use super::unit::{Present, Route};
use super::work::{open, stoppable};
use super::{Check, DATA_VERSION, Model, Table, Verified, calibration, ledger, window};
use crate::partition::map::live_leaves;
use crate::pg::error::{Doing as _, Result};
use crate::pg::ident::{qualified, quoted};
use crate::pg::{PgError, Session, Target};
use crate::run::Run;
use crate::verdict::Verdict;

const TIMES: &str = include_str!("sql/times.sql");

impl Verified {
    /// Fails where one check failed.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        Verdict::from_ok(self.checks.iter().all(|check| check.ok))
    }
}

/// Compares the database of `target` with the data set that its ledger says was loaded: counts with the model, checksums
/// with the ledger, references, leaves and times with what must hold.
///
/// # Errors
/// Where nothing was ever generated, and whatever the server refuses.
pub async fn verify(run: &Run, target: &Target) -> anyhow::Result<Verified> {
    let session = open(target).await?;
    let checks = stoppable(run, &session, all(run, &session)).await;
    if let Ok(session) = std::sync::Arc::try_unwrap(session) {
        session.close().await;
    }
    Ok(Verified { checks: checks? })
}

async fn all(run: &Run, session: &Session) -> anyhow::Result<Vec<Check>> {
    let Some(data_set) = ledger::data_set(session).await? else {
        anyhow::bail!("nothing was generated into this database: run omtdb generate first");
    };
    anyhow::ensure!(
        data_set.data_version == DATA_VERSION,
        "the data are of version {}, this omtdb makes version {DATA_VERSION}: generate them again",
        data_set.data_version
    );
    let mut checks = vec![
        check("the load was finished", true, data_set.complete),
        check("settings still changed for a load", 0, window::left_open(session).await?),
    ];
    let model = data_set.model();
    let (tables, _) = survey::present(session, &model).await?;
    if data_set.written_to {
        checks.push(Check {
            name: "rows, checksums and times".to_owned(),
            expected: "as generated, or written to by a load test".to_owned(),
            found: "written to by a load test, not compared".to_owned(),
            ok: true,
        });
    } else {
        checks.extend(contents(run, session, &tables, &model).await?);
        checks.extend(times(session).await?);
        checks.extend(calibration::checks(run, session, &model).await?);
    }
    checks.extend(references(run, session, &tables).await?);
    checks.extend(placement(run, session, &tables).await?);
    Ok(checks)
}

fn check(name: impl Into<String>, expected: impl ToString, found: impl ToString) -> Check {
    let (expected, found) = (expected.to_string(), found.to_string());
    Check { name: name.into(), ok: expected == found, expected, found }
}

/// Rows and checksum of every table.
async fn contents(
    run: &Run,
    session: &Session,
    tables: &[Present],
    model: &Model,
) -> anyhow::Result<Vec<Check>> {
    let task = run.task("contents", Some(tables.len() as u64), "tables");
    let entries = ledger::entries(session).await?;
    let loaded = ledger::by_table(&entries);
    let mut checks = Vec::new();
    for Present { table, .. } in tables.iter().cloned() {
        let found = tally(session, table).await?;
        let expected = loaded.get(table.name()).map_or_else(|| "not loaded".to_owned(), Tally::checksum);
        checks.push(check(format!("rows of {}", table.name()), table.rows(model), found.rows));
        checks.push(check(format!("checksum of {}", table.name()), expected, found.checksum()));
        task.advance(1);
    }
    checks.push(leaves(session, tables).await?);
    Ok(checks)
}

/// Rows and checksum of `table` as the server computes them over what it stores; bytes are left out.
async fn tally(session: &Session, table: Table) -> Result<Tally> {
    let column = |column: &super::column::Column| {
        let cast = if column.is.hashed_as_text() { "::text" } else { "" };
        format!("{}{cast}", quoted(column.name))
    };
    let columns: Vec<String> = table.columns().iter().map(column).collect();
    let sql = format!(
        "SELECT pg_catalog.count(*) AS rows, COALESCE(pg_catalog.sum(pg_catalog.hash_record_extended(\
         ROW({}), 0)), 0)::text AS checksum FROM {}",
        columns.join(", "),
        qualified(table.schema(), table.table())
    );
    let row =
        session.query_one(&sql, &[]).await.doing(|| format!("compute the checksum of {}", table.name()))?;
    let text: String = row.try_get("checksum")?;
    let sum = text.parse().map_err(|_| PgError::broken("", format!("checksum {text}")))?;
    Ok(Tally { rows: row.try_get::<_, i64>("rows")?.cast_unsigned(), bytes: 0, sum })
}

/// Rows that refer to a row that is not there. Foreign keys see to that, while they are there and were not switched off.
async fn references(run: &Run, session: &Session, tables: &[Present]) -> anyhow::Result<Vec<Check>> {
    let task = run.task("references", None, "references");
    let mut checks = Vec::new();
    for Present { table, .. } in tables.iter().cloned() {
        for (column, parent) in table.references() {
            let (child, parent_name) =
                (qualified(table.schema(), table.table()), qualified(parent.schema(), parent.table()));
            let column_name = quoted(column);
            let sql = format!(
                "SELECT pg_catalog.count(*) AS orphans FROM {child} AS c LEFT JOIN {parent_name} AS p \
                 ON p.id = c.{column_name} WHERE p.id IS NULL AND c.{column_name} IS NOT NULL"
            );
            let doing = || format!("look for orphans in {child}");
            let orphans: i64 = session.query_one(&sql, &[]).await.doing(doing)?.try_get("orphans")?;
            checks.push(check(format!("orphans of {}.{column}", table.name()), 0, orphans));
            task.advance(1);
        }
    }
    Ok(checks)
}

/// Rows in a leaf whose bound does not take them, and how evenly the leaves are filled.
async fn placement(run: &Run, session: &Session, tables: &[Present]) -> anyhow::Result<Vec<Check>> {
    let Some(parent) = tables.iter().find(|present| present.table == Table::UserMedia && present.partitioned)
    else {
        return Ok(Vec::new());
    };
    let leaves = live_leaves(session, Table::UserMedia.schema(), Table::UserMedia.table()).await?;
    let task = run.task("placement", Some(leaves.len() as u64), "leaves");
    let mut misplaced = 0;
    for leaf in &leaves {
        let name = qualified(&leaf.schema, &leaf.name);
        let sql = format!(
            "SELECT pg_catalog.count(*) AS misplaced FROM {name} \
             WHERE NOT pg_catalog.satisfies_hash_partition({}::oid, {}, {}, user_id)",
            parent.oid, leaf.modulus, leaf.remainder
        );
        let row =
            session.query_one(&sql, &[]).await.doing(|| format!("look for misplaced rows in {name}"))?;
        misplaced += row.try_get::<_, i64>("misplaced")?;
        task.advance(1);
    }
    Ok(vec![check("rows in a wrong leaf of interaction.user_media", 0, misplaced)])
}

/// Rows of each relation against the ledger: the leaves are as unevenly filled as the users' libraries make them.
async fn leaves(session: &Session, tables: &[Present]) -> anyhow::Result<Check> {
    let entries = ledger::entries(session).await?;
    let mut uneven = Vec::new();
    for present in tables.iter().filter(|present| matches!(present.route, Route::Hash(_))) {
        for entry in entries.iter().filter(|entry| entry.table == present.table.name()) {
            // A leaf that has been split since is there in parts.
            let Some(found) = survey::count_of(session, &entry.relation).await? else { continue };
            if found != entry.tally.rows {
                uneven.push(format!("{}: {found} instead of {}", entry.relation, entry.tally.rows));
            }
        }
    }
    Ok(check(
        "leaves of interaction.user_media with more or fewer rows",
        "none",
        match uneven.as_slice() {
            [] => "none".to_owned(),
            uneven => uneven.join(", "),
        },
    ))
}

/// Rows whose moments contradict each other.
async fn times(session: &Session) -> anyhow::Result<Vec<Check>> {
    let now = jiff::Timestamp::from_second(946_684_800)? + jiff::SignedDuration::from_micros(NOW);
    let rows = session.query(TIMES, &[&now]).await.doing(|| "look for times out of order".to_owned())?;
    rows.iter()
        .map(|row| {
            let table: String = row.try_get("table_name")?;
            let misordered: i64 = row.try_get("misordered")?;
            Ok(check(format!("times out of order in {table}"), 0, misordered))
        })
        .collect()
}
