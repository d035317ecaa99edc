//! Migrations while others work: who waits for whom and for how long, who is told, and what is left when it goes wrong.

use std::process::{Child, Stdio};

use omtdb::migrate::{self, Options, Source};
use omtdb::pg::Session;
use omtdb::run::Run;

use crate::bench_pooler::Pooler;
use crate::harness::{Server, command, eventually, json, text};
use crate::migrate::{Place, advisory_locks, assert_refused, code};

pub(crate) const BASE: (&str, &str) = (
    "V1__base.sql",
    "CREATE SCHEMA s;
     CREATE TABLE s.t (id INT NOT NULL, v INT) PARTITION BY HASH (id);
     CREATE TABLE s.t_0 PARTITION OF s.t FOR VALUES WITH (MODULUS 2, REMAINDER 0);
     CREATE TABLE s.t_1 PARTITION OF s.t FOR VALUES WITH (MODULUS 2, REMAINDER 1);
     CREATE TABLE s.plain (id INT PRIMARY KEY, v INT);
     INSERT INTO s.t SELECT i, i % 7 FROM generate_series(1, 500) AS i;
     INSERT INTO s.plain SELECT i, i % 7 FROM generate_series(1, 500) AS i;",
);
const ONLINE: (&str, &str) =
    ("V2__online.sql", "-- omtdb: online jobs=2\nCREATE INDEX t_v ON s.t ((v + 1));");
const PLAIN: (&str, &str) = ("V2__online.sql", "-- omtdb: online\nCREATE INDEX plain_v ON s.plain (v);");

/// A place at version 1, with the files of a second version.
pub(crate) async fn place(second: (&str, &str)) -> Place {
    let place = Place::new(&[BASE, second]).await;
    let first = place.run("apply", &["--target", "1"]);
    assert_eq!(code(&first), Some(0), "{}", text(&first));
    place
}

/// A transaction whose snapshot a concurrent build has to wait for.
async fn reader(place: &Place) -> (Session, i32) {
    let session = place.session().await;
    let pid = session.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    session
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM s.t, s.plain")
        .await
        .unwrap();
    (session, pid)
}

/// Waits until `count` sessions wait for the end of a transaction.
async fn until_waiting(place: &Place, count: usize) {
    let session = place.session().await;
    let waiting =
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'virtualxid'";
    eventually("a wait", async || session.query(waiting, &[]).await.unwrap().len() >= count).await;
}

/// Waits until the server has noticed that nobody waits any more for what a killed run has it do.
async fn until_given_up(place: &Place) {
    let session = place.session().await;
    let at_work = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' \
                   AND query LIKE '%CONCURRENTLY%' AND pid <> pg_backend_pid()";
    eventually("its end", async || session.query(at_work, &[]).await.unwrap().is_empty()).await;
}

