//! The proof of a restored copy, level by level.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Options;
use super::alter::{Alteration, alter};
use super::barrier::Marked;
use super::findings::{Findings, Level, Seen};
use super::fingerprint::{Fingerprint, State, trace};
use super::recovery::Recovery;
use super::relation::Relation;
use super::restore::{Drill, Prepared};
use super::{logical, physical, sentinel};
use crate::explain::against::{PlanChange, changes};
use crate::explain::{self, Explained, Modes};
use crate::pg::error::Doing as _;
use crate::pg::{PgError, Session, Target};
use crate::run::Run;
use crate::units::Lsn;
use crate::verdict::{Interrupted, UsageError};

/// Values that scenarios are planned with; any do, the same on both sides.
const SEED: u64 = 42;

/// The source's plans of the scenarios; where there are none, why.
pub(super) async fn plans_of(drill: &Drill<'_>) -> anyhow::Result<Result<Explained, String>> {
    let Options { scenarios, left_out, .. } = drill.options;
    if scenarios.is_empty() || left_out.contains(&Level::Service) {
        return Ok(Err("not asked for".to_owned()));
    }
    match explain::planned(drill.run, drill.source, scenarios, Modes::Promised, SEED).await {
        Ok(plans) if plans.ops.is_empty() => Ok(Err("the role may plan no statement".to_owned())),
        Ok(plans) => Ok(Ok(plans)),
        Err(error) if error.is::<UsageError>() => Ok(Err(format!("values cannot be drawn: {error}"))),
        Err(error) => Err(error),
    }
}

/// The restored copy, stopped where it was to stop, and answering.
pub(super) struct Copy<'a> {
    drill: &'a Drill<'a>,
    recovery: &'a Recovery,
    prepared: &'a Prepared,
    target: Target,
}

impl<'a> Copy<'a> {
    pub(super) fn new(drill: &'a Drill<'a>, recovery: &'a Recovery, prepared: &'a Prepared) -> Self {
        let target = recovery.target(&drill.server, &drill.source.dbname);
        Self { drill, recovery, prepared, target }
    }

    /// Proves each level that is asked for. A copy that refuses to be read is a finding, not an error.
    pub(super) async fn prove(
        &self,
        alteration: Option<Alteration>,
        findings: &mut Findings,
    ) -> anyhow::Result<()> {
        let Some(session) = found(findings, Level::Starts, self.open().await)? else { return Ok(()) };
        let answered = Timestamp::now();
        let point = self.point(&session, findings).await;
        found(findings, Level::RightPoint, point)?;
        let writes = self.writes(&session, findings).await;
        found(findings, Level::Sentinels, writes)?;
        if let Some(alteration) = alteration {
            self.promote().await?;
            let altered = self.alter(&session, alteration).await?;
            findings.spoilt(format!("sabotage: {altered}"));
        }
        let content = self.content(&session, findings).await;
        let content = found(findings, Level::Content, content)?;
        self.rules(findings).await?;
        if alteration.is_none() {
            self.promote().await?;
        }
        self.plans(findings).await?;
        self.pages(&session, findings).await?;
        findings.proven(answered, Timestamp::now());
        if let Some(content) = content {
            let noticed = self.notices_a_deletion(&session, &content).await;
            let noticed = found(findings, Level::SelfTest, noticed)?;
            noticed.into_iter().for_each(|seen| findings.level(Level::SelfTest, seen));
        }
        session.close().await;
        self.checksums(findings).await
    }

    async fn open(&self) -> anyhow::Result<Session> {
        Ok(Session::connect(&self.target, "drill").await?)
    }

    /// Whether it stands at the point, and is a copy of this server.
    async fn point(&self, session: &Session, findings: &mut Findings) -> anyhow::Result<()> {
        let drill = self.drill;
        let standing = Standing::ask(drill.run, session, drill.options.aim.pauses()).await?;
        if let Some((_, stopped)) = &self.recovery.stopped {
            findings.first_query(*stopped, Timestamp::now());
        }
        findings.level(Level::RightPoint, self.judge_point(&standing));
        Ok(())
    }

