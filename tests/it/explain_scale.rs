//! Plans at the size that a database will have.

use omtdb::datagen::Sizes;
use omtdb::explain::scale;
use omtdb::migrate::Source;
use omtdb::pg::Cluster;
use omtdb::pg::cluster::{ClusterError, Options, Settings};
use omtdb::run::Run;
use serde_json::Value;

use crate::harness::{Server, fresh_name, home, json, omtdb, programs, text};

/// A scale that needs a small sample.
const SMALL: [&str; 4] = ["--at-scale", "1B", "--sample", "20k"];
const FANS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/fans.yaml");

fn explain(args: &[&str]) -> std::process::Output {
    omtdb(&[&["explain", "--json"], &SMALL[..], args].concat())
}

fn op<'a>(result: &'a Value, name: &str, mode: &str) -> &'a Value {
    result["ops"].as_array().unwrap().iter().find(|op| op["op"] == name && op["mode"] == mode).unwrap()
}

#[test]
fn every_shipped_contract_holds_at_the_target() {
    let output = explain(&[]);
    assert!(output.status.success(), "{}", text(&output));
    let result = json(&output);
    assert_eq!(
        (&result["scale"]["rows"], &result["scale"]["method"]),
        (&1_000_000_000.into(), &"sparse".into())
    );
    let plans = result["ops"].as_array().unwrap();
    assert!(plans.len() >= 30, "{}", plans.len());
    for plan in plans {
        assert_eq!(plan["verdict"], "pass", "{plan}");
        // Nothing was executed: there is no time, no row and no buffer to tell.
        assert_eq!((&plan["buffers"], &plan["row_error"]), (&0.into(), &Value::Null), "{plan}");
    }
    // A billion rows are worth more processes than a million.
    let fans = op(&result, "average_rating", "custom");
    assert!(fans["flip"]["after"].as_str().unwrap().contains("Gather"), "{fans}");
    assert!(!fans["flip"]["before"].as_str().unwrap().contains("Gather"), "{fans}");
    assert!(fans["cost_ratio"].as_f64() > Some(50.0), "{fans}");
    // One user's rows are as many as before.
    let library = op(&result, "list_by_status", "generic");
    assert_eq!(library["scanned_leaves"], 1, "{library}");
    assert!(library["cost_ratio"].as_f64() < Some(20.0), "{library}");
}

