//! `drill replica`: a pair of servers of its own, made from a backup, that is switched over, broken and mended again.
//!
//! What clients were told is kept outside of the servers (`journal`); what the surviving server has is held against it.
//! The source is only read: it gives the base backup.

mod crash;
mod journal;
mod lag;
mod load;
mod pair;
mod rejoin;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

pub use self::journal::Counted;
use self::journal::Journal;
pub use self::lag::Lag;
use self::load::Load;
use self::pair::{Origin, Pair, Side};
pub use self::rejoin::{Means, Rejoin};
use super::fingerprint::State;
use super::relation::Relation;
use super::workspace::{Workspace, check_room};
use super::{RtoPhase, Site};
use crate::backup::{self, Durability, Repo, Server};
use crate::pg::{Session, Target};
use crate::run::Run;
use crate::units::Bytes;
use crate::verdict::{Interrupted, Verdict};

/// What a replica drill is to do.
#[derive(Debug, Clone)]
pub struct ReplicaOptions {
    /// Whether a commit waits for the replica.
    pub synchronous: bool,
    /// Sessions that write.
    pub writers: u32,
    /// How long they write before each disaster.
    pub load: Duration,
    /// How long the replica is cut off before the primary is lost.
    pub cut_off: Duration,
    /// Ends the rewind of the lost primary half way: what comes then must not be believed.
    pub interrupt_rewind: bool,
    /// Where every write and its answer is noted, line by line.
    pub journal: Option<PathBuf>,
    /// Leaves the two servers running, for somebody to look at.
    pub keep: bool,
}

impl Default for ReplicaOptions {
    fn default() -> Self {
        Self {
            synchronous: false,
            writers: 4,
            load: Duration::from_secs(3),
            cut_off: Duration::from_millis(500),
            interrupt_rewind: false,
            journal: None,
            keep: false,
        }
    }
}

/// What a replica drill found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplicaDrill {
    /// `Pass` when nothing was lost that must not be, and both servers hold the same in the end.
    pub verdict: Verdict,
    /// Why it is not a pass.
    pub reasons: Vec<String>,
    /// Whether commits waited for the replica.
    pub synchronous: bool,
    /// What took how long.
    pub phases: Vec<RtoPhase>,
    /// How far the replica was behind, under load.
    pub lag: Lag,
    /// The clean switchover: nothing may be lost.
    pub switchover: Counted,
    /// The crash: with synchronous commits nothing may be lost.
    pub crash: Counted,
    /// What would have come back from the archive alone.
    pub archive_only: Counted,
    /// Acknowledged writes that the crash took along.
    pub lost_acks: u64,
    /// How the lost primary came back.
    pub rejoin: Rejoin,
    /// Digests of the content of both servers in the end.
    pub content: Vec<String>,
    /// The URLs of servers that were left running.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<String>,
}

/// Makes a pair of servers from a backup of `source`, and drills them.
///
/// # Errors
/// When the backup or a server cannot be made; [`Interrupted`]. What it finds is a value.
pub async fn replica(
    run: &Run,
    source: &Target,
    site: &Site,
    options: &ReplicaOptions,
) -> anyhow::Result<ReplicaDrill> {
    let session = Session::connect(source, "drill").await?;
    let server = Server::ask(&session).await?;
    server.check_backup(&session, &site.programs)?;
    session.close().await;
    let (place, mut store) = Workspace::make(site)?;
    // The backup, two servers, and a third for the archive's sake.
    check_room(&site.home, Bytes(4 * server.data_bytes + (1 << 30)))?;
    let base = backup::take(run, source, &site.programs, &server, &mut store, Durability::Transient).await?;
    let mut clock = Clock::default();
    clock.start();
    let archive = store.archive();
    let staging = place.staging();
    let origin = Origin { repo: Repo::Store(store), backup: base, staging, archive, server };
    let mut pair =
        Pair::make(run, site, place.cluster_name(), origin, &source.dbname, options.synchronous).await?;
    clock.lap("primary from the backup");
    pair.build_replica(run, Side::First).await?;
    clock.lap("replica built");
    let mut drill = Drill { run, options, pair, journal: Journal::open(options.journal.as_deref())?, clock };
    let found = drill.all().await?;
    if options.keep {
        return Ok(ReplicaDrill { kept: drill.pair.keep().await?, ..found });
    }
    Ok(found)
}

/// Takes the time from one step to the next.
#[derive(Default)]
struct Clock {
    last: Option<Instant>,
    phases: Vec<RtoPhase>,
}

impl Clock {
    /// Begins without a phase.
    fn start(&mut self) {
        self.last = Some(Instant::now());
    }

    fn lap(&mut self, phase: &str) {
        let now = Instant::now();
        let seconds = self.last.map_or(0.0, |last| (now - last).as_secs_f64());
        if self.last.is_some() {
            self.phases.push(RtoPhase { phase: phase.to_owned(), seconds });
        }
        self.last = Some(now);
    }
}

struct Drill<'a> {
    run: &'a Run,
    options: &'a ReplicaOptions,
    pair: Pair,
    journal: Journal,
    clock: Clock,
}

