//! A cluster for the time of one command.

use super::{Cluster, Result};

/// What becomes of a leased cluster when the lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtEnd {
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
}

impl Lease {
    /// Starts `cluster` unless it runs; stops it at the end only if it was started here.
    ///
    /// # Errors
    /// Those of starting.
    pub fn start(cluster: Cluster) -> Result<Self> {
        let at_end = if cluster.start()? { AtEnd::Stop } else { AtEnd::Leave };
        Ok(Self { cluster, at_end })
    }

    /// Starts `cluster`, which is destroyed at the end.
    ///
    /// # Errors
    /// Those of starting; the cluster is destroyed then too.
    pub fn throw_away(cluster: Cluster) -> Result<Self> {
        let lease = Self { cluster, at_end: AtEnd::Destroy };
        lease.cluster.start()?;
        Ok(lease)
    }

    /// Holds `cluster`, which somebody else starts; it is destroyed at the end.
    #[must_use]
    pub fn hold(cluster: Cluster) -> Self {
        Self { cluster, at_end: AtEnd::Destroy }
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Changes what happens at the end.
    pub fn at_end(&mut self, at_end: AtEnd) {
        self.at_end = at_end;
    }
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
