//! The report for people: one HTML file without a script, a font or a picture from anywhere else.
//!
//! The templates beside this file escape whatever they are given; nothing in them is marked as safe.

mod drills;
#[expect(unreachable_pub, reason = "askama makes public items of the filters")]
mod filters;

pub use self::drills::drills_html;

use anyhow::Context as _;
use askama::Template;

use super::chart::{OverTime, Span, Spread, Stack, over_time, spans, spread, stack};
use super::{RunRecord, Stage, figures};
use crate::audit::Severity;
use crate::explain::OpPlan;
use crate::load::ScenarioRun;
use crate::verdict::Verdict;

/// `record` as one self-contained HTML document.
///
/// # Errors
/// When the template cannot be rendered, which would be a mistake of ours.
pub fn html(record: &RunRecord) -> anyhow::Result<String> {
    Page::of(record).render().context("render the HTML report")
}

/// What the template shows: the record, and what is derived from it.
#[derive(Template)]
#[template(path = "report.html", config = "src/report/html/askama.toml")]
struct Page<'a> {
    record: &'a RunRecord,
    timeline: Vec<(&'a Stage, Span)>,
    scenarios: Vec<ScenarioView<'a>>,
    broken_plans: Vec<(&'a OpPlan, Vec<&'a str>)>,
    kept_plans: Vec<&'a OpPlan>,
    rto: Option<Stack>,
    phases: Option<Stack>,
    loaded: (u64, u64),
}

/// A scenario with its charts.
struct ScenarioView<'a> {
    run: &'a ScenarioRun,
    spread: Option<Spread>,
    over_time: Option<OverTime>,
}

impl<'a> Page<'a> {
    fn of(record: &'a RunRecord) -> Self {
        let seconds: Vec<f64> = record.stages.iter().map(|stage| stage.seconds).collect();
        let generated = record.generate.as_ref();
        let explained = || record.explain.iter().flat_map(|explained| &explained.ops);
        Self {
            record,
            timeline: record.stages.iter().zip(spans(&seconds)).collect(),
            scenarios: record.bench.iter().flat_map(|bench| &bench.scenarios).map(ScenarioView::of).collect(),
            broken_plans: merged(explained().filter(|op| op.verdict != Verdict::Pass)),
            kept_plans: explained().filter(|op| op.verdict == Verdict::Pass).collect(),
            rto: record
                .drill
                .as_ref()
                .map(|drill| stack(drill.rto.phases.iter().map(|p| (p.phase.as_str(), p.seconds)))),
            phases: generated.map(|g| stack(g.phases.iter().map(|p| (p.phase.as_str(), p.seconds)))),
            loaded: generated.map_or((0, 0), |g| {
                g.tables.iter().fold((0, 0), |(rows, bytes), t| (rows + t.rows, bytes + t.bytes))
            }),
        }
    }

    fn loud(&self) -> &'static str {
        figures::loud(self.record.verdict)
    }

    /// Why a section is empty: its stage did not run, or it ran and ended without a result.
    fn absence(&self, stage: &str, consequence: &str) -> String {
        let ran = self.record.stages.iter().any(|known| known.stage == stage);
        let why = if ran { "ended without a result" } else { "did not run" };
        format!("The {stage} stage {why}: {consequence}.")
    }

    /// The stages that are no pass, each with a few of its reasons and the number of those left out.
    fn why(&self) -> Vec<(&'a Stage, &'a [String], usize)> {
        const SHOWN: usize = 3;
        let bad = self.record.stages.iter().filter(|stage| stage.verdict != Verdict::Pass);
        bad.map(|stage| {
            let shown = stage.reasons.len().min(SHOWN);
            (stage, &stage.reasons[..shown], stage.reasons.len() - shown)
        })
        .collect()
    }
}

/// `plans` with the modes in which an operation has the same plan and the same violations told once.
fn merged<'a>(plans: impl Iterator<Item = &'a OpPlan>) -> Vec<(&'a OpPlan, Vec<&'a str>)> {
    let same = |a: &OpPlan, b: &OpPlan| {
        (&a.scenario, &a.op, &a.plan, &a.violations) == (&b.scenario, &b.op, &b.plan, &b.violations)
    };
    let mut merged: Vec<(&OpPlan, Vec<&str>)> = Vec::new();
    for plan in plans {
        match merged.iter_mut().find(|(earlier, _)| same(earlier, plan)) {
            Some((_, modes)) => modes.push(&plan.mode),
            None => merged.push((plan, vec![&plan.mode])),
        }
    }
    merged
}

impl<'a> ScenarioView<'a> {
    fn of(run: &'a ScenarioRun) -> Self {
        Self { run, spread: spread(&run.ops), over_time: over_time(run) }
    }
}

