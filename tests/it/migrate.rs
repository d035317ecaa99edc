//! Migrations applied, interrupted, killed, raced; files and histories that do not fit; the schema that results.

use std::fs;
use std::path::Path;
use std::process::{Child, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use omtdb::migrate::{self, LOCK_KEY, Options, Source};
use omtdb::partition::map;
use omtdb::pg::{Session, Target};
use omtdb::run::Run;
use tempfile::TempDir;

use crate::harness::{Server, command, eventually, json, omtdb, text};

/// A database, and a directory of migrations to apply to it by command.
pub(crate) struct Place {
    pub(crate) server: Server,
    pub(crate) target: Target,
    pub(crate) dir: TempDir,
}

impl Place {
    pub(crate) async fn new(files: &[(&str, &str)]) -> Self {
        let server = Server::start();
        let target = server.database().await;
        let place = Self { server, target, dir: tempfile::tempdir().unwrap() };
        for (name, sql) in files {
            place.write(name, sql);
        }
        place
    }

    pub(crate) fn write(&self, name: &str, sql: &str) {
        fs::write(self.dir.path().join(name), sql).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.dir.path().join(name)).unwrap();
    }

    pub(crate) async fn session(&self) -> Session {
        self.server.session(&self.target.dbname).await
    }

    pub(crate) fn args(&self, action: &str) -> Vec<String> {
        let url = self.server.url(&self.target.dbname);
        let dir = self.dir.path().to_str().unwrap().to_owned();
        ["migrate", action, "--url", &url, "--migrations", &dir, "--json"].map(str::to_owned).to_vec()
    }

    pub(crate) fn run(&self, action: &str, more: &[&str]) -> Output {
        command().args(self.args(action)).args(more).output().unwrap()
    }

    pub(crate) fn spawn(&self, action: &str) -> Child {
        let mut command = command();
        command.args(self.args(action)).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Waits until a statement like `pattern` is under way in the database.
    pub(crate) async fn until_running(&self, pattern: &str) {
        let session = self.session().await;
        let running = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' \
                       AND query LIKE $1 AND pid <> pg_backend_pid()";
        eventually(pattern, async || !session.query(running, &[&pattern]).await.unwrap().is_empty()).await;
    }

    /// What there is of tables `a`, `b`, `c`.
    async fn tables(&self) -> Vec<String> {
        let sql = "SELECT relname::text FROM pg_class WHERE relname IN ('a', 'b', 'c') ORDER BY 1";
        let rows = self.session().await.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    pub(crate) async fn versions(&self) -> Vec<i64> {
        let sql = "SELECT version FROM public.refinery_schema_history ORDER BY version";
        self.session().await.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    pub(crate) async fn advisory_locks(&self) -> usize {
        advisory_locks(&self.session().await).await
    }
}

/// How many stay. A backend whose client was killed, or that a pooler told goodbye, holds its own for a moment more.
pub(crate) async fn advisory_locks(session: &Session) -> usize {
    let mut left = usize::MAX;
    for _ in 0..200 {
        let sql = "SELECT FROM pg_locks WHERE locktype = 'advisory'";
        left = session.query(sql, &[]).await.unwrap().len();
        if left == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    left
}

/// Versions of the shipped migrations that nobody has to ask for.
const FIRST_PHASE: [i64; 11] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

const A: (&str, &str) = ("V1__a.sql", "CREATE TABLE public.a ()");
const B: (&str, &str) = ("V2__b.sql", "CREATE TABLE public.b ()");
const SLOW_B: (&str, &str) = ("V2__b.sql", "CREATE TABLE public.b (); SELECT pg_sleep(600) AS slow");
const C: (&str, &str) = ("V3__c.sql", "CREATE TABLE public.c ()");

pub(crate) fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

#[track_caller]
pub(crate) fn assert_refused(output: &Output, expected: i32, words: &[&str]) {
    assert_eq!(code(output), Some(expected), "{}", text(output));
    for word in words {
        assert!(text(output).contains(word), "{word:?} is not in {}", text(output));
    }
}

#[tokio::test]
async fn everything_is_applied_once() {
    let server = Server::start();
    let target = server.database().await;
    let source = Source::embedded();
    let run = Run::silent();
    let first = migrate::apply(&target, &source, &Options::default(), &run).await.unwrap();
    assert_eq!(first.applied.len(), FIRST_PHASE.len());
    assert_eq!(first.current, FIRST_PHASE.last().copied());
    let second = migrate::apply(&target, &source, &Options::default(), &run).await.unwrap();
    assert!(second.applied.is_empty() && second.current == first.current, "{second:?}");
}

#[tokio::test]
async fn the_largest_table_has_sixteen_leaves_named_by_their_bounds() {
    let server = Server::start();
    let target = server.migrated().await;
    let session = server.session(&target.dbname).await;
    let leaves = map::live_leaves(&session, "interaction", "user_media").await.unwrap();
    assert_eq!(leaves.len(), 16);
    for (remainder, leaf) in (0..).zip(&leaves) {
        assert_eq!((leaf.modulus, leaf.remainder), (16, remainder));
        assert_eq!(leaf.name, leaf.bound().leaf_name("user_media"));
    }
    let error = map::live_leaves(&session, "auth", "login_events").await.unwrap_err().to_string();
    assert!(error.contains("login_events"), "{error}");
}

#[tokio::test]
async fn status_takes_no_lock_and_creates_nothing() {
    let place = Place::new(&[A, B]).await;
    let status = json(&place.run("status", &[]));
    assert_eq!((&status["current"], &status["latest"]), (&serde_json::Value::Null, &2.into()));
    assert_eq!(status["pending"][1], serde_json::json!({ "version": 2, "name": "b" }));
    assert_eq!(code(&place.run("status", &["--check"])), Some(1));
    let created = "SELECT to_regclass('public.refinery_schema_history') IS NOT NULL";
    assert!(!place.session().await.query_one(created, &[]).await.unwrap().get::<_, bool>(0));
    assert_eq!(code(&place.run("apply", &[])), Some(0));
    let status = place.run("status", &["--check"]);
    assert_eq!(code(&status), Some(0), "{}", text(&status));
    assert_eq!(json(&status)["applied"][0]["name"], "a");
}

#[tokio::test]
async fn a_target_stops_the_run() {
    let place = Place::new(&[A, B, C]).await;
    let applied = json(&place.run("apply", &["--target", "2"]));
    assert_eq!((&applied["current"], applied["applied"].as_array().unwrap().len()), (&2.into(), 2));
    assert!(applied["applied"][0]["ms"].as_f64().unwrap() > 0.0);
    assert_eq!(place.tables().await, ["a", "b"]);
    assert_refused(&place.run("apply", &["--target", "1"]), 2, &["version 2 already"]);
    assert_refused(&place.run("apply", &["--target", "9"]), 2, &["no migration 9"]);
}

#[tokio::test]
async fn eight_at_once_apply_each_migration_once() {
    let server = Server::start();
    let target = server.database().await;
    let url = server.url(&target.dbname);
    let spawn = |_| {
        let mut command = command();
        command.args(["migrate", "apply", "--url", &url, "--json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<Child> = (0..8).map(spawn).collect();
    let outputs: Vec<Output> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    let mut versions = Vec::new();
    for output in &outputs {
        assert_eq!(code(output), Some(0), "{}", text(output));
        let applied = json(output);
        versions.extend(
            applied["applied"].as_array().unwrap().iter().map(|one| one["version"].as_i64().unwrap()),
        );
    }
    versions.sort_unstable();
    assert_eq!(versions, FIRST_PHASE, "each migration is applied by exactly one of them");
    let session = server.session(&target.dbname).await;
    assert_eq!(advisory_locks(&session).await, 0);
    assert_eq!(migrate::verify(&target).await.unwrap().drift, []);
}

#[tokio::test]
async fn a_failing_migration_is_rolled_back_and_named() {
    let place = Place::new(&[A, ("V2__b.sql", "CREATE TABLE public.b (); SELECT 1 / 0")]).await;
    assert_refused(&place.run("apply", &[]), 4, &["V2__b", "22012", "division by zero"]);
    assert_eq!((place.tables().await, place.versions().await), (vec!["a".to_owned()], vec![1]));
    place.write(B.0, B.1);
    assert_eq!(code(&place.run("apply", &[])), Some(0));
    assert_eq!((place.tables().await.len(), place.versions().await), (2, vec![1, 2]));
    assert_eq!(place.advisory_locks().await, 0);
}

#[tokio::test]
async fn an_interrupt_takes_back_the_migration_under_way() {
    let place = Place::new(&[A, SLOW_B, C]).await;
    let child = place.spawn("apply");
    place.until_running("%slow%").await;
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_refused(&output, 130, &["interrupted"]);
    assert_eq!((place.tables().await, place.versions().await), (vec!["a".to_owned()], vec![1]));
    assert_eq!(place.advisory_locks().await, 0);
    let running = "SELECT FROM pg_stat_activity WHERE query LIKE '%slow%' AND state = 'active' AND pid <> pg_backend_pid()";
    assert!(place.session().await.query(running, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_killed_run_leaves_nothing_that_stops_the_next() {
    let place = Place::new(&[A, SLOW_B, C]).await;
    let mut child = place.spawn("apply");
    place.until_running("%slow%").await;
    child.kill().unwrap();
    child.wait().unwrap();
    place.write(B.0, B.1);
    let output = place.run("apply", &[]);
    assert_eq!(code(&output), Some(0), "{}", text(&output));
    assert_eq!((place.tables().await.len(), place.versions().await), (3, vec![1, 2, 3]));
    assert_eq!(place.advisory_locks().await, 0);
}

#[tokio::test]
async fn whoever_waits_in_vain_learns_who_holds_the_lock() {
    let place = Place::new(&[A]).await;
    let holder = place.session().await;
    holder.execute("SELECT pg_advisory_lock($1)", &[&LOCK_KEY]).await.unwrap();
    let pid: i32 = holder.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let output = place.run("apply", &["--wait", "0s"]);
    assert_refused(&output, 4, &["--wait", &format!("pid {pid}"), "omtdb/test"]);
    assert_eq!(place.tables().await, [""; 0]);
}

#[tokio::test]
async fn a_lost_lock_stops_before_the_next_migration() {
    let lose = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'";
    let place = Place::new(&[A, ("V2__b.sql", lose), C]).await;
    assert_refused(&place.run("apply", &[]), 4, &["keeps other migrators out"]);
    assert_eq!((place.tables().await, place.versions().await), (vec!["a".to_owned()], vec![1]));
}

#[tokio::test]
async fn a_lock_that_is_not_granted_is_named_with_the_remedy() {
    let place = Place::new(&[A, ("V2__b.sql", "ALTER TABLE public.a ADD COLUMN x INT")]).await;
    assert_eq!(code(&place.run("apply", &["--target", "1"])), Some(0));
    let holder = place.session().await;
    let pid: i32 = holder.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    holder.batch_execute("BEGIN; LOCK TABLE public.a").await.unwrap();
    let output = place.run("apply", &["--lock-timeout", "300ms", "--lock-budget", "3s", "--no-lint"]);
    let held = format!("held by pid {pid} (omtdb/test, ");
    assert_refused(&output, 4, &["V2__b", "55P03", "--lock-budget", &held, "LOCK TABLE public.a"]);
    holder.batch_execute("COMMIT").await.unwrap();
    assert_eq!(code(&place.run("apply", &[])), Some(0));
}

#[tokio::test]
async fn a_file_that_commits_is_refused_when_it_has_done_so() {
    let place =
        Place::new(&[A, ("V2__b.sql", "CREATE TABLE public.b (); COMMIT; CREATE TABLE public.c ()")]).await;
    assert_refused(&place.run("apply", &[]), 2, &["V2__b.sql:1:", "take BEGIN, COMMIT"]);
    assert_eq!(place.tables().await, [""; 0]);
    let hidden = "CREATE PROCEDURE public.p() LANGUAGE plpgsql AS 'BEGIN COMMIT; END'; CALL public.p()";
    place.write("V2__b.sql", hidden);
    assert_refused(&place.run("apply", &[]), 4, &["V2__b", "2D000"]);
    assert_eq!(place.versions().await, [1]);
}

#[tokio::test]
async fn files_and_history_that_disagree_are_refused_in_full() {
    let place = Place::new(&[A, B, ("V5__c.sql", C.1)]).await;
    assert_eq!(code(&place.run("apply", &[])), Some(0));
    place.write(A.0, "CREATE TABLE public.a () -- changed");
    place.remove(B.0);
    place.write("V4__late.sql", "SELECT 1");
    place.write("V6__d.sql", "CREATE TABLE public.d ()");
    let words = ["V1__a is not what was applied", "version 2 (b) was applied", "V4__late was never applied"];
    assert_refused(&place.run("apply", &[]), 4, &words);
    let status = place.run("status", &["--check"]);
    assert_eq!(code(&status), Some(1), "{}", text(&status));
    let kinds: Vec<_> =
        json(&status)["problems"].as_array().unwrap().iter().map(|one| one["kind"].clone()).collect();
    assert_eq!(kinds, ["divergent", "missing", "late"]);
    assert_eq!(place.versions().await, [1, 2, 5]);
}

#[tokio::test]
async fn files_that_would_be_skipped_are_refused_by_name() {
    let place = Place::new(&[A, ("v2__lower.sql", "SELECT 1")]).await;
    assert_refused(&place.run("apply", &[]), 2, &["v2__lower.sql", "does not begin with V"]);
    place.remove("v2__lower.sql");
    place.write("V01__again.sql", "SELECT 1");
    assert_refused(&place.run("status", &[]), 2, &["V1__a.sql", "V01__again.sql", "occurs twice"]);
    place.remove("V01__again.sql");
    fs::create_dir(place.dir.path().join("V2__nested.sql")).unwrap();
    assert_refused(&place.run("apply", &[]), 2, &["V2__nested.sql", "directory"]);
    fs::remove_dir(place.dir.path().join("V2__nested.sql")).unwrap();
    place.write("README.md", "notes");
    assert_eq!(code(&place.run("apply", &[])), Some(0));
    let url = place.server.url(&place.target.dbname);
    let nowhere = Path::new("/nonexistent/migrations").to_str().unwrap();
    let output = omtdb(&["migrate", "apply", "--url", &url, "--migrations", nowhere]);
    assert_refused(&output, 2, &[nowhere]);
}

#[tokio::test]
async fn a_history_that_is_not_refinerys_is_an_error() {
    let place = Place::new(&[A]).await;
    assert_eq!(code(&place.run("apply", &[])), Some(0));
    let broken = "UPDATE public.refinery_schema_history SET applied_on = 'yesterday'";
    place.session().await.batch_execute(broken).await.unwrap();
    assert_refused(&place.run("status", &[]), 4, &["refinery_schema_history", "version 1", "applied_on"]);
}
