//! What was recorded, held against the objectives; whether the measurement counts at all.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::drift::PlanSeen;
use super::recorder::{OpRecord, Recorder, micros_at};
use super::run::Options;
use super::schedule::Course;
use super::server::ServerWork;
use super::slices::slices;
use super::{OpRun, ScenarioRun};
use crate::datagen::Shard;
use crate::scenario::{Arrival, Load, Objective, Quantile, Scenario};
use crate::verdict::Verdict;

/// What one scenario's run left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Evidence {
    pub(super) recorder: Recorder,
    /// Why no connection was left, where none was.
    pub(super) gone: Option<String>,
    /// What the server did, where it could be asked.
    pub(super) server: Option<ServerWork>,
    /// Which plans were executed, where that was looked at.
    #[serde(default)]
    pub(super) plans: Vec<PlanSeen>,
}

/// The driver's own lateness may be this share of the tightest bound on a response time.
const LAG_SHARE: f64 = 0.2;
/// And this where no bound is set, or where the share of one is less.
const LAG_LEAST: Duration = Duration::from_millis(10);
/// A hundredth of the executions may be later than that, or this many: in a short run a single hiccup is no limit.
const LATE_LEAST: u64 = 10;
/// And a thread of it may be busy for this share of the time: beyond, it is late whenever two answers come at once.
const BUSY_MOST: f64 = 0.8;
/// Answers to what arrived during the measurement may take this much longer than it, and a second.
const OVERTIME_SHARE: f64 = 0.1;
const OVERTIME_LEAST: Duration = Duration::from_secs(1);

/// The record of the run, and every missed objective in words.
pub(super) fn judge(
    scenario: &Scenario,
    load: &Load,
    options: &Options,
    evidence: &Evidence,
) -> (ScenarioRun, Vec<String>) {
    let (recorder, course) = (&evidence.recorder, Course::of(load));
    let lasted = lasted(&course, recorder);
    let ops = scenario.ops.iter().zip(&recorder.ops).filter(|(op, _)| op.weight > 0);
    let ops: Vec<OpRun> = ops.map(|(op, record)| op_run(&op.name, record, lasted)).collect();
    let of_driver = limits_of_driver(scenario, load, recorder);
    let driver_limited = !of_driver.is_empty();
    let invalid_because: Vec<String> = of_driver.into_iter().chain(never_due(&ops)).collect();
    let share = share_of(options.driver);
    let asked_per_s = match load.arrival {
        Arrival::Open { .. } => Some(share * course.asked() / course.measured().as_secs_f64()),
        Arrival::Closed { .. } => None,
    };
    let achieved_per_s = ops.iter().map(|op| op.achieved_per_s).sum();
    let mut violations = objectives(scenario, &ops, asked_per_s.map(|asked| achieved_per_s / asked));
    violations.extend(saturation(load, &course, recorder));
    violations.extend(ops.iter().filter_map(dropped));
    violations.extend(evidence.gone.as_ref().map(|why| format!("every connection was lost: {why}")));
    let verdict = match (invalid_because.is_empty(), violations.is_empty()) {
        (true, ok) => Verdict::from_ok(ok),
        // However late the driver was: a server that is gone did not hold.
        (false, _) if evidence.gone.is_some() => Verdict::Fail,
        (false, _) => Verdict::Inconclusive,
    };
    let loop_kind = match load.arrival {
        Arrival::Open { .. } => "open",
        Arrival::Closed { .. } => "closed",
    };
    let busy: Duration = recorder.busy.iter().map(|busy| busy.cpu).sum();
    let executions: u64 = ops.iter().map(|op| op.count).sum();
    let result = ScenarioRun {
        name: scenario.name.clone(),
        verdict,
        valid: invalid_because.is_empty(),
        driver_limited,
        invalid_because,
        loop_kind: loop_kind.to_owned(),
        seed: options.seed,
        asked_per_s,
        achieved_per_s,
        duration_s: course.measured().as_secs_f64(),
        lag_p99_us: micros_at(&recorder.lag, 0.99),
        driver_cpu_share: recorder.busy.iter().map(|busy| busy.share()).reduce(f64::max),
        driver_cpu_us_per_op: (executions > 0).then(|| per_op(busy, executions)),
        protocol: load.protocol,
        lost_connections: recorder.lost,
        retries: recorder.retries,
        server: evidence.server.clone(),
        plans: evidence.plans.clone(),
        ops,
        slices: slices(&course, share, recorder),
    };
    let named = violations.into_iter().map(|violation| format!("{}: {violation}", scenario.name));
    (result, named.collect())
}

