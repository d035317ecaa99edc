//! The driver: what it sends, how it counts when the server stands still, goes away or refuses, and what several of them
//! make together.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use omtdb::load::{self, Measured, Options, Recording};
use omtdb::pg::{Session, Target};
use omtdb::run::Run;
use omtdb::scenario::{self, Names, Protocol, Scenario};
use omtdb::schema::PLAN;
use serde_json::Value;

use crate::bench::until_noted;
use crate::harness::{Server, command, json, omtdb, text};

/// A scenario of `ops`, each in YAML, under `load`.
pub(crate) fn yaml(ops: &[&str], load: &str) -> String {
    let name = |op: &str| op.split(':').next().unwrap().to_owned();
    let mix: Vec<String> = ops.iter().map(|op| format!("{}: 1", name(op))).collect();
    let head =
        "version: 1\nname: test\ndescription: For a test.\nparams:\n  n: { dist: uniform, min: 1, max: 9 }";
    let ops: Vec<String> = ops.iter().map(|op| format!("  {op}")).collect();
    format!("{head}\nops:\n{}\nmix: {{ {} }}\nload: {load}\n", ops.join("\n"), mix.join(", "))
}

fn scenarios(yaml: &str) -> Vec<Scenario> {
    // A parameter that nothing binds is a mistake of the file.
    let yaml = if yaml.contains("bind") {
        yaml.to_owned()
    } else {
        yaml.replace("params:\n  n: { dist: uniform, min: 1, max: 9 }\n", "")
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.yaml");
    fs::write(&path, yaml).unwrap();
    scenario::load(&[path], &Names::from(&*PLAN)).unwrap()
}

async fn run(target: &Target, yaml: &str) -> Measured {
    load::run(&Run::silent(), target, &scenarios(yaml), &Options::default()).await.unwrap()
}

/// The processes of the server's sessions called `name`.
async fn backends(session: &Session, name: &str) -> Vec<Pid> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE application_name = $1";
    let rows = session.query(sql, &[&name]).await.unwrap();
    rows.iter().map(|row| Pid::from_raw(row.get(0))).collect()
}

/// 500 a second for three seconds; for one of them the server stands still.
#[tokio::test]
async fn a_server_that_stands_still_for_a_second_delays_all_that_was_due_in_it() {
    let server = Server::start();
    let session = server.session("postgres").await;
    session.batch_execute("CREATE UNLOGGED TABLE noted (x int)").await.unwrap();
    let load = "{ arrival: { rate: 500/s, process: uniform }, warmup: 0s, duration: 3s, connections: 4 }";
    let target = server.cluster().target("postgres");
    let stall = async {
        until_noted(&session, 40).await;
        let pids = backends(&session, "omtdb/bench test").await;
        assert_eq!(pids.len(), 4);
        pids.iter().for_each(|pid| kill(*pid, Signal::SIGSTOP).unwrap());
        tokio::time::sleep(Duration::from_secs(1)).await;
        pids.iter().for_each(|pid| kill(*pid, Signal::SIGCONT).unwrap());
    };
    let file = yaml(&["note: { sql: INSERT INTO noted VALUES (1) }"], load);
    let (measured, ()) = tokio::join!(run(&target, &file), stall);
    let times = &measured.histograms[0];
    assert!(times.response.len().abs_diff(1_500) <= 1, "{}", times.response.len());
    // Arrivals of the stall, evenly over it: those in its last tenth waited less than 100 ms, and the queue is soon gone.
    let late = |histogram: &hdrhistogram::Histogram<u64>, from_ms: u64, to_ms: u64| {
        histogram.count_between(from_ms * 1_000_000, to_ms * 1_000_000 - 1)
    };
    let (delayed, of_service) = (late(&times.response, 100, 60_000), late(&times.service, 100, 60_000));
    // And some of those after it, until the queue is gone.
    assert!((420..=1_000).contains(&delayed), "{delayed} of 450 were late by more than 100 ms");
    assert!(of_service <= 20, "service time sees one late answer a connection, not {of_service}");
    // They spread over the second: no tenth of it is empty.
    for tenth in 1..9 {
        let count = late(&times.response, 100 * tenth, 100 * (tenth + 1));
        assert!(count >= 25, "{count} responses between {tenth} and {} tenths of a second", tenth + 1);
    }
    let run = &measured.bench.scenarios[0];
    assert_eq!(run.ops[0].errors, 0, "{run:?}");
}

