//! Evidence of drills: read by the command, and whole whatever becomes of who writes it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use omtdb::evidence::{Evidence, Facts, History, Kind, Ran, Receipt, record};
use omtdb::verdict::Verdict;
use serde_json::json;

use crate::harness::{Server, fresh_name, home, json, omtdb, text};

/// Tells [`writes_until_it_is_killed`] where to write; any other run of it has nothing to do.
const WRITE_TO: &str = "OMTDB_TEST_WRITE_TO";

fn fresh_dir() -> PathBuf {
    home().join(fresh_name("e"))
}

fn ran(days_ago: i64, verdict: Verdict) -> Ran {
    let finished = Timestamp::now() - SignedDuration::from_hours(24 * days_ago);
    let facts = Facts { postgresql_version: Some("15.18".to_owned()), ..Facts::default() };
    Ran { kind: Kind::Restore, started: finished, finished, verdict, facts }
}

fn drilled(dir: &Path, days_ago: i64, verdict: Verdict) -> Receipt {
    let result = json!({
        "proof": [{ "level": "content", "ok": verdict == Verdict::Pass, "detail": "" }],
        "rto": { "phases": [{ "phase": "base copy", "seconds": 1.25 }], "total_s": 1.25 },
        "rpo": { "acked": 5, "restored": 5, "lost": 0 }
    });
    record(dir, None, &ran(days_ago, verdict), &result).unwrap()
}

fn history(dir: &Path, args: &[&str]) -> Output {
    omtdb(&[&["drill", "history", "--evidence", &dir.display().to_string()], args].concat())
}

#[test]
fn a_history_is_listed_with_the_last_proven_restore() {
    let dir = fresh_dir();
    let receipt = drilled(&dir, 3, Verdict::Pass);
    drilled(&dir, 1, Verdict::Fail);
    let (metrics, page) = (dir.join("metrics.txt"), dir.join("drills.html"));
    let (metrics, page) = (metrics.to_str().unwrap(), page.to_str().unwrap());
    let all = ["--max-age", "90d", "--holds", &receipt.digest, "--openmetrics", metrics, "--html", page];
    let output = history(&dir, &[&all[..], &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let found = json(&output);
    assert_eq!(found["last_proven_restore"]["digest"], receipt.digest.as_str());
    assert_eq!(found["drills"][1]["verdict"], "fail");
    assert_eq!(found["drills"][0]["rto_total_s"], 1.25);
    let figures = fs::read_to_string(metrics).unwrap();
    assert!(figures.contains("omtdb_last_proven_restore_timestamp_seconds 1"), "{figures}");
    assert!(fs::read_to_string(page).unwrap().contains("3 days ago"));
    let said = text(&history(&dir, &[]));
    assert!(said.contains("last proven restore: ") && said.contains("3 days ago"), "{said}");
}

#[tokio::test]
async fn a_drill_that_found_a_row_leaves_nothing_of_it() {
    let (server, dir) = (Server::start(), fresh_dir());
    let target = server.loaded().await;
    let url = server.url(&target.dbname);
    let output = omtdb(&["drill", "restore", "--json", "--url", &url, "--sabotage", "delete-row"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let found = json(&output);
    let key = found["fingerprint"]["rows"][0]["key"].as_str().unwrap();
    // Not by the JSON's text, in which a key with quotes is written otherwise.
    let mut reasons = found["reasons"].as_array().unwrap().iter().map(|reason| reason.as_str().unwrap());
    assert!(reasons.any(|reason| reason.contains(key)), "the drill itself says which row: {found}");
    record(&dir, None, &ran(0, Verdict::Fail), &found).unwrap();
    let kept = &History::read(&dir, None).unwrap().records[0].result;
    assert!(!kept.to_string().contains(key), "{kept}");
    assert_eq!(kept["fingerprint"]["rows"][0]["relation"], found["fingerprint"]["rows"][0]["relation"]);
    let listed = json(&history(&dir, &["--json"]));
    let drill = &listed["drills"][0];
    // A row that others refer to is missed by them as well.
    assert!(["logical", "physical"].map(|level| json!(level)).contains(&drill["level"]), "{listed}");
    assert_eq!(drill["rpo_lost"], 0, "{listed}");
    assert_eq!(drill["rto_total_s"], found["rto"]["total_s"]);
}

#[test]
fn a_restore_that_was_proven_too_long_ago_fails() {
    let dir = fresh_dir();
    drilled(&dir, 91, Verdict::Pass);
    assert_eq!(history(&dir, &[]).status.code(), Some(0));
    let output = history(&dir, &["--max-age", "90d"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("is 91 days old, of 90 days"), "{}", text(&output));
}

#[test]
fn a_broken_history_fails_and_the_place_is_named() {
    let dir = fresh_dir();
    for days in [3, 2, 1] {
        drilled(&dir, days, Verdict::Pass);
    }
    let path = dir.join("history.jsonl");
    let lines: Vec<String> = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
    fs::write(&path, format!("{}\n{}\n", lines[0], lines[2])).unwrap();
    let output = history(&dir, &["--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let found = json(&output);
    assert_eq!(found["broken"], json!({ "line": 2, "fault": { "what": "removed", "first": 2, "last": 2 } }));
    assert_eq!(found["reasons"][0], "line 2: record 2 before it is gone");
}

#[test]
fn a_directory_without_evidence_is_a_usage_error() {
    let output = history(&fresh_dir(), &[]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
}

#[test]
fn what_a_killed_writer_leaves_is_gone_on_with() {
    let dir = fresh_dir();
    let mut before = 0;
    for pause in 0..12 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "evidence::writes_until_it_is_killed"])
            .env(WRITE_TO, &dir)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while read(&dir) == before {
            assert!(writer.try_wait().unwrap().is_none(), "it ended");
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_micros(700 * pause));
        writer.kill().unwrap();
        writer.wait().unwrap();
        let now = read(&dir);
        assert!(now > before, "{now} records after {before}");
        before = now;
    }
    let last = drilled(&dir, 0, Verdict::Pass);
    assert_eq!(read(&dir) as u64, last.line);
}

/// How many records there are, none of which may be broken.
fn read(dir: &Path) -> usize {
    let Ok(history) = History::read(dir, None) else { return 0 };
    assert_eq!(history.broken, None);
    history.records.len()
}

#[test]
fn writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os(WRITE_TO).map(PathBuf::from) else { return };
    let evidence = Evidence::open(&dir, None).unwrap();
    let big = "x".repeat(200_000);
    loop {
        evidence.append(&ran(0, Verdict::Pass), &big).unwrap();
    }
}
