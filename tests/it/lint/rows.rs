//! Rules about statements that are at all rows of a table at once.

use omtdb::pg::Session;

use super::{found, notes, refused, rows_read_by};
use crate::harness::Server;

/// The number of the file that holds `relation`.
async fn file_of(session: &Session, relation: &str) -> i64 {
    let sql = "SELECT pg_relation_filenode($1::text::regclass)::int8";
    session.query_one(sql, &[&relation]).await.unwrap().get(0)
}

#[tokio::test]
async fn what_is_written_anew_has_another_file() {
    let server = Server::start();
    let (_, session) = notes(&server).await;
    let made = "CREATE TABLE t.x AS SELECT n FROM generate_series(1, 100) AS n; CREATE INDEX x_n ON t.x (n);
                CREATE MATERIALIZED VIEW t.v AS SELECT n FROM t.x; CREATE UNIQUE INDEX ON t.v (n); ANALYZE";
    session.batch_execute(made).await.unwrap();
    let rewrites = [
        ("VACUUM FULL t.x", "t.x"),
        ("CLUSTER t.x USING x_n", "t.x"),
        ("ALTER TABLE t.x SET UNLOGGED", "t.x"),
        ("ALTER TABLE t.x SET LOGGED", "t.x"),
        ("REFRESH MATERIALIZED VIEW t.v", "t.v"),
        ("VACUUM FULL t.notes", "t.notes_m2_r1"),
    ];
    for (sql, relation) in rewrites {
        let before = file_of(&session, relation).await;
        assert_eq!(found(&session, sql).await, ["table-rewrite"], "{sql}");
        session.batch_execute(sql).await.unwrap();
        assert_ne!(file_of(&session, relation).await, before, "{sql}");
    }
    let gentle = [
        ("VACUUM t.x", "t.x"),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY t.v", "t.v"),
        ("ALTER TABLE t.notes SET TABLESPACE pg_default", "t.notes_m2_r1"),
    ];
    for (sql, relation) in gentle {
        let before = file_of(&session, relation).await;
        assert_eq!(found(&session, sql).await, [""; 0], "{sql}");
        session.batch_execute(sql).await.unwrap();
        assert_eq!(file_of(&session, relation).await, before, "{sql}");
    }
}

/// A transaction with an older snapshot does not see the rows that were there when it began.
#[tokio::test]
async fn truncate_is_not_a_delete() {
    let server = Server::start();
    let (target, session) = notes(&server).await;
    let older = server.session(&target.dbname).await;
    let count = "SELECT count(*) FROM t.notes";
    older.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").await.unwrap();
    assert_eq!(found(&session, "TRUNCATE t.notes").await, ["truncated-table"]);
    session.batch_execute("TRUNCATE t.notes").await.unwrap();
    assert_eq!(older.query_one(count, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test]
async fn many_rows_at_once_stay_locked() {
    let server = Server::start();
    let (target, session) = notes(&server).await;
    let all = "UPDATE t.notes SET at = now()";
    let copy = "CREATE TABLE t.copy (user_id BIGINT); INSERT INTO t.copy SELECT user_id FROM t.notes";
    assert_eq!(found(&session, all).await, [""; 0], "a thousand are not many");
    let grow = "INSERT INTO t.notes SELECT n FROM generate_series(1001, 101000) AS n; ANALYZE t.notes";
    session.batch_execute(grow).await.unwrap();
    assert_eq!(found(&session, all).await, ["rows-at-once"]);
    assert_eq!(found(&session, &format!("-- omtdb: no-transaction\n{all}")).await, ["rows-at-once"]);
    assert_eq!(found(&session, copy).await, ["rows-at-once"]);
    assert_eq!(found(&session, &format!("{all} WHERE user_id = 7")).await, [""; 0]);
    session.batch_execute(&format!("BEGIN; {all}")).await.unwrap();
    let other = server.session(&target.dbname).await;
    other.batch_execute("SET lock_timeout = '10ms'").await.unwrap();
    assert_eq!(refused(&other, &format!("{all} WHERE user_id = 7")).await, "55P03");
}

#[tokio::test]
async fn a_valid_check_spares_set_not_null_its_reading() {
    let server = Server::start();
    let (_, session) = notes(&server).await;
    for (table, check) in
        [("t.notes", "at IS NOT NULL"), ("t.notes_m2_r1", "said IS NOT NULL AND user_id > 0")]
    {
        let column = check.split(' ').next().unwrap();
        let set = format!("ALTER TABLE {table} ALTER {column} SET NOT NULL");
        assert_eq!(found(&session, &set).await, ["adding-not-nullable-field"]);
        assert!(rows_read_by(&session, &set).await > 0);
        let add = format!("ALTER TABLE {table} ADD CONSTRAINT c CHECK ({check}) NOT VALID");
        session.batch_execute(&add).await.unwrap();
        assert_eq!(found(&session, &set).await, ["adding-not-nullable-field"]);
        assert!(rows_read_by(&session, &set).await > 0);
        session.batch_execute(&format!("ALTER TABLE {table} VALIDATE CONSTRAINT c")).await.unwrap();
        assert_eq!(found(&session, &set).await, [""; 0]);
        assert_eq!(rows_read_by(&session, &set).await, 0, "{set}");
        session.batch_execute(&format!("ALTER TABLE {table} DROP CONSTRAINT c")).await.unwrap();
    }
}

#[tokio::test]
async fn nobody_waits_for_an_index_of_nothing() {
    let server = Server::start();
    let (_, session) = notes(&server).await;
    let create = "CREATE INDEX ON t.notes (at)";
    assert_eq!(found(&session, create).await, ["index-blocks-writes"]);
    // What is deleted is still in the file until a VACUUM.
    session.batch_execute("DELETE FROM t.notes; ANALYZE t.notes").await.unwrap();
    assert_eq!(found(&session, create).await, [""; 0]);
    session.batch_execute("INSERT INTO t.notes VALUES (1); ANALYZE t.notes").await.unwrap();
    assert_eq!(found(&session, create).await, ["index-blocks-writes"]);
    let fill = "CREATE TABLE t.x (n INT8); INSERT INTO t.x SELECT 1; CREATE INDEX ON t.x (n)";
    assert_eq!(found(&session, fill).await, [""; 0], "it is the file's own");
    session.batch_execute("CREATE TABLE t.y (n INT8)").await.unwrap();
    let filled = "INSERT INTO t.y VALUES (1); CREATE INDEX ON t.y (n)";
    assert_eq!(found(&session, filled).await, ["index-blocks-writes"]);
}
