//! What a drill proves: each kind of target, each level, with the rights of a role of its own, and that faults are seen.

use std::fs;

use serde_json::Value;

use super::{backup, backup_chain};
use crate::drill::{assert_nothing_left, drill, level, own_home, start};
use crate::harness::{Server, command, json, omtdb, programs, text};

/// Runs `drilling` to its end while rows are changed.
async fn under_writes(
    server: &Server,
    dbname: &str,
    mut drilling: std::process::Child,
) -> std::process::Output {
    let writer = server.session(dbname).await;
    let change = "UPDATE interaction.user_media SET progress = coalesce(progress, 0) WHERE (user_id, media_id) IN \
                  (SELECT user_id, media_id FROM interaction.user_media LIMIT 3 OFFSET 5)";
    while drilling.try_wait().unwrap().is_none() {
        assert_eq!(writer.execute(change, &[]).await.unwrap(), 3);
    }
    drilling.wait_with_output().unwrap()
}

#[tokio::test]
async fn every_kind_of_target_is_reached_under_running_writes() {
    // Statistics that are gathered anew after the point are another reason for other plans.
    let server = Server::with_settings(&[("autovacuum", "off")]);
    let target = server.loaded().await;
    for aim in ["restore-point", "lsn", "xid", "time", "latest"] {
        let own_home = own_home();
        let drilling = start(&server, &target, &own_home, &["--to", aim]);
        let output = under_writes(&server, &target.dbname, drilling).await;
        assert_eq!(output.status.code(), Some(0), "{aim}: {}", text(&output));
        let found = json(&output);
        assert_eq!(
            (&found["aim"], &found["reached"]),
            (&Value::from(aim), &Value::from("self-test")),
            "{found}"
        );
        assert_eq!(found["fingerprint"]["source"], found["fingerprint"]["restored"]);
        assert!(found["rto"]["redo"]["bytes"].as_u64().unwrap() > 0, "{found}");
        assert!(found["rto"]["open_s"].as_f64() < found["rto"]["total_s"].as_f64(), "{found}");
        assert_nothing_left(&own_home);
    }
}

