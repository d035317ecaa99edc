//! `omtdb cluster`: scratch clusters.

use std::io::IsTerminal as _;

use clap::Subcommand;
use omtdb::pg::cluster::{self, Cluster, Mark, Options, Settings};
use omtdb::verdict::{UsageError, Verdict};
use serde::Serialize;

use super::place::{ProgramArgs, home, make_database};
use super::{Cx, Outcome};

const DEFAULT: &str = "scratch";

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    programs: ProgramArgs,
}

#[derive(Subcommand)]
enum Action {
    /// Make a cluster if it is not there, and start its server
    #[command(
        after_help = "Example:\n  omtdb cluster start play --set shared_buffers=1GB && psql \"$(omtdb cluster url play)\""
    )]
    Start {
        /// Its name
        #[arg(default_value = DEFAULT)]
        name: String,
        /// A server setting; may be given several times
        #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
        set: Vec<(String, String)>,
    },
    /// Stop a cluster's server; its data stays
    Stop {
        /// Its name
        #[arg(default_value = DEFAULT)]
        name: String,
    },
    /// Remove a cluster with everything in it
    Destroy {
        /// Its name
        #[arg(default_value = DEFAULT)]
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// List the clusters there are
    List,
    /// Print a cluster's URL and nothing else
    Url {
        /// Its name
        #[arg(default_value = DEFAULT)]
        name: String,
    },
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("use NAME=VALUE, as in work_mem=64MB")?;
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.') {
        return Err(format!("{name:?} is not the name of a setting"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[derive(Serialize)]
struct Started {
    name: String,
    url: String,
    server_version: String,
    data_dir: String,
    socket_dir: String,
    port: u16,
}

pub(crate) async fn run(args: Args, cx: &Cx) -> Outcome {
    match &args.action {
        Action::Start { name, set } => start(&args, name, set, cx).await,
        Action::Stop { name } => {
            open(&args, name)?.stop(true)?;
            cx.out.result(&serde_json::json!({ "name": name }), format!("{name} is stopped"))?;
            Ok(Verdict::Pass)
        }
        Action::Destroy { name, yes } => destroy(&args, name, *yes, cx),
        Action::List => list(cx),
        Action::Url { name } => {
            let url = open(&args, name)?.url(cluster::DATABASE);
            cx.out.result(&serde_json::json!({ "url": url }), &url)?;
            Ok(Verdict::Pass)
        }
    }
}

fn open(args: &Args, name: &str) -> anyhow::Result<Cluster> {
    Ok(Cluster::open(&home()?, name, &args.programs.find()?)?)
}

async fn start(args: &Args, name: &str, set: &[(String, String)], cx: &Cx) -> Outcome {
    let settings: Settings = set.iter().cloned().collect();
    let cluster = Cluster::make(&home()?, name, &args.programs.find()?, &Options::default())?;
    if settings.is_empty() {
        cluster.start()?;
    } else {
        cluster.restart_with(&settings)?;
    }
    make_database(&cluster).await?;
    let started = Started {
        name: name.to_owned(),
        url: cluster.url(cluster::DATABASE),
        server_version: cluster.programs().version().to_string(),
        data_dir: cluster.data_dir().display().to_string(),
        socket_dir: cluster.socket_dir().display().to_string(),
        port: cluster::PORT,
    };
    let text = format!("{name} runs PostgreSQL {} at\n{}", started.server_version, started.url);
    cx.out.result(&started, text)?;
    Ok(Verdict::Pass)
}

fn destroy(args: &Args, name: &str, yes: bool, cx: &Cx) -> Outcome {
    let cluster = open(args, name)?;
    confirm(yes, &format!("Remove scratch cluster {name:?} with everything in it?"))?;
    cluster.destroy()?;
    cx.out.result(&serde_json::json!({ "name": name }), format!("{name} is gone"))?;
    Ok(Verdict::Pass)
}

/// Asks on a terminal; elsewhere destructive work needs `--yes`.
pub(crate) fn confirm(yes: bool, question: &str) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(UsageError(format!("{question} Say --yes where nobody can be asked")).into());
    }
    drop(std::io::Write::write_all(&mut std::io::stderr(), format!("{question} [y/N] ").as_bytes()));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(UsageError("not confirmed; nothing was done".to_owned()).into())
    }
}

fn list(cx: &Cx) -> Outcome {
    let marks: Vec<Mark> = Cluster::list(&home()?)?;
    let lines: Vec<String> =
        marks.iter().map(|mark| format!("{}\tPostgreSQL {}", mark.name, mark.major)).collect();
    cx.out.result(&serde_json::json!({ "clusters": marks }), lines.join("\n"))?;
    Ok(Verdict::Pass)
}
