//! `omtdb drill`: restores that prove themselves.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use omtdb::drill::self_test::{self as fault, SelfTest, self_test};
use omtdb::drill::{self, Aim, Alteration, BackupFrom, Level, Options, RestoreDrill, Site};
use omtdb::evidence::{Facts, Kind};
use omtdb::scenario::{self, Names};
use omtdb::schema::PLAN;
use omtdb::units::Bytes;
use omtdb::verdict::Verdict;
use serde::Serialize;

use self::evidence::EvidenceArgs;
use super::place::{PlaceArgs, ProgramArgs, home};
use super::repo::StanzaArgs;
use super::{Cx, Outcome};

mod evidence;
mod history;
mod project;
mod replica;

#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  omtdb drill restore --scratch=play       prove that a restore brings everything back
  omtdb drill replica --scratch=play       lose a primary, and count what clients were told and is gone
  omtdb drill --self-test                  spoil copies in every known way, and see each noticed
  omtdb drill grants | less                what a role needs to drill a server"
)]
pub(crate) struct Args {
    /// Spoil throw-away copies of a small database, one fault at a time; each must be noticed where it should
    #[arg(long, required = true)]
    self_test: bool,
    #[command(flatten)]
    evidence: EvidenceArgs,
    #[command(flatten)]
    programs: ProgramArgs,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Restore to an exact point in a scratch cluster, and prove the content
    #[command(after_help = "\
Without --dir a base backup is taken and the write-ahead log received for the time of the drill; nothing is left of it.
The server keeps an empty table omtdb.drill_sentinel. Writers wait a moment for the restore point (the result says how
long). Until the comparison is over a snapshot is kept, so that vacuum removes no row that has died since, and DDL on the
proven tables waits, with whoever comes after it: run no migration meanwhile. Needs a superuser, or what `omtdb drill grants` prints.

The levels of proof, from the bottom up: manifest, starts, right-point, sentinels, physical (pg_amcheck, pg_checksums),
logical (foreign keys, unique keys, leaves, lists), content (every row, byte by byte), service (the scenarios' plans),
self-test (a row deleted from the copy is noticed).

Exit codes: 0 proven, 1 not proven, 3 no moment without writers, 4 could not run.

Examples:
  omtdb drill restore --scratch=play
  omtdb drill restore --scratch=play --dir /var/backups/play --to latest
  omtdb drill restore --url $PRODUCTION --repo pgbackrest:main
  omtdb drill restore --url $PRODUCTION --without physical --without logical    content alone, the shortest
  omtdb drill restore --scratch=play --sabotage delete-row                      see it fail")]
    Restore(RestoreArgs),
    /// Switch a pair of servers over, break it and mend it: lag, lost acknowledgements, rejoin
    Replica(replica::Args),
    /// Print the statements that let a role drill a server, and do nothing else there
    #[command(after_help = "\
Examples:
  omtdb drill grants --role drill --database media | psql --dbname media --single-transaction
  omtdb drill restore --url 'host=db user=drill dbname=media sslmode=verify-full'")]
    Grants {
        /// Name of the role
        #[arg(long, value_name = "ROLE", default_value = "omtdb_drill")]
        role: String,
        /// Name of the database
        #[arg(long, value_name = "NAME", default_value = "omtdb")]
        database: String,
    },
    /// List the drills in a directory of evidence, and verify every record
    History(history::Args),
    /// Project the time of a restore to a size that is not there yet
    Project(project::Args),
}

#[derive(clap::Args)]
struct RestoreArgs {
    /// Restore the newest backup in this directory, from the archive there that the server feeds
    #[arg(long, value_name = "DIR", conflicts_with = "repo")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    stanza: StanzaArgs,
    /// What the recovery aims at; each kind leads to the same point
    #[arg(long, value_enum, value_name = "KIND", default_value_t = To::RestorePoint)]
    to: To,
    /// Leave out a level of proof; may be given several times
    #[arg(long, value_enum, value_name = "LEVEL")]
    without: Vec<Without>,
    /// Scenarios whose plans the copy must have [default: the shipped ones]
    #[arg(long, value_name = "SCENARIO")]
    scenarios: Vec<PathBuf>,
    /// Change rows of the copy before the comparison: the drill must fail
    #[arg(long, value_name = "HOW")]
    sabotage: Option<Sabotage>,
    /// How long to try for a moment without writers
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    lock_patience: Duration,
    #[command(flatten)]
    evidence: EvidenceArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Kinds of recovery target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum To {
    /// The restore point, by name
    RestorePoint,
    /// Its position in the log, exclusive
    Lsn,
    /// The transaction before it
    Xid,
    /// Its time
    Time,
    /// All of the archive, which ends there
    Latest,
}

impl From<To> for Aim {
    fn from(to: To) -> Self {
        match to {
            To::RestorePoint => Self::RestorePoint,
            To::Lsn => Self::Lsn,
            To::Xid => Self::Xid,
            To::Time => Self::Time,
            To::Latest => Self::Latest,
        }
    }
}

/// Levels that cost time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Without {
    /// Tables and indexes, page by page
    Physical,
    /// Foreign keys, unique keys, leaves, lists
    Logical,
    /// Plans
    Service,
}

impl From<Without> for Level {
    fn from(without: Without) -> Self {
        match without {
            Without::Physical => Self::Physical,
            Without::Logical => Self::Logical,
            Without::Service => Self::Service,
        }
    }
}

/// How the copy is spoilt on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sabotage {
    /// Delete one row
    DeleteRow,
    /// Move one time stamp of one row by a microsecond
    UpdateRow,
    /// Insert one row a second time, past the indexes
    DuplicateRow,
    /// Swap the rows of two users
    SwapUsers,
}

