//! Restore drills: that they pass when all is well, fail when anything is not, and leave nothing behind.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use omtdb::pg::Target;
use serde_json::Value;

use super::backup;
use crate::harness::{Server, SmallDisk, command, fresh_name, home, json, programs, text};

/// An `OMTDB_HOME` of one test alone, so that what is left in it is this test's.
pub(crate) fn own_home() -> PathBuf {
    home().join(fresh_name("h"))
}

pub(crate) fn drill(server: &Server, target: &Target, own_home: &Path, args: &[&str]) -> Output {
    start(server, target, own_home, args).wait_with_output().unwrap()
}

pub(crate) fn start(server: &Server, target: &Target, own_home: &Path, args: &[&str]) -> Child {
    let mut command = command();
    command.args(["drill", "restore", "--json", "--url", &server.url(&target.dbname)]).args(args);
    command.env("OMTDB_HOME", own_home).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub(crate) fn level<'a>(found: &'a Value, name: &str) -> &'a Value {
    found["proof"].as_array().unwrap().iter().find(|proof| proof["level"] == name).unwrap()
}

/// Asserts that neither files nor processes of a drill are left in `own_home`.
#[track_caller]
pub(crate) fn assert_nothing_left(own_home: &Path) {
    let entries = fs::read_dir(own_home.join("clusters")).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = entries.filter(|name| name != ".drill.lock").collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(processes_in(own_home), Vec::<String>::new());
}

/// Command lines of the live processes that work in `dir`.
fn processes_in(dir: &Path) -> Vec<String> {
    let command_lines = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "));
    command_lines.filter(|line| line.contains(&format!("{}/", dir.display()))).collect()
}

