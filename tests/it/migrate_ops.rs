//! What DBAs do beside applying migrations: indexes rebuilt and dropped, files repaired, databases adopted, many targets.

use std::process::{Output, Stdio};

use serde_json::Value;

use crate::harness::{command, json, text};
use crate::migrate::{Place, assert_refused, code};

/// Arguments of `omtdb migrate …` for the place's database.
fn words(place: &Place, words: &[&str]) -> Vec<String> {
    let url = place.server.url(&place.target.dbname);
    [&["migrate"], words, &["--url", &url, "--json"]].concat().into_iter().map(str::to_owned).collect()
}

fn run(place: &Place, of: &[&str]) -> Output {
    command().args(words(place, of)).output().unwrap()
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
    while one::<i64>(&place, INVALID).await == 0 {
        tokio::task::yield_now().await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let planned = steps(&run(&place, &["index", "rebuild", "public.i", "--dry-run"]));
    assert_eq!(planned[..2], ["clear public.p0_v_idx_ccnew", "rebuild public.p0_v_idx"]);
    // Before the server notices, the rebuild would still come to its end.
    let at_work = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'REINDEX%'";
    while one::<i64>(&place, at_work).await > 0 {
        tokio::task::yield_now().await;
    }
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
