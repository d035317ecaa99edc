//! What the rules of `migrate lint` say is what PostgreSQL does: each is shown to be right on a real server.

mod rows;

use std::fs;

use omtdb::migrate::Source;
use omtdb::migrate::lint::{Catalog, NEVER_IMMUTABLE, Set, before_apply};
use omtdb::pg::{Session, Target};
use omtdb::verdict::Verdict;

use crate::harness::Server;

/// Runs `sql`, and gives the SQLSTATE with which it is refused.
async fn refused(session: &Session, sql: &str) -> String {
    let error = session.batch_execute(sql).await.expect_err(sql);
    error.code().unwrap_or_else(|| panic!("{error}")).code().to_owned()
}

/// `t.notes`, divided by hash into two leaves, with 1,000 rows.
const NOTES: &str = "CREATE SCHEMA t;
    CREATE TABLE t.notes (user_id BIGINT NOT NULL, at TIMESTAMPTZ, said JSONB, PRIMARY KEY (user_id)) PARTITION BY HASH (user_id);
    CREATE TABLE t.notes_m2_r0 PARTITION OF t.notes FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE t.notes_m2_r1 PARTITION OF t.notes FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    INSERT INTO t.notes SELECT n, now(), jsonb_build_object('k', n) FROM generate_series(1, 1000) AS n;
    ANALYZE t.notes;";

pub(crate) async fn notes(server: &Server) -> (Target, Session) {
    let target = server.database().await;
    let session = server.session(&target.dbname).await;
    session.batch_execute(NOTES).await.unwrap();
    (target, session)
}

/// Rules that the linter finds broken by `sql` against the database of `session`.
async fn found(session: &Session, sql: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("V900__try.sql");
    fs::write(&path, sql).unwrap();
    let mut set = Set::beside(&path).unwrap().naming(&[path]).unwrap();
    set.files.retain(|file| file.wanted);
    let linted = set.lint(Catalog::read(session).await.unwrap());
    linted.findings.into_iter().map(|finding| finding.rule).collect()
}

#[tokio::test]
async fn an_index_of_a_partitioned_table_is_refused_concurrently() {
    let server = Server::start();
    let (_, session) = notes(&server).await;
    let create = "CREATE INDEX CONCURRENTLY i ON t.notes (at)";
    assert_eq!(found(&session, create).await, ["concurrently-on-partitioned"]);
    assert_eq!(refused(&session, create).await, "0A000");
    session.batch_execute("CREATE INDEX j ON t.notes (at)").await.unwrap();
    let drop = "DROP INDEX CONCURRENTLY t.j";
    assert_eq!(found(&session, drop).await, ["concurrently-on-partitioned"]);
    assert_eq!(refused(&session, drop).await, "0A000");
}

