//! `pg_receivewal`, for a server that does not feed the drill's archive itself: started and stopped by the drill, and
//! nothing changes on the server.

use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::Signal;
use tokio::io::AsyncReadExt as _;
use tokio::process::Child;

use crate::backup::Store;
use crate::pg::{Programs, Target, tools};
use crate::run::Run;
use crate::verdict::Interrupted;

/// How long the receiver may take to connect.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running `pg_receivewal`.
pub(super) struct Receiver {
    child: Child,
}

impl Receiver {
    /// Starts it, and returns once it receives. What the server writes from now on reaches the archive.
    pub(super) async fn start(
        run: &Run,
        target: &Target,
        programs: &Programs,
        store: &Store,
    ) -> anyhow::Result<Self> {
        let mut command = tools::command(programs, "pg_receivewal", target);
        command.arg("--directory").arg(store.archive()).args([
            "--no-loop",
            "--no-password",
            // The archive goes with the drill.
            "--no-sync",
        ]);
        let mut receiver = Self { child: tools::spawn(command)? };
        tokio::select! {
            waited = tokio::time::timeout(PATIENCE, receives(store)) => {
                waited.context("pg_receivewal has received nothing for 30 s")??;
            }
            said = receiver.ended() => anyhow::bail!("receive the write-ahead log: {}", said?),
            () = run.interrupt.cancelled() => {
                receiver.stop().await?;
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

    /// Ends it.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        tools::end(self.child, Signal::SIGTERM).await
    }
}

/// Waits for the first file in the archive, the segment being received.
async fn receives(store: &Store) -> std::io::Result<()> {
    while std::fs::read_dir(store.archive())?.next().is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