#[tokio::test]
async fn an_outage_shows_second_by_second_and_the_load_goes_on_after_it() {
    let server = Server::start();
    let session = server.session("postgres").await;
    session.batch_execute("CREATE TABLE noted (x int)").await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (file, kept) = (dir.path().join("a.yaml"), dir.path().join("a.json"));
    let load = "{ arrival: { rate: 100/s, process: uniform }, warmup: 0s, duration: 8s, connections: 2 }";
    let objective = "slo: [ { errors: 0% }, { achieved: 99% } ]\n";
    let ops = ["note: { sql: INSERT INTO noted VALUES ($1), bind: [n] }"];
    fs::write(&file, yaml(&ops, load) + objective).unwrap();
    let bench = spawned(&file, &kept, &server.url("postgres"));
    until_noted(&session, 40).await;
    drop(session);
    server.cluster().stop(false).ok();
    std::thread::sleep(Duration::from_millis(2_500));
    server.cluster().start().unwrap();
    let output = bench.wait_with_output().unwrap();
    assert!(matches!(output.status.code(), Some(1 | 3)), "{}", text(&output));
    let recording: Recording = serde_json::from_slice(&fs::read(&kept).unwrap()).unwrap();
    let run = &recording.bench.scenarios[0];
    assert_eq!(serde_json::to_value(&recording.bench).unwrap(), json(&output));
    assert!(run.lost_connections >= 2 && run.ops[0].errors >= 1, "{run:?}");
    assert!(run.slices.iter().any(|second| second.count == 0 && second.asked == Some(100.0)), "{run:?}");
    // What was due in the outage is answered after it, and late.
    assert!(run.ops[0].max_us > 1_500_000 && run.ops[0].count >= 799, "{run:?}");
    assert!(fs::metadata(kept.with_extension("hlog")).unwrap().len() > 100);
}

