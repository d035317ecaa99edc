//! Plan contracts on real servers: what prunes, what does not, what is missing; and that explaining leaves no trace.

use std::time::Duration;

use omtdb::explain::{self, Mode, Modes, OpPlan};
use omtdb::pg::{Session, Target};
use omtdb::run::Run;
use omtdb::scenario::{
    Arrival, Forbidden, Load, Op, PlanCache, PlanContract, Protocol, Retry, Saturation, Scenario, Statement,
};
use omtdb::verdict::{Interrupted, Verdict};
use tokio_util::sync::CancellationToken;

use crate::harness::{Server, eventually, fresh_name, home, json, omtdb, text};

/// The plan's schema with 400 users of 100 media each, analysed; user `i` has the id `md5('u' || i)`.
async fn filled(server: &Server) -> (Session, Target) {
    let target = server.migrated().await;
    let session = server.session(&target.dbname).await;
    session
        .batch_execute(
            "INSERT INTO users.users (id, email, password_hash) SELECT md5('u' || i)::uuid, i || '@x', 'x' FROM generate_series(1, 400) AS i;
             INSERT INTO media.media (id, media_type, media_class, title) SELECT md5('m' || i)::uuid, 'book', 'book', 't' || i FROM generate_series(1, 100) AS i;
             INSERT INTO interaction.user_media (user_id, media_id, status)
             SELECT u.id, m.id, (ARRAY['planned', 'completed'])[1 + (hashtext(m.title) & 1)] FROM users.users AS u CROSS JOIN media.media AS m",
        )
        .await
        .unwrap();
    session.batch_execute("VACUUM (ANALYZE, FREEZE)").await.unwrap();
    (session, target)
}

/// `sql` as the only operation of a scenario; its parameters are called by the values that are bound to them.
fn scenario(sql: &str, values: &[&str], plan: PlanContract) -> Scenario {
    Scenario {
        file: "test.yaml".into(),
        name: "test".to_owned(),
        description: String::new(),
        params: [].into(),
        ops: vec![Op {
            name: "op".to_owned(),
            statements: vec![Statement {
                sql: sql.to_owned(),
                bind: values.iter().map(|&value| value.to_owned()).collect(),
                plan,
            }],
            transaction: false,
            retry: Retry::default(),
            weight: 1,
        }],
        load: Load {
            arrival: Arrival::Closed { clients: 1, think: Duration::ZERO },
            warmup: Duration::ZERO,
            stages: Vec::new(),
            connections: 1,
            protocol: Protocol::default(),
            plan_cache: PlanCache::default(),
            saturation: Saturation::default(),
        },
        slo: Vec::new(),
    }
}

fn bound(_: &Scenario, _: &Op, statement: &Statement) -> Vec<Vec<String>> {
    vec![statement.bind.clone()]
}

async fn explained(target: &Target, scenario: &Scenario, modes: Modes) -> Vec<OpPlan> {
    let scenarios = std::slice::from_ref(scenario);
    explain::with_values(&Run::silent(), target, scenarios, modes, bound).await.unwrap().ops
}

/// The one plan of `scenario` in `mode`.
async fn plan(target: &Target, scenario: &Scenario, mode: Mode) -> OpPlan {
    let mut plans = explained(target, scenario, Modes::Only(mode)).await;
    assert_eq!(plans.len(), 1);
    plans.remove(0)
}

/// The plan breaks its contract once, in words that hold each of `parts`.
#[track_caller]
fn breaks(plan: &OpPlan, parts: &[&str]) {
    let [one] = plan.violations.as_slice() else { panic!("{plan:#?}") };
    for part in parts {
        assert!(one.contains(part), "{part:?} is missing in\n{one}\nof\n{}", plan.plan);
    }
    assert_eq!(plan.verdict, Verdict::Fail);
}

/// `md5('u1')`, in the data.
const USER: &str = "e4774cdda0793f86414e8b9140bb6db4";

fn one_leaf() -> PlanContract {
    PlanContract { max_scanned: [("interaction.user_media".to_owned(), 1)].into(), ..PlanContract::default() }
}

const BY_STATUS: &str = "SELECT count(*) FROM interaction.user_media WHERE user_id = $1 AND status = $2;";

