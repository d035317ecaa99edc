//! The copy: a base backup rolled forward to a restore point, in a scratch cluster that can do no harm.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;

use super::Site;
use super::aim::{Aim, Fetches, last_segment};
use super::barrier::Point;
use super::fault::Fault;
use super::markers::{Marker, Markers, Stop};
use crate::backup::{Backup, Repo, Server, wal};
use crate::pg::cluster::{self, Cluster, Lease, Options, Settings, file, make_private_dir, write_owned};
use crate::pg::{Programs, Target};
use crate::run::Run;
use crate::units::Lsn;
use crate::verdict::{Interrupted, UsageError};

/// In the copy's directory: what tells when each segment was fetched.
const FETCH_LOG: &str = "fetched";
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
/// How long a launched server may stay invisible before it counts as dead.
const GRACE: Duration = Duration::from_secs(10);

/// A recovery that reached its target, or died on the way.
pub(super) struct Recovery {
    /// Holds the copy, which goes with it.
    pub(super) lease: Lease,
    pub(super) markers: Markers,
    pub(super) fetches: Fetches,
    /// The log's last lines, for people.
    pub(super) last_words: String,
    /// How long the base backup took to copy.
    pub(super) copied: Duration,
    /// When the server was launched.
    pub(super) launched: Timestamp,
    /// Where it stopped, when, and whether the server still stood there when it was last looked at.
    pub(super) stopped: Option<(Stop, Timestamp)>,
    /// The position of the point: what was replayed beyond it is a record or two.
    pub(super) point: Lsn,
}

/// What a recovery starts from and aims at.
pub(super) struct Order<'a> {
    /// The copy's name.
    pub(super) name: &'a str,
    pub(super) source: &'a Server,
    pub(super) planner: &'a Settings,
    pub(super) repo: &'a Repo,
    /// Where the copy's files are gathered.
    pub(super) staging: &'a Path,
    pub(super) backup: &'a Backup,
    pub(super) point: &'a Point,
    pub(super) aim: Aim,
    /// What is spoilt on purpose.
    pub(super) fault: Option<Fault>,
}

/// Copies the backup and rolls it forward to the point.
///
/// # Errors
/// When the copy cannot be made or the disk is full; [`Interrupted`]. A recovery that fails is a value.
pub(super) async fn recover(run: &Run, site: &Site, order: &Order<'_>) -> anyhow::Result<Recovery> {
    let began = Instant::now();
    let fetch_log = site.home.join(order.name).join(FETCH_LOG);
    let fault = order.fault.clone();
    let programs = site.programs.clone();
    let made =
        Copied { name: order.name, staging: order.staging, settings: settings(site, order, &fetch_log)? };
    let cluster = made
        .adopt(run, site, (order.repo, order.backup), move |data| {
            make_private_dir(&data.with_file_name(FETCH_LOG), &programs)?;
            write_owned(&data.join("recovery.signal"), "", &programs)?;
            fault.map_or(Ok(()), |fault| fault.spoil_files(data))
        })
        .await?;
    let lease = Lease::hold(cluster);
    let (copied, launched) = (began.elapsed(), Timestamp::now());
    lease.cluster().launch()?;
    let log = watch(run, lease.cluster(), order.aim).await?;
    if log.contains("No space left on device") {
        anyhow::bail!(
            "the disk is full: the copy in {} cannot be recovered\n{}",
            site.home.display(),
            tail(&log)
        );
    }
    let markers = Markers::read(&log);
    let stopped = order.aim.has_arrived(&markers).then(|| markers.stopped()).flatten();
    Ok(Recovery {
        stopped: stopped.map(|(stop, at)| (stop.clone(), at)),
        point: order.point.lsn,
        fetches: Fetches::read(&fetch_log),
        last_words: tail(&log),
        lease,
        markers,
        copied,
        launched,
    })
}

/// How the copy differs from any scratch cluster: where it gets the log, where it stops, and nothing of what the source
/// does besides serving: no archiving, no replication, no maintenance.
fn settings(site: &Site, order: &Order<'_>, fetch_log: &Path) -> Result<Settings, UsageError> {
    let Order { source, point, aim, .. } = *order;
    let mut restore = order.repo.restore_command(&site.home.join(order.name).join("data"))?;
    if let Some(last) = last_segment(aim, point, source.wal_segment_bytes) {
        restore = wal::until(&restore, &last);
    }
    let own = [
        ("restore_command", wal::timed(&restore, fetch_log)),
        ("hot_standby", "on".to_owned()),
        ("archive_mode", "off".to_owned()),
        ("max_logical_replication_workers", "0".to_owned()),
        ("autovacuum", "off".to_owned()),
        ("max_wal_size", "1GB".to_owned()),
        ("log_min_messages", "warning".to_owned()),
        ("log_timezone", "UTC".to_owned()),
    ];
    // Triggers at login came with 17, and the setting against them.
    let knows_login = site.programs.version().major() >= 17;
    let quiet = knows_login.then(|| ("event_triggers", "off".to_owned()));
    let own = own.into_iter().chain(quiet).map(|(name, value)| (name.to_owned(), value));
    let spoilt = order.fault.iter().flat_map(|fault| fault.settings(point));
    // A standby refuses to recover with less of these than its primary had.
    let sources = order.planner.clone().into_iter().chain(source.recovery_settings.clone());
    let mut all: Settings = sources.chain(own).chain(aim.settings(point)).chain(spoilt).collect();
    // A fault that takes a target away: PostgreSQL counts an empty one beside another as a second.
    all.retain(|name, value| !(name.starts_with("recovery_target") && value.is_empty()));
    Ok(all)
}

