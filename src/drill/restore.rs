//! `drill restore`, step by step.

use std::ops::ControlFlow;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use super::aim::Aim;
use super::alter::Alteration;
use super::barrier::{self, LockBy, Marked, Wanted};
use super::fault::Fault;
use super::findings::{Findings, Level, inconclusive};
use super::fingerprint::Fingerprint;
use super::grants::Rights;
use super::patient;
use super::prove::{Copy, plans_of};
use super::receiver::Receiver;
use super::recovery::{Order, recover};
use super::relation::Relation;
use super::sentinel::{Sentinels, Side};
use super::workspace::{Workspace, check_room};
use super::{BackupFrom, Mark, Options, RestoreDrill, Site};
use crate::backup::wal::Segment;
use crate::backup::{self, ARCHIVE_PATIENCE, Backup, Durability, Repo, Server, Store};
use crate::evidence::sha256;
use crate::explain::Explained;
use crate::explain::scale::planner_settings;
use crate::pg::cluster::Settings;
use crate::pg::error::Doing as _;
use crate::pg::{Session, Target};
use crate::run::Run;
use crate::units::Bytes;
use crate::verdict::UsageError;

/// Writes on either side of the restore point, beside those during the base backup.
const SENTINELS: usize = 20;
/// Between two writes while the base backup is taken.
const HEARTBEAT: Duration = Duration::from_millis(50);
/// Room for the log that recovery brings back and writes, twice its `max_wal_size`, beside the data.
const WAL_ROOM: u64 = 2 << 30;

/// Restores a backup of `source` to an exact point, in a scratch cluster on `site`, and proves what came back.
///
/// With [`BackupFrom::Dir`] or [`BackupFrom::Stanza`] the newest backup there is restored from its archive, which the server must feed.
/// Otherwise a base backup is taken and the log received for the time of the drill. `source` keeps the table `omtdb.drill_sentinel`,
/// emptied; writers to it wait while the restore point is made, DDL on the proven tables until the comparison is over.
///
/// # Errors
/// When the drill cannot be run: a role that may not, another server's backups, a full disk. What it finds is a value.
pub async fn restore(
    run: &Run,
    source: &Target,
    site: &Site,
    options: &Options,
) -> anyhow::Result<RestoreDrill> {
    let Some((mut drill, store)) = Drill::begin(run, source, site, options).await? else {
        return Ok(inconclusive("there is no table of the plan's schemas to prove".to_owned()));
    };
    let drilled = drill.all(store).await;
    // What was proven is proven: the next drill sweeps them up.
    if let Err(error) = drill.sentinels.forget().await {
        tracing::warn!("{error}");
    }
    drilled
}

fn check(server: &Server, session: &Session, site: &Site) -> Result<(), UsageError> {
    server.check_backup(session, &site.programs)?;
    if server.in_recovery {
        return Err(UsageError(
            "the server is a standby; a drill marks a restore point on the primary".to_owned(),
        ));
    }
    Ok(())
}

/// A drill under way.
pub(super) struct Drill<'a> {
    pub(super) run: &'a Run,
    pub(super) source: &'a Target,
    pub(super) site: &'a Site,
    pub(super) options: &'a Options,
    pub(super) server: Server,
    /// What the source's planner goes by, and so the copy's.
    pub(super) planner: Settings,
    session: Session,
    lock_by: LockBy,
    pub(super) relations: Vec<Relation>,
    pub(super) place: Workspace,
    pub(super) sentinels: Sentinels,
}

/// The source's side: a backup from before the point, the point, and what the tables held at it.
pub(super) struct Prepared {
    pub(super) backup: Backup,
    pub(super) marked: Marked,
    pub(super) content: Fingerprint,
    /// The scenarios' plans; where there are none, why.
    pub(super) plans: Result<Explained, String>,
    /// Whether pages have checksums.
    pub(super) has_checksums: bool,
}

/// What a step leads to: the next one, or the drill's early end.
type Step<T> = anyhow::Result<ControlFlow<Box<RestoreDrill>, T>>;

