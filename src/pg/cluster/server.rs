//! The server process of a cluster: its files, its settings, start and stop.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Cluster, ClusterError, PORT, Result, Settings, file};
use crate::pg::programs::{Programs, run};

const SETTINGS_FILE: &str = "omtdb.conf";
/// Seconds the server may take to start or stop; crash recovery of a big load takes longest.
const PATIENCE_S: &str = "600";

/// Makes `home` itself, which the server's user must be able to pass through.
pub(crate) fn make_home(home: &Path, programs: &Programs) -> Result<()> {
    let known = home.is_dir();
    file("make", home, fs::create_dir_all(home))?;
    if programs.run_as().is_none() {
        return Ok(());
    }
    if !known {
        file("open up", home, fs::set_permissions(home, fs::Permissions::from_mode(0o755)))?;
    }
    match home.ancestors().find(|dir| is_closed(dir)) {
        Some(dir) => Err(ClusterError::Closed { home: home.to_owned(), closed: dir.to_owned() }),
        None => Ok(()),
    }
}

/// Whether others may not pass through `dir`.
fn is_closed(dir: &Path) -> bool {
    fs::metadata(dir).is_ok_and(|meta| meta.permissions().mode() & 0o001 == 0)
}

/// Makes `dir`, the server user's and closed to others.
pub(crate) fn make_private_dir(dir: &Path, programs: &Programs) -> Result<()> {
    file("make", dir, DirBuilder::new().mode(0o700).create(dir))?;
    give(dir, programs)
}

/// Writes `path` in place of any there is, the server user's.
pub(crate) fn write_owned(path: &Path, contents: &str, programs: &Programs) -> Result<()> {
    file("write", path, fs::write(path, contents))?;
    give(path, programs)
}

fn give(path: &Path, programs: &Programs) -> Result<()> {
    match programs.run_as() {
        Some(run_as) => {
            file("hand over", path, chown(path, Some(run_as.uid.as_raw()), Some(run_as.gid.as_raw())))
        }
        None => Ok(()),
    }
}

