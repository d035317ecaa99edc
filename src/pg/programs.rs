//! PostgreSQL's own programs: which ones, of which version, and as whom they run.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::unistd::{Gid, Uid, User, geteuid};

use super::version::ServerVersion;

/// Why PostgreSQL's programs cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProgramsError {
    /// None of the places holds them.
    #[error(
        "no PostgreSQL server programs (initdb, postgres, pg_ctl) in {looked}\n  \
         help: name their directory with --pg-bin DIR or OMTDB_PG_BIN, or install them (Debian, Ubuntu: apt-get install postgresql)"
    )]
    Missing {
        /// The places, for people.
        looked: String,
    },
    /// They are there and of a version omtdb does not know.
    #[error(
        "{bin} holds PostgreSQL {version}; omtdb works with {oldest} to {newest}",
        oldest = ServerVersion::OLDEST, newest = ServerVersion::NEWEST, bin = bin.display()
    )]
    Unsupported {
        /// Their directory.
        bin: PathBuf,
        /// What they say they are.
        version: ServerVersion,
    },
    /// We are root, PostgreSQL refuses to be, and there is nobody else.
    #[error(
        "PostgreSQL refuses to run as root, and this machine has neither a user \"postgres\" nor \"nobody\" to run it as"
    )]
    NoUser,
    /// A program could not be run or failed.
    #[error("{program} failed{}", detail(said))]
    Failed {
        /// Its name.
        program: String,
        /// What it said.
        said: String,
    },
}

fn detail(said: &str) -> String {
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    match lines.as_slice() {
        [] => String::new(),
        lines => format!(":\n  {}", lines.join("\n  ")),
    }
}

/// The user that servers and their tools run as, where it is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunAs {
    /// User.
    pub uid: Uid,
    /// Group.
    pub gid: Gid,
}

/// A directory of PostgreSQL's programs.
#[derive(Debug, Clone)]
pub struct Programs {
    bin: PathBuf,
    version: ServerVersion,
    run_as: Option<RunAs>,
}

impl Programs {
    /// Finds them: `explicit` (`--pg-bin`, `OMTDB_PG_BIN`), else the search path, else the newest of `/usr/lib/postgresql/*/bin`.
    ///
    /// # Errors
    /// When there are none, or none of a supported version, or nobody to run them as.
    pub fn find(explicit: Option<&Path>, search_path: Option<&OsStr>) -> Result<Self, ProgramsError> {
        let (bin, looked) = match explicit {
            Some(dir) => (Some(dir.to_owned()).filter(|dir| is_complete(dir)), dir.display().to_string()),
            None => (
                on_path(search_path).or_else(newest_installed),
                "PATH and /usr/lib/postgresql/*/bin".to_owned(),
            ),
        };
        let bin = bin.ok_or(ProgramsError::Missing { looked })?;
        let version = version_of(&bin)?;
        if !version.is_supported() {
            return Err(ProgramsError::Unsupported { bin, version });
        }
        Ok(Self { bin, version, run_as: run_as()? })
    }

    /// Their version.
    #[must_use]
    pub fn version(&self) -> ServerVersion {
        self.version
    }

    /// Their directory.
    #[must_use]
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// The other user they run as, when we are root.
    #[must_use]
    pub fn run_as(&self) -> Option<RunAs> {
        self.run_as
    }

    /// A command for `program`: as the server's user, out of the terminal's process group so that Ctrl-C is ours to
    /// handle, untouched by `PG*` variables, messages in English for the log markers.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.process_group(0).current_dir("/").stdin(Stdio::null());
        command.env_clear().env("LC_ALL", "C").env("TZ", "UTC").env("PATH", "/usr/bin:/bin");
        if let Some(run_as) = self.run_as {
            command.uid(run_as.uid.as_raw()).gid(run_as.gid.as_raw());
        }
        if let Some(lib) = self.own_libraries() {
            command.env("LD_LIBRARY_PATH", lib);
        }
        command
    }

    /// Relocatable builds bring their own libpq, which their extension modules do not find by themselves.
    fn own_libraries(&self) -> Option<PathBuf> {
        let lib = self.bin.parent()?.join("lib");
        lib.join("libpq.so.5").exists().then_some(lib)
    }
}

/// Runs `command` to its end.
///
/// # Errors
/// When it cannot be started or fails; the error carries what it said on standard error.
pub fn run(command: &mut Command) -> Result<Output, ProgramsError> {
    let program = Path::new(command.get_program())
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let output = command
        .output()
        .map_err(|error| ProgramsError::Failed { program: program.clone(), said: error.to_string() })?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(ProgramsError::Failed { program, said })
}

fn is_complete(dir: &Path) -> bool {
    ["initdb", "postgres", "pg_ctl"].iter().all(|program| dir.join(program).is_file())
}

/// The directory on the search path; where that holds links, the one they lead to, which has all the other programs too.
fn on_path(search_path: Option<&OsStr>) -> Option<PathBuf> {
    let dir = std::env::split_paths(search_path?).find(|dir| is_complete(dir))?;
    let behind = std::fs::canonicalize(dir.join("postgres")).ok()?.parent()?.to_owned();
    Some(if is_complete(&behind) { behind } else { dir })
}

fn newest_installed() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    versions
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let major: u32 = path.file_name()?.to_str()?.parse().ok()?;
            Some((major, path.join("bin")))
        })
        .filter(|(major, bin)| ServerVersion(major * 10_000).is_supported() && is_complete(bin))
        .max()
        .map(|(_, bin)| bin)
}

fn version_of(bin: &Path) -> Result<ServerVersion, ProgramsError> {
    let output = run(Command::new(bin.join("postgres")).arg("--version"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    ServerVersion::from_program(&text).ok_or_else(|| ProgramsError::Failed {
        program: "postgres".to_owned(),
        said: format!("it does not say its version: {text}"),
    })
}

fn run_as() -> Result<Option<RunAs>, ProgramsError> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    ["postgres", "nobody"]
        .iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .map(|user| Some(RunAs { uid: user.uid, gid: user.gid }))
        .ok_or(ProgramsError::NoUser)
}