/// PostgreSQL itself says nothing: it stops at the hole and opens.
#[tokio::test]
async fn a_hole_in_the_archive_is_seen_even_by_a_restore_of_all_of_it() {
    let (server, own_home, dir) = (Server::start(), own_home(), backup::fresh_dir());
    let target = server.loaded().await;
    backup::create(&server, &dir);
    backup::fill_segments(&server, &dir, 3).await;
    let segments = backup::segments(&dir);
    fs::remove_file(&segments[segments.len() - 2]).unwrap();
    let output = drill(&server, &target, &own_home, &["--dir", &dir.display().to_string(), "--to", "latest"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let found = json(&output);
    assert_eq!(level(&found, "starts")["ok"], true, "{found}");
    let place = level(&found, "right-point")["detail"].as_str().unwrap();
    assert!(place.contains("aimed at the end of the archive"), "{place}");
    for missed in ["right-point", "sentinels"] {
        assert_eq!(level(&found, missed)["ok"], false, "{missed}: {found}");
    }
    assert_nothing_left(&own_home);
}

/// Before 17 there is no chain; the test of a single backup from before stands for it then.
#[tokio::test]
async fn a_chain_of_incremental_backups_is_restored_like_one() {
    let (server, own_home, dir) = (Server::start(), own_home(), backup::fresh_dir());
    let target = server.loaded().await;
    backup::create(&server, &dir);
    let change = "UPDATE interaction.user_media SET updated_at = updated_at + INTERVAL '1 s' WHERE progress IS NOT NULL";
    server.session(&target.dbname).await.batch_execute(change).await.unwrap();
    if backup_chain::taken(&server, &dir).is_some() {
        let output = drill(&server, &target, &own_home, &["--dir", &dir.display().to_string()]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        assert_nothing_left(&own_home);
    }
}

#[tokio::test]
async fn each_level_sees_its_own() {
    let server = Server::start();
    let target = server.loaded().await;
    let cases =
        [("duplicate-row", &["physical", "logical", "content"][..]), ("swap-users", &["content"][..])];
    for (sabotage, expected) in cases {
        let own_home = own_home();
        let found = json(&drill(&server, &target, &own_home, &["--sabotage", sabotage]));
        let failed: Vec<&str> = found["proof"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|proof| proof["ok"] == false)
            .map(|proof| proof["level"].as_str().unwrap())
            .collect();
        assert_eq!(failed, expected, "{sabotage}: {found}");
        assert_eq!(found["reached"], if sabotage == "swap-users" { "logical" } else { "sentinels" });
        assert_nothing_left(&own_home);
    }
}

#[tokio::test]
async fn levels_can_be_left_out_and_say_so() {
    let (server, own_home) = (Server::start(), own_home());
    let target = server.loaded().await;
    let without = ["--without", "physical", "--without", "logical", "--without", "service"];
    let output = drill(&server, &target, &own_home, &without);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let found = json(&output);
    let left_out: Vec<&Value> =
        found["left_out"].as_array().unwrap().iter().map(|left| &left["level"]).collect();
    assert_eq!(left_out, ["logical", "service", "physical"]);
    assert_eq!(found["proof"].as_array().unwrap().len(), 6);
}

/// The statements that `drill grants` prints, run in `dbname`.
async fn grant(server: &Server, dbname: &str, role: &str) {
    let printed = omtdb(&["drill", "grants", "--role", role, "--database", dbname]);
    assert_eq!(printed.status.code(), Some(0), "{}", text(&printed));
    server.session(dbname).await.batch_execute(std::str::from_utf8(&printed.stdout).unwrap()).await.unwrap();
}

fn url_of(server: &Server, dbname: &str, role: &str) -> String {
    server.url(dbname).replacen("omtdb@", &format!("{role}@"), 1)
}

#[tokio::test]
async fn a_role_with_the_printed_grants_can_drill_and_do_nothing_else() {
    let (server, own_home) = (Server::start(), own_home());
    let target = server.loaded().await;
    grant(&server, &target.dbname, "drill").await;
    let url = url_of(&server, &target.dbname, "drill");
    let mut drilling = command();
    drilling.args(["drill", "restore", "--json", "--url", &url]).env("OMTDB_HOME", &own_home);
    let output = drilling.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_nothing_left(&own_home);
    let session = server.session(&target.dbname).await;
    session.batch_execute("SET ROLE drill").await.unwrap();
    let forbidden = [
        "UPDATE users.users SET role = role",
        "DELETE FROM interaction.user_media",
        "LOCK TABLE media.media IN SHARE MODE",
        "CREATE TABLE omtdb.mine ()",
        "CREATE TABLE public.mine ()",
        "TRUNCATE omtdb.drill_sentinel",
    ];
    for sql in forbidden {
        assert!(session.batch_execute(sql).await.is_err(), "{sql}");
    }
}

#[tokio::test]
async fn a_role_without_them_is_told_all_that_it_lacks() {
    let (server, own_home) = (Server::start(), own_home());
    let target = server.migrated().await;
    let make = "CREATE ROLE bare LOGIN REPLICATION";
    server.session(&target.dbname).await.batch_execute(make).await.unwrap();
    let mut drilling = command();
    drilling.args(["drill", "restore", "--url", &url_of(&server, &target.dbname, "bare")]);
    let output = drilling.env("OMTDB_HOME", &own_home).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    for part in
        ["omtdb.drill_lock()", "pg_create_restore_point", "pg_switch_wal", "SELECT on", "drill grants"]
    {
        assert!(text(&output).contains(part), "{part}: {}", text(&output));
    }
}

/// Whoever may make the table before the first drill could have its triggers run as the superuser who drills.
#[tokio::test]
async fn a_table_of_writes_that_runs_somebody_elses_code_is_refused() {
    let (server, own_home) = (Server::start(), own_home());
    let target = server.migrated().await;
    let session = server.session(&target.dbname).await;
    let trap = "CREATE ROLE other; CREATE SCHEMA IF NOT EXISTS omtdb; \
                CREATE TABLE omtdb.drill_sentinel (drill UUID, seq BIGINT, token UUID, written_at TIMESTAMPTZ DEFAULT now()); \
                ALTER TABLE omtdb.drill_sentinel OWNER TO other";
    session.batch_execute(trap).await.unwrap();
    let output = drill(&server, &target, &own_home, &[]);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    assert!(text(&output).contains("would run what that role wants"), "{}", text(&output));
    assert_nothing_left(&own_home);
}

#[test]
fn every_fault_on_purpose_is_seen_by_the_level_that_is_there_for_it() {
    let own_home = own_home();
    let mut command = command();
    command.args(["drill", "--self-test", "--json", "--pg-bin"]).arg(programs().bin());
    let output = command.env("OMTDB_HOME", &own_home).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let found = json(&output);
    let faults = found["faults"].as_array().unwrap();
    assert_eq!(faults.len(), 30, "{found}");
    assert!(faults.iter().all(|fault| fault["verdict"] == "pass"), "{found}");
}
