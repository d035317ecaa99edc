//! Which generated data the database holds.

use std::sync::Arc;

use anyhow::Context as _;

use crate::datagen::{DATA_VERSION, Model, Sizes, ledger};
use crate::pg::{Session, Target};
use crate::scenario::{Param, Scenario};

/// The model of the data in `target`; an empty one where none of `scenarios` draws a user, a medium or a list.
pub(super) async fn model_for(target: &Target, scenarios: &[Scenario]) -> anyhow::Result<Arc<Model>> {
    if !scenarios.iter().any(draws_data) {
        return Ok(Arc::new(Model::new(0, Sizes { users: 1, media: 1, user_media: 0 })));
    }
    let session = Session::connect(target, "bench").await?;
    let found = ledger::data_set(&session).await;
    session.close().await;
    let data = found?.with_context(|| {
        format!("{target} holds no data of `omtdb generate`, whose users and media the scenarios ask for; run it first")
    })?;
    anyhow::ensure!(data.complete, "the last `omtdb generate` on {target} did not finish; run it again");
    anyhow::ensure!(
        data.data_version == DATA_VERSION,
        "{target} holds data of version {}, this omtdb draws from version {DATA_VERSION}; run `omtdb generate` again",
        data.data_version
    );
    Ok(Arc::new(Model::new(data.seed, data.sizes)))
}

fn draws_data(scenario: &Scenario) -> bool {
    scenario.params.values().any(|param| matches!(param, Param::Zipf { .. } | Param::Popularity { .. }))
}
