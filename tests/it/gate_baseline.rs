//! A checkout against another one: equal ones are not called different, and what is lost is named.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use omtdb::migrate::Source;
use serde_json::Value;

use crate::gate::assert_nothing_runs_in;
use crate::harness::{command, home, json, omtdb, text};

/// A checkout: this one's migrations, and one scenario of its own.
struct Checkout(tempfile::TempDir);

const LIBRARY: &str = "\
version: 1
name: library
description: What the library page asks.
params:
  user: { dist: zipf, exponent: 0.5, over: users }
ops:
  planned:
    sql: SELECT media_id, notes FROM interaction.user_media WHERE user_id = $1 AND status = 'dropped'
    bind: [user]
mix: { planned: 1 }
load:
  arrival: { rate: 200/s, process: poisson }
  warmup: 0s
  duration: 300ms
  connections: 2
";

impl Checkout {
    fn new(scenario: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let migrations = dir.path().join("migrations");
        fs::create_dir_all(&migrations).unwrap();
        fs::create_dir_all(dir.path().join("scenarios")).unwrap();
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations")).unwrap().flatten()
        {
            fs::copy(entry.path(), migrations.join(entry.file_name())).unwrap();
        }
        fs::write(dir.path().join("scenarios/library.yaml"), scenario).unwrap();
        Source::read(&migrations).unwrap();
        Self(dir)
    }

    fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    fn edit(&self, migration: &str, from: &str, to: &str) {
        let path = self.path().join("migrations").join(migration);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&path, text.replace(from, to)).unwrap();
    }
}

/// Runs a gate with servers below a directory of its own, of so many rows that an index column matters.
fn gate(base: &Checkout, candidate: &Checkout, out: &Path) -> Output {
    let mut command = command();
    command.args(["gate", "--scratch", "--json", "--users", "1k", "--media", "2k", "--user-media", "200k"]);
    command.args(["--duration", "300ms", "--warmup", "0s", "--window", "200ms", "--out"]).arg(out);
    command.env("OMTDB_HOME", homes(out));
    command.arg("--baseline").arg(base.path());
    command.arg("--migrations").arg(candidate.path().join("migrations"));
    command.arg("--scenarios").arg(candidate.path().join("scenarios")).output().unwrap()
}

/// Where the servers of a gate that reports into `out` are.
fn homes(out: &Path) -> PathBuf {
    home().join(out.file_name().unwrap().to_string_lossy().trim_start_matches('.'))
}

fn stage<'a>(record: &'a Value, name: &str) -> &'a Value {
    record["stages"].as_array().unwrap().iter().find(|stage| stage["stage"] == name).unwrap()
}

fn reasons(record: &Value) -> String {
    let reasons = stage(record, "baseline")["reasons"].as_array().unwrap();
    reasons.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

#[test]
fn equal_checkouts_are_not_called_different() {
    let base = Checkout::new(LIBRARY);
    let once = || {
        let out = tempfile::tempdir().unwrap();
        let output = gate(&base, &Checkout::new(LIBRARY), out.path());
        (json(&output), out, output)
    };
    // A busy machine may leave it undecided; it must not invent a slowdown. One in a hundred may be wrong, two in turn not.
    let called_different = |record: &Value| stage(record, "baseline")["verdict"] == "fail";
    let (mut record, mut out, mut output) = once();
    if called_different(&record) {
        (record, out, output) = once();
    }
    assert!(!called_different(&record), "{}", text(&output));
    let changes = record["changes"].as_array().unwrap();
    let times: Vec<&Value> = changes.iter().filter(|change| change["metric"] == "p50").collect();
    assert_eq!(times.len(), 1, "{record}");
    assert!(times[0]["pairs"].as_u64().unwrap() >= 8 && times[0]["change_percent"].is_number(), "{record}");
    assert_eq!(changes.len(), 1, "plans over the same data do the same: {changes:?}");
    for file in ["run.json", "report.html", "junit.xml", "summary.md", "results.sarif", "metrics.txt"] {
        assert!(fs::metadata(out.path().join(file)).unwrap().len() > 0, "{file} is empty");
    }
    // Both servers are gone.
    assert_nothing_runs_in(&homes(out.path()));
}

#[test]
fn a_lost_index_column_is_caught_without_a_clock_and_named() {
    let (base, candidate, out) =
        (Checkout::new(LIBRARY), Checkout::new(LIBRARY), tempfile::tempdir().unwrap());
    candidate.edit("V7__user_media.sql", "(user_id, status)", "(user_id)");
    let output = gate(&base, &candidate, out.path());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let record = json(&output);
    let reasons = reasons(&record);
    assert!(reasons.contains("library/planned (generic) buffers:"), "{reasons}");
    assert!(
        reasons.contains("idx_user_media_user_status") && reasons.contains("(user_id, status)"),
        "{reasons}"
    );
    let sarif: Value =
        serde_json::from_str(&fs::read_to_string(out.path().join("results.sarif")).unwrap()).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let found = results.iter().find(|result| result["ruleId"] == "omtdb/baseline").unwrap();
    let place = &found["locations"][0]["physicalLocation"];
    assert_eq!(place["region"]["startLine"], 7, "{found}");
    assert!(place["artifactLocation"]["uri"].as_str().unwrap().ends_with("library.yaml"), "{found}");
}

#[test]
fn a_slower_statement_of_the_same_plan_is_caught_by_the_pairs() {
    let slower =
        LIBRARY.replace("status = 'dropped'", "status = 'dropped' AND (SELECT pg_sleep(0.002)) IS NOT NULL");
    let out = tempfile::tempdir().unwrap();
    let output = gate(&Checkout::new(LIBRARY), &Checkout::new(&slower), out.path());
    let record = json(&output);
    assert_eq!(stage(&record, "baseline")["verdict"], "fail", "{}", text(&output));
    assert!(reasons(&record).contains("library/planned p50:"), "{}", reasons(&record));
}

#[test]
fn a_baseline_needs_servers_of_its_own() {
    let base = Checkout::new(LIBRARY);
    let path = base.path();
    let output = omtdb(&["gate", "--url", "host=/nowhere", "--baseline", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("use it with --scratch alone"), "{}", text(&output));
    let output = omtdb(&["gate", "--scratch", "--baseline", "/nowhere"]);
    assert_ne!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("/nowhere/migrations"), "{}", text(&output));
}
