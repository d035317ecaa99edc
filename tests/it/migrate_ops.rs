//! What DBAs do beside applying migrations: indexes rebuilt and dropped, files repaired, databases adopted, many targets.

use std::process::{Output, Stdio};

use omtdb::migrate::Source;
use serde_json::Value;

use crate::harness::{command, eventually, json, text};
use crate::migrate::{Place, assert_refused, code};

/// Arguments of `omtdb migrate …` for the place's database.
fn words(place: &Place, words: &[&str]) -> Vec<String> {
    let url = place.server.url(&place.target.dbname);
    [&["migrate"], words, &["--url", &url, "--json"]].concat().into_iter().map(str::to_owned).collect()
}

fn run(place: &Place, of: &[&str]) -> Output {
    command().args(words(place, of)).output().unwrap()
}

/// As [`run`], with the place's files.
fn run_files(place: &Place, of: &[&str]) -> Output {
    run(place, &[of, &["--migrations", place.dir.path().to_str().unwrap()]].concat())
}

fn steps(output: &Output) -> Vec<String> {
    let steps = json(output)["steps"].as_array().unwrap().clone();
    steps.iter().map(|one| one["step"].as_str().unwrap().to_owned()).collect()
}

async fn one<T: for<'a> tokio_postgres::types::FromSql<'a>>(place: &Place, sql: &str) -> T {
    place.session().await.query_one(sql, &[]).await.unwrap().get(0)
}

/// A partitioned table of two leaves with an index, most of whose rows are gone.
const BLOATED: &str = "
    CREATE TABLE public.p (id INT, v INT) PARTITION BY HASH (id);
    CREATE TABLE public.p0 PARTITION OF public.p FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE public.p1 PARTITION OF public.p FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    CREATE INDEX i ON public.p (v);
    INSERT INTO public.p SELECT n, n FROM generate_series(1, 50000) AS n;
    DELETE FROM public.p WHERE id % 50 > 0";

const INVALID: &str = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";

#[tokio::test]
async fn a_rebuild_that_was_killed_is_continued() {
    let place = Place::new(&[]).await;
    let holder = place.session().await;
    holder.batch_execute(BLOATED).await.unwrap();
    holder.batch_execute("VACUUM public.p").await.unwrap();
    let rebuild = ["index", "rebuild", "public.i"];
    let planned = run(&place, &["index", "rebuild", "public.i", "--dry-run"]);
    assert_eq!(steps(&planned), ["rebuild public.p0_v_idx", "rebuild public.p1_v_idx"], "{}", text(&planned));
    holder
        .batch_execute("BEGIN; INSERT INTO public.p SELECT n, n FROM generate_series(1, 9) AS n")
        .await
        .unwrap();
    let mut command = command();
    command.args(words(&place, &rebuild)).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    eventually("a rebuild", async || one::<i64>(&place, INVALID).await > 0).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let planned = steps(&run(&place, &["index", "rebuild", "public.i", "--dry-run"]));
    assert_eq!(planned[..2], ["clear public.p0_v_idx_ccnew", "rebuild public.p0_v_idx"]);
    // Before the server notices, the rebuild would still come to its end.
    let at_work = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'REINDEX%'";
    eventually("its end", async || one::<i64>(&place, at_work).await == 0).await;
    holder.batch_execute("COMMIT").await.unwrap();
    let worked = run(&place, &rebuild);
    assert_eq!(code(&worked), Some(0), "{}", text(&worked));
    let expected = ["clear public.p0_v_idx_ccnew", "rebuild public.p0_v_idx", "rebuild public.p1_v_idx"];
    assert_eq!(steps(&worked), expected);
    let worked = json(&worked);
    assert!(worked["bytes_after"].as_i64() < worked["bytes_before"].as_i64(), "{worked}");
    assert_eq!(one::<i64>(&place, INVALID).await, 0);
    let events = "SELECT string_agg(event || ' ' || name || ' ' || outcome, ', ' ORDER BY id) FROM omtdb.migration_run";
    let events: String = one(&place, events).await;
    assert_eq!(events, "rebuild public.i lost, rebuild public.i done");
}

