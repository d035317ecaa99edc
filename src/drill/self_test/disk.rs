//! A disk that fills while the log is replayed: a real one, capped, so that nothing else runs out of room.

use std::path::{Path, PathBuf};

use super::matrix::Case;
use super::{Outcome, judged};
use crate::backup::Repo;
use crate::drill::restore::{Drill, Prepared};
use crate::drill::{RestoreDrill, Site};
use crate::pg::cluster::{file, make_home};
use crate::units::Bytes;
use crate::verdict::Verdict;

/// What the copy may use beside the backup: less than the segments that it fetches and writes.
const ROOM: u64 = 20 << 20;

/// A mounted disk; unmounted when it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this process may not mount one.
    fn mount(dir: &Path, size: Bytes) -> anyhow::Result<Option<Self>> {
        file("make", dir, std::fs::create_dir_all(dir))?;
        let disk = Self(dir.to_owned());
        let options = format!("size={},mode=755", size.0);
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir).stderr(std::process::Stdio::null());
        Ok(mount.status().is_ok_and(|status| status.success()).then_some(disk))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .stderr(std::process::Stdio::null())
            .status();
        if let Err(error) = unmounted.and_then(|_| std::fs::remove_dir(&self.0)) {
            tracing::debug!("{} is left: {error}", self.0.display());
        }
    }
}

/// Restores onto a disk that is too small for the log.
pub(super) async fn try_full(
    drill: &Drill<'_>,
    repo: &Repo,
    prepared: &Prepared,
    case: &Case,
) -> anyhow::Result<Outcome> {
    let dir = drill.site.home.join(format!("{}-small", drill.place.cluster_name()));
    let Some(disk) = SmallDisk::mount(&dir, Bytes(prepared.backup.bytes.0 + ROOM))? else {
        return Ok(Outcome {
            verdict: Verdict::Inconclusive,
            detail: "not tried: only root can mount a small disk".to_owned(),
            ..judged(case, Ok(RestoreDrill::default()))
        });
    };
    let site = Site { home: disk.0.join("clusters"), programs: drill.site.programs.clone() };
    make_home(&site.home, &site.programs)?;
    let drilled = drill.restore_on((&site, &disk.0.join("copy")), repo, prepared, None, None).await;
    let mut outcome = judged(case, drilled);
    let left = std::fs::read_dir(&site.home)?.flatten().filter(|entry| entry.path().is_dir()).count();
    if left > 0 {
        outcome.verdict = Verdict::Fail;
        outcome.detail = format!("{} directories are left behind; {}", left, outcome.detail);
    }
    Ok(outcome)
}