impl From<Sabotage> for Alteration {
    fn from(sabotage: Sabotage) -> Self {
        match sabotage {
            Sabotage::DeleteRow => Self::DeleteRow,
            Sabotage::UpdateRow => Self::UpdateRow,
            Sabotage::DuplicateRow => Self::DuplicateRow,
            Sabotage::SwapUsers => Self::SwapUsers,
        }
    }
}

pub(crate) async fn run(args: Args, cx: &Cx) -> Outcome {
    match args.action {
        Some(Action::Restore(restore)) => restored(restore, cx).await,
        Some(Action::Grants { role, database }) => {
            let sql = drill::grants::statements(&role, &database);
            cx.out.result(&Statements { sql: &sql }, sql.clone())?;
            Ok(Verdict::Pass)
        }
        Some(Action::Replica(args)) => replica::run(args, cx).await,
        Some(Action::History(args)) => history::run(&args, cx),
        Some(Action::Project(args)) => project::run(args, cx).await,
        None => self_tested(&args.programs, &args.evidence, cx).await,
    }
}

#[derive(Serialize)]
struct Statements<'a> {
    sql: &'a str,
}

async fn restored(args: RestoreArgs, cx: &Cx) -> Outcome {
    let scenarios = scenario::load(&args.scenarios, &Names::from(&*PLAN))?;
    let at = args.place.resolve().await?;
    let site = Site { home: home()?, programs: args.place.programs.find()? };
    let from = match (args.dir, args.stanza.find(&site.programs)?) {
        (Some(dir), _) => BackupFrom::Dir(dir),
        (None, Some(stanza)) => BackupFrom::Stanza(stanza),
        (None, None) => BackupFrom::Source,
    };
    let options = Options {
        from,
        aim: args.to.into(),
        sabotage: args.sabotage.map(Alteration::from),
        left_out: args.without.into_iter().map(Level::from).collect(),
        scenarios,
        lock_patience: args.lock_patience,
    };
    let evidence = args.evidence.begin(Kind::Restore)?;
    let found = drill::restore(&cx.run, &at.target, &site, &options).await?;
    let receipt = evidence.end(found.verdict, facts(&found, &site), &found)?;
    cx.out.result(&found, format!("{}{receipt}", text(&found)))?;
    Ok(found.verdict)
}

