//! A drill's own place on disk: `.drill-<id>` beside the scratch clusters, and the cluster `drill-<id>` that holds the
//! copy. The place is locked while the drill lives, so the next drill knows which ones were killed, and clears them away.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use uuid::Uuid;

use super::Site;
use crate::backup::Store;
use crate::pg::cluster::{ClusterError, file, make_home};
use crate::pg::{Cluster, leftovers};
use crate::units::Bytes;

const PREFIX: &str = ".drill-";

/// A drill's place; gone when it is dropped.
pub(super) struct Workspace {
    pub(super) id: Uuid,
    dir: PathBuf,
}

impl Workspace {
    /// Clears away what killed drills left, and makes a place for this one, with room for a base backup and an
    /// archive. The place counts as in use as long as the store lives.
    pub(super) fn make(site: &Site) -> anyhow::Result<(Self, Store)> {
        make_home(&site.home, &site.programs)?;
        // Between a store's mark and its lock another drill would take it for a killed one.
        let path = site.home.join(".drill.lock");
        let gate = file("open", &path, File::create(&path))?;
        file("lock", &path, gate.lock())?;
        sweep(site)?;
        let id = Uuid::new_v4();
        let dir = site.home.join(format!("{PREFIX}{}", short(id)));
        let workspace = Self { id, dir };
        let store = Store::make(&workspace.dir, &site.programs)?;
        Ok((workspace, store))
    }

    /// Its directory, which is that of the store that it was made with.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the files of a copy are gathered, before they are a cluster's.
    pub(super) fn staging(&self) -> PathBuf {
        self.dir.join("copy")
    }

    /// Name of the cluster that holds the copy.
    pub(super) fn cluster_name(&self) -> String {
        format!("drill-{}", short(self.id))
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.dir) {
            tracing::warn!("{error}; it is left behind");
        }
    }
}

/// Removes a drill's directory, and the files that locked its clusters: their names are never used again.
fn remove(dir: &Path) -> Result<(), ClusterError> {
    let (Some(home), Some(name)) = (dir.parent(), dir.file_name().and_then(|name| name.to_str())) else {
        return Ok(());
    };
    for entry in file("list", home, fs::read_dir(home))? {
        let path = file("list", home, entry)?.path();
        let is_its = |other: &str| other.starts_with(name) && other.ends_with(".lock");
        if path.file_name().and_then(|other| other.to_str()).is_some_and(is_its) {
            file("remove", &path, fs::remove_file(&path))?;
        }
    }
    file("remove", dir, fs::remove_dir_all(dir))
}

fn short(id: Uuid) -> String {
    id.simple().to_string()[..12].to_owned()
}

fn sweep(site: &Site) -> anyhow::Result<()> {
    for entry in file("list", &site.home, fs::read_dir(&site.home))? {
        let name = file("list", &site.home, entry)?.file_name().to_string_lossy().into_owned();
        let Some(id) = name.strip_prefix(PREFIX) else { continue };
        let dir = site.home.join(&name);
        // Killed before it was marked.
        if fs::remove_dir(&dir).is_ok() {
            continue;
        }
        // One that is locked belongs to a drill under way.
        let Ok(store) = Store::open(&dir, &site.programs) else { continue };
        tracing::info!("clearing away what a killed drill left: {}", dir.display());
        leftovers::end(&dir)?;
        for cluster in clusters_of(site, id)? {
            Cluster::remove_leftover(&site.home, &cluster, &site.programs)
                .with_context(|| format!("clear away what the killed drill {id} left"))?;
        }
        // Its own drill may have been just about to.
        if let Err(error) = remove(store.dir()) {
            tracing::warn!("{error}; it is left behind");
        }
    }
    Ok(())
}

/// Names of the clusters of the drill `id`: a drill of replicas has several.
fn clusters_of(site: &Site, id: &str) -> anyhow::Result<Vec<String>> {
    let prefix = format!("drill-{id}");
    let mut names = vec![prefix.clone()];
    for entry in file("list", &site.home, fs::read_dir(&site.home))? {
        let name = file("list", &site.home, entry)?.file_name().to_string_lossy().into_owned();
        names.extend((name.starts_with(&prefix) && name != prefix).then_some(name));
    }
    Ok(names)
}

/// Fails unless the file system of `home` has room for `need`.
pub(super) fn check_room(home: &Path, need: Bytes) -> anyhow::Result<()> {
    let stat = nix::sys::statvfs::statvfs(home)
        .with_context(|| format!("ask how much room there is in {}", home.display()))?;
    let free = Bytes(stat.blocks_available() * stat.fragment_size());
    if free >= need {
        return Ok(());
    }
    anyhow::bail!(
        "the disk of {} has {free} left; the drill needs about {need}\n  help: free some, or name another disk with \
         OMTDB_HOME",
        home.display()
    )
}
