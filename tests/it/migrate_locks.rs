//! The locks that a plan claims of a statement, held against those that the server takes.

use std::process::Stdio;

use omtdb::migrate::script;

use crate::harness::{command, eventually, text};
use crate::migrate::code;
use crate::migrate_online::place;

/// Batches that take longer than a look at them.
const FILL: &str = "-- omtdb: backfill s.plain by id batch=250\n\
    UPDATE s.plain SET v = v + 1 WHERE id BETWEEN $1 AND $2 AND pg_sleep(0.001) IS NOT NULL";

#[tokio::test]
async fn a_batch_that_gave_way_again_and_again_is_done_when_nobody_is_in_the_way() {
    let place = place(("V2__fill.sql", FILL)).await;
    let (holder, session) = (place.session().await, place.session().await);
    holder.batch_execute("BEGIN; UPDATE s.plain SET v = v WHERE id = 1").await.unwrap();
    let limits = ["--lock-timeout", "60ms", "--lock-budget", "30s", "--duty", "100"];
    let mut apply = command();
    apply.args(place.args("apply")).args(limits).stdout(Stdio::piped()).stderr(Stdio::piped());
    let runner = apply.spawn().unwrap();
    let waiting = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted";
    for waits in [true, false].repeat(4) {
        let is_so = async || session.query_one(waiting, &[]).await.unwrap().get::<_, bool>(0) == waits;
        eventually("a wait, or none", is_so).await;
    }
    holder.batch_execute("COMMIT").await.unwrap();
    let output = runner.wait_with_output().unwrap();
    assert_eq!(code(&output), Some(0), "{}", text(&output));
    let noted = "SELECT lock_wait_ms >= 4 * 60, blockers[1] LIKE '%omtdb/test%' FROM omtdb.migration_step
                 WHERE step = '1' ORDER BY run DESC LIMIT 1";
    let noted = session.query_one(noted, &[]).await.unwrap();
    assert!(noted.get::<_, bool>(0) && noted.get::<_, bool>(1), "the journal has what batches waited for");
    let once = "SELECT bool_and(v = id % 7 + 1) FROM s.plain";
    assert!(session.query_one(once, &[]).await.unwrap().get::<_, bool>(0));
}

/// Statements, and the relations whose locks are claimed of them.
const LOCKING: &[&str] = &[
    "CREATE INDEX ON s.plain (v)",
    "CREATE INDEX ON ONLY s.t (v)",
    "DROP INDEX s.i",
    "REINDEX INDEX s.i",
    "ALTER INDEX s.i RENAME TO j",
    "ALTER INDEX s.i SET (fillfactor = 50)",
    "ALTER INDEX s.ti ATTACH PARTITION s.t0i",
    "ALTER TABLE s.plain ADD COLUMN w INT",
    "ALTER TABLE s.plain ALTER v TYPE BIGINT",
    "ALTER TABLE s.plain ALTER v SET NOT NULL",
    "ALTER TABLE s.plain ALTER v SET STATISTICS 500",
    "ALTER TABLE s.plain ALTER v SET (n_distinct = 5)",
    "ALTER TABLE s.plain SET (fillfactor = 50)",
    "ALTER TABLE s.plain SET (autovacuum_enabled = off)",
    "ALTER TABLE s.plain ADD CONSTRAINT c CHECK (v > -9) NOT VALID",
    "ALTER TABLE s.plain VALIDATE CONSTRAINT later",
    "ALTER TABLE s.plain DROP CONSTRAINT later",
    "ALTER TABLE s.other ADD FOREIGN KEY (id) REFERENCES s.plain NOT VALID",
    "ALTER TABLE s.other ADD FOREIGN KEY (id) REFERENCES s.plain",
    "ALTER TABLE s.plain DISABLE TRIGGER ALL",
    "ALTER TABLE s.plain RENAME TO renamed",
    "ALTER TABLE s.plain RENAME COLUMN v TO w",
    "ALTER TABLE s.plain OWNER TO CURRENT_USER",
    "ALTER TABLE s.plain CLUSTER ON plain_pkey",
    "ALTER TABLE s.plain ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE s.plain REPLICA IDENTITY FULL",
    "ALTER TABLE s.t DETACH PARTITION s.t_1",
    "ALTER TABLE s.r ATTACH PARTITION s.free FOR VALUES FROM (0) TO (9)",
    "CREATE TABLE s.r1 PARTITION OF s.r FOR VALUES FROM (0) TO (9)",
    "CREATE TABLE s.child () INHERITS (s.plain)",
    "CREATE TABLE s.ref (id INT REFERENCES s.plain)",
    "CREATE TRIGGER g BEFORE INSERT ON s.plain FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "DROP TRIGGER h ON s.plain",
    "ALTER TRIGGER h ON s.plain RENAME TO k",
    "CREATE RULE u AS ON DELETE TO s.plain DO INSTEAD NOTHING",
    "CREATE POLICY p ON s.plain",
    "CREATE STATISTICS s.x ON id, v FROM s.plain",
    "DROP TABLE s.other",
    "TRUNCATE s.other",
    "CLUSTER s.plain USING plain_pkey",
    "ANALYZE s.plain",
    "COMMENT ON TABLE s.plain IS 'x'",
    "LOCK TABLE s.plain",
    "LOCK TABLE s.plain IN ACCESS SHARE MODE",
    "LOCK TABLE s.plain IN ROW SHARE MODE",
    "LOCK TABLE s.plain IN ROW EXCLUSIVE MODE",
    "LOCK TABLE s.plain IN SHARE UPDATE EXCLUSIVE MODE",
    "LOCK TABLE s.plain IN SHARE MODE",
    "LOCK TABLE s.plain IN SHARE ROW EXCLUSIVE MODE",
    "LOCK TABLE s.plain IN EXCLUSIVE MODE",
    "REFRESH MATERIALIZED VIEW s.m",
    "REFRESH MATERIALIZED VIEW CONCURRENTLY s.m",
    "ALTER VIEW s.w RENAME TO y",
    "DROP VIEW s.w",
    "ALTER SEQUENCE s.q RESTART",
    "INSERT INTO s.plain SELECT id + 1000, v FROM s.t",
    "UPDATE s.plain SET v = 1 FROM s.t WHERE t.id = plain.id",
    "DELETE FROM s.plain WHERE id = 1",
];

