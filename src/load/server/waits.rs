//! What the sessions of a load wait for, looked at again and again.

use std::collections::BTreeMap;

use tokio::sync::watch;
use tokio_postgres::types::Type;

use crate::pg::Session;

/// Shares of the moments in which an active session was seen waiting for an event, by the event, 0 to 1.
pub(in crate::load) type Shares = BTreeMap<String, f64>;

/// What was seen last, for whoever shows it: by operation, and under the empty name what is true of all.
pub(in crate::load) type Latest = watch::Receiver<BTreeMap<String, Shares>>;

/// How many looks what is shown stands on.
const SHOWN_LOOKS: u32 = 10;
/// The server keeps this much of a statement's text, less one byte (`track_activity_query_size`, by default).
const KEPT_BYTES: usize = 1_000;

/// Counts sessions by operation and event.
pub(super) struct Waits {
    /// Statements and the operations that they are of.
    statements: Vec<(String, String)>,
    all: Counts,
    recent: Counts,
    looks: u32,
    shown: watch::Sender<BTreeMap<String, Shares>>,
}

/// Sessions by operation (empty for one that is not known) and event.
type Counts = BTreeMap<(String, String), f64>;

impl Waits {
    pub(super) fn new(statements: Vec<(String, String)>) -> (Self, Latest) {
        let (shown, latest) = watch::channel(BTreeMap::new());
        let (all, recent) = (Counts::new(), Counts::new());
        (Self { statements, all, recent, looks: 0, shown }, latest)
    }

    /// Looks at the sessions of `application` once; `None` when the server does not tell.
    pub(super) async fn look(&mut self, session: &Session, application: &str) -> Option<()> {
        let rows =
            session.query_typed(include_str!("waits.sql"), &[(&application, Type::TEXT)]).await.ok()?;
        for row in rows {
            let (query, event): (Option<String>, String) =
                (row.try_get("query").ok()?, row.try_get("event").ok()?);
            #[expect(clippy::cast_precision_loss, reason = "a few thousand sessions")]
            let sessions = row.try_get::<_, i64>("sessions").ok()? as f64;
            self.seen(&query.unwrap_or_default(), &event, sessions);
        }
        self.looks += 1;
        if self.looks.is_multiple_of(SHOWN_LOOKS) {
            self.shown.send_replace(shares(&std::mem::take(&mut self.recent)));
        }
        Some(())
    }

    fn seen(&mut self, query: &str, event: &str, sessions: f64) {
        let is_of = |sql: &str| sql == query || (query.len() > KEPT_BYTES && sql.starts_with(query));
        let known = self.statements.iter().find(|(sql, _)| is_of(sql));
        let op = known.map_or_else(String::new, |(_, op)| op.clone());
        for counts in [&mut self.all, &mut self.recent] {
            *counts.entry((op.clone(), event.to_owned())).or_default() += sessions;
        }
    }

    /// Everything that was seen: by operation, and under the empty name over all.
    pub(super) fn shares(&self) -> BTreeMap<String, Shares> {
        shares(&self.all)
    }
}

fn shares(counts: &Counts) -> BTreeMap<String, Shares> {
    let mut by_op: BTreeMap<String, Shares> = BTreeMap::new();
    for ((op, event), count) in counts {
        *by_op.entry(String::new()).or_default().entry(event.clone()).or_default() += count;
        if !op.is_empty() {
            *by_op.entry(op.clone()).or_default().entry(event.clone()).or_default() += count;
        }
    }
    for events in by_op.values_mut() {
        let all: f64 = events.values().sum();
        events.values_mut().for_each(|share| *share /= all);
    }
    by_op
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_shares_of_each_operation_and_of_all() {
        let long = format!("SELECT {}", "x".repeat(2_000));
        let (mut waits, _) =
            Waits::new(vec![("SELECT $1".to_owned(), "one".to_owned()), (long.clone(), "long".to_owned())]);
        waits.seen("SELECT $1", "on CPU", 3.0);
        waits.seen("SELECT $1", "IO:DataFileRead", 1.0);
        waits.seen(&long[..1_023], "on CPU", 1.0);
        waits.seen("COMMIT", "IO:WALSync", 3.0);
        let shares = waits.shares();
        assert_eq!((shares[""]["on CPU"], shares[""]["IO:WALSync"]), (0.5, 0.375));
        assert_eq!((shares["one"]["IO:DataFileRead"], shares["long"]["on CPU"]), (0.25, 1.0));
        assert_eq!(shares.len(), 3);
    }
}
