//! Where a run was measured: facts about the machine and about the server, none of them secret.

use std::collections::BTreeMap;
use std::fs;

use serde::{Deserialize, Serialize};

use crate::pg::error::{Doing as _, Result};
use crate::pg::{ServerVersion, Session, Target};

/// The machine a run was measured on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Processors available to us.
    pub cpus: usize,
    /// Their model, where the system tells.
    pub cpu_model: String,
    /// Memory of the machine.
    pub memory_bytes: u64,
    /// Kernel release.
    pub kernel: String,
}

/// The server a run was measured on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Its version.
    pub version: ServerVersion,
    /// `user@host:port/dbname`.
    pub target: String,
    /// Settings that are not the built-in default, name to value; none that could hold a secret.
    pub settings: BTreeMap<String, String>,
}

/// This machine. What the system does not tell is `unknown`, or 0 for the memory.
#[must_use]
pub fn host() -> Host {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    Host {
        cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        cpu_model: cpu_model(&read("/proc/cpuinfo")).unwrap_or("unknown").to_owned(),
        memory_bytes: memory_bytes(&read("/proc/meminfo")).unwrap_or(0),
        kernel: kernel(&read("/proc/sys/kernel/osrelease")),
    }
}

/// `model name` is x86's word; other architectures have none, or `Model` for the board.
fn cpu_model(cpuinfo: &str) -> Option<&str> {
    let value = |key: &str| {
        let mut fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim())
    };
    value("model name").or_else(|| value("Model")).filter(|model| !model.is_empty())
}

fn memory_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

fn kernel(osrelease: &str) -> String {
    match osrelease.trim() {
        "" => std::env::consts::OS.to_owned(),
        release => format!("{} {release}", std::env::consts::OS),
    }
}

/// The server behind `session`, which was reached as `target`.
///
/// # Errors
/// When the server refuses to show its settings.
pub async fn server(session: &Session, target: &Target) -> Result<Server> {
    let doing = || format!("read the settings of {target}");
    let mut settings = BTreeMap::new();
    // Without a named statement: a pooler may be in between.
    for row in session.query_typed(include_str!("settings.sql"), &[]).await.doing(doing)? {
        let name: String = row.try_get("name").doing(doing)?;
        if !may_hold_a_secret(&name) {
            settings.insert(name, row.try_get("value").doing(doing)?);
        }
    }
    Ok(Server { version: session.version(), target: target.to_string(), settings })
}

/// Settings whose value may carry a password, a token or a key: connection strings, shell commands, what is named
/// after a secret, and an extension's or application's own settings (`app.jwt_secret`), which may be anything.
fn may_hold_a_secret(name: &str) -> bool {
    const TELLTALE: [&str; 7] = ["command", "conninfo", "credential", "key", "pass", "secret", "token"];
    name.contains('.') || TELLTALE.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        assert_eq!(cpu_model("processor\t: 0\nmodel name\t: Xeon @ 2.1GHz\n"), Some("Xeon @ 2.1GHz"));
        assert_eq!(cpu_model("processor : 0\nModel : Raspberry Pi 4\n"), Some("Raspberry Pi 4"));
        assert_eq!(cpu_model("processor : 0\n"), None);
        assert_eq!(memory_bytes("MemTotal:        2048 kB\nMemFree: 1 kB\n"), Some(2 << 20));
        assert_eq!(memory_bytes(""), None);
        assert_eq!(kernel("6.1.0-13\n"), format!("{} 6.1.0-13", std::env::consts::OS));
        assert_eq!(kernel(""), std::env::consts::OS);
    }

    #[test]
    fn settings_that_may_hold_a_secret_stay_out() {
        for name in [
            "primary_conninfo",
            "ssl_passphrase_command",
            "restore_command",
            "archive_command",
            "archive_cleanup_command",
            "recovery_end_command",
            "ssl_key_file",
            "app.jwt_secret",
        ] {
            assert!(may_hold_a_secret(name), "{name}");
        }
        for name in ["shared_buffers", "fsync", "archive_mode", "work_mem"] {
            assert!(!may_hold_a_secret(name), "{name}");
        }
    }
}
