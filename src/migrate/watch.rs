//! Watches a statement under way from another session: what it waits for, who keeps it waiting, how far it is.

use std::fmt;
use std::time::Duration;

use tokio_postgres::Row;

use crate::pg::Session;
use crate::pg::error::{Doing as _, PgError, Result};

pub(super) const WATCH: &str = include_str!("watch.sql");

/// Waits for locks, as seen.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Waits {
    /// All of them, in milliseconds.
    pub(super) total_ms: f64,
    /// The longest, in milliseconds.
    pub(super) longest_ms: f64,
    /// Who caused them, each session once.
    pub(super) blockers: Vec<Blocker>,
    /// The wait under way, by its beginning, and what it comes to so far.
    current: Option<(String, f64)>,
}

/// A session that keeps another one waiting.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Blocker {
    /// Its process on the server.
    pub(super) pid: i32,
    application: String,
    db_user: String,
    state: String,
    transaction_s: f64,
    query: String,
}

/// `pid 4711 (psql, app) idle in transaction, its transaction 3.0 s old: UPDATE …`
impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let application = if self.application.is_empty() { "no application name" } else { &self.application };
        write!(
            f,
            "pid {} ({application}, {}) {}, its transaction {:.1} s old: {}",
            self.pid, self.db_user, self.state, self.transaction_s, self.query
        )
    }
}

impl Blocker {
    /// Without what it executes: the journal is for longer, and for others, than that may be.
    pub(super) fn brief(&self) -> String {
        let Self { pid, application, db_user, state, transaction_s, .. } = self;
        format!("pid {pid} ({application}, {db_user}) {state}, its transaction {transaction_s:.1} s old")
    }
}

/// What one look saw.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Glance {
    /// How long the wait under way lasts so far, in milliseconds, and the moment it began as its name.
    wait: Option<(String, f64)>,
    blockers: Vec<Blocker>,
    /// How far the build of an index is: phase, done, of.
    pub(super) build: Option<(String, i64, i64)>,
}

impl Glance {
    /// Looks at the session with process `pid`.
    pub(super) async fn at(session: &Session, pid: i32) -> Result<Self> {
        let rows =
            session.query(WATCH, &[&pid]).await.doing(|| "watch the statement under way".to_owned())?;
        let mut glance = Self { wait: None, blockers: Vec::new(), build: None };
        for row in &rows {
            glance.read(row)?;
        }
        Ok(glance)
    }

    fn read(&mut self, row: &Row) -> Result<(), PgError> {
        if let (Some(since), Some(ms)) =
            (row.try_get::<_, Option<String>>("since")?, row.try_get("waited_ms")?)
        {
            self.wait = Some((since, ms));
        }
        if let Some(phase) = row.try_get::<_, Option<String>>("phase")? {
            let count =
                |name: &str| Ok::<i64, PgError>(row.try_get::<_, Option<i64>>(name)?.unwrap_or_default());
            let (blocks, tuples) = (count("blocks_total")?, count("tuples_total")?);
            let (done, of) =
                if blocks > 0 { (count("blocks_done")?, blocks) } else { (count("tuples_done")?, tuples) };
            self.build = Some((phase, done, of));
        }
        if let Some(pid) = row.try_get::<_, Option<i32>>("blocker")? {
            self.blockers.push(Blocker {
                pid,
                application: row.try_get("application")?,
                db_user: row.try_get("db_user")?,
                state: row.try_get("state")?,
                transaction_s: row.try_get("transaction_s")?,
                query: row.try_get("query")?,
            });
        }
        Ok(())
    }
}

impl Glance {
    /// The first of those that keep the session waiting.
    pub(super) fn blocker(&self) -> Option<&Blocker> {
        self.blockers.first()
    }

    /// All of them.
    pub(super) fn blockers(&self) -> impl Iterator<Item = &Blocker> {
        self.blockers.iter()
    }
}

