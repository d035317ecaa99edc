//! `omtdb generate`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Subcommand;
use omtdb::datagen::estimate::{self, Estimate};
use omtdb::datagen::sink::{self, Sink};
use omtdb::datagen::survey::ForeignRows;
use omtdb::datagen::{
    self, Check, Foreign, Generated, Knob, Layout, Preset, Profile, Shard, Sizes, Spec, Start, Window,
};
use omtdb::pg::Target;
use omtdb::units::{Bytes, Rows};
use omtdb::verdict::{UsageError, Verdict};

use super::cluster::confirm;
use super::place::PlaceArgs;
use super::{Cx, Outcome};

#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  omtdb generate --scratch=play --profile ci                 a million rows to play with
  omtdb generate --profile s --media 2M --seed 7 --jobs 4    sizes of your own
  omtdb generate --preset goodreads --set notes=0.2          books, and a note on every fifth
  omtdb generate --profile m --dry-run                       what will it take?
  omtdb generate --profile m --resume                        finish what was cut short
  omtdb generate --profile target --shard 2/4                one machine of four
  omtdb generate --profile s --sink dir=/data/s              files for psql, without a server
  omtdb generate verify --scratch=play                       is it all still there?

Profiles: smoke (1k users, 5k media, 100k user_media), ci (10k, 20k, 1M), s (100k, 200k, 10M),
m (1M, 2M, 100M), target (10M, 10M, 1B), target-50m (10M, 50M, 1B).
`omtdb generate knobs` lists what --set takes."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

/// `--profile`, `--users`, `--media`, `--user-media`, `--preset`, `--set`, `--layout`, `--seed`, `--jobs`.
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
    /// Whose distributions: mixed, movielens, goodreads, mal or steam
    #[arg(long, value_name = "PRESET", default_value_t = Preset::Mixed)]
    preset: Preset,
    /// One number of a distribution; may be given several times
    #[arg(long, value_name = "KNOB=VALUE")]
    set: Vec<Setting>,
    /// Order of the rows in a leaf: arrival (as written over the years) or clustered (by key)
    #[arg(long, value_name = "LAYOUT", default_value_t = Layout::Arrival)]
    layout: Layout,
    /// Seed of every value: the same seed, sizes and distributions give the same rows
    #[arg(long, value_name = "S", default_value_t = datagen::spec::DEFAULT_SEED)]
    seed: u64,
    /// Sessions that load side by side [default: one a processor]
    #[arg(long, value_name = "J")]
    jobs: Option<NonZeroUsize>,
}

/// A knob and its value, as `--set` takes them.
#[derive(Debug, Clone, Copy)]
struct Setting(Knob, f64);

impl FromStr for Setting {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, UsageError> {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| UsageError(format!("{text:?} is not KNOB=VALUE, such as items.sigma=1.6")))?;
        let value = value.parse().map_err(|_| UsageError(format!("{value:?} is not a number")))?;
        Ok(Self(name.parse()?, value))
    }
}

#[derive(clap::Args)]
#[command(next_help_heading = "Loading")]
struct LoadArgs {
    /// Say what the load would take, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Finish an unfinished load of the same data: only relations that are missing are loaded
    #[arg(long)]
    resume: bool,
    /// Load only part I of N, in whole leaves; N runs anywhere load everything, without knowing of each other
    #[arg(long, value_name = "I/N", default_value_t = Shard::WHOLE)]
    shard: Shard,
    /// Where rows go: postgres, null (nowhere: how fast are they made?), or dir=PATH (COPY files)
    #[arg(long, value_name = "SINK", default_value = "postgres")]
    sink: SinkArg,
    /// With --sink null or dir: only relations whose name contains TEXT
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// With --sink null: stop each relation after N rows
    #[arg(long, value_name = "N")]
    sample: Option<Rows>,
    /// Change settings of the server that slow loading down, and put them back afterwards; always done on scratch clusters
    #[arg(long)]
    tune: bool,
    /// Truncate tables that hold other rows without asking
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Clone)]
enum SinkArg {
    Postgres,
    Other(Sink),
}

impl FromStr for SinkArg {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, UsageError> {
        match (text, text.strip_prefix("dir=")) {
            ("postgres", _) => Ok(Self::Postgres),
            ("null", _) => Ok(Self::Other(Sink::Null)),
            (_, Some(dir)) if !dir.is_empty() => Ok(Self::Other(Sink::Dir(PathBuf::from(dir)))),
            _ => Err(UsageError(format!("{text:?} is not a sink; they are postgres, null and dir=PATH"))),
        }
    }
}