#[tokio::test]
async fn one_user_is_one_leaf_in_every_mode() {
    let server = Server::start();
    let (_, target) = filled(&server).await;
    let contract = PlanContract {
        uses_index: vec!["idx_user_media_user_status".to_owned()],
        forbid: vec![Forbidden::SeqScan],
        max_buffers: Some(300),
        ..one_leaf()
    };
    let plans = explained(&target, &scenario(BY_STATUS, &[USER, "planned"], contract), Modes::All).await;
    let modes: Vec<&str> = plans.iter().map(|plan| plan.mode.as_str()).collect();
    assert_eq!(modes, ["custom", "generic", "auto"]);
    for plan in &plans {
        assert_eq!((plan.verdict, plan.scanned_leaves), (Verdict::Pass, 1), "{plan:#?}");
        assert_eq!(plan.indexes, ["idx_user_media_user_status"]);
        assert_eq!(plan.fingerprint, plans[0].fingerprint, "leaves and values make no other plan");
        assert!(plan.buffers > 0);
    }
    assert!(!plans[0].plan.contains("Append"), "a custom plan prunes as it is made:\n{}", plans[0].plan);
    assert!(plans[1].plan.contains("Subplans Removed: 15"), "a generic one as it starts:\n{}", plans[1].plan);
}

#[tokio::test]
async fn an_array_parameter_prunes_in_custom_plans_only() {
    let server = Server::start();
    let (_, target) = filled(&server).await;
    let sql = "SELECT count(*) FROM interaction.user_media WHERE user_id = ANY ($1)";
    let array = format!("{{{USER}}}");
    let scenario = scenario(sql, &[&array], one_leaf());
    assert_eq!(plan(&target, &scenario, Mode::Custom).await.violations, [""; 0]);
    let generic = plan(&target, &scenario, Mode::Generic).await;
    assert_eq!(generic.scanned_leaves, 16);
    breaks(&generic, &["16 of 16 leaves scanned, 1 allowed", "ANY ($1)", "unnest($n)", "force_custom_plan"]);
}

#[tokio::test]
async fn what_is_proposed_for_arrays_prunes() {
    let server = Server::start();
    let (session, target) = filled(&server).await;
    session
        .batch_execute(&format!("ALTER DATABASE {} SET enable_hashjoin = off", target.dbname))
        .await
        .unwrap();
    let sql = "SELECT count(*) FROM unnest($1::uuid[]) AS u (id) JOIN interaction.user_media AS um ON um.user_id = u.id";
    let array = format!("{{{USER}}}");
    let plan = plan(&target, &scenario(sql, &[&array], one_leaf()), Mode::Generic).await;
    assert_eq!((plan.violations.len(), plan.scanned_leaves), (0, 1), "{}", plan.plan);
}

#[tokio::test]
async fn a_query_without_the_key_is_told_so() {
    let server = Server::start();
    let (_, target) = filled(&server).await;
    let sql = "SELECT count(*) FROM interaction.user_media WHERE status = $1";
    for mode in [Mode::Custom, Mode::Generic] {
        let plan = plan(&target, &scenario(sql, &["planned"], one_leaf()), mode).await;
        breaks(&plan, &["the query does not constrain user_id", "interaction.user_media_m16_r00", "status"]);
    }
}

#[tokio::test]
async fn a_dropped_index_is_named() {
    let server = Server::start();
    let (session, target) = filled(&server).await;
    let contract =
        PlanContract { uses_index: vec!["idx_user_media_user_status".to_owned()], ..PlanContract::default() };
    let scenario = scenario(BY_STATUS, &[USER, "planned"], contract);
    session.batch_execute("DROP INDEX interaction.idx_user_media_user_status").await.unwrap();
    let dropped = plan(&target, &scenario, Mode::Custom).await;
    breaks(
        &dropped,
        &["index idx_user_media_user_status does not exist", "the planner used", "user_media_m16_r"],
    );
    session
        .batch_execute(
            "CREATE INDEX idx_user_media_user_status ON ONLY interaction.user_media (user_id, status)",
        )
        .await
        .unwrap();
    breaks(&plan(&target, &scenario, Mode::Custom).await, &["is invalid", "omtdb audit"]);
}

