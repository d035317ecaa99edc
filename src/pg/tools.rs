//! PostgreSQL's client programs (`pg_basebackup`, `pg_receivewal`, …), aimed at a target and ended with the run.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use super::programs::{Programs, ProgramsError};
use super::target::Target;
use crate::run::Run;
use crate::verdict::Interrupted;

/// A command for `program` that reaches `target`. Everything travels in the environment: other users can read a
/// process's arguments, not its environment.
#[must_use]
pub fn command(programs: &Programs, program: &str, target: &Target) -> Command {
    let mut command = programs.command(program);
    command.envs(target.variables());
    command
}

/// Runs `command` to its end, handing each line of its standard error to `line`, which keeps what it understands and
/// returns the rest for the error message. Kills the program when the run is interrupted or this future is dropped.
///
/// # Errors
/// [`Interrupted`]; [`ProgramsError::Failed`] with what it said.
pub async fn run(run: &Run, command: Command, mut line: impl FnMut(&str) -> bool) -> anyhow::Result<()> {
    let program = name(&command);
    let mut child = spawn(command)?;
    let mut said = Vec::new();
    let stderr = child.stderr.take().context("standard error is a pipe")?;
    let mut lines = BufReader::new(stderr).lines();
    let status = async {
        while let Some(text) = lines.next_line().await? {
            if !line(&text) {
                said.push(text);
            }
        }
        child.wait().await
    };
    let status = tokio::select! {
        status = status => Some(status.with_context(|| format!("run {program}"))?),
        () = run.interrupt.cancelled() => None,
    };
    let Some(status) = status else {
        end(child, Signal::SIGKILL).await?;
        return Err(Interrupted.into());
    };
    if status.success() {
        return Ok(());
    }
    Err(ProgramsError::Failed { program, said: said.join("\n") }.into())
}

/// Starts `command`; the program dies with the returned value.
///
/// # Errors
/// When it cannot be started.
pub fn spawn(mut command: Command) -> anyhow::Result<Child> {
    let program = name(&command);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true).spawn().with_context(|| format!("start {program}"))
}

/// Sends `signal` to `child` and to what it started, and waits until it is gone.
///
/// # Errors
/// When it cannot be waited for.
pub async fn end(mut child: Child, signal: Signal) -> anyhow::Result<()> {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        // Every program of ours leads a process group.
        if let Err(error) = killpg(Pid::from_raw(pid), signal) {
            tracing::debug!("process group {pid} has ended already: {error}");
        }
    }
    child.wait().await.context("wait for a program of PostgreSQL")?;
    Ok(())
}

fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    program.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}
