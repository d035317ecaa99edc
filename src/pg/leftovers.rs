//! Programs that outlived the omtdb that started them, because it was killed.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cluster::{ClusterError, file};

/// Ends the programs that a killed omtdb left working in `dir`, where no living one works: a receiver goes on for ever.
///
/// # Errors
/// When the processes cannot be listed.
pub fn end(dir: &Path) -> Result<(), ClusterError> {
    end_programs(&PROGRAMS, dir)
}

/// The same for one program: where others than omtdb may work in `dir` too.
///
/// # Errors
/// When the processes cannot be listed.
pub fn end_program(program: &str, dir: &Path) -> Result<(), ClusterError> {
    end_programs(&[program], dir)
}

fn end_programs(programs: &[&str], dir: &Path) -> Result<(), ClusterError> {
    let processes = Path::new("/proc");
    for entry in file("list", processes, fs::read_dir(processes))? {
        let path: PathBuf = file("list", processes, entry)?.path();
        let pid = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        let Some(pid) = pid else { continue };
        // One that has ended meanwhile is no trouble.
        let Ok(arguments) = fs::read(path.join("cmdline")) else { continue };
        let mut arguments = arguments.split(|byte| *byte == 0);
        let program = arguments.next().map(|path| path.rsplit(|byte| *byte == b'/').next().unwrap_or(path));
        let ours = program.is_some_and(|program| programs.iter().any(|known| known.as_bytes() == program));
        let ours = ours && arguments.any(|argument| names(argument, dir));
        if ours && kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok() {
            wait_until_gone(&path);
        }
    }
    Ok(())
}

/// Whether an argument, or the value behind its `=`, is `dir` or in it.
fn names(argument: &[u8], dir: &Path) -> bool {
    let value = argument.rsplit(|byte| *byte == b'=').next().unwrap_or(argument);
    [argument, value].iter().any(|path| Path::new(OsStr::from_bytes(path)).starts_with(dir))
}

/// What omtdb starts beside servers.
const PROGRAMS: [&str; 11] = [
    "cp",
    "initdb",
    "pg_basebackup",
    "pg_checksums",
    "pg_combinebackup",
    "pg_ctl",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_names_a_directory_by_whole_components() {
        let dir = Path::new("/b/wal");
        for inside in ["/b/wal", "/b/wal/", "/b/wal/000000010000000000000002", "--pg1-path=/b/wal/copy"] {
            assert!(names(inside.as_bytes(), dir), "{inside}");
        }
        for outside in ["/b/wal2", "/b", "wal", "--x=/c/b/wal"] {
            assert!(!names(outside.as_bytes(), dir), "{outside}");
        }
    }
}
