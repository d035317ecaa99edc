//! SARIF 2.1.0, for code scanning on a pull request: what is not a pass, at the line of the scenario it is about; and
//! what is wrong with migrations, at its line.

use serde_json::{Value, json};

use super::RunRecord;
use super::checks::{Check, suites};
use crate::migrate::lint::{About, Finding, Linted, Severity, Waived};
use crate::verdict::Verdict;

/// `record` as SARIF.
///
/// # Errors
/// When the document cannot be written, which would be a mistake of ours.
pub fn sarif(record: &RunRecord) -> anyhow::Result<String> {
    let suites = suites(record);
    let rules: Vec<Value> = suites.iter().map(|suite| rule(&suite.stage)).collect();
    let results: Vec<Value> = suites
        .iter()
        .flat_map(|suite| suite.checks.iter().map(|check| (suite.stage.as_str(), check)))
        .filter(|(_, check)| check.verdict != Verdict::Pass)
        .map(|(stage, check)| result(record, stage, check))
        .collect();
    document(&record.omtdb_version, &rules, &results)
}

/// What `migrate lint` found by `rules`, as SARIF; what is waived is there as suppressed.
///
/// # Errors
/// As with [`sarif`].
pub fn lint_sarif(linted: &Linted, rules: &[About]) -> anyhow::Result<String> {
    let rules: Vec<Value> = rules.iter().filter(|rule| rule.taken).map(lint_rule).collect();
    let stays = linted.findings.iter().map(finding);
    let results: Vec<Value> = stays.chain(linted.waived.iter().map(suppressed)).collect();
    document(env!("CARGO_PKG_VERSION"), &rules, &results)
}

fn document(version: &str, rules: &[Value], results: &[Value]) -> anyhow::Result<String> {
    let driver = json!({ "name": "omtdb", "version": version, "rules": rules });
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{ "tool": { "driver": driver }, "columnKind": "unicodeCodePoints", "results": results }],
    });
    Ok(serde_json::to_string_pretty(&document)?)
}

fn lint_rule(rule: &About) -> Value {
    json!({ "id": format!("omtdb/{}", rule.rule), "shortDescription": { "text": rule.summary } })
}

fn finding(finding: &Finding) -> Value {
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let region = json!({ "startLine": finding.line, "startColumn": finding.column });
    json!({
        "ruleId": format!("omtdb/{}", finding.rule),
        "level": level,
        "message": { "text": format!("{}\n{}", finding.message, finding.help) },
        "locations": [{
            "physicalLocation": { "artifactLocation": { "uri": finding.file }, "region": region }
        }],
    })
}

fn suppressed(waived: &Waived) -> Value {
    let mut result = finding(&waived.finding);
    result["suppressions"] = json!([{ "kind": "external", "justification": waived.reason }]);
    result
}

fn rule(stage: &str) -> Value {
    json!({ "id": format!("omtdb/{stage}"), "shortDescription": { "text": format!("stage {stage} of the gate") } })
}

fn result(record: &RunRecord, stage: &str, check: &Check) -> Value {
    let level = match check.verdict {
        Verdict::Fail => "error",
        Verdict::Inconclusive => "warning",
        Verdict::Pass => "none",
    };
    let text = format!("{}: {}", check.name, check.reasons.join("\n"));
    let mut result =
        json!({ "ruleId": format!("omtdb/{stage}"), "level": level, "message": { "text": text } });
    if let Some((file, line)) = place(record, check) {
        result["locations"] = json!([{
            "physicalLocation": { "artifactLocation": { "uri": file }, "region": { "startLine": line } }
        }]);
    }
    result
}

/// Where the operation that `check` is about stands; where it is about a whole scenario, its first operation.
fn place<'a>(record: &'a RunRecord, check: &Check) -> Option<(&'a str, usize)> {
    let (scenario, op) = check.about.as_ref()?;
    let op = op.as_ref().and_then(|op| op.split('#').next());
    let mut places = record.places.iter().filter(|place| place.scenario == *scenario);
    let place = places.find(|place| op.is_none_or(|op| place.op == op))?;
    Some((&place.file, place.line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;
    use crate::scenario::OpPlace;

    #[test]
    fn a_finding_of_lint_stands_at_its_line() {
        use crate::migrate::lint::{Catalog, File, Waivers, about, lint};
        let text =
            "-- omtdb: allow ban-drop-table: it was never used\nDROP TABLE a.b;\nDROP TABLE a.c;".to_owned();
        let file = File { name: "m/V1__x.sql".to_owned(), version: Some(1), text, wanted: true };
        let linted = lint(&[file], &Waivers::default(), Catalog::default());
        let document: Value = serde_json::from_str(&lint_sarif(&linted, &about()).unwrap()).unwrap();
        let results = document["runs"][0]["results"].as_array().unwrap();
        assert_eq!(
            (&results[0]["ruleId"], &results[0]["level"]),
            (&json!("omtdb/ban-drop-table"), &json!("error"))
        );
        let place = &results[0]["locations"][0]["physicalLocation"];
        assert_eq!(
            (&place["region"]["startLine"], &place["artifactLocation"]["uri"]),
            (&json!(3), &json!("m/V1__x.sql"))
        );
        assert_eq!(results[1]["suppressions"][0]["justification"], "it was never used");
    }

    #[test]
    fn what_failed_stands_at_its_line() {
        let mut record = samples::failing();
        let broken =
            record.explain.as_ref().unwrap().ops.iter().find(|op| op.verdict == Verdict::Fail).unwrap();
        let (file, line) = ("scenarios/a.yaml".to_owned(), 17);
        record.places =
            vec![OpPlace { scenario: broken.scenario.clone(), op: broken.op.clone(), file, line }];
        let document: Value = serde_json::from_str(&sarif(&record).unwrap()).unwrap();
        let results = document["runs"][0]["results"].as_array().unwrap();
        let placed = results.iter().find(|result| result["ruleId"] == "omtdb/explain").unwrap();
        assert_eq!(placed["locations"][0]["physicalLocation"]["region"]["startLine"], 17);
        assert_eq!(placed["level"], "error");
        let clean: Value = serde_json::from_str(&sarif(&samples::passing()).unwrap()).unwrap();
        assert_eq!(clean["runs"][0]["results"], json!([]));
    }
}
