//! `omtdb migrate index`: an index rebuilt or dropped while the application goes on.

use clap::Subcommand;
use omtdb::migrate::index::{self, Deed, Planned, Worked};
use omtdb::migrate::script::Name;
use omtdb::units::Bytes;
use omtdb::verdict::Verdict;

use super::super::cluster::confirm;
use super::super::output::table;
use super::super::place::PlaceArgs;
use super::super::{Cx, Outcome};
use super::manner::MannerArgs;

#[derive(clap::Args)]
pub(super) struct IndexArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Build an index anew while it is in use, to be rid of bloat; of a partitioned one, leaf by leaf
    #[command(after_help = "\
REINDEX INDEX CONCURRENTLY for each leaf. Run again after a kill, it drops what the killed run left INVALID and goes on \
with the leaf it was at. INVALID indexes that somebody else's rebuild has left are reported and stay.

Examples:
  omtdb migrate index rebuild media.idx_media_title --dry-run
  omtdb migrate index rebuild interaction.idx_user_media_user_status --jobs 2")]
    Rebuild {
        #[command(flatten)]
        what: WhatArgs,
        /// Leaves rebuilt at once
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
        jobs: u8,
    },
    /// Drop an index without keeping anybody waiting; a partitioned one goes with its parts
    #[command(after_help = "\
A plain index is dropped concurrently. For a partitioned one PostgreSQL has no concurrent way: its lock is asked for \
briefly, again and again. An index behind a constraint, one that a foreign key refers to and a part of a partitioned \
index are refused.

Example:
  omtdb migrate index drop media.idx_media_rating --yes")]
    Drop {
        #[command(flatten)]
        what: WhatArgs,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(clap::Args)]
struct WhatArgs {
    /// The index, with its schema
    #[arg(value_name = "SCHEMA.INDEX", value_parser = qualified)]
    name: Name,
    /// Show the steps, and carry out none
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    manner: MannerArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

/// `schema.index`, letter by letter as the catalog has it.
fn qualified(text: &str) -> Result<Name, String> {
    match text.split_once('.') {
        Some((schema, name)) if !schema.is_empty() && !name.is_empty() => {
            Ok(Name { schema: Some(schema.to_owned()), name: name.to_owned() })
        }
        _ => Err("write schema.index, as in media.idx_media_title".to_owned()),
    }
}

pub(super) async fn run(args: IndexArgs, cx: &Cx) -> Outcome {
    match args.action {
        Action::Rebuild { what, jobs } => one(&what, Deed::Rebuild { jobs: jobs.into() }, true, cx).await,
        Action::Drop { what, yes } => one(&what, Deed::Drop, yes, cx).await,
    }
}

async fn one(args: &WhatArgs, deed: Deed, yes: bool, cx: &Cx) -> Outcome {
    let place = args.place.resolve().await?;
    let planned = index::plan(&place.target, &args.name, deed).await?;
    if args.dry_run {
        cx.out.result(&planned, planned_text(&planned))?;
        return Ok(Verdict::Pass);
    }
    let size = size(planned.bytes);
    confirm(yes, &format!("Drop index {} ({size}) of {}?", args.name, place.target))?;
    let options = args.manner.options(None)?;
    let worked = index::run(&place.target, &args.name, deed, &options, &cx.run).await;
    let worked = place.end(worked)?;
    cx.out.result(&worked, worked_text(&worked))?;
    Ok(Verdict::Pass)
}

fn size(bytes: Option<i64>) -> String {
    let bytes = bytes.and_then(|bytes| u64::try_from(bytes).ok());
    bytes.map_or_else(|| "nothing".to_owned(), |bytes| Bytes(bytes).to_string())
}

fn planned_text(planned: &Planned) -> String {
    let steps = planned.steps.iter().map(|one| [one.step.clone(), one.sql.clone()]);
    let mut parts = vec![match planned.steps.len() {
        0 => format!("{}: nothing is left to do", planned.index),
        _ => table(["step", "statement"], steps),
    }];
    parts.extend(left_text(&planned.left));
    parts.push(format!("{} takes {}; nothing was done", planned.index, size(planned.bytes)));
    parts.join("\n\n")
}

fn worked_text(worked: &Worked) -> String {
    let steps = worked.steps.iter().map(|one| {
        let ms = |ms: f64| format!("{ms:.0}");
        [one.step.clone(), one.outcome.clone(), ms(one.ms), one.retries.to_string(), ms(one.lock_wait_ms)]
    });
    let mut parts = vec![table(["step", "outcome", "ms", "retries", "lock wait ms"], steps)];
    parts.extend(left_text(&worked.left));
    let (before, after) = (size(worked.bytes_before), size(worked.bytes_after));
    parts.push(format!("{} took {before}, and takes {after}", worked.index));
    parts.join("\n\n")
}

fn left_text(left: &[String]) -> Option<String> {
    (!left.is_empty()).then(|| {
        format!(
            "INVALID, and left by a rebuild that was not omtdb's: {}\n  help: when nobody is at it any more, drop each by `omtdb migrate index drop`",
            left.join(", ")
        )
    })
}