impl<'a> Drill<'a> {
    /// Looks whether `source` can be drilled, and makes room; `None` when there is nothing to prove.
    pub(super) async fn begin(
        run: &'a Run,
        source: &'a Target,
        site: &'a Site,
        options: &'a Options,
    ) -> anyhow::Result<Option<(Self, Store)>> {
        let session = patient::connect(source).await?;
        let server = Server::ask(&session).await?;
        check(&server, &session, site)?;
        let planner = planner_settings(source).await?;
        let lock_by = Rights::ask(&session).await?.lock_by()?;
        let relations = Relation::all(&session).await?;
        if !relations.iter().any(|relation| relation.is_leaf) {
            return Ok(None);
        }
        let (place, store) = Workspace::make(site)?;
        let sentinels = Sentinels::begin(source, place.id).await?;
        Ok(Some((
            Self {
                run,
                source,
                site,
                options,
                server,
                planner,
                session,
                lock_by,
                relations,
                place,
                sentinels,
            },
            store,
        )))
    }

    /// Whether `level` is to be looked at; says so where not.
    pub(super) fn looks_at(&self, level: Level, findings: &mut Findings) -> bool {
        let wanted = !self.options.left_out.contains(&level);
        if !wanted {
            findings.leave_out(level, "not asked for".to_owned());
        }
        wanted
    }

    /// `store` is the drill's own, for a backup of its own.
    async fn all(&mut self, store: Store) -> anyhow::Result<RestoreDrill> {
        let (prepared, repo) = match &self.options.from {
            BackupFrom::Source => self.with_receiver(store).await?,
            BackupFrom::Dir(dir) => {
                let given = Repo::Store(Store::open(dir, &self.site.programs)?);
                (self.with_archive(&given).await?, given)
            }
            BackupFrom::Stanza(stanza) => {
                let given = Repo::Stanza(stanza.clone());
                (self.with_archive(&given).await?, given)
            }
        };
        match prepared {
            ControlFlow::Continue(prepared) => {
                let drilled = self.restore(&repo, &prepared, self.options.sabotage, None).await;
                prepared.marked.holder.close().await;
                drilled
            }
            ControlFlow::Break(ended) => Ok(*ended),
        }
    }

    /// The newest backup of `repo`, whose archive the server feeds.
    async fn with_archive(&mut self, repo: &Repo) -> Step<Prepared> {
        let backup = repo.newest(self.run, &self.server).await?;
        // An incremental backup is small, and what is made of its chain is not.
        check_room(&self.site.home, Bytes(backup.bytes.0.max(self.server.data_bytes) + WAL_ROOM))?;
        let marked = self.mark(repo, backup).await?;
        self.read_source(marked).await
    }

    /// A base backup and the log after it, for this drill alone, in the drill's own `store`.
    pub(super) async fn with_receiver(
        &mut self,
        store: Store,
    ) -> anyhow::Result<(ControlFlow<Box<RestoreDrill>, Prepared>, Repo)> {
        check_room(&self.site.home, Bytes(2 * self.server.data_bytes + WAL_ROOM))?;
        let (from, slot) = ((self.source, &self.session), format!("omtdb_drill_{}", self.place.id.simple()));
        let mut receiver = Receiver::start(self.run, from, &self.site.programs, &store, slot).await?;
        let marked = tokio::select! {
            marked = self.back_up_and_mark(store) => marked,
            said = receiver.ended() => said.and_then(|said| anyhow::bail!("pg_receivewal ended early: {said}")),
        };
        // Before the source is read, which may take hours: the slot keeps the log meanwhile.
        receiver.stop(&self.session).await?;
        let (marked, repo) = marked?;
        Ok((self.read_source(marked).await?, repo))
    }

    async fn back_up_and_mark(
        &mut self,
        mut store: Store,
    ) -> anyhow::Result<(ControlFlow<Box<RestoreDrill>, (Backup, Marked)>, Repo)> {
        let backup = self.back_up(&mut store).await?;
        let repo = Repo::Store(store);
        Ok((self.mark(&repo, backup).await?, repo))
    }

    /// What the source holds at the point.
    async fn read_source(
        &mut self,
        marked: ControlFlow<Box<RestoreDrill>, (Backup, Marked)>,
    ) -> Step<Prepared> {
        let (backup, mut marked) = match marked {
            ControlFlow::Continue(marked) => marked,
            ControlFlow::Break(ended) => return Ok(ControlFlow::Break(ended)),
        };
        self.relations = std::mem::take(&mut marked.relations);
        let plans = plans_of(self).await?;
        let content = marked.state.fingerprint(self.run, &self.relations, "fingerprint the source").await?;
        let has_checksums = self.server.has_checksums;
        Ok(ControlFlow::Continue(Prepared { backup, marked, content, plans, has_checksums }))
    }

