//! `omtdb backup`: base backups with a continuous archive.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use omtdb::backup::wal::Gap;
use omtdb::backup::{
    self, Archive, Archiving, Backup, Created, Expiry, Keep, Kind, Look, Records, Store, Verification,
};
use omtdb::verdict::{UsageError, Verdict};
use serde::Serialize;

use super::place::{PlaceArgs, ProgramArgs};
use super::{Cx, Outcome};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Take a base backup; on a scratch cluster also archive the write-ahead log from then on
    #[command(after_help = "\
A scratch cluster is restarted once, to turn archiving on. Another server keeps its settings: the backup carries the log it
needs to be consistent, and the command says which settings would feed the archive in DIR/wal. Nothing is left running.

Example:
  omtdb backup create --scratch=play --dir /var/backups/play")]
    Create {
        /// Directory of backups, made if it is not there; one that omtdb did not make is refused
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Copy only what has changed since the newest backup there (PostgreSQL 17 and later)
        #[arg(long)]
        incremental: bool,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Remove backups that are no longer wanted, and the archive that only they needed
    #[command(after_help = "\
Either rule is enough to keep a backup. What an incremental backup builds on stays with it; the newest backup and the history
files of timelines always stay. Of the archive goes what is older than the oldest backup that stays.

Exit codes: 0 done, or nothing to do; 2 there is something to remove and --yes was not said.

Examples:
  omtdb backup expire --dir /var/backups/play --keep 7 --dry-run
  omtdb backup expire --dir /var/backups/play --keep-for 14days --yes")]
    Expire(ExpireArgs),
    /// List the backups in a directory
    List {
        /// Directory of backups
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        #[command(flatten)]
        programs: ProgramArgs,
    },
    /// Hold every backup against its manifest, and the whole archive against its names, timelines and checksums
    Verify {
        /// Directory of backups
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Read all segments again, also those that an earlier verification found sound
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        programs: ProgramArgs,
    },
}

#[derive(clap::Args)]
struct ExpireArgs {
    /// Directory of backups
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Keep the N newest backups
    #[arg(long, value_name = "N", required_unless_present = "keep_for")]
    keep: Option<usize>,
    /// Keep what it takes to go back to any moment this long ago or later
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    keep_for: Option<Duration>,
    /// Show what would go, and remove nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Remove it
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    programs: ProgramArgs,
}

#[derive(Serialize)]
struct Expired<'a> {
    #[serde(flatten)]
    expiry: &'a Expiry,
    /// Whether it is gone.
    done: bool,
}

fn expire(args: &ExpireArgs, cx: &Cx) -> Outcome {
    let mut store = Store::open(&args.dir, &args.programs.find()?)?;
    let (keep, now) = (Keep { newest: args.keep, reach: args.keep_for }, jiff::Timestamp::now());
    let planned = backup::plan(&store, keep, now)?;
    let done = !args.dry_run && (args.yes || planned.is_empty());
    let expiry = if done { backup::expire(&cx.run, &mut store, keep, now)? } else { planned };
    cx.out.result(&Expired { expiry: &expiry, done }, expired_text(&expiry, done))?;
    if done || args.dry_run {
        return Ok(Verdict::Pass);
    }
    Err(UsageError("nothing was removed\n  help: say --yes to remove it".to_owned()).into())
}

fn expired_text(expiry: &Expiry, done: bool) -> String {
    let word = if done { "removed" } else { "would go:" };
    let mut lines: Vec<String> =
        expiry.backups.iter().map(|label| format!("{word} backup {label}")).collect();
    if let Some(last) = &expiry.last_segment {
        lines.push(format!("{word} {} segments of the archive, up to {last}", expiry.segments));
    }
    lines.extend(
        expiry.needed.iter().map(|label| format!("stays: backup {label}, a younger one builds on it")),
    );
    lines.push(if expiry.is_empty() { "nothing to remove".to_owned() } else { expiry.bytes.to_string() });
    lines.join("\n")
}

