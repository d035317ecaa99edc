//! The hands that carry out steps: a session, a policy for locks, and what is watched while a statement is under way.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::error::SqlState;

use super::journal::{Ending, Journal};
use super::lock::Lock;
use super::watch::{Blocker, Glance, Waits, during};
use crate::pg::error::{Doing as _, PgError};
use crate::pg::{Patience, Session, Target};
use crate::run::Run;
use crate::verdict::Interrupted;

/// How long a step may keep others waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// Others queue behind it: it waits briefly for its lock, gives way, and tries again within a budget.
    Brisk(Patience),
    /// Nobody queues behind it: it waits, watched, for as long as no single session keeps it waiting for longer than this.
    Patient(Duration),
}

/// Why a step ended without being done.
#[derive(Debug)]
pub(super) enum Stop {
    /// The server refused.
    Refused(PgError),
    /// Somebody interrupted the run.
    Interrupted,
    /// One session kept it waiting for too long.
    Stuck(Blocker),
    /// Its waits for one lock after the other came to more than it may keep others waiting.
    Waited,
}

impl From<PgError> for Stop {
    fn from(error: PgError) -> Self {
        Self::Refused(error)
    }
}

impl From<tokio_postgres::Error> for Stop {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Refused(error.into())
    }
}

impl Stop {
    /// As the journal notes it.
    pub(super) fn ending(&self) -> Ending {
        match self {
            Self::Interrupted => Ending::Interrupted,
            Self::Refused(error) => Ending::Failed(error.sqlstate().map(str::to_owned), error.to_string()),
            Self::Stuck(blocker) => Ending::Failed(None, format!("kept waiting by {}", blocker.brief())),
            Self::Waited => Ending::Failed(None, "gave way after several waits for locks".to_owned()),
        }
    }

    /// Whether the same may succeed when nobody is in the way.
    pub(super) fn is_contention(&self) -> bool {
        match self {
            Self::Refused(error) => error.is_lock_timeout() || error.is_retryable(),
            Self::Waited => true,
            Self::Interrupted | Self::Stuck(_) => false,
        }
    }

    /// For people; `waits` says who was in the way.
    pub(super) fn explained(self, waits: &Waits) -> anyhow::Error {
        match self {
            Self::Interrupted => Interrupted.into(),
            Self::Stuck(blocker) => anyhow::anyhow!(
                "one session has kept it waiting for too long\n  held by {blocker}\n  help: end that transaction, or allow more with --patience, and run again: it continues here"
            ),
            Self::Refused(error) if error.is_lock_timeout() || error.is_retryable() => anyhow::anyhow!(
                "{error}\n{}\n  help: end what holds it, or allow more with --lock-budget, and run again: nothing of this step was kept",
                waits.report()
            ),
            Self::Refused(error) => anyhow::anyhow!("{error}"),
            Self::Waited => anyhow::anyhow!(
                "its waits for one lock after the other are longer than others may be kept waiting\n{}\n  help: end what holds them, or allow more with --lock-timeout, and run again: nothing of this step was kept",
                waits.report()
            ),
        }
    }
}

const SHORTEST_LOOK: Duration = Duration::from_millis(5);
const LONGEST_LOOK: Duration = Duration::from_millis(50);
/// A build that takes hours is looked at less often.
const PATIENT_LOOK: Duration = Duration::from_millis(250);

/// Parameter that has the server notice within a second that this program is gone, and release what it had locked.
const NOTICE: &str = "SET client_connection_check_interval = '1s'";

/// What has the server notice that the machine of this program is gone; in a transaction we are never idle for long.
pub(super) const KEPT_ALIVE: &str = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; \
     SET tcp_user_timeout = '30s'; SET statement_timeout = 0; SET idle_session_timeout = 0; \
     SET datestyle = 'ISO, YMD'; SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off";

/// From PostgreSQL 17 on a transaction has a limit of its own, which would end every long build.
pub(super) const NO_TRANSACTION_LIMIT: &str = "SET transaction_timeout = 0";

/// How long a late request to stop the last statement is waited for, so that it does not hit the next.
const LATE: &str = "SELECT pg_catalog.pg_sleep(0.05)";

/// A session that carries out steps, one at a time.
pub(super) struct Hands<'a> {
    pub(super) session: Session,
    pub(super) pid: i32,
    lock: &'a Lock,
    pub(super) run: &'a Run,
}

impl<'a> Hands<'a> {
    pub(super) async fn new(target: &Target, lock: &'a Lock, run: &'a Run) -> anyhow::Result<Self> {
        let session = Session::connect(target, "migrate").await?;
        let pid =
            session.query_one("SELECT pg_catalog.pg_backend_pid()", &[]).await.map_err(PgError::from)?;
        let pid = pid.try_get(0).map_err(PgError::from)?;
        let hands = Self { session, pid, lock, run };
        hands.wash().await?;
        Ok(hands)
    }