    /// Whether it has the writes it must have. A copy from before the first of them has not even their table.
    async fn writes(&self, session: &Session, findings: &mut Findings) -> anyhow::Result<()> {
        let found = sentinel::read(session, self.drill.place.id).await?;
        findings.sentinels(&self.drill.sentinels.journal, &found);
        Ok(())
    }

    fn judge_point(&self, standing: &Standing) -> Seen {
        let (point, aim) = (&self.prepared.marked.point, self.drill.options.aim);
        let stop = self.recovery.stopped.as_ref().map(|(stop, _)| stop);
        let ok = stop.is_some_and(|stop| aim.is_met(point, stop, standing.replayed))
            && standing.paused == aim.pauses()
            && standing.system_identifier == self.drill.server.system_identifier;
        let at = standing.replayed.map_or_else(|| "nowhere".to_owned(), |lsn| lsn.to_string());
        let detail = format!(
            "replayed to {at} on timeline {}, aimed at {}; writers waited {} ms for it",
            point.timeline,
            aim.describe(point),
            point.held.as_millis()
        );
        (ok, detail)
    }

    async fn alter(&self, session: &Session, alteration: Alteration) -> anyhow::Result<String> {
        let relations = Relation::all(session).await?;
        let altered =
            alter(session, &relations, &self.prepared.content, self.drill.place.id, alteration).await?;
        let what = alteration.what();
        Ok(altered.map_or_else(
            || "nothing, for no row can be".to_owned(),
            |leaf| format!("{what} in {}", leaf.label()),
        ))
    }

    fn state(&self) -> State {
        State { target: self.target.clone(), snapshot: None }
    }

    /// Every row against the source's.
    async fn content(&self, session: &Session, findings: &mut Findings) -> anyhow::Result<Fingerprint> {
        let (drill, Marked { state: source, .. }) = (self.drill, &self.prepared.marked);
        let relations = Relation::all(session).await?;
        let began = Instant::now();
        let content = self.state().fingerprint(drill.run, &relations, "fingerprint the copy").await?;
        let took = began.elapsed();
        let difference = self.prepared.content.difference(&content);
        let rows = trace(source, &self.state(), &drill.relations, &difference).await?;
        findings.content(&self.prepared.content, (&content, took), difference.into_keys().collect(), rows);
        Ok(content)
    }

    async fn rules(&self, findings: &mut Findings) -> anyhow::Result<()> {
        if !self.drill.looks_at(Level::Logical, findings) {
            return Ok(());
        }
        let checked = async {
            let session = self.open().await?;
            let checked = logical::check(self.drill.run, &session).await?;
            session.close().await;
            Ok(checked)
        };
        let checked = found(findings, Level::Logical, checked.await)?;
        checked.into_iter().for_each(|seen| findings.level(Level::Logical, seen));
        Ok(())
    }

    /// The scenarios' plans against those of the source.
    async fn plans(&self, findings: &mut Findings) -> anyhow::Result<()> {
        let plans = match &self.prepared.plans {
            Ok(plans) => plans,
            Err(why) => {
                findings.leave_out(Level::Service, why.clone());
                return Ok(());
            }
        };
        let scenarios = &self.drill.options.scenarios;
        let copys = explain::planned(self.drill.run, &self.target, scenarios, Modes::Promised, SEED).await;
        let Some(copys) = found(findings, Level::Service, copys)? else { return Ok(()) };
        let others = changes(plans, &copys);
        let held = format!("{} plans of {} scenarios are the source's", plans.ops.len(), scenarios.len());
        let other = |change: &PlanChange| {
            format!(
                "{} of {} ({}) has another plan:\n{}",
                change.op, change.scenario, change.mode, change.diff
            )
        };
        let detail =
            if others.is_empty() { held } else { others.iter().map(other).collect::<Vec<_>>().join("\n") };
        findings.level(Level::Service, (others.is_empty(), detail));
        Ok(())
    }

