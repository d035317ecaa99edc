//! Plans at the size that a database will have, without its data.
//!
//! A server of our own is given the schema and a sample of the model's shape. Then its files grow, sparsely, to the size that
//! so many rows would have, and the catalog is told what ANALYZE would have found of them (`relations`, `statistics`).
//! The planner knows nothing else of a table. Nothing is executed, so no time is ever told.
//!
//! Plans are made at a thousandth, a hundredth and a tenth of the size and at the whole: where one changes on the way, the
//! size is told.

mod columns;
mod flips;
mod known;
mod options;
mod pages;
mod relations;
mod sample;
mod settings;
mod standing;
mod statistics;
mod what_if;

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use self::flips::flips;
pub use self::flips::{Draw, Planned};
use self::known::Known;
use self::relations::{Relation, Size};
use self::sample::Sample;
use self::statistics::Grown;
use super::capture::{How, capture};
use super::catalog::Catalog;
use super::{OpPlan, drawn, interruptible, judged};
use crate::datagen::{Model, Sizes, Spec};
use crate::migrate::Source;
use crate::pg::cluster::Settings;
use crate::pg::error::Doing as _;
use crate::pg::{Cluster, Session, Target};
use crate::run::Run;
use crate::scenario::Scenario;
use crate::scenario::draw::Drawing;
use crate::verdict::Verdict;

pub use self::options::{Method, Options, SAMPLE_ROWS, WhatIf};
pub use self::settings::planner_settings;
pub use self::standing::{Standing, standing};

/// What `explain --at-scale` found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scaled {
    /// How the plans were made.
    pub scale: Scale,
    /// One entry an operation and plan mode.
    pub ops: Vec<OpAtScale>,
}

/// How plans were made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// Rows of `interaction.user_media`.
    pub rows: u64,
    /// All sizes.
    pub sizes: Sizes,
    /// Rows that were loaded.
    pub sample_rows: u64,
    /// `sparse`: files of the size, statistics by the generator's model, EXPLAIN alone.
    pub method: String,
    /// The server whose planner settings these are; PostgreSQL's defaults where none is named.
    pub settings_from: Option<String>,
    /// The server whose statistics these grew from; the generator's model where none is named.
    #[serde(default)]
    pub stats_from: Option<String>,
    /// The planner's settings that were taken over.
    pub settings: BTreeMap<String, String>,
}

/// A plan at the whole size, and where on the way there it changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpAtScale {
    /// The plan of the values that break the contract most.
    #[serde(flatten)]
    pub plan: OpPlan,
    /// Where it changed; `None` where one shape serves all sizes.
    pub flip: Option<Flip>,
    /// Estimated cost at the whole size over that at the smallest.
    pub cost_ratio: f64,
}

/// A change of a plan's shape on the way to the whole size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flip {
    /// The smallest size at which the plan is another, over the smallest that was planned for: 10, 100, 1000; the last is what it
    /// is where the sizes begin with what a server has.
    pub factor: u64,
    /// Rows of `interaction.user_media` there.
    pub rows: u64,
    /// Rows at the size before.
    pub rows_before: u64,
    /// The plan before, without leaves and costs.
    pub before: String,
    /// The plan there.
    pub after: String,
}

impl Scaled {
    /// The plans at the whole size.
    #[must_use]
    pub fn plans(&self) -> Vec<OpPlan> {
        self.ops.iter().map(|op| op.plan.clone()).collect()
    }

    /// The worst verdict of all operations.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        Verdict::worst(self.ops.iter().map(|op| op.plan.verdict))
    }
}

/// Plans every operation of `scenarios` at the sizes of `options`, in `target`, an empty database of `cluster`, which can be
/// used for nothing else afterwards.
///
/// # Errors
/// A [`UsageError`](crate::verdict::UsageError) where the size is smaller than the sample; when the server refuses something,
/// or the run is interrupted.
pub async fn run(
    run: &Run,
    (cluster, target): (&Cluster, &Target),
    migrations: &Source,
    scenarios: &[Scenario],
    options: &Options,
) -> anyhow::Result<Scaled> {
    options.check()?;
    let steps = options.steps();
    let sample =
        sample::make(run, (cluster, target), migrations, options).await.context("make the sample")?;
    let task = run.task("plans at scale", Some(steps.len() as u64), "sizes");
    let mut planned = Vec::new();
    for (factor, sizes) in &steps {
        run.check()?;
        let model = model_of(options.seed, *sizes);
        grow((cluster, target), &sample, &model, options.method)
            .await
            .with_context(|| format!("grow to {sizes}"))?;
        planned.push((*factor, *sizes, plan_all(run, target, scenarios, options, &model.into()).await?));
        task.advance(1);
    }
    let scale = Scale {
        rows: options.sizes.user_media,
        sizes: options.sizes,
        sample_rows: options.sample_rows,
        method: options.method.word().to_owned(),
        settings_from: options.settings_from.clone(),
        stats_from: options.standing.as_ref().map(|standing| standing.from.clone()),
        settings: options.planner.clone(),
    };
    Ok(Scaled { scale, ops: flips(planned) })
}

