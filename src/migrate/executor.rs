//! Refinery's traits on our own session, so that a migration can be interrupted and a failure keeps its SQLSTATE.

use refinery_core::Migration;
use refinery_core::traits::r#async::{AsyncMigrate, AsyncQuery, AsyncTransaction};

use super::history;
use crate::pg::Session;
use crate::pg::error::{Doing as _, PgError, Result};
use crate::run::Run;

/// A session that refinery migrates with: each migration and its row of the history in one transaction.
pub(super) struct Executor<'a> {
    pub(super) session: &'a Session,
    pub(super) run: &'a Run,
}

impl Executor<'_> {
    /// Runs `sql` to its end; at an interrupt has the server stop it, and still waits for its answer.
    async fn step(&self, sql: &str) -> Result<()> {
        let mut under_way = std::pin::pin!(self.session.batch_execute(sql));
        tokio::select! {
            done = &mut under_way => return Ok(done?),
            () = self.run.interrupt.cancelled() => {}
        }
        self.session.cancel().await?;
        Ok(under_way.await?)
    }

    async fn all<'q>(&self, statements: impl Iterator<Item = &'q str>) -> Result<usize> {
        let before = self.transaction().await?;
        let mut count = 0;
        for sql in statements {
            self.step(sql).await?;
            // A file that commits would leave its work without a row in the history.
            if self.transaction().await? != before {
                return Err(PgError::broken(
                    "",
                    "it ends the transaction it runs in; what it did before that stays\n  \
                     help: take BEGIN, COMMIT and ROLLBACK out of the file, and undo by hand what it did",
                ));
            }
            count += 1;
        }
        self.session.batch_execute("COMMIT").await.doing(|| "commit".to_owned())?;
        Ok(count)
    }

    async fn transaction(&self) -> Result<Option<String>> {
        let id = "SELECT pg_catalog.pg_current_xact_id_if_assigned()::text";
        Ok(self.session.query_one(id, &[]).await?.try_get(0)?)
    }
}

impl AsyncTransaction for Executor<'_> {
    type Error = PgError;

    async fn execute<'a, T: Iterator<Item = &'a str> + Send + 'a>(&'a mut self, queries: T) -> Result<usize> {
        // An id from the beginning makes the transaction recognisable.
        self.session.batch_execute("BEGIN; SELECT pg_catalog.pg_current_xact_id()").await?;
        let done = self.all(queries).await;
        if done.is_err() {
            // The first failure is the one to report; a lost session rolls back by itself.
            drop(self.session.batch_execute("ROLLBACK").await);
        }
        done
    }
}

impl AsyncQuery<Vec<Migration>> for Executor<'_> {
    async fn query<'a>(&'a mut self, query: &'a str) -> Result<Vec<Migration>> {
        let rows = self.session.query(query, &[]).await?;
        rows.iter().map(history::applied).collect()
    }
}

impl AsyncMigrate for Executor<'_> {}
