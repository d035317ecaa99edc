//! Why a cluster cannot be made, run or removed.

use std::io;
use std::path::{Path, PathBuf};

use crate::pg::programs::ProgramsError;

/// Why a cluster cannot be made, run or removed.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A directory is in the way.
    #[error(
        "{dir} exists and was not made by omtdb; it is left alone\n  help: choose another name, or another OMTDB_HOME",
        dir = dir.display()
    )]
    NotOurs {
        /// The directory.
        dir: PathBuf,
    },
    /// There is no such cluster.
    #[error("there is no scratch cluster {name:?} in {home}\n  help: `omtdb cluster list` shows those there are", home = home.display())]
    Unknown {
        /// Its name.
        name: String,
        /// Where it was looked for.
        home: PathBuf,
    },
    /// The name would not make a directory name.
    #[error("{0:?} is not a name for a scratch cluster: use letters, digits, '-' and '_', at most 40")]
    BadName(String),
    /// Its data belongs to another major version than the programs.
    #[error(
        "scratch cluster {name:?} holds data of PostgreSQL {data}, the programs are {programs}\n  help: name matching ones with --pg-bin, or `omtdb cluster destroy {name}`"
    )]
    OtherVersion {
        /// Its name.
        name: String,
        /// Major version of the data.
        data: u32,
        /// Major version of the programs.
        programs: u32,
    },
    /// Its tables are larger than what is in them.
    #[error(
        "scratch cluster {0:?} was grown for `explain --at-scale`: its files hold no rows, and nothing else may work on it\n  help: `omtdb cluster destroy {0}`"
    )]
    Grown(String),
    /// The server does not start; the log's last lines say why.
    #[error("the server of scratch cluster {name:?} does not start:\n{log}")]
    DoesNotStart {
        /// Its name.
        name: String,
        /// The end of its log.
        log: String,
    },
    /// Another omtdb is making, starting or stopping it.
    #[error("another omtdb is busy with scratch cluster {0:?}")]
    Busy(String),
    /// A file or directory cannot be used.
    #[error("cannot {doing} {path}: {error}", path = path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// The system's answer.
        error: io::Error,
    },
    /// The servers' user cannot get to the directory.
    #[error(
        "{closed} is closed to the user that PostgreSQL runs as here, who must get to {home}\n  help: name an open directory with OMTDB_HOME",
        closed = closed.display(), home = home.display()
    )]
    Closed {
        /// Where clusters are to live.
        home: PathBuf,
        /// The directory on the way that may not be passed.
        closed: PathBuf,
    },
    /// A program of PostgreSQL failed.
    #[error(transparent)]
    Programs(#[from] ProgramsError),
}

pub(super) type Result<T, E = ClusterError> = std::result::Result<T, E>;

/// The system's answer, saying what was being done and with what.
pub(crate) fn file<T>(doing: &'static str, path: &Path, result: io::Result<T>) -> Result<T> {
    result.map_err(|error| ClusterError::File { doing, path: path.to_owned(), error })
}
