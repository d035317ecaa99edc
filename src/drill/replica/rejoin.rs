//! The lost primary comes back: rewound, or, where that failed or was interrupted, made anew.

use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::pair::{Pair, Side};
use crate::pg::cluster::PORT;
use crate::pg::error::Doing as _;
use crate::pg::{ProgramsError, Session, tools};
use crate::run::Run;

/// How a lost primary came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejoin {
    /// By what.
    pub by: Means,
    /// Why not by a rewind.
    pub why: Option<String>,
}

/// By what a lost primary came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Means {
    /// `pg_rewind`: only what differs was copied.
    Rewind,
    /// A new base backup.
    BaseBackup,
}

impl Means {
    /// The word of results.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Rewind => "pg_rewind",
            Self::BaseBackup => "a new base backup",
        }
    }
}

/// Takes the second server back as a replica of the first.
pub(super) async fn rejoin(run: &Run, pair: &mut Pair, interrupt: bool) -> anyhow::Result<Rejoin> {
    checkpoint(pair).await?;
    let rewound = if interrupt { interrupted(pair).await } else { rewind(run, pair).await };
    let why = match rewound {
        Ok(()) => {
            pair.follow(Side::Second).await?;
            return Ok(Rejoin { by: Means::Rewind, why: None });
        }
        Err(error) => match error.downcast::<ProgramsError>()? {
            ProgramsError::Failed { said, .. } => said,
            other => return Err(other.into()),
        },
    };
    // A directory that a rewind left half way must not be started, whatever it looks like.
    pair.build_replica(run, Side::First).await?;
    Ok(Rejoin { by: Means::BaseBackup, why: Some(why) })
}

/// A rewind reads from the new primary's last checkpoint which timeline it is on.
async fn checkpoint(pair: &Pair) -> anyhow::Result<()> {
    let session = Session::connect(&pair.target(Side::First), "drill").await?;
    session.batch_execute("CHECKPOINT").await.doing(|| "make a checkpoint on the new primary".to_owned())?;
    session.close().await;
    Ok(())
}

fn command(pair: &Pair) -> anyhow::Result<std::process::Command> {
    let (from, into) = (pair.lease(Side::First)?.cluster(), pair.lease(Side::Second)?.cluster());
    let source = format!(
        "host={} port={PORT} user={} dbname=postgres",
        from.socket_dir().display(),
        pair.origin.server.bootstrap_role
    );
    let mut command = pair.site.programs.command("pg_rewind");
    command
        .arg("--target-pgdata")
        .arg(into.data_dir())
        .arg("--source-server")
        .arg(source)
        .arg("--restore-target-wal");
    Ok(command)
}

async fn rewind(run: &Run, pair: &Pair) -> anyhow::Result<()> {
    tools::run(run, command(pair)?, |_| false).await
}

/// Kills a rewind while it copies.
async fn interrupted(pair: &Pair) -> anyhow::Result<()> {
    let label = pair.lease(Side::Second)?.cluster().data_dir().join("backup_label.old");
    let mut child = tools::spawn(command(pair)?)?;
    let copies = async {
        while !label.with_file_name("backup_label").exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        () = copies => {}
        _ = child.wait() => {}
        () = tokio::time::sleep(Duration::from_millis(300)) => {}
    }
    tools::end(child, Signal::SIGKILL).await.context("interrupt the rewind")?;
    let said = "it was interrupted, and what it leaves must not be started".to_owned();
    Err(ProgramsError::Failed { program: "pg_rewind".to_owned(), said }.into())
}
