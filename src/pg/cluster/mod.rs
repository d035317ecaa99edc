//! PostgreSQL servers that omtdb makes, runs and throws away: on a Unix socket only, in directories of their own.
//!
//! A cluster lives in `<home>/<name>`: `cluster.json` (the mark that it is ours), `data`, `server.log`, and room for
//! whoever made it. Nothing here touches a directory without that mark. A crash at any point leaves something the next
//! run recognises: a directory whose mark does not say `ready` is made anew, a pid file without its process is removed.

mod error;
mod lease;
mod mark;
mod owner;
mod server;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

pub use error::ClusterError;
use error::Result;
pub(crate) use error::file;
pub use lease::Lease;
pub use mark::Mark;
pub(crate) use server::{make_home, make_private_dir, write_owned};

use super::leftovers;
use super::programs::{Programs, run};
use super::target::Target;

/// The superuser and the database of every cluster of ours.
pub const ROLE: &str = "omtdb";
/// The database that commands use in a cluster of ours.
pub const DATABASE: &str = "omtdb";
/// The port in the socket's name; no TCP port is opened.
pub const PORT: u16 = 5432;

/// Server settings, name to value, as they stand in `postgresql.conf`.
pub type Settings = BTreeMap<String, String>;

/// A cluster of ours, running or not.
#[derive(Debug, Clone)]
pub struct Cluster {
    home: PathBuf,
    mark: Mark,
    programs: Programs,
}

/// What a new cluster is to be.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Settings beyond the defaults of `server::defaults`.
    pub settings: Settings,
}

impl Cluster {
    /// Opens the cluster `name` under `home`, making it when it is not there or only half made. Does not start it.
    ///
    /// # Errors
    /// [`ClusterError`]; `NotOurs` when the directory exists without our mark.
    pub fn make(home: &Path, name: &str, programs: &Programs, options: &Options) -> Result<Self> {
        let _busy = lock(home, name, programs)?;
        let dir = home.join(name);
        match Mark::read(&dir)? {
            Some(mark) if mark.grown => Err(ClusterError::Grown(mark.name)),
            Some(mark) if mark.ready => Self::with_mark(home, mark, programs),
            Some(_) => {
                file("remove the half-made", &dir, fs::remove_dir_all(&dir))?;
                Self::create(home, name, programs, options)
            }
            None => Self::create(home, name, programs, options),
        }
    }

    /// Opens the cluster `name` under `home`.
    ///
    /// # Errors
    /// `Unknown` when there is none.
    pub fn open(home: &Path, name: &str, programs: &Programs) -> Result<Self> {
        check_name(name)?;
        match Mark::read(&home.join(name))? {
            Some(mark) if mark.ready => Self::with_mark(home, mark, programs),
            _ => Err(ClusterError::Unknown { name: name.to_owned(), home: home.to_owned() }),
        }
    }