#[test]
fn what_would_be_without_an_index_is_shown_beside_what_is() {
    let output = explain(&[FANS, "--without-index", "idx_user_media_media_id"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let result = json(&output);
    assert_eq!(op(&result["before"], "fans", "generic")["verdict"], "pass");
    let without = op(&result, "fans", "generic");
    assert_eq!(without["verdict"], "fail");
    // From version 18 on, a B-tree that begins with another column can be skipped through.
    let plan = without["plan"].as_str().unwrap();
    assert!(plan.contains("Seq Scan") || plan.contains("user_media_m16_r00_pkey"), "{without}");
    assert!(without["violations"].to_string().contains("idx_user_media_media_id"), "{without}");
}

#[test]
fn an_index_and_other_leaves_can_be_tried() {
    let index = "CREATE INDEX by_rating ON interaction.user_media (media_id, rating DESC NULLS LAST)";
    let result = json(&explain(&[FANS, "--with-index", index, "--partitions", "4"]));
    let fans = op(&result, "fans", "generic");
    assert_eq!((&fans["scanned_leaves"], &fans["indexes"][0]), (&4.into(), &"by_rating".into()), "{fans}");
    assert_eq!(op(&result["before"], "fans", "generic")["scanned_leaves"], 16);
}

#[test]
fn plans_are_kept_and_compared() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("plans.json");
    let file = file.to_str().unwrap();
    let kept = explain(&[FANS, "--save", file]);
    assert!(kept.status.success(), "{}", text(&kept));
    let same = explain(&[FANS, "--against", file]);
    assert!(same.status.success() && json(&same)["changes"] == serde_json::json!([]), "{}", text(&same));
    let smaller = omtdb(&["explain", "--at-scale", "10M", "--sample", "20k", FANS, "--against", file]);
    assert_eq!(smaller.status.code(), Some(1), "{}", text(&smaller));
    let said = text(&smaller);
    assert!(said.contains("average_rating of fans (custom) has another plan"), "{said}");
    assert!(said.lines().any(|line| line.trim().starts_with("- ") && line.contains("Gather")), "{said}");
    let other = omtdb(&["explain", "--at-scale", "10M", "--sample", "20k", FANS, "--against", FANS]);
    assert_eq!(other.status.code(), Some(2), "{}", text(&other));
}

#[test]
fn it_works_on_no_server_but_its_own() {
    let server = Server::start();
    for place in [["--url", &server.url("postgres")], ["--scratch=mine", "--seed=1"]] {
        let output = explain(&place);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        assert!(text(&output).contains("--at-scale makes a server of its own"), "{}", text(&output));
    }
    let output = omtdb(&["explain", "--at-scale", "100k"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("fewer than the sample"), "{}", text(&output));
}

#[test]
fn a_grown_cluster_serves_nothing_else() {
    let (home, name) = (home().join("clusters"), fresh_name("grown"));
    let make = || Cluster::make(&home, &name, &programs(), &Options::default());
    let cluster = make().unwrap();
    cluster.start().unwrap();
    cluster.grow(&Settings::new(), |_| Ok(())).unwrap();
    cluster.grow(&Settings::new(), |_| Ok(())).unwrap();
    assert!(matches!(make(), Err(ClusterError::Grown(_))));
    let opened = Cluster::open(&home, &name, &programs()).unwrap();
    assert!(matches!(opened.start(), Err(ClusterError::Grown(_))));
    opened.destroy().unwrap();
    make().unwrap().destroy().unwrap();
}

/// Statistics and settings of another server, which nothing is written to.
#[tokio::test]
async fn what_another_server_knows_is_taken_over() {
    let server = Server::with_settings(&[("work_mem", "123MB")]);
    let target = server.loaded().await;
    let session = server.session(&target.dbname).await;
    session.batch_execute("VACUUM (ANALYZE)").await.unwrap();
    let written = "SELECT md5(string_agg(c.oid || ' ' || c.xmin::text, ',' ORDER BY c.oid)),
        (SELECT md5(string_agg(s.starelid || ' ' || s.staattnum || ' ' || s.xmin::text, ',' ORDER BY s.starelid, s.staattnum, s.stainherit)) FROM pg_statistic AS s)
        FROM pg_class AS c";
    let before = session.query_one(written, &[]).await.unwrap();
    let url = server.url(&target.dbname);
    let output = omtdb(&[
        "explain",
        "--json",
        "--at-scale",
        "10M",
        "--sample",
        "20k",
        "--stats-from",
        &url,
        "--settings-from",
        &url,
        FANS,
    ]);
    assert!(output.status.success(), "{}", text(&output));
    let result = json(&output);
    assert_eq!(result["scale"]["settings"]["work_mem"], "123MB");
    assert!(result["scale"]["stats_from"].as_str().unwrap().contains(&target.dbname));
    let plan = op(&result, "fans", "generic")["plan"].as_str().unwrap();
    assert!(plan.contains("work_mem = 123MB"), "{plan}");
    let after = session.query_one(written, &[]).await.unwrap();
    assert_eq!((before.get::<_, String>(0), before.get::<_, String>(1)), (after.get(0), after.get(1)));
    // Other leaves than the server has: what these hold is shared out.
    let taken = ["--at-scale", "10M", "--sample", "20k", "--stats-from", &url];
    let others = omtdb(&[&["explain", "--json", FANS, "--partitions", "8"], &taken[..]].concat());
    let result = json(&others);
    let (before, after) = (op(&result["before"], "fans", "generic"), op(&result, "fans", "generic"));
    assert_eq!(
        (&before["scanned_leaves"], &after["scanned_leaves"]),
        (&16.into(), &8.into()),
        "{}",
        text(&others)
    );
    let smaller = omtdb(&["explain", "--at-scale", "20k", "--sample", "10k", "--stats-from", &url, FANS]);
    assert_eq!(smaller.status.code(), Some(2), "{}", text(&smaller));
    assert!(text(&smaller).contains("rows already"), "{}", text(&smaller));
    let empty = server.database().await;
    let nothing = omtdb(&[
        "explain",
        "--at-scale",
        "10M",
        "--sample",
        "20k",
        "--stats-from",
        &server.url(&empty.dbname),
        FANS,
    ]);
    assert_eq!(nothing.status.code(), Some(2), "{}", text(&nothing));
    assert!(text(&nothing).contains("has no table"), "{}", text(&nothing));
}

/// The planner reads a B-tree's height from its first page; what is put on top of it has to lead to the rows all the same.
#[tokio::test]
async fn trees_are_as_high_as_they_would_be_and_still_sound() {
    let server = Server::start();
    let target = server.database().await;
    let sizes = Sizes { users: 10_000_000, media: 50_000_000, user_media: 1_000_000_000 };
    let (at, options) = ((server.cluster(), &target), scale::Options::new(sizes, 20_000, 1));
    scale::predict(&Run::silent(), at, &Source::embedded(), &[], &options).await.unwrap();
    let session = server.session(&target.dbname).await;
    // The level of the fast root, the fourth number behind the page's header, root and level.
    let level = "SELECT get_byte(pg_read_binary_file(pg_relation_filepath($1::text::regclass), 44, 1), 0)";
    for (index, expected) in [("interaction.user_media_m16_r00_pkey", 3), ("media.media_pkey", 2)] {
        let found: i32 = session.query_one(level, &[&index]).await.unwrap().get(0);
        assert!(found >= expected, "{index}: {found} levels");
    }
    session.batch_execute("SET enable_seqscan = off; SET enable_bitmapscan = off").await.unwrap();
    let leaf = "interaction.user_media_m16_r00";
    let first = format!("SELECT user_id::text FROM {leaf} ORDER BY user_id, media_id LIMIT 50");
    let rows = session.query(&first, &[]).await.unwrap();
    let users: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert!(users.len() == 50 && users.is_sorted());
    let count = format!("SELECT count(*) FROM {leaf} WHERE user_id = $1::text::uuid");
    let items: i64 = session.query_one(&count, &[&users[0]]).await.unwrap().get(0);
    assert!(items > 0);
}
