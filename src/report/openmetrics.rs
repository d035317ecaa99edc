//! OpenMetrics text: the figures of a run for a time series database.

use std::sync::atomic::AtomicU64;

use anyhow::Context as _;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::RunRecord;
use crate::evidence::{Kind, Summary};
use crate::load::{OpRun, ScenarioRun};
use crate::verdict::Verdict;

type Labels = Vec<(String, String)>;
type Figures = Family<Labels, Gauge<f64, AtomicU64>>;

/// `record` as OpenMetrics text.
///
/// # Errors
/// When the text cannot be written, which would be a mistake of ours.
pub fn openmetrics(record: &RunRecord) -> anyhow::Result<String> {
    let mut registry = Registry::with_prefix("omtdb");
    let verdicts = family(&mut registry, "verdict", "0 pass, 1 fail, 2 inconclusive", None);
    set(&verdicts, &[("stage", "gate")], number(record.verdict));
    let seconds = family(&mut registry, "stage", "length of a stage", Some(Unit::Seconds));
    for stage in &record.stages {
        set(&verdicts, &[("stage", &stage.stage)], number(stage.verdict));
        set(&seconds, &[("stage", &stage.stage)], stage.seconds);
    }
    let responses = family(&mut registry, "response", "response time", Some(Unit::Seconds));
    let rates = family(&mut registry, "achieved_per_second", "operations answered each second", None);
    let errors = family(&mut registry, "failed", "executions that failed", None);
    for (run, op) in ops(record) {
        let labels = [("scenario", run.name.as_str()), ("op", op.op.as_str())];
        for (quantile, micros) in
            [("0.5", op.p50_us), ("0.95", op.p95_us), ("0.99", op.p99_us), ("1", op.max_us)]
        {
            set(&responses, &[&labels[..], &[("quantile", quantile)]].concat(), as_f64(micros) / 1e6);
        }
        set(&rates, &labels, op.achieved_per_s);
        set(&errors, &labels, as_f64(op.errors));
    }
    let changes =
        family(&mut registry, "change", "candidate over baseline, 0.1 is a tenth more", Some(Unit::Ratios));
    for change in record.baseline.iter().flat_map(|compared| &compared.changes) {
        if let Some(percent) = change.change_percent {
            let mode = change.mode.as_deref().unwrap_or("");
            let labels = [
                ("scenario", &*change.scenario),
                ("op", &*change.op),
                ("metric", &*change.metric),
                ("mode", mode),
            ];
            set(&changes, &labels, percent / 100.0);
        }
    }
    if let Some(drill) = &record.drill {
        let figures = LastRestore {
            proven_at: record.last_proven_restore(),
            verdict: drill.verdict,
            phases: drill.rto.phases.iter().map(|phase| (phase.phase.as_str(), phase.seconds)).collect(),
            total_s: Some(drill.rto.total_s),
            lost: Some(drill.rpo.lost),
        };
        last_restore(&mut registry, &figures);
    }
    text(&registry)
}

/// `summary` of a history of drills as OpenMetrics text, for a monitor that asks how old the last proven restore is.
///
/// # Errors
/// When the text cannot be written, which would be a mistake of ours.
pub fn drills_openmetrics(summary: &Summary) -> anyhow::Result<String> {
    let mut registry = Registry::with_prefix("omtdb");
    let broken =
        family(&mut registry, "drill_history_broken", "1 where a record is not as it was written", None);
    set(&broken, &[], f64::from(u8::from(summary.broken.is_some())));
    let records = family(&mut registry, "drill_history_records", "records of drills that verify", None);
    set(&records, &[], as_f64(summary.drills.len() as u64));
    let restores = summary.drills.iter().filter(|drill| drill.kind == Kind::Restore);
    if let Some(drill) = restores.max_by_key(|drill| drill.finished) {
        let figures = LastRestore {
            proven_at: summary.last_proven_restore.as_ref().map(|last| last.at),
            verdict: drill.verdict,
            phases: drill.phases.iter().map(|phase| (phase.phase.as_str(), phase.seconds)).collect(),
            total_s: drill.rto_total_s,
            lost: drill.rpo_lost,
        };
        last_restore(&mut registry, &figures);
    }
    text(&registry)
}

