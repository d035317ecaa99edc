//! Another drill's timeline in the archive: a copy that was opened with archiving left on, which no drill of ours does.

use super::matrix::Case;
use super::{Outcome, judged};
use crate::backup::ARCHIVE_PATIENCE;
use std::path::Path;

use crate::backup::wal::{Segment, archive_command};
use crate::backup::{Repo, Store};
use crate::drill::aim::Aim;
use crate::drill::fault::Fault;
use crate::drill::recovery::{Order, recover};
use crate::drill::restore::{Drill, Prepared};
use crate::pg::Session;
use crate::pg::error::Doing as _;

/// The timeline that a copy of the first one opens.
const SECOND: u32 = 2;
/// Fills and ends a segment.
const WRITE: &str = "DROP TABLE IF EXISTS branch; CREATE TABLE branch (); SELECT pg_catalog.pg_switch_wal()";

/// Opens a copy at the end of the backup, before the point, and has it archive beside its source; then restores along the
/// timeline that it left.
pub(super) async fn try_left(
    drill: &Drill<'_>,
    store: Store,
    prepared: &Prepared,
    case: &Case,
) -> anyhow::Result<Outcome> {
    let archive = store.archive();
    let repo = Repo::Store(store);
    leave(drill, (&repo, &archive), prepared).await?;
    let drilled = drill.restore(&repo, prepared, None, Some(Fault::Timeline(SECOND))).await;
    Ok(judged(case, drilled))
}

async fn leave(
    drill: &Drill<'_>,
    (repo, archive): (&Repo, &Path),
    prepared: &Prepared,
) -> anyhow::Result<()> {
    let (backup, point) = (&prepared.backup, &prepared.marked.point);
    let fault = Some(Fault::Branch { at: backup.end_lsn, archive_command: archive_command(archive) });
    let name = format!("{}-branch", drill.place.cluster_name());
    let aim = Aim::RestorePoint;
    let order = Order {
        name: &name,
        source: &drill.server,
        planner: &drill.planner,
        repo,
        staging: &drill.place.staging(),
        backup,
        point,
        aim,
        fault,
    };
    let recovery = recover(drill.run, drill.site, &order).await?;
    if recovery.stopped.is_none() {
        anyhow::bail!("the copy that was to leave a timeline does not start: {}", recovery.last_words);
    }
    let cluster = recovery.lease.cluster().clone();
    tokio::task::spawn_blocking(move || cluster.promote()).await??;
    let session = Session::connect(&recovery.target(&drill.server, &drill.source.dbname), "drill").await?;
    let bytes = backup.wal_segment_bytes;
    let last = Segment { timeline: SECOND, ..Segment::ending_at(point.timeline, point.lsn, bytes) };
    for _ in Segment::ending_at(backup.timeline, backup.end_lsn, bytes).number..=last.number {
        session.batch_execute(WRITE).await.doing(|| "write on the other timeline".to_owned())?;
    }
    session.close().await;
    if !repo.wait_for(drill.run, last, bytes, ARCHIVE_PATIENCE).await? {
        anyhow::bail!("the copy that was to leave a timeline archived nothing: {}", recovery.last_words);
    }
    Ok(())
}