impl Waits {
    /// Adds those of another attempt.
    pub(super) fn merge(&mut self, other: Self) {
        self.total_ms += other.total_ms;
        self.longest_ms = self.longest_ms.max(other.longest_ms);
        for blocker in other.blockers {
            self.blocked_by(blocker);
        }
    }

    fn blocked_by(&mut self, blocker: Blocker) {
        match self.blockers.iter_mut().find(|known| known.pid == blocker.pid) {
            Some(known) => *known = blocker,
            None => self.blockers.push(blocker),
        }
    }

    /// Adds what a look saw.
    pub(super) fn add(&mut self, glance: &Glance) {
        match (&glance.wait, &mut self.current) {
            (Some((since, ms)), Some((known, so_far))) if since == known => {
                self.total_ms += ms - *so_far;
                *so_far = *ms;
            }
            (Some((since, ms)), current) => {
                self.total_ms += ms;
                *current = Some((since.clone(), *ms));
            }
            (None, _) => {}
        }
        let current = self.current.as_ref().map_or(0.0, |(_, ms)| *ms);
        self.longest_ms = self.longest_ms.max(current);
        for blocker in &glance.blockers {
            self.blocked_by(blocker.clone());
        }
    }

    /// A wait of `limit` that ended in a refusal, whatever the looks saw of it.
    pub(super) fn at_least(&mut self, limit: Duration) {
        let ms = limit.as_secs_f64() * 1e3;
        if self.longest_ms < ms {
            self.total_ms += ms - self.longest_ms;
            self.longest_ms = ms;
        }
    }

    /// Who kept the statement waiting, a line each; or that nobody was seen.
    pub(super) fn report(&self) -> String {
        if self.blockers.is_empty() {
            return "  nobody was seen to hold it".to_owned();
        }
        let lines: Vec<String> = self.blockers.iter().map(|one| format!("  held by {one}")).collect();
        lines.join("\n")
    }
}

/// Runs `work` to its end and looks at the session that does it (`pid`) from `session` every so often meanwhile; each look
/// goes to `seen`, which may ask for the end by an error. Who comes and goes between two looks is not seen.
///
/// # Errors
/// When a look fails, which is when `session` is gone; when `seen` says so. `work` is then left where it is.
pub(super) async fn during<T, E>(
    session: &Session,
    pid: i32,
    every: Duration,
    work: impl Future<Output = T>,
    mut seen: impl FnMut(&Glance) -> Result<(), E>,
) -> Result<T, E>
where
    E: From<PgError>,
{
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            () = tokio::time::sleep(every) => {}
        }
        tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            glance = Glance::at(session, pid) => seen(&glance?)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glance(wait: Option<(&str, f64)>, blockers: &[i32]) -> Glance {
        let blocker = |&pid: &i32| Blocker {
            pid,
            application: "psql".to_owned(),
            db_user: "app".to_owned(),
            state: "idle in transaction".to_owned(),
            transaction_s: 3.0,
            query: "LOCK TABLE a".to_owned(),
        };
        Glance {
            wait: wait.map(|(since, ms)| (since.to_owned(), ms)),
            blockers: blockers.iter().map(blocker).collect(),
            build: None,
        }
    }

    #[test]
    fn one_wait_seen_often_is_one_wait() {
        let mut waits = Waits::default();
        for seen in [
            glance(None, &[]),
            glance(Some(("a", 40.0)), &[1]),
            glance(Some(("a", 90.0)), &[1, 2]),
            glance(None, &[]),
            glance(Some(("b", 30.0)), &[2]),
        ] {
            waits.add(&seen);
        }
        assert_eq!((waits.total_ms, waits.longest_ms), (120.0, 90.0));
        assert_eq!(waits.blockers.iter().map(|one| one.pid).collect::<Vec<_>>(), [1, 2]);
        assert!(waits.report().contains("held by pid 1 (psql, app) idle in transaction"));
        waits.at_least(Duration::from_millis(200));
        assert_eq!((waits.total_ms, waits.longest_ms), (230.0, 200.0));
    }
}
