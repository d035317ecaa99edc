//! Who may fill a database at the same time: one run alone, or any number of shards.

use std::sync::Arc;

use super::Shard;
use super::work::stoppable;
use crate::pg::error::{Doing as _, Result};
use crate::pg::{Session, Target};
use crate::run::Run;

/// Held by every run, by shards shared: `omtdb_ge` in ASCII.
const RUN: i64 = i64::from_be_bytes(*b"omtdb_ge");
/// Held by the one shard that empties the tables or makes keys and indexes: `omtdb_ph`.
const PHASE: i64 = i64::from_be_bytes(*b"omtdb_ph");

/// The right to fill a database, for as long as its session lives.
pub(super) struct Lock {
    session: Arc<Session>,
}

impl Lock {
    pub(super) async fn take(run: &Run, target: &Target, shard: Shard) -> anyhow::Result<Self> {
        let session = Session::connect(target, "generate-lock").await?;
        // A killed generator's session may take a moment to notice; another generator takes longer.
        let wait = "SET lock_timeout = '10s'; SET statement_timeout = 0; SET idle_session_timeout = 0;
            SET client_connection_check_interval = '2s'";
        session.batch_execute(wait).await.doing(|| "set the session's timeouts".to_owned())?;
        let sql = if shard.of.get() == 1 {
            "SELECT pg_catalog.pg_advisory_lock($1)"
        } else {
            "SELECT pg_catalog.pg_advisory_lock_shared($1)"
        };
        stoppable(run, &session, async {
            let taken = session.execute(sql, &[&RUN]).await;
            taken.doing(|| "wait for another generator in this database".to_owned())?;
            Ok(())
        })
        .await?;
        Ok(Self { session: Arc::new(session) })
    }

    /// Waits until no other shard is in such a phase, however long that takes.
    pub(super) async fn phase(&self, run: &Run) -> anyhow::Result<PhaseGuard> {
        let session = Arc::clone(&self.session);
        stoppable(run, &self.session, async {
            session.batch_execute("SET lock_timeout = 0").await.doing(|| "set a timeout".to_owned())?;
            let taken = session.execute("SELECT pg_catalog.pg_advisory_lock($1)", &[&PHASE]).await;
            taken.doing(|| "wait for another shard".to_owned())?;
            Ok(())
        })
        .await?;
        Ok(PhaseGuard { session })
    }

    /// Whether no other run is at work in this database; then none can begin before this one ends.
    pub(super) async fn is_alone(&self) -> Result<bool> {
        let row =
            self.session.query_one("SELECT pg_catalog.pg_try_advisory_lock($1) AS alone", &[&RUN]).await;
        Ok(row.doing(|| "look for other shards".to_owned())?.try_get("alone")?)
    }

    pub(super) async fn release(self) {
        if let Ok(session) = Arc::try_unwrap(self.session) {
            session.close().await;
        }
    }
}

/// The right to a phase. It must be given back with [`PhaseGuard::end`]; where it is dropped the session's end does it.
pub(super) struct PhaseGuard {
    session: Arc<Session>,
}

impl PhaseGuard {
    pub(super) async fn end(self) -> anyhow::Result<()> {
        let freed = self.session.execute("SELECT pg_catalog.pg_advisory_unlock($1)", &[&PHASE]).await;
        freed.doing(|| "let other shards go on".to_owned())?;
        Ok(())
    }
}
