//! Incremental backups: chains that combine into a server with the latest rows, and what they are refused for. Before
//! PostgreSQL 17 the server cannot take them; then each of these tests proves that omtdb says so.

use std::fs;
use std::path::{Path, PathBuf};

use omtdb::backup::{self, Store};
use omtdb::pg::Session;
use omtdb::pg::cluster::{Cluster, Lease, Options};
use omtdb::run::Run;
use serde_json::Value;

use crate::backup::{create, fresh_dir, verify};
use crate::harness::{Server, fresh_name, home, json, omtdb, programs, text};

fn incremental(server: &Server, dir: &Path) -> std::process::Output {
    let scratch = format!("--scratch={}", server.cluster().name());
    let dir = dir.display().to_string();
    omtdb(&["backup", "create", &scratch, "--dir", &dir, "--incremental", "--json"])
}

/// Takes one; `None` where the server is too old for it and that was said.
pub(crate) fn taken(server: &Server, dir: &Path) -> Option<Value> {
    let output = incremental(server, dir);
    if programs().version().major() < 17 {
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        assert!(text(&output).contains("came with 17"), "{}", text(&output));
        assert!(text(&output).contains("leave --incremental out"), "{}", text(&output));
        return None;
    }
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    Some(json(&output))
}

async fn write(server: &Server, sql: &str) {
    server.session("postgres").await.batch_execute(sql).await.unwrap();
}

/// A running server made of the newest backup in `dir`.
async fn started_copy(dir: PathBuf) -> Lease {
    let adopted = tokio::task::spawn_blocking(move || {
        let programs = programs();
        let store = Store::open(&dir, &programs)?;
        let newest = store.backups().last().unwrap();
        let off = ["fsync", "archive_mode", "summarize_wal"].map(|name| (name.to_owned(), "off".to_owned()));
        let known =
            off.into_iter().filter(|(name, _)| programs.version().major() >= 17 || name != "summarize_wal");
        let options = Options { settings: known.collect() };
        let fill = |data: &Path| {
            let run = Run::silent();
            let filled = backup::materialize(&run, &store, newest, &programs, data);
            tokio::runtime::Handle::current().block_on(filled)?;
            omtdb::pg::programs::run(programs.command("pg_verifybackup").arg("--quiet").arg(data))?;
            anyhow::Ok(())
        };
        Cluster::adopt::<anyhow::Error>(&home().join("clusters"), &fresh_name("c"), &programs, &options, fill)
    });
    Lease::throw_away(adopted.await.unwrap().unwrap()).unwrap()
}

