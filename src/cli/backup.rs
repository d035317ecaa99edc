//! `omtdb backup`: base backups with a continuous archive.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use omtdb::backup::wal::Gap;
use omtdb::backup::{
    self, Archive, Archiving, Backup, Created, Expiry, Keep, Kind, Look, Records, Repo, Store, Verification,
};
use omtdb::pg::Programs;
use omtdb::verdict::{UsageError, Verdict};
use serde::Serialize;

use super::place::{PlaceArgs, ProgramArgs};
use super::repo::StanzaArgs;
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
A scratch cluster is restarted once, to turn archiving on (from PostgreSQL 17 on also summarize_wal, for incremental backups).
Another server keeps its settings: the backup carries the log it needs to be consistent, and the command says which settings
would feed the archive in DIR/wal. Nothing is left running.

With --repo pgBackRest takes the backup, of the server that its configuration names; --url or --scratch, where given, must be
that server.

Examples:
  omtdb backup create --scratch=play --dir /var/backups/play
  omtdb backup create --scratch=play --dir /var/backups/play --incremental
  omtdb backup create --repo pgbackrest:main --repo-config /etc/pgbackrest.conf")]
    Create {
        #[command(flatten)]
        at: AtArgs,
        /// Copy only what has changed since the newest backup there (PostgreSQL 17 and later; pgBackRest: any)
        #[arg(long)]
        incremental: bool,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Receive the write-ahead log of a server that does not archive into the directory by itself, until interrupted
    #[command(after_help = "\
Goes on where an earlier one stopped. Without --slot the server may remove log that nobody has received yet; with it the server
keeps the log, also while nobody receives: a slot that is not needed any more must be dropped.

Examples:
  omtdb backup receive --url $PRODUCTION --dir /var/backups/media --slot omtdb
  psql $PRODUCTION -c \"SELECT pg_drop_replication_slot('omtdb')\"     when it is given up")]
    Receive {
        /// Directory of backups, made if it is not there
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Replication slot, made if it is not there
        #[arg(long, value_name = "NAME")]
        slot: Option<String>,
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
    /// List the backups in a directory or a stanza
    #[command(after_help = "\
Examples:
  omtdb backup list --dir /var/backups/play
  omtdb backup list --repo pgbackrest:main --json")]
    List {
        #[command(flatten)]
        at: AtArgs,
        #[command(flatten)]
        programs: ProgramArgs,
    },
    /// Hold every backup against its manifest, and the whole archive against its names, timelines and checksums
    #[command(after_help = "\
Segments that are missing, of a wrong size, damaged, of another server, or not those of an earlier verification; timelines
without their history, or that branch off where the archive does not reach. Each segment is read once: DIR/verified.json
remembers its checksum. With --repo pgBackRest checks its files, and omtdb looks for holes and lost timelines.

Exit codes: 0 sound, 1 not sound.

Examples:
  omtdb backup verify --dir /var/backups/play
  omtdb backup verify --dir /var/backups/play --all    read everything again
  omtdb backup verify --repo pgbackrest:main")]
    Verify {
        #[command(flatten)]
        at: AtArgs,
        /// Read all segments again, also those that an earlier verification found sound
        #[arg(long, conflicts_with = "repo")]
        all: bool,
        #[command(flatten)]
        programs: ProgramArgs,
    },
}

/// `--dir` or `--repo`.
#[derive(clap::Args)]
struct AtArgs {
    /// Directory of backups; `create` makes it if it is not there, and one that omtdb did not make is refused
    #[arg(long, value_name = "DIR", required_unless_present = "repo", conflicts_with = "repo")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    stanza: StanzaArgs,
}

impl AtArgs {
    /// The directory; clap has seen to it that there is one where there is no stanza.
    fn dir(&self) -> Result<&Path, UsageError> {
        self.dir.as_deref().ok_or_else(|| UsageError("name a directory with --dir".to_owned()))
    }

    fn open(&self, programs: &Programs) -> anyhow::Result<Repo> {
        Ok(match self.stanza.find(programs)? {
            Some(stanza) => Repo::Stanza(stanza),
            None => Repo::Store(Store::open(self.dir()?, programs)?),
        })
    }
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
        Action::Receive { dir, slot, place } => {
            let at = place.resolve().await?;
            backup::receive(&cx.run, &at.target, &place.programs.find()?, &dir, slot.as_deref()).await?;
            Ok(Verdict::Pass)
        }
        Action::Create { at, incremental, place } => {
            let kind = if incremental { Kind::Incremental } else { Kind::Full };
            let created = create(&at, kind, &place, cx).await?;
            cx.out.result(&created, created_text(&created))?;
            Ok(Verdict::Pass)
        }
        Action::Expire(args) => expire(&args, cx),
        Action::List { at, programs } => {
            let backups = at.open(&programs.find()?)?.backups(&cx.run).await?;
            cx.out.result(&Listed { backups: &backups }, listed_text(&backups))?;
            Ok(Verdict::Pass)
        }
        Action::Verify { at, all, programs } => {
            let look = if all { Look::All } else { Look::New };
            let programs = programs.find()?;
            let found = match at.open(&programs)? {
                Repo::Store(store) => backup::verify(&cx.run, &store, &programs, look).await?,
                Repo::Stanza(stanza) => stanza.verify(&cx.run).await?,
            };
            cx.out.result(&found, verified_text(&found))?;
            Ok(found.verdict)
        }
    }
}

async fn create(at: &AtArgs, kind: Kind, place: &PlaceArgs, cx: &Cx) -> anyhow::Result<Created> {
    let programs = place.programs.find()?;
    let Some(stanza) = at.stanza.find(&programs)? else {
        let server = place.resolve().await?;
        let cluster = server.lease.as_ref().map(omtdb::pg::cluster::Lease::cluster);
        return backup::create(&cx.run, &server.target, &programs, cluster, at.dir()?, kind).await;
    };
    // Which server that is stands in pgBackRest's own configuration.
    let named = place.url.is_some() || place.scratch.is_some();
    let server = if named { Some(place.resolve().await?) } else { None };
    if let Some(server) = &server {
        stanza.check_is_of(&cx.run, &server.target).await?;
    }
    stanza.create(&cx.run, kind).await
}

#[derive(Serialize)]
struct Listed<'a> {
    backups: &'a [Backup],
}

fn created_text(created: &Created) -> String {
    let Backup { label, bytes, seconds, end_lsn, .. } = &created.backup;
    let since = since(&created.backup);
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
    format!("{label}: {bytes} in {seconds:.1} s, consistent at {end_lsn}{since}\n{archiving}")
}

/// What an incremental backup builds on.
fn since(backup: &Backup) -> String {
    backup.parent.as_ref().map_or_else(String::new, |parent| format!(", the changes since {parent}"))
}

fn listed_text(backups: &[Backup]) -> String {
    let line = |backup: &Backup| {
        let Backup { label, bytes, server_version, timeline, end_lsn, .. } = backup;
        format!(
            "{label}\tPostgreSQL {server_version}\ttimeline {timeline}\tconsistent at {end_lsn}\t{bytes}{}\n",
            since(backup)
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
