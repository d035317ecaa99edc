//! Replica drills: what is lost is what is counted by hand, what must not be lost is not, and nothing is left behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use omtdb::pg::target::{self, Secret, Surroundings};
use omtdb::pg::{Session, Target};
use serde_json::Value;

use crate::drill::{assert_nothing_left, own_home};
use crate::harness::{Server, command, json, text};

fn replica_command(server: &Server, target: &Target, own_home: &Path, args: &[&str]) -> Command {
    let mut command = command();
    command.args([
        "drill",
        "replica",
        "--json",
        "--load",
        "2s",
        "--cut-off",
        "1s",
        "--url",
        &server.url(&target.dbname),
    ]);
    command.args(args).env("OMTDB_HOME", own_home);
    command
}

fn replica(server: &Server, target: &Target, own_home: &Path, args: &[&str]) -> Output {
    replica_command(server, target, own_home, args).output().unwrap()
}

/// The writes that the journal in `file` says were `what`.
fn journaled(file: &Path, what: &str) -> BTreeSet<(i32, i64)> {
    let text = fs::read_to_string(file).unwrap();
    let parsed = text.lines().map(|line| {
        let mut words = line.split(' ');
        let (kind, writer, seq) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        (kind.to_owned(), writer.parse().unwrap(), seq.parse().unwrap())
    });
    parsed.filter(|(kind, ..)| kind == what).map(|(_, writer, seq)| (writer, seq)).collect()
}

fn target_of(url: &str) -> Target {
    let around = Surroundings {
        env: std::collections::BTreeMap::new(),
        home: None,
        os_user: None,
        read: &|_| Err(std::io::ErrorKind::NotFound.into()),
    };
    target::resolve(Some(&Secret::from(url.to_owned())), &around).unwrap().target
}

/// The writes that the server behind `url` has.
async fn written(url: &str) -> BTreeSet<(i32, i64)> {
    let session = Session::connect(&target_of(url), "test").await.unwrap();
    let rows = session.query("SELECT writer, seq FROM omtdb.drill_ack", &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn destroy(own_home: &Path) {
    for entry in
        fs::read_dir(own_home.join("clusters")).unwrap().flatten().filter(|entry| entry.path().is_dir())
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        let mut command = command();
        let output =
            command.args(["cluster", "destroy", &name, "--yes"]).env("OMTDB_HOME", own_home).output();
        assert_eq!(output.as_ref().unwrap().status.code(), Some(0), "{}", text(output.as_ref().unwrap()));
    }
}

#[tokio::test]
async fn lost_acknowledgements_are_those_that_are_counted_by_hand() {
    let server = Server::start();
    let target = server.loaded().await;
    for synchronous in [false, true] {
        let own_home = own_home();
        fs::create_dir_all(&own_home).unwrap();
        let file = own_home.join("writes.txt");
        let journal = file.display().to_string();
        let mut args = vec!["--keep", "--journal", &journal];
        args.extend(synchronous.then_some("--synchronous"));
        let output = replica(&server, &target, &own_home, &args);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        let found = json(&output);
        let (acked, urls) = (journaled(&file, "acked"), found["kept"].as_array().unwrap());
        assert_eq!(urls.len(), 2, "{found}");
        for url in urls {
            let there = written(url.as_str().unwrap()).await;
            let lost = acked.difference(&there).count() as u64;
            assert_eq!(found["lost_acks"], lost, "{found}");
            assert_eq!(found["crash"]["acked"], acked.len() as u64);
            let unanswered: BTreeSet<_> = journaled(&file, "asked").difference(&acked).copied().collect();
            assert_eq!(found["crash"]["unanswered_found"], unanswered.intersection(&there).count() as u64);
        }
        let lost = found["lost_acks"].as_u64().unwrap();
        assert_eq!(lost == 0, synchronous, "{found}");
        assert_eq!(found["switchover"]["lost"], 0);
        assert!(found["archive_only"]["lost"].as_u64().unwrap() > lost, "{found}");
        assert_eq!(found["rejoin"]["by"], "rewind", "{found}");
        assert_eq!(found["content"][0], found["content"][1]);
        assert!(found["lag"]["samples"].as_u64().unwrap() > 3, "{found}");
        destroy(&own_home);
    }
}

#[tokio::test]
async fn a_rewind_that_was_interrupted_is_not_believed() {
    let (server, own_home) = (Server::start(), own_home());
    let target = server.loaded().await;
    let output = replica(&server, &target, &own_home, &["--interrupt-rewind"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let found = json(&output);
    assert_eq!(found["rejoin"]["by"], "base-backup", "{found}");
    assert!(found["rejoin"]["why"].as_str().unwrap().contains("interrupted"), "{found}");
    assert_eq!(found["content"][0], found["content"][1]);
    let phases: Vec<&Value> =
        found["phases"].as_array().unwrap().iter().map(|phase| &phase["phase"]).collect();
    assert!(
        phases.contains(&&Value::from("crash: writable"))
            && phases.contains(&&Value::from("crash: redundant"))
    );
    assert_nothing_left(&own_home);
}

#[tokio::test]
async fn what_a_killed_replica_drill_left_is_cleared_away_by_the_next_drill() {
    let (server, own_home) = (Server::start(), own_home());
    let target = server.loaded().await;
    for cluster in ["-a", "-b"] {
        let mut drilling = replica_command(&server, &target, &own_home, &[]).spawn().unwrap();
        let has_come = || {
            let clusters = fs::read_dir(own_home.join("clusters")).into_iter().flatten().flatten();
            clusters.map(|entry| entry.path()).any(|path| {
                path.display().to_string().ends_with(cluster) && path.join("data/postmaster.pid").exists()
            })
        };
        while !has_come() {
            assert!(drilling.try_wait().unwrap().is_none(), "the drill ended before it came so far");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        drilling.kill().unwrap();
        drilling.wait().unwrap();
    }
    let output = replica(&server, &target, &own_home, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_nothing_left(&own_home);
}
