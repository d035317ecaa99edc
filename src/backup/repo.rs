//! Where backups are: a directory of ours, or a stanza of pgBackRest.

use std::path::Path;
use std::time::Duration;

use super::chain::materialize;
use super::pgbackrest::PgBackRest;
use super::server::Server;
use super::store::{Backup, Store};
use super::verify::{Checked, check};
use super::wal::{self, Segment};
use crate::pg::Programs;
use crate::run::Run;
use crate::verdict::UsageError;

/// Where backups and the archive that rolls them forward are.
pub enum Repo {
    /// A directory of ours.
    Store(Store),
    /// A stanza of pgBackRest.
    Stanza(PgBackRest),
}

impl Repo {
    /// Its name, for people.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Store(store) => store.dir().display().to_string(),
            Self::Stanza(stanza) => format!("pgBackRest's stanza {}", stanza.stanza()),
        }
    }

    /// Its backups, oldest first.
    ///
    /// # Errors
    /// What pgBackRest says.
    pub async fn backups(&self, run: &Run) -> anyhow::Result<Vec<Backup>> {
        match self {
            Self::Store(store) => Ok(store.backups().to_vec()),
            Self::Stanza(stanza) => stanza.backups(run).await,
        }
    }

    /// The newest backup, which must be one of `server`.
    ///
    /// # Errors
    /// [`UsageError`] when there is none, or there are another server's; what pgBackRest says.
    pub async fn newest(&self, run: &Run, server: &Server) -> anyhow::Result<Backup> {
        let backups = self.backups(run).await?;
        check_same_server(&self.name(), &backups, &server.system_identifier)?;
        let none = || UsageError(format!("{} holds no backup yet", self.name()));
        Ok(backups.last().cloned().ok_or_else(none)?)
    }

    /// Whether the files of `backup` are those that the server sent. pgBackRest checks them when it restores them.
    ///
    /// # Errors
    /// When a program cannot be run; [`crate::verdict::Interrupted`].
    pub async fn check(&self, run: &Run, backup: &Backup, programs: &Programs) -> anyhow::Result<Checked> {
        match self {
            Self::Store(store) => check(run, store, backup, programs).await,
            Self::Stanza(_) => Ok(Checked {
                label: backup.label.clone(),
                ok: true,
                detail: format!("{}, by the SHA-1 that pgBackRest checks as it restores", backup.bytes),
            }),
        }
    }

    /// What the server said that it sent; pgBackRest keeps a list of its own.
    #[must_use]
    pub fn manifest(&self, backup: &Backup) -> Option<Vec<u8>> {
        match self {
            Self::Store(store) => std::fs::read(store.base(backup).join("backup_manifest")).ok(),
            Self::Stanza(_) => None,
        }
    }

    /// Makes `into`, an empty directory of the server user's, the data directory that `backup` holds. What its settings say
    /// is the source's, and the caller's to replace.
    ///
    /// # Errors
    /// What the programs say; [`crate::verdict::Interrupted`].
    pub async fn materialize(
        &self,
        run: &Run,
        backup: &Backup,
        programs: &Programs,
        into: &Path,
    ) -> anyhow::Result<()> {
        match self {
            Self::Store(store) => materialize(run, store, backup, programs, into).await,
            Self::Stanza(stanza) => stanza.restore_into(run, backup, into).await,
        }
    }

    /// The `restore_command` for a copy whose data directory is `data`.
    ///
    /// # Errors
    /// [`UsageError`] when it would give a secret away.
    pub fn restore_command(&self, data: &Path) -> Result<String, UsageError> {
        match self {
            Self::Store(store) => Ok(wal::restore_command(&store.archive())),
            Self::Stanza(stanza) => stanza.restore_command(data),
        }
    }

    /// Waits until `segment` is whole in the archive; returns false when `patience` is over first.
    ///
    /// # Errors
    /// [`crate::verdict::Interrupted`]; what pgBackRest says.
    pub async fn wait_for(
        &self,
        run: &Run,
        segment: Segment,
        segment_bytes: u64,
        patience: Duration,
    ) -> anyhow::Result<bool> {
        match self {
            Self::Store(store) => Ok(store.wait_for(run, segment, segment_bytes, patience).await?),
            Self::Stanza(stanza) => stanza.wait_for(run, segment, segment_bytes, patience).await,
        }
    }
}

/// Refuses to mix the segments of two servers, which may have the same names. `place` is where `backups` are.
pub(super) fn check_same_server(
    place: &str,
    backups: &[Backup],
    system_identifier: &str,
) -> Result<(), UsageError> {
    match backups.iter().find(|backup| backup.system_identifier != system_identifier) {
        None => Ok(()),
        Some(other) => Err(UsageError(format!(
            "{place} holds backups of another server (system identifier {}, this one has {system_identifier})\n  help: \
             name another directory",
            other.system_identifier
        ))),
    }
}
