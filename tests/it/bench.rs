//! Load tests: what is measured, what is judged, and what is left behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use omtdb::load::{self, Options, Recording};
use omtdb::pg::{Session, Target};
use omtdb::run::Run;
use omtdb::scenario::{self, Names, Scenario};
use omtdb::schema::PLAN;
use omtdb::verdict::Verdict;

use crate::harness::{Server, command, json, omtdb, text};

/// A file of its own for `ops` (name: statement) under `load` and `slo`.
struct File {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl File {
    fn new(ops: &[(&str, &str, u32)], load: &str, slo: &str) -> Self {
        let ops_yaml: Vec<String> =
            ops.iter().map(|(name, sql, _)| format!("  {name}: {{ sql: \"{sql}\" }}")).collect();
        let mix: Vec<String> = ops.iter().map(|(name, _, weight)| format!("{name}: {weight}")).collect();
        let yaml = format!(
            "version: 1\nname: test\ndescription: For a test.\nops:\n{}\nmix: {{ {} }}\nload: {load}\nslo: {slo}\n",
            ops_yaml.join("\n"),
            mix.join(", ")
        );
        Self::of(&yaml)
    }

    fn of(yaml: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("test.yaml");
        fs::write(&path, yaml).unwrap();
        Self { _dir: dir, path }
    }

    fn read(&self) -> Vec<Scenario> {
        scenario::load(std::slice::from_ref(&self.path), &Names::from(&*PLAN)).unwrap()
    }

