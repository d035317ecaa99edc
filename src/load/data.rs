//! Which generated data the database holds.

use std::sync::Arc;

use crate::datagen::{Model, Shape, Sizes, ledger};
use crate::pg::{Session, Target};
use crate::scenario::{Param, Scenario, Statement};

/// The model of the data in `target`; an empty one where none of `scenarios` draws a user, a medium or a list. Notes in
/// the ledger when one of them writes.
///
/// # Errors
/// When the server cannot be reached, or the database does not hold generated data where it is needed.
pub async fn model_for(target: &Target, scenarios: &[Scenario]) -> anyhow::Result<Arc<Model>> {
    if !scenarios.iter().any(draws_data) {
        return Ok(Arc::new(Model::new(0, Sizes { users: 1, media: 1, user_media: 0 }, &Shape::default())));
    }
    let session = Session::connect(target, "bench").await?;
    let model = ledger::model(&session).await?;
    if scenarios.iter().flat_map(|scenario| &scenario.ops).flat_map(|op| &op.statements).any(may_write) {
        ledger::note_writes(&session).await?;
    }
    session.close().await;
    Ok(model)
}

fn draws_data(scenario: &Scenario) -> bool {
    scenario.params.values().any(|param| matches!(param, Param::Zipf { .. } | Param::Popularity { .. }))
}

/// A statement that does not begin with SELECT may write: WITH can hold an UPDATE.
fn may_write(statement: &Statement) -> bool {
    let first = statement.sql.split_whitespace().next().unwrap_or_default();
    !first.eq_ignore_ascii_case("SELECT")
}