    /// Undoes what a migration set for the session. A batch of a walk sees what others have committed meanwhile, and is planned
    /// for its own keys: a plan for any keys may read whole tables.
    pub(super) async fn wash(&self) -> anyhow::Result<()> {
        let clean = format!(
            "RESET SESSION AUTHORIZATION; RESET ALL; {KEPT_ALIVE}; \
             SET idle_in_transaction_session_timeout = '60s'; SET plan_cache_mode = force_custom_plan"
        );
        self.session.batch_execute(&clean).await.doing(|| "reset the session".to_owned())?;
        if self.session.version().major() >= 17 {
            self.session
                .batch_execute(NO_TRANSACTION_LIMIT)
                .await
                .doing(|| "reset the session".to_owned())?;
        }
        match self.session.batch_execute(NOTICE).await.map_err(PgError::from) {
            // Where the server's system cannot notice, the next run waits for what the statement has locked.
            Err(error) if error.sqlstate() == Some(SqlState::INVALID_PARAMETER_VALUE.code()) => {}
            set => set?,
        }
        Ok(())
    }

    /// Sets how long statements wait for locks from now on.
    pub(super) async fn follow(&self, policy: &Policy) -> Result<(), PgError> {
        let limit = match policy {
            Policy::Brisk(patience) => patience.lock_timeout,
            Policy::Patient(_) => Duration::ZERO,
        };
        self.session.limit(Duration::ZERO, limit).await
    }

    /// Runs `work`, which is under way in this session, to its end: adds what it waits for to `waits`, shows each look to
    /// `seen`, has the server stop it at an interrupt, when the lock is lost or when one session keeps it waiting for longer
    /// than `policy` allows, and still waits for its answer.
    pub(super) async fn carry<T, E: Into<PgError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
        policy: &Policy,
        waits: &mut Waits,
        mut seen: impl FnMut(&Glance),
    ) -> Result<T, Stop> {
        let mut work = std::pin::pin!(work);
        let mut stuck = HashMap::new();
        let watched = {
            let look = |glance: &Glance| {
                waits.add(glance);
                seen(glance);
                too_long(glance, policy, waits, &mut stuck)
            };
            tokio::select! {
                watched = during(self.lock.session(), self.pid, policy.look(), &mut work, look) => watched,
                () = self.run.interrupt.cancelled() => Err(Stop::Interrupted),
            }
        };
        match watched {
            Ok(done) => done.map_err(|error| Stop::Refused(error.into())),
            Err(stop) => {
                // A statement that cannot be asked to stop is waited for all the same.
                let asked = self.session.cancel().await;
                let done = work.await;
                if asked.is_ok() && done.is_ok() {
                    drop(self.session.batch_execute(LATE).await);
                }
                // It may have got to its end before it was asked to stop.
                match done {
                    Ok(done) if !matches!(stop, Stop::Refused(_)) => Ok(done),
                    _ => Err(stop),
                }
            }
        }
    }

    /// Runs `sql`, a single statement, as a step of its own: noted before and after, tried again while others are in the
    /// way. `within` runs it in a transaction together with the note that it is done.
    pub(super) async fn step(&self, journal: Journal<'_>, step: &Step<'_>) -> Result<Waits, (Stop, Waits)> {
        let (mut waits, mut retries) = (Waits::default(), step.policy.retries());
        loop {
            match self.attempt(journal, step, &mut waits).await {
                Ok(()) => return Ok(waits),
                Err(stop) => {
                    let Some(pause) = retries.after(&stop) else { return Err((stop, waits)) };
                    self.pause(pause, step.name, &waits).await.map_err(|stop| (stop, waits.clone()))?;
                }
            }
        }
    }

    /// Waits before another attempt, and says why.
    pub(super) async fn pause(&self, pause: Duration, what: &str, waits: &Waits) -> Result<(), Stop> {
        self.run.note(format!(
            "{what} gave way after its lock was not granted; trying again in {} ms\n{}",
            pause.as_millis(),
            waits.report()
        ));
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = self.run.interrupt.cancelled() => Err(Stop::Interrupted),
        }
    }

    async fn attempt(&self, journal: Journal<'_>, step: &Step<'_>, waits: &mut Waits) -> Result<(), Stop> {
        journal.begin_step(step.name, step.text, self.pid).await?;
        self.follow(&step.policy).await?;
        let mut these = Waits::default();
        let done = match step.within {
            true => self.transaction(journal, step, &mut these).await,
            false => {
                let work = self.session.batch_execute(step.sql);
                self.carry(work, &step.policy, &mut these, |glance| (step.seen)(glance)).await
            }
        };
        step.policy.at_least(&done, &mut these);
        let ending = done.as_ref().map_or_else(Stop::ending, |()| Ending::Done);
        let noted = journal.end_step(step.name, &ending, &these).await;
        waits.merge(these);
        done?;
        Ok(noted?)
    }

    async fn transaction(
        &self,
        journal: Journal<'_>,
        step: &Step<'_>,
        waits: &mut Waits,
    ) -> Result<(), Stop> {
        let done = self.within(journal, step, waits).await;
        if done.is_err() {
            // The first failure is the one to report; a lost session rolls back by itself.
            drop(self.session.batch_execute("ROLLBACK").await);
        }
        done
    }

    async fn within(&self, journal: Journal<'_>, step: &Step<'_>, waits: &mut Waits) -> Result<(), Stop> {
        self.session.batch_execute("BEGIN").await?;
        let work = self.session.batch_execute(step.sql);
        self.carry(work, &step.policy, waits, |glance| (step.seen)(glance)).await?;
        self.session.batch_execute(&journal.done_with(step.name)).await?;
        Ok(self.session.batch_execute("COMMIT").await?)
    }
}

