//! Plans: read from EXPLAIN ([`tree`]), held against the contract of the operation that they serve ([`contract`]).
//!
//! The server executes each operation as an application would, prepared and with drawn values, and everything it did is
//! rolled back ([`capture`]).

pub mod against;
pub mod capture;
pub mod catalog;
pub mod contract;
pub mod estimates;
#[cfg(test)]
mod golden;
mod modes;
pub mod scale;
pub mod scan;
pub mod shape;
pub mod text;
pub mod tree;

use std::sync::Arc;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use self::against::PlanChange;
use self::capture::How;
use self::catalog::Catalog;
pub use self::modes::{Mode, Modes};
use self::tree::Plan;
use crate::datagen::{Model, ledger};
use crate::pg::{PgError, Session, Target};
use crate::run::Run;
use crate::scenario::draw::Drawing;
use crate::scenario::{Op, PlanContract, Scenario, Statement};
use crate::schema::plan::USER_MEDIA;
use crate::verdict::{Interrupted, Verdict};

/// How many drawn values each operation is tried with: of one alone, a rare user or an empty list, a plan may look good
/// because there is nothing to read.
const DRAWS: u64 = 5;

/// What `explain` found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// One entry an operation and plan mode.
    pub ops: Vec<OpPlan>,
    /// Plans that are others than those they were compared with, where they were.
    #[serde(default)]
    pub changes: Vec<PlanChange>,
}

/// One operation's plan in one mode, and what is wrong with it: of the values tried, those that break the contract most,
/// then those that read most.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpPlan {
    /// The scenario's name.
    pub scenario: String,
    /// The operation's name, with `#` and a number for a statement of a transaction.
    pub op: String,
    /// `custom`, `generic` or `auto`.
    pub mode: String,
    /// `Fail` when there is a violation.
    pub verdict: Verdict,
    /// Leaves of `interaction.user_media` with a scan that ran.
    pub scanned_leaves: u32,
    /// Indexes used, a partitioned one by its parent's name.
    pub indexes: Vec<String>,
    /// Shared buffers hit and read in one execution, after one that was discarded.
    pub buffers: u64,
    /// Rows that scans read in one execution, those included that a filter sorted out.
    #[serde(default)]
    pub rows_read: f64,
    /// Temporary blocks written in one execution.
    #[serde(default)]
    pub temp_blocks: u64,
    /// Bytes of write-ahead log of one execution; `None` where pages had to be logged whole, which depends on when the last
    /// checkpoint was.
    #[serde(default)]
    pub wal_bytes: Option<u64>,
    /// The definitions of the indexes used.
    #[serde(default)]
    pub index_definitions: Vec<String>,
    /// What the contract forbids and the plan does, each quoting the part of the plan and saying what would mend it.
    pub violations: Vec<String>,
    /// Shape of the plan without leaf names and costs: equal plans have equal fingerprints.
    pub fingerprint: String,
    /// The plan as indented text for people.
    pub plan: String,
    /// The plan without leaves, costs and values, a line a node: what the fingerprint is of.
    #[serde(default)]
    pub outline: String,
    /// When leaves of `interaction.user_media` were pruned: at `plan time`, at `executor start` or at `run time`.
    #[serde(default)]
    pub pruned: Option<String>,
    /// By which factor the planner misjudged the rows of a scan or join, the worst of them; `None` where nothing was executed.
    #[serde(default)]
    pub row_error: Option<f64>,
    /// Locks on tables and indexes that one execution takes.
    #[serde(default)]
    pub locks: u32,
}

impl Explained {
    /// The worst verdict of all operations; a plan that changed fails.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let unchanged = Verdict::from_ok(self.changes.is_empty());
        Verdict::worst(self.ops.iter().map(|op| op.verdict).chain([unchanged]))
    }
}

/// Explains every operation of `scenarios` in `modes`, as [`with_values`] does, with values that `seed` draws from the
/// generated data in the database: those that the first executions in a load test bind.
///
/// # Errors
/// A [`UsageError`](crate::verdict::UsageError) where there is no generated data; those of [`with_values`].
pub async fn run(
    run: &Run,
    target: &Target,
    scenarios: &[Scenario],
    modes: Modes,
    seed: u64,
) -> anyhow::Result<Explained> {
    of_the_data(run, target, scenarios, (modes, How::Executed), seed).await
}

