//! Scratch clusters: made, run, crashed, mended, removed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use omtdb::pg::Session;
use omtdb::pg::cluster::{Cluster, ClusterError, Options};

use crate::harness::{Server, command, fresh_name, home, json, omtdb, programs, text};

#[tokio::test]
async fn a_server_answers_on_its_socket_only() {
    let server = Server::start();
    let session = server.session("postgres").await;
    let listen: String = session.query_one("SHOW listen_addresses", &[]).await.unwrap().get(0);
    assert_eq!(listen, "");
    let socket = server.cluster().socket_dir().join(".s.PGSQL.5432");
    assert!(socket.as_os_str().len() <= 107 && socket.exists());
}

#[tokio::test]
async fn a_killed_server_starts_again() {
    let server = Server::start();
    let pid_file = server.cluster().data_dir().join("postmaster.pid");
    let pid = fs::read_to_string(&pid_file).unwrap().lines().next().unwrap().to_owned();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    while server.cluster().is_running() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(pid_file.exists(), "a kill -9 leaves the pid file behind");
    assert!(server.cluster().start().unwrap());
    server.session("postgres").await.close().await;
}

#[test]
fn a_pid_file_that_names_another_process_is_stale() {
    let server = Server::start();
    server.cluster().stop(true).unwrap();
    let pid_file = server.cluster().data_dir().join("postmaster.pid");
    fs::write(&pid_file, format!("{}\n", std::process::id())).unwrap();
    assert!(!server.cluster().is_running());
    assert!(server.cluster().start().unwrap());
}

#[test]
fn a_half_made_cluster_is_made_anew() {
    let server = Server::start();
    let (name, dir) = (server.cluster().name().to_owned(), server.cluster().dir());
    server.cluster().stop(true).unwrap();
    let mark = fs::read_to_string(dir.join("cluster.json")).unwrap();
    fs::write(dir.join("cluster.json"), mark.replace("\"ready\": true", "\"ready\": false")).unwrap();
    fs::remove_file(dir.join("data/PG_VERSION")).unwrap();
    let again = Cluster::make(&home().join("clusters"), &name, &programs(), &Options::default()).unwrap();
    assert!(again.start().unwrap());
}

#[test]
fn a_directory_that_is_not_ours_is_left_alone() {
    let (clusters, name) = (home().join("clusters"), fresh_name("foreign"));
    fs::create_dir_all(clusters.join(&name)).unwrap();
    fs::write(clusters.join(&name).join("precious"), "x").unwrap();
    let refused = Cluster::make(&clusters, &name, &programs(), &Options::default()).unwrap_err();
    assert!(matches!(refused, ClusterError::NotOurs { .. }), "{refused}");
    let output = omtdb(&["cluster", "destroy", &name, "--yes"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(clusters.join(&name).join("precious").exists());
    fs::remove_dir_all(clusters.join(&name)).unwrap();
}

#[tokio::test]
async fn settings_survive_restarts() {
    let server = Server::with_settings(&[("work_mem", "5MB")]);
    server.cluster().restart_with(&[("log_min_messages".to_owned(), "info".to_owned())].into()).unwrap();
    let session = server.session("postgres").await;
    let shown: String = session.query_one("SHOW work_mem", &[]).await.unwrap().get(0);
    assert_eq!(shown, "5MB");
}

#[tokio::test]
async fn the_command_starts_lists_and_destroys() {
    let name = fresh_name("cli");
    let started = json(&omtdb(&["cluster", "start", &name, "--set", "work_mem=7MB", "--json"]));
    let url = json(&omtdb(&["cluster", "url", &name, "--json"]))["url"].clone();
    assert_eq!(started["url"], url);
    assert!(omtdb(&["cluster", "start", &name]).status.success(), "starting twice is no error");
    let listed = json(&omtdb(&["cluster", "list", "--json"]));
    assert!(listed["clusters"].as_array().unwrap().iter().any(|mark| mark["name"] == name.as_str()));
    let refused = omtdb(&["cluster", "destroy", &name]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    assert!(omtdb(&["cluster", "destroy", &name, "--yes"]).status.success());
    let unknown = omtdb(&["cluster", "url", &name]);
    assert_eq!(unknown.status.code(), Some(2), "{}", text(&unknown));
}

#[test]
fn a_home_the_server_cannot_reach_is_named() {
    if programs().run_as().is_none() {
        // Only root hands servers to another user.
        return;
    }
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let output =
        command().args(["cluster", "start"]).env("OMTDB_HOME", closed.path().join("home")).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("OMTDB_HOME"), "{}", text(&output));
}

#[test]
fn eight_commands_make_one_cluster() {
    let name = fresh_name("race");
    let children: Vec<_> =
        (0..8).map(|_| command().args(["cluster", "start", &name]).spawn().unwrap()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert!(omtdb(&["cluster", "destroy", &name, "--yes"]).status.success());
}

#[test]
fn missing_programs_are_named_with_the_remedy() {
    let output = command().args(["cluster", "start", "--pg-bin", "/nonexistent"]).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    assert!(text(&output).contains("--pg-bin"), "{}", text(&output));
}

#[tokio::test]
async fn an_unreachable_server_is_named() {
    let server = Server::start();
    let target = server.cluster().target("postgres");
    server.cluster().stop(true).unwrap();
    let error = Session::connect(&target, "test").await.err().unwrap();
    assert!(error.is_lost() && error.to_string().contains("5432"), "{error}");
}
