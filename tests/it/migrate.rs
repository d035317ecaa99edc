//! Migrations applied, interrupted, raced; the schema they make, and drift from it.

use omtdb::migrate::{self, Options, Source};
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