fn spawned(file: &Path, kept: &Path, url: &str) -> Child {
    let mut bench = command();
    bench.args(["bench", "run", "--json", "--url", url, "--record"]).arg(kept).arg(file);
    bench.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[tokio::test]
async fn every_protocol_sends_the_same() {
    let server = Server::start();
    let session = server.session("postgres").await;
    session.batch_execute("CREATE TABLE noted (x int, y text)").await.unwrap();
    let ops = ["note: { sql: \"INSERT INTO noted VALUES ($1 - 1, 'it''s $1')\", bind: [n] }"];
    let load = "{ arrival: { rate: 200/s, process: uniform }, warmup: 0s, duration: 500ms, connections: 2 }";
    let file = scenarios(&yaml(&ops, load));
    let target = server.cluster().target("postgres");
    let mut seen = Vec::new();
    for protocol in [Protocol::Prepared, Protocol::Unnamed, Protocol::Simple] {
        session.batch_execute("TRUNCATE noted").await.unwrap();
        let options = Options { protocol: Some(protocol), ..Options::default() };
        let measured = load::run(&Run::silent(), &target, &file, &options).await.unwrap();
        let run = &measured.bench.scenarios[0];
        assert_eq!((run.ops[0].errors, run.protocol), (0, protocol), "{run:?}");
        let sql = "SELECT count(*), sum(x), min(y), max(y) FROM noted";
        let row = session.query_one(sql, &[]).await.unwrap();
        let (count, sum): (i64, i64) = (row.get(0), row.get(1));
        let (least, most): (String, String) = (row.get(2), row.get(3));
        seen.push((count, sum, least, most));
    }
    assert!(seen.iter().all(|row| *row == seen[0]) && seen[0].2 == "it's $1", "{seen:?}");
}

#[tokio::test]
async fn a_transaction_is_tried_again_after_the_failures_it_names() {
    let server = Server::start();
    let session = server.session("postgres").await;
    session.batch_execute("CREATE TABLE counter (n int); INSERT INTO counter VALUES (0)").await.unwrap();
    // All of them want the same row in a serializable transaction.
    let transfer = |retry: &str| {
        let begin = "{ sql: SET TRANSACTION ISOLATION LEVEL SERIALIZABLE }";
        let read = "{ sql: \"SELECT n FROM counter\" }, { sql: \"SELECT pg_sleep(0.002)\" }";
        let write = "{ sql: UPDATE counter SET n = n + 1 }";
        let transaction = format!("transfer: {{ transaction: [{begin}, {read}, {write}]{retry} }}");
        yaml(&[&transaction], "{ clients: 4, warmup: 0s, duration: 1s }")
    };
    let target = server.cluster().target("postgres");
    let without = run(&target, &transfer("")).await.bench.scenarios.remove(0);
    assert!(without.ops[0].errors > 0 && without.retries == 0, "{without:?}");
    assert!(without.ops[0].first_error.as_ref().unwrap().starts_with("40001"), "{without:?}");
    session.batch_execute("UPDATE counter SET n = 0").await.unwrap();
    let with = run(&target, &transfer(", retry: { on: [40001], most: 50, backoff: 1ms }")).await;
    let with = with.bench.scenarios[0].clone();
    assert!(with.ops[0].errors == 0 && with.retries > 0, "{with:?}");
    let committed: i32 = session.query_one("SELECT n FROM counter", &[]).await.unwrap().get(0);
    assert!(u64::try_from(committed).unwrap() >= with.ops[0].count, "{committed} {with:?}");
}

#[tokio::test]
async fn stages_change_the_rate_and_only_the_measured_ones_count() {
    let server = Server::start();
    let stages =
        "[ { hold: 1s, measured: false }, { ramp_to: 300/s, for: 1s }, { pause: 1s }, { hold: 1s } ]";
    let load = format!(
        "{{ arrival: {{ rate: 100/s, process: uniform }}, warmup: 0s, stages: {stages}, connections: 2 }}"
    );
    let run = run(&server.cluster().target("postgres"), &yaml(&["one: { sql: SELECT 1 }"], &load)).await;
    let run = &run.bench.scenarios[0];
    assert!(run.ops[0].count.abs_diff(500) <= 3, "{run:?}");
    assert_eq!((run.duration_s, run.asked_per_s), (2.0, Some(250.0)));
    let asked: Vec<String> = run.slices.iter().map(|s| format!("{:.0}", s.asked.unwrap())).collect();
    assert_eq!(asked[..4], ["100", "200", "0", "300"]);
    // Answers are counted when they come: some of what was due just before the pause comes in it.
    assert!(run.slices[2].count <= 30, "{run:?}");
}

#[tokio::test]
async fn what_finds_the_queue_full_is_dropped_and_fails_the_run() {
    let server = Server::start();
    let load = "{ arrival: { rate: 100/s, process: uniform }, warmup: 0s, duration: 1s, connections: 1, \
                saturation: { drop_beyond: 5 } }";
    let file = yaml(&["slow: { sql: SELECT pg_sleep(0.1) }"], load);
    let bench = run(&server.cluster().target("postgres"), &file).await.bench;
    let slow = &bench.scenarios[0].ops[0];
    assert!(slow.dropped > 60 && slow.count + slow.dropped >= 99, "{slow:?}");
    assert!(slow.max_us < 900_000, "a short queue keeps waits short: {slow:?}");
    assert!(bench.violations.iter().any(|why| why.contains("arrivals were dropped")), "{bench:?}");
}

#[tokio::test]
async fn plans_are_made_as_the_scenario_says() {
    let server = Server::start();
    let session = server.session("postgres").await;
    session.batch_execute("CREATE TABLE noted (mode text)").await.unwrap();
    let load = "{ clients: 1, warmup: 0s, duration: 200ms, plan_cache: force_generic_plan }";
    let op = "mode: { sql: \"INSERT INTO noted VALUES (current_setting('plan_cache_mode'))\" }";
    run(&server.cluster().target("postgres"), &yaml(&[op], load)).await;
    let modes = session.query_one("SELECT min(mode), max(mode) FROM noted", &[]).await.unwrap();
    assert_eq!((modes.get(0), modes.get(1)), ("force_generic_plan", "force_generic_plan"));
}

#[tokio::test]
async fn what_the_server_did_is_told() {
    let server = Server::with_settings(&[("shared_preload_libraries", "pg_stat_statements")]);
    let session = server.session("postgres").await;
    session.batch_execute("CREATE EXTENSION pg_stat_statements; CREATE TABLE noted (x int)").await.unwrap();
    let ops = ["note: { sql: \"INSERT INTO noted SELECT 1 FROM pg_sleep(0.02)\" }"];
    let file = yaml(&ops, "{ clients: 2, warmup: 0s, duration: 2s }");
    let run = run(&server.cluster().target("postgres"), &file).await.bench.scenarios.remove(0);
    let work = run.server.unwrap();
    let inserted = work.counters["rows_inserted"];
    #[expect(clippy::cast_precision_loss, reason = "hundreds")]
    let sent = run.ops[0].count as f64;
    assert!(inserted >= sent && work.counters["wal_bytes"] > 0.0, "{work:?}");
    let of_op = work.op_waits["note"]["Timeout:PgSleep"];
    assert!(work.waits["Timeout:PgSleep"] > 0.5 && of_op > 0.5, "{work:?}");
    let note =
        work.statements.iter().find(|statement| statement.query.starts_with("INSERT INTO noted")).unwrap();
    assert!(note.calls >= sent && note.mean_us > 20_000.0 && note.wal_bytes > 0.0, "{note:?}");
}

/// An objective beside which a driver that sends late, on a busy machine, is no matter.
pub(crate) const PATIENT: &str = "slo: [ { errors: 0% }, { op: one, p99: 10s } ]\n";

/// Two drivers that share a schedule send what one sends.
#[tokio::test]
async fn two_drivers_make_one_recording() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.yaml");
    let load = "{ arrival: { rate: 200/s, process: poisson }, warmup: 200ms, duration: 2s, connections: 2 }";
    let ops = ["one: { sql: \"SELECT $1::int\", bind: [n] }", "two: { sql: SELECT 2 }"];
    fs::write(&file, yaml(&ops, load) + PATIENT).unwrap();
    let start = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(8);
    let kept = |name: &str| dir.path().join(name);
    let driver = |name: &str, part: &str| {
        let mut bench = command();
        bench.args(["bench", "run", "--url", &server.url("postgres"), "--driver", part]);
        bench.args(["--start-at", &start.to_string(), "--record"]).arg(kept(name)).arg(&file);
        bench.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    for child in [driver("1.json", "1/2"), driver("2.json", "2/2")] {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }
    let whole = omtdb(&["bench", "run", file.to_str().unwrap(), "--url", &server.url("postgres"), "--json"]);
    let merge = |parts: &[&str]| {
        let mut merge = command();
        merge.args(["bench", "merge", "--json", "--record"]).arg(kept("all.json"));
        merge.args(parts.iter().map(|part| kept(part))).output().unwrap()
    };
    let merged = merge(&["2.json", "1.json"]);
    assert!(merged.status.success(), "{}", text(&merged));
    let counts = |bench: &Value| {
        let run = &bench["scenarios"][0];
        let counts = run["ops"].as_array().unwrap().iter().map(|op| op["count"].as_u64()).collect::<Vec<_>>();
        (counts, run["asked_per_s"].as_f64())
    };
    assert_eq!(counts(&json(&merged)), counts(&json(&whole)));
    let all: Recording = serde_json::from_slice(&fs::read(kept("all.json")).unwrap()).unwrap();
    assert_eq!(serde_json::to_value(&all.bench).unwrap(), json(&merged));
    let twice = merge(&["1.json", "1.json"]);
    assert_eq!(twice.status.code(), Some(2), "{}", text(&twice));
    assert!(text(&twice).contains("each has to be there once"), "{}", text(&twice));
    assert!(fs::write(kept("old.json"), "{\"recording_version\": 2}").is_ok());
    assert!(text(&merge(&["old.json", "1.json"])).contains("this omtdb reads version 3"));
}

#[test]
fn the_knee_of_two_connections_that_sleep_is_found() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.yaml");
    // Each of two connections bears 50 a second, so both bear 100.
    let load = "{ arrival: { rate: 40/s, process: uniform }, warmup: 0s, duration: 1s, connections: 2 }";
    let objective = "slo: [ { op: nap, p95: 100ms } ]\n";
    fs::write(
        &file,
        yaml(&["nap: { sql: \"SELECT pg_sleep(0.02 + 0 * $1)\", bind: [n] }"], load) + objective,
    )
    .unwrap();
    let url = server.url("postgres");
    let output = omtdb(&["bench", "run", file.to_str().unwrap(), "--find-max", "--url", &url, "--json"]);
    let knee = &json(&output)["knees"][0];
    let rate = knee["rate_per_s"].as_f64().unwrap_or_else(|| panic!("{}", text(&output)));
    // A busy machine may bear less.
    assert!(output.status.success() && (10.0..=110.0).contains(&rate), "{}", text(&output));
    assert!(knee["tried"].as_array().unwrap().len() >= 5, "{knee}");
}

