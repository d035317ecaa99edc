//! Migrations under the application's load: no answer is an error, and nobody waits for a lock for longer than they may.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use crate::harness::{Server, command, eventually, json, text};
use crate::migrate::code;

/// The lock timeout that migrations are given, and what the server must not see anybody else wait for a lock.
const LOCK_TIMEOUT: &str = "100ms";
const LONGEST_WAIT: &str = "5s";

const INDEX: &str = "-- What a user has changed last.\n-- omtdb: online jobs=2\n\
    CREATE INDEX idx_user_media_user_updated ON interaction.user_media (user_id, updated_at DESC);\n";

/// The shipped migrations up to the check of the backfill, and an index on the largest table.
fn migrations() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let version =
            name.strip_prefix('V').and_then(|rest| rest.split_once("__")).map(|(version, _)| version);
        let wanted =
            version.and_then(|version| version.parse::<i64>().ok()).is_some_and(|version| version <= 18);
        if wanted || name == "waivers.yaml" {
            fs::copy(&path, dir.path().join(name)).unwrap();
        }
    }
    fs::write(dir.path().join("V19__recently_changed.sql"), INDEX).unwrap();
    dir
}

#[tokio::test]
async fn an_index_and_a_backfill_disturb_no_answer() {
    let settings = [("log_lock_waits", "on"), ("deadlock_timeout", LONGEST_WAIT), ("autovacuum", "off")];
    let server = Server::with_settings(&settings);
    let target = server.loaded().await;
    let url = server.url(&target.dbname);
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/tracking.yaml");
    let load = command()
        .args(["bench", "run", "--url", &url, scenario.to_str().unwrap(), "--duration", "8s", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let session = server.session(&target.dbname).await;
    let loaded = "SELECT FROM pg_stat_activity WHERE query LIKE 'UPDATE interaction.user_media%'";
    eventually("the load", async || !session.query(loaded, &[]).await.unwrap().is_empty()).await;
    let dir = migrations();
    let arguments = ["--url", &url, "--migrations", dir.path().to_str().unwrap(), "--json"];
    let applied = command()
        .args(["migrate", "apply", "--target", "19", "--lock-timeout", LOCK_TIMEOUT])
        .args(arguments)
        .output()
        .unwrap();
    assert_eq!(code(&applied), Some(0), "{}", text(&applied));
    assert_eq!(json(&applied)["current"], 19);
    let load = load.wait_with_output().unwrap();
    let run = json(&load);
    let ops = run["scenarios"][0]["ops"].as_array().unwrap();
    assert!(ops.iter().all(|op| op["errors"] == 0 && op["count"].as_u64() > Some(0)), "{}", text(&load));
    let log = fs::read_to_string(server.cluster().dir().join("server.log")).unwrap();
    // A concurrent build waits for snapshots, and nobody behind it.
    let waits: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("still waiting for") && !line.contains("virtual transaction"))
        .collect();
    assert_eq!(waits, [""; 0]);
}
