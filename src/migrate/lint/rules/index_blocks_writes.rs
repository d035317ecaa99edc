//! **index-blocks-writes**: a plain `CREATE INDEX` on a table that was there before the file and may have rows. It takes SHARE on the table
//! until it is done, so every write waits; on a partitioned table it takes SHARE on every leaf at once. In a file whose
//! statements run together the lock stays until the last of them.
//! See [building indexes concurrently](https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY).

use super::{Check, Here, Rule};
use crate::migrate::lint::ddl::{Change, What};
use crate::migrate::lint::finding::Finding;
use crate::migrate::script::Form;

pub(super) const NAME: &str = "index-blocks-writes";
pub(super) const RULE: Rule = Rule {
    name: NAME,
    summary: "a plain CREATE INDEX keeps writes out of a table that is in use",
    check: Check::Statement(check),
};

const HELP: &str = "write `-- omtdb: online` on the line before it";

fn check(here: &Here<'_>) -> Vec<Finding> {
    if here.statement.form != Form::Plain {
        return Vec::new();
    }
    here.each(|change| judge(here, change))
}

fn judge(here: &Here<'_>, change: &Change) -> Option<Finding> {
    let What::CreateIndex(index) = &change.what else { return None };
    let table = &index.table;
    let file = here.reading.at;
    if index.concurrently || here.now.is_of_file(table, file) || here.now.is_empty(table, file) {
        return None;
    }
    let message = match here.now.divided(table) {
        // Only the table's own entry in the catalog.
        Some(_) if index.only => return None,
        Some(_) => {
            let leaves = here.now.partitions(table).count();
            format!("the build keeps writes out of {table} and all its {leaves} partitions until it is done")
        }
        None => format!("the build keeps writes out of {table} until it is done"),
    };
    Some(here.reading.error(NAME, change.span.clone(), message, HELP))
}

#[cfg(test)]
mod tests {
    use super::super::examples::found;
    use super::NAME;

    #[test]
    fn a_plain_build_is_shown() {
        let sql =
            "CREATE INDEX i ON interaction.user_media (rating);\nCREATE INDEX j ON media.media (cover_url);";
        insta::assert_snapshot!(found(NAME, sql), @r"
        error[index-blocks-writes]: the build keeps writes out of interaction.user_media and all its 16 partitions until it is done
         --> V40__example.sql:1:1
          |
        1 | CREATE INDEX i ON interaction.user_media (rating);
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: write `-- omtdb: online` on the line before it

        error[index-blocks-writes]: the build keeps writes out of media.media until it is done
         --> V40__example.sql:2:1
          |
        2 | CREATE INDEX j ON media.media (cover_url);
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: write `-- omtdb: online` on the line before it
        ");
    }

    #[test]
    fn online_and_new_tables_are_fine() {
        let online = "-- omtdb: online\nCREATE INDEX i ON interaction.user_media (rating);";
        insta::assert_snapshot!(found(NAME, online), @"");
        let new = "CREATE TABLE media.books (pages INT8);\nCREATE INDEX i ON media.books (pages);";
        insta::assert_snapshot!(found(NAME, new), @"");
    }
}