/// So little that no driver is busy with it.
const QUIET: &str =
    "{ arrival: { rate: 100/s, process: uniform }, warmup: 0s, duration: 300ms, connections: 1 }";

#[test]
fn recordings_that_did_not_take_turns_are_refused() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.yaml");
    fs::write(&file, yaml(&["one: { sql: \"SELECT $1::int\", bind: [n] }"], QUIET)).unwrap();
    for side in ["old", "new"] {
        fs::create_dir(dir.path().join(side)).unwrap();
    }
    let record = |path: &str| {
        let path = dir.path().join(path);
        let output = command()
            .args(["bench", "run", "--url", &server.url("postgres"), "--record"])
            .arg(path)
            .arg(&file)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output));
    };
    let compare = || {
        command().args(["bench", "compare", "old", "new", "--json"]).current_dir(dir.path()).output().unwrap()
    };
    for path in ["old/1.json", "new/1.json", "old/2.json", "new/2.json"] {
        record(path);
    }
    let few = compare();
    assert_eq!(few.status.code(), Some(3), "{}", text(&few));
    assert_eq!(json(&few)["ops"][0]["pairs"], 2);
    for path in ["old/3.json", "old/4.json", "new/3.json", "new/4.json"] {
        record(path);
    }
    let blocks = compare();
    assert_eq!(blocks.status.code(), Some(2), "{}", text(&blocks));
    assert!(text(&blocks).contains("did not take turns"), "{}", text(&blocks));
}

