//! The whole job on a real server: it passes when everything holds, and fails for each thing that does not.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Server, command, home, json, text};

/// A gate of few rows, that is soon over. The shipped contracts are for more: it fails in the stage that reads plans, and
/// whatever else it is made to fail for it fails for too.
fn gate(out: &Path) -> Command {
    let mut command = short(out);
    command.args(["--users", "50", "--media", "300", "--user-media", "4000"]);
    command
}

/// A gate of the smallest profile that measures no longer than needed.
fn short(out: &Path) -> Command {
    let mut command = command();
    command.args(["gate", "--duration", "500ms", "--warmup", "200ms"]).arg("--out").arg(out);
    command
}

/// The reasons of `stage` in the record on standard output.
#[track_caller]
fn reasons(output: &Output, stage: &str) -> String {
    let record = json(output);
    let stages = record["stages"].as_array().unwrap();
    let found = stages.iter().find(|found| found["stage"] == stage).unwrap();
    assert_eq!(found["verdict"], "fail", "{}", text(output));
    found["reasons"].as_array().unwrap().iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

/// The gate failed, and says why in its record, on screen and in junit.xml.
#[track_caller]
fn assert_fails_for(output: &Output, out: &Path, stage: &str, words: &[&str]) {
    assert_eq!(output.status.code(), Some(1), "{}", text(output));
    let reasons = reasons(output, stage);
    let junit = one_line(&fs::read_to_string(out.join("junit.xml")).unwrap());
    let report = command().arg("report").arg(out.join("run.json")).output().unwrap();
    let screen = one_line(&String::from_utf8_lossy(&report.stdout));
    for word in words {
        assert!(reasons.contains(word), "{word:?} is not in the reasons: {reasons}");
        assert!(junit.contains(word), "{word:?} is not in junit.xml: {junit}");
        assert!(screen.contains(word), "{word:?} is not on screen: {screen}");
    }
}

/// A sentence may be broken between any two of its words.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn out() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A gate over one scenario, and where its reports are.
fn gate_with(scenario: &str) -> (TempDir, Output) {
    let (scenarios, out) = (out(), out());
    fs::write(scenarios.path().join("mine.yaml"), scenario).unwrap();
    let mut command = gate(out.path());
    let output = command.args(["--scratch", "--json", "--scenarios"]).arg(scenarios.path()).output().unwrap();
    (out, output)
}

/// The shipped scenarios, with objectives that a machine busy with other tests meets too.
fn patient_scenarios() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios")).unwrap().flatten() {
        let scenario = fs::read_to_string(file.path()).unwrap().replace("p99: 250ms", "p99: 10s");
        fs::write(dir.path().join(file.file_name()), scenario).unwrap();
    }
    dir
}

