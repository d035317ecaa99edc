//! Programs that outlived the omtdb that started them, because it was killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Ends the programs that a killed omtdb left working in `dir`, where no living one works: a receiver goes on for ever.
///
/// # Errors
/// When the processes cannot be listed.
pub fn end(dir: &Path) -> anyhow::Result<()> {
    let inside = dir.as_os_str().as_encoded_bytes();
    for entry in fs::read_dir("/proc").context("list processes")? {
        let path: PathBuf = entry.context("list processes")?.path();
        let pid = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        let Some(pid) = pid else { continue };
        // One that has ended meanwhile is no trouble.
        let Ok(arguments) = fs::read(path.join("cmdline")) else { continue };
        let mut arguments = arguments.split(|byte| *byte == 0);
        let program = arguments.next().map(|path| path.rsplit(|byte| *byte == b'/').next().unwrap_or(path));
        let ours = program.is_some_and(|program| PROGRAMS.iter().any(|known| known.as_bytes() == program));
        let ours = ours && arguments.any(|argument| argument.starts_with(inside));
        if ours && kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok() {
            wait_until_gone(&path);
        }
    }
    Ok(())
}

/// What omtdb starts beside servers.
const PROGRAMS: [&str; 9] = [
    "cp",
    "pg_basebackup",
    "pg_checksums",
    "pg_combinebackup",
    "pg_receivewal",
    "pg_rewind",
    "pg_verifybackup",
    "pg_waldump",
    "pgbackrest",
];

/// Waits, for a while, until the process behind `/proc/<pid>` has ended: until then it may make new files.
fn wait_until_gone(process: &Path) {
    for _ in 0..500 {
        // A process that ended and was not collected has no arguments any more.
        if fs::read(process.join("cmdline")).map_or(true, |arguments| arguments.is_empty()) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
