//! **concurrently-on-partitioned**: `CREATE INDEX CONCURRENTLY` and `DROP INDEX CONCURRENTLY` of a partitioned table, which
//! PostgreSQL refuses (`0A000`). An index is made on the table alone, on each partition concurrently, and the parts are
//! attached: that is what `-- omtdb: online` does.
//! See [CREATE INDEX](https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY).

use super::{Check, Here, Rule};
use crate::migrate::lint::ddl::{Change, What};
use crate::migrate::lint::finding::Finding;
use crate::migrate::script::Name;

pub(super) const NAME: &str = "concurrently-on-partitioned";
pub(super) const RULE: Rule = Rule {
    name: NAME,
    summary: "CONCURRENTLY is refused for an index of a partitioned table",
    check: Check::Statement(check),
};

const MAKE: &str = "write `-- omtdb: online` on the line before it, and leave CONCURRENTLY out: each leaf gets its \
                    index concurrently, and then the table";
const DROP: &str = "write `-- omtdb: online` on the line before it, and leave CONCURRENTLY out";

fn check(here: &Here<'_>) -> Vec<Finding> {
    here.each(|change| judge(here, change))
}

fn judge(here: &Here<'_>, change: &Change) -> Option<Finding> {
    let (table, what, help): (&Name, _, _) = match &change.what {
        What::CreateIndex(index) if index.concurrently => (&index.table, "builds no index", MAKE),
        What::DropIndex { index, concurrently: true } => {
            (&here.now.index(index)?.table, "drops no index", DROP)
        }
        _ => return None,
    };
    here.now.divided(table)?;
    let message = format!("{table} is partitioned: PostgreSQL {what} of it concurrently");
    Some(here.reading.error(NAME, change.span.clone(), message, help))
}

#[cfg(test)]
mod tests {
    use super::super::examples::found;
    use super::NAME;

    #[test]
    fn concurrently_is_shown() {
        let sql = "CREATE INDEX CONCURRENTLY i ON interaction.user_media (rating);\n\
                   DROP INDEX CONCURRENTLY interaction.idx_user_media_status;";
        insta::assert_snapshot!(found(NAME, sql), @r"
        error[concurrently-on-partitioned]: interaction.user_media is partitioned: PostgreSQL builds no index of it concurrently
         --> V40__example.sql:1:1
          |
        1 | CREATE INDEX CONCURRENTLY i ON interaction.user_media (rating);
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: write `-- omtdb: online` on the line before it, and leave CONCURRENTLY out: each leaf gets its index concurrently, and then the table

        error[concurrently-on-partitioned]: interaction.user_media is partitioned: PostgreSQL drops no index of it concurrently
         --> V40__example.sql:2:25
          |
        2 | DROP INDEX CONCURRENTLY interaction.idx_user_media_status;
          |                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: write `-- omtdb: online` on the line before it, and leave CONCURRENTLY out
        ");
    }

    #[test]
    fn online_is_fine() {
        let sql = "-- omtdb: online\nCREATE INDEX i ON interaction.user_media (rating);";
        insta::assert_snapshot!(found(NAME, sql), @"");
    }
}
