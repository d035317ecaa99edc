//! `drill restore`, step by step.

use std::ops::ControlFlow;
use std::pin::pin;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::alter::{Alteration, alter};
use super::barrier::{self, Point};
use super::findings::{Findings, Level, inconclusive};
use super::fingerprint::{Fingerprint, State, trace};
use super::receiver::Receiver;
use super::recovery::{Recovery, recover};
use super::relation::Relation;
use super::sentinel::{self, Sentinels, Side};
use super::workspace::{Workspace, check_room};
use super::{Options, RestoreDrill, Site};
use crate::backup::wal::Segment;
use crate::backup::{self, ARCHIVE_PATIENCE, Backup, Durability, Server, Store, check_same_server};
use crate::pg::error::Doing as _;
use crate::pg::{Session, Target};
use crate::run::Run;
use crate::units::{Bytes, Lsn};
use crate::verdict::UsageError;

/// Writes on either side of the restore point, beside those during the base backup.
const SENTINELS: usize = 20;
/// Between two writes while the base backup is taken.
const HEARTBEAT: Duration = Duration::from_millis(50);
/// Room for segments that recovery brings back, beside the data.
const WAL_ROOM: u64 = 512 << 20;

/// Restores a backup of `source` to an exact point, in a scratch cluster on `site`, and proves what came back.
///
/// With [`Options::dir`] the newest backup there is restored from the archive there, which the server must feed. Without,
/// a base backup is taken and the log received for the time of the drill. `source` keeps the table `omtdb.drill_sentinel`,
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
    let session = Session::connect(source, "drill").await?;
    let patience = "SET idle_session_timeout = 0; SET statement_timeout = 0";
    session.batch_execute(patience).await.doing(|| "prepare the drill's session".to_owned())?;
    let server = Server::ask(&session).await?;
    check(&server, &session, site)?;
    let relations = Relation::all(&session).await?;
    if !relations.iter().any(|relation| relation.is_leaf) {
        return Ok(inconclusive("there is no table of the plan's schemas to prove".to_owned()));
    }
    let (place, store) = Workspace::make(site)?;
    let sentinels = Sentinels::begin(source, place.id).await?;
    let mut drill = Drill { run, source, site, options, server, session, relations, place, sentinels };
    let drilled = drill.all(store).await;
    let forgotten = drill.sentinels.forget().await;
    let drilled = drilled?;
    forgotten?;
    Ok(drilled)
}

fn check(server: &Server, session: &Session, site: &Site) -> Result<(), UsageError> {
    server.check_backup(session, &site.programs)?;
    if server.in_recovery {
        return Err(UsageError(
            "the server is a standby; a drill marks a restore point on the primary".to_owned(),
        ));
    }
    if !server.is_superuser {
        return Err(UsageError(
            "the drill needs a superuser: it locks tables, makes a restore point and ends a segment of the log"
                .to_owned(),
        ));
    }
    Ok(())
}

struct Drill<'a> {
    run: &'a Run,
    source: &'a Target,
    site: &'a Site,
    options: &'a Options,
    server: Server,
    session: Session,
    relations: Vec<Relation>,
    place: Workspace,
    sentinels: Sentinels,
}

/// The source's side: a backup from before the point, the point, and what the tables held at it.
struct Prepared {
    backup: Backup,
    point: Point,
    content: Fingerprint,
}

/// What a step leads to: the next one, or the drill's early end.
type Step<T> = anyhow::Result<ControlFlow<Box<RestoreDrill>, T>>;

