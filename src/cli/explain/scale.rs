//! `omtdb explain --at-scale`.

use omtdb::datagen::{Profile, Sizes};
use omtdb::explain::Modes;
use omtdb::explain::against::PlanChange;
use omtdb::explain::scale::{
    self, Flip, OpAtScale, Options, SAMPLE_ROWS, Scaled, WhatIf, planner_settings, standing,
};
use omtdb::migrate::Source;
use omtdb::pg::target::Secret;
use omtdb::scenario::Scenario;
use omtdb::units::Rows;
use omtdb::verdict::{UsageError, Verdict};
use serde::Serialize;

use super::super::output::table;
use super::super::place::PlaceArgs;
use super::super::{Cx, Outcome};

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Plans at scale")]
pub(super) struct ScaleArgs {
    /// Plan for this many rows of user_media, without the data, in a throw-away server
    #[arg(long, value_name = "ROWS")]
    at_scale: Option<Rows>,
    /// Users at that size [default: one for every 100 rows]
    #[arg(long, value_name = "ROWS", requires = "at_scale")]
    users: Option<Rows>,
    /// Media at that size [default: one for every 20 rows]
    #[arg(long, value_name = "ROWS", requires = "at_scale")]
    media: Option<Rows>,
    /// Rows of user_media to load for it
    #[arg(long, value_name = "ROWS", requires = "at_scale", default_value_t = Rows(SAMPLE_ROWS))]
    sample: Rows,
    /// Plan with the settings of this server (work_mem, random_page_cost, …), which is only read
    #[arg(long, value_name = "CONNINFO", requires = "at_scale")]
    settings_from: Option<Secret>,
    /// Grow from what the planner of this server knows (sizes and statistics; no data is read) instead of the model
    #[arg(long, value_name = "CONNINFO", requires = "at_scale")]
    stats_from: Option<Secret>,
    /// Plan with this index too, and show both
    #[arg(long, value_name = "CREATE INDEX …", requires = "at_scale")]
    with_index: Vec<String>,
    /// Plan without this index, and show both
    #[arg(long, value_name = "NAME", requires = "at_scale")]
    without_index: Vec<String>,
    /// Plan with this many leaves of user_media, and show both
    #[arg(long, value_name = "N", requires = "at_scale", value_parser = clap::value_parser!(u64).range(1..=1024))]
    partitions: Option<u64>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Compared {
    #[serde(flatten)]
    scaled: Scaled,
    /// Plans that are others than those that were kept.
    changes: Vec<PlanChange>,
}

/// What `--json` prints where something is changed.
#[derive(Serialize)]
struct Both {
    #[serde(flatten)]
    changed: Scaled,
    /// Without the change.
    before: Scaled,
}

impl ScaleArgs {
    pub(super) fn is_asked_for(&self) -> bool {
        self.at_scale.is_some()
    }

    /// The ratios are those of the plan's target with 50 million media.
    fn sizes(&self) -> Result<Sizes, UsageError> {
        let target = Profile::Target50m.sizes();
        let rows = self.at_scale.map_or(target.user_media, |rows| rows.0);
        let of = |size: u64| (rows / (target.user_media / size)).max(1);
        let users = self.users.map_or(of(target.users), |rows| rows.0);
        let media = self.media.map_or(of(target.media), |rows| rows.0);
        Sizes { users, media, user_media: rows }.check()
    }

