//! One unit into the database: encoded on a thread of its own while the session sends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::SinkExt as _;

use super::encode::Chunks;
use super::meter::Meter;
use super::row::{HEADER, TRAILER, Tally};
use super::survey::{self, ForeignRows};
use super::unit::Unit;
use super::{Foreign, Model, Spec, Table, ledger};
use crate::pg::ident::quoted;
use crate::pg::{PgError, Session};
use crate::run::Run;

/// What one unit came to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Copied {
    pub(super) tally: Tally,
    pub(super) took: Duration,
}

impl std::ops::AddAssign for Copied {
    fn add_assign(&mut self, other: Self) {
        self.tally += other.tally;
        self.took += other.took;
    }
}

/// Fills one relation in one transaction that also enters it in the ledger: both are there or neither. Where another run
/// has meanwhile done so, nothing is done again.
pub(super) async fn load(
    session: &Session,
    model: Arc<Model>,
    unit: Unit,
    spec: &Spec,
    run: &Run,
    meter: &Meter,
) -> anyhow::Result<(Table, Copied)> {
    let name = unit.name.clone();
    let (table, began) = (unit.table, Instant::now());
    let loaded = copy(session, model, unit, spec, run, meter).await;
    let tally = loaded.map_err(|error| explain(error, &name))?;
    Ok((table, Copied { tally, took: began.elapsed() }))
}

async fn copy(
    session: &Session,
    model: Arc<Model>,
    unit: Unit,
    spec: &Spec,
    run: &Run,
    meter: &Meter,
) -> anyhow::Result<Tally> {
    let (table, relation, rows) = (unit.table, unit.relation.clone(), unit.rows);
    let name = unit.name.clone();
    let task = run.task(&format!("load {name}"), Some(rows), "rows");
    // Rows may be written frozen into a table that was truncated in the same transaction.
    // Another run of the same shard may be loading it: that takes as long as it takes.
    let lock = format!("BEGIN; SET LOCAL lock_timeout = 0; LOCK TABLE {relation} IN ACCESS EXCLUSIVE MODE");
    session.batch_execute(&lock).await?;
    let stands = ledger::data_set(session).await?.is_some_and(|found| found.is(spec));
    anyhow::ensure!(stands, "another load has begun anew in this database meanwhile");
    if let Some(entry) = ledger::entry(session, &name).await? {
        session.batch_execute("ROLLBACK").await?;
        return Ok(entry.tally);
    }
    // Whatever is in it came after it was emptied, and not from us.
    if spec.foreign == Foreign::Refuse && survey::holds_rows(session, &name).await? {
        return Err(ForeignRows(vec![name]).into());
    }
    session.batch_execute(&format!("TRUNCATE {relation}")).await?;
    let columns: Vec<String> = table.columns().iter().map(|column| quoted(column.name)).collect();
    let freeze = if unit.freeze { ", FREEZE" } else { "" };
    let sql = format!("COPY {relation} ({}) FROM STDIN (FORMAT binary{freeze})", columns.join(", "));
    let sink = session.copy_in(&sql).await?;
    futures_util::pin_mut!(sink);
    sink.feed(Bytes::from_static(HEADER)).await?;
    let mut chunks = Chunks::of(model, unit);
    while let Some((chunk, rows)) = chunks.next().await {
        task.advance(rows);
        meter.add(rows, chunk.len() as u64);
        sink.send(chunk).await?;
    }
    let tally = chunks.end().await?;
    sink.feed(Bytes::from_static(TRAILER)).await?;
    let stored = sink.finish().await?;
    anyhow::ensure!(stored == rows && tally.rows == rows, "{rows} rows were to be stored, {stored} were");
    ledger::record(session, &name, table, tally).await?;
    session.batch_execute("COMMIT").await?;
    Ok(tally)
}

/// Says which relation could not be loaded.
fn explain(error: anyhow::Error, name: &str) -> anyhow::Error {
    let named = |error: PgError| anyhow::Error::new(error.doing(format!("load {name}")));
    match error.downcast::<tokio_postgres::Error>() {
        Ok(error) => named(error.into()),
        Err(error) if error.is::<ForeignRows>() => error,
        Err(error) => match error.downcast::<PgError>() {
            Ok(error) => named(error),
            Err(error) => error.context(format!("load {name}")),
        },
    }
}
