use std::path::Path;

use super::*;

fn file(name: &str, version: i64, text: &str) -> File {
    File { name: name.to_owned(), version: Some(version), text: text.to_owned(), wanted: true }
}

fn waivers(text: &str) -> Waivers {
    Waivers::parse(Path::new("m/waivers.yaml"), text).unwrap()
}

fn shown(linted: &Linted) -> String {
    linted.findings.iter().map(|finding| finding.render(false)).collect::<Vec<_>>().join("\n\n")
}

/// The migrations that this program was built with say nothing that is not waived, with a reason.
#[test]
fn the_shipped_migrations_are_clean() {
    let linted = Set::embedded().unwrap().lint(Catalog::default());
    assert_eq!(shown(&linted), "");
    assert_eq!(linted.files, Source::embedded().migrations().len());
}

const DROPS: &str = "-- omtdb: allow ban-drop-column: nothing has read it since version 4\n\
                     ALTER TABLE a.b DROP COLUMN c;\nALTER TABLE a.b DROP COLUMN d;\n";

#[test]
fn a_statement_may_break_the_rule_that_it_waives() {
    let linted = lint(&[file("V1__a.sql", 1, DROPS)], &Waivers::default(), Catalog::default());
    assert_eq!((linted.findings.len(), linted.waived.len()), (1, 1));
    assert_eq!(linted.waived[0].reason, "nothing has read it since version 4");
    assert_eq!(linted.findings[0].line, 3);
    assert_eq!(linted.verdict(), Verdict::Fail);
}

#[test]
fn a_file_may_break_the_rule_that_is_waived_beside_it() {
    let allowed = waivers("# Old ones\n- { migration: 1, rule: ban-drop-column, reason: never shipped }\n");
    let linted = lint(&[file("V1__a.sql", 1, DROPS)], &allowed, Catalog::default());
    assert_eq!((linted.findings.len(), linted.waived.len()), (0, 2));
    assert_eq!(linted.verdict(), Verdict::Pass);
    let elsewhere = lint(&[file("V2__a.sql", 2, DROPS)], &allowed, Catalog::default());
    assert_eq!(elsewhere.findings.len(), 1);
}

