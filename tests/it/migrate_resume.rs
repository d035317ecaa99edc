//! Runs that are killed between any two notes of the journal, run again, raced: what they come to is what one run comes to.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use omtdb::migrate::{self, Options, Source};
use omtdb::pg::{Session, Target};
use omtdb::run::Run;
use tempfile::TempDir;

use crate::harness::{Server, command, programs, text};
use crate::migrate::code;

/// Every kind of step there is, on two leaves and a plain table.
const FILES: [(&str, &str); 6] = [
    (
        "V1__base.sql",
        "CREATE SCHEMA s;
         CREATE TABLE s.t (id INT, v INT) PARTITION BY HASH (id);
         CREATE TABLE s.t_0 PARTITION OF s.t FOR VALUES WITH (MODULUS 2, REMAINDER 0);
         CREATE TABLE s.t_1 PARTITION OF s.t FOR VALUES WITH (MODULUS 2, REMAINDER 1);
         CREATE TABLE s.plain (id INT PRIMARY KEY, v INT, n INT NOT NULL DEFAULT 0);
         CREATE TABLE s.log (what TEXT);
         INSERT INTO s.t SELECT i, i % 7 FROM generate_series(1, 500) AS i;
         INSERT INTO s.plain SELECT i, i % 7 FROM generate_series(1, 500) AS i;",
    ),
    (
        "V2__online.sql",
        "-- omtdb: online jobs=2
         CREATE INDEX t_v ON s.t (v);
         -- omtdb: online
         CREATE INDEX plain_v ON s.plain (v);",
    ),
    (
        "V3__steps.sql",
        "-- omtdb: no-transaction
         INSERT INTO s.log VALUES ('once');
         ALTER TABLE s.plain ADD CONSTRAINT positive CHECK (v >= 0) NOT VALID;
         ALTER TABLE s.plain VALIDATE CONSTRAINT positive;",
    ),
    (
        "V4__concurrently.sql",
        "CREATE INDEX CONCURRENTLY plain_n ON s.plain (n);
         ALTER TABLE s.t DETACH PARTITION s.t_1 CONCURRENTLY;
         VACUUM s.plain;",
    ),
    (
        "V5__backfill.sql",
        "-- omtdb: backfill s.plain by id batch=200
         UPDATE s.plain SET n = n + 1 WHERE id BETWEEN $1 AND $2;
         -- omtdb: check s.plain by id batch=400
         SELECT id, n FROM s.plain WHERE id BETWEEN $1 AND $2 AND n <> 1;",
    ),
    (
        "V6__drop.sql",
        "-- omtdb: online
         REINDEX INDEX s.t_v;
         -- omtdb: online
         DROP INDEX s.plain_v;
         -- omtdb: online
         DROP INDEX s.t_v;",
    ),
];
const LAST: i64 = 6;

fn directory() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, sql) in FILES {
        fs::write(dir.path().join(name), sql).unwrap();
    }
    dir
}

fn spawn(url: &str, dir: &Path) -> Child {
    let dir = dir.to_str().unwrap();
    let arguments = ["migrate", "apply", "--url", url, "--migrations", dir, "--duty", "100", "--json"];
    command().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn finish(url: &str, dir: &Path) -> Output {
    spawn(url, dir).wait_with_output().unwrap()
}

async fn apply(target: &Target, dir: &Path, last: i64) {
    let options = Options { last: Some(last), duty: 1.0, ..Options::default() };
    migrate::apply(target, &Source::read(dir).unwrap(), &options, &Run::silent()).await.unwrap();
}

/// Schema and rows as `pg_dump` writes them; of our own tables only that the history is there.
fn dump(url: &str) -> String {
    let output = Command::new(programs().bin().join("pg_dump"))
        .args(["--exclude-schema=omtdb", "--exclude-table-data=public.refinery_schema_history", url])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    // Recent minor versions put a random word around the dump.
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains("restrict ")).collect();
    // Where a row lies in its table depends on what was taken back; which rows there are does not.
    let mut parts: Vec<Vec<&str>> = lines
        .split_inclusive(|line| line.starts_with("COPY ") || *line == "\\.")
        .map(<[&str]>::to_vec)
        .collect();
    for rows in parts.iter_mut().filter(|part| part.last() == Some(&"\\.")) {
        rows.sort_unstable();
    }
    parts.concat().join("\n")
}