fn op_run(name: &str, record: &OpRecord, lasted: Duration) -> OpRun {
    let at = |quantile| micros_at(&record.response, quantile);
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let achieved_per_s = record.response.len() as f64 / lasted.as_secs_f64();
    OpRun {
        op: name.to_owned(),
        count: record.count(),
        errors: record.errors,
        dropped: record.dropped,
        first_error: record.first_error.as_ref().map(|(_, why)| why.clone()),
        p50_us: at(0.5),
        p95_us: at(0.95),
        p99_us: at(0.99),
        max_us: at(1.0),
        service_p99_us: micros_at(&record.service, 0.99),
        achieved_per_s,
    }
}

/// From the start of the measured part to the last answer, without what was not measured in between.
fn lasted(course: &Course, recorder: &Recorder) -> Duration {
    course.measured() + overtime(course, recorder)
}

/// From the last arrival that could be to the last answer.
fn overtime(course: &Course, recorder: &Recorder) -> Duration {
    recorder.last.saturating_sub(course.length().saturating_sub(course.warmup()))
}

/// A driver's share of the executions of all.
fn share_of(driver: Shard) -> f64 {
    1.0 / f64::from(driver.of.get())
}

#[expect(clippy::cast_precision_loss, reason = "microseconds for people")]
fn per_op(busy: Duration, executions: u64) -> f64 {
    1e6 * busy.as_secs_f64() / executions as f64
}

/// Why the measurement says more about the driver than about the server.
fn limits_of_driver(scenario: &Scenario, load: &Load, recorder: &Recorder) -> Vec<String> {
    let limits = scenario.slo.iter().filter_map(|objective| match objective {
        Objective::Latency { limit, .. } => Some(*limit),
        Objective::Errors { .. } | Objective::Achieved { .. } => None,
    });
    let allowed = limits.min().map_or(LAG_LEAST, |limit| limit.mul_f64(LAG_SHARE)).max(LAG_LEAST);
    let mut doubts = Vec::new();
    // In a closed loop nothing is due before it is sent.
    if matches!(load.arrival, Arrival::Open { .. }) {
        doubts.extend(lateness(&recorder.lag, allowed));
    }
    doubts.extend(exhaustion(recorder));
    doubts
}

/// Operations of which nothing was measured.
fn never_due(ops: &[OpRun]) -> impl Iterator<Item = String> {
    let none = ops.iter().filter(|op| op.count == 0 && op.dropped == 0);
    none.map(|op| format!("{} was never due: measure for longer", op.op))
}

/// A thread that hardly ever waits measures itself.
fn exhaustion(recorder: &Recorder) -> Option<String> {
    let most = recorder.busy.iter().map(|busy| busy.share()).reduce(f64::max)?;
    (most > BUSY_MOST).then(|| {
        let (found, most) = (100.0 * most, 100.0 * BUSY_MOST);
        format!(
            "the driver was busy itself: one of its threads for {found:.0}% of the time, over {most:.0}%; use more drivers"
        )
    })
}

fn lateness(lag: &Histogram<u64>, allowed: Duration) -> Option<String> {
    let on_time = lag.count_between(0, u64::try_from(allowed.as_nanos()).unwrap_or(u64::MAX));
    let late = lag.len().saturating_sub(on_time);
    (late > LATE_LEAST && 100 * late > lag.len()).then(|| {
        format!(
            "the driver was late itself: {late} of {} executions by more than {}; give it a processor of its own",
            lag.len(),
            ms(allowed)
        )
    })
}

