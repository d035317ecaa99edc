//! Plans under load: which plans the connections of a load really executed, so that one that changes in mid-run is seen.
//!
//! On each of them `auto_explain` sends the plan of a few executions to the client that asked for them, as a notice.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::explain::catalog::Catalog;
use crate::explain::shape::fingerprint;
use crate::explain::text;
use crate::explain::tree::Plan;
use crate::pg::error::{Doing as _, Result};
use crate::pg::{Session, Target};
use crate::scenario::{Arrival, Load, Scenario};

/// Plans looked at each second, over all connections.
const PLANS_PER_S: f64 = 20.0;
/// Share of the executions that are looked at where nobody knows how many there will be. To explain one takes some 100 us.
const CLOSED_SHARE: f64 = 0.001;

/// A plan that was executed under load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanSeen {
    /// The operation, with `#` and a number for a statement of a transaction.
    pub op: String,
    /// Shape of the plan without leaf names and costs.
    pub fingerprint: String,
    /// How many of the executions that were looked at had it, by the second; seconds count from the start of the measured
    /// part and are negative in the warm-up.
    pub seconds: BTreeMap<i64, u64>,
    /// The plan as indented text.
    pub plan: String,
}

impl PlanSeen {
    /// How often it was seen.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.seconds.values().sum()
    }

    /// The first and the last second in which it was seen.
    #[must_use]
    pub fn span(&self) -> (i64, i64) {
        let mut seconds = self.seconds.keys().copied();
        let first = seconds.next().unwrap_or_default();
        (first, seconds.next_back().unwrap_or(first))
    }

    /// Whether it came or went in mid-run: whether, if it had its share all the time, not to see it in so many executions
    /// before it came, or after it went, would be less likely than [`CHANCE`]. A plan that some values have and others have
    /// not comes and goes all the time, and is no change.
    fn has_changed(&self, all: &[Self]) -> bool {
        let (first, last) = self.span();
        let of_op = || all.iter().filter(|plan| plan.op == self.op).flat_map(|plan| &plan.seconds);
        let seen = |test: &dyn Fn(i64) -> bool| -> u64 {
            of_op().filter(|(second, _)| test(**second)).map(|(_, count)| count).sum()
        };
        let all: u64 = seen(&|_| true);
        let is_unlikely = |without: u64| {
            #[expect(clippy::cast_precision_loss, reason = "counts of a sample")]
            let (count, with, without) = (self.count() as f64, (all - without) as f64, without as f64);
            (1.0 - count / (with + 1.0)).powf(without) < CHANCE
        };
        is_unlikely(seen(&|second| second < first)) || is_unlikely(seen(&|second| second > last))
    }
}

/// The plans that came or went in mid-run; where one did and it is not plain what took its place, the most frequent other one too.
pub(super) fn changed(all: &[PlanSeen]) -> Vec<&PlanSeen> {
    let has_changed: Vec<bool> = all.iter().map(|plan| plan.has_changed(all)).collect();
    let of_op = |op: &str| (0..all.len()).filter(|&i| all[i].op == op).collect::<Vec<_>>();
    let is_told = |i: usize| {
        let others = of_op(&all[i].op);
        let changed: Vec<usize> = others.iter().copied().filter(|&other| has_changed[other]).collect();
        let rest = others.into_iter().filter(|&other| !has_changed[other]);
        has_changed[i] || changed.len() == 1 && rest.max_by_key(|&other| all[other].count()) == Some(i)
    };
    (0..all.len()).filter(|&i| is_told(i)).map(|i| &all[i]).collect()
}

/// How likely a change may be found that is none.
const CHANCE: f64 = 1e-4;

/// Where connections send the notices that they get.
pub(super) type Notices = mpsc::UnboundedSender<String>;

/// How a connection is made to tell its plans.
#[derive(Debug, Clone)]
pub(super) struct Teller {
    pub(super) settings: String,
    pub(super) notices: Notices,
}

/// Reads the plans that are told.
pub(super) struct Drift {
    catalog: Catalog,
    /// Statements and the operations that they are of.
    statements: BTreeMap<String, String>,
    told: mpsc::UnboundedReceiver<String>,
}

impl Drift {
    /// Prepares to look at the plans of `scenario` on `target`, where our role is allowed to load `auto_explain`.
    pub(super) async fn begin(target: &Target, scenario: &Scenario, load: &Load) -> Result<(Self, Teller)> {
        let session = Session::connect(target, "bench").await?;
        let catalog = Catalog::read(&session).await?;
        let settings = settings(load);
        session.batch_execute(&settings).await.doing(|| "load auto_explain".to_owned())?;
        session.close().await;
        let named = scenario.ops.iter().flat_map(|op| op.named());
        let statements = named.map(|(name, statement)| (statement.sql.trim().to_owned(), name)).collect();
        let (notices, told) = mpsc::unbounded_channel();
        Ok((Self { catalog, statements, told }, Teller { settings, notices }))
    }

