//! Writes around the restore point, with a journal of what the server acknowledged that is kept outside of it.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Row;
use uuid::Uuid;

use super::{Rpo, patient};
use crate::pg::error::{Doing as _, PgError};
use crate::pg::{Session, Target};

/// Also printed by `drill grants`, for a role that may not make it itself.
pub(super) const TABLE: &str = include_str!("sentinel.sql");
const SWEEP: &str = "DELETE FROM omtdb.drill_sentinel WHERE written_at < now() - INTERVAL '7 days'";
const WRITE: &str = "INSERT INTO omtdb.drill_sentinel (drill, seq, token) VALUES ($1, $2, $3)";
const WRITE_LAST: &str = "INSERT INTO omtdb.drill_sentinel (drill, seq, token) VALUES ($1, $2, $3) \
                          RETURNING (pg_catalog.pg_current_xact_id()::text::bigint % 4294967296) AS xid";
const READ: &str = "SELECT seq, token FROM omtdb.drill_sentinel WHERE drill = $1";
const FORGET: &str = "DELETE FROM omtdb.drill_sentinel WHERE drill = $1";

/// What the server acknowledged: on which side of the restore point, under which token.
#[derive(Debug, Default, Clone)]
pub(super) struct Journal {
    before: BTreeMap<i64, Uuid>,
    after: BTreeSet<i64>,
}

/// What the journal says about a restored copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) rpo: Rpo,
    /// Writes from behind the restore point, or never acknowledged, that the copy has all the same.
    pub(super) unexpected: u64,
}

impl Journal {
    /// Holds `found`, the copy's rows, against the journal. A row counts as restored only with the token it was written
    /// with.
    pub(super) fn judge(&self, found: &BTreeMap<i64, Uuid>) -> Judged {
        let restored = self.before.iter().filter(|(seq, token)| found.get(seq) == Some(token)).count() as u64;
        let acked = self.before.len() as u64;
        let unexpected = found.keys().filter(|seq| !self.before.contains_key(seq)).count() as u64;
        Judged { rpo: Rpo { acked, restored, lost: acked - restored }, unexpected }
    }

    /// How many writes come from behind the restore point.
    pub(super) fn written_after(&self) -> usize {
        self.after.len()
    }
}

/// Which side of the restore point a write is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Before,
    After,
}

/// Writes sentinels, one transaction each.
pub(super) struct Sentinels {
    session: Session,
    drill: Uuid,
    next: i64,
    pub(super) journal: Journal,
}

impl Sentinels {
    pub(super) async fn begin(target: &Target, drill: Uuid) -> Result<Self, PgError> {
        let session = patient::connect(target).await?;
        // The acknowledgement is worth something only if the commit is on disk.
        session
            .batch_execute("SET synchronous_commit = on")
            .await
            .doing(|| "begin to write sentinels".to_owned())?;
        match standing(&session).await? {
            None => session.batch_execute(TABLE).await.doing(|| "make omtdb.drill_sentinel".to_owned())?,
            Some(true) => {}
            Some(false) => {
                let why = "it has triggers or rules, or belongs to another role, and would run what that role wants";
                return Err(
                    PgError::broken("use omtdb.drill_sentinel", why).help("drop the table, and run again")
                );
            }
        }
        session.batch_execute(SWEEP).await.doing(|| "remove the sentinels of killed drills".to_owned())?;
        Ok(Self { session, drill, next: 0, journal: Journal::default() })
    }

    /// Writes one, and journals it once it is acknowledged.
    pub(super) async fn write(&mut self, side: Side) -> Result<(), PgError> {
        let (seq, token) = (self.next, Uuid::new_v4());
        self.next += 1;
        self.session
            .execute(WRITE, &[&self.drill, &seq, &token])
            .await
            .doing(|| "write a sentinel".to_owned())?;
        match side {
            Side::Before => drop(self.journal.before.insert(seq, token)),
            Side::After => drop(self.journal.after.insert(seq)),
        }
        Ok(())
    }