#[test]
fn a_waiver_of_nothing_is_told() {
    let sql = "-- omtdb: allow ban-drop-colum: gone\nCREATE TABLE a.b ();\n\
               -- omtdb: allow ban-drop-table: gone\nCREATE TABLE a.c ();\n";
    let beside = "- migration: 1\n  rule: hash-bound\n  reason: none\n- migration: 1\n  rule: hash-bounds\n  reason: none\n";
    let linted = lint(&[file("V1__a.sql", 1, sql)], &waivers(beside), Catalog::default());
    insta::assert_snapshot!(shown(&linted), @r"
    error[unknown-rule]: there is no rule `ban-drop-colum`; did you mean `ban-drop-column`?
     --> V1__a.sql:1:1
      |
    1 | -- omtdb: allow ban-drop-colum: gone
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: `omtdb migrate lint --rules` names them all

    warning[unused-waiver]: the statement does not break `ban-drop-table`
     --> V1__a.sql:3:1
      |
    3 | -- omtdb: allow ban-drop-table: gone
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: take the waiver away: it would hide the finding when there is one

    error[unknown-rule]: there is no rule `hash-bound`; did you mean `hash-bounds`?
     --> m/waivers.yaml:1:1
      |
    1 | - migration: 1
      | ^^^^^^^^^^^^^^
      |
      = help: `omtdb migrate lint --rules` names them all

    warning[unused-waiver]: migration 1 does not break `hash-bounds`
     --> m/waivers.yaml:4:1
      |
    4 | - migration: 1
      | ^^^^^^^^^^^^^^
      |
      = help: take the waiver away: it would hide the finding when there is one
    ");
}

#[test]
fn waivers_that_cannot_be_understood_are_refused() {
    let refused = |text: &str| Waivers::parse(Path::new("waivers.yaml"), text).unwrap_err().to_string();
    insta::assert_snapshot!(refused("- { migration: 1, rule: a, why: b }"), @r"
    waivers.yaml:1:28: .[0]: unknown field `why`, expected one of `migration`, `rule`, `reason` at line 1 column 28
      help: write a list of entries such as `- { migration: 7, rule: ban-drop-column, reason: … }`
    ");
    insta::assert_snapshot!(refused("- { migration: 1, rule: a, reason: ' ' }"), @r"
    waivers.yaml:1:1: a waiver has a reason
      help: write a list of entries such as `- { migration: 7, rule: ban-drop-column, reason: … }`
    ");
    assert!(Waivers::parse(Path::new("waivers.yaml"), "# none\n").is_ok());
}

fn of_squawk() -> Vec<About> {
    about().into_iter().filter(|one| one.from == "squawk").collect()
}

#[test]
fn every_default_rule_of_squawk_is_taken_or_left_out() {
    for rule in squawk_linter::Linter::with_default_rules().rules {
        let name = rule.to_string();
        assert_eq!(of_squawk().iter().filter(|one| one.rule == name).count(), 1, "{name}");
    }
}

/// Which of squawk's rules are asked, and why the others are not.
#[test]
fn what_is_left_out_has_a_reason() {
    let line = |one: &About| format!("{} {}: {}", if one.taken { "+" } else { "-" }, one.rule, one.summary);
    insta::assert_snapshot!(of_squawk().iter().map(line).collect::<Vec<_>>().join("\n"), @r"
    + adding-field-with-default: a new column whose default is computed for each row rewrites the table
    + adding-foreign-key-constraint: a foreign key that is checked at once keeps writes out of both tables
    + adding-not-nullable-field: SET NOT NULL reads the whole table while nobody else can
    + adding-required-field: a new NOT NULL column without a default fails where there are rows
    + adding-serial-primary-key-field: a primary key builds its index while nobody can use the table
    + ban-alter-domain-with-add-constraint: a domain's constraint reads every table that uses it
    + ban-alter-identity: changes where the values of a column come from
    + ban-char-field: CHAR pads with spaces
    + ban-create-domain-with-constraint: the constraint of a domain cannot be changed online later
    + ban-drop-column: a running application may still read or write it
    + ban-drop-constraint: what it kept out may come in
    + ban-drop-database: everything in it is lost
    + ban-drop-default: a running application may count on it
    + ban-drop-domain: a running application may still use it
    + ban-drop-extension: what it provides is gone
    + ban-drop-function: a running application may still call it
    + ban-drop-generated-expression: a running application may count on it
    + ban-drop-not-null: a running application may not expect NULL
    + ban-drop-schema: a running application may still use what is in it
    + ban-drop-sequence: a running application may still draw from it
    + ban-drop-table: a running application may still use it, and its rows are lost
    + ban-drop-type: a running application may still use it
    + ban-drop-view: a running application may still read it
    + ban-duplicate-column-assignments: an UPDATE sets one column twice, which PostgreSQL refuses
    + ban-set-schema: a running application looks for it where it was
    + ban-truncate-cascade: empties tables that the statement does not name
    + changing-column-type: rewrites the table, and a running application may expect the old type
    + constraint-missing-not-valid: a constraint that is checked at once reads the whole table under its lock
    + disallowed-unique-constraint: a unique constraint builds its index while nobody can use the table
    + identifier-too-long: PostgreSQL cuts names after 63 bytes
    + prefer-bigint-over-int: an INT ends at two billion, and to change it rewrites the table
    + prefer-bigint-over-smallint: a SMALLINT ends at 32,767, and to change it rewrites the table
    + prefer-identity: a serial column's sequence has privileges and an owner of its own
    + prefer-text-field: to change the length of a VARCHAR may rewrite the table
    + prefer-timestamp-tz: a TIMESTAMP without a zone is not an instant
    + renaming-column: a running application knows it by its old name
    + renaming-object: a running application knows it by its old name
    + renaming-table: a running application knows it by its old name
    + require-concurrent-index-deletion: a plain DROP INDEX waits for every query, and everybody behind it
    + require-concurrent-reindex: a plain REINDEX keeps writes out until it is done
    + require-enum-value-ordering: a new value of an enum says where it comes in the order
    + require-table-schema: a table without its schema is another one under another search_path
    - ban-concurrent-index-creation-in-transaction: a file with CONCURRENTLY is not run in a transaction
    - ban-uncommitted-transaction: a file does not begin transactions: transaction-control
    - prefer-repack: it says nothing before PostgreSQL 19, which has REPACK: table-rewrite does
    - prefer-robust-stmts: IF NOT EXISTS hides an invalid index; what was done is known from the journal
    - require-concurrent-index-creation: index-blocks-writes knows `-- omtdb: online` and partitioned tables
    - require-concurrent-partition-detach: partition-under-lock knows where CONCURRENTLY is wrong or refused
    - require-lock-timeout: every statement runs with a limit to lock waits that omtdb sets
    - require-statement-timeout: how long a statement may run is omtdb's to limit, not the file's
    - transaction-nesting: a file does not begin transactions: transaction-control
    - unused-ignore: no `-- squawk-ignore` holds here: directive
    ");
}

#[track_caller]
fn squawked(rule: &str, sql: &str) -> String {
    let linted = lint(&[file("V1__a.sql", 1, sql)], &Waivers::default(), Catalog::default());
    let own = linted.findings.iter().filter(|finding| finding.rule == rule);
    own.map(|finding| finding.render(false)).collect::<Vec<_>>().join("\n\n")
}

#[test]
fn squawks_findings_are_shown_as_ours() {
    let fk = "adding-foreign-key-constraint";
    let add = "ALTER TABLE a.b ADD CONSTRAINT k FOREIGN KEY (c) REFERENCES a.d (e)";
    insta::assert_snapshot!(squawked(fk, &format!("{add};")), @r"
    error[adding-foreign-key-constraint]: Adding a foreign key constraint requires a table scan and a `SHARE ROW EXCLUSIVE` lock on both tables, which blocks writes to each table.
     --> V1__a.sql:1:21
      |
    1 | ALTER TABLE a.b ADD CONSTRAINT k FOREIGN KEY (c) REFERENCES a.d (e);
      |                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: Add `NOT VALID` to the constraint in one transaction and then VALIDATE the constraint in a separate transaction.
    ");
    assert_eq!(squawked(fk, &format!("{add} NOT VALID;")), "");
    let required = "ALTER TABLE a.b ADD COLUMN c TEXT NOT NULL";
    insta::assert_snapshot!(squawked("adding-required-field", &format!("{required};")), @r"
    error[adding-required-field]: Adding a new column that is `NOT NULL` and has no default value to an existing table effectively makes it required.
     --> V1__a.sql:1:17
      |
    1 | ALTER TABLE a.b ADD COLUMN c TEXT NOT NULL;
      |                 ^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: Make the field nullable or add a non-VOLATILE DEFAULT
    ");
    assert_eq!(squawked("adding-required-field", &format!("{required} DEFAULT '';")), "");
    let volatile = "ALTER TABLE a.b ADD COLUMN c UUID DEFAULT gen_random_uuid();";
    insta::assert_snapshot!(squawked("adding-field-with-default", volatile), @r"
    error[adding-field-with-default]: Adding a generated column requires a table rewrite with an `ACCESS EXCLUSIVE` lock. In Postgres versions 11+, non-VOLATILE DEFAULTs can be added without a rewrite.
     --> V1__a.sql:1:43
      |
    1 | ALTER TABLE a.b ADD COLUMN c UUID DEFAULT gen_random_uuid();
      |                                           ^^^^^^^^^^^^^^^^^
      |
      = help: Add the column as nullable, backfill existing rows, and add a trigger to update the column on write instead.
    ");
    insta::assert_snapshot!(squawked("require-table-schema", "DROP TABLE b;"), @r"
    error[require-table-schema]: Table name is not schema-qualified. Use schema.table (e.g., public.my_table).
     --> V1__a.sql:1:12
      |
    1 | DROP TABLE b;
      |            ^
      |
      = help: a table without its schema is another one under another search_path
    ");
    assert_eq!(squawked("require-table-schema", "DROP TABLE a.b;"), "");
}

/// Squawk sees one file; what an earlier one has proven is known here.
#[test]
fn a_column_that_is_proven_to_be_not_null_is_not_read_again() {
    let rule = "adding-not-nullable-field";
    let found = |before: &str, set: &str| {
        let first = file("V1__a.sql", 1, &format!("CREATE TABLE a.b (c INT8, d INT8);{before}"));
        let files = [File { wanted: false, ..first }, file("V2__b.sql", 2, set)];
        let linted = lint(&files, &Waivers::default(), Catalog::default());
        linted.findings.iter().filter(|finding| finding.rule == rule).count()
    };
    let check = |condition: &str| format!("ALTER TABLE a.b ADD CONSTRAINT k CHECK ({condition}) NOT VALID;");
    let (validate, set) = ("ALTER TABLE a.b VALIDATE CONSTRAINT k;", "ALTER TABLE a.b ALTER c SET NOT NULL;");
    let proven = |condition: &str| found(&format!("{}{validate}", check(condition)), set);
    assert_eq!((proven("c IS NOT NULL"), proven("(d > 0) AND (c IS NOT NULL)")), (0, 0));
    assert_eq!((proven("c IS NOT NULL OR d IS NOT NULL"), proven("d IS NOT NULL")), (1, 1));
    assert_eq!((found("", set), found(&check("c IS NOT NULL"), set)), (1, 1));
    assert_eq!(
        found(
            &format!("{}{validate}", check("c IS NOT NULL")),
            &format!("ALTER TABLE a.b DROP CONSTRAINT k;{set}")
        ),
        1
    );
}

/// What squawk would have done concurrently is done online here, on partitioned tables too.
#[test]
fn online_is_an_answer_to_squawk() {
    let rule = "require-concurrent-index-deletion";
    insta::assert_snapshot!(squawked(rule, "DROP INDEX a.i;"), @r"
    error[require-concurrent-index-deletion]: A normal `DROP INDEX` acquires an `ACCESS EXCLUSIVE` lock on the table, blocking other accesses until the index drop can complete.
     --> V1__a.sql:1:1
      |
    1 | DROP INDEX a.i;
      | ^^^^^^^^^^^^^^^
      |
      = help: write `-- omtdb: online` on the line before it
    ");
    assert_eq!(squawked(rule, "-- omtdb: online\nDROP INDEX a.i;"), "");
    assert_eq!(squawked("require-concurrent-reindex", "-- omtdb: online\nREINDEX INDEX a.i;"), "");
}

/// What one file makes, the next one's rules know; a file that is only there for that has no findings.
#[test]
fn files_build_on_one_another() {
    let made = "CREATE TABLE a.t (id UUID) PARTITION BY HASH (id);";
    let index = "CREATE INDEX CONCURRENTLY i ON a.t (id);";
    let known = File { wanted: false, ..file("V1__a.sql", 1, made) };
    let linted = lint(&[known, file("V2__b.sql", 2, index)], &Waivers::default(), Catalog::default());
    let rules: Vec<&str> = linted.findings.iter().map(|finding| finding.rule.as_str()).collect();
    assert_eq!((linted.files, rules), (1, vec!["concurrently-on-partitioned"]));
}

/// A value that crosses threads: an async caller may hold it while it waits.
#[test]
fn results_cross_threads() {
    fn crosses<T: Send + Sync>() {}
    crosses::<(Linted, Catalog, Waivers)>();
    fn waits<T: Send>(_: &T) {}
    let _: fn(&crate::pg::Session) = |session| waits(&Catalog::read(session));
}