    /// The plans seen until the last connection is gone; the measured part began at `measured`.
    pub(super) async fn until_the_end(mut self, measured: Instant) -> Vec<PlanSeen> {
        let mut seen = Vec::new();
        while let Some(notice) = self.told.recv().await {
            let now = Instant::now();
            let at = now.saturating_duration_since(measured).as_secs_f64()
                - measured.saturating_duration_since(now).as_secs_f64();
            #[expect(clippy::cast_possible_truncation, reason = "a run is shorter than a week")]
            let plan = self.plan(&notice, at.floor() as i64);
            add(&mut seen, plan);
        }
        seen
    }

    /// What `notice` tells of one execution; `None` for what is no plan of ours.
    fn plan(&self, notice: &str, second: i64) -> Option<PlanSeen> {
        let (_, json) = notice.split_once("plan:\n")?;
        let document: serde_json::Value = serde_json::from_str(json).ok()?;
        let op = self.statements.get(document.get("Query Text")?.as_str()?.trim())?.clone();
        let plan = Plan::from_json(vec![document].into()).ok()?;
        let fingerprint = fingerprint(&plan, &self.catalog);
        Some(PlanSeen { op, fingerprint, seconds: [(second, 1)].into(), plan: text::text(&plan) })
    }
}

/// Adds what was seen to what was seen before.
pub(super) fn add(seen: &mut Vec<PlanSeen>, more: impl IntoIterator<Item = PlanSeen>) {
    for plan in more {
        let same = |known: &&mut PlanSeen| (&known.op, &known.fingerprint) == (&plan.op, &plan.fingerprint);
        match seen.iter_mut().find(same) {
            Some(known) => {
                for (second, count) in plan.seconds {
                    *known.seconds.entry(second).or_default() += count;
                }
            }
            None => seen.push(plan),
        }
    }
    seen.sort_by(|a, b| (&a.op, a.span()).cmp(&(&b.op, b.span())));
}

fn settings(load: &Load) -> String {
    let share = match load.arrival {
        Arrival::Open { rate, .. } => (PLANS_PER_S / rate.as_per_second()).min(1.0),
        Arrival::Closed { .. } => CLOSED_SHARE,
    };
    format!(
        "LOAD 'auto_explain'; SET client_min_messages = notice; SET auto_explain.log_min_duration = 0; SET auto_explain.log_format = json; \
         SET auto_explain.log_verbose = on; SET auto_explain.log_level = notice; SET auto_explain.sample_rate = {share}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(op: &str, plan: &str, seconds: &[(i64, u64)]) -> PlanSeen {
        let (op, plan) = (op.to_owned(), plan.to_owned());
        PlanSeen { op, fingerprint: plan.clone(), seconds: seconds.iter().copied().collect(), plan }
    }

    #[test]
    fn a_plan_that_takes_anothers_place_is_a_change() {
        let mut all = vec![seen("a", "index", &[(-1, 5), (0, 5)]), seen("b", "other", &[(0, 9), (5, 9)])];
        add(&mut all, [seen("a", "seq", &[(2, 4)]), seen("a", "seq", &[(2, 1), (3, 5)])]);
        let plans: Vec<(&str, u64)> =
            changed(&all).iter().map(|plan| (plan.plan.as_str(), plan.count())).collect();
        assert_eq!(plans, [("index", 10), ("seq", 10)]);
    }

    #[test]
    fn what_took_the_place_is_told_where_both_share_a_second() {
        let all = [
            seen("a", "index", &[(0, 9)]),
            seen("a", "rare", &[(2, 1)]),
            seen("a", "seq", &[(0, 1), (1, 9), (2, 12)]),
        ];
        let plans: Vec<&str> = changed(&all).iter().map(|plan| plan.plan.as_str()).collect();
        assert_eq!(plans, ["index", "seq"]);
    }

    #[test]
    fn a_plan_for_some_values_is_none() {
        let often = seen("a", "often", &[(0, 20), (1, 20), (2, 20)]);
        for rare in [&[(0, 1)][..], &[(1, 2)], &[(0, 2), (1, 3)], &[(2, 1)]] {
            assert!(changed(&[often.clone(), seen("a", "rare", rare)]).is_empty(), "{rare:?}");
        }
        assert!(changed(std::slice::from_ref(&often)).is_empty());
    }
}