    fn what_if(&self) -> WhatIf {
        WhatIf {
            with_index: self.with_index.clone(),
            without_index: self.without_index.clone(),
            partitions: self.partitions,
        }
    }
}

pub(super) async fn run(args: &super::Args, scenarios: &[Scenario], modes: Modes, cx: &Cx) -> Outcome {
    let (all, args, place, seed) = (args, &args.scale, &args.place, args.seed);
    refuse_other_places(place)?;
    let mut options = Options { modes, ..Options::new(args.sizes()?, args.sample.0, seed) };
    if let Some(url) = &args.settings_from {
        let other = PlaceArgs { url: Some(url.clone()), ..place.clone() }.resolve().await?.target;
        options.planner = planner_settings(&other).await?;
        options.settings_from = Some(other.to_string());
    }
    if let Some(url) = &args.stats_from {
        let other = PlaceArgs { url: Some(url.clone()), ..place.clone() }.resolve().await?.target;
        options.standing = Some(standing(&other).await?);
    }
    let before = one(place, scenarios, &options, cx).await?;
    let what_if = args.what_if();
    if !what_if.is_any() {
        let changes = all.keep_and_compare(&before.plans())?;
        let parts = [text(&before)].into_iter().chain(changes.iter().map(super::change_text));
        let text = parts.collect::<Vec<_>>().join("\n\n");
        let verdict = Verdict::worst([before.verdict(), Verdict::from_ok(changes.is_empty())]);
        cx.out.result(&Compared { scaled: before, changes }, text)?;
        return Ok(verdict);
    }
    let changed = one(place, scenarios, &Options { what_if, ..options }, cx).await?;
    let text = format!("Without the change:\n{}\n\nWith it:\n{}", text(&before), text(&changed));
    let verdict = changed.verdict();
    cx.out.result(&Both { changed, before }, text)?;
    Ok(verdict)
}

/// Files are made to look larger than they are: never those of a server that anybody uses.
fn refuse_other_places(place: &PlaceArgs) -> Result<(), UsageError> {
    if place.url.is_none() && place.scratch.is_none() {
        return Ok(());
    }
    Err(UsageError(
        "--at-scale makes a server of its own and throws it away: it works on no other, neither --url nor --scratch\n  \
         help: --settings-from takes over another server's planner settings"
            .to_owned(),
    ))
}

async fn one(
    place: &PlaceArgs,
    scenarios: &[Scenario],
    options: &Options,
    cx: &Cx,
) -> anyhow::Result<Scaled> {
    let place = place.throw_away("scale").await?;
    let Some(lease) = &place.lease else { anyhow::bail!("there is no server to plan on") };
    let scaled =
        scale::run(&cx.run, (lease.cluster(), &place.target), &Source::embedded(), scenarios, options).await;
    place.end(scaled)
}

fn text(scaled: &Scaled) -> String {
    let row = |op: &OpAtScale| {
        let flip =
            op.flip.as_ref().map_or_else(|| "never".to_owned(), |flip| format!("at {}", Rows(flip.rows)));
        [
            op.plan.scenario.clone(),
            op.plan.op.clone(),
            op.plan.mode.clone(),
            op.plan.verdict.word().to_owned(),
            op.plan.scanned_leaves.to_string(),
            flip,
            format!("{:.1}", op.cost_ratio),
            op.plan.indexes.join(", "),
        ]
    };
    let header =
        ["scenario", "operation", "mode", "contract", "leaves", "plan changes", "cost ratio", "indexes"];
    let mut parts = vec![format!(
        "Plans for {}, from a sample of {}; nothing was executed.\n{}",
        scaled.scale.sizes,
        Rows(scaled.scale.sample_rows),
        table(header, scaled.ops.iter().map(row))
    )];
    parts.extend(scaled.ops.iter().filter_map(|op| Some(flip_text(op, op.flip.as_ref()?))));
    parts.extend(
        scaled.ops.iter().map(|op| &op.plan).filter(|op| !op.violations.is_empty()).map(super::violations),
    );
    parts.join("\n\n")
}

fn flip_text(op: &OpAtScale, flip: &Flip) -> String {
    let indented = |text: &str| text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n");
    format!(
        "{} of {} ({}), up to {}:\n{}\n  from {} on:\n{}",
        op.plan.op,
        op.plan.scenario,
        op.plan.mode,
        Rows(flip.rows_before),
        indented(&flip.before),
        Rows(flip.rows),
        indented(&flip.after)
    )
}