impl Drill<'_> {
    async fn all(&mut self) -> anyhow::Result<ReplicaDrill> {
        load::prepare(&self.pair.target(Side::First)).await?;
        let lag = self.lag().await?;
        let switchover = self.switch_over().await?;
        let (crash, archive_only) = self.crash().await?;
        let rejoin = self.rejoin().await?;
        let content = self.content().await?;
        let reasons = self.judge(&switchover, &crash, &content);
        Ok(ReplicaDrill {
            verdict: Verdict::from_ok(reasons.is_empty()),
            reasons,
            synchronous: self.options.synchronous,
            phases: std::mem::take(&mut self.clock.phases),
            lag,
            switchover,
            lost_acks: crash.lost,
            crash,
            archive_only,
            rejoin,
            content,
            kept: Vec::new(),
        })
    }

    fn begin_load(&self, on: Side) -> anyhow::Result<Load> {
        let Self { pair, journal, options, .. } = self;
        Load::begin(&pair.target(on), journal, options.writers).context("begin to write")
    }

    /// Lets the writers write for a while.
    async fn write_on(&self) -> Result<(), Interrupted> {
        tokio::select! {
            () = tokio::time::sleep(self.options.load) => Ok(()),
            () = self.run.interrupt.cancelled() => Err(Interrupted),
        }
    }

    async fn lag(&self) -> anyhow::Result<Lag> {
        let _task = self.run.task("measure the replica's lag", None, "s");
        let load = self.begin_load(Side::First)?;
        let lag = lag::measure(self.run, &self.pair, self.options.load).await;
        load.end().await;
        lag
    }

    /// Stops the first server in order, and lets the second take over; then the first follows the second.
    async fn switch_over(&mut self) -> anyhow::Result<Counted> {
        let _task = self.run.task("switch over", None, "s");
        let load = self.begin_load(Side::First)?;
        self.write_on().await?;
        self.clock.start();
        self.pair.stop(Side::First).await?;
        self.clock.lap("switchover: primary stopped");
        self.pair.wait_for_shutdown_record().await?;
        self.pair.promote(Side::Second).await?;
        load::first_write(&self.pair.target(Side::Second)).await?;
        self.clock.lap("switchover: writable");
        load.end().await;
        let counted = self.journal.count(&self.pair.target(Side::Second)).await?;
        self.clock.start();
        self.pair.follow(Side::First).await?;
        self.pair.wait_until_even(self.run, Side::Second).await?;
        self.clock.lap("switchover: redundant");
        Ok(counted)
    }

    /// Cuts the first server off, loses the second, and lets the first take over.
    async fn crash(&mut self) -> anyhow::Result<(Counted, Counted)> {
        let _task = self.run.task("lose the primary", None, "s");
        let load = self.begin_load(Side::Second)?;
        self.write_on().await?;
        crash::cut_off(&self.pair, self.options.cut_off).await?;
        self.clock.start();
        self.pair.crash(Side::Second).await?;
        self.pair.promote(Side::First).await?;
        load::first_write(&self.pair.target(Side::First)).await?;
        self.clock.lap("crash: writable");
        load.end().await;
        let found = self.journal.count(&self.pair.target(Side::First)).await?;
        let archived = crash::from_the_archive(self.run, &self.pair, &self.journal).await?;
        Ok((found, archived))
    }

    async fn rejoin(&mut self) -> anyhow::Result<Rejoin> {
        let _task = self.run.task("take the lost primary back", None, "s");
        self.clock.start();
        let rejoin = rejoin::rejoin(self.run, &mut self.pair, self.options.interrupt_rewind).await?;
        self.pair.wait_until_even(self.run, Side::First).await?;
        self.clock.lap("crash: redundant");
        Ok(rejoin)
    }

    /// Digests of both servers, with nobody writing.
    async fn content(&self) -> anyhow::Result<Vec<String>> {
        self.pair.wait_until_even(self.run, Side::First).await?;
        let mut digests = Vec::new();
        for side in [Side::First, Side::Second] {
            let target = self.pair.target(side);
            let session = Session::connect(&target, "drill").await?;
            let relations = Relation::all(&session).await?;
            session.close().await;
            let state = State { target, snapshot: None };
            digests.push(state.fingerprint(self.run, &relations, "fingerprint a server").await?.digest());
        }
        Ok(digests)
    }

    fn judge(&self, switchover: &Counted, crash: &Counted, content: &[String]) -> Vec<String> {
        let mut reasons = Vec::new();
        if switchover.acked == 0 || crash.acked == switchover.acked {
            reasons.push("no write was acknowledged before a step: there was nothing to lose".to_owned());
        }
        if switchover.lost > 0 {
            reasons.push(format!("the clean switchover lost {} acknowledged writes", switchover.lost));
        }
        if self.options.synchronous && crash.lost > 0 {
            reasons.push(format!(
                "the crash lost {} acknowledged writes, though commits waited for the replica",
                crash.lost
            ));
        }
        if content.windows(2).any(|pair| pair[0] != pair[1]) {
            reasons.push("the two servers do not hold the same in the end".to_owned());
        }
        reasons
    }
}
