//! What a database says was applied to it: refinery's table, which plain refinery reads and writes too.

use refinery_core::Migration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_postgres::Row;

use crate::pg::Session;
use crate::pg::error::{Doing as _, PgError, Result};

/// Refinery's table, qualified so that `search_path` cannot make two of it.
pub(super) const TABLE: &str = "public.refinery_schema_history";

/// The index of its key.
pub(super) const KEY: &str = "refinery_schema_history_pkey";

pub(super) const HISTORY: &str = include_str!("history.sql");

/// The migrations that `session`'s database has had, by version; none where nothing was ever applied. Creates nothing.
///
/// # Errors
/// When the server refuses, or a row is not refinery's.
pub(super) async fn read(session: &Session) -> Result<Vec<Migration>> {
    let doing = || format!("read {TABLE}");
    if !exists(session).await? {
        return Ok(Vec::new());
    }
    let rows = session.query(HISTORY, &[]).await.doing(doing)?;
    rows.iter().map(applied).collect()
}

/// Whether anything was ever applied.
pub(super) async fn exists(session: &Session) -> Result<bool> {
    let known = "SELECT pg_catalog.to_regclass($1) IS NOT NULL";
    let doing = || format!("look for {TABLE}");
    session.query_one(known, &[&TABLE]).await.and_then(|row| row.try_get(0)).doing(doing)
}

/// Reads one row; refinery's own drivers panic on one that is not as they write it.
pub(super) fn applied(row: &Row) -> Result<Migration> {
    let doing = || format!("read a row of {TABLE}");
    let version: i64 = row.try_get("version").doing(doing)?;
    let malformed = |what: &str| PgError::broken(doing(), format!("version {version} has no valid {what}"));
    let name: Option<String> = row.try_get("name").doing(doing)?;
    let applied_on: Option<String> = row.try_get("applied_on").doing(doing)?;
    let checksum: Option<String> = row.try_get("checksum").doing(doing)?;
    let applied_on = applied_on.and_then(|text| OffsetDateTime::parse(&text, &Rfc3339).ok());
    Ok(Migration::applied(
        version,
        name.ok_or_else(|| malformed("name"))?,
        applied_on.ok_or_else(|| malformed("applied_on"))?,
        checksum.and_then(|text| text.parse().ok()).ok_or_else(|| malformed("checksum"))?,
    ))
}
