//! SARIF 2.1.0: what is not a pass, at the line of the scenario it is about, for code scanning on a pull request.

use serde_json::{Value, json};

use super::RunRecord;
use super::checks::{Check, suites};
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
    let driver = json!({ "name": "omtdb", "version": record.omtdb_version, "rules": rules });
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{ "tool": { "driver": driver }, "columnKind": "unicodeCodePoints", "results": results }],
    });
    Ok(serde_json::to_string_pretty(&document)?)
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