/// What a monitor asks of the last restore drill.
struct LastRestore<'a> {
    proven_at: Option<jiff::Timestamp>,
    verdict: Verdict,
    phases: Vec<(&'a str, f64)>,
    total_s: Option<f64>,
    lost: Option<u64>,
}

fn last_restore(registry: &mut Registry, drill: &LastRestore<'_>) {
    let mut one = |name: &str, help: &str, unit: Option<Unit>, value: Option<f64>| {
        if let Some(value) = value {
            set(&family(registry, name, help, unit), &[], value);
        }
    };
    let proven = drill.proven_at.map(|at| as_f64(at.as_second().unsigned_abs()));
    let help = "when a restore was last proven, since 1970";
    one("last_proven_restore_timestamp", help, Some(Unit::Seconds), proven);
    let help = "0 pass, 1 fail, 2 inconclusive";
    one("last_restore_drill_verdict", help, None, Some(number(drill.verdict)));
    one("last_restore_drill_rto", "recovery time", Some(Unit::Seconds), drill.total_s);
    one("last_restore_drill_lost_writes", "acknowledged writes lost", None, drill.lost.map(as_f64));
    let phases = family(registry, "last_restore_drill_phase", "phase of a recovery", Some(Unit::Seconds));
    for (phase, seconds) in &drill.phases {
        set(&phases, &[("phase", phase)], *seconds);
    }
}

fn text(registry: &Registry) -> anyhow::Result<String> {
    let mut text = String::new();
    encode(&mut text, registry).context("write the OpenMetrics text")?;
    Ok(text)
}

fn ops(record: &RunRecord) -> impl Iterator<Item = (&ScenarioRun, &OpRun)> {
    let scenarios = record.bench.iter().flat_map(|bench| &bench.scenarios);
    scenarios.flat_map(|run| std::iter::repeat(run).zip(&run.ops))
}

fn family(registry: &mut Registry, name: &str, help: &str, unit: Option<Unit>) -> Figures {
    let family = Figures::default();
    match unit {
        Some(unit) => registry.register_with_unit(name, help, unit, family.clone()),
        None => registry.register(name, help, family.clone()),
    }
    family
}

fn set(family: &Figures, labels: &[(&str, &str)], value: f64) {
    let labels = labels.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    family.get_or_create(&labels).set(value);
}

fn number(verdict: Verdict) -> f64 {
    match verdict {
        Verdict::Pass => 0.0,
        Verdict::Fail => 1.0,
        Verdict::Inconclusive => 2.0,
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for a chart")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn figures_have_their_labels_and_the_text_its_end() {
        let text = openmetrics(&samples::passing()).unwrap();
        assert!(text.contains("omtdb_verdict{stage=\"gate\"} 0"), "{text}");
        assert!(text.contains("quantile=\"0.99\""), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
        for figure in [
            "omtdb_last_proven_restore_timestamp_seconds 1795529",
            "omtdb_last_restore_drill_verdict 0",
            "omtdb_last_restore_drill_rto_seconds 11.903",
            "omtdb_last_restore_drill_lost_writes 0",
            "omtdb_last_restore_drill_phase_seconds{phase=\"replay\"} 5.871",
        ] {
            assert!(text.contains(figure), "{figure}: {text}");
        }
        let failing = openmetrics(&samples::failing()).unwrap();
        assert!(!failing.contains("last_proven"), "{failing}");
    }

    #[test]
    fn a_history_of_drills_has_its_figures() {
        let text = drills_openmetrics(&samples::drills()).unwrap();
        for figure in [
            "omtdb_drill_history_broken 0",
            "omtdb_drill_history_records 2",
            "omtdb_last_proven_restore_timestamp_seconds 1800000110",
            "omtdb_last_restore_drill_verdict 1",
            "omtdb_last_restore_drill_lost_writes 3",
            "omtdb_last_restore_drill_phase_seconds{phase=\"base copy\"} 2.5",
        ] {
            assert!(text.contains(figure), "{figure}: {text}");
        }
    }
}
