//! PostgreSQL's client programs (`pg_basebackup`, `pg_receivewal`, …), aimed at a target and ended with the run.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use super::programs::{Programs, ProgramsError};
use super::target::{Endpoint, SslMode, Target};
use crate::run::Run;
use crate::verdict::Interrupted;

/// A command for `program` that reaches `target`. Everything travels in the environment: other users can read a
/// process's arguments, not its environment.
#[must_use]
pub fn command(programs: &Programs, program: &str, target: &Target) -> Command {
    let mut command = programs.command(program);
    let joined = |parts: Vec<String>| parts.join(",");
    let (hosts, ports) = target.hosts.iter().map(host_and_port).unzip();
    command.env("PGHOST", joined(hosts)).env("PGPORT", joined(ports)).env("PGUSER", &target.user);
    command.env("PGSSLMODE", sslmode(target.sslmode));
    let files = [
        ("PGSSLROOTCERT", &target.sslrootcert),
        ("PGSSLCERT", &target.sslcert),
        ("PGSSLKEY", &target.sslkey),
    ];
    for (name, path) in files {
        if let Some(path) = path {
            command.env(name, path);
        }
    }
    if let Some(password) = &target.password {
        command.env("PGPASSWORD", password.expose());
    }
    if let Some(timeout) = target.connect_timeout {
        command.env("PGCONNECT_TIMEOUT", timeout.as_secs().max(1).to_string());
    }
    command
}

fn host_and_port(endpoint: &Endpoint) -> (String, String) {
    match endpoint {
        Endpoint::Socket { dir, port } => (dir.display().to_string(), port.to_string()),
        Endpoint::Tcp { host, port } => (host.clone(), port.to_string()),
    }
}

fn sslmode(mode: SslMode) -> &'static str {
    match mode {
        SslMode::Disable => "disable",
        SslMode::Allow => "allow",
        SslMode::Prefer => "prefer",
        SslMode::Require => "require",
        SslMode::VerifyCa => "verify-ca",
        SslMode::VerifyFull => "verify-full",
    }
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
        // Every program of ours leads a process group; one that is gone already needs no signal.
        drop(killpg(Pid::from_raw(pid), signal));
    }
    child.wait().await.context("wait for a program of PostgreSQL")?;
    Ok(())
}

fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    program.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_and_a_name_are_tried_in_order() {
        let mut target = Target::socket("/run/pg", 5432, "app", "db");
        target.hosts.push(Endpoint::Tcp { host: "db.example".to_owned(), port: 6432 });
        let (hosts, ports): (Vec<_>, Vec<_>) = target.hosts.iter().map(host_and_port).unzip();
        assert_eq!(
            (hosts.join(","), ports.join(",")),
            ("/run/pg,db.example".to_owned(), "5432,6432".to_owned())
        );
    }
}
