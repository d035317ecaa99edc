//! **mixed-transaction**: a file holds statements that PostgreSQL refuses in a transaction beside some that it does not.
//! Neither way of running it is right: in one transaction the first kind fails, one by one the second kind is left half
//! done when a later one fails.
//! See [`PreventInTransactionBlock`](https://doxygen.postgresql.org/xact_8c.html).

use super::{Check, Rule, syntax};
use crate::migrate::lint::finding::Finding;
use crate::migrate::lint::reading::Reading;
use crate::migrate::script::Fault;

pub(super) const NAME: &str = "mixed-transaction";
pub(super) const RULE: Rule = Rule {
    name: NAME,
    summary: "a file mixes statements that run in a transaction with some that cannot",
    check: Check::Read(check),
};

fn check(reading: &Reading<'_>) -> Vec<Finding> {
    syntax::refused(reading, Fault::Mixed, NAME)
}

#[cfg(test)]
mod tests {
    use super::super::examples::found;
    use super::NAME;

    #[test]
    fn a_mixed_file_is_shown() {
        let sql = "ALTER TABLE media.media ADD COLUMN pages INT8;\n\
                   CREATE INDEX CONCURRENTLY i ON media.media (pages);";
        insta::assert_snapshot!(found(NAME, sql), @r"
        error[mixed-transaction]: the statement of line 2 cannot run in a transaction and that of line 1 can: a file is one or the other
         --> V40__example.sql:2:1
          |
        2 | CREATE INDEX CONCURRENTLY i ON media.media (pages);
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: divide the file: what is left half done is then never more than one kind of work
        ");
    }

    #[test]
    fn one_kind_is_fine() {
        insta::assert_snapshot!(found(NAME, "CREATE INDEX CONCURRENTLY i ON media.media (cover_url);"), @"");
    }
}
