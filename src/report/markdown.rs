//! A step summary for CI, in GitHub's Markdown: what failed first, then the rest.

use std::fmt;

use super::RunRecord;
use super::checks::{Check, suites};
use super::figures;
use crate::verdict::Verdict;

/// `record` as Markdown.
#[must_use]
pub fn markdown(record: &RunRecord) -> String {
    Summary(record).to_string()
}

struct Summary<'a>(&'a RunRecord);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(record) = self;
        let cut = if record.interrupted { ", interrupted" } else { "" };
        writeln!(out, "## omtdb gate: {}{cut}\n", figures::loud(record.verdict))?;
        failures(record, out)?;
        stages(record, out)?;
        latencies(record, out)?;
        if let Some(at) = record.last_proven_restore() {
            writeln!(out, "Last proven restore: {at}\n")?;
        }
        writeln!(out, "{}", plain(&record.headline()))
    }
}

fn failures(record: &RunRecord, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let suites = suites(record);
    let bad: Vec<(&str, &Check)> = suites
        .iter()
        .flat_map(|suite| suite.checks.iter().map(|check| (suite.stage.as_str(), check)))
        .filter(|(_, check)| check.verdict != Verdict::Pass)
        .collect();
    for (stage, check) in &bad {
        writeln!(out, "- **{}** {}: {}", check.verdict.word(), plain(stage), plain(&check.name))?;
        for reason in &check.reasons {
            writeln!(out, "  - {}", plain(reason))?;
        }
    }
    if !bad.is_empty() {
        writeln!(out)?;
    }
    for (_, check) in bad.iter().filter(|(_, check)| !check.detail.is_empty()) {
        let (name, detail) = (html(&check.name), html(&check.detail));
        writeln!(out, "<details><summary>{name}</summary>\n\n<pre>{detail}</pre>\n</details>\n")?;
    }
    Ok(())
}

fn stages(record: &RunRecord, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(out, "| stage | verdict | seconds | |\n|---|---|--:|---|")?;
    for stage in &record.stages {
        let verdict = match stage.verdict {
            Verdict::Pass => "pass".to_owned(),
            other => format!("**{}**", other.word()),
        };
        let (name, summary) = (plain(&stage.stage), plain(&stage.summary));
        writeln!(out, "| {name} | {verdict} | {:.1} | {summary} |", stage.seconds)?;
    }
    writeln!(out)
}

fn latencies(record: &RunRecord, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Some(bench) = record.bench.as_ref().filter(|bench| !bench.scenarios.is_empty()) else {
        return Ok(());
    };
    writeln!(out, "| operation | rate | p50 | p95 | p99 | max | errors |\n|---|--:|--:|--:|--:|--:|--:|")?;
    for run in &bench.scenarios {
        for op in &run.ops {
            let name = plain(&format!("{} {}", run.name, op.op));
            let rate = figures::per_second(op.achieved_per_s);
            let [p50, p95, p99, max] = [op.p50_us, op.p95_us, op.p99_us, op.max_us].map(figures::micros);
            let errors = figures::count(op.errors);
            writeln!(out, "| {name} | {rate} | {p50} | {p95} | {p99} | {max} | {errors} |")?;
        }
    }
    writeln!(out)
}

/// `text` in one line that Markdown shows as it is: neither markup nor the end of a table's cell.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // A mention would call people, an underscore between letters is no emphasis.
            '@' => out.push_str("&#64;"),
            '\\' | '`' | '*' | '[' | ']' | '|' | '~' | '#' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn passing() {
        insta::assert_snapshot!(markdown(&samples::passing()));
    }

    #[test]
    fn failing() {
        insta::assert_snapshot!(markdown(&samples::failing()));
    }

    #[test]
    fn interrupted() {
        insta::assert_snapshot!(markdown(&samples::interrupted()));
    }

    #[test]
    fn hostile_names_stay_text() {
        assert_eq!(plain("</script><b>|x|\n@all `a`"), "&lt;/script&gt;&lt;b&gt;\\|x\\| &#64;all \\`a\\`");
        let mut record = samples::failing();
        record.explain.as_mut().unwrap().ops[2].plan = "</pre></details><script>".to_owned();
        assert!(!markdown(&record).contains("<script>"));
    }
}