/// The same without executing anything. A statement that the role may not plan, for it may only read, is left out.
///
/// # Errors
/// Those of [`run`].
pub async fn planned(
    run: &Run,
    target: &Target,
    scenarios: &[Scenario],
    modes: Modes,
    seed: u64,
) -> anyhow::Result<Explained> {
    of_the_data(run, target, scenarios, (modes, How::Planned), seed).await
}

async fn of_the_data(
    run: &Run,
    target: &Target,
    scenarios: &[Scenario],
    how: (Modes, How),
    seed: u64,
) -> anyhow::Result<Explained> {
    let model = model_of(target).await?;
    let draws = |scenario: &Scenario, op: &Op, statement: &Statement| {
        drawn(&Drawing::new(scenario, op, statement, seed, &model))
    };
    explained(run, target, scenarios, how, draws).await
}

async fn model_of(target: &Target) -> anyhow::Result<Arc<Model>> {
    let session = Session::connect(target, "explain").await?;
    let model = ledger::model(&session).await;
    session.close().await;
    model
}

/// The values that an operation is tried with, as text.
fn drawn(drawing: &Drawing) -> Vec<Vec<String>> {
    (0..DRAWS).map(|i| drawing.values(i).iter().map(ToString::to_string).collect()).collect()
}

/// Executes every operation of `scenarios` in `modes` with each of the bindings that `values` gives for it (as text, one a
/// placeholder), rolls each back, and holds its plan against its contract. An operation without a binding is left out.
///
/// # Errors
/// When the server refuses a statement, or the run is interrupted; the statement under way is then cancelled.
pub async fn with_values(
    run: &Run,
    target: &Target,
    scenarios: &[Scenario],
    modes: Modes,
    values: impl Fn(&Scenario, &Op, &Statement) -> Vec<Vec<String>>,
) -> anyhow::Result<Explained> {
    explained(run, target, scenarios, (modes, How::Executed), values).await
}

async fn explained(
    run: &Run,
    target: &Target,
    scenarios: &[Scenario],
    (modes, how): (Modes, How),
    values: impl Fn(&Scenario, &Op, &Statement) -> Vec<Vec<String>>,
) -> anyhow::Result<Explained> {
    let session = Session::connect(target, "explain").await?;
    let catalog = Catalog::read(&session).await?;
    let statements = scenarios.iter().flat_map(|s| &s.ops).flat_map(|op| &op.statements);
    let total = statements.map(|statement| modes.of(&statement.plan).len() as u64).sum();
    let task = run.task("explain", Some(total), "plans");
    let mut ops = Vec::new();
    for (scenario, op) in scenarios.iter().flat_map(|s| std::iter::repeat(s).zip(&s.ops)) {
        for (name, statement) in op.named() {
            let bindings = values(scenario, op, statement);
            for mode in modes.of(&statement.plan) {
                let mut tried = Vec::new();
                for values in &bindings {
                    run.check()?;
                    let plan = capture::capture(&session, &statement.sql, values, mode, how);
                    let plan = match interruptible(run, &session, plan).await {
                        Err(error) if how == How::Planned && is_forbidden(&error) => continue,
                        plan => plan.with_context(|| {
                            format!("explain {name} of {} ({})", scenario.name, mode.word())
                        })?,
                    };
                    tried.push(judged((&scenario.name, &name), &statement.plan, mode, &plan, &catalog));
                }
                ops.extend(tried.into_iter().max_by_key(|plan| (plan.violations.len(), plan.buffers)));
                task.advance(1);
            }
        }
    }
    session.close().await;
    Ok(Explained { ops, changes: Vec::new() })
}

fn is_forbidden(error: &anyhow::Error) -> bool {
    error.downcast_ref::<PgError>().is_some_and(PgError::is_forbidden)
}

/// Waits for `work`; at an interrupt, cancels its statement on the server and lets it end first.
async fn interruptible<T>(
    run: &Run,
    session: &Session,
    work: impl Future<Output = crate::pg::error::Result<T>>,
) -> anyhow::Result<T> {
    tokio::pin!(work);
    tokio::select! {
        done = &mut work => Ok(done?),
        () = run.interrupt.cancelled() => {
            session.cancel().await?;
            // Whatever it says: it was told to stop.
            drop(work.await);
            Err(Interrupted.into())
        }
    }
}

