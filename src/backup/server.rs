//! What a base backup and a recovery need to know about the server.

use tokio_postgres::Row;

use crate::pg::cluster::Settings;
use crate::pg::error::{Doing as _, PgError};
use crate::pg::{Programs, ServerVersion, Session};
use crate::verdict::UsageError;

const QUERY: &str = include_str!("server.sql");

/// The server behind a session, as `server.sql` finds it.
#[derive(Debug, Clone)]
pub struct Server {
    /// Made by `initdb`; every physical copy carries it.
    pub system_identifier: String,
    /// Whether it is a standby.
    pub in_recovery: bool,
    /// Its timeline at the last checkpoint.
    pub timeline: u32,
    /// `minimal` writes too little for an archive.
    pub wal_level: String,
    /// Size of a write-ahead-log segment.
    pub wal_segment_bytes: u64,
    /// `off`, `on` or `always`.
    pub archive_mode: String,
    /// `None` when the role may not read it.
    pub archive_command: Option<String>,
    /// Whether the role is a superuser.
    pub is_superuser: bool,
    /// Whether the role may stream a base backup.
    pub may_replicate: bool,
    /// The superuser that `initdb` made.
    pub bootstrap_role: String,
    /// Tablespaces outside the data directory.
    pub own_tablespaces: i64,
    /// Whether it summarizes its log, which incremental backups need; `None` before PostgreSQL 17, which cannot.
    pub summarizes: Option<bool>,
    /// Size of all its databases.
    pub data_bytes: u64,
    /// Whether its pages have checksums.
    pub has_checksums: bool,
    /// Settings that a recovery refuses to run below.
    pub recovery_settings: Settings,
}

impl Server {
    /// Asks `session`.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn ask(session: &Session) -> Result<Self, PgError> {
        let row = session.query_one(QUERY, &[]).await;
        row.and_then(|row| Self::try_from(&row)).doing(|| "read what a backup needs to know".to_owned())
    }

    /// Says what stands in the way of a base backup with the write-ahead log after it.
    ///
    /// # Errors
    /// [`UsageError`] with the remedy.
    pub fn check_backup(&self, session: &Session, programs: &Programs) -> Result<(), UsageError> {
        let (server, ours) = (session.version(), programs.version());
        let obstacle = if server.major() != ours.major() {
            format!(
                "the server is PostgreSQL {server}, the programs in {} are {ours}: a copy runs on its own major \
                 version only\n  help: name matching programs with --pg-bin DIR",
                programs.bin().display()
            )
        } else if !self.may_replicate {
            "the role may not take a base backup\n  help: ALTER ROLE … REPLICATION, or use a superuser"
                .to_owned()
        } else if self.wal_level == "minimal" {
            "the server has wal_level = minimal, which leaves too little to recover from\n  help: set wal_level = \
             replica and restart it"
                .to_owned()
        } else if self.own_tablespaces > 0 {
            "the server has tablespaces outside its data directory; a copy on the same machine would overwrite \
             them\n  help: move their objects to pg_default"
                .to_owned()
        } else {
            return Ok(());
        };
        Err(UsageError(obstacle))
    }
}

/// Says what stands in the way of a backup of only the changes. `ours` is whether omtdb may change the server's settings.
///
/// # Errors
/// [`UsageError`] with the remedy.
pub(super) fn check_incremental(
    version: ServerVersion,
    summarizes: Option<bool>,
    ours: bool,
) -> Result<(), UsageError> {
    match summarizes {
        None => Err(UsageError(format!(
            "the server is PostgreSQL {version}, which has no incremental backups: they came with 17\n  help: leave \
             --incremental out"
        ))),
        Some(false) if !ours => Err(UsageError(
            "the server has summarize_wal = off, without which nothing says what has changed\n  help: ALTER SYSTEM \
             SET summarize_wal = on; SELECT pg_reload_conf(); then take a full backup to build on"
                .to_owned(),
        )),
        Some(_) => Ok(()),
    }
}

impl TryFrom<&Row> for Server {
    type Error = tokio_postgres::Error;

    fn try_from(row: &Row) -> Result<Self, Self::Error> {
        let settings: Vec<String> = row.try_get("recovery_settings")?;
        let pair =
            |text: &String| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(Self {
            system_identifier: row.try_get("system_identifier")?,
            in_recovery: row.try_get("in_recovery")?,
            timeline: row.try_get::<_, i32>("timeline")?.unsigned_abs(),
            wal_level: row.try_get("wal_level")?,
            wal_segment_bytes: row.try_get::<_, i64>("wal_segment_bytes")?.unsigned_abs(),
            archive_mode: row.try_get("archive_mode")?,
            archive_command: row.try_get("archive_command")?,
            is_superuser: row.try_get("is_superuser")?,
            may_replicate: row.try_get("may_replicate")?,
            bootstrap_role: row.try_get("bootstrap_role")?,
            own_tablespaces: row.try_get("own_tablespaces")?,
            summarizes: row.try_get("summarizes")?,
            data_bytes: row.try_get::<_, i64>("data_bytes")?.unsigned_abs(),
            has_checksums: row.try_get("has_checksums")?,
            recovery_settings: settings.iter().filter_map(pair).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_incremental_backups_lack_is_said() {
        let said = |version, summarizes, ours| check_incremental(ServerVersion(version), summarizes, ours);
        assert!(said(150_000, None, true).unwrap_err().0.contains("came with 17"));
        assert!(said(170_000, Some(false), false).unwrap_err().0.contains("summarize_wal = on"));
        assert_eq!(said(170_000, Some(false), true), Ok(()), "we turn it on ourselves");
        assert_eq!(said(180_000, Some(true), false), Ok(()));
    }
}
