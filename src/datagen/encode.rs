//! Rows encoded on a thread of their own, in chunks that are used again.

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Model;
use super::row::{Rows, Tally};
use super::unit::Unit;

/// Bytes handed over at a time. All chunks under way together stay in a processor's own cache; smaller ones wake the other
/// side more often.
pub(super) const CHUNK: usize = 128 << 10;
/// Chunks that wait while one is taken: encoding and sending seldom take the same time.
const AHEAD: usize = 2;

/// The encoded rows of a unit, made while the last ones are being sent.
pub(super) struct Chunks {
    receiver: mpsc::Receiver<(Bytes, u64)>,
    encoder: JoinHandle<Tally>,
}

impl Chunks {
    pub(super) fn of(model: Arc<Model>, unit: Unit) -> Self {
        let (sender, receiver) = mpsc::channel(AHEAD);
        Self { receiver, encoder: tokio::task::spawn_blocking(move || encode(&model, &unit, &sender)) }
    }

    /// The next chunk, and the number of rows in it.
    pub(super) async fn next(&mut self) -> Option<(Bytes, u64)> {
        self.receiver.recv().await
    }

    /// What all chunks came to, once there are no more.
    pub(super) async fn end(self) -> anyhow::Result<Tally> {
        drop(self.receiver);
        self.encoder.await.context("encode rows")
    }
}

/// Encodes a unit into chunks until it is done or nobody takes them any more. A chunk is used again once it is let go.
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
