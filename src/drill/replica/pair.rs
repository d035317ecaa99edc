//! Two servers of the drill's own, of which one follows the other, and the archive that both feed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::backup::{Backup, Repo, Server, wal};
use crate::drill::Site;
use crate::drill::recovery::{Copied, tail};
use crate::pg::cluster::{self, Cluster, Lease, Options, Settings, write_owned};
use crate::pg::error::Doing as _;
use crate::pg::{Session, Target, tools};
use crate::run::Run;
use crate::units::Lsn;

const BETWEEN_LOOKS: Duration = Duration::from_millis(5);
/// How long a replica may take to catch up.
const PATIENCE: Duration = Duration::from_secs(60);
const AUTO_CONF: &str = "postgresql.auto.conf";
/// Both speak to the other as this, which `synchronous_standby_names` takes for any.
const FOLLOWER: &str = "omtdb_drill";

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    First,
    Second,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// What the pair is made of.
pub(super) struct Origin {
    pub(super) repo: Repo,
    pub(super) backup: Backup,
    /// Where files of a server are gathered.
    pub(super) staging: PathBuf,
    /// What both servers feed.
    pub(super) archive: PathBuf,
    /// The server that the backup is of.
    pub(super) server: Server,
}

/// The two servers. They go with it, unless they are kept.
pub(super) struct Pair {
    pub(super) site: Site,
    pub(super) name: String,
    pub(super) origin: Origin,
    dbname: String,
    first: Lease,
    second: Option<Lease>,
    synchronous: bool,
}

impl Pair {
    /// Makes the first server from a backup, and starts it as a primary.
    pub(super) async fn make(
        run: &Run,
        site: &Site,
        name: String,
        origin: Origin,
        dbname: &str,
        synchronous: bool,
    ) -> anyhow::Result<Self> {
        let settings = settings(&origin.server, &origin.archive);
        let made = Copied { name: &format!("{name}-a"), staging: &origin.staging, settings };
        let cluster = made.adopt(run, site, (&origin.repo, &origin.backup), |_| Ok(())).await?;
        let first = Lease::hold(cluster);
        start(&first).await?;
        let (site, dbname) = (site.clone(), dbname.to_owned());
        Ok(Self { site, name, origin, dbname, first, second: None, synchronous })
    }

    /// Makes the second server from a base backup of `of`, and lets it follow.
    pub(super) async fn build_replica(&mut self, run: &Run, of: Side) -> anyhow::Result<()> {
        self.second = None;
        let (site, name) = (self.site.clone(), format!("{}-b", self.name));
        let from = self.target(of);
        let options = Options { settings: self.following(of) };
        let cluster = {
            let run = run.clone();
            tokio::task::spawn_blocking(move || {
                Cluster::adopt(&site.home, &name, &site.programs, &options, |data| {
                    let mut command = tools::command(&site.programs, "pg_basebackup", &from);
                    command.arg("--pgdata").arg(data).args([
                        "--checkpoint=fast",
                        "--no-sync",
                        "--no-password",
                    ]);
                    let taken = tools::run(&run, command, |_| false);
                    tokio::runtime::Handle::current().block_on(taken).context("build the replica")?;
                    // What the other was told with ALTER SYSTEM is not meant for this one.
                    write_owned(&data.join(AUTO_CONF), "", &site.programs)?;
                    Ok::<_, anyhow::Error>(write_owned(&data.join("standby.signal"), "", &site.programs)?)
                })
            })
            .await??
        };
        let second = Lease::hold(cluster);
        start(&second).await?;
        self.second = Some(second);
        self.wait_until_even(run, of).await?;
        if self.synchronous {
            self.wait_for_commits(of).await?;
        }
        Ok(())
    }

