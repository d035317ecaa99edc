//! What clients asked for and were told, kept outside of the servers.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

use crate::pg::error::Doing as _;
use crate::pg::{Session, Target};

const READ: &str = "SELECT writer, seq FROM omtdb.drill_ack";

/// A write: which session, and its how manieth.
pub(super) type Write = (i32, i64);

/// Acknowledged and unanswered writes. Clones share it.
#[derive(Clone)]
pub(super) struct Journal(Arc<Mutex<Inner>>);

struct Inner {
    acked: Vec<(Write, Instant)>,
    unanswered: BTreeSet<Write>,
    file: Option<BufWriter<File>>,
}

/// The journal held against a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    /// Writes that were acknowledged so far.
    pub acked: u64,
    /// Of those, on the server.
    pub found: u64,
    /// Of those, not on the server.
    pub lost: u64,
    /// Writes without an answer, which may or may not have been done.
    pub unanswered: u64,
    /// Of those, on the server.
    pub unanswered_found: u64,
    /// From the first lost acknowledgement to the last, in seconds.
    pub lost_s: f64,
}

impl Journal {
    pub(super) fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let create = |path: &Path| {
            let file = File::create(path).with_context(|| format!("make {}", path.display()))?;
            anyhow::Ok(BufWriter::new(file))
        };
        let file = path.map(create).transpose()?;
        Ok(Self(Arc::new(Mutex::new(Inner { acked: Vec::new(), unanswered: BTreeSet::new(), file }))))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Before it is sent.
    pub(super) fn asked(&self, write: Write) {
        self.with(|inner| {
            inner.unanswered.insert(write);
            inner.note("asked", write);
        });
    }

    /// Once the answer has come.
    pub(super) fn acked(&self, write: Write) {
        self.with(|inner| {
            inner.unanswered.remove(&write);
            inner.acked.push((write, Instant::now()));
            inner.note("acked", write);
        });
    }

    /// When the server said that it was not done.
    pub(super) fn refused(&self, write: Write) {
        self.with(|inner| {
            inner.unanswered.remove(&write);
            inner.note("refused", write);
        });
    }

    /// A number of a writer that nobody has had before.
    pub(super) fn next_seq(&self, writer: i32) -> i64 {
        self.with(|inner| {
            let all = inner.acked.iter().map(|(write, _)| write).chain(&inner.unanswered);
            all.filter(|(other, _)| *other == writer).map(|(_, seq)| seq + 1).max().unwrap_or(0)
        })
    }

    /// Holds what the server of `target` has against all that clients were told so far.
    pub(super) async fn count(&self, target: &Target) -> anyhow::Result<Counted> {
        let found = written(target).await?;
        self.with(|inner| {
            if let Some(file) = &mut inner.file {
                file.flush().context("write the journal")?;
            }
            Ok(count(&inner.acked, &inner.unanswered, &found))
        })
    }
}

impl Inner {
    fn note(&mut self, what: &str, (writer, seq): Write) {
        if let Some(file) = &mut self.file {
            // A disk that is full is told when the journal is flushed.
            drop(writeln!(file, "{what} {writer} {seq}"));
        }
    }
}

/// The writes that a server has.
async fn written(target: &Target) -> anyhow::Result<BTreeSet<Write>> {
    let session = Session::connect(target, "drill").await?;
    let pair = |row: &Row| Ok((row.try_get("writer")?, row.try_get("seq")?));
    let rows = session.query(READ, &[]).await;
    let found = rows
        .and_then(|rows| rows.iter().map(pair).collect::<Result<_, tokio_postgres::Error>>())
        .doing(|| "read what was written".to_owned())?;
    session.close().await;
    Ok(found)
}

fn count(acked: &[(Write, Instant)], unanswered: &BTreeSet<Write>, found: &BTreeSet<Write>) -> Counted {
    let lost: Vec<Instant> =
        acked.iter().filter(|(write, _)| !found.contains(write)).map(|(_, at)| *at).collect();
    let span = lost.iter().max().zip(lost.iter().min()).map(|(last, first)| *last - *first);
    Counted {
        acked: acked.len() as u64,
        found: (acked.len() - lost.len()) as u64,
        lost: lost.len() as u64,
        unanswered: unanswered.len() as u64,
        unanswered_found: unanswered.intersection(found).count() as u64,
        lost_s: span.unwrap_or_default().as_secs_f64(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_told_and_is_not_there_is_lost() {
        let at = Instant::now();
        let acked =
            [((0, 0), at), ((0, 1), at + Duration::from_secs(1)), ((1, 0), at + Duration::from_secs(3))];
        let unanswered = [(0, 2), (1, 1)].into();
        let counted = count(&acked, &unanswered, &[(0, 0), (1, 1)].into());
        let expected =
            Counted { acked: 3, found: 1, lost: 2, unanswered: 2, unanswered_found: 1, lost_s: 2.0 };
        assert_eq!(counted, expected);
    }

    #[test]
    fn an_answer_settles_a_write() {
        let journal = Journal::open(None).unwrap();
        for seq in 0..3 {
            journal.asked((1, seq));
        }
        journal.acked((1, 0));
        journal.refused((1, 1));
        journal.with(|inner| {
            assert_eq!((inner.acked.len(), inner.unanswered.clone()), (1, [(1, 2)].into()));
        });
        assert_eq!((journal.next_seq(1), journal.next_seq(2)), (3, 0));
    }
}
