//! Sessions that no time limit of role, database or server ends in mid-drill.

use crate::pg::error::{Doing as _, PgError};
use crate::pg::{Session, Target};

/// Connects to `target`, and takes the limits away.
pub(super) async fn connect(target: &Target) -> Result<Session, PgError> {
    let session = Session::connect(target, "drill").await?;
    let doing = || "prepare the drill's session".to_owned();
    session.batch_execute(include_str!("patient.sql")).await.doing(doing)?;
    Ok(session)
}
