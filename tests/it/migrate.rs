//! Migrations applied, interrupted, raced; the schema they make, and drift from it.

use omtdb::migrate::{self, Options, Source};
use omtdb::partition::map;
use omtdb::run::Run;

use crate::harness::Server;

#[tokio::test]
async fn everything_is_applied_once() {
    let server = Server::start();
    let target = server.database().await;
    let source = Source::embedded();
    let run = Run::silent();
    let first = migrate::apply(&target, &source, &Options::default(), &run).await.unwrap();
    assert_eq!(first.applied.len(), source.migrations().len());
    assert_eq!(first.current, source.migrations().last().map(refinery_core::Migration::version));
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
async fn what_migrations_build_is_what_the_plan_says() {
    let server = Server::start();
    let target = server.migrated().await;
    assert_eq!(migrate::verify(&target).await.unwrap().drift, []);
}