#[tokio::test]
async fn remains_of_a_foreign_rebuild_are_reported_and_stay() {
    let place = Place::new(&[]).await;
    let foreign = "CREATE TABLE public.a (id INT); CREATE INDEX i ON public.a (id); CREATE INDEX i_ccnew ON public.a (id); \
                   UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = 'i_ccnew'::regclass";
    place.session().await.batch_execute(foreign).await.unwrap();
    let worked = run(&place, &["index", "rebuild", "public.i"]);
    assert_eq!(steps(&worked), ["rebuild public.i"], "{}", text(&worked));
    assert_eq!(json(&worked)["left"], serde_json::json!(["public.i_ccnew"]));
    assert_eq!(one::<i64>(&place, INVALID).await, 1);
    assert_refused(&run(&place, &["index", "rebuild", "public.none"]), 2, &["there is no index public.none"]);
    assert_refused(&run(&place, &["index", "rebuild", "public.a"]), 2, &["there is no index public.a"]);
}

#[tokio::test]
async fn an_index_is_dropped_unless_it_is_needed() {
    let place = Place::new(&[]).await;
    let tables = "CREATE TABLE public.a (id INT PRIMARY KEY, v INT); CREATE INDEX j ON public.a (v); \
                  CREATE UNIQUE INDEX u ON public.a (v, id); \
                  CREATE TABLE public.b (v INT, id INT, FOREIGN KEY (v, id) REFERENCES public.a (v, id))";
    let session = place.session().await;
    session.batch_execute(BLOATED).await.unwrap();
    session.batch_execute(tables).await.unwrap();
    let drop = |name: &str, more: &[&str]| run(&place, &[&["index", "drop", name], more].concat());
    assert_refused(&drop("public.a_pkey", &["--yes"]), 2, &["constraint a_pkey of public.a"]);
    assert_refused(&drop("public.p0_v_idx", &["--yes"]), 2, &["part of the partitioned index public.i"]);
    assert_refused(&drop("public.u", &["--yes"]), 2, &["foreign key b_v_id_fkey of b"]);
    assert_refused(&drop("public.j", &[]), 2, &["--yes"]);
    let planned = json(&drop("public.j", &["--dry-run"]));
    assert_eq!(planned["steps"][0]["sql"], r#"DROP INDEX CONCURRENTLY "public"."j""#);
    for name in ["public.j", "public.i"] {
        let dropped = drop(name, &["--yes"]);
        assert_eq!(code(&dropped), Some(0), "{}", text(&dropped));
        assert_eq!(steps(&dropped), [format!("drop {name}")]);
        let bytes = json(&dropped);
        assert!(bytes["bytes_before"].is_i64() && bytes["bytes_after"] == Value::Null, "{bytes}");
    }
    let left = "SELECT count(*) FROM pg_class WHERE relname IN ('i', 'j', 'p0_v_idx', 'p1_v_idx')";
    assert_eq!(one::<i64>(&place, left).await, 0);
    assert_refused(&drop("public.j", &["--yes"]), 2, &["there is no index public.j"]);
}

const A: (&str, &str) = ("V1__a.sql", "CREATE TABLE public.a ();\n");
const B: (&str, &str) = ("V2__b.sql", "CREATE SCHEMA s;\nCREATE TABLE s.b (id INT PRIMARY KEY);\n");

#[tokio::test]
async fn a_changed_file_is_shown_and_accepted_for_a_reason() {
    let place = Place::new(&[A, B]).await;
    assert_eq!(code(&place.run("apply", &[])), Some(0));
    let nothing = run_files(&place, &["repair", "--version", "1", "--reason", "why"]);
    assert_eq!((code(&nothing), json(&nothing)["kind"].as_str()), (Some(0), Some("nothing")));
    place.write(A.0, "-- The first.\nCREATE TABLE public.a ();\n");
    let status = json(&place.run("status", &[]));
    let diff = status["problems"][0]["diff"].as_str().unwrap();
    assert!(diff.ends_with("+-- The first.\n CREATE TABLE public.a ();"), "{diff}");
    assert_refused(&place.run("apply", &[]), 4, &["omtdb migrate repair --version 1"]);
    let repair = ["repair", "--version", "1", "--reason", "a comment"];
    assert_refused(&run_files(&place, &repair), 2, &["+-- The first.", "--yes"]);
    let repaired = run_files(&place, &[&repair[..], &["--yes"]].concat());
    assert_eq!(code(&repaired), Some(0), "{}", text(&repaired));
    assert_eq!(json(&repaired)["kind"], "changed");
    assert_eq!(code(&place.run("status", &["--check"])), Some(0));
    assert_eq!(code(&place.run("apply", &[])), Some(0));
    let noted =
        "SELECT event || ': ' || reason || ': ' || outcome FROM omtdb.migration_run ORDER BY id DESC LIMIT 1";
    assert_eq!(one::<String>(&place, noted).await, "repair: a comment: done");
    place.write(A.0, "CREATE TABLE public.a ();\n");
    let status = json(&place.run("status", &[]));
    let diff = status["problems"][0]["diff"].as_str().unwrap();
    assert!(diff.contains("\n--- The first."), "the text that was accepted is what counts: {diff}");
    place.remove(A.0);
    assert_refused(&run_files(&place, &[&repair[..], &["--yes"]].concat()), 2, &["there is no file for it"]);
    assert_refused(
        &run_files(&place, &["repair", "--version", "9", "--reason", "x"]),
        2,
        &["no migration 9"],
    );
}

#[tokio::test]
async fn steps_of_a_run_left_half_done_are_listed_and_forgotten() {
    let file = |second: &str| format!("-- omtdb: no-transaction\nCREATE TABLE public.b (); {second};");
    let place = Place::new(&[A, ("V2__b.sql", &file("SELECT 1 / 0"))]).await;
    assert_refused(&place.run("apply", &[]), 4, &["division by zero"]);
    place.write("V2__b.sql", "-- omtdb: no-transaction\nCREATE TABLE public.b (id INT);");
    assert_refused(&place.run("apply", &[]), 4, &["has changed", "omtdb migrate repair"]);
    let repair = ["repair", "--version", "2", "--reason", "wrong", "--yes"];
    let repaired = json(&run_files(&place, &repair));
    assert_eq!(repaired["kind"], "begun");
    let steps: Vec<_> =
        repaired["steps"].as_array().unwrap().iter().map(|one| one["outcome"].clone()).collect();
    assert_eq!(steps, ["done", "failed"]);
    assert_eq!(repaired["steps"][0]["sql"], "CREATE TABLE public.b ()");
    place.session().await.batch_execute("DROP TABLE public.b").await.unwrap();
    let applied = place.run("apply", &[]);
    assert_eq!(code(&applied), Some(0), "{}", text(&applied));
    assert_eq!(json(&run_files(&place, &repair))["kind"], "nothing");
    assert_eq!(place.versions().await, [1, 2]);
}

#[tokio::test]
async fn what_was_rolled_back_is_not_taken_for_done() {
    let slow = "CREATE TABLE public.b (); SELECT pg_sleep(600) AS slow";
    let place = Place::new(&[A, ("V2__b.sql", slow)]).await;
    let mut command = command();
    let args = words(&place, &["apply", "--migrations", place.dir.path().to_str().unwrap()]);
    let mut child = command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    place.until_running("%slow%").await;
    child.kill().unwrap();
    child.wait().unwrap();
    let stepwise = "-- omtdb: no-transaction\nCREATE TABLE public.b ();\nSELECT 1";
    place.write("V2__b.sql", stepwise);
    let applied = place.run("apply", &[]);
    assert_eq!(code(&applied), Some(0), "{}", text(&applied));
    assert!(one::<bool>(&place, "SELECT to_regclass('public.b') IS NOT NULL").await);
    place.write("V3__c.sql", "-- omtdb: no-transaction\nCREATE TABLE public.c ();\nSELECT 1 / 0");
    assert_refused(&place.run("apply", &[]), 4, &["division by zero"]);
    place.write("V3__c.sql", "CREATE TABLE public.c ();\nSELECT 1");
    assert_refused(&place.run("apply", &[]), 4, &["begun statement 1 by itself", "migrate repair"]);
    place.write("V3__c.sql", "-- omtdb: no-transaction\nCREATE TABLE public.c ();\nSELECT 1");
    assert_eq!(code(&place.run("apply", &[])), Some(0), "a statement that left nothing may be put right");
}

#[tokio::test]
async fn a_database_built_elsewhere_is_adopted_when_it_is_what_the_files_build() {
    let place = Place::new(&[A, B, ("V3__later.sql", "CREATE TABLE s.c ()")]).await;
    let session = place.session().await;
    session.batch_execute(&format!("{}; {}", A.1, B.1)).await.unwrap();
    session
        .batch_execute("CREATE SCHEMA others; CREATE TABLE others.x (); GRANT SELECT ON s.b TO pg_monitor")
        .await
        .unwrap();
    let baseline = ["baseline", "--version", "2", "--reason", "scripts"];
    let adopted = run_files(&place, &baseline);
    assert_eq!(code(&adopted), Some(0), "{}", text(&adopted));
    let adopted = json(&adopted);
    assert_eq!((&adopted["proven"], adopted["adopted"].as_array().unwrap().len()), (&true.into(), 2));
    let status = json(&place.run("status", &[]));
    assert_eq!((&status["current"], status["problems"].as_array().unwrap().len()), (&2.into(), 0));
    assert_eq!(status["pending"][0]["version"], 3);
    let applied = json(&place.run("apply", &[]));
    assert_eq!(applied["applied"].as_array().unwrap().len(), 1, "{applied}");
    assert_refused(&run_files(&place, &baseline), 2, &["has a history already", "V3__later"]);
}

#[tokio::test]
async fn a_database_that_is_another_one_is_not_adopted() {
    let place = Place::new(&[A, B]).await;
    let session = place.session().await;
    let other = "CREATE TABLE public.a (extra INT); CREATE TABLE public.z (); CREATE SCHEMA s; CREATE TABLE s.b (id INT)";
    session.batch_execute(other).await.unwrap();
    let baseline = ["baseline", "--version", "2", "--reason", "scripts"];
    let refused = run_files(&place, &baseline);
    assert_eq!(code(&refused), Some(1), "{}", text(&refused));
    let refused = json(&refused);
    let objects: Vec<_> =
        refused["drift"].as_array().unwrap().iter().map(|one| one["object"].clone()).collect();
    for object in ["public.a.extra", "public.z", "s.b.b_pkey"] {
        assert!(objects.contains(&object.into()), "{object}: {refused}");
    }
    let written = "SELECT to_regclass('public.refinery_schema_history') IS NOT NULL OR to_regnamespace('omtdb') IS NOT NULL";
    assert!(!one::<bool>(&place, written).await, "nothing is written");
    let believed = run_files(&place, &[&baseline[..], &["--unproven"]].concat());
    assert_eq!(code(&believed), Some(0), "{}", text(&believed));
    assert!(text(&believed).contains("not compared"), "{}", text(&believed));
    let reasons: String =
        one(&place, "SELECT string_agg(DISTINCT reason, ',') FROM omtdb.migration_run").await;
    assert_eq!((reasons.as_str(), place.versions().await), ("unproven: scripts", vec![1, 2]));
}

#[tokio::test]
async fn the_first_phase_built_by_hand_is_adopted() {
    let place = Place::new(&[]).await;
    let session = place.session().await;
    for migration in Source::embedded().migrations().iter().filter(|one| one.version() <= 11) {
        session.batch_execute(migration.sql().unwrap()).await.unwrap();
    }
    let adopted = run(&place, &["baseline", "--version", "11", "--reason", "scripts"]);
    assert_eq!(code(&adopted), Some(0), "{}", text(&adopted));
    let status = run(&place, &["status", "--check"]);
    assert_eq!(code(&status), Some(0), "{}", text(&status));
    assert_eq!(json(&run(&place, &["apply"]))["applied"], serde_json::json!([]));
    assert_eq!(code(&run(&place, &["verify"])), Some(0));
}

/// A file of targets, each a name, a database of the place's server and whether it is a canary.
fn fleet(place: &Place, targets: &[(&str, &str, bool)]) -> String {
    let line = |(name, dbname, canary): &(&str, &str, bool)| {
        format!("  - {{ name: {name}, url: \"{}\", canary: {canary} }}\n", place.server.url(dbname))
    };
    let lines: String = targets.iter().map(line).collect();
    let file = place.dir.path().join("fleet.md");
    std::fs::write(&file, format!("version: 1\ntargets:\n{lines}")).unwrap();
    file.to_str().unwrap().to_owned()
}

fn on_fleet(place: &Place, file: &str, of: &[&str]) -> Output {
    let dir = place.dir.path().to_str().unwrap();
    let mut command = command();
    command.arg("migrate").args(of).args(["--json", "--targets", file]);
    if of[0] != "verify" {
        command.args(["--migrations", dir]);
    }
    command.output().unwrap()
}

/// Names and states of the targets.
fn states(output: &Output) -> Vec<(String, String)> {
    let word = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    let targets = json(output)["targets"].as_array().unwrap().clone();
    targets.iter().map(|one| (word(one, "name"), word(one, "state"))).collect()
}

#[tokio::test]
async fn canaries_go_first_and_a_failure_stops_the_rest() {
    let place = Place::new(&[A, B]).await;
    let others = [place.server.database().await.dbname, place.server.database().await.dbname];
    let targets = [
        ("one", place.target.dbname.as_str(), false),
        ("canary", others[0].as_str(), true),
        ("two", others[1].as_str(), false),
    ];
    let file = fleet(&place, &targets);
    let blocker = place.server.session(&others[0]).await;
    blocker.batch_execute("CREATE SCHEMA s").await.unwrap();
    let pair = |name: &str, state: &str| (name.to_owned(), state.to_owned());
    let failed = on_fleet(&place, &file, &["apply"]);
    assert_refused(&failed, 4, &["target canary", "V2__b", "42P06"]);
    let expected = [pair("canary", "failed"), pair("one", "not_tried"), pair("two", "not_tried")];
    assert_eq!(states(&failed), expected);
    let canary = &json(&failed)["targets"][0];
    assert_eq!(
        (&canary["from"], &canary["to"]),
        (&Value::Null, &1.into()),
        "what was applied stays: {canary}"
    );
    assert_eq!(canary["applied"], serde_json::json!([{ "version": 1, "name": "a" }]));
    blocker.batch_execute("DROP SCHEMA s").await.unwrap();
    let only = on_fleet(&place, &file, &["apply", "--canary-only"]);
    assert_eq!(states(&only), [pair("canary", "applied")], "{}", text(&only));
    assert_eq!(code(&on_fleet(&place, &file, &["status", "--check"])), Some(1));
    let all = on_fleet(&place, &file, &["apply"]);
    let expected = [pair("canary", "up_to_date"), pair("one", "applied"), pair("two", "applied")];
    assert_eq!((code(&all), states(&all)), (Some(0), expected.to_vec()), "{}", text(&all));
    let status = on_fleet(&place, &file, &["status", "--check", "--only", "two,one"]);
    assert_eq!((code(&status), json(&status)["targets"].as_array().unwrap().len()), (Some(0), 2));
    assert_eq!(code(&on_fleet(&place, &file, &["verify", "--only", "one"])), Some(1));
    assert_refused(&on_fleet(&place, &file, &["status", "--only", "tow"]), 2, &["did you mean `two`"]);
}

#[tokio::test]
async fn a_target_that_does_not_answer_keeps_nobody_from_being_asked() {
    let place = Place::new(&[A]).await;
    let file = fleet(&place, &[("gone", "nowhere", false), ("here", &place.target.dbname, false)]);
    let status = on_fleet(&place, &file, &["status"]);
    assert_refused(&status, 4, &["target gone", "nowhere"]);
    let targets = &json(&status)["targets"];
    assert_eq!((&targets[0]["current"], &targets[1]["latest"]), (&Value::Null, &1.into()));
    let twice = fleet(&place, &[("a", &place.target.dbname, false), ("b", &place.target.dbname, false)]);
    assert_refused(&on_fleet(&place, &twice, &["apply"]), 2, &["a and b lead to the same database"]);
}

#[tokio::test]
async fn a_file_of_targets_holds_no_password() {
    let place = Place::new(&[A]).await;
    let file = place.dir.path().join("fleet.md");
    let refused = |lines: &str, words: &[&str]| {
        std::fs::write(&file, format!("version: 1\ntargets:\n{lines}")).unwrap();
        let output = on_fleet(&place, file.to_str().unwrap(), &["apply"]);
        assert_refused(&output, 2, words);
        assert!(!text(&output).contains("geheim"), "{}", text(&output));
    };
    refused(
        "  - { name: a, url: \"postgresql://u:geheim@h/d\" }",
        &["fleet.md:3:", "a password stands here"],
    );
    refused("  - { name: a, url: \"host=h password=geheim\" }", &["fleet.md:3:", "a password stands here"]);
    refused("  - { name: a, servic: x }", &["fleet.md:3:16", "did you mean `service`"]);
    refused("  - { name: a, url_env: OMT_NOT_SET }", &["OMT_NOT_SET is not set"]);
    let mut with_url = command();
    with_url.args(["migrate", "apply", "--url", "host=h", "--targets", file.to_str().unwrap()]);
    assert_refused(&with_url.output().unwrap(), 2, &["cannot be used with"]);
    std::fs::write(&file, "version: 1\ntargets: [{ name: a, url_env: OMT_A }, { name: b, service: b }]")
        .unwrap();
    let services = place.dir.path().join("services.md");
    let other = place.server.database().await;
    let socket = place.server.cluster().socket_dir();
    let service = format!("[b]\nhost={}\ndbname={}\nuser={}\n", socket.display(), other.dbname, other.user);
    std::fs::write(&services, service).unwrap();
    let mut by_reference = command();
    by_reference.args(["migrate", "status", "--json", "--targets", file.to_str().unwrap()]);
    by_reference.env("OMT_A", place.server.url(&place.target.dbname)).env("PGSERVICEFILE", &services);
    let output = by_reference.output().unwrap();
    assert_eq!(code(&output), Some(0), "{}", text(&output));
}