/// The word for a severity, which is also the class of its mark.
fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    const SECTIONS: [&str; 8] =
        ["stages", "bench", "explain", "drill", "audit", "generate", "verify", "migrate"];

    #[test]
    fn every_section_is_there_in_order() {
        for record in [samples::passing(), samples::failing(), samples::interrupted()] {
            let page = html(&record).unwrap();
            let places: Vec<usize> =
                SECTIONS.map(|id| page.find(&format!("<section id=\"{id}\"")).unwrap()).into();
            assert!(places.is_sorted(), "{places:?}");
            assert!(page.contains(figures::loud(record.verdict)));
            assert_eq!(page.matches("<section").count(), page.matches("</section>").count());
            assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        }
    }

    #[test]
    fn a_passing_run_shows_what_was_measured_and_no_failure() {
        let page = html(&samples::passing()).unwrap();
        for figure in
            ["1,213,420", "2.90 ms", "idx_user_media_user_status", "11.9 s", "412 of 412", "PostgreSQL 15.18"]
        {
            assert!(page.contains(figure), "{figure}");
        }
        assert!(!page.contains("class=\"verdict fail\"") && !page.contains("class=\"absent\""));
    }

    #[test]
    fn a_failing_run_quotes_every_violation_and_every_reason() {
        let record = samples::failing();
        let page = html(&record).unwrap();
        let violations = record.explain.iter().flat_map(|e| &e.ops).flat_map(|op| &op.violations);
        for text in violations.chain(&record.bench.as_ref().unwrap().violations) {
            assert!(page.contains(text), "{text}");
        }
        for stage in record.stages.iter().filter(|stage| stage.verdict != Verdict::Pass) {
            assert!(page.contains(&format!("<a href=\"#{0}\">{0}</a>", stage.stage)));
            assert!(page.contains(&stage.reasons[0]), "{}", stage.stage);
        }
    }

    #[test]
    fn a_change_is_told_with_its_figures_and_what_the_server_did() {
        let mut record = samples::failing();
        record.baseline = serde_json::from_value(serde_json::json!({
            "changes": [{
                "scenario": "media-page", "op": "media_by_id", "metric": "p50", "mode": null, "base": "1.10 ms",
                "candidate": "1.32 ms", "change_percent": 20.0, "low": 15.5, "high": 24.5, "detectable_percent": 6.0,
                "pairs": 8, "verdict": "fail", "why": ["it reads another index"]
            }],
            "windows": [], "unpaired": ["media-page/gone"]
        }))
        .unwrap();
        let run = &mut record.bench.as_mut().unwrap().scenarios[1];
        let waits = [("IO:DataFileRead".to_owned(), 0.25)].into();
        run.server = Some(crate::load::ServerWork { waits, ..Default::default() });
        run.plans = [("Index Scan", 1), ("Seq Scan", 3)]
            .map(|(plan, second)| crate::load::PlanSeen {
                op: "media_by_id".to_owned(),
                fingerprint: plan.to_owned(),
                seconds: [(second, 9)].into(),
                plan: plan.to_owned(),
            })
            .into();
        let page = html(&record).unwrap();
        for part in [
            "Against the baseline",
            "+20.0%",
            "+15.5%",
            "it reads another index",
            "media-page/gone",
            "IO:DataFileRead",
            "25.0%",
            "Plans that changed during the load",
            "<pre>Seq Scan</pre>",
        ] {
            assert!(page.contains(part), "{part}");
        }
    }

    #[test]
    fn a_plan_that_both_modes_share_is_told_once() {
        let mut ops = samples::failing().explain.unwrap().ops.split_off(2);
        ops.truncate(2);
        assert_eq!(merged(ops.iter())[0].1, ["custom", "generic"]);
        ops[1].plan.push('x');
        assert_eq!(merged(ops.iter()).len(), 2);
    }

    #[test]
    fn what_did_not_run_is_said() {
        let page = html(&samples::interrupted()).unwrap();
        for what in ["bench", "explain", "drill", "audit"] {
            assert!(page.contains(&format!("The {what} stage did not run")), "{what}");
        }
        assert!(page.contains("This run loaded no data") && page.contains("interrupted by the user"));
    }

    #[test]
    fn a_stage_that_broke_is_not_said_to_have_been_left_out() {
        let mut record = samples::failing();
        record.drill = None;
        assert!(html(&record).unwrap().contains("The drill stage ended without a result"));
    }

    #[test]
    fn hostile_names_are_text() {
        const SCRIPT: &str = "</script><b>owned</b>";
        const IMAGE: &str = "\"><img onerror=alert(1)>";
        let mut record = samples::failing();
        record.generate.as_mut().unwrap().tables[0].table = SCRIPT.to_owned();
        record.audit.as_mut().unwrap().findings[0].object = SCRIPT.to_owned();
        record.verify.as_mut().unwrap().drift[0].object = SCRIPT.to_owned();
        record.drill.as_mut().unwrap().rto.phases[0].phase = IMAGE.to_owned();
        record.stages[0].stage = IMAGE.to_owned();
        record.profile = SCRIPT.to_owned();
        let op = &mut record.explain.as_mut().unwrap().ops[2];
        (op.op, op.plan) = (IMAGE.to_owned(), SCRIPT.to_owned());
        let run = &mut record.bench.as_mut().unwrap().scenarios[1];
        (run.name, run.ops[0].op) = (SCRIPT.to_owned(), IMAGE.to_owned());
        run.ops[0].first_error = Some(IMAGE.to_owned());
        let page = html(&record).unwrap();
        assert!(!page.contains("<b>owned") && !page.contains("</script>") && !page.contains("<img"));
        assert!(page.contains("&#60;/script&#62;&#60;b&#62;owned") && page.contains("&#34;&#62;&#60;img"));
    }

    #[test]
    fn the_file_needs_nothing_else() {
        let page = html(&samples::failing()).unwrap();
        for outside in ["http:", "https:", "//", "src=", "url(", "@import", "<link", "<script", "<iframe"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn nothing_in_the_templates_is_marked_as_safe() {
        for template in [
            include_str!("audit.html"),
            include_str!("bench.html"),
            include_str!("baseline.html"),
            include_str!("drill.html"),
            include_str!("drills.html"),
            include_str!("explain.html"),
            include_str!("generate.html"),
            include_str!("marks.html"),
            include_str!("over-time.html"),
            include_str!("report.html"),
            include_str!("schema.html"),
            include_str!("server.html"),
            include_str!("stack.html"),
            include_str!("stages.html"),
            include_str!("top.html"),
        ] {
            let template = template.replace(' ', "");
            assert!(
                !template.contains("|safe")
                    && !template.contains("|escape")
                    && !template.contains("autoescape")
            );
        }
    }

    #[test]
    fn every_chart_has_a_title_a_description_and_its_figures_in_a_table() {
        let page = html(&samples::failing()).unwrap();
        for chart in page.split("<svg class=\"chart").skip(1) {
            assert!(chart.contains("role=\"img\"") && chart.contains("<title>") && chart.contains("<desc>"));
        }
        assert_eq!(page.matches("The same as a table").count(), 3);
    }

    /// Relative luminance of `#rgb` or `#rrggbb` and the contrast of two, by WCAG 2.2.
    fn contrast(one: &str, other: &str) -> f64 {
        let luminance = |color: &str| {
            let digits = color.trim_start_matches('#');
            let wide: String =
                digits.chars().flat_map(|c| std::iter::repeat_n(c, 6 / digits.len())).collect();
            let channel = |at: usize| {
                let value = f64::from(u8::from_str_radix(&wide[at..at + 2], 16).unwrap()) / 255.0;
                if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
        };
        let (a, b) = (luminance(one), luminance(other));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_stands_out_in_every_theme() {
        assert!((contrast("#fff", "#000000") - 21.0).abs() < 0.01);
        let themes: Vec<&str> = include_str!("style.css").split(":root {").skip(1).collect();
        assert_eq!(themes.len(), 3, "light, dark and print");
        for theme in themes {
            let color = |name: &str| {
                let value = theme.split_once(&format!("--{name}: ")).unwrap().1;
                &value[..value.find(';').unwrap()]
            };
            let on_paper = ["ink", "quiet", "blue", "pass", "fail", "warn"];
            let on_paper =
                on_paper.iter().flat_map(|&ink| ["paper", "card", "code"].map(|ground| (ink, ground)));
            let on_bars = [
                ("in-dark", "shade1"),
                ("in-dark", "shade2"),
                ("in-light", "shade3"),
                ("in-light", "shade4"),
            ];
            for (ink, ground) in on_paper.chain(on_bars) {
                let contrast = contrast(color(ink), color(ground));
                assert!(contrast >= 4.5, "{ink} on {ground}: {contrast:.2}");
            }
        }
    }

    #[test]
    fn an_empty_record_is_a_report() {
        let mut record = samples::interrupted();
        record.stages.clear();
        (record.migrate, record.verify) = (None, None);
        let page = html(&record).unwrap();
        assert!(page.contains("No stage ran") && page.contains("The migrate stage did not run"));
    }
}
