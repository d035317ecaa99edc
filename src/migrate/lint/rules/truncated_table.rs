//! **truncated-table**: a TRUNCATE of a table that was there before the file. Its rows are gone, of which squawk says
//! something only with CASCADE; it takes ACCESS EXCLUSIVE, and is not MVCC-safe: a transaction with an older snapshot that
//! comes to the table later finds it empty.
//! See [TRUNCATE](https://www.postgresql.org/docs/current/sql-truncate.html).

use super::{Check, Here, Rule};
use crate::migrate::lint::ddl::What;
use crate::migrate::lint::finding::Finding;

pub(super) const NAME: &str = "truncated-table";
pub(super) const RULE: Rule = Rule {
    name: NAME,
    summary: "every row of a table in use is thrown away",
    check: Check::Statement(check),
};

const HELP: &str = "delete what is not needed by `-- omtdb: backfill`, or say why all may go: \
                    `-- omtdb: allow truncated-table: reason`";

fn check(here: &Here<'_>) -> Vec<Finding> {
    here.each(|change| match &change.what {
        What::Truncate(table) if !here.now.is_of_file(table, here.reading.at) => {
            let message = format!("every row of {table} is lost, under a lock that keeps everybody out");
            Some(here.reading.error(NAME, change.span.clone(), message, HELP))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::examples::found;
    use super::NAME;

    #[test]
    fn a_truncate_is_shown() {
        insta::assert_snapshot!(found(NAME, "TRUNCATE auth.tokens, ONLY auth.sessions;"), @r"
        error[truncated-table]: every row of auth.tokens is lost, under a lock that keeps everybody out
         --> V40__example.sql:1:10
          |
        1 | TRUNCATE auth.tokens, ONLY auth.sessions;
          |          ^^^^^^^^^^^
          |
          = help: delete what is not needed by `-- omtdb: backfill`, or say why all may go: `-- omtdb: allow truncated-table: reason`

        error[truncated-table]: every row of auth.sessions is lost, under a lock that keeps everybody out
         --> V40__example.sql:1:28
          |
        1 | TRUNCATE auth.tokens, ONLY auth.sessions;
          |                            ^^^^^^^^^^^^^
          |
          = help: delete what is not needed by `-- omtdb: backfill`, or say why all may go: `-- omtdb: allow truncated-table: reason`
        ");
    }

    #[test]
    fn new_tables_and_deletes_are_fine() {
        let new = "CREATE TABLE media.books (pages INT8);\nTRUNCATE media.books;\nDELETE FROM auth.tokens;";
        insta::assert_snapshot!(found(NAME, new), @"");
    }
}