impl Drill<'_> {
    /// `store` is the drill's own, for a backup of its own.
    async fn all(&mut self, mut store: Store) -> anyhow::Result<RestoreDrill> {
        let prepared = match &self.options.dir {
            Some(dir) => {
                let given = Store::open(dir, &self.site.programs)?;
                (self.with_archive(&given).await?, given)
            }
            None => (self.with_receiver(&mut store).await?, store),
        };
        match prepared {
            (ControlFlow::Continue(prepared), store) => self.restore(&store, prepared).await,
            (ControlFlow::Break(ended), _) => Ok(*ended),
        }
    }

    /// The newest backup of `store`, whose archive the server feeds.
    async fn with_archive(&mut self, store: &Store) -> Step<Prepared> {
        check_same_server(store, &self.server)?;
        let no_backup = || UsageError(format!("{} holds no backup yet", store.dir().display()));
        let backup = store.backups().last().cloned().ok_or_else(no_backup)?;
        check_room(&self.site.home, Bytes(backup.bytes.0 + WAL_ROOM))?;
        self.mark(store, backup).await
    }

    /// A base backup and the log after it, for this drill alone.
    async fn with_receiver(&mut self, store: &mut Store) -> Step<Prepared> {
        check_room(&self.site.home, Bytes(2 * self.server.data_bytes + WAL_ROOM))?;
        let (from, slot) = ((self.source, &self.session), format!("omtdb_drill_{}", self.place.id.simple()));
        let mut receiver = Receiver::start(self.run, from, &self.site.programs, store, slot).await?;
        let prepared = tokio::select! {
            prepared = self.back_up_and_mark(store) => prepared,
            said = receiver.ended() => said.and_then(|said| anyhow::bail!("pg_receivewal ended early: {said}")),
        };
        receiver.stop(&self.session).await?;
        prepared
    }

    async fn back_up_and_mark(&mut self, store: &mut Store) -> Step<Prepared> {
        let backup = self.back_up(store).await?;
        self.mark(store, backup).await
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

    /// Writes, the exact point, writes; returns once all of that is in the archive and the source's content is known.
    async fn mark(&mut self, store: &Store, backup: Backup) -> Step<Prepared> {
        for _ in 0..SENTINELS {
            self.sentinels.write(Side::Before).await?;
        }
        let across = self.sentinels.open_across(self.source).await?;
        let name = format!("drill-{}", self.place.id);
        let patience = self.options.lock_patience;
        let Some(point) = barrier::reach(self.run, self.source, &self.relations, &name, patience).await?
        else {
            let why = format!(
                "no moment without writers within {} s: some transaction holds a lock that the barrier waits for",
                patience.as_secs()
            );
            return Ok(ControlFlow::Break(Box::new(inconclusive(why))));
        };
        across
            .batch_execute("COMMIT")
            .await
            .doing(|| "write a sentinel across the restore point".to_owned())?;
        across.close().await;
        for _ in 0..SENTINELS {
            self.sentinels.write(Side::After).await?;
        }
        let end = barrier::switch_segment(&self.session).await?;
        let content = point.state.fingerprint(self.run, &self.relations, "fingerprint the source").await?;
        let bytes = self.server.wal_segment_bytes;
        let last = Segment::ending_at(point.timeline, end, bytes);
        if store.wait_for(self.run, last, bytes, ARCHIVE_PATIENCE).await? {
            return Ok(ControlFlow::Continue(Prepared { backup, point, content }));
        }
        let why = format!(
            "segment {} has not reached {} within {} s: what was written since cannot be restored (does the \
             server's archive_command feed it? Its log says why not)",
            last.name(bytes),
            store.archive().display(),
            ARCHIVE_PATIENCE.as_secs()
        );
        Ok(ControlFlow::Break(Box::new(Findings::default().failed(why, &content, &self.sentinels.journal))))
    }

    async fn restore(&self, store: &Store, prepared: Prepared) -> anyhow::Result<RestoreDrill> {
        let mut findings = Findings::default();
        let checked = backup::check(self.run, store, &prepared.backup, &self.site.programs).await?;
        findings.level(Level::Manifest, checked.ok, checked.detail);
        let (name, from) = (self.place.cluster_name(), (store, &prepared.backup));
        let recovery = recover(self.run, self.site, &name, &self.server, from, &prepared.point).await?;
        findings.recovered(&recovery);
        if recovery.markers.stopped_at().is_some() {
            let copy = Copy { drill: self, recovery: &recovery, prepared: &prepared };
            copy.prove(&mut findings).await?;
        }
        prepared.point.holder.close().await;
        Ok(findings.conclude(&prepared.content, &self.sentinels.journal))
    }
}

/// The restored copy, stopped at a restore point and answering.
struct Copy<'a> {
    drill: &'a Drill<'a>,
    recovery: &'a Recovery,
    prepared: &'a Prepared,
}

