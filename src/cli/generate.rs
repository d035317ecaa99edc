//! `omtdb generate`.

use std::num::NonZeroUsize;

use clap::Subcommand;
use omtdb::datagen::survey::ForeignRows;
use omtdb::datagen::{self, Check, Foreign, Generated, Profile, Sizes, Spec};
use omtdb::pg::Target;
use omtdb::units::{Bytes, Rows};
use omtdb::verdict::Verdict;

use super::cluster::confirm;
use super::place::PlaceArgs;
use super::{Cx, Outcome};

#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  omtdb generate --scratch=play --profile ci                 a million rows to play with
  omtdb generate --profile s --media 2M --seed 7 --jobs 4    sizes of your own
  omtdb generate verify --scratch=play                       is it all still there?

Profiles: smoke (1k users, 5k media, 100k user_media), ci (10k, 20k, 1M), s (100k, 200k, 10M),
m (1M, 2M, 100M), target (10M, 10M, 1B), target-50m (10M, 50M, 1B)."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    spec: SpecArgs,
    /// Truncate tables that hold other rows without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

/// `--profile`, `--users`, `--media`, `--user-media`, `--seed`, `--jobs`.
#[derive(clap::Args)]
#[command(next_help_heading = "Data")]
pub(crate) struct SpecArgs {
    /// How much: smoke, ci, s, m, target or target-50m
    #[arg(long, value_name = "PROFILE", default_value_t = Profile::Smoke)]
    pub(crate) profile: Profile,
    /// Users [default: the profile's]
    #[arg(long, value_name = "N")]
    users: Option<Rows>,
    /// Media [default: the profile's]
    #[arg(long, value_name = "N")]
    media: Option<Rows>,
    /// Items in the libraries of all users together [default: the profile's]
    #[arg(long, value_name = "N")]
    user_media: Option<Rows>,
    /// Seed of every value: the same seed and sizes give the same rows
    #[arg(long, value_name = "S", default_value_t = datagen::spec::DEFAULT_SEED)]
    seed: u64,
    /// Sessions that load side by side [default: one a processor]
    #[arg(long, value_name = "J")]
    jobs: Option<NonZeroUsize>,
}

#[derive(Subcommand)]
enum Action {
    /// Compare the loaded data with the model: counts, checksums, references, leaves, times
    Verify {
        #[command(flatten)]
        place: PlaceArgs,
    },
}

pub(crate) async fn run(args: Args, cx: &Cx) -> Outcome {
    if let Some(Action::Verify { place }) = &args.action {
        return verify(place, cx).await;
    }
    let spec = args.spec.spec()?;
    let place = args.place.resolve().await?;
    let generated = generate(&place.target, &spec, args.yes, cx).await;
    let generated = place.end(generated)?;
    cx.out.result(&generated, text(&generated, &spec))?;
    Ok(Verdict::Pass)
}

impl SpecArgs {
    /// The data set that they ask for.
    pub(crate) fn spec(&self) -> anyhow::Result<Spec> {
        let profile = self.profile.sizes();
        let or = |given: Option<Rows>, default| given.map_or(default, |rows| rows.0);
        let sizes = Sizes {
            users: or(self.users, profile.users),
            media: or(self.media, profile.media),
            user_media: or(self.user_media, profile.user_media),
        };
        let processors = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let jobs = self.jobs.unwrap_or(processors);
        Ok(Spec { seed: self.seed, sizes: sizes.check()?, jobs, foreign: Foreign::Refuse })
    }
}

async fn generate(target: &Target, spec: &Spec, yes: bool, cx: &Cx) -> anyhow::Result<Generated> {
    match datagen::generate(&cx.run, target, spec).await {
        Err(error) if error.is::<ForeignRows>() => {
            confirm(yes, &format!("In {target}, {error}. Truncate them?"))?;
            datagen::generate(&cx.run, target, &Spec { foreign: Foreign::Truncate, ..*spec }).await
        }
        generated => generated,
    }
}

fn text(generated: &Generated, spec: &Spec) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(["table", "rows", "COPY bytes", "checksum"]);
    for load in &generated.tables {
        let [rows, bytes] = [load.rows.to_string(), Bytes(load.bytes).to_string()];
        table.add_row([load.table.clone(), rows, bytes, load.checksum.clone()]);
    }
    let phases: Vec<String> =
        generated.phases.iter().map(|phase| format!("{} {:.1} s", phase.phase, phase.seconds)).collect();
    format!(
        "{table}\n\nseed {}, data version {}: {}\n{}\n{:.0} rows/s while loading over {} sessions; peak memory {}",
        generated.seed,
        generated.data_version,
        spec.sizes,
        phases.join(", "),
        generated.rows_per_s,
        spec.jobs,
        Bytes(generated.peak_rss_bytes)
    )
}

async fn verify(place: &PlaceArgs, cx: &Cx) -> Outcome {
    let place = place.resolve().await?;
    let verified = datagen::verify(&cx.run, &place.target).await;
    let verified = place.end(verified)?;
    let lines: Vec<String> = verified.checks.iter().map(line).collect();
    cx.out.result(&verified, lines.join("\n"))?;
    Ok(verified.verdict())
}

fn line(check: &Check) -> String {
    if check.ok {
        format!("ok    {}: {}", check.name, check.found)
    } else {
        format!("FAIL  {}: expected {}, found {}", check.name, check.expected, check.found)
    }
}