    /// Tables and indexes, page by page.
    async fn pages(&self, session: &Session, findings: &mut Findings) -> anyhow::Result<()> {
        if !self.drill.looks_at(Level::Physical, findings) {
            return Ok(());
        }
        let cluster = self.recovery.lease.cluster();
        let available = physical::is_available(session, cluster).await;
        match found(findings, Level::Physical, available)? {
            Some(true) => {
                let checked = physical::amcheck(self.drill.run, cluster, &self.target).await?;
                findings.level(Level::Physical, checked);
            }
            Some(false) => {
                findings.leave_out(Level::Physical, "these programs come without amcheck".to_owned())
            }
            None => {}
        }
        Ok(())
    }

    /// Closes the copy, and looks at the checksum of every page.
    async fn checksums(&self, findings: &mut Findings) -> anyhow::Result<()> {
        let cluster = self.recovery.lease.cluster().clone();
        if !self.prepared.has_checksums || !self.drill.looks_at(Level::Physical, findings) {
            return Ok(());
        }
        let stopped = {
            let cluster = cluster.clone();
            tokio::task::spawn_blocking(move || cluster.stop(true)).await?
        };
        if let Err(error) = stopped {
            findings.level(Level::Physical, (false, format!("the copy does not stop cleanly: {error}")));
            return Ok(());
        }
        findings.level(Level::Physical, physical::checksums(self.drill.run, &cluster).await?);
        Ok(())
    }

    /// Ends the pause; a recovery to the latest state has none.
    async fn promote(&self) -> anyhow::Result<()> {
        if !self.drill.options.aim.pauses() {
            return Ok(());
        }
        let _task = self.drill.run.task("promote the copy", None, "s");
        let cluster = self.recovery.lease.cluster().clone();
        Ok(tokio::task::spawn_blocking(move || cluster.promote()).await??)
    }

    /// Deletes one row of the copy and looks whether the fingerprint sees it.
    async fn notices_a_deletion(&self, session: &Session, content: &Fingerprint) -> anyhow::Result<Seen> {
        let seed = self.drill.place.id;
        let relations = Relation::all(session).await?;
        let Some(leaf) = alter(session, &relations, content, seed, Alteration::DeleteRow).await? else {
            return Ok((false, "there is no row to change".to_owned()));
        };
        let only = std::slice::from_ref(&leaf);
        let altered = self.state().fingerprint(self.drill.run, only, "fingerprint the altered leaf").await?;
        let label = leaf.label();
        let noticed = altered.difference(&content.only(&label)).contains_key(&label);
        let how = if noticed { "was noticed" } else { "was NOT noticed" };
        Ok((noticed, format!("a row deleted from the copy's {label} {how}")))
    }
}

/// What was found; where the copy refused, that is the finding for `level`. An interrupt, a wrong usage and a full disk say
/// nothing about the copy.
fn found<T>(findings: &mut Findings, level: Level, outcome: anyhow::Result<T>) -> anyhow::Result<Option<T>> {
    let error = match outcome {
        Ok(value) => return Ok(Some(value)),
        Err(error) => error,
    };
    let text = format!("{error:#}");
    let is_copys =
        error.is::<PgError>() && !error.is::<Interrupted>() && !text.contains("No space left on device");
    if !is_copys {
        return Err(error);
    }
    findings.level(level, (false, text));
    Ok(None)
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
    async fn ask(run: &Run, session: &Session, pauses: bool) -> anyhow::Result<Self> {
        let asked = Instant::now();
        loop {
            let standing = Self::once(session).await.doing(|| "ask where the copy stands".to_owned())?;
            if standing.paused == pauses || asked.elapsed() > PAUSE_PATIENCE {
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