    /// The clusters under `home`, by name. What omtdb has not made is passed over.
    ///
    /// # Errors
    /// When a directory or a mark cannot be read.
    pub fn list(home: &Path) -> Result<Vec<Mark>> {
        let entries = match fs::read_dir(home) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => file("list", home, entries)?,
        };
        let mut marks = Vec::new();
        for entry in entries {
            match Mark::read(&file("list", home, entry)?.path()) {
                Ok(mark) => marks.extend(mark.filter(|mark| mark.ready)),
                // Or another omtdb is just making or removing it.
                Err(ClusterError::NotOurs { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        marks.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(marks)
    }

    /// Takes over a data directory that omtdb has placed in a marked directory of its own (a restored copy).
    ///
    /// `fill` is handed the empty data directory and fills it; the mark says `ready` only after it has.
    ///
    /// # Errors
    /// Those of making a cluster, and `fill`'s.
    pub fn adopt<E: From<ClusterError>>(
        home: &Path,
        name: &str,
        programs: &Programs,
        options: &Options,
        fill: impl FnOnce(&Path) -> std::result::Result<(), E>,
    ) -> std::result::Result<Self, E> {
        let _busy = lock(home, name, programs)?;
        let mut cluster = Self::lay_out(home, name, programs)?;
        if let Err(error) = fill(&cluster.data_dir()) {
            file("remove the half-made", &cluster.dir(), fs::remove_dir_all(cluster.dir()))?;
            return Err(error);
        }
        server::write_settings(&cluster, &options.settings)?;
        cluster.finish()?;
        Ok(cluster)
    }

    /// Removes what an omtdb that was killed left of the cluster `name`: whole or half made, running or not, or nothing.
    ///
    /// # Errors
    /// `NotOurs`, and those of stopping and removing.
    pub fn remove_leftover(home: &Path, name: &str, programs: &Programs) -> Result<()> {
        check_name(name)?;
        let dir = home.join(name);
        leftovers::end(&dir)?;
        let Some(mark) = Mark::read(&dir)? else { return Ok(()) };
        let leftover = Self { home: home.to_owned(), mark, programs: programs.clone() };
        // One that has only just begun to start cannot be told to stop yet, and has no children.
        if server::running_pid(&leftover.data_dir()).is_none() {
            leftovers::end_program("postgres", &leftover.data_dir())?;
        }
        leftover.destroy()
    }

    fn with_mark(home: &Path, mark: Mark, programs: &Programs) -> Result<Self> {
        if mark.major != programs.version().major() {
            return Err(ClusterError::OtherVersion {
                name: mark.name,
                data: mark.major,
                programs: programs.version().major(),
            });
        }
        Ok(Self { home: home.to_owned(), mark, programs: programs.clone() })
    }

    fn create(home: &Path, name: &str, programs: &Programs, options: &Options) -> Result<Self> {
        let mut cluster = Self::lay_out(home, name, programs)?;
        run(programs.command("initdb").arg("--pgdata").arg(cluster.data_dir()).args([
            "--username",
            ROLE,
            // The socket stands in a directory that only its owner may enter.
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--data-checksums",
            "--no-sync",
            "--no-instructions",
        ]))?;
        server::write_settings(&cluster, &options.settings)?;
        cluster.finish()?;
        Ok(cluster)
    }

    /// The marked directory with an empty data directory in it, both the server user's.
    fn lay_out(home: &Path, name: &str, programs: &Programs) -> Result<Self> {
        let dir = home.join(name);
        if dir.exists() {
            match Mark::read(&dir)? {
                Some(mark) if !mark.ready => file("remove the half-made", &dir, fs::remove_dir_all(&dir))?,
                _ => return Err(ClusterError::NotOurs { dir }),
            }
        }
        let mark = Mark::new(home, name, programs.version().major());
        server::make_private_dir(&dir, programs)?;
        mark.write(&dir)?;
        server::make_private_dir(&dir.join("data"), programs)?;
        Ok(Self { home: home.to_owned(), mark, programs: programs.clone() })
    }

    fn finish(&mut self) -> Result<()> {
        self.mark.ready = true;
        self.mark.write(&self.dir())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.mark.name
    }

    /// The programs it runs with.
    #[must_use]
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Its marked directory.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.home.join(&self.mark.name)
    }

    /// `PGDATA`.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.dir().join("data")
    }

    /// The server's log; it grows over restarts.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.dir().join("server.log")
    }

