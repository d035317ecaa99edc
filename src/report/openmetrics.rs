//! OpenMetrics text: the figures of a run for a time series database.

use std::sync::atomic::AtomicU64;

use anyhow::Context as _;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::RunRecord;
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
    let mut text = String::new();
    encode(&mut text, &registry).context("write the OpenMetrics text")?;
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
    }
}
