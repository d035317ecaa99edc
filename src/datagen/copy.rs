//! One unit into the database: encoded on a thread of its own while the session sends.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::SinkExt as _;
use tokio::sync::mpsc;

use super::row::{HEADER, Rows, TRAILER, Tally};
use super::unit::Unit;
use super::{Model, Table, ledger};
use crate::pg::ident::quoted;
use crate::pg::{PgError, Session};
use crate::run::Run;

/// Bytes sent at a time. Below 256 KiB messages begin to cost; above 1 MiB nothing is gained and caches are lost.
const CHUNK: usize = 512 << 10;
/// Chunks that wait while one is sent: encoding and sending seldom take the same time.
const AHEAD: usize = 4;

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

/// Fills one relation in one transaction that also enters it in the ledger: both are there or neither.
pub(super) async fn load(
    session: &Session,
    model: Arc<Model>,
    unit: Unit,
    run: &Run,
) -> anyhow::Result<(Table, Copied)> {
    let name = unit.name.clone();
    let (table, began) = (unit.table, Instant::now());
    let loaded = copy(session, model, unit, run).await;
    let tally = loaded.map_err(|error| explain(error, &name))?;
    Ok((table, Copied { tally, took: began.elapsed() }))
}

async fn copy(session: &Session, model: Arc<Model>, unit: Unit, run: &Run) -> anyhow::Result<Tally> {
    let (table, relation, rows) = (unit.table, unit.relation.clone(), unit.rows);
    let name = unit.name.clone();
    let task = run.task(&format!("load {name}"), Some(rows), "rows");
    // Rows may be written frozen into a table that was truncated in the same transaction.
    session.batch_execute(&format!("BEGIN; TRUNCATE {relation}")).await?;
    let columns: Vec<String> = table.columns().iter().map(|column| quoted(column.name)).collect();
    let freeze = if unit.freeze { ", FREEZE" } else { "" };
    let sql = format!("COPY {relation} ({}) FROM STDIN (FORMAT binary{freeze})", columns.join(", "));
    let sink = session.copy_in(&sql).await?;
    futures_util::pin_mut!(sink);
    let (sender, mut chunks) = mpsc::channel(AHEAD);
    let encoder = tokio::task::spawn_blocking(move || encode(&model, &unit, &sender));
    sink.feed(Bytes::from_static(HEADER)).await?;
    while let Some((chunk, rows)) = chunks.recv().await {
        sink.send(chunk).await?;
        task.advance(rows);
    }
    let tally = encoder.await.context("encode rows")?;
    sink.feed(Bytes::from_static(TRAILER)).await?;
    let stored = sink.finish().await?;
    anyhow::ensure!(stored == rows && tally.rows == rows, "{rows} rows were to be stored, {stored} were");
    ledger::record(session, &name, table, tally).await?;
    session.batch_execute("COMMIT").await?;
    Ok(tally)
}

/// Encodes a unit into chunks until it is done or nobody takes them any more. A chunk is used again once it is sent.
fn encode(model: &Model, unit: &Unit, chunks: &mpsc::Sender<(Bytes, u64)>) -> Tally {
    let mut rows = Rows::new(unit.table.columns());
    let mut sent = VecDeque::new();
    let mut before = 0;
    let mut send = |rows: &mut Rows| {
        let empty = match sent.pop_front().map(Bytes::try_into_mut) {
            Some(Ok(chunk)) => Vec::from(chunk),
            // Still under way: it comes back when it is let go.
            Some(Err(_)) | None => Vec::with_capacity(CHUNK + CHUNK / 4),
        };
        let chunk = Bytes::from(rows.take(empty));
        let count = rows.tally().rows - before;
        before = rows.tally().rows;
        if sent.len() < AHEAD + 2 {
            sent.push_back(chunk.clone());
        }
        chunks.blocking_send((chunk, count)).is_ok()
    };
    unit.write(model, &mut rows, CHUNK, &mut send);
    if !rows.is_empty() {
        send(&mut rows);
    }
    rows.tally()
}

/// Says which relation could not be loaded.
fn explain(error: anyhow::Error, name: &str) -> anyhow::Error {
    let named = |error: PgError| anyhow::Error::new(error.doing(format!("load {name}")));
    match error.downcast::<tokio_postgres::Error>() {
        Ok(error) => named(error.into()),
        Err(error) => match error.downcast::<PgError>() {
            Ok(error) => named(error),
            Err(error) => error.context(format!("load {name}")),
        },
    }
}
