//! **transaction-control**: a file begins or ends a transaction. The runner keeps a file's statements and its row of the
//! history in one; a `COMMIT` inside would keep the statements without the row. Blocks of procedural code cannot end the
//! transaction of others either: PostgreSQL refuses it (`2D000`, invalid transaction termination), and a procedure that
//! does it can be called from no file. A statement that runs by itself is in one transaction with the note that it is done.
//! See [transaction management](https://www.postgresql.org/docs/current/plpgsql-transactions.html).

use super::{Check, Here, Rule, syntax};
use crate::migrate::lint::ddl::What;
use crate::migrate::lint::finding::Finding;
use crate::migrate::lint::reading::Reading;
use crate::migrate::script::Fault;

pub(super) const NAME: &str = "transaction-control";
pub(super) const RULE: Rule =
    Rule { name: NAME, summary: "a file begins or ends a transaction", check: Check::Both(of_file, check) };

const HELP: &str = "take COMMIT and ROLLBACK out: what is to be kept part by part is a \
                    `-- omtdb: backfill`, or several files";

/// BEGIN, COMMIT and their like as statements of the file.
fn of_file(reading: &Reading<'_>) -> Vec<Finding> {
    syntax::refused(reading, Fault::Transaction, NAME)
}

fn check(here: &Here<'_>) -> Vec<Finding> {
    here.each(|change| match &change.what {
        What::EndsTransaction => {
            let message = "the block ends a transaction that is not its own, which PostgreSQL refuses";
            Some(here.reading.error(NAME, change.span.clone(), message, HELP))
        }
        What::Call(procedure) => {
            let message =
                format!("if {procedure} commits, PostgreSQL refuses it in a transaction that is not its own");
            Some(here.reading.warning(NAME, change.span.clone(), message, HELP))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::examples::found;
    use super::NAME;

    #[test]
    fn begin_is_shown() {
        insta::assert_snapshot!(found(NAME, "BEGIN;\nCREATE TABLE media.books ();\nCOMMIT;"), @r"
        error[transaction-control]: a migration does not begin or end transactions: its statements and its row of the history are one
         --> V40__example.sql:1:1
          |
        1 | BEGIN;
          | ^^^^^^
          |
          = help: take BEGIN, COMMIT, ROLLBACK and SAVEPOINT out of the file
        ");
    }

    #[test]
    fn a_block_that_commits_is_shown() {
        let sql = "DO $$\nBEGIN\n    DELETE FROM auth.tokens;\n    COMMIT;\nEND\n$$;\nCALL auth.sweep();";
        insta::assert_snapshot!(found(NAME, sql), @r"
        error[transaction-control]: the block ends a transaction that is not its own, which PostgreSQL refuses
         --> V40__example.sql:4:5
          |
        4 |     COMMIT;
          |     ^^^^^^^
          |
          = help: take COMMIT and ROLLBACK out: what is to be kept part by part is a `-- omtdb: backfill`, or several files

        warning[transaction-control]: if auth.sweep commits, PostgreSQL refuses it in a transaction that is not its own
         --> V40__example.sql:7:1
          |
        7 | CALL auth.sweep();
          | ^^^^^^^^^^^^^^^^^
          |
          = help: take COMMIT and ROLLBACK out: what is to be kept part by part is a `-- omtdb: backfill`, or several files
        ");
    }

    #[test]
    fn a_block_by_itself_is_no_different() {
        let sql = "-- omtdb: no-transaction\nDO $$ BEGIN DELETE FROM auth.tokens; COMMIT; END $$;";
        insta::assert_snapshot!(found(NAME, sql), @r"
        error[transaction-control]: the block ends a transaction that is not its own, which PostgreSQL refuses
         --> V40__example.sql:2:38
          |
        2 | DO $$ BEGIN DELETE FROM auth.tokens; COMMIT; END $$;
          |                                      ^^^^^^^
          |
          = help: take COMMIT and ROLLBACK out: what is to be kept part by part is a `-- omtdb: backfill`, or several files
        ");
    }

    #[test]
    fn a_block_that_speaks_of_it_is_fine() {
        insta::assert_snapshot!(found(NAME, "DO $$ BEGIN RAISE NOTICE 'COMMIT;'; END $$;"), @"");
    }
}
