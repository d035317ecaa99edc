//! Clusters that belong to one process: whoever comes after a killed one clears away what it left.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::server::make_home;
use super::{Cluster, Result, file};
use crate::pg::programs::Programs;

const SUFFIX: &str = ".owner";

/// Says that the process which made a cluster lives: a lock on a file, which the kernel takes back however it ends. A
/// process number would not do, since numbers are used again.
#[derive(Debug)]
pub(super) struct Owner {
    path: PathBuf,
    _lock: File,
}

impl Owner {
    /// Clears away what killed owners of `purpose` left under `home`, then owns a name of this process's own.
    pub(super) fn take(home: &Path, purpose: &str, programs: &Programs) -> Result<(Self, String)> {
        make_home(home, programs)?;
        // Between an owner's file and its lock another process would take it for a killed one's.
        let path = home.join(".owners.lock");
        let gate = file("open", &path, File::create(&path))?;
        file("lock", &path, gate.lock())?;
        sweep(home, purpose, programs)?;
        let name = format!("{purpose}-{}", std::process::id());
        let path = home.join(format!(".{name}{SUFFIX}"));
        let lock = file("open", &path, File::create(&path))?;
        file("lock", &path, lock.lock())?;
        Ok((Self { path, _lock: lock }, name))
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!("{} is left behind: {error}", self.path.display());
        }
    }
}

fn sweep(home: &Path, purpose: &str, programs: &Programs) -> Result<()> {
    for entry in file("list", home, fs::read_dir(home))? {
        let path = file("list", home, entry)?.path();
        let Some(name) = owned(&path, purpose) else { continue };
        let lock = match File::open(&path) {
            // Its owner has gone meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            lock => file("open", &path, lock)?,
        };
        if lock.try_lock().is_err() {
            continue;
        }
        tracing::info!("clearing away scratch cluster {name:?}, whose omtdb was killed");
        let removed = Cluster::remove_leftover(home, &name, programs);
        // One that cannot be removed is no reason to do nothing any more.
        match removed.and_then(|()| file("remove", &path, fs::remove_file(&path))) {
            Ok(()) => {}
            Err(error) => tracing::warn!("scratch cluster {name:?} is left behind: {error}"),
        }
    }
    Ok(())
}

/// The cluster that an owner's file is about, where it serves `purpose`: `gate-17` for `.gate-17.owner`.
fn owned(path: &Path, purpose: &str) -> Option<String> {
    let name = path.file_name()?.to_str()?.strip_prefix('.')?.strip_suffix(SUFFIX)?;
    name.strip_prefix(purpose)?.strip_prefix('-')?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_owners_of_the_purpose_are_looked_at() {
        let owned = |name| owned(&Path::new("/home").join(name), "gate");
        assert_eq!(owned(".gate-17.owner").as_deref(), Some("gate-17"));
        for other in [".gate-17.lock", "gate-17", ".drill-17.owner", ".gateway-1.owner", ".owners.lock"] {
            assert_eq!(owned(other), None, "{other}");
        }
    }
}
