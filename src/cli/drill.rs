//! `omtdb drill`: restores that prove themselves.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use omtdb::drill::{self, Alteration, Options, RestoreDrill, Site};

use super::place::{PlaceArgs, home};
use super::{Cx, Outcome};

mod history;
mod project;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Restore to an exact point in a scratch cluster, and prove the content
    #[command(after_help = "\
Without --dir a base backup is taken and the write-ahead log received for the time of the drill; nothing is left of it.
The server keeps an empty table omtdb.drill_sentinel. Writers wait a moment for the restore point (the result says how
long), DDL on the proven tables waits until the comparison is over. Needs a superuser.

Exit codes: 0 proven, 1 not proven, 3 no moment without writers, 4 could not run.

Examples:
  omtdb drill restore --scratch=play
  omtdb drill restore --scratch=play --dir /var/backups/play
  omtdb drill restore --scratch=play --sabotage delete-row    see it fail")]
    Restore(RestoreArgs),
    /// List the drills in a directory of evidence, and verify every record
    History(history::Args),
    /// Project the time of a restore to a size that is not there yet
    Project(project::Args),
}

#[derive(clap::Args)]
struct RestoreArgs {
    /// Restore the newest backup in this directory, from the archive there that the server feeds
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Change one row of the copy before the comparison: the drill must fail
    #[arg(long, value_name = "HOW")]
    sabotage: Option<Sabotage>,
    /// How long to try for a moment without writers
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    lock_patience: Duration,
    #[command(flatten)]
    place: PlaceArgs,
}

/// How the copy is spoilt on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sabotage {
    /// Delete one row
    DeleteRow,
    /// Move one time stamp of one row by a microsecond
    UpdateRow,
}

impl From<Sabotage> for Alteration {
    fn from(sabotage: Sabotage) -> Self {
        match sabotage {
            Sabotage::DeleteRow => Self::DeleteRow,
            Sabotage::UpdateRow => Self::UpdateRow,
        }
    }
}

pub(crate) async fn run(args: Args, cx: &Cx) -> Outcome {
    let args = match args.action {
        Action::Restore(args) => args,
        Action::History(args) => return history::run(&args, cx),
        Action::Project(args) => return project::run(args, cx).await,
    };
    let at = args.place.resolve().await?;
    let site = Site { home: home()?, programs: args.place.programs.find()? };
    let options = Options {
        dir: args.dir,
        sabotage: args.sabotage.map(Alteration::from),
        lock_patience: args.lock_patience,
    };
    let found = drill::restore(&cx.run, &at.target, &site, &options).await?;
    cx.out.result(&found, text(&found))?;
    Ok(found.verdict)
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
    lines.push("\nrecovery time".to_owned());
    lines
        .extend(drill.rto.phases.iter().map(|phase| format!("  {:26} {:8.2} s", phase.phase, phase.seconds)));
    lines.push(format!("  {:26} {:8.2} s", "total", drill.rto.total_s));
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
