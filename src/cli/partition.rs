//! `omtdb partition`: how the leaves of the largest table stand, and the months of login events.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use clap::Subcommand;
use omtdb::partition::months::{self, Months, Wanted};
use omtdb::partition::standing::{self, LeafStanding, Standing};
use omtdb::pg::{Patience, Session};
use omtdb::schema::plan::USER_MEDIA;
use omtdb::units::Bytes;
use omtdb::verdict::Verdict;

use super::cluster::confirm;
use super::output::table;
use super::place::PlaceArgs;
use super::{Cx, Outcome};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  omtdb partition status --url postgresql://app@db/omt    leaves, rows, sizes, indexes
  omtdb partition verify --rows                           has every hash one leaf, and every row its own?
  omtdb partition months --ahead 6 --keep 12 --yes        leaves of login events, from a timer")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Show the leaves of interaction.user_media
    #[command(
        after_help = "Changes nothing. Rows are the server's estimate; a leaf that was never analyzed has none.\n\nExample, the five largest leaves:\n  omtdb partition status --json | jq '.leaves | sort_by(-.bytes)[:5][] | {name, rows, bytes}'"
    )]
    Status(StatusArgs),
    /// Check that every hash has exactly one leaf, and every leaf its indexes; exit 1 where not
    #[command(
        after_help = "Changes nothing. Negative when a hash has no leaf or two, a detaching is pending, or a leaf lacks a valid attached \
                      part of an index.\n\nExample, with every row read and its leaf computed:\n  omtdb partition verify --rows"
    )]
    Verify(VerifyArgs),
    /// Create the leaves of coming months of auth.login_events, and drop old ones
    #[command(after_help = "\
Months are those of UTC, by the server's clock. The current month and the next --ahead get a leaf where they have none; rows \
of theirs in the default leaf are moved into it. With --keep N, leaves older than the N months before the current one are \
dropped with their rows. Locks are asked for briefly, again and again; running the command twice, or two at once, does no harm, \
and what a killed run left is taken up by the next.

Examples:
  omtdb partition months --dry-run               what would be created
  omtdb partition months --ahead 6               half a year ahead
  omtdb partition months --keep 12 --dry-run     what would be dropped")]
    Months(MonthsArgs),
}

#[derive(clap::Args)]
struct StatusArgs {
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(clap::Args)]
struct VerifyArgs {
    /// Read every row, and count those whose hash belongs into another leaf
    #[arg(long)]
    rows: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(clap::Args)]
struct MonthsArgs {
    /// Months after the current one that are to have a leaf
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=1200))]
    ahead: u32,
    /// Months before the current one whose leaves stay; older ones are dropped [default: all stay]
    #[arg(long, value_name = "N")]
    keep: Option<u32>,
    /// The table, partitioned by the month of one timestamptz column
    #[arg(long, value_name = "SCHEMA.NAME", default_value = "auth.login_events", value_parser = qualified)]
    table: (String, String),
    /// How long an attempt may wait for a lock, holding up everybody who comes after it
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "200ms")]
    lock_timeout: Duration,
    /// Attempts at a lock before giving up
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    attempts: u32,
    /// Drop old leaves without asking
    #[arg(long)]
    yes: bool,
    /// Show what would be done; change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

fn qualified(text: &str) -> Result<(String, String), String> {
    match text.split_once('.') {
        Some((schema, name)) if !schema.is_empty() && !name.is_empty() => {
            Ok((schema.to_owned(), name.to_owned()))
        }
        _ => Err("use SCHEMA.NAME, as in auth.login_events".to_owned()),
    }
}

pub(crate) async fn run(args: Args, cx: &Cx) -> Outcome {
    match args.action {
        Action::Status(args) => status(&args, cx).await,
        Action::Verify(args) => verify(&args, cx).await,
        Action::Months(args) => months(&args, cx).await,
    }
}

async fn status(args: &StatusArgs, cx: &Cx) -> Outcome {
    let standing = read(&args.place, false, cx).await?;
    cx.out.result(&standing, status_text(&standing))?;
    Ok(Verdict::Pass)
}

async fn verify(args: &VerifyArgs, cx: &Cx) -> Outcome {
    let standing = read(&args.place, args.rows, cx).await?;
    cx.out.result(&standing, verify_text(&standing))?;
    Ok(standing.verdict())
}