/// What is found of `plan`: pure.
fn judged(
    (scenario, op): (&str, &str),
    promised: &PlanContract,
    mode: Mode,
    plan: &Plan,
    catalog: &Catalog,
) -> OpPlan {
    let violations = contract::violations(plan, promised, catalog, mode);
    let (schema, table) = USER_MEDIA;
    let leaves = scan::scanned_leaves(&scan::scans(plan, catalog), &format!("{schema}.{table}")).len();
    let mut indexes: Vec<String> =
        scan::indexes(plan, catalog).into_iter().map(|index| index.name.to_owned()).collect();
    indexes.sort();
    indexes.dedup();
    let definition = |name: &String| Some(catalog.index(name)?.definition.clone());
    OpPlan {
        scenario: scenario.to_owned(),
        op: op.to_owned(),
        mode: mode.word().to_owned(),
        verdict: Verdict::from_ok(violations.is_empty()),
        scanned_leaves: u32::try_from(leaves).unwrap_or(u32::MAX),
        index_definitions: indexes.iter().filter_map(definition).collect(),
        indexes,
        buffers: plan.root.buffers(),
        rows_read: plan.root.rows_read(),
        temp_blocks: plan.root.temp_written,
        wal_bytes: (plan.root.wal_images == 0).then_some(plan.root.wal_bytes),
        violations,
        fingerprint: shape::fingerprint(plan, catalog),
        plan: text::text(plan),
        outline: shape::outline(plan, catalog),
        pruned: estimates::pruned(plan, catalog, &format!("{schema}.{table}")).map(str::to_owned),
        row_error: estimates::worst_estimate(plan).map(|(error, _)| error),
        locks: plan.locks,
    }
}

#[cfg(test)]
mod tests {
    use super::catalog::Relation;
    use super::*;
    use crate::scenario::PlanMode;

    /// A plan of no interest.
    pub(super) fn op_plan() -> OpPlan {
        let plan =
            Plan { root: tree::Node::default(), settings: std::collections::BTreeMap::new(), locks: 0 };
        judged(("s", "list"), &PlanContract::default(), Mode::Generic, &plan, &Catalog::default())
    }

    /// The catalog of the database that the golden plans are from.
    pub(super) fn catalog() -> Catalog {
        let relation =
            |schema: &str, name: String, root: &str, is_index: bool, definition: String| Relation {
                schema: schema.to_owned(),
                is_index,
                holds_rows: !is_index && name != "user_media",
                root_schema: schema.to_owned(),
                root_name: root.to_owned(),
                partition_key: if root == "user_media" { vec!["user_id".to_owned()] } else { Vec::new() },
                valid: true,
                definition,
                name,
            };
        let index = |name: String, root: &str, columns: &str| {
            let definition =
                format!("CREATE INDEX {name} ON ONLY interaction.user_media USING btree ({columns})");
            relation("interaction", name, root, true, definition)
        };
        let indexes = [
            ("idx_user_media_user_status", "user_id_status_idx", "user_id, status"),
            ("idx_user_media_media_id", "media_id_idx", "media_id"),
            ("user_media_pkey", "pkey", "user_id, media_id"),
        ];
        let table = |name: &str| relation("interaction", name.to_owned(), "user_media", false, String::new());
        let mut all = vec![
            table("user_media"),
            relation("media", "media".to_owned(), "media", false, String::new()),
            relation("media", "idx_media_id".to_owned(), "idx_media_id", true, "CREATE INDEX".to_owned()),
        ];
        all.extend(indexes.iter().map(|&(root, _, columns)| index(root.to_owned(), root, columns)));
        for leaf in (0..4).map(|r| format!("user_media_m4_r{r}")) {
            all.push(table(&leaf));
            all.extend(
                indexes.iter().map(|&(root, suffix, cols)| index(format!("{leaf}_{suffix}"), root, cols)),
            );
        }
        all.into_iter().collect()
    }

    #[test]
    fn modes_follow_the_contract() {
        let custom = PlanContract { modes: vec![PlanMode::Custom], ..PlanContract::default() };
        assert_eq!(Modes::Promised.of(&custom), [Mode::Custom]);
        assert_eq!(Modes::Only(Mode::Generic).of(&custom), []);
        assert_eq!(Modes::Only(Mode::Auto).of(&custom), [Mode::Auto]);
        assert_eq!(Modes::All.of(&custom), [Mode::Custom, Mode::Auto]);
        assert_eq!(Modes::Promised.of(&PlanContract::default()), [Mode::Custom, Mode::Generic]);
    }
}
