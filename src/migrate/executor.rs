//! Refinery's traits on our own hands: refinery checks files and history and says what to write into it; how a migration is
//! run is ours.

use refinery_core::Migration;
use refinery_core::traits::r#async::{AsyncMigrate, AsyncQuery, AsyncTransaction};

use super::history;
use super::script::{Mode, Script};
use super::work::Work;
use super::{stepwise, together};
use crate::pg::error::{Doing as _, Result};

/// What refinery migrates with: one migration.
pub(super) struct Executor<'a> {
    pub(super) work: Work<'a>,
    pub(super) script: &'a Script,
    /// The migration's text, as refinery hands it over.
    pub(super) sql: &'a str,
    /// Why it failed, where it did: refinery would wrap it twice.
    pub(super) failure: Option<anyhow::Error>,
}

/// Stands for [`Executor::failure`] while refinery passes it on.
#[derive(Debug, thiserror::Error)]
#[error("the migration failed")]
pub(super) struct Failed;

impl Executor<'_> {
    async fn migrate(&mut self, queries: &[&str]) -> anyhow::Result<()> {
        match queries {
            &[sql, history] if sql == self.sql => match self.script.mode {
                Mode::Together => together::run(&mut self.work, self.script, history).await,
                Mode::Stepwise => stepwise::run(&mut self.work, self.script, history).await,
            },
            // A table that is there is not asked for: the server wants the right to create one before it sees that.
            [_] if history::exists(self.work.lock.session()).await? => Ok(()),
            [table] => {
                let made = self.work.hands.session.batch_execute(table).await;
                Ok(made.doing(|| format!("prepare {}", history::TABLE))?)
            }
            _ => anyhow::bail!("refinery asks for what this migration is not; nothing was done"),
        }
    }

    async fn applied(&self, query: &str) -> anyhow::Result<Vec<Migration>> {
        let rows =
            self.work.hands.session.query(query, &[]).await.doing(|| format!("read {}", history::TABLE))?;
        let applied: Result<Vec<Migration>> = rows.iter().map(history::applied).collect();
        Ok(applied?)
    }

    fn keep<T>(&mut self, outcome: anyhow::Result<T>) -> Result<T, Failed> {
        outcome.map_err(|error| {
            self.failure = Some(error);
            Failed
        })
    }
}

impl AsyncTransaction for Executor<'_> {
    type Error = Failed;

    /// Refinery asks for its table first, then for the migration together with its row of the history.
    async fn execute<'a, T: Iterator<Item = &'a str> + Send + 'a>(
        &'a mut self,
        queries: T,
    ) -> Result<usize, Failed> {
        let queries: Vec<&str> = queries.collect();
        let done = self.migrate(&queries).await;
        self.keep(done).map(|()| queries.len())
    }
}

impl AsyncQuery<Vec<Migration>> for Executor<'_> {
    async fn query<'a>(&'a mut self, query: &'a str) -> Result<Vec<Migration>, Failed> {
        let applied = self.applied(query).await;
        self.keep(applied)
    }
}

impl AsyncMigrate for Executor<'_> {}
