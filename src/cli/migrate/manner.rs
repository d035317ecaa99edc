//! How migrations and work on indexes are carried out, and by whom.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use omtdb::migrate::{Options, Provenance};
use omtdb::pg::Patience;

use super::super::place::user_name;

/// How long we wait for another omtdb.
#[derive(clap::Args, Debug, Clone)]
#[command(next_help_heading = "Manner")]
pub(super) struct WaitArgs {
    /// How long to wait while another omtdb works on the same database
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "5m")]
    wait: Duration,
}

impl WaitArgs {
    /// The options, for files in `dir` (`None`: built in).
    pub(super) fn options(&self, dir: Option<&Path>) -> Options {
        Options { wait: self.wait, by: provenance(dir), ..Options::default() }
    }
}

fn provenance(dir: Option<&Path>) -> Provenance {
    Provenance {
        os_user: user_name(),
        host: nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()),
        revision: dir.and_then(revision),
        plan: None,
    }
}

/// Limits to how long others, and we, wait.
#[derive(clap::Args, Debug, Clone)]
#[command(next_help_heading = "Manner")]
pub(super) struct MannerArgs {
    #[command(flatten)]
    wait: WaitArgs,
    /// How long a statement may wait for a lock that others queue behind, before it gives way and tries again
    #[arg(long, value_name = "TIME", value_parser = a_millisecond_at_least, default_value = "200ms")]
    lock_timeout: Duration,
    /// How long such a statement is tried again; there is no last try without a limit
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "5m")]
    lock_budget: Duration,
    /// How long one and the same session may keep a step waiting that nobody queues behind (a concurrent build)
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "1h")]
    patience: Duration,
    /// Percentage of its time that a backfill is at work; the rest is left to others
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100), default_value_t = 50)]
    duty: u8,
}

impl MannerArgs {
    /// The options, for files in `dir` (`None`: built in).
    pub(super) fn options(&self, dir: Option<&Path>) -> anyhow::Result<Options> {
        Ok(Options {
            locks: Patience {
                lock_timeout: self.lock_timeout,
                budget: self.lock_budget,
                attempts: u32::MAX,
                ..Patience::default()
            },
            patience: self.patience,
            duty: f64::from(self.duty) / 100.0,
            ..self.wait.options(dir)
        })
    }
}

/// The commit that `dir` is at, with a `+` where files in it are changed; `None` where it is in no repository.
fn revision(dir: &Path) -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(dir).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--", "."]).is_some_and(|files| !files.is_empty());
    Some(if changed { format!("{commit}+") } else { commit })
}

/// Nothing would be no limit at all.
fn a_millisecond_at_least(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time < Duration::from_millis(1) {
        return Err("a lock timeout is 1 ms at least; there is no attempt without a limit".to_owned());
    }
    Ok(time)
}