#[test]
fn a_gate_on_a_throw_away_server_passes_and_leaves_nothing() {
    let (scenarios, out) = (patient_scenarios(), out());
    let output = short(out.path())
        .args(["--scratch", "--json", "--scenarios"])
        .arg(scenarios.path())
        .env("OMTDB_HOME", home().join("passes"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let record = json(&output);
    let stages: Vec<&str> =
        record["stages"].as_array().unwrap().iter().filter_map(|stage| stage["stage"].as_str()).collect();
    assert_eq!(stages, ["migrate", "verify", "generate", "explain", "bench", "audit", "drill"]);
    for file in ["run.json", "report.html", "junit.xml"] {
        assert!(fs::metadata(out.path().join(file)).unwrap().len() > 0, "{file} is empty");
    }
    let histograms = fs::read_dir(out.path()).unwrap().flatten();
    assert!(histograms.filter(|file| file.path().extension().is_some_and(|e| e == "hlog")).count() > 0);
    assert_nothing_runs_in(&home().join("passes"));
}

#[tokio::test]
async fn a_dropped_index_fails_the_gate() {
    let server = Server::start();
    let target = server.loaded().await;
    let session = server.session(&target.dbname).await;
    session.batch_execute("DROP INDEX interaction.idx_user_media_user_status").await.unwrap();
    session.close().await;
    let out = out();
    let output = gate(out.path()).args(["--json", "--url", &server.url(&target.dbname)]).output().unwrap();
    assert_fails_for(&output, out.path(), "verify", &["idx_user_media_user_status"]);
}

#[test]
fn a_promise_of_one_leaf_that_is_not_kept_fails_the_gate() {
    let (out, output) = gate_with(
        "version: 1
name: everybody
description: Filters without the user and promises one leaf all the same.
params:
  status: { dist: weighted, values: { completed: 1 } }
ops:
  by_status:
    sql: SELECT count(*) FROM interaction.user_media WHERE status = $1
    bind: [status]
    plan: { partitions: { interaction.user_media: { max_scanned: 1 } } }
mix: { by_status: 1 }
load: { clients: 1, warmup: 1s, duration: 1s }
",
    );
    assert_fails_for(&output, out.path(), "explain", &["by_status", "16", "user_id"]);
}

#[test]
fn an_impossible_objective_fails_the_gate() {
    let (out, output) = gate_with(
        "version: 1
name: hurry
description: Asks for an answer faster than any server gives one.
params:
  user: { dist: zipf, exponent: 0.9, over: users }
ops:
  library:
    sql: SELECT media_id, pg_sleep(0.002) FROM interaction.user_media WHERE user_id = $1 LIMIT 1
    bind: [user]
mix: { library: 1 }
load: { clients: 1, warmup: 1s, duration: 1s }
slo:
  - { op: library, p99: 1ms }
",
    );
    assert_fails_for(&output, out.path(), "bench", &["library", "p99"]);
}

#[test]
fn a_changed_row_in_the_restored_copy_fails_the_gate() {
    let out = out();
    let output = gate(out.path()).args(["--scratch", "--json", "--sabotage", "update-row"]).output().unwrap();
    assert_fails_for(&output, out.path(), "drill", &["1 differ", "is changed"]);
}

/// A gate on a throw-away server in `home`, at the beginning of `stage`; and the lines that it says from then on.
fn gate_at(stage: &str, home: &Path, out: &Path) -> (Child, impl Iterator<Item = String>) {
    let mut gate = gate(out);
    let gate = gate.arg("--scratch").env("OMTDB_HOME", home).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = gate.spawn().unwrap();
    let begins = format!("{stage} …");
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == begins), "{stage} was never reached");
    (child, lines)
}

#[test]
fn an_interrupt_in_any_stage_leaves_nothing_behind() {
    for stage in ["migrate", "verify", "generate", "explain", "bench", "audit", "drill"] {
        let (out, home) = (out(), home().join(format!("interrupt-{stage}")));
        let (mut child, lines) = gate_at(stage, &home, out.path());
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
        let said: Vec<String> = lines.collect();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{stage}: {said:?}");
        assert_nothing_runs_in(&home);
        let record = fs::read_to_string(out.path().join("run.json")).unwrap();
        assert!(record.contains("\"interrupted\": true"), "{stage}: {record}");
    }
}

#[test]
fn what_a_killed_gate_left_is_cleared_away_by_the_next() {
    let (out, home) = (out(), home().join("killed"));
    let (mut child, _lines) = gate_at("bench", &home, out.path());
    child.kill().unwrap();
    child.wait().unwrap();
    let left = || {
        let names = fs::read_dir(home.join("clusters")).unwrap().flatten().map(|entry| entry.file_name());
        names.filter(|name| name.to_string_lossy().starts_with("gate-")).count()
    };
    assert_eq!(left(), 1, "a kill -9 leaves the cluster behind");
    let output = gate(out.path()).arg("--scratch").env("OMTDB_HOME", &home).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", text(&output));
    assert_eq!(left(), 0);
    assert_nothing_runs_in(&home);
}

/// No server's data directory begins with `prefix`, and nothing of a gate is left there.
#[track_caller]
pub(crate) fn assert_nothing_runs_in(prefix: &Path) {
    let prefix = prefix.to_string_lossy().into_owned();
    let running = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let cwd = fs::read_link(entry.path().join("cwd")).ok()?;
        cwd.to_string_lossy().starts_with(&prefix).then_some(cwd)
    });
    assert_eq!(running.collect::<Vec<_>>(), Vec::<std::path::PathBuf>::new());
}