/// Settings of every cluster of ours.
pub(super) fn defaults(socket_dir: &Path) -> Settings {
    let (socket_dir, port) = (socket_dir.display().to_string(), PORT.to_string());
    [
        ("listen_addresses", ""),
        ("unix_socket_directories", socket_dir.as_str()),
        ("unix_socket_permissions", "0700"),
        ("port", port.as_str()),
        ("shared_buffers", "256MB"),
        ("max_wal_size", "4GB"),
        ("max_connections", "100"),
        // Drills read the log: English, and nothing but what the server says.
        ("lc_messages", "C"),
        ("logging_collector", "off"),
        ("log_line_prefix", "%m [%p] "),
        ("cluster_name", "omtdb"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

/// Adds `settings` to the defaults and to those written before.
pub(super) fn write_settings(cluster: &Cluster, settings: &Settings) -> Result<()> {
    let path = cluster.data_dir().join(SETTINGS_FILE);
    let mut all = defaults(cluster.socket_dir());
    all.extend(read_settings(&path)?);
    all.insert("unix_socket_directories".to_owned(), cluster.socket_dir().display().to_string());
    all.extend(settings.clone());
    let lines: String =
        all.iter().map(|(name, value)| format!("{name} = '{}'\n", value.replace('\'', "''"))).collect();
    write_owned(&path, &lines, cluster.programs())?;
    include_settings(cluster)
}

fn read_settings(path: &Path) -> Result<Settings> {
    if !path.exists() {
        return Ok(Settings::new());
    }
    let text = file("read", path, fs::read_to_string(path))?;
    let setting = |line: &str| {
        let (name, value) = line.split_once(" = ")?;
        let value = value.strip_prefix('\'')?.strip_suffix('\'')?;
        Some((name.to_owned(), value.replace("''", "'")))
    };
    Ok(text.lines().filter_map(setting).collect())
}

fn include_settings(cluster: &Cluster) -> Result<()> {
    let path = cluster.data_dir().join("postgresql.conf");
    let line = format!("include '{SETTINGS_FILE}'");
    let text = file("read", &path, fs::read_to_string(&path))?;
    if text.lines().any(|l| l == line) {
        return Ok(());
    }
    write_owned(&path, &format!("{text}\n{line}\n"), cluster.programs())
}

/// How often to try again while processes of a server that was shot down still hold its shared memory.
const TRIES: u32 = 50;
const BETWEEN_TRIES: Duration = Duration::from_millis(200);
/// How often to look whether a server has made up its mind: ten minutes long.
const DECISIONS: u32 = 3_000;

pub(super) fn start(cluster: &Cluster) -> Result<bool> {
    if settled(cluster)? {
        return Ok(false);
    }
    remove_stale_locks(cluster)?;
    if !cluster.socket_dir().exists() {
        make_private_dir(cluster.socket_dir(), cluster.programs())?;
    }
    let mut said = String::new();
    for _ in 0..TRIES {
        let before = fs::metadata(cluster.log_path()).map_or(0, |m| m.len());
        if try_start(cluster)? {
            return Ok(true);
        }
        said = tail(&cluster.log_path(), before);
        if !said.contains("pre-existing shared memory block") {
            break;
        }
        std::thread::sleep(BETWEEN_TRIES);
    }
    Err(ClusterError::DoesNotStart { name: cluster.name().to_owned(), log: said })
}

/// Whether a server runs, once it has made up its mind: one that went down by itself (a full disk) may be recovering, or
/// recovering in vain and about to end.
fn settled(cluster: &Cluster) -> Result<bool> {
    for _ in 0..DECISIONS {
        if running_pid(&cluster.data_dir()).is_none() {
            return Ok(false);
        }
        let mut command = cluster.programs().command("pg_isready");
        command.arg("--host").arg(cluster.socket_dir()).args(["--quiet", "--port", &PORT.to_string()]);
        // Exit code 1: it is there, but rejects connections for the time being.
        let status = file("run", Path::new("pg_isready"), command.stdin(Stdio::null()).status())?;
        if status.code() != Some(1) {
            return Ok(true);
        }
        std::thread::sleep(BETWEEN_TRIES);
    }
    Ok(true)
}

fn try_start(cluster: &Cluster) -> Result<bool> {
    pg_ctl_start(cluster, &["--wait", "--timeout", PATIENCE_S])
}

pub(super) fn launch(cluster: &Cluster) -> Result<()> {
    remove_stale_locks(cluster)?;
    if !cluster.socket_dir().exists() {
        make_private_dir(cluster.socket_dir(), cluster.programs())?;
    }
    // What becomes of it stands in the log.
    pg_ctl_start(cluster, &["--no-wait"]).map(|_| ())
}

fn pg_ctl_start(cluster: &Cluster, wait: &[&str]) -> Result<bool> {
    let mut command = cluster.programs().command("pg_ctl");
    command.arg("start").arg("--pgdata").arg(cluster.data_dir()).arg("--log").arg(cluster.log_path());
    command.args(wait).arg("--silent");
    // The server inherits what pg_ctl has: a pipe would stay open as long as the server lives.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Ok(file("run", Path::new("pg_ctl"), command.status())?.success())
}

/// The last lines that `log` gained since it was `from` bytes long.
fn tail(log: &Path, from: u64) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let from = usize::try_from(from).map_or(0, |from| from.min(bytes.len()));
    let text = String::from_utf8_lossy(&bytes[from..]).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].iter().map(|line| format!("  {line}\n")).collect()
}

pub(super) fn stop(cluster: &Cluster, fast: bool) -> Result<()> {
    let data = cluster.data_dir();
    if running_pid(&data).is_none() {
        return Ok(());
    }
    let mode = if fast { "fast" } else { "immediate" };
    let mut command = cluster.programs().command("pg_ctl");
    command.arg("stop").arg("--pgdata").arg(&data);
    let stopped = run(command.args(["--mode", mode, "--wait", "--timeout", PATIENCE_S, "--silent"]));
    match stopped {
        // It was about to end by itself.
        Err(_) if running_pid(&data).is_none() => Ok(()),
        stopped => Ok(stopped.map(|_| ())?),
    }
}

pub(super) fn crash(cluster: &Cluster) -> Result<()> {
    let Some(postmaster) = running_pid(&cluster.data_dir()) else { return Ok(()) };
    // The children are looked up first: without their parent nobody knows whose they are.
    let all: Vec<u32> = std::iter::once(postmaster).chain(children(postmaster)).collect();
    for &pid in &all {
        if let Ok(Err(error)) = i32::try_from(pid).map(|pid| kill(Pid::from_raw(pid), Signal::SIGKILL)) {
            tracing::debug!("process {pid} has ended meanwhile: {error}");
        }
    }
    for _ in 0..TRIES {
        if all.iter().all(|pid| is_gone(*pid)) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    // Nobody may have collected the process, and its number would speak for a server that still runs.
    remove_stale_locks(cluster)
}

/// Processes whose parent is `parent`; the fourth field of `/proc/<pid>/stat`, counted behind the name in parentheses.
fn children(parent: u32) -> Vec<u32> {
    let parent_of = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok()
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

/// Whether a process has ended, though nobody may have collected it yet.
fn is_gone(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).map_or(true, |arguments| arguments.is_empty())
}

pub(super) fn promote(cluster: &Cluster) -> Result<()> {
    let mut command = cluster.programs().command("pg_ctl");
    command.arg("promote").arg("--pgdata").arg(cluster.data_dir());
    run(command.args(["--wait", "--timeout", PATIENCE_S, "--silent"]))?;
    Ok(())
}

/// The process that serves `data`, if it lives. A pid alone proves nothing after a crash, since numbers are used again:
/// a postmaster's working directory is its data directory.
pub(super) fn running_pid(data: &Path) -> Option<u32> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid: u32 = text.lines().next()?.trim().parse().ok()?;
    let cwd = fs::read_link(PathBuf::from(format!("/proc/{pid}/cwd"))).ok()?;
    let data = fs::canonicalize(data).ok()?;
    (cwd == data).then_some(pid)
}

/// Removes what a server that was shot down leaves. PostgreSQL does so itself unless the number of its process is taken
/// again, or still stands in the process table because nobody has collected it.
fn remove_stale_locks(cluster: &Cluster) -> Result<()> {
    let socket = cluster.socket_dir().join(format!(".s.PGSQL.{PORT}"));
    let lock = cluster.socket_dir().join(format!(".s.PGSQL.{PORT}.lock"));
    for path in [cluster.data_dir().join("postmaster.pid"), socket, lock] {
        if path.exists() {
            file("remove the stale", &path, fs::remove_file(&path))?;
        }
    }
    Ok(())
}