    fn arg(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

async fn run(target: &Target, file: &File) -> load::Measured {
    load::run(&Run::silent(), target, &file.read(), &Options::default()).await.unwrap()
}

#[tokio::test]
async fn what_ships_runs_on_generated_data() {
    let server = Server::start();
    let url = server.url("postgres");
    let small = ["--users", "200", "--media", "400", "--user-media", "4k"];
    let ok = |args: &[&str]| {
        let output = omtdb(&[args, &["--url", &url]].concat());
        assert!(output.status.success(), "{}", text(&output));
    };
    ok(&["migrate", "apply"]);
    let empty = omtdb(&["bench", "run", "--url", &url]);
    assert_eq!(empty.status.code(), Some(2), "{}", text(&empty));
    assert!(text(&empty).contains("omtdb generate"), "{}", text(&empty));
    ok(&[&["generate"], &small[..]].concat());
    ok(&["bench", "check", "--db"]);

    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("run.json");
    let record = ["--record", kept.to_str().unwrap(), "--json", "--url", &url];
    let output = omtdb(&[&["bench", "run", "--duration", "2s", "--warmup", "0s"], &record[..]].concat());
    let bench = json(&output);
    let scenarios = bench["scenarios"].as_array().unwrap();
    assert_eq!(scenarios.len(), scenario::shipped(&Names::from(&*PLAN)).unwrap().len());
    for op in scenarios.iter().flat_map(|run| run["ops"].as_array().unwrap()) {
        assert_eq!((op["errors"].as_u64(), &op["first_error"]), (Some(0), &serde_json::Value::Null), "{op}");
    }
    let recording: Recording = serde_json::from_slice(&fs::read(&kept).unwrap()).unwrap();
    assert_eq!(serde_json::to_value(&recording.bench).unwrap(), bench);
}

#[tokio::test]
async fn a_stall_shows_in_response_times_and_drops_nothing() {
    let server = Server::start();
    // A hundred a second for three seconds over one connection, which now and then is busy for half a second.
    let file = File::new(
        &[("quick", "SELECT 1", 98), ("stall", "SELECT pg_sleep(0.5)", 2)],
        "{ arrival: { rate: 100/s, process: uniform }, warmup: 0s, duration: 3s, connections: 1 }",
        "[]",
    );
    let measured = run(&server.cluster().target("postgres"), &file).await;
    let result = &measured.bench.scenarios[0];
    let [quick, stall] = &result.ops[..] else { panic!("two operations") };
    assert!(stall.count > 0, "the seed has no stall");
    assert!((299..=300).contains(&(quick.count + stall.count)), "{result:?}");
    assert_eq!((quick.errors, stall.errors), (0, 0));
    assert!(quick.p99_us > 4 * quick.service_p99_us, "{quick:?}");
    let response = &measured.histograms[0].response;
    assert_eq!(response.len(), quick.count);
}

#[tokio::test]
async fn a_server_that_does_not_keep_up_fails() {
    let server = Server::start();
    let file = File::new(
        &[("slow", "SELECT pg_sleep(0.1)", 1)],
        "{ arrival: { rate: 30/s, process: poisson }, warmup: 0s, duration: 2s, connections: 1 }",
        "[]",
    );
    let bench = run(&server.cluster().target("postgres"), &file).await.bench;
    assert!(bench.violations[0].contains("were too many"), "{bench:?}");
}

#[tokio::test]
async fn a_closed_loop_waits_for_its_answers() {
    let server = Server::start();
    let file =
        File::new(&[("nap", "SELECT pg_sleep(0.02)", 1)], "{ clients: 3, warmup: 0s, duration: 1s }", "[]");
    let bench = run(&server.cluster().target("postgres"), &file).await.bench;
    let result = &bench.scenarios[0];
    assert_eq!(
        (result.loop_kind.as_str(), result.asked_per_s, result.verdict),
        ("closed", None, Verdict::Pass)
    );
    let nap = &result.ops[0];
    // Three clients that are never served in less than 20 ms.
    assert!(nap.count > 0 && nap.count <= 3 * 51 && nap.p50_us >= 20_000, "{nap:?}");
    assert!(nap.p99_us.abs_diff(nap.service_p99_us) <= nap.p99_us / 10, "{nap:?}");
}

#[test]
fn a_missed_objective_exits_1_with_the_figure() {
    let server = Server::start();
    let load = "{ clients: 1, warmup: 0s, duration: 1s }";
    let file = File::new(&[("nap", "SELECT pg_sleep(0.02)", 1)], load, "[ { op: nap, p50: 1ms } ]");
    let url = server.url("postgres");
    let output = omtdb(&["bench", "run", file.arg(), "--url", &url, "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let bench = json(&output);
    let violation = bench["violations"][0].as_str().unwrap();
    assert!(violation.starts_with("test: nap p50 ") && violation.contains("over 1.0 ms"), "{violation}");
    assert_eq!(bench["scenarios"][0]["verdict"], "fail");
}

#[test]
fn failures_are_counted_and_the_first_is_told() {
    let server = Server::start();
    let load = "{ clients: 2, warmup: 0s, duration: 1s }";
    let ops = [("good", "SELECT 1", 1), ("bad", "SELECT 1 / (SELECT 0)", 1)];
    let file = File::new(&ops, load, "[ { errors: 10% } ]");
    let output = omtdb(&["bench", "run", file.arg(), "--url", &server.url("postgres"), "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let bench = json(&output);
    let bad = &bench["scenarios"][0]["ops"][1];
    assert_eq!(bad["count"], bad["errors"]);
    assert_eq!(bad["first_error"], "22012 division by zero");
    assert_eq!(bench["scenarios"][0]["ops"][0]["errors"], 0);
}

#[test]
fn a_mistake_in_a_file_exits_2_with_its_place() {
    let plan = "plan: { uses_index: [idx_media_titel] }";
    let yaml = format!(
        "version: 1\nname: test\ndescription: For a test.\nops:\n  a: {{ sql: SELECT 1, {plan} }}\nmix: {{ a: 1 }}\n\
         load: {{ clients: 1, warmup: 0s, duration: 1s }}\n"
    );
    let file = File::of(&yaml);
    let output = omtdb(&["bench", "check", file.arg(), "--json"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    let error = &json(&output)["errors"][0];
    assert_eq!(
        (error["file"].as_str(), &error["line"], &error["column"]),
        (Some(file.arg()), &5.into(), &44.into())
    );
    let message = "`idx_media_titel` is no index of the schema; did you mean `idx_media_title`?";
    assert_eq!(error["message"], message);
    let plain = omtdb(&["bench", "run", file.arg()]);
    assert_eq!(plain.status.code(), Some(2), "{}", text(&plain));
    let expected = format!("{}:5:44: {message}\n5 |   a: {{ sql: SELECT 1", file.arg());
    assert!(text(&plain).contains(&expected), "{}", text(&plain));
}

#[test]
fn what_the_server_refuses_is_placed_in_the_file() {
    let server = Server::start();
    let yaml = "\
version: 1
name: test
description: For a test.
params:
  n: { dist: uniform, min: 1, max: 1 }
ops:
  gone: { sql: SELECT 1 FROM nowhere }
  misfit: { sql: \"SELECT $1::uuid\", bind: [n] }
  indexed: { sql: SELECT 1, plan: { uses_index: [idx_media_title] } }
mix: { gone: 1 }
load: { clients: 1, warmup: 0s, duration: 1s }
";
    let file = File::of(yaml);
    assert!(omtdb(&["bench", "check", file.arg()]).status.success());
    let output = omtdb(&["bench", "check", file.arg(), "--db", "--json", "--url", &server.url("postgres")]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    let checked = json(&output);
    let said: Vec<String> = checked["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| format!("{}:{} {}", error["line"], error["column"], error["message"].as_str().unwrap()))
        .collect();
    let [gone, misfit, index] = &said[..] else { panic!("{said:?}") };
    assert!(gone.starts_with("7:16 ") && gone.contains("42P01"), "{gone}");
    assert_eq!(misfit, "8:43 $1 is uuid on the server, which `1` cannot be bound to");
    assert_eq!(index, "9:50 `idx_media_title` is no index of this database");
}

/// A scenario whose statements hang once the table `armed` has a row.
fn trap() -> File {
    File::new(
        &[("trap", "WITH n AS (INSERT INTO noted VALUES (1)) SELECT pg_sleep(600) FROM armed", 1)],
        "{ arrival: { rate: 50/s, process: uniform }, warmup: 0s, duration: 10m, connections: 2 }",
        "[]",
    )
}

/// Number of the bench's sessions for which `condition` holds.
async fn sessions(session: &Session, condition: &str) -> i64 {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'omtdb/bench%' AND {condition}"
    );
    session.query_one(&sql, &[]).await.unwrap().get(0)
}

async fn until(session: &Session, condition: &str, count: i64) {
    for _ in 0..1_200 {
        if sessions(session, condition).await == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} sessions with {condition}, not {count}", sessions(session, condition).await);
}

fn spawned(file: &File, url: &str) -> Child {
    let mut bench = command();
    bench.args(["bench", "run", file.arg(), "--url", url]);
    bench.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Interrupts a load whose statements hang, from the first execution or from some on. A server that is `deaf` does not even
/// end them when asked.
async fn interrupted(armed_before: bool, deaf: bool) {
    let server = Server::start();
    let session = server.session("postgres").await;
    session.batch_execute("CREATE TABLE armed (x int); CREATE TABLE noted (x int)").await.unwrap();
    let arm = "INSERT INTO armed VALUES (1)";
    if armed_before {
        session.batch_execute(arm).await.unwrap();
    }
    let file = trap();
    let bench = spawned(&file, &server.url("postgres"));
    if !armed_before {
        until_measured(&session).await;
        session.batch_execute(arm).await.unwrap();
    }
    until(&session, "wait_event = 'PgSleep'", 2).await;
    let asleep = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    let asleep = if deaf { session.query(asleep, &[]).await.unwrap() } else { Vec::new() };
    let signal = |signal| {
        for row in &asleep {
            kill(Pid::from_raw(row.get("pid")), signal).unwrap();
        }
    };
    signal(Signal::SIGSTOP);
    assert!(Command::new("kill").args(["-INT", &bench.id().to_string()]).status().unwrap().success());
    let output = bench.wait_with_output().unwrap();
    signal(Signal::SIGCONT);
    assert_eq!(output.status.code(), Some(130), "{}", text(&output));
    if !deaf {
        until(&session, "state = 'active'", 0).await;
    }
    // A backend that was told goodbye takes a moment to leave the list; one that sleeps would stay ten minutes.
    until(&session, "TRUE", 0).await;
}

#[tokio::test]
async fn an_interrupt_leaves_nothing_running() {
    interrupted(false, false).await;
}

#[tokio::test]
async fn an_interrupt_before_the_start_leaves_nothing_running() {
    interrupted(true, false).await;
}

#[tokio::test]
async fn an_interrupt_ends_a_run_whose_server_does_not_answer_any_more() {
    interrupted(false, true).await;
    interrupted(true, true).await;
}

/// A statement that leaves a row in the table `noted`.
const NOTED: (&str, &str, u32) =
    ("note", "WITH n AS (INSERT INTO noted VALUES (1)) SELECT pg_sleep(0.01)", 1);

/// Waits until two connections have executed more than the plans' warm-up does, in which a lost server ends the run.
async fn until_measured(session: &Session) {
    until_noted(session, 12).await;
}

/// Waits until the table `noted` holds more than `rows` rows.
pub(crate) async fn until_noted(session: &Session, rows: i64) {
    for _ in 0..1_200 {
        let found: i64 = session.query_one("SELECT count(*) FROM noted", &[]).await.unwrap().get(0);
        if found > rows {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the measurement does not begin");
}

#[tokio::test]
async fn a_lost_connection_is_counted_and_opened_again() {
    let server = Server::start();
    let session = server.session("postgres").await;
    session.batch_execute("CREATE TABLE noted (x int)").await.unwrap();
    let file = File::new(&[NOTED], "{ clients: 2, warmup: 0s, duration: 3s }", "[ { errors: 50% } ]");
    let target = server.cluster().target("postgres");
    let scenarios = file.read();
    let (silent, options) = (Run::silent(), Options::default());
    let shot = async {
        until_measured(&session).await;
        let shoot = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE application_name = 'omtdb/bench test' ORDER BY pid LIMIT 1";
        session.execute(shoot, &[]).await.unwrap();
    };
    let (measured, ()) = tokio::join!(load::run(&silent, &target, &scenarios, &options), shot);
    let result = &measured.unwrap().bench.scenarios[0];
    assert_eq!((result.lost_connections, result.verdict), (1, Verdict::Pass), "{result:?}");
    assert_eq!(result.ops[0].errors, 1, "{result:?}");
    let why = result.ops[0].first_error.as_deref().unwrap();
    assert!(why.starts_with("57P01"), "{why}");
}

#[tokio::test]
async fn a_server_that_dies_ends_the_run_with_a_verdict() {
    let server = Server::start();
    let session = server.session("postgres").await;
    session.batch_execute("CREATE TABLE noted (x int)").await.unwrap();
    let file = File::new(
        &[NOTED],
        "{ arrival: { rate: 20/s, process: uniform }, warmup: 0s, duration: 10m, connections: 2 }",
        "[ { errors: 1% } ]",
    );
    let bench = {
        let mut bench = command();
        bench.args(["bench", "run", file.arg(), "--json", "--url", &server.url("postgres")]);
        bench.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    until_measured(&session).await;
    kill_postmaster(server.cluster().data_dir().as_path());
    let output = bench.wait_with_output().unwrap();
    let bench = json(&output);
    assert!(bench["scenarios"][0]["lost_connections"].as_u64().unwrap() >= 1, "{}", text(&output));
    assert!(bench["scenarios"][0]["ops"][0]["errors"].as_u64().unwrap() >= 1, "{}", text(&output));
    let violations = bench["violations"].to_string();
    assert!(violations.contains("every connection was lost"), "{violations}");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
}

fn kill_postmaster(data_dir: &Path) {
    let pid_file = fs::read_to_string(data_dir.join("postmaster.pid")).unwrap();
    let pid = pid_file.lines().next().unwrap();
    assert!(Command::new("kill").args(["-QUIT", pid]).status().unwrap().success());
}

#[tokio::test]
async fn the_same_seed_asks_the_same_questions() {
    let server = Server::start();
    let file = File::new(
        &[("a", "SELECT 1", 1), ("b", "SELECT 2", 2)],
        "{ arrival: { rate: 100/s, process: poisson }, warmup: 500ms, duration: 1s, connections: 3 }",
        "[]",
    );
    let target = server.cluster().target("postgres");
    let counts = |measured: load::Measured| {
        measured.bench.scenarios[0].ops.iter().map(|op| op.count).collect::<Vec<_>>()
    };
    let first = counts(run(&target, &file).await);
    assert_eq!(first, counts(run(&target, &file).await));
    let other = Options { seed: 99, ..Options::default() };
    let third = load::run(&Run::silent(), &target, &file.read(), &other).await.unwrap();
    assert_ne!(first, counts(third));
}