    /// Takes a base backup while sentinels are written: what is written meanwhile must come back from the log.
    async fn back_up(&mut self, store: &mut Store) -> anyhow::Result<Backup> {
        let (run, target, programs) = (self.run, self.source, &self.site.programs);
        let mut taken = pin!(backup::take(run, target, programs, &self.server, store, Durability::Transient));
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        loop {
            tokio::select! {
                backup = &mut taken => return backup,
                _ = heartbeat.tick() => self.sentinels.write(Side::Before).await?,
            }
        }
    }

    /// Writes, the exact point, writes; returns once all of that is in the archive.
    async fn mark(&mut self, repo: &Repo, backup: Backup) -> Step<(Backup, Marked)> {
        for _ in 0..SENTINELS {
            self.sentinels.write(Side::Before).await?;
        }
        let across = self.sentinels.open_across(self.source).await?;
        let wanted = Wanted {
            name: &format!("drill-{}", self.place.id),
            relations: &self.relations,
            lock_by: self.lock_by,
            end_segment: self.options.aim == Aim::Latest,
            patience: self.options.lock_patience,
        };
        let Some(marked) = barrier::reach(self.run, self.source, &wanted, &mut self.sentinels).await? else {
            let why = format!(
                "no moment without writers within {} s: some transaction holds a lock that the barrier waits for",
                wanted.patience.as_secs()
            );
            return Ok(ControlFlow::Break(Box::new(inconclusive(why))));
        };
        let doing = || "write a sentinel across the restore point".to_owned();
        across.batch_execute("COMMIT").await.doing(doing)?;
        across.close().await;
        for _ in 0..SENTINELS {
            self.sentinels.write(Side::After).await?;
        }
        let end = barrier::switch_segment(&self.session).await?;
        let bytes = self.server.wal_segment_bytes;
        let last = Segment::ending_at(marked.point.timeline, end, bytes);
        if repo.wait_for(self.run, last, bytes, ARCHIVE_PATIENCE).await? {
            return Ok(ControlFlow::Continue((backup, marked)));
        }
        let why = format!(
            "segment {} has not reached the archive of {} within {} s: what was written since cannot be restored (does \
             the server's archive_command feed it? Its log says why not)",
            last.name(bytes),
            repo.name(),
            ARCHIVE_PATIENCE.as_secs()
        );
        Ok(ControlFlow::Break(Box::new(Findings::default().failed(
            why,
            &Fingerprint::default(),
            &self.sentinels.journal,
        ))))
    }

    /// Restores the backup from `repo`, and proves it; with a row or something else spoilt on purpose.
    pub(super) async fn restore(
        &self,
        repo: &Repo,
        prepared: &Prepared,
        alteration: Option<Alteration>,
        fault: Option<Fault>,
    ) -> anyhow::Result<RestoreDrill> {
        let staging = self.place.staging();
        self.restore_on((self.site, &staging), repo, prepared, alteration, fault).await
    }

    /// The same, with the copy elsewhere.
    pub(super) async fn restore_on(
        &self,
        (site, staging): (&Site, &Path),
        repo: &Repo,
        prepared: &Prepared,
        alteration: Option<Alteration>,
        fault: Option<Fault>,
    ) -> anyhow::Result<RestoreDrill> {
        let mut findings = Findings::default();
        let (backup, point, aim) = (&prepared.backup, &prepared.marked.point, self.options.aim);
        let checked = repo.check(self.run, backup, &self.site.programs).await?;
        findings.level(Level::Manifest, (checked.ok, checked.detail));
        let manifest_digest = repo.manifest(backup).map(|bytes| sha256(&bytes));
        let name = &self.place.cluster_name();
        let planner = &self.planner;
        let source = &self.server;
        let order = Order { name, source, planner, repo, staging, backup, point, aim, fault };
        let recovery = recover(self.run, site, &order).await?;
        if findings.recovered(&recovery, backup) {
            Copy::new(self, &recovery, prepared).prove(alteration, &mut findings).await?;
        }
        let marked = Mark {
            name: point.name.clone(),
            lsn: point.lsn,
            timeline: point.timeline,
            system_identifier: self.server.system_identifier.clone(),
            held_ms: u64::try_from(point.held.as_millis()).unwrap_or(u64::MAX),
            backup: backup.label.clone(),
            manifest_digest,
        };
        let drilled = findings.conclude(&prepared.content, &self.sentinels.journal);
        Ok(RestoreDrill { aim, marked: Some(marked), ..drilled })
    }
}
