//! A connection of the load with everything prepared on it.

use std::pin::pin;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::drift::Teller;
use super::worker::{Sent, Shared};
use crate::pg::error::{Doing as _, Result};
use crate::pg::{Cancel, Frontend, PgError};
use crate::scenario::draw::Value;
use crate::scenario::{PlanCache, Retry};

/// Executions of each statement on each connection before the load starts: PostgreSQL plans the first five for their
/// values and may keep one plan from the sixth on, and that change belongs to no measurement.
const PLAN_CACHE_RUNS: u64 = 6;
/// How long the server may take to end a cancelled statement before the connection is dropped, and asked how often.
const CANCEL_PATIENCE: (u32, Duration) = (5, Duration::from_secs(1));

/// A connection, and what it takes to send operations over it.
pub(super) struct Line {
    frontend: Frontend,
    cancel: Cancel,
    /// Room for the values of one statement.
    values: Vec<Value>,
}

/// What came of an execution.
pub(super) enum Outcome {
    Done,
    /// The server refused.
    Refused(PgError),
    /// The connection broke, or the server does not even end the statement when asked.
    Lost(PgError),
}

impl Outcome {
    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_))
    }

    /// How long to pause before the next attempt; `None` when there is none. `before` attempts were made after the first.
    pub(super) fn again(&self, retry: &Retry, before: u32) -> Option<Duration> {
        let Self::Refused(error) = self else { return None };
        let code = error.sqlstate()?;
        let is_named = retry.on.iter().any(|state| state == code);
        (is_named && before < retry.most).then(|| retry.backoff.saturating_mul(1 << before.min(20)))
    }

    /// SQLSTATE and message, without detail and hint.
    pub(super) fn in_one_line(self) -> String {
        let error = match self {
            Self::Done => return String::new(),
            Self::Refused(error) | Self::Lost(error) => error,
        };
        match error.refusal() {
            Some(refusal) => format!("{} {}", refusal.sqlstate, refusal.message),
            None => error.to_string(),
        }
    }
}

impl Line {
    /// Connects, prepares every statement of the mix and has PostgreSQL choose its plans; `None` when the run is stopped
    /// meanwhile.
    pub(super) async fn open(
        shared: &Shared,
        teller: Option<&Teller>,
        stop: &CancellationToken,
    ) -> Result<Option<Self>, PgError> {
        let frontend = tokio::select! {
            connected = Frontend::connect(&shared.target, &shared.purpose) => connected?,
            () = stop.cancelled() => return Ok(None),
        };
        let mut line = Self { cancel: frontend.cancel(), frontend, values: Vec::new() };
        let prepared = line.prepare(shared, teller, stop).await;
        if stop.is_cancelled() {
            line.close().await;
            return Ok(None);
        }
        prepared?;
        Ok(Some(line))
    }

    pub(super) async fn close(self) {
        self.frontend.close().await;
    }

    async fn prepare(
        &mut self,
        shared: &Shared,
        teller: Option<&Teller>,
        stop: &CancellationToken,
    ) -> Result<()> {
        if let Some(mode) = plan_cache_mode(shared.plan_cache) {
            self.set(mode, stop).await.doing(|| "set plan_cache_mode".to_owned())?;
        }
        for op in shared.ops.iter().filter(|op| op.is_sent) {
            for statement in &op.statements {
                let prepare = statement.prepare(&mut self.frontend);
                or_cancelled(&self.cancel, stop, prepare).await.doing(|| format!("prepare {}", op.name))?;
            }
            self.settle(op, stop).await?;
        }
        // Plans are told from now on only: the first ones are not those of the load.
        if let Some(teller) = teller {
            self.set(&teller.settings, stop).await.doing(|| "load auto_explain".to_owned())?;
            self.frontend.tell(teller.notices.clone());
        }
        Ok(())
    }

    async fn set(&mut self, settings: &str, stop: &CancellationToken) -> Result<(), Unanswered> {
        or_cancelled(&self.cancel, stop, self.frontend.simple(settings)).await
    }

    /// Executes an operation until its plans are chosen.
    async fn settle(&mut self, op: &Sent, stop: &CancellationToken) -> Result<()> {
        for i in (0..PLAN_CACHE_RUNS).take_while(|_| !stop.is_cancelled()) {
            // An operation that is refused is counted when it is measured.
            if let Outcome::Lost(error) = self.perform(op, u64::MAX - i, stop).await {
                return Err(error.doing(format!("execute {} for the first time", op.name)));
            }
        }
        Ok(())
    }

    /// Executes `op` with the values of execution `i`.
    pub(super) async fn perform(&mut self, op: &Sent, i: u64, stop: &CancellationToken) -> Outcome {
        let Self { frontend, cancel, values } = self;
        let work = async {
            if op.transaction {
                frontend.simple("BEGIN").await?;
            }
            for statement in &op.statements {
                statement.execute(frontend, i, values).await?;
            }
            if op.transaction {
                frontend.simple("COMMIT").await?;
            }
            Ok(())
        };
        let refused = match or_cancelled(cancel, stop, work).await {
            Ok(()) => return Outcome::Done,
            Err(Unanswered::Failed(error)) if !frontend.is_lost() => error,
            Err(lost) => return Outcome::Lost(lost.into()),
        };
        if op.transaction {
            let undo = frontend.simple("ROLLBACK");
            if let Err(error) = or_cancelled(cancel, stop, undo).await {
                return Outcome::Lost(error.into());
            }
        }
        Outcome::Refused(refused)
    }
}

fn plan_cache_mode(mode: PlanCache) -> Option<&'static str> {
    match mode {
        PlanCache::Unset => None,
        PlanCache::Auto => Some("SET plan_cache_mode = auto"),
        PlanCache::ForceCustomPlan => Some("SET plan_cache_mode = force_custom_plan"),
        PlanCache::ForceGenericPlan => Some("SET plan_cache_mode = force_generic_plan"),
    }
}

/// Why there is no answer.
enum Unanswered {
    /// The server refused, or the connection broke.
    Failed(PgError),
    /// The server does not even end the statement when asked.
    Deaf,
}

impl From<Unanswered> for PgError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Failed(error) => error,
            Unanswered::Deaf => Self::broken("", "no answer, not even to the request to cancel"),
        }
    }
}

/// Awaits `work`; once the run is stopped, has the server end the statement first.
async fn or_cancelled<T>(
    cancel: &Cancel,
    stop: &CancellationToken,
    work: impl Future<Output = Result<T>>,
) -> Result<T, Unanswered> {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done.map_err(Unanswered::Failed),
        () = stop.cancelled() => {}
    }
    let (attempts, patience) = CANCEL_PATIENCE;
    for _ in 0..attempts {
        // A request that comes before the statement or after it has no effect: ask again. It may itself wait for ever.
        let asked = async {
            if let Err(error) = cancel.ask().await {
                tracing::debug!("{error}");
            }
            tokio::time::sleep(patience).await;
        };
        tokio::select! {
            biased;
            done = &mut work => return done.map_err(Unanswered::Failed),
            _ = tokio::time::timeout(patience, asked) => {}
        }
    }
    Err(Unanswered::Deaf)
}
