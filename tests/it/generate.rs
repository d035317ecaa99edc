//! `omtdb generate` on real servers.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use omtdb::datagen::{self, Generated, Spec};
use omtdb::pg::Target;
use omtdb::run::Run;

use crate::harness::{LOADED, Server, spec};

fn checksums(generated: &Generated) -> BTreeMap<String, String> {
    generated.tables.iter().map(|load| (load.table.clone(), load.checksum.clone())).collect()
}

/// Names of the checks that failed.
async fn failures(target: &Target) -> Vec<String> {
    let verified = datagen::verify(&Run::silent(), target).await.unwrap();
    verified.checks.into_iter().filter(|check| !check.ok).map(|check| check.name).collect()
}

async fn drift(target: &Target) -> Vec<omtdb::schema::Drift> {
    omtdb::migrate::verify(target).await.unwrap().drift
}

#[tokio::test(flavor = "multi_thread")]
async fn the_data_do_not_depend_on_the_number_of_jobs() {
    let server = Server::start();
    let target = server.migrated().await;
    let mut all = Vec::new();
    for jobs in 1..=3 {
        let spec = Spec { jobs: NonZeroUsize::new(jobs).unwrap(), ..spec(7, LOADED) };
        let generated = datagen::generate(&Run::silent(), &target, &spec).await.unwrap();
        let rows: u64 =
            generated.tables.iter().filter(|t| t.table.ends_with("user_media")).map(|t| t.rows).sum();
        assert_eq!((generated.tables.len(), rows), (11, LOADED.user_media));
        // Verification compares with what the server computes.
        assert_eq!(failures(&target).await, Vec::<String>::new(), "{jobs} jobs");
        all.push(checksums(&generated));
    }
    assert!(all[0] == all[1] && all[1] == all[2]);
    let other = datagen::generate(&Run::silent(), &target, &spec(8, LOADED)).await.unwrap();
    assert!(
        checksums(&other).iter().all(|(table, sum)| all[0][table] != *sum),
        "another seed, the same rows"
    );
    assert_eq!(drift(&target).await, []);
}