async fn rows(copy: &Lease) -> i64 {
    let session = Session::connect(&copy.cluster().target("postgres"), "test").await.unwrap();
    session.query_one("SELECT count(*) FROM kept", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_chain_becomes_a_server_with_the_latest_rows() {
    let (server, dir) = (Server::start(), fresh_dir());
    write(&server, "CREATE TABLE kept AS SELECT generate_series(1, 100000) AS x").await;
    let full = create(&server, &dir);
    assert_eq!(full["backup"]["parent"], Value::Null);
    for (expected, from) in [(110_000, 100_001), (120_000, 110_001)] {
        write(&server, &format!("INSERT INTO kept SELECT generate_series({from}, {expected})")).await;
        let Some(made) = taken(&server, &dir) else {
            assert_eq!(rows(&started_copy(dir).await).await, 100_000, "the full backup alone");
            return;
        };
        let bytes = |of: &Value| of["backup"]["bytes"].as_u64().unwrap();
        assert!(bytes(&made) < bytes(&full) / 2, "only what has changed: {made} {full}");
    }
    let (code, found) = verify(&dir);
    assert_eq!(code, Some(0), "{found}");
    assert_eq!(rows(&started_copy(dir).await).await, 120_000);
}

#[tokio::test]
async fn a_chain_without_its_parent_is_found_and_refused() {
    let (server, dir) = (Server::start(), fresh_dir());
    let full = create(&server, &dir);
    if taken(&server, &dir).is_none() {
        return;
    }
    forget(&dir, full["backup"]["label"].as_str().unwrap());
    let (code, found) = verify(&dir);
    assert_eq!((code, &found["backups"][0]["ok"]), (Some(1), &Value::from(false)), "{found}");
    assert!(found["backups"][0]["detail"].as_str().unwrap().contains("which is not there"), "{found}");
    let output = incremental(&server, &dir);
    assert_eq!(output.status.code(), Some(2), "nothing is built on it: {}", text(&output));
    let (programs, into) = (programs(), tempfile::tempdir().unwrap());
    let store = Store::open(&dir, &programs).unwrap();
    let filled =
        backup::materialize(&Run::silent(), &store, &store.backups()[0], &programs, into.path()).await;
    assert!(filled.unwrap_err().to_string().contains("which is not there"));
}

/// Takes a backup out of the list, as a hand that does not know what it does would.
fn forget(dir: &Path, label: &str) {
    let file = dir.join("backups.json");
    let mut mark: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    mark["backups"].as_array_mut().unwrap().retain(|backup| backup["label"] != label);
    fs::write(&file, mark.to_string()).unwrap();
    fs::remove_dir_all(dir.join("base").join(label)).unwrap();
}

#[tokio::test]
async fn an_incremental_backup_needs_one_to_build_on() {
    let (server, dir) = (Server::start(), fresh_dir());
    let output = incremental(&server, &dir);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(!dir.exists(), "nothing is made for it");
}

#[tokio::test]
async fn another_servers_log_is_not_summarized_behind_its_back() {
    let (server, dir) = (Server::start(), fresh_dir());
    let (url, at) = (server.url("postgres"), dir.display().to_string());
    let create = ["backup", "create", "--url", &url, "--dir", &at, "--json"];
    assert_eq!(omtdb(&create).status.code(), Some(0));
    let output = omtdb(&[&create[..], &["--incremental"]].concat());
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    let remedy = if programs().version().major() < 17 { "came with 17" } else { "SET summarize_wal = on" };
    assert!(text(&output).contains(remedy), "{}", text(&output));
}

#[tokio::test]
async fn a_backup_from_before_the_summaries_cannot_be_built_on_and_that_is_said() {
    let (server, dir) = (Server::start(), fresh_dir());
    let (url, at) = (server.url("postgres"), dir.display().to_string());
    assert_eq!(omtdb(&["backup", "create", "--url", &url, "--dir", &at]).status.code(), Some(0));
    // The log that the full backup begins in goes before anything could summarize it.
    write(&server, "CREATE TABLE x AS SELECT 1; SELECT pg_switch_wal(); CHECKPOINT").await;
    write(&server, "DROP TABLE x; SELECT pg_switch_wal(); CHECKPOINT").await;
    let output = incremental(&server, &dir);
    let (code, said) = if programs().version().major() < 17 {
        (2, "came with 17")
    } else {
        (4, "take a full one (without --incremental)")
    };
    assert_eq!(output.status.code(), Some(code), "{}", text(&output));
    assert!(text(&output).contains(said), "{}", text(&output));
    assert_eq!(fs::read_dir(dir.join("base")).unwrap().count(), 1, "nothing of it stays");
}

#[tokio::test]
async fn a_store_that_an_earlier_omtdb_made_opens() {
    let (server, dir) = (Server::start(), fresh_dir());
    create(&server, &dir);
    let file = dir.join("backups.json");
    let mut mark: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    mark["backups"][0].as_object_mut().unwrap().remove("parent").unwrap();
    fs::write(&file, mark.to_string()).unwrap();
    let (code, found) = verify(&dir);
    assert_eq!(code, Some(0), "{found}");
    create(&server, &dir);
    taken(&server, &dir);
}
