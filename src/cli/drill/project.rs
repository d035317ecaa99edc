//! `omtdb drill project`.

use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use omtdb::datagen::spec::DEFAULT_SEED;
use omtdb::drill::Site;
use omtdb::drill::project::{self, Answer, Cadence, Measure, Outlook, Point, Question, Size};
use omtdb::stats::Interval;
use omtdb::units::{Bytes, Rows};
use serde::Deserialize;

use super::super::output::table;
use super::super::place::{ProgramArgs, home};
use super::super::{Cx, Outcome};

#[derive(clap::Args)]
#[command(after_help = "\
Restores are measured on throw-away servers of this machine: at each size with each volume of log. Then T = a + B / bandwidth
+ W / replay rate is fitted and followed to the size that was asked for, with an interval of 95%. It is that of this machine,
and of files that fit its memory where the measured ones do; beyond ten times what was measured, only the interval is told.

Exit codes: 0 projected, 1 no backup is restored within --rto, 3 the measurements carry no projection, 4 could not run.

Examples:
  omtdb drill project --wal-per-day 200GB --rto 4h
  omtdb drill project --wal-per-day 200GB --json > measured.json
  omtdb drill project --from measured.json --wal-per-day 50GB --rto 1h    another question, nothing measured anew")]
pub(crate) struct Args {
    /// Sizes to measure, in rows of user_media
    #[arg(long, value_name = "ROWS,…", value_delimiter = ',', default_value = "200k,400k,800k")]
    sizes: Vec<Rows>,
    /// Volumes of log to redo at each size
    #[arg(long, value_name = "BYTES,…", value_delimiter = ',', default_value = "64MiB,256MiB")]
    wal: Vec<Bytes>,
    /// How often each is restored
    #[arg(long, value_name = "N", default_value = "2")]
    repeats: NonZeroUsize,
    /// Seed of the data
    #[arg(long, value_name = "S", default_value_t = DEFAULT_SEED)]
    seed: u64,
    /// Measure nothing: take the points of an earlier run's JSON
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sizes", "wal", "repeats", "seed"])]
    from: Option<PathBuf>,
    /// The size to project to, in rows of user_media
    #[arg(long, value_name = "ROWS", default_value = "1B")]
    user_media: Rows,
    /// The size to project to, as bytes of a base backup
    #[arg(long, value_name = "BYTES", conflicts_with = "user_media")]
    base_bytes: Option<Bytes>,
    /// Bytes of log that are written in a day
    #[arg(long, value_name = "BYTES")]
    wal_per_day: Bytes,
    /// How long a restore may take: says how often a backup is to be taken for that
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    rto: Option<Duration>,
    #[command(flatten)]
    programs: ProgramArgs,
}

pub(super) async fn run(args: Args, cx: &Cx) -> Outcome {
    let question = Question {
        size: args.base_bytes.map_or(Size::UserMedia(args.user_media), Size::Base),
        wal_per_day: args.wal_per_day,
        rto_s: args.rto.map(|rto| rto.as_secs_f64()),
    };
    let points = match &args.from {
        Some(path) => earlier(path)?,
        None => project::measure(&cx.run, &args.measure()?).await?,
    };
    let answer = project::answer(points, &question);
    cx.out.result(&answer, text(&answer))?;
    Ok(answer.verdict)
}

impl Args {
    fn measure(self) -> anyhow::Result<Measure> {
        Ok(Measure {
            sizes: self.sizes,
            wal: self.wal,
            repeats: self.repeats,
            seed: self.seed,
            jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            site: Site { home: home()?, programs: self.programs.find()? },
        })
    }
}

#[derive(Deserialize)]
struct Earlier {
    points: Vec<Point>,
}

fn earlier(path: &PathBuf) -> anyhow::Result<Vec<Point>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let read: Earlier = serde_json::from_str(&text).map_err(|error| {
        let why = format!("{} is not what drill project --json writes: {error}", path.display());
        omtdb::verdict::UsageError(why)
    })?;
    Ok(read.points)
}

fn text(answer: &Answer) -> String {
    let mut parts = vec![points(&answer.points)];
    parts.extend(answer.projection.as_ref().map(outlook));
    if !answer.reasons.is_empty() {
        parts.push(format!("{}: {}", answer.verdict.word(), answer.reasons.join("\n")));
    }
    parts.join("\n\n")
}

fn points(points: &[Point]) -> String {
    let row = |point: &Point| {
        let seen = &point.seen;
        [
            point.user_media.to_string(),
            Bytes(seen.base_bytes).to_string(),
            Bytes(seen.wal_bytes).to_string(),
            format!("{:.2} s", seen.copy_s),
            format!("{:.2} s", seen.redo_s),
            format!("{:.2} s", seen.total_s),
            point.residual.map_or_else(|| "-".to_owned(), |residual| format!("{:+.1}%", 100.0 * residual)),
        ]
    };
    table(
        ["user_media", "base backup", "log", "copy", "redo", "total", "off the fit"],
        points.iter().map(row),
    )
}

fn outlook(outlook: &Outlook) -> String {
    let Interval { value, low, high } = outlook.base_bytes;
    let range = if high > low { format!(" ({} to {})", bytes(low), bytes(high)) } else { String::new() };
    let mut lines = vec![
        format!(
            "fit: {:.2} s + copy at {}/s + redo at {}/s",
            outlook.fixed_s,
            rate(outlook.copy_bytes_per_s),
            rate(outlook.redo_bytes_per_s)
        ),
        format!(
            "projected: a base backup of {}{range}, {} of log a day\n",
            bytes(value),
            outlook.wal_per_day_bytes
        ),
        cadences(&outlook.cadences),
    ];
    if let (Some(rto_s), Some(longest_s)) = (outlook.rto_s, outlook.longest_interval_s) {
        lines.push(format!(
            "\nwithin {}: a backup every {} or more often",
            duration(rto_s),
            duration(longest_s)
        ));
    }
    lines.join("\n")
}

fn cadences(cadences: &[Cadence]) -> String {
    let row = |cadence: &Cadence| {
        let time = &cadence.time;
        let estimate = if time.is_far() { "-".to_owned() } else { duration(time.value_s) };
        [
            duration(cadence.every_s),
            bytes(time.wal_bytes).to_string(),
            estimate,
            format!("{} to {}", duration(time.low_s), duration(time.high_s)),
            format!("{:.0}x size, {:.0}x log", time.base_factor, time.wal_factor),
            cadence.in_time.map_or("", |yes| if yes { "yes" } else { "no" }).to_owned(),
        ]
    };
    let header = ["backup every", "log to redo", "recovery", "with 95%", "beyond the measured", "in time"];
    table(header, cadences.iter().map(row))
}

fn rate(rate: Interval) -> String {
    format!("{} ({} to {})", bytes(rate.value), bytes(rate.low), bytes(rate.high))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "printed with one decimal")]
fn bytes(bytes: f64) -> Bytes {
    Bytes(bytes.max(0.0) as u64)
}

/// Seconds as people say them, in two units at most.
fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    let minutes = (seconds / 60.0).round();
    let (days, hours) = ((minutes / 1440.0).floor(), (minutes % 1440.0 / 60.0).floor());
    match (days, hours) {
        (0.0, 0.0) => format!("{minutes:.0} min"),
        (0.0, hours) if minutes % 60.0 == 0.0 => format!("{hours:.0} h"),
        (0.0, hours) => format!("{hours:.0} h {:.0} min", minutes % 60.0),
        (days, 0.0) => format!("{days:.0} d"),
        (days, hours) => format!("{days:.0} d {hours:.0} h"),
    }
}
