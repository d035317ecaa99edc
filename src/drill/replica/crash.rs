//! The disaster: a network that fails, and then the machine; and what the archive alone would have brought back.

use std::path::Path;
use std::time::Duration;

use super::journal::{Counted, Journal};
use super::pair::{Pair, Side, start};
use crate::backup::wal;
use crate::drill::recovery::Copied;
use crate::pg::cluster::{self, Lease, write_owned};
use crate::pg::error::Doing as _;
use crate::pg::{Session, Target};
use crate::run::Run;

/// Ends the first server's connection to the second for good, and lets `patience` pass: what the second acknowledges meanwhile
/// the first will never see.
pub(super) async fn cut_off(pair: &Pair, patience: Duration) -> anyhow::Result<()> {
    let replica = Session::connect(&pair.target(Side::First), "drill").await?;
    let doing = || "cut the replica off".to_owned();
    for setting in ["primary_conninfo", "restore_command"] {
        replica.batch_execute(&format!("ALTER SYSTEM SET {setting} = ''")).await.doing(doing)?;
    }
    replica.batch_execute("SELECT pg_catalog.pg_reload_conf()").await.doing(doing)?;
    let receivers = "SELECT count(*) FROM pg_catalog.pg_stat_wal_receiver";
    pair.until("the replica is cut off", async || {
        let row = replica.query_one(receivers, &[]).await.doing(doing)?;
        Ok(row.try_get::<_, i64>(0).doing(doing)? == 0)
    })
    .await?;
    replica.close().await;
    tokio::time::sleep(patience).await;
    Ok(())
}

/// Restores the backup with all that was archived, and counts what is there.
pub(super) async fn from_the_archive(run: &Run, pair: &Pair, journal: &Journal) -> anyhow::Result<Counted> {
    let _task = run.task("restore from the archive alone", None, "s");
    let origin = &pair.origin;
    let own = [
        ("restore_command", wal::restore_command(&origin.archive)),
        // The second server's, which was lost; the first has opened one more since.
        ("recovery_target_timeline", (origin.backup.timeline + 1).to_string()),
        ("archive_mode", "off".to_owned()),
        ("autovacuum", "off".to_owned()),
    ];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
    let settings = origin.server.recovery_settings.clone().into_iter().chain(own).collect();
    let (name, programs) = (format!("{}-c", pair.name), pair.site.programs.clone());
    let made = Copied { name: &name, staging: &origin.staging, settings };
    let signal = move |data: &Path| Ok(write_owned(&data.join("recovery.signal"), "", &programs)?);
    let restored = Lease::hold(made.adopt(run, &pair.site, (&origin.repo, &origin.backup), signal).await?);
    start(&restored).await?;
    let target = pair.target(Side::First);
    let socket = restored.cluster().socket_dir();
    let target = Target::socket(socket, cluster::PORT, &origin.server.bootstrap_role, &target.dbname);
    opened(pair, &target).await?;
    journal.count(&target).await
}

/// Waits until the recovery is over: the server answers before.
async fn opened(pair: &Pair, target: &Target) -> anyhow::Result<()> {
    let session = Session::connect(target, "drill").await?;
    let doing = || "ask whether the recovery is over".to_owned();
    pair.until("the archive was replayed", async || {
        let row = session.query_one("SELECT NOT pg_catalog.pg_is_in_recovery()", &[]).await.doing(doing)?;
        Ok(row.try_get::<_, bool>(0).doing(doing)?)
    })
    .await?;
    session.close().await;
    Ok(())
}