    /// Where its socket is.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.mark.socket_dir
    }

    /// How to reach database `dbname` in it, as its superuser.
    #[must_use]
    pub fn target(&self, dbname: &str) -> Target {
        Target::socket(self.socket_dir(), PORT, ROLE, dbname)
    }

    /// The same as a URL, for people and other programs.
    #[must_use]
    pub fn url(&self, dbname: &str) -> String {
        let dir = self.socket_dir().display().to_string().replace('/', "%2F");
        format!("postgresql://{ROLE}@{dir}:{PORT}/{dbname}")
    }

    /// Makes a directory in the cluster's own that its server may write to, if it is not there.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn make_dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir().join(name);
        if !dir.exists() {
            server::make_private_dir(&dir, &self.programs)?;
        }
        Ok(dir)
    }

    /// Writes a file that its server may read, in place of any there is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_file(&self, path: &Path, contents: &str) -> Result<()> {
        server::write_owned(path, contents, &self.programs)
    }

    /// Whether its server runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        server::running_pid(&self.data_dir()).is_some()
    }

    /// Starts its server and waits until it accepts connections; returns whether it was not running before.
    ///
    /// # Errors
    /// `DoesNotStart` with the end of the log.
    pub fn start(&self) -> Result<bool> {
        let _busy = lock(&self.home, self.name(), &self.programs)?;
        self.refuse_grown()?;
        server::start(self)
    }

    /// The mark says so, whoever has grown it.
    fn refuse_grown(&self) -> Result<()> {
        match Mark::read(&self.dir())? {
            Some(mark) if mark.grown => Err(ClusterError::Grown(mark.name)),
            _ => Ok(()),
        }
    }

    /// Starts its server without waiting for it: a recovery may take hours, and whoever asked for it watches the log.
    ///
    /// # Errors
    /// When the program cannot be run.
    pub fn launch(&self) -> Result<()> {
        let _busy = lock(&self.home, self.name(), &self.programs)?;
        self.refuse_grown()?;
        server::launch(self)
    }

    /// Ends the recovery of its server, which then accepts writes.
    ///
    /// # Errors
    /// When it does not end.
    pub fn promote(&self) -> Result<()> {
        server::promote(self)
    }

    /// Stops its server, if it runs: `fast` ends sessions and writes a checkpoint, otherwise it is shot down.
    ///
    /// # Errors
    /// When it does not stop.
    pub fn stop(&self, fast: bool) -> Result<()> {
        let _busy = lock(&self.home, self.name(), &self.programs)?;
        server::stop(self, fast)
    }

    /// Ends every process of its server at once, as a machine does that loses its power. Only its files survive.
    ///
    /// # Errors
    /// When a process cannot be ended.
    pub fn crash(&self) -> Result<()> {
        let _busy = lock(&self.home, self.name(), &self.programs)?;
        server::crash(self)
    }

    /// Adds `settings` to those it has and restarts its server.
    ///
    /// # Errors
    /// Those of stopping and starting.
    pub fn restart_with(&self, settings: &Settings) -> Result<()> {
        let _busy = lock(&self.home, self.name(), &self.programs)?;
        self.refuse_grown()?;
        server::stop(self, true)?;
        server::write_settings(self, settings)?;
        server::start(self).map(|_| ())
    }

    /// Has `grow` make files of its data directory larger than what is in them, while its server stands still; from then on it
    /// serves whoever grew it, and nobody else. Adds `settings`.
    ///
    /// # Errors
    /// Those of stopping and starting, and `grow`'s.
    pub fn grow(&self, settings: &Settings, grow: impl FnOnce(&Path) -> io::Result<()>) -> Result<()> {
        let _busy = lock(&self.home, self.name(), &self.programs)?;
        server::stop(self, true)?;
        let mut mark = Mark::read(&self.dir())?.unwrap_or_else(|| self.mark.clone());
        if !mark.grown {
            mark.grown = true;
            mark.write(&self.dir())?;
            // Pages that we write have none.
            run(self.programs.command("pg_checksums").arg("--disable").arg("--pgdata").arg(self.data_dir()))?;
        }
        server::write_settings(self, settings)?;
        file("grow the files of", &self.data_dir(), grow(&self.data_dir()))?;
        server::start(self).map(|_| ())
    }

    /// Shoots its server down and removes everything it has.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn destroy(&self) -> Result<()> {
        let _busy = lock(&self.home, self.name(), &self.programs)?;
        server::stop(self, false)?;
        let dir = self.dir();
        if self.socket_dir() != dir && self.socket_dir().exists() {
            file("remove", self.socket_dir(), fs::remove_dir_all(self.socket_dir()))?;
        }
        file("remove", &dir, fs::remove_dir_all(&dir))
    }
}

fn check_name(name: &str) -> Result<()> {
    let ok = (1..=40).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if ok { Ok(()) } else { Err(ClusterError::BadName(name.to_owned())) }
}

/// Excludes other omtdbs from `name` until the returned file is dropped; waits for them as long as a server may take.
fn lock(home: &Path, name: &str, programs: &Programs) -> Result<File> {
    check_name(name)?;
    server::make_home(home, programs)?;
    let path = home.join(format!(".{name}.lock"));
    let lock = file("open", &path, File::options().create(true).truncate(false).write(true).open(&path))?;
    for _ in 0..900 {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(std::time::Duration::from_millis(100)),
            Err(fs::TryLockError::Error(error)) => {
                return Err(ClusterError::File { doing: "lock", path, error });
            }
        }
    }
    Err(ClusterError::Busy(name.to_owned()))
}