    /// Makes commits on `primary` wait for the other.
    async fn wait_for_commits(&self, primary: Side) -> anyhow::Result<()> {
        let session = Session::connect(&self.target(primary), "drill").await?;
        let doing = || "let commits wait for the replica".to_owned();
        let wait = format!("ALTER SYSTEM SET synchronous_standby_names = '{FOLLOWER}'");
        session.batch_execute(&wait).await.doing(doing)?;
        session.batch_execute("SELECT pg_catalog.pg_reload_conf()").await.doing(doing)?;
        let known = "SELECT count(*) FROM pg_catalog.pg_stat_replication WHERE sync_state = 'sync'";
        self.until("the replica is waited for", async || {
            let row = session.query_one(known, &[]).await.doing(doing)?;
            Ok(row.try_get::<_, i64>(0).doing(doing)? > 0)
        })
        .await?;
        session.close().await;
        Ok(())
    }

    fn following(&self, of: Side) -> Settings {
        let socket = self.lease(of).map(|lease| lease.cluster().socket_dir().display().to_string());
        let conninfo = format!(
            "host={} port={} user={} application_name={FOLLOWER}",
            socket.unwrap_or_default(),
            cluster::PORT,
            self.origin.server.bootstrap_role
        );
        let own = [
            ("primary_conninfo".to_owned(), conninfo),
            ("recovery_target_timeline".to_owned(), "latest".to_owned()),
        ];
        settings(&self.origin.server, &self.origin.archive).into_iter().chain(own).collect()
    }

    pub(super) fn lease(&self, side: Side) -> anyhow::Result<&Lease> {
        match side {
            Side::First => Ok(&self.first),
            Side::Second => self.second.as_ref().context("there is no second server"),
        }
    }

    fn cluster(&self, side: Side) -> anyhow::Result<Cluster> {
        Ok(self.lease(side)?.cluster().clone())
    }

    pub(super) fn target(&self, side: Side) -> Target {
        let lease = if side == Side::First { Some(&self.first) } else { self.second.as_ref() };
        let socket = lease.map_or_else(Default::default, |lease| lease.cluster().socket_dir().to_owned());
        Target::socket(&socket, cluster::PORT, &self.origin.server.bootstrap_role, &self.dbname)
    }

    pub(super) async fn stop(&self, side: Side) -> anyhow::Result<()> {
        let cluster = self.cluster(side)?;
        Ok(tokio::task::spawn_blocking(move || cluster.stop(true)).await??)
    }

    pub(super) async fn crash(&self, side: Side) -> anyhow::Result<()> {
        let cluster = self.cluster(side)?;
        Ok(tokio::task::spawn_blocking(move || cluster.crash()).await??)
    }

    pub(super) async fn promote(&self, side: Side) -> anyhow::Result<()> {
        let cluster = self.cluster(side)?;
        Ok(tokio::task::spawn_blocking(move || cluster.promote()).await??)
    }

    /// Lets `side`, which is stopped, follow the other.
    pub(super) async fn follow(&self, side: Side) -> anyhow::Result<()> {
        let (cluster, following) = (self.cluster(side)?, self.following(side.other()));
        let data = cluster.data_dir();
        write_owned(&data.join(AUTO_CONF), "", &self.site.programs)?;
        write_owned(&data.join("standby.signal"), "", &self.site.programs)?;
        tokio::task::spawn_blocking(move || cluster.restart_with(&following)).await??;
        if self.synchronous {
            self.wait_for_commits(side.other()).await?;
        }
        Ok(())
    }