pub(crate) async fn run(args: Args, cx: &Cx) -> Outcome {
    match args.action {
        Action::Create { dir, incremental, place } => {
            let kind = if incremental { Kind::Incremental } else { Kind::Full };
            let at = place.resolve().await?;
            let programs = place.programs.find()?;
            let cluster = at.lease.as_ref().map(omtdb::pg::cluster::Lease::cluster);
            let created = backup::create(&cx.run, &at.target, &programs, cluster, &dir, kind).await?;
            cx.out.result(&created, created_text(&created))?;
            Ok(Verdict::Pass)
        }
        Action::Expire(args) => expire(&args, cx),
        Action::List { dir, programs } => {
            let store = Store::open(&dir, &programs.find()?)?;
            cx.out.result(&Listed { backups: store.backups() }, listed_text(store.backups()))?;
            Ok(Verdict::Pass)
        }
        Action::Verify { dir, all, programs } => {
            let look = if all { Look::All } else { Look::New };
            let programs = programs.find()?;
            let store = Store::open(&dir, &programs)?;
            let found = backup::verify(&cx.run, &store, &programs, look).await?;
            cx.out.result(&found, verified_text(&found))?;
            Ok(found.verdict)
        }
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    backups: &'a [Backup],
}

fn created_text(created: &Created) -> String {
    let Backup { label, bytes, seconds, end_lsn, .. } = &created.backup;
    let archiving = match &created.archiving {
        Archiving::Continuous => "the log after it is archived continuously".to_owned(),
        Archiving::NotFed { settings } => {
            let lines: Vec<String> = settings
                .iter()
                .map(|(name, value)| format!("\n  {name} = '{}'", value.replace('\'', "''")))
                .collect();
            format!("the log after it is NOT archived; the server would need{}", lines.concat())
        }
    };
    format!("{label}: {bytes} in {seconds:.1} s, consistent at {end_lsn}\n{archiving}")
}

fn listed_text(backups: &[Backup]) -> String {
    let line = |backup: &Backup| {
        let Backup { label, bytes, server_version, timeline, end_lsn, .. } = backup;
        format!(
            "{label}\tPostgreSQL {server_version}\ttimeline {timeline}\tconsistent at {end_lsn}\t{bytes}\n"
        )
    };
    backups.iter().map(line).collect()
}

fn verified_text(found: &Verification) -> String {
    let word = |ok| if ok { "ok  " } else { "FAIL" };
    let mut lines: Vec<String> = found
        .backups
        .iter()
        .map(|backup| format!("{} backup {}: {}", word(backup.ok), backup.label, backup.detail))
        .collect();
    let wal = &found.wal;
    let records = match wal.records {
        Records::Followed => "their records followed",
        Records::NotLookedAt => "their records not looked at",
    };
    lines.push(format!(
        "{} archive: {} segments, {} read now ({records}), {} known from before",
        word(wal.is_whole()),
        wal.segments,
        wal.read,
        wal.remembered
    ));
    lines.extend(archive_findings(wal).into_iter().map(|finding| format!("     {finding}")));
    lines.join("\n")
}

fn archive_findings(wal: &Archive) -> Vec<String> {
    let gap = |gap: &Gap| format!("missing: {} to {} ({} segments)", gap.first, gap.last, gap.segments);
    let mut lines: Vec<String> = wal.gaps.iter().map(gap).collect();
    lines.extend(wal.truncated.iter().map(|name| format!("wrong size: {name}")));
    lines.extend(wal.unconnected.iter().map(|label| format!("begins after the end of backup {label}")));
    lines.extend(
        wal.timelines.iter().map(|broken| format!("timeline {}: {}", broken.timeline, broken.detail)),
    );
    for (word, faults) in [("damaged", &wal.damaged), ("foreign", &wal.foreign), ("changed", &wal.changed)] {
        lines.extend(faults.iter().map(|fault| format!("{word}: {}: {}", fault.segment, fault.detail)));
    }
    lines
}