#[tokio::test]
async fn writes_leave_no_trace() {
    let server = Server::start();
    let (session, target) = filled(&server).await;
    let state =
        "SELECT md5(string_agg(t::text, '' ORDER BY user_id, media_id)) FROM interaction.user_media AS t";
    let before: String = session.query_one(state, &[]).await.unwrap().get(0);
    let medium = "00000000-0000-0000-0000-000000000001";
    session
        .batch_execute("INSERT INTO media.media (id, media_type, media_class, title) VALUES ('00000000-0000-0000-0000-000000000001', 'book', 'book', 'new')")
        .await
        .unwrap();
    let pkey = PlanContract { uses_index: vec!["user_media_pkey".to_owned()], ..one_leaf() };
    let upsert = "INSERT INTO interaction.user_media (user_id, media_id) VALUES ($1, $2) ON CONFLICT (user_id, media_id) DO UPDATE SET status = 'completed'";
    let insert = "INSERT INTO interaction.user_media (user_id, media_id) VALUES ($1, $2)";
    let update = "UPDATE interaction.user_media SET status = 'dropped' WHERE user_id = $1";
    let delete = "DELETE FROM interaction.user_media WHERE user_id = $1";
    for scenario in [
        scenario(upsert, &[USER, medium], pkey),
        scenario(insert, &[USER, medium], one_leaf()),
        scenario(update, &[USER], one_leaf()),
        scenario(delete, &[USER], one_leaf()),
    ] {
        for plan in explained(&target, &scenario, Modes::All).await {
            assert_eq!(plan.verdict, Verdict::Pass, "{plan:#?}");
        }
    }
    let after: String = session.query_one(state, &[]).await.unwrap().get(0);
    assert_eq!(before, after);
}

#[tokio::test]
async fn spills_and_long_loops_are_seen() {
    let server = Server::start();
    let (session, target) = filled(&server).await;
    session.batch_execute(&format!("ALTER DATABASE {} SET work_mem = '64kB'", target.dbname)).await.unwrap();
    let forbids = |forbidden| PlanContract { forbid: vec![forbidden], ..PlanContract::default() };
    let sort = "SELECT media_id FROM interaction.user_media ORDER BY meta_snapshot, media_id";
    let plan_of =
        async |sql, forbidden| plan(&target, &scenario(sql, &[], forbids(forbidden)), Mode::Custom).await;
    breaks(&plan_of(sort, Forbidden::SortSpill).await, &["kB to disk", "meta_snapshot", "work_mem"]);
    breaks(
        &plan_of(sort, Forbidden::SeqScan).await,
        &["interaction.user_media is read from end to end (16 scans)"],
    );
    let hash = "SELECT count(*) FROM interaction.user_media AS a JOIN interaction.user_media AS b USING (created_at, user_id, media_id)";
    session
        .batch_execute(&format!(
            "ALTER DATABASE {0} SET enable_mergejoin = off; ALTER DATABASE {0} SET enable_nestloop = off",
            target.dbname
        ))
        .await
        .unwrap();
    breaks(&plan_of(hash, Forbidden::HashSpill).await, &["batches"]);
    session
        .batch_execute(&format!(
            "ALTER DATABASE {0} RESET enable_nestloop; ALTER DATABASE {0} SET enable_hashjoin = off",
            target.dbname
        ))
        .await
        .unwrap();
    let lookups =
        "SELECT count(*) FROM users.users AS u JOIN interaction.user_media AS um ON um.user_id = u.id";
    breaks(&plan_of(lookups, Forbidden::NestedLoopOver(5)).await, &["nested_loop_over", "5 allowed"]);
}

#[tokio::test]
async fn only_one_statement_is_executed() {
    let server = Server::start();
    let (session, target) = filled(&server).await;
    let scenario =
        scenario("SELECT 1; COMMIT; DROP TABLE interaction.list_items", &[], PlanContract::default());
    let scenarios = [scenario];
    let error = explain::with_values(&Run::silent(), &target, &scenarios, Modes::Promised, bound).await;
    let error = format!("{:#}", error.unwrap_err());
    assert!(error.contains("explain op of test (custom)") && error.contains("multiple commands"), "{error}");
    session.query("SELECT FROM interaction.list_items", &[]).await.unwrap();
}