/// Makes whoever writes the journal, the walk or the history for the `n`th time sleep before it does.
const STOPPER: &str = "
    CREATE SEQUENCE public.boundary;
    CREATE TABLE public.stop_at (n BIGINT);
    CREATE FUNCTION public.stop() RETURNS TRIGGER LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('public.boundary') = (SELECT n FROM public.stop_at) THEN PERFORM pg_sleep(600); END IF;
        RETURN new;
    END $$;
    CREATE TRIGGER stop BEFORE INSERT OR UPDATE ON omtdb.migration_run FOR EACH ROW EXECUTE FUNCTION public.stop();
    CREATE TRIGGER stop BEFORE INSERT OR UPDATE ON omtdb.migration_step FOR EACH ROW EXECUTE FUNCTION public.stop();
    CREATE TRIGGER stop BEFORE INSERT OR UPDATE ON omtdb.migration_sweep FOR EACH ROW EXECUTE FUNCTION public.stop();
    CREATE TRIGGER stop BEFORE INSERT ON public.refinery_schema_history FOR EACH ROW EXECUTE FUNCTION public.stop();";

const NO_STOPPER: &str =
    "DROP FUNCTION public.stop() CASCADE; DROP TABLE public.stop_at; DROP SEQUENCE public.boundary";

/// A database at version 1 with the stopper in it, to be copied.
async fn template(server: &Server, dir: &Path) -> String {
    let target = server.database().await;
    apply(&target, dir, 1).await;
    let session = server.session(&target.dbname).await;
    session.batch_execute(STOPPER).await.unwrap();
    session.close().await;
    target.dbname
}

/// Whether the run came to boundary `n`: then it is killed there, and its session with it.
async fn killed_at(admin: &Session, dbname: &str, mut child: Child) -> bool {
    let asleep = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND wait_event = 'PgSleep'";
    let there = "SELECT FROM pg_stat_activity WHERE datname = $1 AND wait_event = 'PgSleep'";
    loop {
        if !admin.query(there, &[&dbname]).await.unwrap().is_empty() {
            child.kill().unwrap();
            child.wait().unwrap();
            admin.query(asleep, &[&dbname]).await.unwrap();
            return true;
        }
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{}", text(&child.wait_with_output().unwrap()));
            return false;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_run_killed_at_any_boundary_and_run_again_comes_to_what_one_run_comes_to() {
    let server = Server::start();
    let dir = directory();
    let template = template(&server, dir.path()).await;
    let admin = server.session("postgres").await;
    let whole = server.database().await;
    apply(&whole, dir.path(), LAST).await;
    let expected = dump(&server.url(&whole.dbname));
    for boundary in 1_i64.. {
        let dbname = format!("{template}_{boundary}");
        admin.batch_execute(&format!("CREATE DATABASE \"{dbname}\" TEMPLATE \"{template}\"")).await.unwrap();
        let url = server.url(&dbname);
        let session = server.session(&dbname).await;
        session.execute("INSERT INTO public.stop_at VALUES ($1)", &[&boundary]).await.unwrap();
        let killed = killed_at(&admin, &dbname, spawn(&url, dir.path())).await;
        if killed {
            let output = finish(&url, dir.path());
            assert_eq!(code(&output), Some(0), "after boundary {boundary}: {}", text(&output));
        }
        session.batch_execute(NO_STOPPER).await.unwrap();
        session.close().await;
        let found = dump(&url);
        assert!(
            found == expected,
            "after boundary {boundary}:\n{}",
            similar::TextDiff::from_lines(&expected, &found).unified_diff()
        );
        admin.batch_execute(&format!("DROP DATABASE \"{dbname}\" WITH (FORCE)")).await.unwrap();
        if !killed {
            assert!(boundary > 60, "the run wrote {boundary} times only");
            break;
        }
    }
}

#[tokio::test]
async fn step_by_step_or_in_one_go_is_the_same_and_leaves_nothing_to_do() {
    let server = Server::start();
    let dir = directory();
    let (steps, whole) = (server.database().await, server.database().await);
    for version in 1..=LAST {
        apply(&steps, dir.path(), version).await;
    }
    apply(&whole, dir.path(), LAST).await;
    assert_eq!(dump(&server.url(&steps.dbname)), dump(&server.url(&whole.dbname)));
    let plan = migrate::plan(&whole, &Source::read(dir.path()).unwrap(), &Options::default()).await.unwrap();
    assert!(plan.steps.is_empty(), "{plan:?}");
}
