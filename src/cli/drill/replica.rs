//! `omtdb drill replica`.

use std::path::PathBuf;
use std::time::Duration;

use omtdb::drill::Site;
use omtdb::drill::replica::{Counted, ReplicaDrill, ReplicaOptions, replica};
use omtdb::evidence::{Facts, Kind};
use omtdb::units::Bytes;

use super::super::place::{PlaceArgs, home};
use super::super::{Cx, Outcome};
use super::evidence::EvidenceArgs;

#[derive(clap::Args)]
#[command(after_help = "\
Takes a base backup of the server, makes a primary and a replica of it in scratch clusters, and writes to them while
  1. the replica's lag is measured,
  2. the primary is stopped in order and the replica takes over: nothing may be lost,
  3. the replica is cut off, the primary loses its power, and the replica takes over: with --synchronous nothing may be lost,
  4. the backup and the archive alone are restored, for comparison,
  5. the lost primary comes back by pg_rewind, or by a new base backup; both must hold the same rows in the end.
What clients were told is kept outside of the servers. The server itself is only read.

Exit codes: 0 held, 1 lost or unequal, 4 could not run.

Examples:
  omtdb drill replica --scratch=play
  omtdb drill replica --scratch=play --synchronous --journal writes.txt
  omtdb drill replica --scratch=play --interrupt-rewind      see the fall-back to a new base backup")]
pub(crate) struct Args {
    /// Commits wait for the replica
    #[arg(long)]
    synchronous: bool,
    /// Sessions that write
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=90))]
    writers: u32,
    /// How long they write before each step
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = humantime::parse_duration)]
    load: Duration,
    /// How long the replica is cut off before the primary is lost
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = humantime::parse_duration)]
    cut_off: Duration,
    /// Kill the rewind half way
    #[arg(long)]
    interrupt_rewind: bool,
    /// Note every write and its answer in this file, a line each: asked, acked or refused, writer, number
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Leave both servers running, to be looked at
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    evidence: EvidenceArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

pub(super) async fn run(args: Args, cx: &Cx) -> Outcome {
    let at = args.place.resolve().await?;
    let site = Site { home: home()?, programs: args.place.programs.find()? };
    let options = ReplicaOptions {
        synchronous: args.synchronous,
        writers: args.writers,
        load: args.load,
        cut_off: args.cut_off,
        interrupt_rewind: args.interrupt_rewind,
        journal: args.journal,
        keep: args.keep,
    };
    let evidence = args.evidence.begin(Kind::Replica)?;
    let found = replica(&cx.run, &at.target, &site, &options).await?;
    let facts = Facts { postgresql_version: Some(site.programs.version().to_string()), ..Facts::default() };
    let receipt = evidence.end(found.verdict, facts, &found)?;
    cx.out.result(&found, format!("{}{receipt}", text(&found)))?;
    Ok(found.verdict)
}

fn text(drill: &ReplicaDrill) -> String {
    let how = if drill.synchronous { "commits wait for the replica" } else { "commits do not wait" };
    let mut lines = vec![format!("replica drill: {} ({how})", drill.verdict.word())];
    lines.extend(drill.phases.iter().map(|phase| format!("  {:32} {:8.2} s", phase.phase, phase.seconds)));
    let lag = &drill.lag;
    let (p50, max) = (Bytes(lag.p50_bytes), Bytes(lag.max_bytes));
    lines.push(format!(
        "\nlag under load, {} samples: p50 {p50}, {:.3} s; at most {max}, {:.3} s",
        lag.samples, lag.p50_s, lag.max_s
    ));
    lines.push(format!(
        "\nwrites           {:>10} {:>10} {:>10} {:>10}",
        "acked", "lost", "over", "unanswered"
    ));
    for (name, counted) in
        [("switchover", &drill.switchover), ("crash", &drill.crash), ("archive alone", &drill.archive_only)]
    {
        lines.push(counted_text(name, counted));
    }
    let why = drill.rejoin.why.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
    lines.push(format!("\nthe lost primary came back by {}{why}", drill.rejoin.by.word()));
    lines.push(format!("content: {}", drill.content.join("\n         ")));
    lines.extend(drill.kept.iter().map(|url| format!("left running: {url}")));
    if !drill.reasons.is_empty() {
        lines.push(format!("\nnot held:\n  {}", drill.reasons.join("\n  ")));
    }
    lines.join("\n")
}

fn counted_text(name: &str, counted: &Counted) -> String {
    format!(
        "  {name:14} {:>10} {:>10} {:>8.2} s {:>10}, {} of them done",
        counted.acked, counted.lost, counted.lost_s, counted.unanswered, counted.unanswered_found
    )
}