/// The plans at the whole size alone, for each of the drawn values.
///
/// # Errors
/// As with [`run`].
pub async fn predict(
    run: &Run,
    (cluster, target): (&Cluster, &Target),
    migrations: &Source,
    scenarios: &[Scenario],
    options: &Options,
) -> anyhow::Result<Vec<Planned>> {
    let sample =
        sample::make(run, (cluster, target), migrations, options).await.context("make the sample")?;
    let model = model_of(options.seed, options.sizes);
    grow((cluster, target), &sample, &model, options.method).await?;
    plan_all(run, target, scenarios, options, &model.into()).await
}

/// The data that `generate` would make of these sizes.
fn model_of(seed: u64, sizes: Sizes) -> Model {
    Model::new(seed, sizes, &Spec::of(seed, sizes).shape)
}

/// Makes files and catalog as they would be with the data of `model`.
async fn grow(
    (cluster, target): (&Cluster, &Target),
    sample: &Sample,
    model: &Model,
    method: Method,
) -> anyhow::Result<()> {
    if method == Method::Sample {
        return Ok(());
    }
    let known = Known::of(model, &sample.leaves, sample.entries);
    let rows = |one: &Relation| one.rows_at(sample.sizes, model.sizes(), &known);
    let sizes: Vec<_> = sample.relations.iter().map(|one| one.grown(rows(one))).collect();
    cluster.grow(&Settings::new(), |data| {
        for (relation, size) in sample.relations.iter().zip(&sizes) {
            if method == Method::Sparse {
                relation.grow(data, *size)?;
            }
        }
        Ok(())
    })?;
    let session = Session::connect(target, "scale").await?;
    let major = session.version().major();
    let mut script = vec!["BEGIN;".to_owned()];
    script.extend(sample.unknown.iter().map(|key| columns::forget(key, major)));
    script.extend(sample.relations.iter().zip(&sizes).map(|(relation, size)| {
        // With the pages as they are, so many rows are on each of them.
        let (pages, visible) = (relation.pages, relation.visible);
        let size = if method == Method::RowsAlone { Size { pages, visible, ..*size } } else { *size };
        relation.write(size, major)
    }));
    for (key, column) in sample.columns.iter().filter(|_| method == Method::Sparse) {
        let Some(relation) = sample.relation(key) else { continue };
        #[expect(clippy::cast_precision_loss, reason = "at most 10000 entries")]
        let target = sample.entries as f64;
        let (from, to, evenness) = (relation.rows, rows(relation), sample.evenness(key));
        let size = Grown { from, to, target, evenness };
        let grown = statistics::grown(column, &sample.growth(key, &known), size);
        script.push(columns::write(key, &grown, major));
    }
    script.push("COMMIT;".to_owned());
    session.batch_execute(&script.join("\n")).await.doing(|| "write the statistics".to_owned())?;
    // Functions that write statistics warn where others fail.
    let told = relations::read(&session).await?;
    for (relation, size) in
        sample.relations.iter().zip(&sizes).filter(|(one, _)| method == Method::Sparse && one.path.is_some())
    {
        let is_told = |one: &&Relation| (&one.schema, &one.name) == (&relation.schema, &relation.name);
        let pages = told.iter().find(is_told).map(|one| one.pages);
        ensure!(
            pages == Some(size.pages),
            "the catalog does not take {} pages of {}",
            size.pages,
            relation.name
        );
    }
    session.close().await;
    Ok(())
}

/// The plans of every operation at the present size, one for each of the drawn values; in their order.
///
/// # Errors
/// When the server refuses a statement, or the run is interrupted.
pub async fn plan_all(
    run: &Run,
    target: &Target,
    scenarios: &[Scenario],
    options: &Options,
    model: &std::sync::Arc<Model>,
) -> anyhow::Result<Vec<Planned>> {
    let session = Session::connect(target, "scale").await?;
    let catalog = Catalog::read(&session).await?;
    let mut all = Vec::new();
    for (scenario, op) in scenarios.iter().flat_map(|s| std::iter::repeat(s).zip(&s.ops)) {
        for (name, statement) in op.named() {
            let bindings = drawn(&Drawing::new(scenario, op, statement, options.seed, model));
            for mode in options.modes.of(&statement.plan) {
                let mut draws = Vec::new();
                for values in &bindings {
                    run.check()?;
                    let plan = capture(&session, &statement.sql, values, mode, How::Planned);
                    let plan = interruptible(run, &session, plan)
                        .await
                        .with_context(|| format!("explain {name} of {} ({})", scenario.name, mode.word()))?;
                    let found = judged((&scenario.name, &name), &statement.plan, mode, &plan, &catalog);
                    draws.push(Draw { found, cost: plan.root.total_cost });
                }
                all.push(Planned { draws });
            }
        }
    }
    session.close().await;
    Ok(all)
}