async fn read(place: &PlaceArgs, count_rows: bool, cx: &Cx) -> anyhow::Result<Standing> {
    let place = place.resolve().await?;
    let mut session = Session::connect(&place.target, "partition").await?;
    let (schema, name) = USER_MEDIA;
    let standing = standing::read(&mut session, schema, name, count_rows, &cx.run).await;
    session.close().await;
    place.end(standing)
}

async fn months(args: &MonthsArgs, cx: &Cx) -> Outcome {
    let place = args.place.resolve().await?;
    let mut session = Session::connect(&place.target, "partition").await?;
    let done = maintain(args, &mut session, cx).await;
    session.close().await;
    let done = place.end(done)?;
    cx.out.result(&done, months_text(&done, args.dry_run))?;
    Ok(Verdict::Pass)
}

async fn maintain(args: &MonthsArgs, session: &mut Session, cx: &Cx) -> anyhow::Result<Months> {
    let (schema, name) = (args.table.0.as_str(), args.table.1.as_str());
    let wanted = Wanted { ahead: args.ahead, keep: args.keep };
    let planned = months::plan(&months::survey(session, schema, name).await?, wanted)?;
    if args.dry_run {
        return Ok(planned);
    }
    let drops = planned.drops();
    if !drops.is_empty() {
        confirm(args.yes, &format!("Drop {} of {} with all their rows?", drops.join(", "), planned.table))?;
    }
    let patience =
        Patience { lock_timeout: args.lock_timeout, attempts: args.attempts, ..Patience::default() };
    let seed = RandomState::new().hash_one(std::process::id());
    months::apply(session, (schema, name), (wanted, &planned), (patience, seed), &cx.run).await
}

fn status_text(standing: &Standing) -> String {
    let rows = standing.leaves.iter().map(|leaf| {
        let rows = leaf.rows.map_or_else(|| "-".to_owned(), |rows| rows.to_string());
        let bound = format!("mod {} = {}", leaf.modulus, leaf.remainder);
        [leaf.name.clone(), bound, rows, Bytes(leaf.bytes).to_string(), indexes(leaf)]
    });
    let leaves = table(["leaf", "hash", "rows", "size", "indexes"], rows);
    format!("{leaves}\n\n{}", verify_text(standing))
}

fn indexes(leaf: &LeafStanding) -> String {
    let valid = leaf.indexes.iter().filter(|index| index.valid).count();
    let all = leaf.indexes.len();
    let pending = if leaf.detaching { ", detaching is pending" } else { "" };
    if valid == all {
        format!("{all} valid{pending}")
    } else {
        format!("{} of {all} missing or invalid{pending}", all - valid)
    }
}

fn verify_text(standing: &Standing) -> String {
    if standing.problems.is_empty() {
        let counted = standing.leaves.iter().any(|leaf| leaf.misplaced_rows.is_some());
        let rows = if counted { ", and every row its own" } else { "" };
        return format!(
            "{}: {} leaves, every hash has exactly one{rows}",
            standing.table,
            standing.leaves.len()
        );
    }
    let problem = |one: &standing::Problem| {
        format!("{}: {}: {}\n  help: {}", one.object, one.kind, one.found, one.help)
    };
    standing.problems.iter().map(problem).collect::<Vec<_>>().join("\n")
}

fn months_text(done: &Months, dry_run: bool) -> String {
    let mut parts = Vec::new();
    if !done.months.is_empty() {
        let rows = done.months.iter().map(|month| {
            let moved = if dry_run { month.rows_in_default } else { month.rows_moved };
            let action = month.action.word().to_owned();
            [action, month.name.clone(), month.from.clone(), month.to.clone(), moved.to_string()]
        });
        parts.push(table(["action", "leaf", "from", "to", "rows moved"], rows));
    }
    let count = done.months.len();
    parts.push(match (count, dry_run) {
        (0, _) => format!("{}: nothing to do in {}", done.table, done.now),
        (_, true) => format!("{}: {count} would be done; nothing was", done.table),
        (_, false) => format!("{}: {count} done", done.table),
    });
    if done.rows_left_in_default > 0 {
        let rows = done.rows_left_in_default;
        parts.push(format!("{rows} rows of other months stay in the default leaf"));
    }
    parts.join("\n\n")
}
