//! PostgreSQL's client programs (`pg_basebackup`, `pg_receivewal`, …), aimed at a target and ended with the run.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
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

/// Runs `command` to its end and returns its exit code with what it wrote to standard output and standard error. Ends the
/// program, which may clean up, when the run is interrupted.
///
/// # Errors
/// [`Interrupted`]; when the program cannot be started, or was killed.
pub async fn answer(run: &Run, mut command: Command) -> anyhow::Result<Answer> {
    let program = name(&command);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut command = tokio::process::Command::from(command);
    let mut child = command.kill_on_drop(true).spawn().with_context(|| format!("start {program}"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let answered = async {
        let (stdout, stderr) = tokio::join!(text(stdout), text(stderr));
        anyhow::Ok((stdout?, stderr?, child.wait().await?))
    };
    let answered = tokio::select! {
        answered = answered => Some(answered.with_context(|| format!("run {program}"))?),
        () = run.interrupt.cancelled() => None,
    };
    let Some((stdout, stderr, status)) = answered else {
        end(child, Signal::SIGTERM).await?;
        return Err(Interrupted.into());
    };
    let code = status.code().with_context(|| format!("{program} was killed"))?;
    Ok(Answer { program, code, stdout, stderr })
}

/// What a program answered.
#[derive(Debug)]
pub struct Answer {
    program: String,
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    stderr: String,
}

impl Answer {
    /// Its standard output, where it succeeded.
    ///
    /// # Errors
    /// [`ProgramsError::Failed`] with what it said.
    pub fn succeeded(self) -> Result<String, ProgramsError> {
        if self.code == 0 {
            return Ok(self.stdout);
        }
        Err(ProgramsError::Failed { program: self.program, said: self.stderr })
    }
}

/// What comes out of a pipe until it closes; bytes that are no UTF-8 are replaced.
async fn text(pipe: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
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
