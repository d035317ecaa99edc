//! A cluster for the time of one command.

use std::fs;
use std::path::Path;

use nix::sys::statvfs::statvfs;

use super::owner::Owner;
use super::{Cluster, Options, Result};
use crate::pg::programs::Programs;
use crate::units::Bytes;

/// With less than two segments of the write-ahead log a server may not be able to go on.
const ROOM: Bytes = Bytes(32 << 20);

/// What becomes of a leased cluster when the lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AtEnd {
    /// It stays as it is: somebody else started it.
    Leave,
    /// Its server stops; its data stays.
    Stop,
    /// It goes.
    Destroy,
}

/// A started cluster that is stopped or destroyed when the lease is dropped, also by an error or an interrupt: who
/// starts a server stops it.
#[derive(Debug)]
pub struct Lease {
    cluster: Cluster,
    at_end: AtEnd,
    /// Bytes that the server's log had before.
    log_from: usize,
    _owner: Option<Owner>,
}

impl Lease {
    fn new(cluster: Cluster, at_end: AtEnd, owner: Option<Owner>) -> Self {
        let log_from = fs::read(cluster.log_path()).map_or(0, |log| log.len());
        Self { cluster, at_end, log_from, _owner: owner }
    }

    /// Starts `cluster` unless it runs; stops it at the end only if it was started here.
    ///
    /// # Errors
    /// Those of starting.
    pub fn start(cluster: Cluster) -> Result<Self> {
        let mut lease = Self::new(cluster, AtEnd::Leave, None);
        if lease.cluster.start()? {
            lease.at_end = AtEnd::Stop;
        }
        Ok(lease)
    }

    /// Starts `cluster`, which is destroyed at the end.
    ///
    /// # Errors
    /// Those of starting; the cluster is destroyed then too.
    pub fn throw_away(cluster: Cluster) -> Result<Self> {
        let lease = Self::new(cluster, AtEnd::Destroy, None);
        lease.cluster.start()?;
        Ok(lease)
    }

    /// Makes and starts a cluster `<purpose>-<pid>` of this process alone, destroyed at the end; should this process be
    /// killed, the next that asks for one of the same purpose clears it away.
    ///
    /// # Errors
    /// Those of making and starting.
    pub fn private(home: &Path, purpose: &str, programs: &Programs) -> Result<Self> {
        let (owner, name) = Owner::take(home, purpose, programs)?;
        let cluster = match Cluster::make(home, &name, programs, &Options::default()) {
            Ok(cluster) => cluster,
            Err(error) => {
                // Half made, it would never be looked for again.
                if let Err(left) = Cluster::remove_leftover(home, &name, programs) {
                    tracing::warn!("scratch cluster {name:?} is left behind: {left}");
                }
                return Err(error);
            }
        };
        let lease = Self::new(cluster, AtEnd::Destroy, Some(owner));
        lease.cluster.start()?;
        Ok(lease)
    }

    /// Holds `cluster`, which somebody else starts; it is destroyed at the end.
    #[must_use]
    pub fn hold(cluster: Cluster) -> Self {
        Self::new(cluster, AtEnd::Destroy, None)
    }

    /// Ends the lease and leaves the cluster as it is.
    #[must_use]
    pub fn keep(mut self) -> Cluster {
        self.at_end = AtEnd::Leave;
        self.cluster.clone()
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Why the server went down by itself during the lease; sessions only see their connection close. `None` where nothing
    /// speaks for it.
    #[must_use]
    pub fn why_down(&self) -> Option<String> {
        let log = fs::read(self.cluster.log_path()).unwrap_or_default();
        panic_in(&String::from_utf8_lossy(log.get(self.log_from..)?)).or_else(|| self.no_room())
    }

    /// A disk too full for the server's log cannot hold its last words either.
    fn no_room(&self) -> Option<String> {
        let disk = statvfs(&self.cluster.dir()).ok()?;
        let free = Bytes(disk.blocks_available() * disk.fragment_size());
        (free < ROOM).then(|| format!("No space left on device: {free} free"))
    }
}

/// The message of the first PANIC in a server's log, behind our `log_line_prefix`.
fn panic_in(log: &str) -> Option<String> {
    log.lines().find_map(|line| Some(line.split_once("] PANIC:  ")?.1.to_owned()))
}

impl Drop for Lease {
    fn drop(&mut self) {
        let ended = match self.at_end {
            AtEnd::Leave => Ok(()),
            AtEnd::Stop => self.cluster.stop(true),
            AtEnd::Destroy => self.cluster.destroy(),
        };
        if let Err(error) = ended {
            tracing::warn!("scratch cluster {:?} is left behind: {error}", self.cluster.name());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_found_and_nothing_else() {
        let full = "could not write to file \"pg_wal/xlogtemp.12\": No space left on device";
        let log =
            format!("2026-01-01 00:00:00 UTC [7] LOG:  ready\n2026-01-01 00:00:01 UTC [12] PANIC:  {full}\n");
        assert_eq!(panic_in(&log).as_deref(), Some(full));
        assert_eq!(panic_in("2026-01-01 00:00:00 UTC [7] ERROR:  relation \"PANIC:  x\" is unknown\n"), None);
    }
}
