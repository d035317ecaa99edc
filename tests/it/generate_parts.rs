//! `omtdb generate` resumed, estimated, calibrated, and on servers that are not as one would wish.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::time::Duration;

use omtdb::datagen::{self, Preset, Spec, Start, Window};
use omtdb::pg::{Session, Target};
use omtdb::run::Run;

use super::generate::{NOTHING, drift, failures, number, sql};
use crate::harness::{LOADED, Server, SmallDisk, command, json, omtdb, programs, spec, text};

/// Large enough to be hit in the middle, small enough for a debug build.
pub(crate) const SIZES: [&str; 6] = ["--users", "2k", "--media", "4k", "--user-media", "100k"];

/// The checksums of an undisturbed load of [`SIZES`], made without a server.
pub(crate) fn undisturbed() -> BTreeMap<String, String> {
    let output = omtdb(&[&["generate", "--sink", "null", "--json"], &SIZES[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    sums(&json(&output))
}

pub(crate) fn sums(report: &serde_json::Value) -> BTreeMap<String, String> {
    let tables = report["tables"].as_array().unwrap().iter();
    tables
        .map(|t| (t["table"].as_str().unwrap().to_owned(), t["checksum"].as_str().unwrap().to_owned()))
        .collect()
}

pub(crate) fn start_loading(url: &str, more: &[&str]) -> Child {
    let mut command = command();
    command.args(["generate", "--url", url]).args(SIZES).args(more);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Whether a load has emptied the tables and left something to resume.
async fn has_begun(target: &Target) -> bool {
    let session = Session::connect(target, "test").await.unwrap();
    let data_set = datagen::ledger::data_set(&session).await.unwrap();
    session.close().await;
    data_set.is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_is_killed_again_and_again_ends_as_if_it_had_not_been() {
    let server = Server::with_settings(&[("fsync", "on")]);
    let target = server.migrated().await;
    let url = server.url(&target.dbname);
    // The first begins anew. Short moments come first: where machines are fast, the load is over in a second or two.
    let mut more: &[&str] = &[];
    let mut kills = 0;
    for moment in [200, 300, 400, 100, 900, 600, 1400, 1100] {
        let mut child = start_loading(&url, more);
        std::thread::sleep(Duration::from_millis(moment));
        // A slow machine has come so far once at least.
        while moment >= 900
            && more.is_empty()
            && child.try_wait().unwrap().is_none()
            && !has_begun(&target).await
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if moment % 500 == 400 {
            server.kill_and_start_again();
        }
        let was_running = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
        child.wait().unwrap();
        kills += u32::from(was_running);
        // Before the tables are emptied there is nothing to resume.
        if has_begun(&target).await {
            more = &["--resume"];
        }
    }
    assert!(kills >= 3, "the load was over too soon to be killed");
    let resumed = omtdb(&[&["generate", "--url", &url, "--resume", "--json"], &SIZES[..]].concat());
    assert_eq!(resumed.status.code(), Some(0), "{}", text(&resumed));
    assert_eq!(sums(&json(&resumed)), undisturbed());
    assert_eq!(failures(&target).await, NOTHING);
    assert_eq!(drift(&target).await, []);
    // Once more there is nothing left to do.
    let again = omtdb(&[&["generate", "--url", &url, "--resume", "--json"], &SIZES[..]].concat());
    assert_eq!((again.status.code(), sums(&json(&again))), (Some(0), undisturbed()), "{}", text(&again));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_missing_relations_are_loaded() {
    let server = Server::start();
    let target = server.migrated().await;
    let whole = datagen::generate(&Run::silent(), &target, &spec(7, LOADED)).await.unwrap();
    let resume = Spec { start: Start::Resume, ..spec(7, LOADED) };
    sql(
        &target,
        "UPDATE omtdb.data_set SET complete = FALSE;
         DELETE FROM omtdb.loaded WHERE relation = 'interaction.user_media_m16_r03';
         TRUNCATE interaction.user_media_m16_r05;
         CREATE TABLE public.before AS SELECT relname, relfilenode FROM pg_class WHERE relname LIKE 'user_media_m16_r__'",
    )
    .await;
    // Rows that the ledger knows nothing of are not truncated unasked.
    let error = datagen::generate(&Run::silent(), &target, &resume).await.unwrap_err();
    let foreign = error.downcast_ref::<datagen::survey::ForeignRows>().unwrap();
    assert_eq!(foreign.0, ["interaction.user_media_m16_r03"]);
    let resume = Spec { foreign: datagen::Foreign::Truncate, ..resume };
    let resumed = datagen::generate(&Run::silent(), &target, &resume).await.unwrap();
    assert_eq!(
        resumed.tables.iter().map(|t| &t.checksum).collect::<Vec<_>>(),
        whole.tables.iter().map(|t| &t.checksum).collect::<Vec<_>>()
    );
    assert_eq!(failures(&target).await, NOTHING);
    // Truncation gives a relation a new file.
    let session = Session::connect(&target, "test").await.unwrap();
    let touched = "SELECT count(*) FROM public.before AS b JOIN pg_class AS c USING (relname) WHERE b.relfilenode <> c.relfilenode";
    assert_eq!(number(&session, touched).await, 2);
    session.close().await;
    let other = Spec { start: Start::Resume, ..spec(8, LOADED) };
    let error = datagen::generate(&Run::silent(), &target, &other).await.unwrap_err();
    assert!(format!("{error:#}").contains("other data: seed 7"), "{error:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_that_was_split_is_neither_loaded_again_nor_an_error() {
    let server = Server::start();
    let target = server.loaded().await;
    sql(
        &target,
        "BEGIN;
         CREATE TABLE public.moved AS TABLE interaction.user_media_m16_r03;
         DROP TABLE interaction.user_media_m16_r03;
         CREATE TABLE interaction.user_media_m32_r03 PARTITION OF interaction.user_media
             FOR VALUES WITH (MODULUS 32, REMAINDER 3);
         CREATE TABLE interaction.user_media_m32_r19 PARTITION OF interaction.user_media
             FOR VALUES WITH (MODULUS 32, REMAINDER 19);
         INSERT INTO interaction.user_media TABLE public.moved;
         COMMIT",
    )
    .await;
    assert_eq!(failures(&target).await, NOTHING);
    let resume = Spec { start: Start::Resume, ..spec(42, LOADED) };
    datagen::generate(&Run::silent(), &target, &resume).await.unwrap();
    assert_eq!(failures(&target).await, NOTHING);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_data_version_1_gives_way() {
    let server = Server::start();
    let target = server.migrated().await;
    sql(
        &target,
        "CREATE SCHEMA IF NOT EXISTS omtdb;
         CREATE TABLE omtdb.data_set (single BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (single), seed NUMERIC(20) NOT NULL,
             data_version INT NOT NULL, users BIGINT NOT NULL, media BIGINT NOT NULL, user_media BIGINT NOT NULL,
             complete BOOLEAN NOT NULL DEFAULT FALSE, written_to BOOLEAN NOT NULL DEFAULT FALSE);
         CREATE TABLE omtdb.loaded (relation TEXT PRIMARY KEY, table_name TEXT NOT NULL, rows BIGINT NOT NULL,
             bytes BIGINT NOT NULL, checksum NUMERIC NOT NULL);
         CREATE TABLE omtdb.built (kind TEXT NOT NULL, schema_name TEXT NOT NULL, leaf_name TEXT NOT NULL,
             name TEXT NOT NULL);
         INSERT INTO omtdb.data_set VALUES (TRUE, 42, 1, 1, 1, 1, TRUE);
         INSERT INTO users.users (email, password_hash) VALUES ('a@example.org', 'x')",
    )
    .await;
    let error = datagen::generate(&Run::silent(), &target, &spec(7, LOADED)).await.unwrap_err();
    assert!(error.is::<datagen::survey::ForeignRows>(), "{error:#}");
    let anew = Spec { foreign: datagen::Foreign::Truncate, ..spec(7, LOADED) };
    datagen::generate(&Run::silent(), &target, &anew).await.unwrap();
    assert_eq!(failures(&target).await, NOTHING);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_preset_is_what_its_model_says() {
    let server = Server::start();
    let target = server.migrated().await;
    for preset in Preset::ALL {
        let sizes = datagen::Sizes { users: 2_000, media: 4_000, user_media: 60_000 };
        let spec = Spec { shape: preset.shape(sizes.media), ..spec(11, sizes) };
        datagen::generate(&Run::silent(), &target, &spec).await.unwrap();
        assert_eq!(failures(&target).await, NOTHING, "{preset}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disturbed_distribution_is_noticed() {
    let server = Server::start();
    let target = server.migrated().await;
    let generated = datagen::generate(&Run::silent(), &target, &spec(7, LOADED)).await.unwrap();
    assert!(generated.shape.is_some());
    sql(
        &target,
        "DELETE FROM interaction.user_media WHERE media_id = (
             SELECT media_id FROM interaction.user_media GROUP BY media_id ORDER BY count(*) DESC, media_id LIMIT 1)",
    )
    .await;
    let failed = failures(&target).await.join("\n");
    for check in
        ["rows of interaction.user_media", "users who hold the most popular medium", "holders of rank 1"]
    {
        assert!(failed.contains(check), "{check} is not in\n{failed}");
    }
    datagen::generate(
        &Run::silent(),
        &target,
        &Spec { foreign: datagen::Foreign::Truncate, ..spec(7, LOADED) },
    )
    .await
    .unwrap();
    sql(&target, "UPDATE interaction.user_media SET status = 'planned' WHERE status = 'dropped'").await;
    let failed = failures(&target).await.join("\n");
    assert!(
        failed.contains("share of items dropped") && failed.contains("share of items planned"),
        "{failed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_the_load_takes_and_changes_nothing() {
    let server = Server::start();
    let target = server.migrated().await;
    let url = server.url(&target.dbname);
    let output = omtdb(&[&["generate", "--url", &url, "--dry-run", "--json"], &SIZES[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let estimate = json(&output);
    let session = Session::connect(&target, "test").await.unwrap();
    assert_eq!(number(&session, "SELECT count(*) FROM pg_class WHERE relnamespace = 'omtdb'::regnamespace AND relname NOT LIKE 'migration_%'").await, 0);
    assert!(estimate["free_bytes"].as_u64().unwrap() > 0);

    let output = omtdb(&[&["generate", "--url", &url, "--json"], &SIZES[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let version = number(&session, "SELECT current_setting('server_version_num')::int8").await;
    for table in estimate["tables"].as_array().unwrap() {
        let name = table["table"].as_str().unwrap();
        let size = |function: &str| {
            format!(
                "SELECT sum({function}(t.relid))::int8 FROM (SELECT relid FROM pg_partition_tree('{name}') WHERE isleaf
                 UNION SELECT '{name}'::regclass) AS t"
            )
        };
        let rows = number(&session, &format!("SELECT count(*) FROM {name}")).await;
        assert_eq!(table["rows"].as_i64(), Some(rows), "{name}");
        let stored = number(&session, &size("pg_relation_size")).await;
        let told = table["heap_bytes"].as_i64().unwrap();
        // A page a relation more or less; from 16 on a file grows by as many as 64 pages at once, the last of them empty.
        let slack = stored / 20 + 16 * 8192;
        let ahead = if version >= 160_000 { 26 * 64 * 8192 } else { 0 };
        let close = (-slack - ahead..=slack).contains(&(told - stored));
        assert!(close, "{name}: {told} told, {stored} stored");
        let indexes = number(&session, &size("pg_indexes_size")).await;
        let told = table["index_bytes"].as_i64().unwrap();
        // Every index of every leaf has a page besides; small ones are not dense.
        let close = (told - indexes).abs() <= indexes / 3 + 5 * 26 * 8192;
        assert!(close, "indexes of {name}: {told} told, {indexes} stored");
    }
}

#[test]
fn a_disk_that_is_too_small_is_refused_before_anything_is_touched() {
    if programs().run_as().is_none() {
        // Only root can mount a small disk.
        return;
    }
    let disk = SmallDisk::mount(400);
    let omtdb = |args: &[&str]| command().args(args).env("OMTDB_HOME", &disk.dir).output().unwrap();
    let migrated = omtdb(&["migrate", "apply", "--scratch=small"]);
    assert_eq!(migrated.status.code(), Some(0), "{}", text(&migrated));
    let refused = omtdb(&["generate", "--profile", "s", "--scratch=small"]);
    assert_eq!(refused.status.code(), Some(4), "{}", text(&refused));
    assert!(text(&refused).contains("on the server's disk, where"), "{}", text(&refused));
    let told = omtdb(&["generate", "--profile", "s", "--scratch=small", "--dry-run"]);
    assert_eq!(told.status.code(), Some(0), "{}", text(&told));
    assert!(text(&told).contains("it would be refused"), "{}", text(&told));
    assert_eq!(omtdb(&["migrate", "verify", "--scratch=small"]).status.code(), Some(0));
    let destroyed = omtdb(&["cluster", "destroy", "small", "--yes"]);
    assert_eq!(destroyed.status.code(), Some(0), "{}", text(&destroyed));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_servers_hash_differs_rows_go_through_the_parent() {
    let server = Server::start();
    let target = server.migrated().await;
    sql(
        &target,
        "CREATE FUNCTION public.odd_hash(uuid, int8) RETURNS int8 LANGUAGE sql IMMUTABLE
             RETURN hashtextextended($1::text, $2);
         CREATE OPERATOR CLASS public.odd FOR TYPE uuid USING hash AS OPERATOR 1 =, FUNCTION 2 public.odd_hash(uuid, int8);
         CREATE TABLE public.like AS TABLE interaction.user_media;
         DROP TABLE interaction.user_media;
         CREATE TABLE interaction.user_media (LIKE public.like) PARTITION BY HASH (user_id public.odd);
         CREATE TABLE interaction.one PARTITION OF interaction.user_media FOR VALUES WITH (MODULUS 2, REMAINDER 0);
         CREATE TABLE interaction.two PARTITION OF interaction.user_media FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
    )
    .await;
    let generated = datagen::generate(&Run::silent(), &target, &spec(7, LOADED)).await.unwrap();
    assert!(generated.notes.iter().any(|note| note.contains("through its parent")), "{:?}", generated.notes);
    // Everything is as in a database whose hash is ours.
    assert_eq!(failures(&target).await, NOTHING);
    let plain =
        datagen::sink::generate(&Run::silent(), &spec(7, LOADED), &datagen::sink::Sink::Null, None, None)
            .await;
    let sums = |generated: &datagen::Generated| -> Vec<String> {
        generated.tables.iter().map(|table| table.checksum.clone()).collect()
    };
    assert_eq!(sums(&generated), sums(&plain.unwrap()));
}

const CHANGED: &str = "SELECT count(*) FROM pg_settings WHERE name = 'max_wal_size' AND setting::int >= 50";

async fn wal_size_is(target: &Target, mb: i64) {
    let session = Session::connect(target, "test").await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), async {
        // A reload reaches a session in its own time.
        while number(&session, "SELECT setting::int8 FROM pg_settings WHERE name = 'max_wal_size'").await
            != mb
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("max_wal_size is not {mb} MB"));
    session.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_changed_with_consent_only_and_always_put_back() {
    let server = Server::with_settings(&[("max_wal_size", "32MB"), ("min_wal_size", "32MB")]);
    let target = server.migrated().await;
    let url = server.url(&target.dbname);
    let advised = omtdb(&[&["generate", "--url", &url], &SIZES[..]].concat());
    assert_eq!(advised.status.code(), Some(0), "{}", text(&advised));
    assert!(text(&advised).contains("would load faster"), "{}", text(&advised));
    wal_size_is(&target, 32).await;

    // What ALTER SYSTEM had set before comes back as it was.
    sql(&target, "ALTER SYSTEM SET max_wal_size = '40MB'").await;
    sql(&target, "SELECT pg_reload_conf()").await;
    wal_size_is(&target, 40).await;
    let mut child = start_loading(&url, &["--tune"]);
    let session = Session::connect(&target, "test").await.unwrap();
    while number(&session, CHANGED).await == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it was over before anything was changed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(failures(&target).await.contains(&"settings still changed for a load".to_owned()));
    let resume = Spec { start: Start::Resume, window: Window::Apply, ..spec(7, LOADED) };
    datagen::generate(&Run::silent(), &target, &resume).await.unwrap_err();
    wal_size_is(&target, 40).await;
    let resumed = omtdb(&[&["generate", "--url", &url, "--resume", "--tune"], &SIZES[..]].concat());
    assert_eq!(resumed.status.code(), Some(0), "{}", text(&resumed));
    wal_size_is(&target, 40).await;
    assert_eq!(failures(&target).await, NOTHING);
}

#[test]
fn mistakes_are_named() {
    let cases: [(&[&str], &str); 8] = [
        (&["--set", "items.sgma=1"], "items.sigma"),
        (&["--set", "notes=7"], "between 0 and 1"),
        (&["--set", "notes"], "KNOB=VALUE"),
        (&["--preset", "netflix"], "movielens"),
        (&["--shard", "3/2"], "second of four is 2/4"),
        (&["--sink", "s3"], "dir=PATH"),
        (&["--only", "users"], "--sink null"),
        (&["--sink", "null", "--tune"], "--sink postgres"),
    ];
    for (args, said) in cases {
        let output = omtdb(&[&["generate"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output));
        assert!(text(&output).contains(said), "{args:?}: {}", text(&output));
    }
    let knobs = omtdb(&["generate", "knobs"]);
    assert_eq!(knobs.status.code(), Some(0));
    assert!(text(&knobs).contains("items.sigma"), "{}", text(&knobs));
}
