//! `pg_receivewal`, for a server that does not feed the drill's archive itself: started and stopped by the drill, and
//! nothing changes on the server.

use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::Signal;
use tokio::io::AsyncReadExt as _;
use tokio::process::Child;

use crate::backup::Store;
use crate::pg::error::Doing as _;
use crate::pg::{Programs, Session, Target, tools};
use crate::run::Run;
use crate::verdict::Interrupted;

/// How long the receiver may take to connect.
const PATIENCE: Duration = Duration::from_secs(30);

/// Keeps the server from removing what has not been received yet. Temporary: the slot goes with the session, so that not
/// even a killed drill leaves one behind, which would fill the server's disk.
const RESERVE: &str = "SELECT FROM pg_catalog.pg_create_physical_replication_slot($1, true, true)";
const RELEASE: &str = "SELECT pg_catalog.pg_drop_replication_slot($1)";

/// A running `pg_receivewal`.
pub(super) struct Receiver {
    child: Child,
    slot: String,
}

impl Receiver {
    /// Starts it, and returns once it receives. What the server writes from now on reaches the archive; `session` holds
    /// the slot `slot` meanwhile.
    pub(super) async fn start(
        run: &Run,
        (target, session): (&Target, &Session),
        programs: &Programs,
        store: &Store,
        slot: String,
    ) -> anyhow::Result<Self> {
        session.execute(RESERVE, &[&slot]).await.doing(|| "keep the log until it is received".to_owned())?;
        let mut command = tools::command(programs, "pg_receivewal", target);
        command.arg("--directory").arg(store.archive()).args([
            "--no-loop",
            "--no-password",
            // The archive goes with the drill.
            "--no-sync",
        ]);
        let mut receiver = Self { child: tools::spawn(command)?, slot };
        tokio::select! {
            waited = tokio::time::timeout(PATIENCE, receives(store)) => {
                waited.context("pg_receivewal has received nothing for 30 s")??;
            }
            said = receiver.ended() => anyhow::bail!("receive the write-ahead log: {}", said?),
            () = run.interrupt.cancelled() => {
                receiver.stop(session).await?;
                return Err(Interrupted.into());
            }
        }
        Ok(receiver)
    }

    /// Returns, with what it said, when it ends by itself.
    pub(super) async fn ended(&mut self) -> anyhow::Result<String> {
        let mut said = String::new();
        if let Some(stderr) = &mut self.child.stderr {
            stderr.read_to_string(&mut said).await?;
        }
        self.child.wait().await?;
        Ok(said.trim().to_owned())
    }

    /// Ends it, and lets the server remove the log again.
    pub(super) async fn stop(self, session: &Session) -> anyhow::Result<()> {
        tools::end(self.child, Signal::SIGTERM).await?;
        session.execute(RELEASE, &[&self.slot]).await.doing(|| "release the log".to_owned())?;
        Ok(())
    }
}

/// Waits for the first file in the archive, the segment being received.
async fn receives(store: &Store) -> std::io::Result<()> {
    while std::fs::read_dir(store.archive())?.next().is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
