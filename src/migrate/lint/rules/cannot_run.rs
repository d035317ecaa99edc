//! **cannot-run**: a statement that lacks what it needs where omtdb runs it: rows for `COPY FROM STDIN`, values for `$1`, or a
//! setting that an earlier statement made, which is gone when a later run goes on after that.

use super::{Check, Rule, syntax};
use crate::migrate::lint::finding::Finding;
use crate::migrate::lint::reading::Reading;
use crate::migrate::script::Fault;

pub(super) const NAME: &str = "cannot-run";
pub(super) const RULE: Rule = Rule {
    name: NAME,
    summary: "a statement lacks its rows, its values, or the session it counts on",
    check: Check::Read(check),
};

fn check(reading: &Reading<'_>) -> Vec<Finding> {
    syntax::refused(reading, Fault::Lacking, NAME)
}

#[cfg(test)]
mod tests {
    use super::super::examples::found;
    use super::NAME;

    #[test]
    fn rows_that_are_nowhere_are_shown() {
        insta::assert_snapshot!(found(NAME, "COPY media.media FROM STDIN;"), @r"
        error[cannot-run]: COPY FROM STDIN has no data here
         --> V40__example.sql:1:1
          |
        1 | COPY media.media FROM STDIN;
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: write an INSERT, or load data by `omtdb generate`
        ");
    }

    #[test]
    fn values_and_settings_are_shown() {
        insta::assert_snapshot!(found(NAME, "DELETE FROM auth.tokens WHERE id = $1;"), @r"
        error[cannot-run]: a statement without a directive has no parameters
         --> V40__example.sql:1:1
          |
        1 | DELETE FROM auth.tokens WHERE id = $1;
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: write `-- omtdb: backfill TABLE by KEY` before it, or values
        ");
        let sql = "-- omtdb: no-transaction\nSET work_mem = '1GB';\nVACUUM auth.tokens;";
        insta::assert_snapshot!(found(NAME, sql), @r"
        error[cannot-run]: a setting of the session would be gone when a later run continues after it
         --> V40__example.sql:2:1
          |
        2 | SET work_mem = '1GB';
          | ^^^^^^^^^^^^^^^^^^^^^
          |
          = help: take it out: lock and statement limits are omtdb's to set
        ");
    }

    #[test]
    fn rows_in_the_file_are_fine() {
        insta::assert_snapshot!(found(NAME, "INSERT INTO media.books VALUES (1);"), @"");
    }
}
