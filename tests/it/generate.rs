//! `omtdb generate` on real servers.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use omtdb::datagen::survey::ForeignRows;
use omtdb::datagen::{self, Foreign, Generated, Spec};
use omtdb::pg::{Session, Target};
use omtdb::run::{Event, Run};
use omtdb::schema::Drift;
use omtdb::verdict::Interrupted;
use tokio_util::sync::CancellationToken;

use crate::harness::{LOADED, Server, SmallDisk, command, fresh_name, json, omtdb, programs, spec, text};

pub(crate) const NOTHING: [&str; 0] = [];

pub(crate) fn checksums(generated: &Generated) -> BTreeMap<String, String> {
    generated.tables.iter().map(|load| (load.table.clone(), load.checksum.clone())).collect()
}

/// Names of the checks that failed.
pub(crate) async fn failures(target: &Target) -> Vec<String> {
    let verified = datagen::verify(&Run::silent(), target).await.unwrap();
    verified.checks.into_iter().filter(|check| !check.ok).map(|check| check.name).collect()
}

pub(crate) async fn drift(target: &Target) -> Vec<Drift> {
    omtdb::migrate::verify(target).await.unwrap().drift
}

pub(crate) async fn sql(target: &Target, sql: &str) {
    let session = Session::connect(target, "test").await.unwrap();
    session.batch_execute(sql).await.unwrap();
    session.close().await;
}

