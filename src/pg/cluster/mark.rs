//! The mark that makes a directory ours.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{ClusterError, file};

const FILE: &str = "cluster.json";

/// Longest path of a Unix socket on Linux, without the final NUL.
const LONGEST_SOCKET_PATH: usize = 107;

/// What `cluster.json` holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mark {
    /// Always `omtdb`.
    made_by: String,
    /// Name of the cluster and of its directory.
    pub name: String,
    /// Major version of its data.
    pub major: u32,
    /// Where its socket goes.
    pub socket_dir: PathBuf,
    /// Whether it is whole; a directory whose mark says otherwise was being made when omtdb ended.
    pub ready: bool,
    /// Whether its files have grown beyond what was written to them: nothing may read them from end to end.
    #[serde(default)]
    pub grown: bool,
}

impl Mark {
    pub(super) fn new(home: &Path, name: &str, major: u32) -> Self {
        Self {
            made_by: "omtdb".to_owned(),
            name: name.to_owned(),
            major,
            socket_dir: socket_dir(&home.join(name)),
            ready: false,
            grown: false,
        }
    }

    /// The mark of `dir`; `None` when there is no directory.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, ClusterError> {
        if !dir.is_dir() || dir.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
            return Ok(None);
        }
        let text = match fs::read_to_string(dir.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ClusterError::NotOurs { dir: dir.to_owned() });
            }
            text => file("read", &dir.join(FILE), text)?,
        };
        match serde_json::from_str::<Self>(&text) {
            Ok(mark) if mark.made_by == "omtdb" => Ok(Some(mark)),
            _ => Err(ClusterError::NotOurs { dir: dir.to_owned() }),
        }
    }

    /// Writes it so that a crash leaves the old or the new one, never half of it.
    pub(super) fn write(&self, dir: &Path) -> Result<(), ClusterError> {
        let path = dir.join(FILE);
        let write = || {
            let mut temporary = tempfile::NamedTempFile::new_in(dir)?;
            serde_json::to_writer_pretty(&mut temporary, self)?;
            temporary.persist(&path).map(|_| ()).map_err(|error| error.error)
        };
        file("write", &path, write())
    }
}

/// The cluster's own directory where the socket's path fits, else a short one under `/tmp`.
fn socket_dir(dir: &Path) -> PathBuf {
    let own = dir.join("socket");
    let longest = own.as_os_str().len() + "/.s.PGSQL.65535.lock".len();
    if longest <= LONGEST_SOCKET_PATH {
        return own;
    }
    let digest = blake3::hash(dir.as_os_str().as_encoded_bytes()).to_hex();
    PathBuf::from(format!("/tmp/omtdb-{}", &digest[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_gets_a_short_socket() {
        assert_eq!(socket_dir(Path::new("/home/a/x")), Path::new("/home/a/x/socket"));
        let long = socket_dir(&Path::new("/").join("d".repeat(120)));
        assert!(long.starts_with("/tmp") && long.as_os_str().len() < 40);
    }
}
