//! A connection of the load with everything prepared on it.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::pin_mut;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use super::drift::Teller;
use super::statement::Form;
use super::worker::{Sent, Shared};
use crate::pg::error::Doing as _;
use crate::pg::{PgError, Session, Wire};
use crate::scenario::draw::Value;
use crate::scenario::{PlanCache, Protocol, Retry};

/// Executions of each statement on each connection before the load starts: PostgreSQL plans the first five for their
/// values and may keep one plan from the sixth on, and that change belongs to no measurement.
const PLAN_CACHE_RUNS: u64 = 6;
/// How long the server may take to end a cancelled statement before the connection is dropped, and asked how often.
const CANCEL_PATIENCE: (u32, Duration) = (5, Duration::from_secs(1));

/// A session, and each operation of the mix as it is sent over it.
pub(super) struct Line {
    session: Session,
    /// Moved by whoever waits for an answer, so that an answer wakes one task.
    wire: Wire,
    ops: Vec<Vec<Form>>,
    /// Room for the values of one statement.
    values: Vec<Value>,
}

/// What came of an execution.
pub(super) enum Outcome {
    Done,
    /// The server refused.
    Refused(tokio_postgres::Error),
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
        let code = error.code()?.code();
        let is_named = retry.on.iter().any(|state| state == code);
        (is_named && before < retry.most).then(|| retry.backoff.saturating_mul(1 << before.min(20)))
    }

    /// SQLSTATE and message, without detail and hint.
    pub(super) fn in_one_line(self) -> String {
        let error: PgError = match self {
            Self::Done => return String::new(),
            Self::Refused(error) => error.into(),
            Self::Lost(error) => error,
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
        let (session, wire) = tokio::select! {
            connected = Session::connect_by_wire(&shared.target, &shared.purpose) => connected?,
            () = stop.cancelled() => return Ok(None),
        };
        let mut line = Self { session, wire, ops: Vec::new(), values: Vec::new() };
        let prepared = line.prepare(shared, stop).await;
        if stop.is_cancelled() {
            line.close().await;
            return Ok(None);
        }
        prepared?;
        if let Some(teller) = teller {
            line.tell(teller, stop).await?;
        }
        Ok(Some(line))
    }

    /// Has the plans of some executions told from now on.
    async fn tell(&mut self, teller: &Teller, stop: &CancellationToken) -> Result<(), PgError> {
        let set = self.session.batch_execute(&teller.settings);
        let set = or_cancelled(&self.session, &mut self.wire, stop, set).await;
        self.wire.tell(teller.notices.clone());
        set.doing(|| "load auto_explain".to_owned())
    }

    pub(super) async fn close(self) {
        self.session.close().await;
        self.wire.end().await;
    }

    async fn prepare(&mut self, shared: &Shared, stop: &CancellationToken) -> Result<(), PgError> {
        if let Some(mode) = plan_cache_mode(shared.plan_cache) {
            let set = self.session.batch_execute(mode);
            or_cancelled(&self.session, &mut self.wire, stop, set)
                .await
                .doing(|| "set plan_cache_mode".to_owned())?;
        }
        for (index, op) in shared.ops.iter().enumerate() {
            let forms = if op.is_sent { self.forms(op, shared.protocol, stop).await? } else { Vec::new() };
            self.ops.push(forms);
            if op.is_sent {
                self.settle(index, op, stop).await?;
            }
        }
        Ok(())
    }

    async fn forms(
        &mut self,
        op: &Sent,
        protocol: Protocol,
        stop: &CancellationToken,
    ) -> Result<Vec<Form>, PgError> {
        let mut forms = Vec::new();
        for text in &op.statements {
            forms.push(match protocol {
                Protocol::Prepared => {
                    let prepare = self.session.prepare(&text.sql);
                    let prepared = or_cancelled(&self.session, &mut self.wire, stop, prepare).await;
                    Form::Prepared(prepared.doing(|| format!("prepare {}", op.name))?)
                }
                Protocol::Unnamed => Form::Unnamed,
                Protocol::Simple => Form::simple(text),
            });
        }
        Ok(forms)
    }

    /// Executes an operation until its plans are chosen.
    async fn settle(&mut self, index: usize, op: &Sent, stop: &CancellationToken) -> Result<(), PgError> {
        for i in 0..PLAN_CACHE_RUNS {
            let outcome = self.perform(op, index, u64::MAX - i, stop).await.map_err(|error| {
                PgError::broken(format!("execute {} for the first time", op.name), error.to_string())
            })?;
            // An operation that is refused is counted when it is measured.
            if let Outcome::Lost(error) = outcome {
                return Err(error.doing(format!("execute {} for the first time", op.name)));
            }
        }
        Ok(())
    }

    /// Executes `op`, the operation with number `index`, with the values of execution `i`.
    pub(super) async fn perform(
        &mut self,
        op: &Sent,
        index: usize,
        i: u64,
        stop: &CancellationToken,
    ) -> anyhow::Result<Outcome> {
        let Self { session, wire, ops, values } = self;
        let forms = ops.get(index).context("an operation outside the mix was drawn")?;
        let work = async {
            if op.transaction {
                session.batch_execute("BEGIN").await?;
            }
            for (form, text) in forms.iter().zip(&op.statements) {
                form.execute(session, text, i, values).await?;
            }
            if op.transaction {
                session.batch_execute("COMMIT").await?;
            }
            Ok(())
        };
        let outcome = match or_cancelled(session, wire, stop, work).await {
            Ok(()) => Outcome::Done,
            Err(Unanswered::Failed(error)) if is_lost(session, &error) => Outcome::Lost(error.into()),
            Err(Unanswered::Failed(error)) => Outcome::Refused(error),
            Err(deaf) => Outcome::Lost(deaf.into()),
        };
        if let (Outcome::Refused(_), true) = (&outcome, op.transaction) {
            let undo = session.batch_execute("ROLLBACK");
            if let Err(error) = or_cancelled(session, wire, stop, undo).await {
                return Ok(Outcome::Lost(error.into()));
            }
        }
        Ok(outcome)
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
    Failed(tokio_postgres::Error),
    /// The server does not even end the statement when asked.
    Deaf,
}

impl From<Unanswered> for PgError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Failed(error) => error.into(),
            Unanswered::Deaf => Self::broken("", "no answer, not even to the request to cancel"),
        }
    }
}

/// Awaits `work` on `session`; once the run is stopped, has the server end the statement first.
async fn or_cancelled<T>(
    session: &Session,
    wire: &mut Wire,
    stop: &CancellationToken,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Unanswered> {
    let work = wire.carry(work);
    pin_mut!(work);
    tokio::select! {
        biased;
        done = &mut work => return done.map_err(Unanswered::Failed),
        () = stop.cancelled() => {}
    }
    let (attempts, patience) = CANCEL_PATIENCE;
    for _ in 0..attempts {
        // A request that comes before the statement or after it has no effect: ask again.
        let asked = async {
            if let Err(error) = session.cancel().await {
                tracing::debug!("{error}");
            }
            (&mut work).await
        };
        if let Ok(done) = tokio::time::timeout(patience, asked).await {
            return done.map_err(Unanswered::Failed);
        }
    }
    Err(Unanswered::Deaf)
}

/// The server ends a session with an error of class 57P a moment before the connection is seen to be closed.
fn is_lost(session: &Session, error: &tokio_postgres::Error) -> bool {
    let ended = |state: &SqlState| state.code().starts_with("57P") || state.code().starts_with("08");
    session.is_closed() || error.is_closed() || error.code().is_some_and(ended)
}