#[derive(Subcommand)]
enum Action {
    /// Compare the loaded data with the model: counts, checksums, distributions, references, leaves, times
    Verify {
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// List the numbers that shape the data, with the values of each preset
    Knobs,
}

pub(crate) async fn run(args: Args, cx: &Cx) -> Outcome {
    match &args.action {
        Some(Action::Verify { place }) => return verify(place, cx).await,
        Some(Action::Knobs) => return knobs(cx),
        None => {}
    }
    let spec = args.spec()?;
    if let SinkArg::Other(sink) = &args.load.sink {
        let sample = args.load.sample.map(|rows| rows.0);
        let generated = sink::generate(&cx.run, &spec, sink, args.load.only.as_deref(), sample).await?;
        cx.out.result(&generated, text(&generated, &spec))?;
        return Ok(Verdict::Pass);
    }
    let place = args.place.resolve().await?;
    if args.load.dry_run {
        let estimated = estimate::estimate(&place.target, &spec).await;
        let estimated = place.end(estimated)?;
        cx.out.result(&estimated, estimate_text(&estimated, &spec))?;
        return Ok(Verdict::Pass);
    }
    let window = if args.load.tune || place.lease.is_some() { Window::Apply } else { Window::Advise };
    let spec = Spec { window, ..spec };
    let generated = generate(&place.target, &spec, args.load.yes, cx).await;
    let generated = place.end(generated)?;
    cx.out.result(&generated, text(&generated, &spec))?;
    Ok(Verdict::Pass)
}

impl Args {
    fn spec(&self) -> anyhow::Result<Spec> {
        let LoadArgs { dry_run, resume, shard, sink, only, sample, tune, yes } = &self.load;
        let server = self.place.url.is_some() || self.place.scratch.is_some();
        let refuse = |why: &str| Err(UsageError(why.to_owned()).into());
        let is_null = matches!(sink, SinkArg::Other(Sink::Null));
        match sink {
            SinkArg::Postgres if only.is_some() || sample.is_some() => {
                return refuse("--only and --sample go with --sink null or --sink dir=PATH");
            }
            SinkArg::Other(_) if *dry_run || *tune || *yes || server => {
                return refuse("--dry-run, --tune, --yes, --url and --scratch go with --sink postgres");
            }
            SinkArg::Other(Sink::Null) if *resume => {
                return refuse("of --sink null nothing is left to resume");
            }
            SinkArg::Other(_) if sample.is_some() && !is_null => {
                return refuse("--sample goes with --sink null");
            }
            _ => {}
        }
        let start = if *resume { Start::Resume } else { Start::Anew };
        Ok(Spec { start, shard: *shard, ..self.spec.spec()? })
    }
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
        let set = |shape: datagen::Shape, Setting(knob, value): &Setting| shape.with(*knob, *value);
        let shape = self.set.iter().try_fold(self.preset.shape(sizes.media), set)?.check()?;
        let processors = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let jobs = self.jobs.unwrap_or(processors);
        Ok(Spec { shape, layout: self.layout, jobs, ..Spec::of(self.seed, sizes.check()?) })
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

fn table_of<const N: usize>(header: [&str; N]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(header);
    table
}

fn phases_text(phases: &[datagen::Phase]) -> String {
    let phase = |phase: &datagen::Phase| format!("{} {:.1} s", phase.phase, phase.seconds);
    phases.iter().map(phase).collect::<Vec<_>>().join(", ")
}

fn text(generated: &Generated, spec: &Spec) -> String {
    let mut table = table_of(["table", "rows", "COPY bytes", "checksum"]);
    for load in &generated.tables {
        let [rows, bytes] = [load.rows.to_string(), Bytes(load.bytes).to_string()];
        table.add_row([load.table.clone(), rows, bytes, load.checksum.clone()]);
    }
    format!(
        "{table}\n\nseed {}, data version {}: {}, layout {}\n{}\n{:.0} rows/s while loading over {} sessions; peak memory {}",
        generated.seed,
        generated.data_version,
        spec.sizes,
        spec.layout,
        phases_text(&generated.phases),
        generated.rows_per_s,
        spec.jobs,
        Bytes(generated.peak_rss_bytes)
    )
}

fn estimate_text(estimate: &Estimate, spec: &Spec) -> String {
    let mut table = table_of(["table", "rows", "COPY bytes", "on disk", "indexes"]);
    for size in &estimate.tables {
        let bytes = [size.copy, size.heap, size.indexes].map(|bytes| bytes.to_string());
        let [copy, heap, indexes] = bytes;
        table.add_row([size.table.clone(), size.rows.to_string(), copy, heap, indexes]);
    }
    let free = match estimate.free_bytes {
        Some(free) if free < estimate.disk_bytes => {
            format!("only {} are free: it would be refused", Bytes(free))
        }
        Some(free) => format!("{} are free", Bytes(free)),
        None => "how much is free there is not known from here".to_owned(),
    };
    let seconds: f64 = estimate.phases.iter().map(|phase| phase.seconds).sum();
    let notes: String = estimate.notes.iter().map(|note| format!("\n{note}")).collect();
    format!(
        "{table}\n\n{}, into {} relations\nThe server's disk needs about {}; {free}\n\
         About {seconds:.0} s with {} sessions at the rates of a small machine: {}{notes}\nNothing was changed.",
        spec.sizes,
        estimate.relations,
        Bytes(estimate.disk_bytes),
        spec.jobs,
        phases_text(&estimate.phases)
    )
}

fn knobs(cx: &Cx) -> Outcome {
    let shapes = Preset::ALL.map(|preset| (preset.name(), preset.shape(0)));
    let mut table = table_of(["knob", "mixed", "movielens", "goodreads", "mal", "steam", "is"]);
    for (knob, name, says) in Knob::all() {
        let values = shapes.map(|(_, shape)| shape.get(knob).to_string());
        table.add_row(std::iter::once(name.to_owned()).chain(values).chain([says.to_owned()]));
    }
    cx.out.result(&std::collections::BTreeMap::from(shapes), table.to_string())?;
    Ok(Verdict::Pass)
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
