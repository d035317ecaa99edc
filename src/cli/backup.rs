//! `omtdb backup`.

use super::{Cx, Outcome};

#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(_args: Args, _cx: &Cx) -> Outcome {
    anyhow::bail!("not built yet")
}