    /// Writes the last one before the restore point; returns its transaction as a recovery target names it, without the
    /// epoch.
    pub(super) async fn write_last(&mut self) -> Result<u64, PgError> {
        let (seq, token, doing) = (self.next, Uuid::new_v4(), || "write the last sentinel".to_owned());
        self.next += 1;
        // Writers are waiting: no replica is waited for.
        self.session.batch_execute("BEGIN; SET LOCAL synchronous_commit = local").await.doing(doing)?;
        let row = self.session.query_one(WRITE_LAST, &[&self.drill, &seq, &token]).await.doing(doing)?;
        let xid: i64 = row.try_get("xid").doing(doing)?;
        self.session.batch_execute("COMMIT").await.doing(doing)?;
        self.journal.before.insert(seq, token);
        Ok(xid.unsigned_abs())
    }

    /// Writes one in a transaction that stays open; it must not be in the copy unless it ends before the restore point.
    pub(super) async fn open_across(&mut self, target: &Target) -> Result<Session, PgError> {
        let session = patient::connect(target).await?;
        let doing = || "write a sentinel across the restore point".to_owned();
        session.batch_execute("BEGIN").await.doing(doing)?;
        session.execute(WRITE, &[&self.drill, &self.next, &Uuid::new_v4()]).await.doing(doing)?;
        self.journal.after.insert(self.next);
        self.next += 1;
        Ok(session)
    }

    /// Removes the drill's rows.
    pub(super) async fn forget(self) -> Result<(), PgError> {
        self.session.execute(FORGET, &[&self.drill]).await.doing(|| "remove the sentinels".to_owned())?;
        self.session.close().await;
        Ok(())
    }
}

/// Whether the table is this role's or a superuser's, and runs nothing of its own; `None` where there is none.
async fn standing(session: &Session) -> Result<Option<bool>, PgError> {
    let doing = || "look for omtdb.drill_sentinel".to_owned();
    let row = session.query_opt(include_str!("sentinel_standing.sql"), &[]).await.doing(doing)?;
    row.map(|row| row.try_get("is_safe")).transpose().doing(doing)
}

/// The sentinels of `drill` in the copy behind `session`.
pub(super) async fn read(session: &Session, drill: Uuid) -> Result<BTreeMap<i64, Uuid>, PgError> {
    let rows = session.query(READ, &[&drill]).await;
    let pair = |row: &Row| Ok((row.try_get("seq")?, row.try_get("token")?));
    rows.and_then(|rows| rows.iter().map(pair).collect()).doing(|| "read the sentinels".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal() -> Journal {
        Journal { before: (0..4).map(|seq| (seq, token(seq))).collect(), after: [4, 5].into() }
    }

    fn token(seq: i64) -> Uuid {
        Uuid::from_u64_pair(0, seq.unsigned_abs() + 1)
    }

    fn judge(found: &[(i64, Uuid)]) -> (u64, u64, u64, u64) {
        let judged = journal().judge(&found.iter().copied().collect());
        (judged.rpo.acked, judged.rpo.restored, judged.rpo.lost, judged.unexpected)
    }

    #[test]
    fn what_was_acknowledged_before_must_be_there() {
        let all: Vec<_> = (0..4).map(|seq| (seq, token(seq))).collect();
        assert_eq!(judge(&all), (4, 4, 0, 0));
        assert_eq!(judge(&all[1..]), (4, 3, 1, 0), "an acknowledged write is missing");
        assert_eq!(judge(&[]), (4, 0, 4, 0));
    }

    #[test]
    fn another_token_is_another_write() {
        let found = [(0, token(9)), (1, token(1)), (2, token(2)), (3, token(3))];
        assert_eq!(judge(&found), (4, 3, 1, 0));
    }

    #[test]
    fn what_came_after_must_not_be_there() {
        let found: Vec<_> = (0..5).map(|seq| (seq, token(seq))).collect();
        assert_eq!(judge(&found), (4, 4, 0, 1));
    }
}