#[tokio::test]
async fn locks_are_those_that_the_server_takes() {
    let place = place(("V2__none.sql", "SELECT 1")).await;
    let session = place.session().await;
    session
        .batch_execute(
            "CREATE INDEX i ON s.plain (v); CREATE INDEX ti ON ONLY s.t (v); CREATE INDEX t0i ON s.t_0 (v);
             CREATE TABLE s.other (id INT); CREATE TABLE s.r (id INT) PARTITION BY RANGE (id); CREATE TABLE s.free (id INT);
             ALTER TABLE s.plain ADD CONSTRAINT later CHECK (v < 100) NOT VALID;
             CREATE TRIGGER h BEFORE UPDATE ON s.plain FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
             CREATE MATERIALIZED VIEW s.m AS SELECT id FROM s.plain; CREATE UNIQUE INDEX ON s.m (id);
             CREATE VIEW s.w AS SELECT 1 AS one; CREATE SEQUENCE s.q;",
        )
        .await
        .unwrap();
    let held = "SELECT upper(regexp_replace(replace(l.mode, 'Lock', ''), '([a-z])([A-Z])', '\\1 \\2', 'g'))
                FROM pg_locks AS l WHERE l.pid = pg_backend_pid() AND l.granted AND l.relation = $1
                ORDER BY array_position(ARRAY['AccessShareLock', 'RowShareLock', 'RowExclusiveLock', 'ShareUpdateExclusiveLock',
                    'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'], l.mode) DESC LIMIT 1";
    for sql in LOCKING {
        let locks = script::parse(sql).unwrap().statements[0].locks.clone();
        assert!(!locks.is_empty(), "{sql}");
        let mut oids = Vec::new();
        for lock in &locks {
            let oid =
                session.query_one("SELECT to_regclass($1)::oid", &[&lock.object.quoted()]).await.unwrap();
            oids.push(oid.get::<_, u32>(0));
        }
        session
            .batch_execute(&format!("BEGIN; {sql}"))
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        for (lock, oid) in locks.iter().zip(oids) {
            let strongest = session.query_opt(held, &[&oid]).await.unwrap();
            let strongest: Option<String> = strongest.map(|row| row.get(0));
            assert_eq!(strongest, Some(lock.mode.to_string()), "{sql}: on {}", lock.object);
        }
        session.batch_execute("ROLLBACK").await.unwrap();
    }
}
