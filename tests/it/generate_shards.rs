//! `omtdb generate` shared out: over runs that know nothing of each other, and into files.

use std::path::Path;
use std::process::Command;

use omtdb::datagen::{self, Shard, Spec, Start};
use omtdb::pg::Session;
use omtdb::run::Run;

use super::generate::{NOTHING, drift, failures, number, sql};
use super::generate_parts::{SIZES, start_loading, sums, undisturbed};
use crate::harness::{LOADED, Server, json, omtdb, programs, spec, text};

#[tokio::test(flavor = "multi_thread")]
async fn two_shards_at_the_same_time_are_one_run() {
    let server = Server::start();
    let target = server.migrated().await;
    let url = server.url(&target.dbname);
    let shards = ["1/2", "2/2"].map(|shard| start_loading(&url, &["--shard", shard]));
    for mut shard in shards {
        assert!(shard.wait().unwrap().success());
    }
    let whole = omtdb(&[&["generate", "--url", &url, "--resume", "--json"], &SIZES[..]].concat());
    assert_eq!((whole.status.code(), sums(&json(&whole))), (Some(0), undisturbed()), "{}", text(&whole));
    assert_eq!(failures(&target).await, NOTHING);
    assert_eq!(drift(&target).await, []);

    // One after the other, the first of them twice: the last makes keys and indexes.
    let shard = |number| Spec { shard: Shard::new(number, 3).unwrap(), ..spec(7, LOADED) };
    for number in [2, 1, 2] {
        datagen::generate(&Run::silent(), &target, &shard(number)).await.unwrap();
        assert!(failures(&target).await.contains(&"the load was finished".to_owned()));
    }
    datagen::generate(&Run::silent(), &target, &shard(3)).await.unwrap();
    assert_eq!(failures(&target).await, NOTHING);
    assert_eq!(drift(&target).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_of_another_number_do_not_mix() {
    let server = Server::start();
    let target = server.migrated().await;
    let shard = |number, of| Spec { shard: Shard::new(number, of).unwrap(), ..spec(7, LOADED) };
    datagen::generate(&Run::silent(), &target, &shard(1, 3)).await.unwrap();
    let error = datagen::generate(&Run::silent(), &target, &shard(1, 2)).await.unwrap_err();
    assert!(format!("{error:#}").contains("--shard I/3"), "{error:#}");
    // Nor do those of other data: the third of them has a mistake in its arguments.
    let mistaken = Spec { seed: 8, ..shard(3, 3) };
    let error = datagen::generate(&Run::silent(), &target, &mistaken).await.unwrap_err();
    assert!(format!("{error:#}").contains("a load of other data is unfinished: seed 7"), "{error:#}");
    // One run alone finishes what is left.
    let resume = Spec { start: Start::Resume, ..spec(7, LOADED) };
    datagen::generate(&Run::silent(), &target, &resume).await.unwrap();
    assert_eq!(failures(&target).await, NOTHING);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_hold_the_same_rows_and_psql_loads_them() {
    let server = Server::start();
    let target = server.migrated().await;
    let dir = tempfile::tempdir().unwrap();
    let sink = format!("dir={}", dir.path().display());
    for shard in ["1/2", "2/2"] {
        let args = ["generate", "--sink", &sink, "--shard", shard];
        let output = omtdb(&[&args, &SIZES[..]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    }
    let off = "ALTER TABLE interaction.user_media DISABLE TRIGGER ALL; SET session_replication_role = replica;
        DO $$ DECLARE c record; BEGIN
            FOR c IN SELECT conname, conrelid::regclass AS t FROM pg_constraint WHERE contype = 'f' AND conparentid = 0 LOOP
                EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.t, c.conname);
            END LOOP; END $$";
    sql(&target, off).await;
    for script in ["load-1-of-2.sql", "load-2-of-2.sql"] {
        psql(&server.url(&target.dbname), dir.path(), script);
    }
    let session = Session::connect(&target, "test").await.unwrap();
    assert_eq!(number(&session, "SELECT count(*) FROM interaction.user_media").await, 100_000);
    let sum =
        "SELECT (sum(hash_record_extended(ROW(user_id, media_id, status, progress, rating, notes, started_at,
        completed_at, meta_snapshot::text, created_at, updated_at), 0)))::text FROM interaction.user_media";
    let found: String = session.query_one(sum, &[]).await.unwrap().try_get(0).unwrap();
    assert_eq!(found, undisturbed()["interaction.user_media"]);
    session.close().await;

    // A part that is missing is made again, the others are kept.
    let path = dir.path().join("interaction.user_media_m16_r03.pgcopy");
    let (before, kept) = (std::fs::read(&path).unwrap(), dir.path().join("users.users.pgcopy"));
    let untouched = std::fs::metadata(&kept).unwrap().modified().unwrap();
    std::fs::remove_file(&path).unwrap();
    let output = omtdb(&[&["generate", "--sink", &sink, "--resume"], &SIZES[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::metadata(&kept).unwrap().modified().unwrap(), untouched);
}

fn psql(url: &str, dir: &Path, script: &str) {
    let mut psql = Command::new(programs().bin().join("psql"));
    psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-f", script]).current_dir(dir);
    let output = psql.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}