pub(crate) async fn number(session: &Session, sql: &str) -> i64 {
    session.query_one(sql, &[]).await.unwrap().try_get(0).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_data_do_not_depend_on_the_number_of_jobs() {
    let server = Server::start();
    let target = server.migrated().await;
    let mut all = Vec::new();
    for jobs in 1..=3 {
        let spec = Spec { jobs: NonZeroUsize::new(jobs).unwrap(), ..spec(7, LOADED) };
        let generated = datagen::generate(&Run::silent(), &target, &spec).await.unwrap();
        let rows: u64 = generated
            .tables
            .iter()
            .filter(|load| load.table.ends_with("user_media"))
            .map(|load| load.rows)
            .sum();
        assert_eq!((generated.tables.len(), rows), (11, LOADED.user_media));
        // Verification compares with what the server computes over the stored rows.
        assert_eq!(failures(&target).await, NOTHING, "{jobs} jobs");
        all.push(checksums(&generated));
    }
    assert!(all[0] == all[1] && all[1] == all[2]);
    let other = datagen::generate(&Run::silent(), &target, &spec(8, LOADED)).await.unwrap();
    assert!(
        checksums(&other).iter().all(|(table, sum)| all[0][table] != *sum),
        "another seed, the same rows"
    );
    assert_eq!(drift(&target).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn verification_sees_what_was_done_to_the_data() {
    let server = Server::start();
    let loaded = server.loaded().await;
    assert_eq!(failures(&loaded).await, NOTHING);
    let cases: [(&str, &[&str]); 5] = [
        (
            "DELETE FROM media.relationships WHERE ctid = (SELECT max(ctid) FROM media.relationships)",
            &["rows of media.relationships", "checksum of media.relationships"],
        ),
        (
            "UPDATE interaction.user_lists SET name = name || '!'
             WHERE id = (SELECT id FROM interaction.user_lists ORDER BY id LIMIT 1)",
            &["checksum of interaction.user_lists"],
        ),
        (
            "SET allow_system_table_mods = on;
             UPDATE pg_class AS a SET relpartbound = b.relpartbound FROM pg_class AS b
             WHERE (a.relname, b.relname) IN (('user_media_m16_r00', 'user_media_m16_r01'),
                                              ('user_media_m16_r01', 'user_media_m16_r00'))",
            &["rows in a wrong leaf of interaction.user_media"],
        ),
        (
            "SET session_replication_role = replica;
             DELETE FROM interaction.user_lists WHERE id = (SELECT list_id FROM interaction.smart_lists LIMIT 1)",
            &[
                "rows of interaction.user_lists",
                "checksum of interaction.user_lists",
                "orphans of interaction.smart_lists.list_id",
            ],
        ),
        (
            "UPDATE interaction.user_media SET started_at = completed_at, completed_at = started_at
             WHERE (user_id, media_id) = (SELECT user_id, media_id FROM interaction.user_media
                                          WHERE completed_at > started_at ORDER BY 1, 2 LIMIT 1)",
            &["checksum of interaction.user_media", "times out of order in interaction.user_media"],
        ),
    ];
    for (harm, expected) in cases {
        let copy = fresh_name("d");
        let session = server.session("postgres").await;
        session.batch_execute(&format!("CREATE DATABASE {copy} TEMPLATE {}", loaded.dbname)).await.unwrap();
        session.close().await;
        let target = loaded.with_dbname(&copy);
        sql(&target, harm).await;
        assert_eq!(failures(&target).await, expected, "{harm}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leaves_of_mixed_moduli_are_filled() {
    let server = Server::start();
    let target = server.migrated().await;
    let split = "BEGIN; DROP TABLE interaction.user_media_m16_r03;
        CREATE TABLE interaction.user_media_m32_r03 PARTITION OF interaction.user_media
            FOR VALUES WITH (MODULUS 32, REMAINDER 3);
        CREATE TABLE interaction.user_media_m32_r19 PARTITION OF interaction.user_media
            FOR VALUES WITH (MODULUS 32, REMAINDER 19);
        COMMIT";
    sql(&target, split).await;
    datagen::generate(&Run::silent(), &target, &spec(7, LOADED)).await.unwrap();
    assert_eq!(failures(&target).await, NOTHING);
    let session = Session::connect(&target, "test").await.unwrap();
    let rows = number(&session, "SELECT count(*) FROM interaction.user_media_m32_r19").await;
    assert!(rows > 0);
    session
        .batch_execute("ALTER TABLE interaction.user_media DETACH PARTITION interaction.user_media_m32_r19")
        .await
        .unwrap();
    let regardless = Spec { foreign: Foreign::Truncate, ..spec(7, LOADED) };
    let error = datagen::generate(&Run::silent(), &target, &regardless).await.unwrap_err();
    assert!(format!("{error:#}").contains("no leaf takes the rows with hash % 32 = 19"), "{error:#}");
}

/// Watches `omtdb generate` from the ledger until `seen` is true there.
async fn generate_until(server: &Server, target: &Target, seen: &str) -> Child {
    let url = server.url(&target.dbname);
    let mut child = command()
        .args(["generate", "--url", &url, "--profile", "smoke", "--jobs", "2"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let session = Session::connect(target, "test").await.unwrap();
    let ready =
        "SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('omtdb') AND relname = 'built'";
    while number(&session, ready).await == 0 || number(&session, seen).await == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it was over before it could be stopped");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    session.close().await;
    child
}

/// Nothing of omtdb works in `target`'s database any more, or will soon not.
async fn nobody_left(target: &Target) {
    let session = Session::connect(target, "test").await.unwrap();
    let others = "SELECT count(*) FROM pg_stat_activity
                  WHERE datname = current_database() AND application_name LIKE 'omtdb/generate%'";
    tokio::time::timeout(Duration::from_secs(30), async {
        while number(&session, others).await > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("sessions of a generator that is gone");
    session.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_is_mended_by_the_next() {
    let server = Server::start();
    let target = server.migrated().await;
    let stages = [
        "SELECT count(*) FROM omtdb.loaded",
        "SELECT count(*) FROM omtdb.built WHERE kind <> 'foreign key'",
        "SELECT count(*) FROM omtdb.built WHERE kind = 'foreign key'",
    ];
    for seen in stages {
        let mut child = generate_until(&server, &target, seen).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let data_set =
            datagen::ledger::data_set(&Session::connect(&target, "test").await.unwrap()).await.unwrap();
        assert!(!data_set.unwrap().complete, "{seen}");
        assert!(failures(&target).await.contains(&"the load was finished".to_owned()));
    }
    datagen::generate(&Run::silent(), &target, &spec(7, LOADED)).await.unwrap();
    assert_eq!(failures(&target).await, NOTHING);
    assert_eq!(drift(&target).await, []);
    let session = Session::connect(&target, "test").await.unwrap();
    let left = "SELECT (SELECT count(*) FROM omtdb.deferred) + (SELECT count(*) FROM omtdb.built)";
    assert_eq!(number(&session, left).await, 0);
    // A leaf has exactly what its parent has.
    let extra = "SELECT count(*) FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid
                 JOIN pg_class AS t ON t.oid = i.indrelid WHERE t.relispartition AND NOT x.relispartition";
    assert_eq!(number(&session, extra).await, 0);
    let extra = "SELECT count(*) FROM pg_constraint AS c JOIN pg_class AS t ON t.oid = c.conrelid
                 WHERE t.relispartition AND c.contype IN ('f', 'p') AND c.conparentid = 0";
    assert_eq!(number(&session, extra).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_stops_everything() {
    let server = Server::start();
    let target = server.migrated().await;
    let child = generate_until(&server, &target, "SELECT count(*) FROM omtdb.loaded").await;
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output));
    nobody_left(&target).await;

    // At every kind of work, through the library: whatever begins first is interrupted.
    for work in ["load interaction.user_media", "keys and indexes", "foreign keys", "statistics"] {
        let interrupt = CancellationToken::new();
        let token = interrupt.clone();
        let run = Run::new(interrupt, move |event| {
            if matches!(&event, Event::Began { task, .. } if task.starts_with(work)) {
                token.cancel();
            }
        });
        let error = datagen::generate(&run, &target, &spec(7, LOADED)).await.unwrap_err();
        assert!(error.is::<Interrupted>(), "{work}: {error:#}");
        nobody_left(&target).await;
    }
    datagen::generate(&Run::silent(), &target, &spec(7, LOADED)).await.unwrap();
    assert_eq!(failures(&target).await, NOTHING);
    assert_eq!(drift(&target).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_somebody_else_are_not_truncated_unasked() {
    let server = Server::start();
    let target = server.migrated().await;
    let theirs = "INSERT INTO users.users (email, password_hash) VALUES ('a@example.org', 'x')";
    sql(&target, theirs).await;
    let error = datagen::generate(&Run::silent(), &target, &spec(7, LOADED)).await.unwrap_err();
    assert_eq!(error.downcast_ref::<ForeignRows>().unwrap().0, ["users.users"]);
    let session = Session::connect(&target, "test").await.unwrap();
    assert_eq!(number(&session, "SELECT count(*) FROM users.users").await, 1);
    assert_eq!(drift(&target).await, []);

    let url = server.url(&target.dbname);
    let sizes = ["--users", "50", "--media", "100", "--user-media", "1k"];
    let args = [&["generate", "--json", "--url", &url], &sizes[..]].concat();
    let refused = omtdb(&args);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("users.users"), "{}", text(&refused));
    let done = omtdb(&[&args[..], &["--yes"]].concat());
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    assert_eq!(number(&session, "SELECT count(*) FROM users.users").await, 50);

    // What the generator loaded may go, unless rows were added to it.
    assert_eq!(omtdb(&args).status.code(), Some(0));
    sql(&target, theirs).await;
    assert_eq!(omtdb(&args).status.code(), Some(2));
    // A table that points at ours cannot keep its rows.
    sql(&target, "DELETE FROM users.users WHERE email = 'a@example.org'").await;
    sql(
        &target,
        "CREATE TABLE public.fans AS SELECT id FROM users.users;
        ALTER TABLE public.fans ADD FOREIGN KEY (id) REFERENCES users.users (id)",
    )
    .await;
    let error = datagen::generate(&Run::silent(), &target, &spec(7, LOADED)).await.unwrap_err();
    assert_eq!(error.downcast_ref::<ForeignRows>().unwrap().0, ["public.fans"]);
    let allowed = Spec { foreign: Foreign::Truncate, ..spec(7, LOADED) };
    datagen::generate(&Run::silent(), &target, &allowed).await.unwrap();
    let keys = "SELECT count(*) FROM pg_constraint WHERE conrelid = 'public.fans'::regclass AND convalidated";
    assert_eq!(number(&session, keys).await, 1);
    assert_eq!(number(&session, "SELECT count(*) FROM public.fans").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_reports_and_verifies() {
    let server = Server::start();
    let target = server.migrated().await;
    let url = server.url(&target.dbname);
    let never = omtdb(&["generate", "verify", "--url", &url]);
    assert_eq!(never.status.code(), Some(4), "{}", text(&never));
    assert!(String::from_utf8_lossy(&never.stderr).contains("run omtdb generate first"));

    let sizes = ["--users", "50", "--media", "100", "--user-media", "1k", "--seed", "3"];
    let output = omtdb(&[&["generate", "--json", "--url", &url], &sizes[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let report = json(&output);
    assert_eq!((&report["seed"], &report["data_version"]), (&3.into(), &datagen::DATA_VERSION.into()));
    assert!(report["rows_per_s"].as_f64().unwrap() > 0.0 && report["peak_rss_bytes"].as_u64().unwrap() > 0);
    let phases: Vec<&str> =
        report["phases"].as_array().unwrap().iter().map(|phase| phase["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, ["plan", "prepare", "load", "indexes", "foreign keys", "analyze"]);
    let items =
        report["tables"].as_array().unwrap().iter().find(|t| t["table"] == "interaction.user_media").unwrap();
    assert_eq!(items["rows"], 1_000);

    let verified = omtdb(&["generate", "verify", "--json", "--url", &url]);
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified));
    let checks = json(&verified)["checks"].as_array().unwrap().clone();
    let sum = checks.iter().find(|check| check["name"] == "checksum of interaction.user_media").unwrap();
    assert_eq!((&sum["found"], &sum["ok"]), (&items["checksum"], &true.into()));
    sql(&target, "DELETE FROM auth.tokens").await;
    let failed = omtdb(&["generate", "verify", "--url", &url]);
    assert_eq!(failed.status.code(), Some(1), "{}", text(&failed));
    assert!(
        String::from_utf8_lossy(&failed.stdout).contains("FAIL  rows of auth.tokens: expected 10, found 0")
    );

    let impossible = omtdb(&["generate", "--url", &url, "--users", "2", "--media", "2", "--user-media", "5"]);
    assert_eq!(impossible.status.code(), Some(2), "{}", text(&impossible));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_the_schema_is_told_so() {
    let server = Server::start();
    let target = server.database().await;
    let error = datagen::generate(&Run::silent(), &target, &spec(7, LOADED)).await.unwrap_err();
    assert!(format!("{error:#}").contains("omtdb migrate apply"), "{error:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_counts_every_row() {
    let server = Server::start();
    let target = server.migrated().await;
    let (advanced, began) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(BTreeMap::new())));
    let (count, totals) = (Arc::clone(&advanced), Arc::clone(&began));
    let run = Run::new(CancellationToken::new(), move |event| match event {
        Event::Began { task, total, .. } if task.starts_with("load ") => {
            totals.lock().unwrap().insert(task.to_string(), total.unwrap());
        }
        Event::Advanced { task, by } if task.starts_with("load ") => {
            count.fetch_add(by, Ordering::Relaxed);
        }
        _ => {}
    });
    let generated = datagen::generate(&run, &target, &spec(7, LOADED)).await.unwrap();
    let rows: u64 = generated.tables.iter().map(|load| load.rows).sum();
    assert_eq!(advanced.load(Ordering::Relaxed), rows);
    assert_eq!(began.lock().unwrap().values().sum::<u64>(), rows);
}

#[test]
fn a_full_disk_is_named_and_does_no_harm() {
    if programs().run_as().is_none() {
        // Only root can mount a small disk.
        return;
    }
    let disk = SmallDisk::mount(900);
    let generate = |profile: &str| {
        let mut command = command();
        command.args(["generate", "--profile", profile, "--scratch=full"]).env("OMTDB_HOME", &disk.dir);
        command
    };
    let sound = |args: &[&str]| {
        let output =
            command().args(args).arg("--scratch=full").env("OMTDB_HOME", &disk.dir).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output));
    };
    sound(&["migrate", "apply"]);
    // Room for little: a relation cannot grow, or the log cannot, which takes the server down.
    for mib in [5, 40] {
        // There is room when the load begins; somebody else takes it then.
        let free = disk.free();
        let mut load = generate("ci").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while disk.free() > free - (100 << 20) {
            assert!(load.try_wait().unwrap().is_none(), "it ended before there was no room");
            std::thread::sleep(Duration::from_millis(5));
        }
        let ballast = disk.leave(mib);
        let output = load.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{mib} MiB: {}", text(&output));
        let said = text(&output);
        // A page may have been half written when there was no more room: then the server tells of that.
        let is_named = said.contains("No space left on device") || said.contains("SQLSTATE 53100");
        assert!(is_named && said.contains("make room"), "{mib} MiB: {said}");
        drop(ballast);
        sound(&["generate", "--profile", "smoke"]);
        sound(&["migrate", "verify"]);
        sound(&["generate", "verify"]);
    }
    let output = command()
        .args(["cluster", "destroy", "full", "--yes"])
        .env("OMTDB_HOME", &disk.dir)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}