/// A server that answers more slowly than the load arrives cannot be said to bear it, whatever the percentiles are.
fn saturation(load: &Load, course: &Course, recorder: &Recorder) -> Option<String> {
    let Arrival::Open { rate, .. } = load.arrival else { return None };
    let allowed = course.measured().mul_f64(OVERTIME_SHARE) + OVERTIME_LEAST;
    (overtime(course, recorder) > allowed).then(|| {
        format!(
            "{rate} were too many: what arrived in {:.1} s was answered after {:.1} s",
            course.measured().as_secs_f64(),
            lasted(course, recorder).as_secs_f64()
        )
    })
}

/// What was dropped was never answered: no percentile knows of it.
fn dropped(op: &OpRun) -> Option<String> {
    (op.dropped > 0).then(|| format!("{}: {} arrivals were dropped, too many waited", op.op, op.dropped))
}

fn objectives(scenario: &Scenario, ops: &[OpRun], achieved: Option<f64>) -> Vec<String> {
    scenario.slo.iter().filter_map(|objective| missed(objective, ops, achieved)).collect()
}

/// The objective in words with the measured figure, where it is missed.
fn missed(objective: &Objective, ops: &[OpRun], achieved: Option<f64>) -> Option<String> {
    match objective {
        Objective::Latency { op, quantile, limit } => {
            let run = ops.iter().find(|run| run.op == *op)?;
            if run.count > 0 && run.count == run.errors {
                return Some(format!("{op} never succeeded: {}", run.first_error.as_deref().unwrap_or("")));
            }
            let (name, found) = match quantile {
                Quantile::P50 => ("p50", run.p50_us),
                Quantile::P95 => ("p95", run.p95_us),
                Quantile::P99 => ("p99", run.p99_us),
                Quantile::Max => ("max", run.max_us),
            };
            let found = Duration::from_micros(found);
            (found > *limit)
                .then(|| format!("{op} {name} {} over {} ({} executions)", ms(found), ms(*limit), run.count))
        }
        Objective::Achieved { share } => achieved.filter(|found| found < share).map(|found| {
            format!("{:.1}% of the asked rate achieved, under {}%", 100.0 * found, 100.0 * share)
        }),
        Objective::Errors { share } => {
            let (count, errors) =
                ops.iter().fold((0, 0), |(count, errors), op| (count + op.count, errors + op.errors));
            #[expect(clippy::cast_precision_loss, reason = "a share for people")]
            let found = errors as f64 / count.max(1) as f64;
            let first = ops.iter().find_map(|op| op.first_error.as_deref()).unwrap_or("");
            (found > *share).then(|| {
                let (found, share) = (100.0 * found, 100.0 * share);
                format!("errors {found:.2}% over {share}% ({errors} of {count}), the first: {first}")
            })
        }
    }
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", 1e3 * time.as_secs_f64())
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::recorder::Times;
    use super::*;
    use crate::scenario::{
        Op, PlanCache, PlanContract, Process, Protocol, Retry, Saturation, Stage, Statement,
    };
    use crate::units::Rate;

    pub(in crate::load) fn scenario(weights: &[(&str, u32)]) -> Scenario {
        let op = |(name, weight): &(&str, u32)| Op {
            name: (*name).to_owned(),
            statements: vec![Statement {
                sql: "SELECT 1".to_owned(),
                bind: Vec::new(),
                plan: PlanContract::default(),
            }],
            transaction: false,
            retry: Retry::default(),
            weight: *weight,
        };
        let arrival = Arrival::Open { rate: Rate::per_second(100.0).unwrap(), process: Process::Poisson };
        let length = Duration::from_secs(10);
        let stage = Stage { length, from_per_s: 100.0, to_per_s: 100.0, measured: true };
        Scenario {
            file: "test.yaml".into(),
            name: "test".to_owned(),
            description: String::new(),
            params: std::collections::BTreeMap::new(),
            ops: weights.iter().map(op).collect(),
            load: Load {
                arrival,
                warmup: Duration::ZERO,
                stages: vec![stage],
                connections: 2,
                protocol: Protocol::default(),
                plan_cache: PlanCache::default(),
                saturation: Saturation::default(),
            },
            slo: vec![
                Objective::Latency {
                    op: weights[0].0.to_owned(),
                    quantile: Quantile::P99,
                    limit: Duration::from_millis(100),
                },
                Objective::Errors { share: 0.01 },
            ],
        }
    }

    /// A thousand executions of `ms`, answered evenly until the end.
    fn evidence(ms: u64) -> Evidence {
        let mut recorder = Recorder::new(1).unwrap();
        for i in 0..1_000 {
            let time = Duration::from_millis(ms);
            let done = Duration::from_millis(10 * i);
            recorder.succeeded(0, Times { response: time, service: time, done }).unwrap();
        }
        Evidence { recorder, gone: None, server: None, plans: Vec::new() }
    }

    fn verdict(evidence: &Evidence) -> (Verdict, Vec<String>) {
        let scenario = scenario(&[("a", 1)]);
        let (result, violations) = judge(&scenario, &scenario.load, &Options::default(), evidence);
        assert_eq!(result.valid, result.invalid_because.is_empty());
        (result.verdict, violations)
    }

    #[test]
    fn objectives_met_pass() {
        assert_eq!(verdict(&evidence(90)), (Verdict::Pass, vec![]));
    }

    #[test]
    fn a_missed_objective_says_what_was_measured() {
        let (verdict, violations) = verdict(&evidence(150));
        assert_eq!(verdict, Verdict::Fail);
        assert_eq!(violations, ["test: a p99 150.1 ms over 100.0 ms (1000 executions)"]);
    }

    #[test]
    fn errors_count_over_all_executions() {
        let mut some = evidence(10);
        for i in 0..20 {
            some.recorder.failed(0, i, format!("22012 division {i}"), Duration::from_secs(1)).unwrap();
        }
        let (verdict, violations) = verdict(&some);
        assert_eq!(verdict, Verdict::Fail);
        assert_eq!(violations, ["test: errors 1.96% over 1% (20 of 1020), the first: 22012 division 0"]);
    }

    #[test]
    fn a_late_driver_decides_nothing() {
        let mut late = evidence(150);
        for _ in 0..10 {
            late.recorder.lagged(Duration::from_millis(21)).unwrap();
        }
        assert_eq!(verdict(&late).0, Verdict::Fail);
        late.recorder.lagged(Duration::from_millis(21)).unwrap();
        assert_eq!(verdict(&late).0, Verdict::Inconclusive);
        (0..1_089).for_each(|_| late.recorder.lagged(Duration::from_millis(19)).unwrap());
        assert_eq!(verdict(&late).0, Verdict::Fail);
    }

    #[test]
    fn an_operation_that_was_never_due_decides_nothing() {
        let none =
            Evidence { recorder: Recorder::new(1).unwrap(), gone: None, server: None, plans: Vec::new() };
        assert_eq!(verdict(&none).0, Verdict::Inconclusive);
    }

    #[test]
    fn a_backlog_fails_whatever_the_percentiles_are() {
        let mut behind = evidence(1);
        let times =
            Times { response: Duration::ZERO, service: Duration::ZERO, done: Duration::from_secs(13) };
        behind.recorder.succeeded(0, times).unwrap();
        let (verdict, violations) = verdict(&behind);
        assert_eq!(verdict, Verdict::Fail);
        assert!(violations[0].contains("answered after 13.0 s"), "{violations:?}");
    }

    #[test]
    fn a_lost_server_fails() {
        let lost = Evidence { gone: Some("refused".to_owned()), ..evidence(1) };
        assert_eq!(
            verdict(&lost),
            (Verdict::Fail, vec!["test: every connection was lost: refused".to_owned()])
        );
    }
}