/// A cluster that is to be made of a backup.
pub(super) struct Copied<'a> {
    pub(super) name: &'a str,
    /// Where its files are gathered; nothing is there, and on the file system where the cluster will be.
    pub(super) staging: &'a Path,
    pub(super) settings: Settings,
}

impl Copied<'_> {
    /// Makes it, with nothing of the source's configuration; `finish` has the last word about its data directory.
    pub(super) async fn adopt(
        self,
        run: &Run,
        site: &Site,
        (repo, backup): (&Repo, &Backup),
        finish: impl FnOnce(&Path) -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<Cluster> {
        let (staging, name, site) = (self.staging.to_owned(), self.name.to_owned(), site.clone());
        make_private_dir(&staging, &site.programs)?;
        if let Err(error) = repo.materialize(run, backup, &site.programs, &staging).await {
            file("remove the half-made", &staging, fs::remove_dir_all(&staging))?;
            return Err(error);
        }
        let options = Options { settings: self.settings };
        let adopted = tokio::task::spawn_blocking(move || {
            Cluster::adopt(&site.home, &name, &site.programs, &options, |data| {
                file("move", &staging, fs::rename(&staging, data))?;
                open_to_its_owner(data, &site.programs)?;
                finish(data)
            })
        })
        .await?;
        if self.staging.exists() {
            file("remove the half-made", self.staging, fs::remove_dir_all(self.staging))?;
        }
        adopted
    }
}

/// Takes everything of the source's configuration out of `data`: that could archive, load libraries, listen, or connect to
/// other servers.
fn open_to_its_owner(data: &Path, programs: &Programs) -> anyhow::Result<()> {
    for left_out in ["standby.signal", "recovery.signal", "postmaster.opts", "omtdb.conf"] {
        let path = data.join(left_out);
        if path.exists() {
            file("remove", &path, fs::remove_file(&path))?;
        }
    }
    let files = [
        ("postgresql.conf", ""),
        ("postgresql.auto.conf", ""),
        ("pg_ident.conf", ""),
        // The socket stands in a directory that only its owner may enter.
        ("pg_hba.conf", "local all,replication all trust\n"),
    ];
    for (name, contents) in files {
        write_owned(&data.join(name), contents, programs)?;
    }
    Ok(())
}

/// Waits until the server arrived where it was sent and answers, or is gone; returns its log.
async fn watch(run: &Run, cluster: &Cluster, aim: Aim) -> anyhow::Result<String> {
    let task = run.task("recover", None, "segments");
    let (log_path, launched) = (cluster.log_path(), Instant::now());
    let (mut seen, mut restored) = (false, 0);
    loop {
        let runs = cluster.is_running();
        // Read after looking for the process: what it said before it went is then in the log.
        let log = read_log(&log_path)?;
        let markers = Markers::read(&log);
        task.advance((markers.restored() - restored) as u64);
        restored = markers.restored();
        // One that opened instead of pausing had no hot standby to pause in: too many subtransactions, for one.
        let missed = markers.fatal().is_some() || (aim.pauses() && markers.at(&Marker::Opened).is_some());
        if aim.has_arrived(&markers) || missed {
            return Ok(log);
        }
        if !runs && (seen || markers.fatal().is_some() || launched.elapsed() > GRACE) {
            return Ok(log);
        }
        seen |= runs;
        tokio::select! {
            () = tokio::time::sleep(BETWEEN_LOOKS) => {}
            () = run.interrupt.cancelled() => return Err(Interrupted.into()),
        }
    }
}

fn read_log(path: &PathBuf) -> anyhow::Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// The last lines of a server's log.
pub(super) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(6)..].join("\n")
}

/// What roles and databases of the source are set to is in the copy's catalog, and must not rule the proof.
const OWN_OPTIONS: &str = "-c statement_timeout=0 -c lock_timeout=0 -c idle_session_timeout=0 \
                           -c idle_in_transaction_session_timeout=0 -c default_transaction_read_only=off \
                           -c session_preload_libraries= -c local_preload_libraries= -c role=none";

impl Recovery {
    /// How to reach the copy: as the superuser that `initdb` made, who is there whatever the source's roles are.
    pub(super) fn target(&self, source: &Server, dbname: &str) -> Target {
        let socket = self.lease.cluster().socket_dir();
        let target = Target::socket(socket, cluster::PORT, &source.bootstrap_role, dbname);
        Target { options: Some(OWN_OPTIONS.to_owned()), ..target }
    }
}