impl Policy {
    /// Between two looks at a statement under way: a few within the wait for a lock.
    fn look(&self) -> Duration {
        match self {
            Self::Brisk(patience) => (patience.lock_timeout / 4).clamp(SHORTEST_LOOK, LONGEST_LOOK),
            Self::Patient(_) => PATIENT_LOOK,
        }
    }

    /// The same for what is still to come of an attempt that has waited for so long already: all its waits together are to
    /// be no longer than one may be.
    pub(super) fn less(&self, waited_ms: f64) -> Self {
        match self {
            Self::Brisk(patience) => {
                let left = patience.lock_timeout.saturating_sub(Duration::from_secs_f64(waited_ms / 1e3));
                Self::Brisk(Patience { lock_timeout: left.max(SHORTEST_LOOK), ..*patience })
            }
            Self::Patient(limit) => Self::Patient(*limit),
        }
    }

    /// Counts the wait of an attempt that ended at its limit, whatever was seen of it.
    pub(super) fn at_least<T>(&self, done: &Result<T, Stop>, waits: &mut Waits) {
        if let (Err(Stop::Refused(error)), Self::Brisk(patience)) = (done, self)
            && error.is_lock_timeout()
        {
            waits.at_least(patience.lock_timeout);
        }
    }

    /// What decides whether a step is tried again.
    pub(super) fn retries(&self) -> Retries {
        match self {
            Self::Brisk(patience) => {
                Retries { pauses: Box::new(patience.pauses(seed())), until: Instant::now() + patience.budget }
            }
            Self::Patient(_) => Retries { pauses: Box::new(std::iter::empty()), until: Instant::now() },
        }
    }
}

/// The attempts that are left.
pub(super) struct Retries {
    pauses: Box<dyn Iterator<Item = Duration> + Send>,
    until: Instant,
}

impl Retries {
    /// The pause after an attempt that ended so, before another; `None` where there is to be none.
    pub(super) fn after(&mut self, stop: &Stop) -> Option<Duration> {
        let pause = self.pauses.next().filter(|_| stop.is_contention())?;
        (Instant::now() + pause < self.until).then_some(pause)
    }
}

/// Any number; two that collide must not go on colliding.
fn seed() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}

/// Stops a patient step that one and the same session has kept waiting for longer than allowed, and a brisk one whose waits
/// for several locks together are longer than one may be.
fn too_long(
    glance: &Glance,
    policy: &Policy,
    waits: &Waits,
    stuck: &mut HashMap<i32, Instant>,
) -> Result<(), Stop> {
    let limit = match policy {
        Policy::Patient(limit) => *limit,
        Policy::Brisk(patience)
            // The server itself ends a single one that is too long, and says of which lock it was.
            if waits.total_ms > waits.longest_ms + 1.0
                && waits.total_ms > (patience.lock_timeout + LONGEST_LOOK).as_secs_f64() * 1e3 =>
        {
            return Err(Stop::Waited);
        }
        Policy::Brisk(_) => return Ok(()),
    };
    let now = Instant::now();
    stuck.retain(|pid, _| glance.blockers().any(|blocker| blocker.pid == *pid));
    for blocker in glance.blockers() {
        if now.duration_since(*stuck.entry(blocker.pid).or_insert(now)) > limit {
            return Err(Stop::Stuck(blocker.clone()));
        }
    }
    Ok(())
}

/// A step to carry out.
pub(super) struct Step<'a> {
    /// Its name in the journal.
    pub(super) name: &'a str,
    /// One statement.
    pub(super) sql: &'a str,
    /// The statement that the journal is to know, where it is not the one that is run.
    pub(super) text: &'a str,
    /// How long it may keep others waiting.
    pub(super) policy: Policy,
    /// Whether it runs in a transaction together with the note that it is done.
    pub(super) within: bool,
    /// Who is shown how far it is.
    pub(super) seen: &'a (dyn Fn(&Glance) + Sync),
}