/// `name valid` of the indexes of schema s but for keys.
async fn indexes(place: &Place) -> Vec<(String, bool)> {
    let sql = "SELECT c.relname, i.indisvalid FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
               WHERE c.relnamespace = 's'::regnamespace AND NOT i.indisprimary ORDER BY 1";
    let rows = place.session().await.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn whole() -> Vec<(String, bool)> {
    ["t_0_t_v", "t_1_t_v", "t_v"].map(|name| (name.to_owned(), true)).to_vec()
}

fn eight(place: &Place) -> Vec<Child> {
    (0..8)
        .map(|_| {
            command().args(place.args("apply")).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect()
}

/// Waits for all; how many of them applied something.
fn appliers(children: Vec<Child>) -> usize {
    let outputs = children.into_iter().map(|child| child.wait_with_output().unwrap());
    let applied = outputs.map(|output| {
        assert_eq!(code(&output), Some(0), "{}", text(&output));
        json(&output)["applied"].as_array().unwrap().len()
    });
    applied.filter(|&count| count > 0).count()
}

#[tokio::test]
async fn eight_at_once_build_an_index_once_while_an_old_transaction_holds_it_up() {
    let place = place(ONLINE).await;
    let (reader, _) = reader(&place).await;
    let runners = eight(&place);
    until_waiting(&place, 1).await;
    reader.batch_execute("COMMIT").await.unwrap();
    assert_eq!(appliers(runners), 1);
    assert_eq!((indexes(&place).await, place.advisory_locks().await), (whole(), 0));
}

#[tokio::test]
async fn a_run_killed_in_a_build_is_continued_by_one_of_eight() {
    let place = place(ONLINE).await;
    let (reader, _) = reader(&place).await;
    let mut first = place.spawn("apply");
    until_waiting(&place, 2).await;
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(indexes(&place).await.iter().any(|(name, valid)| name == "t_0_t_v" && !valid));
    until_given_up(&place).await;
    let runners = eight(&place);
    until_waiting(&place, 1).await;
    reader.batch_execute("COMMIT").await.unwrap();
    assert_eq!(appliers(runners), 1);
    assert_eq!((indexes(&place).await, place.advisory_locks().await), (whole(), 0));
}

#[tokio::test]
async fn a_build_gives_up_on_a_session_that_never_ends_and_leaves_nothing_invalid() {
    let place = place(PLAIN).await;
    let holder = place.session().await;
    let pid: i32 = holder.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    holder.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").await.unwrap();
    let output = place.run("apply", &["--patience", "300ms"]);
    assert_refused(
        &output,
        4,
        &["V2__online", "line 2", &format!("held by pid {pid} (omtdb/test"), "--patience"],
    );
    assert_eq!(indexes(&place).await, []);
    holder.batch_execute("COMMIT").await.unwrap();
    let again = place.run("apply", &[]);
    assert_eq!(code(&again), Some(0), "{}", text(&again));
    assert_eq!(indexes(&place).await, [("plain_v".to_owned(), true)]);
}

#[tokio::test]
async fn remains_of_others_are_reported_and_stay() {
    let place = place(ONLINE).await;
    let session = place.session().await;
    session.batch_execute("INSERT INTO s.t_0 SELECT id, v FROM s.t_0 LIMIT 1").await.unwrap();
    session.batch_execute("CREATE UNIQUE INDEX CONCURRENTLY t_0_t_v ON s.t_0 (id)").await.unwrap_err();
    assert_refused(
        &place.run("apply", &[]),
        4,
        &["s.t_0_t_v is INVALID, and was not left by this migration"],
    );
    assert!(indexes(&place).await.contains(&("t_0_t_v".to_owned(), false)));
    session.batch_execute("DROP INDEX s.t_0_t_v").await.unwrap();
    assert_eq!(code(&place.run("apply", &[])), Some(0));
    assert_eq!(indexes(&place).await, whole());
}

#[tokio::test]
async fn an_index_that_is_there_already_is_not_taken_for_ours() {
    let place = place(PLAIN).await;
    place.session().await.batch_execute("CREATE INDEX plain_v ON s.plain (v)").await.unwrap();
    assert_refused(&place.run("apply", &[]), 4, &["s.plain_v exists, and was not made by this migration"]);
}

#[tokio::test]
async fn a_name_that_another_tables_index_has_is_refused_and_that_index_stays() {
    for file in [PLAIN.1, "CREATE INDEX CONCURRENTLY plain_v ON s.plain (v)"] {
        let place = place(("V2__online.sql", file)).await;
        place
            .session()
            .await
            .batch_execute("CREATE TABLE s.other (v INT); CREATE INDEX plain_v ON s.other (v)")
            .await
            .unwrap();
        for _ in 0..2 {
            assert_refused(
                &place.run("apply", &[]),
                4,
                &["s.plain_v exists, and was not made by this migration"],
            );
        }
        assert_eq!(indexes(&place).await, [("plain_v".to_owned(), true)]);
        assert_eq!(place.versions().await, [1]);
    }
}

#[tokio::test]
async fn a_concurrent_detach_waits_for_readers_and_is_finished_after_a_kill() {
    const DETACH: &str = "-- omtdb: allow hash-leaf-detach: nobody reads this table\n\
        -- omtdb: allow hash-bounds: nobody writes this table\n\
        ALTER TABLE s.t DETACH PARTITION s.t_1 CONCURRENTLY;\nVACUUM s.missing";
    let place = place(("V2__detach.sql", DETACH)).await;
    let (reader, _) = reader(&place).await;
    let mut first = place.spawn("apply");
    until_waiting(&place, 1).await;
    first.kill().unwrap();
    first.wait().unwrap();
    let second = place.spawn("apply");
    until_waiting(&place, 1).await;
    reader.batch_execute("COMMIT").await.unwrap();
    let second = second.wait_with_output().unwrap();
    for output in [second, place.run("apply", &[])] {
        assert_refused(&output, 4, &["statement 2 in line 4", "42P01"]);
    }
    let detached = "SELECT FROM pg_inherits WHERE inhrelid = 's.t_1'::regclass";
    assert!(place.session().await.query(detached, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_walk_by_a_key_that_may_be_null_or_has_no_index_is_refused() {
    for (table, words) in [
        ("s.plain by v", "would be passed over"),
        ("s.t by id", "no index of s.t"),
        ("s.plain by x", "no column"),
    ] {
        let file = format!(
            "-- omtdb: backfill {table} batch=9\nUPDATE s.plain SET v = 1 WHERE id BETWEEN $1 AND $2"
        );
        let place = place(("V2__fill.sql", &file)).await;
        assert_refused(&place.run("apply", &[]), 4, &[words]);
    }
}

#[tokio::test]
async fn what_the_lint_refuses_is_a_verdict_and_nothing_is_applied() {
    let place = place(("V2__index.sql", "CREATE INDEX t_v ON s.t (v)")).await;
    assert_refused(&place.run("apply", &[]), 1, &["index-blocks-writes", "V2__index.sql:1:1", "--no-lint"]);
    assert_eq!((indexes(&place).await, place.versions().await), (vec![], vec![1]));
    assert_eq!(code(&place.run("apply", &["--no-lint"])), Some(0));
    assert_eq!(code(&place.run("apply", &["--lock-timeout", "0s"])), Some(2));
}

#[tokio::test]
async fn a_build_that_fails_leaves_no_index_behind() {
    let place =
        place(("V2__online.sql", "-- omtdb: online\nCREATE UNIQUE INDEX plain_v ON s.plain (v)")).await;
    assert_refused(&place.run("apply", &[]), 4, &["23505", "build s.plain_v"]);
    assert_eq!(indexes(&place).await, []);
    place.session().await.batch_execute("UPDATE s.plain SET v = id").await.unwrap();
    assert_eq!(code(&place.run("apply", &[])), Some(0));
}

#[tokio::test]
async fn a_lock_held_for_a_while_is_tried_for_again_and_nobody_else_waits_for_long() {
    let place = place(("V2__column.sql", "ALTER TABLE s.plain ADD COLUMN w INT")).await;
    let holder = place.session().await;
    holder.batch_execute("BEGIN; UPDATE s.plain SET v = v WHERE id = 1").await.unwrap();
    let mut runner = command()
        .args(place.args("apply"))
        .args(["--lock-timeout", "200ms"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The application's own limit: were it kept waiting for longer than the runner's, it would be an error.
    let app = place.session().await;
    app.batch_execute("SET lock_timeout = '5s'").await.unwrap();
    let retried = "SELECT coalesce(max(attempts), 0) FROM omtdb.migration_step AS s JOIN omtdb.migration_run AS r ON r.id = s.run \
                   WHERE r.version = 2";
    let mut attempts: i32 = 0;
    while runner.try_wait().unwrap().is_none() {
        app.batch_execute("UPDATE s.plain SET v = v + 1 WHERE id = 2").await.unwrap();
        attempts = app.query_one(retried, &[]).await.unwrap().get(0);
        if attempts >= 4 {
            holder.batch_execute("COMMIT").await.unwrap();
        }
    }
    let output = runner.wait_with_output().unwrap();
    assert_eq!(code(&output), Some(0), "{}", text(&output));
    let step = &json(&output)["applied"][0];
    assert!(step["retries"].as_i64().unwrap() >= 3 && attempts >= 4, "{step}");
    let blockers = "SELECT s.blockers FROM omtdb.migration_step AS s WHERE s.blockers IS NOT NULL";
    let blockers: Vec<String> = app.query_one(blockers, &[]).await.unwrap().get(0);
    assert!(blockers.iter().any(|who| who.contains("omtdb/test")), "{blockers:?}");
}

#[tokio::test]
async fn a_file_that_changed_since_it_was_begun_is_refused() {
    let place = place(("V2__b.sql", "-- omtdb: no-transaction\nCREATE TABLE s.u ();\nSELECT 1 / 0")).await;
    assert_eq!(code(&place.run("apply", &[])), Some(4));
    place.write("V2__b.sql", "-- omtdb: no-transaction\nCREATE TABLE s.other ();\nSELECT 1");
    assert_refused(&place.run("apply", &[]), 4, &["statement 1 in line 2 has changed", "migrate repair"]);
    place.write("V2__b.sql", "-- omtdb: no-transaction\nCREATE TABLE s.u ();\nSELECT 1 / 0");
    assert_refused(&place.run("apply", &[]), 4, &["statement 2 in line 3", "22012"]);
}

#[tokio::test]
async fn a_pooler_in_transaction_mode_is_refused_before_a_lock_is_left_in_it() {
    let server = Server::start();
    let target = server.migrated().await;
    for (mode, expected) in [("transaction", Some(4)), ("session", Some(0))] {
        let (_pooler, url) = Pooler::before(&server, &target.dbname, mode);
        let output = command().args(["migrate", "apply", "--url", &url, "--json"]).output().unwrap();
        assert_eq!(code(&output), expected, "{mode}: {}", text(&output));
        if mode == "transaction" {
            assert_refused(&output, 4, &["pooler", "connect to the server itself"]);
        }
    }
    assert_eq!(advisory_locks(&server.session(&target.dbname).await).await, 0);
}

#[tokio::test]
async fn plain_refinery_reads_our_history_and_finds_nothing_to_do() {
    let server = Server::start();
    let target = server.database().await;
    let source = Source::embedded();
    migrate::apply(&target, &source, &Options { last: Some(20), ..Options::default() }, &Run::silent())
        .await
        .unwrap();
    let mut session = server.session(&target.dbname).await;
    let known: Vec<_> = source.migrations().iter().filter(|one| one.version() <= 20).cloned().collect();
    let mut runner = refinery::Runner::new(&known).set_abort_divergent(true).set_abort_missing(true);
    runner.set_migration_table_name("public.refinery_schema_history");
    let client: &mut tokio_postgres::Client = &mut session;
    assert_eq!(runner.get_applied_migrations_async(client).await.unwrap(), known);
    assert!(runner.run_async(client).await.unwrap().applied_migrations().is_empty());
}

#[tokio::test]
async fn a_plan_writes_nothing_and_holds_only_as_long_as_nothing_changes() {
    let place = place(ONLINE).await;
    let session = place.session().await;
    let plan = place.run("plan", &[]);
    assert_eq!(code(&plan), Some(0), "{}", text(&plan));
    let parts = json(&plan)["steps"][0]["statements"][0]["parts"].as_array().unwrap().len();
    assert_eq!(parts, 1 + 2 * 2);
    let file = place.dir.path().join(".plan.json");
    std::fs::write(&file, &plan.stdout).unwrap();
    let file = file.to_str().unwrap();
    session.batch_execute("CREATE INDEX by_hand ON s.plain (v)").await.unwrap();
    assert_refused(&place.run("apply", &["--plan", file]), 1, &["no longer holds", "catalog"]);
    session.batch_execute("DROP INDEX s.by_hand").await.unwrap();
    place.write("V3__more.sql", "SELECT 1");
    assert_eq!(code(&place.run("apply", &["--plan", file])), Some(0));
    assert_eq!(place.versions().await, [1, 2]);
    assert_refused(&place.run("apply", &["--plan", file]), 1, &["was at version 1 and is at version 2"]);
    let fresh = Place::new(&[BASE]).await;
    assert_eq!(code(&fresh.run("plan", &[])), Some(0));
    let made =
        "SELECT to_regnamespace('omtdb') IS NULL AND to_regclass('public.refinery_schema_history') IS NULL";
    assert!(fresh.session().await.query_one(made, &[]).await.unwrap().get::<_, bool>(0));
}

#[tokio::test]
async fn every_query_is_one_that_the_server_takes() {
    let server = Server::start();
    let session = server.session(&server.migrated().await.dbname).await;
    for (name, sql) in migrate::queries() {
        session.prepare(sql).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
}
