//! The planner's settings of another server.

use std::collections::BTreeMap;

use crate::pg::error::{Doing as _, Result};
use crate::pg::{Session, Target};

/// The settings that the planner of `target` goes by for this role in this database, and those that decide how well ANALYZE
/// looks; name to value.
///
/// # Errors
/// When the server cannot be asked.
pub async fn planner_settings(target: &Target) -> Result<BTreeMap<String, String>> {
    let doing = || format!("read the planner's settings of {target}");
    let session = Session::connect(target, "explain").await?;
    let rows = session.query_typed(include_str!("settings.sql"), &[]).await.doing(doing)?;
    session.close().await;
    let setting = |row: &tokio_postgres::Row| Ok((row.try_get("name")?, row.try_get("value")?));
    rows.iter().map(setting).collect::<std::result::Result<_, tokio_postgres::Error>>().doing(doing)
}