#[tokio::test]
async fn a_plain_build_locks_every_leaf_against_writers() {
    let server = Server::start();
    let (target, session) = notes(&server).await;
    let create = "CREATE INDEX i ON t.notes (at)";
    assert_eq!(found(&session, create).await, ["index-blocks-writes"]);
    session.batch_execute(&format!("BEGIN; {create}")).await.unwrap();
    let locked = "SELECT relation::regclass::text FROM pg_locks \
                  WHERE mode = 'ShareLock' AND granted AND relation::regclass::text LIKE 't.notes%' ORDER BY 1";
    let other = server.session(&target.dbname).await;
    let tables: Vec<String> =
        session.query(locked, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert!(
        ["t.notes", "t.notes_m2_r0", "t.notes_m2_r1"].iter().all(|one| tables.iter().any(|t| t == one)),
        "{tables:?}"
    );
    other.batch_execute("SET lock_timeout = '10ms'").await.unwrap();
    assert_eq!(refused(&other, "INSERT INTO t.notes VALUES (2000)").await, "55P03");
}

#[tokio::test]
async fn an_index_without_its_parts_is_invalid() {
    let server = Server::start();
    let (_, session) = notes(&server).await;
    let half = "CREATE INDEX i ON ONLY t.notes (at);\n-- omtdb: allow index-blocks-writes: an example\n\
                CREATE INDEX i0 ON t.notes_m2_r0 (at);\nALTER INDEX t.i ATTACH PARTITION t.i0;\n";
    let rest = "-- omtdb: allow index-blocks-writes: an example\n\
                CREATE INDEX i1 ON t.notes_m2_r1 (at);\nALTER INDEX t.i ATTACH PARTITION t.i1;\n";
    assert_eq!(found(&session, half).await, ["index-left-invalid"]);
    assert_eq!(found(&session, &format!("{half}{rest}")).await, [""; 0]);
    let valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 't.i'::regclass";
    session.batch_execute(half).await.unwrap();
    assert!(!session.query_one(valid, &[]).await.unwrap().get::<_, bool>(0));
    session.batch_execute(rest).await.unwrap();
    assert!(session.query_one(valid, &[]).await.unwrap().get::<_, bool>(0));
}

#[tokio::test]
async fn if_not_exists_is_content_with_an_invalid_index() {
    let server = Server::start();
    let (_, session) = notes(&server).await;
    session.batch_execute("CREATE TABLE t.twice AS SELECT 1 AS n FROM generate_series(1, 2)").await.unwrap();
    let create = |if_not: &str| format!("CREATE UNIQUE INDEX CONCURRENTLY {if_not} i ON t.twice (n)");
    assert_eq!(refused(&session, &create("")).await, "23505");
    assert_eq!(found(&session, &create("IF NOT EXISTS")).await, ["index-if-not-exists"]);
    session.batch_execute(&create("IF NOT EXISTS")).await.unwrap();
    let valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 't.i'::regclass";
    assert!(!session.query_one(valid, &[]).await.unwrap().get::<_, bool>(0));
}

/// Rows that a statement reads of a leaf, as the server counts them in its transaction.
async fn rows_read_by(session: &Session, sql: &str) -> i64 {
    let read = "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relid = 't.notes_m2_r1'::regclass";
    session.batch_execute("BEGIN").await.unwrap();
    // The session keeps counts of earlier transactions until it has told the server.
    let before: i64 = session.query_one(read, &[]).await.unwrap().get(0);
    session.batch_execute(sql).await.unwrap();
    let after: i64 = session.query_one(read, &[]).await.unwrap().get(0);
    session.batch_execute("ROLLBACK").await.unwrap();
    after - before
}

#[tokio::test]
async fn attach_reads_a_leaf_unless_a_check_implies_its_bound() {
    let server = Server::start();
    let (_, session) = notes(&server).await;
    session.batch_execute("ALTER TABLE t.notes DETACH PARTITION t.notes_m2_r1").await.unwrap();
    let attach =
        "ALTER TABLE t.notes ATTACH PARTITION t.notes_m2_r1 FOR VALUES WITH (MODULUS 2, REMAINDER 1)";
    let check = |valid: &str| {
        format!(
            "ALTER TABLE t.notes_m2_r1 ADD CONSTRAINT b \
             CHECK (satisfies_hash_partition('t.notes'::regclass, 2, 1, user_id)) {valid}"
        )
    };
    assert_eq!(found(&session, attach).await, ["partition-under-lock"]);
    assert!(rows_read_by(&session, attach).await > 0);
    session.batch_execute(&check("NOT VALID")).await.unwrap();
    assert_eq!(found(&session, attach).await, ["partition-under-lock"]);
    assert!(rows_read_by(&session, attach).await > 0);
    session.batch_execute("ALTER TABLE t.notes_m2_r1 VALIDATE CONSTRAINT b").await.unwrap();
    assert_eq!(found(&session, attach).await, [""; 0]);
    assert_eq!(rows_read_by(&session, attach).await, 0);
}

#[tokio::test]
async fn a_default_partition_is_read_when_another_comes() {
    let server = Server::start();
    let target = server.database().await;
    let session = server.session(&target.dbname).await;
    let days = "CREATE SCHEMA t; CREATE TABLE t.days (at DATE NOT NULL) PARTITION BY RANGE (at);
                CREATE TABLE t.days_default PARTITION OF t.days DEFAULT;";
    session.batch_execute(days).await.unwrap();
    let create = "CREATE TABLE t.days_1 PARTITION OF t.days FOR VALUES FROM ('2026-01-01') TO ('2026-01-02')";
    assert_eq!(found(&session, create).await, [""; 0], "it is empty");
    session.batch_execute("INSERT INTO t.days VALUES ('2025-01-01')").await.unwrap();
    assert_eq!(found(&session, create).await, ["partition-under-lock"]);
    let locked = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 't.days_default'::regclass";
    session.batch_execute(&format!("BEGIN; {create}")).await.unwrap();
    assert_eq!(session.query_one(locked, &[]).await.unwrap().get::<_, i64>(0), 1);
    session.batch_execute("COMMIT").await.unwrap();
    let detach = "ALTER TABLE t.days DETACH PARTITION t.days_1 CONCURRENTLY";
    assert_eq!(found(&session, detach).await, ["partition-under-lock"]);
    assert_eq!(refused(&session, detach).await, "55000");
}

#[tokio::test]
async fn users_of_a_detached_leaf_have_no_home() {
    let server = Server::start();
    let (_, session) = notes(&server).await;
    let detach = "ALTER TABLE t.notes DETACH PARTITION t.notes_m2_r1 CONCURRENTLY";
    assert_eq!(found(&session, detach).await, ["hash-bounds", "hash-leaf-detach"]);
    session.batch_execute(detach).await.unwrap();
    let left: i64 = session.query_one("SELECT count(*) FROM t.notes", &[]).await.unwrap().get(0);
    assert!(left < 1000);
    let write = "INSERT INTO t.notes SELECT n FROM generate_series(2000, 2100) AS n";
    assert_eq!(refused(&session, write).await, "23514");
}

#[tokio::test]
async fn a_leaf_that_is_referred_to_cannot_go() {
    let server = Server::start();
    let (_, session) = notes(&server).await;
    let refer = "CREATE TABLE t.replies (user_id BIGINT REFERENCES t.notes (user_id))";
    assert_eq!(found(&session, refer).await, ["foreign-key-to-hash-partitioned"]);
    let rows = "INSERT INTO t.replies SELECT user_id FROM t.notes";
    session.batch_execute(&format!("{refer}; {rows}")).await.unwrap();
    assert_eq!(refused(&session, "ALTER TABLE t.notes DETACH PARTITION t.notes_m2_r1").await, "23503");
}

#[tokio::test]
async fn a_unique_key_without_the_partition_key_is_refused() {
    let server = Server::start();
    let (_, session) = notes(&server).await;
    for (sql, code) in [
        ("ALTER TABLE t.notes ADD CONSTRAINT k UNIQUE (at)", "0A000"),
        ("CREATE TABLE t.x (a INT8 PRIMARY KEY, b INT8) PARTITION BY HASH (b)", "0A000"),
        ("CREATE UNIQUE INDEX i ON t.notes (at)", "0A000"),
    ] {
        assert!(found(&session, sql).await.contains(&"unique-without-partition-key".to_owned()), "{sql}");
        assert_eq!(refused(&session, sql).await, code, "{sql}");
    }
}

#[tokio::test]
async fn moduli_must_divide_one_another() {
    let server = Server::start();
    let (_, session) = notes(&server).await;
    session.batch_execute("ALTER TABLE t.notes DETACH PARTITION t.notes_m2_r1").await.unwrap();
    let create = "CREATE TABLE t.notes_m3_r1 PARTITION OF t.notes FOR VALUES WITH (MODULUS 3, REMAINDER 1)";
    assert_eq!(found(&session, create).await, ["hash-bounds"]);
    assert_eq!(refused(&session, create).await, "42P17");
}

/// Expressions that the rule refuses, PostgreSQL refuses; those that it lets through, PostgreSQL takes.
#[tokio::test]
async fn an_index_is_of_what_is_immutable() {
    let server = Server::start();
    let target = server.database().await;
    let session = server.session(&target.dbname).await;
    let table = "CREATE SCHEMA t; CREATE TABLE t.x (at TIMESTAMPTZ, plain TIMESTAMP, day DATE, label TEXT, said JSONB)";
    session.batch_execute(table).await.unwrap();
    let bad = [
        "(((said->>'at')::timestamptz))",
        "(((said->>'at')::date))",
        "(((said#>>'{a,b}')::interval))",
        "(cast(label AS timestamp))",
        "((label::date))",
        "((at::date))",
        "((at::text))",
        "((at::time))",
        "(date_trunc('day', at))",
        "(extract(year FROM at))",
        "(date_part('year', at))",
        "(date(at))",
        "(to_char(day, 'YYYY'))",
        "(to_timestamp(label, 'YYYY'))",
        "(to_tsvector(label))",
        "(concat(label, 'x'))",
        "((now() - at))",
        "(label) WHERE at > now()",
        "(label) WHERE day > current_date",
    ];
    for keys in bad {
        let sql = format!("CREATE INDEX i ON t.x {keys}");
        assert!(found(&session, &sql).await.contains(&"index-expression".to_owned()), "{keys}");
        assert_eq!(refused(&session, &sql).await, "42P17", "{keys}");
    }
    let good = [
        "(((said->>'n')::int))",
        "(((said->>'n')::uuid))",
        "(((said->>'n')::boolean))",
        "((plain::date))",
        "((day::timestamp))",
        "(date_trunc('day', plain))",
        "(date_trunc('day', at AT TIME ZONE 'UTC'))",
        "(extract(year FROM day))",
        "(to_tsvector('simple', label))",
        "(lower(label), (label || 'x'))",
        "(label) WHERE day > '2026-01-01'::date",
    ];
    for keys in good {
        let sql = format!("CREATE INDEX ON t.x {keys}");
        assert_eq!(found(&session, &sql).await, [""; 0], "{keys}");
        session.batch_execute(&sql).await.expect(keys);
    }
}

#[tokio::test]
async fn functions_that_are_never_immutable_are_not() {
    let server = Server::start();
    let session = server.session("postgres").await;
    let forms = "SELECT count(*), count(*) FILTER (WHERE provolatile = 'i') FROM pg_proc \
                 WHERE proname = $1 AND pronamespace = 'pg_catalog'::regnamespace";
    for name in NEVER_IMMUTABLE {
        let row = session.query_one(forms, &[&name]).await.unwrap();
        let (all, immutable): (i64, i64) = (row.get(0), row.get(1));
        assert!(all > 0 && immutable == 0, "{name}: {immutable} of {all}");
    }
}

/// A leaf's index is attached where both are spelled alike in the linter's eyes, and refused where they are not.
#[tokio::test]
async fn a_leafs_index_is_a_part_only_if_it_is_the_same() {
    let server = Server::start();
    let (_, session) = notes(&server).await;
    let alike = [
        ("((said->>'k'))", "((( said ->> 'k'::text )))"),
        ("((said->>'k'))", "(((said->>'k')::text))"),
        ("(((said->>'k')::int))", "((cast(said->>'k' AS integer)))"),
        ("(at)", "(at ASC NULLS LAST)"),
        // The order is each leaf's own affair.
        ("(at)", "(at DESC)"),
    ];
    let unlike = [
        ("((said->>'k'))", "((said->'k'))"),
        ("((said->>'k'))", "(((said->>'k')::varchar))"),
        ("((said->>'k'))", "((said->>'K'))"),
        ("(at)", "(at) INCLUDE (user_id)"),
        ("((said->>'k'))", "((said->>'k') text_pattern_ops)"),
        ("(at)", "(at) WHERE at IS NOT NULL"),
    ];
    let script = |whole: &str, leaf: &str| {
        format!("CREATE INDEX i ON ONLY t.notes {whole}; CREATE INDEX i0 ON t.notes_m2_r0 {leaf};")
    };
    let attach = "ALTER INDEX t.i ATTACH PARTITION t.i0;";
    let differs = |rules: Vec<String>| rules.contains(&"index-expression".to_owned());
    for (whole, leaf) in alike {
        let sql = format!("{}{attach}", script(whole, leaf));
        assert!(!differs(found(&session, &sql).await), "{leaf}");
        session.batch_execute(&format!("BEGIN; {sql} ROLLBACK")).await.expect(leaf);
    }
    for (whole, leaf) in unlike {
        let made = script(whole, leaf);
        assert!(differs(found(&session, &format!("{made}{attach}")).await), "{leaf}");
        // The same of indexes that are there already, as the server prints them.
        session.batch_execute(&made).await.unwrap();
        assert!(differs(found(&session, attach).await), "{leaf}");
        assert_eq!(refused(&session, attach).await, "42P17", "{leaf}");
        session.batch_execute("DROP INDEX t.i, t.i0").await.unwrap();
    }
}

#[tokio::test]
async fn a_block_cannot_end_the_files_transaction() {
    let server = Server::start();
    let (_, session) = notes(&server).await;
    let block = "DO $$ BEGIN COMMIT; END $$";
    assert_eq!(found(&session, block).await, ["transaction-control"]);
    session.batch_execute("BEGIN").await.unwrap();
    assert_eq!(refused(&session, block).await, "2D000");
}

/// Sizes come from the server: the same file is no matter where the tables are small.
#[tokio::test]
async fn busy_tables_are_known_by_their_size() {
    let server = Server::start();
    let (_, session) = notes(&server).await;
    let sql = "ALTER TABLE t.notes ADD COLUMN a TEXT;\nALTER TABLE t.big ADD COLUMN b TEXT;";
    session.batch_execute("CREATE TABLE t.big (n INT8)").await.unwrap();
    assert_eq!(found(&session, sql).await, [""; 0]);
    let grow = "INSERT INTO t.big SELECT n FROM generate_series(1, 200000) AS n; ANALYZE t.big;
                INSERT INTO t.notes (user_id) SELECT n FROM generate_series(1001, 201000) AS n; ANALYZE t.notes;";
    session.batch_execute(grow).await.unwrap();
    assert_eq!(found(&session, sql).await, ["two-hot-tables"]);
}

#[tokio::test]
async fn the_shipped_migrations_pass_before_they_are_applied() {
    let server = Server::start();
    let target = server.database().await;
    let session = server.session(&target.dbname).await;
    let source = Source::embedded();
    let all: Vec<i64> = source.migrations().iter().map(|one| one.version()).collect();
    let linted = before_apply(&source, &all, Catalog::read(&session).await.unwrap()).unwrap();
    assert_eq!((linted.findings, linted.files), (Vec::new(), all.len()));
    let migrated = server.migrated().await;
    let session = server.session(&migrated.dbname).await;
    let none = before_apply(&source, &[], Catalog::read(&session).await.unwrap()).unwrap();
    assert_eq!((none.files, none.verdict()), (0, Verdict::Pass));
}