    /// After the first server was stopped in order: waits until the second has replayed its last record.
    pub(super) async fn wait_for_shutdown_record(&self) -> anyhow::Result<()> {
        let cluster = self.cluster(Side::First)?;
        let mut command = cluster.programs().command("pg_controldata");
        let output =
            command.arg("--pgdata").arg(cluster.data_dir()).output().context("run pg_controldata")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let facts: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once(':')).collect();
        let last = facts.get("Latest checkpoint location").context("pg_controldata names no checkpoint")?;
        self.until_replayed(Side::Second, last.trim().parse::<Lsn>()?.0 + 1).await
    }

    /// Waits until the other server has replayed all that `primary` has written so far.
    pub(super) async fn wait_until_even(&self, run: &Run, primary: Side) -> anyhow::Result<()> {
        run.check()?;
        let session = Session::connect(&self.target(primary), "drill").await?;
        let position = "SELECT (pg_catalog.pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint";
        let row = session.query_one(position, &[]).await;
        let at: i64 = row.and_then(|row| row.try_get(0)).doing(|| "ask how far the log is".to_owned())?;
        session.close().await;
        self.until_replayed(primary.other(), at.unsigned_abs()).await
    }

    async fn until_replayed(&self, side: Side, position: u64) -> anyhow::Result<()> {
        let target = self.target(side);
        let replayed = "SELECT coalesce(pg_catalog.pg_last_wal_replay_lsn() - '0/0'::pg_lsn, 0)::bigint";
        self.until("the replica has caught up", async || {
            let Ok(session) = Session::connect(&target, "drill").await else { return Ok(false) };
            let row = session.query_one(replayed, &[]).await.and_then(|row| row.try_get::<_, i64>(0));
            session.close().await;
            Ok(row.is_ok_and(|at| at.unsigned_abs() >= position))
        })
        .await
    }

    pub(super) async fn until(
        &self,
        what: &str,
        mut is_so: impl AsyncFnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        while !is_so().await? {
            if began.elapsed() > PATIENCE {
                anyhow::bail!("{} s were not enough until {what}\n{}", PATIENCE.as_secs(), self.last_words());
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        Ok(())
    }

    /// What both servers said last.
    fn last_words(&self) -> String {
        let leases = std::iter::once(&self.first).chain(&self.second);
        let words = leases.map(|lease| {
            let log = fs::read(lease.cluster().log_path()).unwrap_or_default();
            format!("{}:\n{}", lease.cluster().name(), tail(&String::from_utf8_lossy(&log)))
        });
        words.collect::<Vec<_>>().join("\n")
    }

    /// Leaves both servers running, without the archive, which goes; returns their URLs.
    pub(super) async fn keep(self) -> anyhow::Result<Vec<String>> {
        let alone = [
            "ALTER SYSTEM SET archive_command = '/bin/true'",
            "ALTER SYSTEM SET restore_command = ''",
            "SELECT pg_catalog.pg_reload_conf()",
        ];
        for side in [Side::First, Side::Second] {
            let session = Session::connect(&self.target(side), "drill").await?;
            for sql in alone {
                session.batch_execute(sql).await.doing(|| "do without the archive".to_owned())?;
            }
            session.close().await;
        }
        let dbname = self.dbname;
        Ok(std::iter::once(self.first).chain(self.second).map(|lease| lease.keep().url(&dbname)).collect())
    }
}

pub(super) async fn start(lease: &Lease) -> anyhow::Result<()> {
    let cluster = lease.cluster().clone();
    tokio::task::spawn_blocking(move || cluster.start()).await??;
    Ok(())
}

/// What both have in common. Commits are flushed: an acknowledgement that the primary's own disk would lose says nothing about
/// the replica.
fn settings(server: &Server, archive: &Path) -> Settings {
    let own = [
        ("wal_level", "replica".to_owned()),
        ("fsync", "on".to_owned()),
        ("synchronous_commit", "on".to_owned()),
        // A rewind needs to know of every page that changed, and the log since the two parted.
        ("wal_log_hints", "on".to_owned()),
        ("full_page_writes", "on".to_owned()),
        ("wal_keep_size", "1GB".to_owned()),
        ("max_wal_senders", "10".to_owned()),
        ("hot_standby", "on".to_owned()),
        ("archive_mode", "on".to_owned()),
        ("archive_command", wal::archive_command(archive)),
        ("restore_command", wal::restore_command(archive)),
        ("max_logical_replication_workers", "0".to_owned()),
        ("log_timezone", "UTC".to_owned()),
    ];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
    server.recovery_settings.clone().into_iter().chain(own).collect()
}