#[tokio::test]
async fn an_interrupt_cancels_the_statement() {
    let server = Server::start();
    let (session, target) = filled(&server).await;
    let interrupt = CancellationToken::new();
    let run = Run::new(interrupt.clone(), |_| {});
    let scenarios = [scenario("SELECT pg_sleep(600)", &[], PlanContract::default())];
    let explaining = explain::with_values(&run, &target, &scenarios, Modes::Promised, bound);
    let active =
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'EXPLAIN%' AND wait_event = 'PgSleep'";
    let interrupting = async {
        eventually("a sleep", async || session.query_one(active, &[]).await.unwrap().get::<_, i64>(0) > 0)
            .await;
        interrupt.cancel();
    };
    let (explained, ()) = tokio::join!(explaining, interrupting);
    assert!(explained.unwrap_err().is::<Interrupted>());
    assert_eq!(session.query_one(active, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test]
async fn the_worst_of_the_values_counts() {
    let server = Server::start();
    let (_, target) = filled(&server).await;
    let contract = PlanContract { max_buffers: Some(10), ..PlanContract::default() };
    let sql = "SELECT count(notes) FROM interaction.user_media WHERE user_id = ANY ($1)";
    let scenarios = [scenario(sql, &[], contract)];
    let nobody = "{00000000-0000-0000-0000-000000000000}";
    let many = format!("{{{USER},270c1b084f3f146eb5787075158d9c53}}");
    let values = |_: &Scenario, _: &Op, _: &Statement| {
        vec![vec![nobody.to_owned()], vec![many.clone()], vec![nobody.to_owned()]]
    };
    let modes = Modes::Only(Mode::Custom);
    let explained = explain::with_values(&Run::silent(), &target, &scenarios, modes, values).await.unwrap();
    assert_eq!(explained.ops.len(), 1);
    assert!(explained.ops[0].plan.contains(&USER[..8]), "{}", explained.ops[0].plan);
}

/// A contract of one leaf that the query cannot keep, beside one that it can.
const FILE: &str = "\
version: 1
name: promises
description: One promise is kept and one is not.
params:
  user: { dist: zipf, exponent: 0.9, over: users }
  status: { dist: weighted, values: { planned: 1 } }
ops:
  kept:
    sql: SELECT count(*) FROM interaction.user_media WHERE user_id = $1
    bind: [user]
    plan: { partitions: { interaction.user_media: { max_scanned: 1 } } }
  broken:
    sql: SELECT count(*) FROM interaction.user_media WHERE status = $1
    bind: [status]
    plan: { partitions: { interaction.user_media: { max_scanned: 1 } } }
mix: { kept: 1, broken: 1 }
load:
  arrival: { rate: 1/s, process: uniform }
  warmup: 1s
  duration: 1s
  connections: 1
";

#[tokio::test]
async fn the_command_fails_with_the_reason() {
    let server = Server::start();
    let target = server.loaded().await;
    let url = server.url(&target.dbname);
    let file = home().join(fresh_name("promises")).with_extension("yaml");
    std::fs::write(&file, FILE).unwrap();
    let file = file.to_str().unwrap();
    let broken = omtdb(&["explain", file, "--url", &url]);
    assert_eq!(broken.status.code(), Some(1), "{}", text(&broken));
    let said = text(&broken);
    for part in [
        "16 of 16 leaves scanned, 1 allowed",
        "the query does not constrain user_id",
        "broken of promises (generic):",
    ] {
        assert!(said.contains(part), "{part:?} is missing in\n{said}");
    }
    let all = json(&omtdb(&["explain", file, "--url", &url, "--json", "--mode", "all"]));
    let ops = all["ops"].as_array().unwrap();
    let short = |op: &serde_json::Value| {
        ["op", "mode", "verdict"].map(|field| op[field].as_str().unwrap().to_owned()).join(" ")
    };
    let expected = [
        "kept custom pass",
        "kept generic pass",
        "kept auto pass",
        "broken custom fail",
        "broken generic fail",
        "broken auto fail",
    ];
    assert_eq!(ops.iter().map(short).collect::<Vec<_>>(), expected);
    assert!(
        ops.iter().all(|op| op["scenario"] == "promises"
            && op["fingerprint"].is_string()
            && op["indexes"].is_array())
    );
    let unknown = omtdb(&["explain", "--url", &url, "--mode", "genric"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", text(&unknown));
}

#[tokio::test]
async fn values_need_generated_data() {
    let server = Server::start();
    let target = server.migrated().await;
    let output = omtdb(&["explain", "--url", &server.url(&target.dbname)]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("omtdb generate"), "{}", text(&output));
}
