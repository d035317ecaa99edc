//! What a run checked, one by one: the same list for JUnit and for the summaries, derived from the record alone.

use super::RunRecord;
use crate::audit::Severity;
use crate::drill::RestoreDrill;
use crate::explain::{Explained, OpPlan};
use crate::load::{Bench, ScenarioRun};
use crate::schema::Drift;
use crate::verdict::Verdict;

/// The checks of one stage.
pub(super) struct Suite {
    /// The stage's name.
    pub(super) stage: String,
    /// How long the stage took.
    pub(super) seconds: f64,
    /// At least one; the worst is no better than the stage.
    pub(super) checks: Vec<Check>,
}

/// One check and its outcome.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Check {
    /// What was checked.
    pub(super) name: String,
    /// The outcome.
    pub(super) verdict: Verdict,
    /// Why it is not a pass, one entry a reason; empty for a pass.
    pub(super) reasons: Vec<String>,
    /// What the reasons refer to: a plan, statements. Empty where there is nothing.
    pub(super) detail: String,
    /// How long it took, where it was timed.
    pub(super) seconds: Option<f64>,
    /// The scenario it is about, and the operation where it is about one.
    pub(super) about: Option<(String, Option<String>)>,
}

impl Check {
    fn new(name: impl Into<String>, verdict: Verdict) -> Self {
        Self {
            name: name.into(),
            verdict,
            reasons: Vec::new(),
            detail: String::new(),
            seconds: None,
            about: None,
        }
    }

    fn about(mut self, scenario: &str, op: Option<&str>) -> Self {
        self.about = Some((scenario.to_owned(), op.map(str::to_owned)));
        self
    }

    fn because(mut self, reasons: impl IntoIterator<Item = String>) -> Self {
        self.reasons.extend(reasons);
        self
    }
}

/// Every stage of `record` with its checks, in order.
pub(super) fn suites(record: &RunRecord) -> Vec<Suite> {
    let stages = record.stages.iter();
    stages
        .map(|stage| {
            let mut checks = of_stage(record, &stage.stage);
            // A stage may conclude more than its checks say: it broke, or was interrupted.
            if checks.is_empty() || Verdict::worst(checks.iter().map(|c| c.verdict)) < stage.verdict {
                checks.insert(0, Check::new(&stage.stage, stage.verdict).because(stage.reasons.clone()));
            }
            Suite { stage: stage.stage.clone(), seconds: stage.seconds, checks }
        })
        .collect()
}

fn of_stage(record: &RunRecord, stage: &str) -> Vec<Check> {
    match stage {
        "migrate" => record.migrate.iter().flat_map(|m| m.applied.iter().map(migration)).collect(),
        "verify" => record.verify.iter().flat_map(|v| drifts(&v.drift)).collect(),
        "generate" => record.generate_verify.iter().flat_map(|v| v.checks.iter().map(datum)).collect(),
        "explain" => record.explain.iter().flat_map(plans).collect(),
        "baseline" => record.baseline.iter().flat_map(|b| b.changes.iter().map(change)).collect(),
        "bench" => record.bench.iter().flat_map(scenarios).collect(),
        "audit" => record.audit.iter().flat_map(|a| findings(&a.findings)).collect(),
        "drill" => record.drill.iter().flat_map(proofs).collect(),
        _ => Vec::new(),
    }
}

fn migration(step: &crate::migrate::Step) -> Check {
    let mut check = Check::new(format!("V{} {}", step.version, step.name), Verdict::Pass);
    check.seconds = Some(step.ms / 1e3);
    check
}

fn drifts(drift: &[Drift]) -> Vec<Check> {
    if drift.is_empty() {
        return vec![Check::new("the schema is the plan's", Verdict::Pass)];
    }
    let side = |text: &Option<String>| text.clone().unwrap_or_else(|| "nothing".to_owned());
    drift
        .iter()
        .map(|d| {
            let reason = format!("the plan says {}, the database has {}", side(&d.expected), side(&d.found));
            Check::new(format!("{} ({})", d.object, d.kind), Verdict::Fail).because([reason])
        })
        .collect()
}

fn datum(check: &crate::datagen::Check) -> Check {
    let reason = (!check.ok).then(|| format!("expected {}, found {}", check.expected, check.found));
    Check::new(&check.name, Verdict::from_ok(check.ok)).because(reason)
}

fn plans(explained: &Explained) -> Vec<Check> {
    let plan = |op: &OpPlan| {
        let name = format!("{} {} ({})", op.scenario, op.op, op.mode);
        let mut check =
            Check::new(name, op.verdict).about(&op.scenario, Some(&op.op)).because(op.violations.clone());
        if op.verdict != Verdict::Pass {
            check.detail.clone_from(&op.plan);
        }
        check
    };
    explained.ops.iter().map(plan).collect()
}

