use super::*;

fn read(text: &str) -> Script {
    parse(text).unwrap()
}

#[track_caller]
fn refused(text: &str, words: &str) {
    let error = parse(text).unwrap_err().to_string();
    assert!(error.contains(words), "{words:?} is not in {error}");
}

/// `MODE object` of the locks of a statement.
fn locks(sql: &str) -> Vec<String> {
    read(sql).statements[0].locks.iter().map(|lock| format!("{} {}", lock.mode, lock.object)).collect()
}

#[test]
fn statements_are_split_where_they_end() {
    let script = read(
        "-- one; two\nCREATE TABLE a.b (c TEXT DEFAULT ';');;\n\nDO $x$ BEGIN PERFORM 1; COMMIT; END $x$;\nSELECT 1 -- no end",
    );
    let places: Vec<_> = script.statements.iter().map(|one| (one.at.line, one.at.column)).collect();
    assert_eq!(places, [(2, 1), (4, 1), (5, 1)]);
    assert_eq!(script.statements[0].sql, "CREATE TABLE a.b (c TEXT DEFAULT ';')");
    assert_eq!(script.statements[2].sql, "SELECT 1");
    assert_eq!((script.mode, script.opt_in), (Mode::Together, false));
}

#[test]
fn a_file_runs_stepwise_where_it_says_so_or_must() {
    assert_eq!(read("CREATE INDEX CONCURRENTLY i ON a.b (c)").mode, Mode::Stepwise);
    assert_eq!(read("-- omtdb: no-transaction\nALTER TABLE a.b VALIDATE CONSTRAINT c").mode, Mode::Stepwise);
    assert_eq!(read("-- omtdb: online\nCREATE INDEX i ON a.b (c)").mode, Mode::Stepwise);
    assert_eq!(read("VACUUM a.b; ALTER TABLE a.b DETACH PARTITION a.c CONCURRENTLY").mode, Mode::Stepwise);
    let optional = read("-- omtdb: opt-in\nSELECT 1");
    assert_eq!((optional.mode, optional.opt_in), (Mode::Together, true));
}

#[test]
fn mixing_is_refused() {
    refused("CREATE INDEX CONCURRENTLY i ON a.b (c);\nCREATE TABLE a.d ()", "2:1: the statement of line 1");
    refused("-- omtdb: no-transaction\nCREATE TABLE a.d ();\nVACUUM a.d", "3:1");
    refused("-- omtdb: online\nCREATE INDEX i ON a.b (c);\nANALYZE a.b", "a file is one or the other");
}

#[test]
fn transactions_are_the_runners() {
    for sql in
        ["BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT a", "ROLLBACK TO a", "PREPARE TRANSACTION 'x'"]
    {
        refused(sql, "does not begin or end transactions");
    }
    refused("COPY a.b FROM STDIN", "no data here");
    refused("-- omtdb: no-transaction\nSET work_mem = '1GB'", "setting of the session");
}

#[test]
fn directives_stand_where_they_mean_something() {
    refused("SELECT 1;\n-- omtdb: no-transaction\nSELECT 2", "2:1: this directive is about the whole file");
    refused("-- omtdb: online\n", "no statement follows");
    refused("-- omtdb: online\nSELECT 1", "online runs CREATE INDEX");
    refused("-- omtdb: online\n-- omtdb: backfill a.b by c\nSELECT $1, $2", "two directives");
    refused("SELECT 1; -- omtdb: online\nCREATE INDEX i ON a.b (c)", "a line of its own");
    refused("CREATE TABLE a.b (\n-- omtdb: opt-in\nc INT)", "a line of its own");
    refused("-- omtdb: online\nCREATE INDEX ON a.b (c)", "needs a name");
    refused("-- omtdb: online\nCREATE INDEX i ON b (c)", "its schema");
    refused("-- omtdb: online\nCREATE INDEX IF NOT EXISTS i ON a.b (c)", "hides");
    refused("-- omtdb: online\nCREATE INDEX i ON ONLY a.b (c)", "take ONLY out");
    refused("-- omtdb: backfill a.b by c\nUPDATE a.b SET d = 1 WHERE c > $1", "BETWEEN");
    refused(
        "-- omtdb: check a.b by c\nUPDATE a.b SET d = 1 WHERE c BETWEEN $1 AND $2",
        "a check is a SELECT",
    );
    refused("SELECT $1", "no parameters");
}

#[test]
fn what_is_no_sql_is_refused_with_its_place() {
    refused("CREATE TABLE a.b (c INT);\nCREATE TABEL x ()", "2:1");
    refused("\\echo hi", "1:1");
}

#[test]
fn the_index_of_a_statement_is_known() {
    let script = read(
        "-- omtdb: online jobs=3\nCREATE UNIQUE INDEX \"Odd;\" ON A.b USING btree (c, (d->>'e')) WHERE f > 1;",
    );
    let index = NewIndex {
        name: "Odd;".to_owned(),
        table: Name { schema: Some("a".to_owned()), name: "b".to_owned() },
        unique: true,
        definition: "USING btree (c, (d->>'e')) WHERE f > 1".to_owned(),
    };
    assert_eq!(script.statements[0].act, Act::CreateIndex(index));
    assert_eq!(script.statements[0].form, Form::Online { jobs: 3 });
}

#[test]
fn locks_are_the_strongest_that_an_action_needs() {
    assert_eq!(locks("ALTER TABLE a.b ALTER c SET STATISTICS 9"), ["SHARE UPDATE EXCLUSIVE a.b"]);
    assert_eq!(locks("ALTER TABLE a.b VALIDATE CONSTRAINT c, ADD COLUMN d INT"), ["ACCESS EXCLUSIVE a.b"]);
    assert_eq!(
        locks("ALTER TABLE a.b ADD FOREIGN KEY (c) REFERENCES d.e NOT VALID"),
        ["SHARE ROW EXCLUSIVE a.b", "SHARE ROW EXCLUSIVE d.e"]
    );
    assert_eq!(
        locks("CREATE TABLE a.c PARTITION OF a.b FOR VALUES WITH (MODULUS 2, REMAINDER 0)"),
        ["ACCESS EXCLUSIVE a.b"]
    );
    assert_eq!(locks("INSERT INTO a.b SELECT * FROM a.c"), ["ROW EXCLUSIVE a.b"]);
    assert_eq!(locks("LOCK TABLE a.b IN SHARE ROW EXCLUSIVE MODE"), ["SHARE ROW EXCLUSIVE a.b"]);
    assert!(locks("CREATE TABLE a.b (c INT)").is_empty());
    assert_eq!(locks("ALTER INDEX a.i SET (fastupdate = off)"), ["ACCESS EXCLUSIVE a.i"]);
    assert_eq!(locks("ALTER INDEX a.i SET (fillfactor = 90)"), ["SHARE UPDATE EXCLUSIVE a.i"]);
    assert_eq!(locks("ALTER TABLE a.b SET (user_catalog_table = on)"), ["ACCESS EXCLUSIVE a.b"]);
    assert_eq!(locks("ALTER TABLE a.b SET (toast.autovacuum_enabled = off)"), ["SHARE UPDATE EXCLUSIVE a.b"]);
    assert_eq!(locks("ALTER TABLE a.b ALTER statistics SET NOT NULL"), ["ACCESS EXCLUSIVE a.b"]);
}
