//! Backups: taken, listed, held against their manifest; the archive fed, with its holes found.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use omtdb::backup::wal::{archive_command, restore_command};
use serde_json::Value;

use crate::harness::{Server, eventually, fresh_name, home, json, omtdb, text};

/// A path in the tests' own directory where nothing is yet.
pub(crate) fn fresh_dir() -> PathBuf {
    home().join(fresh_name("b"))
}

/// Takes a backup of a scratch cluster, which archives from then on.
pub(crate) fn create(server: &Server, dir: &Path) -> Value {
    let scratch = format!("--scratch={}", server.cluster().name());
    let output = omtdb(&["backup", "create", &scratch, "--dir", &dir.display().to_string(), "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    json(&output)
}

/// The whole segments in the archive, in order.
pub(crate) fn segments(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.join("wal")).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<PathBuf> = files.filter(|path| path.file_name().unwrap().len() == 24).collect();
    segments.sort();
    segments
}

/// Writes, and ends the segment, `count` times; returns when the archive has them all.
pub(crate) async fn fill_segments(server: &Server, dir: &Path, count: usize) {
    let session = server.session("postgres").await;
    let target = segments(dir).len() + count;
    for _ in 0..count {
        let sql = "DROP TABLE IF EXISTS filler; CREATE TABLE filler AS SELECT 1 AS x; SELECT pg_switch_wal()";
        session.batch_execute(sql).await.unwrap();
    }
    eventually("segments in the archive", async || segments(dir).len() >= target).await;
}

pub(crate) fn verify(dir: &Path) -> (Option<i32>, Value) {
    let output = omtdb(&["backup", "verify", "--dir", &dir.display().to_string(), "--json"]);
    (output.status.code(), json(&output))
}

#[tokio::test]
async fn a_scratch_cluster_is_backed_up_and_archives_from_then_on() {
    let (server, dir) = (Server::start(), fresh_dir());
    let created = create(&server, &dir);
    assert_eq!(created["archiving"]["state"], "continuous");
    create(&server, &dir);
    fill_segments(&server, &dir, 2).await;
    let listed = json(&omtdb(&["backup", "list", "--dir", &dir.display().to_string(), "--json"]));
    let labels: Vec<&Value> = listed["backups"].as_array().unwrap().iter().map(|b| &b["label"]).collect();
    assert_eq!(labels.len(), 2);
    assert_eq!(labels[0], &created["backup"]["label"]);
    let (code, found) = verify(&dir);
    assert_eq!((code, &found["verdict"]), (Some(0), &Value::from("pass")), "{found}");
    assert_eq!(found["wal"]["segments"], segments(&dir).len());
}

#[tokio::test]
async fn a_hole_in_the_archive_is_named() {
    let (server, dir) = (Server::start(), fresh_dir());
    create(&server, &dir);
    fill_segments(&server, &dir, 3).await;
    let segments = segments(&dir);
    let lost = &segments[segments.len() - 2];
    fs::remove_file(lost).unwrap();
    let (code, found) = verify(&dir);
    assert_eq!(code, Some(1), "{found}");
    assert_eq!(found["wal"]["gaps"][0]["first"], lost.file_name().unwrap().to_str().unwrap());
    assert_eq!(found["wal"]["gaps"][0]["segments"], 1);
}

#[test]
fn a_changed_file_is_noticed() {
    let (server, dir) = (Server::start(), fresh_dir());
    let label = create(&server, &dir)["backup"]["label"].as_str().unwrap().to_owned();
    let file = dir.join("base").join(label).join("PG_VERSION");
    let changed = fs::read_to_string(&file).unwrap().replace('1', "2");
    fs::write(&file, changed).unwrap();
    let (code, found) = verify(&dir);
    assert_eq!((code, &found["backups"][0]["ok"]), (Some(1), &Value::from(false)), "{found}");
    assert!(found["backups"][0]["detail"].as_str().unwrap().contains("PG_VERSION"), "{found}");
}

#[test]
fn a_foreign_directory_is_refused_and_left_alone() {
    let (server, dir) = (Server::start(), fresh_dir());
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("precious"), "x").unwrap();
    let scratch = format!("--scratch={}", server.cluster().name());
    let output = omtdb(&["backup", "create", &scratch, "--dir", &dir.display().to_string()]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
}

#[test]
fn two_servers_do_not_share_a_directory() {
    let (one, other, dir) = (Server::start(), Server::start(), fresh_dir());
    create(&one, &dir);
    let scratch = format!("--scratch={}", other.cluster().name());
    let output = omtdb(&["backup", "create", &scratch, "--dir", &dir.display().to_string()]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("another server"), "{}", text(&output));
}

#[tokio::test]
async fn another_server_keeps_its_settings() {
    let (server, dir) = (Server::start(), fresh_dir());
    let output = omtdb(&[
        "backup",
        "create",
        "--url",
        &server.url("postgres"),
        "--dir",
        &dir.display().to_string(),
        "--json",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let created = json(&output);
    assert_eq!(created["archiving"]["state"], "not_fed");
    assert_eq!(created["archiving"]["settings"]["archive_mode"], "on");
    let session = server.session("postgres").await;
    let mode: String = session.query_one("SHOW archive_mode", &[]).await.unwrap().get(0);
    assert_eq!(mode, "off");
    assert_eq!(verify(&dir).0, Some(0), "the backup carries the log it needs");
}

#[tokio::test]
async fn a_role_that_may_not_is_told_what_it_needs() {
    let (server, dir) = (Server::start(), fresh_dir());
    let session = server.session("postgres").await;
    session.batch_execute("CREATE ROLE plain LOGIN").await.unwrap();
    let url = server.url("postgres").replace("omtdb@", "plain@");
    let output = omtdb(&["backup", "create", "--url", &url, "--dir", &dir.display().to_string()]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("REPLICATION"), "{}", text(&output));
    assert!(!dir.exists());
}

#[test]
fn a_segment_is_archived_once_and_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a b'c%d");
    fs::create_dir(&archive).unwrap();
    let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
    fs::write(&ours, "one").unwrap();
    fs::write(&theirs, "two").unwrap();
    assert_eq!(shell(&archive_command(&archive), &ours), Some(0));
    assert_eq!(fs::read_to_string(archive.join("SEGMENT")).unwrap(), "one");
    assert_eq!(shell(&archive_command(&archive), &ours), Some(0), "the same again is welcome");
    assert_ne!(shell(&archive_command(&archive), &theirs), Some(0));
    assert_eq!(fs::read_to_string(archive.join("SEGMENT")).unwrap(), "one");
    assert_eq!(fs::read_dir(&archive).unwrap().count(), 1, "no temporary file stays");
}

#[test]
fn a_missing_segment_is_told_from_a_missing_archive() {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("into");
    assert_eq!(shell(&restore_command(dir.path()), &into), Some(1));
    assert_eq!(shell(&restore_command(&dir.path().join("gone")), &into), Some(126));
    fs::write(dir.path().join("SEGMENT"), "one").unwrap();
    assert_eq!(shell(&restore_command(dir.path()), &into), Some(0));
    assert_eq!(fs::read_to_string(&into).unwrap(), "one");
}

/// Runs `command` as PostgreSQL does: `%p`, `%f` and `%%` replaced.
fn shell(command: &str, path: &Path) -> Option<i32> {
    let mut filled = String::new();
    let mut characters = command.chars();
    while let Some(character) = characters.next() {
        match (character, if character == '%' { characters.next() } else { None }) {
            ('%', Some('p')) => filled.push_str(&path.display().to_string()),
            ('%', Some('f')) => filled.push_str("SEGMENT"),
            ('%', other) => filled.extend(other),
            (other, _) => filled.push(other),
        }
    }
    Command::new("sh").args(["-c", &filled]).status().unwrap().code()
}

/// Starts to receive the log of `server` into `dir`.
fn receive(server: &Server, dir: &Path) -> Child {
    let mut command = crate::harness::command();
    command.args(["backup", "receive", "--url", &server.url("postgres"), "--slot", "kept"]);
    command.arg("--dir").arg(dir).stderr(Stdio::piped()).spawn().unwrap()
}

/// Interrupts `receiving`, which is how it ends.
fn end(receiving: Child) {
    Command::new("kill").args(["-INT", &receiving.id().to_string()]).status().unwrap();
    let output = receiving.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

/// Waits until `is_so`, for as long as `receiving` works and two minutes at most.
async fn until(receiving: &mut Child, is_so: impl Fn() -> bool) {
    for _ in 0..6_000 {
        if is_so() {
            return;
        }
        assert!(receiving.try_wait().unwrap().is_none(), "it ended");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("it receives nothing");
}

#[tokio::test]
async fn a_server_that_does_not_archive_is_received_from_and_drilled() {
    let (server, dir, own_home) = (Server::start(), fresh_dir(), crate::drill::own_home());
    let target = server.loaded().await;
    let (url, place) = (server.url(&target.dbname), dir.display().to_string());
    let mut receiving = receive(&server, &dir);
    until(&mut receiving, || fs::read_dir(dir.join("wal")).is_ok_and(|mut files| files.next().is_some()))
        .await;
    let created = omtdb(&["backup", "create", "--url", &url, "--dir", &place, "--json"]);
    assert_eq!(created.status.code(), Some(0), "{}", text(&created));
    // Killed, and what was written meanwhile is fetched by the next: the slot has kept it. The killed one's program goes on until then.
    let session = server.session(&target.dbname).await;
    let walsender = async || {
        let active = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'kept'";
        session.query_one(active, &[]).await.unwrap().get::<_, Option<i32>>(0)
    };
    let killed = walsender().await;
    let before = segments(&dir).len();
    receiving.kill().unwrap();
    receiving.wait().unwrap();
    session.batch_execute("CREATE TABLE meanwhile (); SELECT pg_switch_wal()").await.unwrap();
    let mut receiving = receive(&server, &dir);
    until(&mut receiving, || segments(&dir).len() > before).await;
    eventually("another receiver", async || ![None, killed].contains(&walsender().await)).await;
    let second = receive(&server, &dir).wait().unwrap();
    assert_eq!(second.code(), Some(2), "one receives already");
    let drilled = crate::drill::drill(&server, &target, &own_home, &["--dir", &place]);
    assert_eq!(drilled.status.code(), Some(0), "{}", text(&drilled));
    end(receiving);
    let (code, found) = verify(&dir);
    assert_eq!((code, &found["verdict"]), (Some(0), &Value::from("pass")), "{found}");
}

/// The program fills a new segment with zeros first; killed while it does, it refuses that file for ever.
#[tokio::test]
async fn a_segment_that_a_killed_receiver_was_still_making_does_not_stop_the_next() {
    let (server, dir) = (Server::start(), fresh_dir());
    let wal = dir.join("wal");
    let partial = || {
        fs::read_dir(&wal).ok()?.map(|entry| entry.unwrap().path()).find(|path| path.extension().is_some())
    };
    let is_made =
        || partial().and_then(|path| fs::metadata(path).ok()).is_some_and(|file| file.len() == 16 << 20);
    let mut receiving = receive(&server, &dir);
    until(&mut receiving, is_made).await;
    end(receiving);
    let begun = partial().unwrap();
    fs::write(&begun, vec![0; 9 << 20]).unwrap();
    let mut receiving = receive(&server, &dir);
    server
        .session("postgres")
        .await
        .batch_execute("CREATE TABLE t (); SELECT pg_switch_wal()")
        .await
        .unwrap();
    until(&mut receiving, || !segments(&dir).is_empty() && is_made()).await;
    end(receiving);
    let (begun, damaged) = (partial().unwrap(), vec![1; 1 << 20]);
    fs::write(&begun, &damaged).unwrap();
    let refused = receive(&server, &dir).wait_with_output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    assert!(text(&refused).contains(&format!("{} is damaged", begun.display())), "{}", text(&refused));
    assert_eq!(fs::read(&begun).unwrap(), damaged, "nothing was thrown away");
}
