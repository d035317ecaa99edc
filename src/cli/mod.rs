//! The command line: the only place that prints, reads the environment or knows exit codes. One file per noun.

#![expect(clippy::disallowed_methods, reason = "this is the place that reads the environment")]
#![expect(clippy::doc_markdown, reason = "clap prints these comments as help, backticks and all")]

mod audit;
mod backup;
mod bench;
mod cluster;
mod drill;
mod exit;
mod explain;
mod gate;
mod generate;
mod migrate;
mod output;
mod partition;
mod place;
mod progress;
mod repo;
mod report;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use omtdb::run::Run;
use omtdb::verdict::Verdict;
use tokio_util::sync::CancellationToken;

use self::output::{ColorChoice, Output};

/// What a command concluded; becomes the exit code.
pub(crate) type Outcome = anyhow::Result<Verdict>;

#[derive(Parser)]
#[command(version, about, max_term_width = 110, propagate_version = true, after_help = EXAMPLES)]
struct Cli {
    /// Print one JSON document on standard output instead of text
    #[arg(long, global = true, help_heading = "Output")]
    json: bool,
    /// Colours on standard output and error
    #[arg(long, global = true, value_enum, default_value_t, help_heading = "Output")]
    color: ColorChoice,
    /// Say more on standard error; twice for every step
    #[arg(long, short, global = true, action = clap::ArgAction::Count, help_heading = "Output")]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  omtdb gate --scratch --profile smoke --out gate    the whole job on a throw-away server
  omtdb migrate apply --url postgresql://app@db/omt  bring a database up to date
  omtdb generate --scratch=play --profile ci         a million rows to play with
  omtdb bench run scenarios/user-library.yaml        what the library page costs

Exit codes: 0 pass, 1 negative verdict, 2 usage, 3 inconclusive, 4 could not run, 130 interrupted.";

#[derive(Subcommand)]
enum Command {
    /// The whole job: migrate, verify, generate, explain, bench, audit, restore drill; one verdict
    Gate(gate::Args),
    /// Apply and check migrations
    Migrate(migrate::Args),
    /// Leaves of partitioned tables: how they stand, and the months of login events
    Partition(partition::Args),
    /// Synthesize and load the data set
    Generate(generate::Args),
    /// Hold the plan of every operation against its contract
    Explain(explain::Args),
    /// Load tests from scenario files
    Bench(bench::Args),
    /// Findings about indexes, partitions and statistics
    Audit(audit::Args),
    /// Base backups with a continuous archive
    Backup(backup::Args),
    /// Prove a restore
    Drill(drill::Args),
    /// Render a recorded run
    Report(report::Args),
    /// Scratch clusters: throw-away servers on this machine
    Cluster(cluster::Args),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a directory
    Man {
        /// The directory, made if it is not there
        dir: std::path::PathBuf,
    },
}

/// What every command is handed.
pub(crate) struct Cx {
    pub(crate) run: Run,
    pub(crate) out: Output,
}

pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let out = Output::new(cli.json, cli.color);
    output::log_to_stderr(cli.verbose);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&out, Err(anyhow::Error::new(error).context("start the runtime"))),
    };
    let outcome = runtime.block_on(interruptible(cli.command, out));
    exit::report(&out, outcome)
}

/// The first interrupt asks the command to finish what must not be left half done; the second drops it where it
/// stands, whose guards then stop what they started.
async fn interruptible(command: Command, out: Output) -> Outcome {
    let interrupt = CancellationToken::new();
    let cx = Cx { run: Run::new(interrupt.clone(), progress::listener(&out)), out };
    tokio::select! {
        outcome = dispatch(command, &cx) => outcome,
        error = exit::second_interrupt(interrupt) => Err(error),
    }
}

async fn dispatch(command: Command, cx: &Cx) -> Outcome {
    match command {
        Command::Gate(args) => gate::run(args, cx).await,
        Command::Migrate(args) => migrate::run(args, cx).await,
        Command::Partition(args) => partition::run(args, cx).await,
        Command::Generate(args) => generate::run(args, cx).await,
        Command::Explain(args) => explain::run(args, cx).await,
        Command::Bench(args) => bench::run(args, cx).await,
        Command::Audit(args) => audit::run(args, cx).await,
        Command::Backup(args) => backup::run(args, cx).await,
        Command::Drill(args) => drill::run(args, cx).await,
        Command::Report(args) => report::run(args, cx).await,
        Command::Cluster(args) => cluster::run(args, cx).await,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "omtdb", &mut std::io::stdout());
            Ok(Verdict::Pass)
        }
        Command::Man { dir } => {
            std::fs::create_dir_all(&dir)?;
            clap_mangen::generate_to(Cli::command(), &dir)?;
            Ok(Verdict::Pass)
        }
    }
}