/// What the evidence names beside the result.
fn facts(found: &RestoreDrill, site: &Site) -> Facts {
    let marked = found.marked.as_ref();
    Facts {
        postgresql_version: Some(site.programs.version().to_string()),
        system_identifier: marked.map(|mark| mark.system_identifier.clone()),
        timeline: marked.map(|mark| mark.timeline),
        lsn: marked.map(|mark| mark.lsn),
        backup: marked.map(|mark| mark.backup.clone()),
        manifest_digest: marked.and_then(|mark| mark.manifest_digest.clone()),
        fault_seed: None,
    }
}

async fn self_tested(programs: &ProgramArgs, evidence: &EvidenceArgs, cx: &Cx) -> Outcome {
    let evidence = evidence.begin(Kind::SelfTest)?;
    let site = Site { home: home()?, programs: programs.find()? };
    let program = std::env::current_exe().context("find this program's own file")?;
    let found = self_test(&cx.run, &site, &program).await?;
    let facts = Facts { postgresql_version: Some(found.server_version.clone()), ..Facts::default() };
    let receipt = evidence.end(found.verdict, facts, &found)?;
    cx.out.result(&found, format!("{}{receipt}", matrix(&found)))?;
    Ok(found.verdict)
}

/// The table of faults, as Markdown, for the documentation has it too.
fn matrix(found: &SelfTest) -> String {
    let row = |outcome: &fault::Outcome| {
        format!(
            "| {} | {} | {} | {} |",
            outcome.fault,
            outcome.must,
            outcome.seen_by.join(", "),
            outcome.verdict.word()
        )
    };
    let mut lines =
        vec!["| fault | must be seen by | seen by | |".to_owned(), "|---|---|---|---|".to_owned()];
    lines.extend(found.faults.iter().map(row));
    let bad = found.faults.iter().filter(|outcome| outcome.verdict != Verdict::Pass);
    lines.extend(bad.map(|outcome| format!("\n{}: {}", outcome.fault, outcome.detail)));
    lines.join("\n")
}

/// Whole units a second.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a figure for people"
)]
fn per_second(count: u64, seconds: f64) -> u64 {
    (count as f64 / seconds.max(1e-3)) as u64
}

fn text(drill: &RestoreDrill) -> String {
    let mut lines = vec![format!("restore drill: {}", drill.verdict.word())];
    lines.push("\nproof".to_owned());
    for proof in &drill.proof {
        let word = if proof.ok { "ok  " } else { "FAIL" };
        lines.push(format!(
            "  {word} {:12} {}",
            proof.level,
            proof.detail.replace('\n', "\n                    ")
        ));
    }
    lines
        .extend(drill.left_out.iter().map(|left| format!("  -    {:12} left out: {}", left.level, left.why)));
    lines.push("\nrecovery time".to_owned());
    lines
        .extend(drill.rto.phases.iter().map(|phase| format!("  {:26} {:8.2} s", phase.phase, phase.seconds)));
    lines.push(format!("  {:26} {:8.2} s", "total", drill.rto.total_s));
    if let Some(redo) = &drill.rto.redo {
        let rate = Bytes(per_second(redo.bytes.0, redo.seconds));
        let (bytes, segments) = (redo.bytes, redo.segments);
        lines.push(format!("  {bytes} of log redone at {rate}/s, {segments} segments from the archive"));
    }
    let rpo = &drill.rpo;
    lines.push(format!(
        "\nrecovery point: {} acknowledged, {} restored, {} lost",
        rpo.acked, rpo.restored, rpo.lost
    ));
    lines.push(format!("content: source   {}", drill.fingerprint.source));
    lines.push(format!("         restored {}", drill.fingerprint.restored));
    if !drill.reasons.is_empty() {
        lines.push(format!("\nnot proven:\n  {}", drill.reasons.join("\n  ").replace('\n', "\n  ")));
    }
    lines.join("\n")
}