impl Copy<'_> {
    async fn prove(&self, findings: &mut Findings) -> anyhow::Result<()> {
        let drill = self.drill;
        let target = self.recovery.target(&drill.server, &drill.source.dbname);
        let session = Session::connect(&target, "drill").await?;
        let found = sentinel::read(&session, drill.place.id).await?;
        let answered = Timestamp::now();
        findings.first_query(self.recovery, answered);
        let (ok, detail) = self.judge_point(&Standing::ask(drill.run, &session).await?);
        findings.level(Level::RightPoint, ok, detail);
        findings.sentinels(&drill.sentinels.journal, &found);

        let (relations, state) = (Relation::all(&session).await?, State { target, snapshot: None });
        let mut writable = false;
        if let Some(alteration) = drill.options.sabotage {
            self.promote().await?;
            writable = true;
            let altered =
                alter(&session, &relations, &self.prepared.content, drill.place.id, alteration).await?;
            let leaf = altered.map_or_else(|| "nothing: no row can be".to_owned(), |leaf| leaf.label());
            findings.spoilt(format!("sabotage: one row of the copy was changed in {leaf}"));
        }
        let content = state.fingerprint(drill.run, &relations, "fingerprint the copy").await?;
        let difference = self.prepared.content.difference(&content);
        let rows = trace(&self.prepared.point.state, &state, &drill.relations, &difference).await?;
        findings.content(&self.prepared.content, &content, difference.into_keys().collect(), rows);
        findings.proven(answered, Timestamp::now());

        if !writable {
            self.promote().await?;
        }
        let noticed = self.self_test(&session, &relations, &state, &content).await?;
        findings.level(Level::SelfTest, noticed.is_ok(), noticed.unwrap_or_else(|why| why));
        session.close().await;
        Ok(())
    }

    /// Whether the copy stands exactly at the restore point, and is a copy of this server.
    fn judge_point(&self, standing: &Standing) -> (bool, String) {
        let (point, server) = (&self.prepared.point, &self.drill.server);
        let named = self.recovery.markers.stopped_at().is_some_and(|(name, _)| name == point.name);
        let ok = named
            && standing.replayed == Some(point.lsn)
            && standing.paused
            && standing.system_identifier == server.system_identifier;
        let at = standing.replayed.map_or_else(|| "nowhere".to_owned(), |lsn| lsn.to_string());
        let detail = format!(
            "stopped at {at} on timeline {}, the restore point is at {}; writers waited {} ms for it",
            point.timeline,
            point.lsn,
            point.held.as_millis()
        );
        (ok, detail)
    }

    async fn promote(&self) -> anyhow::Result<()> {
        let _task = self.drill.run.task("promote the copy", None, "s");
        let cluster = self.recovery.lease.cluster().clone();
        Ok(tokio::task::spawn_blocking(move || cluster.promote()).await??)
    }

    /// Deletes one row of the copy and looks whether the fingerprint sees it.
    async fn self_test(
        &self,
        session: &Session,
        relations: &[Relation],
        state: &State,
        content: &Fingerprint,
    ) -> anyhow::Result<Result<String, String>> {
        let seed = self.drill.place.id;
        let Some(leaf) = alter(session, relations, content, seed, Alteration::DeleteRow).await? else {
            return Ok(Err("there is no row to change".to_owned()));
        };
        let only = std::slice::from_ref(&leaf);
        let altered = state.fingerprint(self.drill.run, only, "fingerprint the altered leaf").await?;
        let label = leaf.label();
        Ok(if altered.difference(&content.only(&label)).contains_key(&label) {
            Ok(format!("a row deleted from the copy's {label} was noticed"))
        } else {
            Err(format!("a row deleted from the copy's {label} was NOT noticed"))
        })
    }
}

/// Where a recovering server stands.
struct Standing {
    replayed: Option<Lsn>,
    paused: bool,
    system_identifier: String,
}

/// How long a server may take from announcing its stop to standing still.
const PAUSE_PATIENCE: Duration = Duration::from_secs(10);

impl Standing {
    async fn ask(run: &Run, session: &Session) -> anyhow::Result<Self> {
        let asked = Instant::now();
        loop {
            let standing = Self::once(session).await.doing(|| "ask where the copy stands".to_owned())?;
            if standing.paused || asked.elapsed() > PAUSE_PATIENCE {
                return Ok(standing);
            }
            run.check()?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn once(session: &Session) -> Result<Self, tokio_postgres::Error> {
        let row = session.query_one(include_str!("standing.sql"), &[]).await?;
        let replayed: Option<String> = row.try_get("replayed")?;
        Ok(Self {
            replayed: replayed.and_then(|lsn| lsn.parse().ok()),
            paused: row.try_get("paused")?,
            system_identifier: row.try_get("system_identifier")?,
        })
    }
}