fn change(change: &crate::compare::Change) -> Check {
    let mode = change.mode.as_ref().map_or_else(String::new, |mode| format!(" ({mode})"));
    let name = format!("{} {}{mode} {}", change.scenario, change.op, change.metric);
    // A tail that is not decided is told, and fails nothing.
    let verdict = if change.decides() { change.verdict } else { Verdict::Pass };
    let about = Check::new(name, verdict).about(&change.scenario, Some(&change.op));
    about.because((verdict != Verdict::Pass).then(|| change.to_string()))
}

/// One check a scenario; a missed objective that names none of them is a check of its own.
fn scenarios(bench: &Bench) -> Vec<Check> {
    let mut checks: Vec<Check> = bench.scenarios.iter().map(|run| scenario(run, &bench.violations)).collect();
    let homeless =
        bench.violations.iter().filter(|text| !bench.scenarios.iter().any(|run| is_about(text, run)));
    checks.extend(homeless.map(|text| Check::new("objective", Verdict::Fail).because([text.clone()])));
    checks
}

fn scenario(run: &ScenarioRun, violations: &[String]) -> Check {
    let missed = violations.iter().filter(|text| is_about(text, run)).cloned();
    let errors = run.ops.iter().filter_map(|op| {
        let first = op.first_error.as_ref().filter(|_| run.verdict != Verdict::Pass)?;
        Some(format!("{}: {} of {} executions failed, first with {first}", op.op, op.errors, op.count))
    });
    Check::new(&run.name, run.verdict)
        .about(&run.name, None)
        .because(missed)
        .because(run.invalid_because.iter().cloned())
        .because(errors)
}

/// Missed objectives begin with the name of their scenario.
fn is_about(violation: &str, run: &ScenarioRun) -> bool {
    violation
        .strip_prefix(&run.name)
        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || "-_".contains(c)))
}

fn findings(findings: &[crate::audit::Finding]) -> Vec<Check> {
    let errors: Vec<Check> = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .map(|finding| {
            let mut check = Check::new(format!("{} {}", finding.id, finding.object), Verdict::Fail)
                .because([finding.evidence.clone()]);
            check.detail = finding.remedy.join(";\n");
            check
        })
        .collect();
    if errors.is_empty() {
        return vec![Check::new("no finding is an error", Verdict::Pass)];
    }
    errors
}

fn proofs(drill: &RestoreDrill) -> Vec<Check> {
    let mut checks: Vec<Check> = drill
        .proof
        .iter()
        .map(|proof| {
            let reason = (!proof.ok).then(|| proof.detail.clone());
            Check::new(&proof.level, Verdict::from_ok(proof.ok)).because(reason)
        })
        .collect();
    if Verdict::worst(checks.iter().map(|check| check.verdict)) < drill.verdict {
        checks.push(Check::new("restore", drill.verdict).because(drill.reasons.clone()));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn a_passing_run_has_only_passing_checks_and_every_stage_has_one() {
        for suite in suites(&samples::passing()) {
            assert!(!suite.checks.is_empty(), "{}", suite.stage);
            assert!(suite.checks.iter().all(|c| c.verdict == Verdict::Pass && c.reasons.is_empty()));
        }
    }

    #[test]
    fn what_is_not_a_pass_has_a_reason() {
        for record in [samples::failing(), samples::interrupted()] {
            for suite in suites(&record) {
                for check in suite.checks {
                    assert_eq!(check.verdict == Verdict::Pass, check.reasons.is_empty(), "{}", check.name);
                }
            }
        }
    }

    #[test]
    fn a_stage_that_broke_is_a_check_of_its_own() {
        let mut record = samples::passing();
        record.stages[5].verdict = Verdict::Fail;
        record.stages[5].reasons = vec!["the server went away".to_owned()];
        let audit = &suites(&record)[5];
        assert_eq!(audit.checks[0].name, "audit");
        assert_eq!(audit.checks[0].reasons, ["the server went away"]);
    }

    #[test]
    fn an_objective_belongs_to_the_scenario_it_names() {
        let bench = Bench {
            scenarios: vec![
                ScenarioRun {
                    name: "page".to_owned(),
                    ..samples::failing().bench.unwrap().scenarios.remove(1)
                },
                ScenarioRun {
                    name: "page-two".to_owned(),
                    ..samples::passing().bench.unwrap().scenarios.remove(0)
                },
            ],
            violations: vec!["page op: p99".to_owned(), "page-two op: p99".to_owned(), "odd".to_owned()],
        };
        let checks = scenarios(&bench);
        assert_eq!(checks[0].reasons[0], "page op: p99");
        assert_eq!(checks[1].reasons, ["page-two op: p99"]);
        assert_eq!((checks[2].name.as_str(), checks[2].reasons.len()), ("objective", 1));
    }
}