/// Waits until a path for which `is_it` holds stands in one of the directories of a drill in `own_home`.
async fn until(own_home: &Path, drill: &mut Child, is_it: impl Fn(&Path) -> bool) {
    loop {
        let clusters = fs::read_dir(own_home.join("clusters")).into_iter().flatten().flatten();
        if clusters.map(|entry| entry.path()).any(|path| path.is_dir() && is_it(&path)) {
            return;
        }
        assert!(drill.try_wait().unwrap().is_none(), "the drill ended before it came so far");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn receives(place: &Path) -> bool {
    fs::read_dir(place.join("wal")).is_ok_and(|mut files| files.next().is_some())
}

fn recovers(place: &Path) -> bool {
    place.join("data/postmaster.pid").exists()
}

#[tokio::test]
async fn a_restore_is_proven_level_by_level() {
    let (server, own_home) = (Server::start(), own_home());
    let target = server.loaded().await;
    let output = drill(&server, &target, &own_home, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let found = json(&output);
    let levels: Vec<&str> =
        found["proof"].as_array().unwrap().iter().map(|proof| proof["level"].as_str().unwrap()).collect();
    let all = [
        "manifest",
        "starts",
        "right-point",
        "sentinels",
        "physical",
        "logical",
        "content",
        "service",
        "self-test",
    ];
    assert_eq!(levels, all);
    assert!(found["proof"].as_array().unwrap().iter().all(|proof| proof["ok"] == true), "{found}");
    assert_eq!(found["fingerprint"]["source"], found["fingerprint"]["restored"]);
    assert_eq!(found["rpo"]["lost"], 0);
    assert_eq!(found["rpo"]["acked"], found["rpo"]["restored"]);
    let phases = found["rto"]["phases"].as_array().unwrap();
    let sum: f64 = phases.iter().map(|phase| phase["seconds"].as_f64().unwrap()).sum();
    assert!(phases.len() == 7 && (sum - found["rto"]["total_s"].as_f64().unwrap()).abs() < 1e-9, "{found}");
    assert_nothing_left(&own_home);
    let session = server.session(&target.dbname).await;
    let left = "SELECT count(*) FROM omtdb.drill_sentinel";
    assert_eq!(session.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test]
async fn one_changed_row_fails_the_drill() {
    let server = Server::start();
    let target = server.loaded().await;
    for (sabotage, how) in [("delete-row", "missing"), ("update-row", "changed")] {
        let own_home = own_home();
        let output = drill(&server, &target, &own_home, &["--sabotage", sabotage]);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        let found = json(&output);
        assert_eq!(found["verdict"], "fail");
        assert_eq!(level(&found, "content")["ok"], false);
        assert_eq!(level(&found, "right-point")["ok"], true, "{found}");
        let leaf = found["fingerprint"]["differing"][0].as_str().unwrap();
        assert_eq!(found["fingerprint"]["differing"].as_array().unwrap().len(), 1);
        let done = if how == "missing" { "deleted" } else { "changed" };
        let spoilt = format!("sabotage: one row of the copy was {done} in {leaf}");
        assert!(found["reasons"].as_array().unwrap().contains(&Value::from(spoilt)), "{found}");
        assert_eq!(found["fingerprint"]["rows"][0]["how"], how, "{found}");
        assert_nothing_left(&own_home);
    }
}

#[tokio::test]
async fn writers_do_not_disturb_the_comparison() {
    // Statistics that are gathered anew after the point are another reason for other plans.
    let (server, own_home) = (Server::with_settings(&[("autovacuum", "off")]), own_home());
    let target = server.loaded().await;
    let writer = server.session(&target.dbname).await;
    let mut drilling = start(&server, &target, &own_home, &[]);
    let mut writes: u64 = 0;
    while drilling.try_wait().unwrap().is_none() {
        let one =
            "UPDATE users.users SET role = role WHERE id = (SELECT id FROM users.users LIMIT 1 OFFSET 7)";
        assert_eq!(writer.execute(one, &[]).await.unwrap(), 1);
        writes += 1;
        tokio::task::yield_now().await;
    }
    let output = drilling.wait_with_output().unwrap();
    assert!(writes > 0 && output.status.code() == Some(0), "{}", text(&output));
}

#[tokio::test]
async fn a_backup_from_before_is_rolled_forward_from_its_archive() {
    let (server, own_home, dir) = (Server::start(), own_home(), backup::fresh_dir());
    let target = server.loaded().await;
    backup::create(&server, &dir);
    backup::fill_segments(&server, &dir, 3).await;
    let output = drill(&server, &target, &own_home, &["--dir", &dir.display().to_string()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let starts = level(&json(&output), "starts")["detail"].as_str().unwrap().to_owned();
    assert!(starts.contains("segments from the archive") && !starts.contains(" 0 segments"), "{starts}");
}

#[tokio::test]
async fn a_segment_missing_from_the_archive_fails_the_drill() {
    let (server, own_home, dir) = (Server::start(), own_home(), backup::fresh_dir());
    let target = server.loaded().await;
    backup::create(&server, &dir);
    backup::fill_segments(&server, &dir, 3).await;
    let segments = backup::segments(&dir);
    fs::remove_file(&segments[segments.len() - 2]).unwrap();
    let output = drill(&server, &target, &own_home, &["--dir", &dir.display().to_string()]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let found = json(&output);
    assert_eq!(level(&found, "right-point")["ok"], false, "{found}");
    assert!(text(&output).contains("before configured recovery target was reached"), "{found}");
    assert_eq!(found["rpo"]["lost"], found["rpo"]["acked"], "what cannot be restored is lost");
    assert_nothing_left(&own_home);
}

#[tokio::test]
async fn a_writer_that_does_not_end_leaves_the_drill_undecided() {
    let (server, own_home) = (Server::start(), own_home());
    let target = server.migrated().await;
    let mut writer = server.session(&target.dbname).await;
    let open = writer.transaction().await.unwrap();
    open.batch_execute("LOCK TABLE users.users IN ROW EXCLUSIVE MODE").await.unwrap();
    let output = drill(&server, &target, &own_home, &["--lock-patience", "1s"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert_eq!(json(&output)["verdict"], "inconclusive");
    assert_nothing_left(&own_home);
}

#[tokio::test]
async fn a_database_without_the_plans_tables_proves_nothing() {
    let (server, own_home) = (Server::start(), own_home());
    let target = server.database().await;
    let output = drill(&server, &target, &own_home, &[]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
}

#[tokio::test]
async fn an_interrupt_stops_the_drill_and_all_it_started() {
    let server = Server::start();
    let target = server.loaded().await;
    for moment in [receives, recovers] {
        let own_home = own_home();
        let mut drilling = start(&server, &target, &own_home, &[]);
        until(&own_home, &mut drilling, moment).await;
        let pid = drilling.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let output = drilling.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", text(&output));
        assert_nothing_left(&own_home);
    }
}

#[tokio::test]
async fn what_a_killed_drill_left_is_cleared_away_by_the_next() {
    let server = Server::start();
    let (target, own_home) = (server.loaded().await, own_home());
    for moment in [receives, recovers] {
        let mut drilling = start(&server, &target, &own_home, &[]);
        until(&own_home, &mut drilling, moment).await;
        drilling.kill().unwrap();
        assert_eq!(drilling.wait().unwrap().signal(), Some(9));
    }
    let output = drill(&server, &target, &own_home, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_nothing_left(&own_home);
}

#[tokio::test]
async fn a_full_disk_is_named_before_anything_is_copied() {
    if programs().run_as().is_none() {
        // Only root can mount a small disk.
        return;
    }
    let server = Server::start();
    let target = server.migrated().await;
    let disk = SmallDisk::mount(32);
    let output = drill(&server, &target, &disk.dir, &[]);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    assert!(text(&output).contains("the drill needs about"), "{}", text(&output));
    assert_nothing_left(&disk.dir);
}