#[tokio::test]
async fn a_plan_that_changes_in_mid_run_is_told_with_its_time() {
    let server = Server::start();
    let session = server.session("postgres").await;
    let table = "CREATE TABLE t (a int, b text); INSERT INTO t SELECT i, repeat('x', 200) FROM generate_series(1, 9000) AS i;
        CREATE INDEX by_a ON t (a); VACUUM ANALYZE t; CREATE UNLOGGED TABLE noted (x int)";
    for statement in table.split(';') {
        session.batch_execute(statement).await.unwrap();
    }
    let ops = [
        "find: { sql: \"SELECT b FROM t WHERE a = $1\", bind: [n] }",
        "note: { sql: INSERT INTO noted VALUES (1) }",
    ];
    let load = "{ arrival: { rate: 100/s, process: uniform }, warmup: 0s, duration: 6s, connections: 2 }";
    let (target, scenarios) = (server.cluster().target("postgres"), scenarios(&yaml(&ops, load)));
    let (run, options) = (Run::silent(), Options { plans: true, ..Options::default() });
    let change = async {
        until_noted(&session, 60).await;
        session.batch_execute("DROP INDEX by_a").await.unwrap();
    };
    let (measured, ()) = tokio::join!(load::run(&run, &target, &scenarios, &options), change);
    let result = &measured.unwrap().bench.scenarios[0];
    let [before, after] = &result.changed_plans()[..] else { panic!("two plans: {:?}", result.plans) };
    assert!(before.op == "find" && after.op == "find");
    assert!(before.plan.contains("by_a") && after.plan.contains("Seq Scan"), "{:?}", result.plans);
    assert!(before.span().1 <= after.span().0 && after.span().1 < 12, "{:?}", result.plans);
    assert!(result.plans.iter().any(|plan| plan.op == "note"), "{:?}", result.plans);
}
