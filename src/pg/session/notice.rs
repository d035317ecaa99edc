//! What a server says without being asked.

use tokio_postgres::error::SqlState;

/// Warnings are for people, with what the server proposes; notices for those who ask for them. That a ROLLBACK to be sure
/// had nothing to roll back is no news.
pub(super) fn log(severity: &str, sqlstate: &str, message: &str, hint: Option<&str>) {
    let nothing_to_roll_back = sqlstate == SqlState::NO_ACTIVE_SQL_TRANSACTION.code();
    let hint = hint.map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
    match severity {
        "WARNING" if !nothing_to_roll_back => tracing::warn!("{message}{hint}"),
        severity => tracing::info!("{severity}: {message}{hint}"),
    }
}
