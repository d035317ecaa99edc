//! Leaves as they stand, on real servers.

use std::process::Output;

use omtdb::partition::{months, standing};

use crate::harness::{Server, json, omtdb, text};

fn kinds(output: &Output) -> Vec<String> {
    let problems = json(output)["problems"].clone();
    let kind = |one: &serde_json::Value| {
        format!("{} {}", one["object"].as_str().unwrap(), one["kind"].as_str().unwrap())
    };
    problems.as_array().unwrap().iter().map(kind).collect()
}

#[tokio::test]
async fn leaves_are_shown_as_they_stand() {
    let server = Server::start();
    let target = server.loaded().await;
    server.session(&target.dbname).await.batch_execute("ANALYZE interaction.user_media").await.unwrap();
    let url = server.url(&target.dbname);
    let output = omtdb(&["partition", "status", "--url", &url, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let shown = json(&output);
    let leaves = shown["leaves"].as_array().unwrap();
    assert_eq!(leaves.len(), 16);
    assert_eq!(leaves[3]["name"], "user_media_m16_r03");
    assert_eq!((&leaves[3]["modulus"], &leaves[3]["remainder"]), (&16.into(), &3.into()));
    let rows: u64 = leaves.iter().map(|leaf| leaf["rows"].as_u64().unwrap()).sum();
    assert_eq!(rows, crate::harness::LOADED.user_media);
    assert!(leaves.iter().all(|leaf| leaf["bytes"].as_u64().unwrap() > 0));
    assert!(leaves.iter().all(|leaf| leaf["indexes"].as_array().unwrap().len() == 5));
    assert_eq!(shown["coverage"]["every_hash_exactly_once"], true);
    let said = text(&omtdb(&["partition", "status", "--url", &url]));
    assert!(said.contains("mod 16 = 3") && said.contains("5 valid"), "{said}");
    let verified = omtdb(&["partition", "verify", "--rows", "--url", &url, "--json"]);
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified));
    assert_eq!(json(&verified)["leaves"][0]["misplaced_rows"], 0);
}

#[tokio::test]
async fn a_leaf_that_was_never_analyzed_has_no_rows_to_tell() {
    let server = Server::start();
    let target = server.migrated().await;
    let output = omtdb(&["partition", "status", "--url", &server.url(&target.dbname), "--json"]);
    assert_eq!(json(&output)["leaves"][0]["rows"], serde_json::Value::Null);
}

#[tokio::test]
async fn what_is_wrong_with_leaves_is_named() {
    let server = Server::start();
    let target = server.migrated().await;
    let url = server.url(&target.dbname);
    let session = server.session(&target.dbname).await;
    let verify = |more: &[&str]| omtdb(&[&["partition", "verify", "--url", &url, "--json"], more].concat());
    let change = "
        DROP TABLE interaction.user_media_m16_r03;
        CREATE TABLE interaction.user_media_m32_r03 PARTITION OF interaction.user_media
            FOR VALUES WITH (MODULUS 32, REMAINDER 3);
        DROP INDEX interaction.idx_user_media_status;
        CREATE INDEX idx_user_media_status ON ONLY interaction.user_media (status);
        DO $$ BEGIN FOR r IN 0..15 LOOP CONTINUE WHEN r IN (3, 5);
            EXECUTE format('CREATE INDEX i%s ON interaction.user_media_m16_r%s (status)', r, lpad(r::text, 2, '0'));
            EXECUTE format('ALTER INDEX interaction.idx_user_media_status ATTACH PARTITION interaction.i%s', r);
        END LOOP; END $$";
    session.batch_execute(change).await.unwrap();
    let output = verify(&[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let expected = [
        "interaction.user_media coverage",
        "interaction.user_media_m16_r05 index",
        "interaction.user_media_m32_r03 index",
    ];
    assert_eq!(kinds(&output), expected);
    assert_eq!(json(&output)["coverage"]["faults"][0], "no leaf for hash mod 32 = 19");
}

#[tokio::test]
async fn a_row_in_the_wrong_leaf_is_found_by_reading_rows() {
    let server = Server::start();
    let target = server.loaded().await;
    let url = server.url(&target.dbname);
    let session = server.session(&target.dbname).await;
    // What attaching a wrong table leaves, without the check that would refuse it.
    let corrupt = "SET session_replication_role = replica;
        ALTER TABLE interaction.user_media DETACH PARTITION interaction.user_media_m16_r03;
        INSERT INTO interaction.user_media_m16_r03
            SELECT * FROM interaction.user_media_m16_r04 ORDER BY user_id, media_id LIMIT 3;
        ALTER TABLE interaction.user_media_m16_r03 ADD CONSTRAINT pretended CHECK
            (satisfies_hash_partition('interaction.user_media'::regclass, 16, 3, user_id)) NOT VALID;
        UPDATE pg_constraint SET convalidated = true WHERE conname = 'pretended';
        ALTER TABLE interaction.user_media ATTACH PARTITION interaction.user_media_m16_r03
            FOR VALUES WITH (MODULUS 16, REMAINDER 3)";
    session.batch_execute(corrupt).await.unwrap();
    let blind = omtdb(&["partition", "verify", "--url", &url, "--json"]);
    assert_eq!(blind.status.code(), Some(0), "{}", text(&blind));
    let seen = omtdb(&["partition", "verify", "--rows", "--url", &url, "--json"]);
    assert_eq!(seen.status.code(), Some(1), "{}", text(&seen));
    assert_eq!(kinds(&seen), ["interaction.user_media_m16_r03 misplaced rows"]);
    assert_eq!(json(&seen)["leaves"][3]["misplaced_rows"], 3);
}

#[tokio::test]
async fn a_pending_detach_is_said_by_leaf_and_by_coverage() {
    let server = Server::start();
    let target = server.migrated().await;
    let reader = server.session(&target.dbname).await;
    reader.batch_execute("BEGIN; SELECT FROM interaction.user_media").await.unwrap();
    let session = server.session(&target.dbname).await;
    session.batch_execute("SET lock_timeout = '10ms'").await.unwrap();
    let detach =
        "ALTER TABLE interaction.user_media DETACH PARTITION interaction.user_media_m16_r03 CONCURRENTLY";
    session.batch_execute(detach).await.unwrap_err();
    let output = omtdb(&["partition", "verify", "--url", &server.url(&target.dbname), "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let expected = ["interaction.user_media coverage", "interaction.user_media_m16_r03 detaching"];
    assert_eq!(kinds(&output), expected);
}

#[tokio::test]
async fn every_query_of_the_partitions_prepares() {
    let server = Server::start();
    let session = server.session("postgres").await;
    for (name, sql) in [&standing::QUERIES[..], &months::QUERIES[..]].concat() {
        session.prepare(sql).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
}
