//! **table-rewrite**: a statement that writes a table that was there before the file anew, and holds ACCESS EXCLUSIVE on it
//! until that is done: nobody reads it meanwhile, and its size is on disk twice. A partitioned table's own tablespace,
//! access method and persistence are only what its next partitions get; `VACUUM FULL` and `CLUSTER` do all its partitions.
//! See [ALTER TABLE](https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES),
//! [VACUUM](https://www.postgresql.org/docs/current/sql-vacuum.html) and
//! [REFRESH](https://www.postgresql.org/docs/current/sql-refreshmaterializedview.html).

use super::{Check, Here, Rule};
use crate::migrate::lint::ddl::{Change, Rewrite, What};
use crate::migrate::lint::finding::Finding;
use crate::migrate::script::Name;

pub(super) const NAME: &str = "table-rewrite";
pub(super) const RULE: Rule = Rule {
    name: NAME,
    summary: "a table in use is written anew while nobody can read it",
    check: Check::Statement(check),
};

fn check(here: &Here<'_>) -> Vec<Finding> {
    here.each(|change| judge(here, change))
}

fn judge(here: &Here<'_>, change: &Change) -> Option<Finding> {
    let What::Rewrite { table, how } = &change.what else { return None };
    if table.as_ref().is_some_and(|table| !is_in_use(here, table, *how)) {
        return None;
    }
    let message = format!("{} until that is done", message(table.as_ref(), *how));
    Some(here.reading.error(NAME, change.span.clone(), message, help(*how)))
}

/// Whether there may be anything to write anew in `name`, a table or an index, and somebody to wait for it.
fn is_in_use(here: &Here<'_>, name: &Name, how: Rewrite) -> bool {
    let table = here.now.index(name).map_or(name, |index| &index.table);
    let for_partitions_to_come = here.now.divided(table).is_some()
        && !matches!(how, Rewrite::VacuumFull | Rewrite::Cluster | Rewrite::Refresh);
    let file = here.reading.at;
    !for_partitions_to_come && !here.now.is_of_file(table, file) && !here.now.is_empty(table, file)
}

fn message(table: Option<&Name>, how: Rewrite) -> String {
    match (table, how) {
        (Some(view), Rewrite::Refresh) => format!("{view} is made anew, and nobody reads it"),
        (Some(index), Rewrite::IndexTablespace) => {
            format!("{index} is copied, and nobody reads or writes what it is an index of")
        }
        (Some(table), _) => format!("{table} is written anew, and nobody reads or writes it"),
        (None, _) => "one table after another is written anew, and nobody reads or writes it".to_owned(),
    }
}

fn help(how: Rewrite) -> &'static str {
    match how {
        Rewrite::VacuumFull => {
            "a plain VACUUM makes room for new rows; pg_repack gives it back to the disk while the table is in use, an index `omtdb migrate index rebuild`"
        }
        Rewrite::Cluster => "pg_repack orders a table while it is in use, outside of migrations",
        Rewrite::Tablespace => {
            "pg_repack --tablespace moves a table while it is in use, outside of migrations"
        }
        Rewrite::IndexTablespace => {
            "make another index in that tablespace, `-- omtdb: online`, and drop this one in a later file"
        }
        Rewrite::Logged => {
            "make a new table, which is logged from the beginning, fill it by `-- omtdb: backfill`, and change over"
        }
        Rewrite::Unlogged => {
            "leave it logged: after a crash it would be empty, and on a standby it always is; what may be lost gets a table of its own"
        }
        Rewrite::AccessMethod => {
            "make a new table USING that method, fill it by `-- omtdb: backfill`, and change over"
        }
        Rewrite::Refresh => {
            "write REFRESH MATERIALIZED VIEW CONCURRENTLY, for which the view has a unique index"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::examples::found;
    use super::NAME;

    #[test]
    fn what_maintains_is_shown() {
        let sql = "-- omtdb: no-transaction\nVACUUM (FULL, ANALYZE) media.media;\nVACUUM FULL;";
        insta::assert_snapshot!(found(NAME, sql), @r"
        error[table-rewrite]: media.media is written anew, and nobody reads or writes it until that is done
         --> V40__example.sql:2:24
          |
        2 | VACUUM (FULL, ANALYZE) media.media;
          |                        ^^^^^^^^^^^
          |
          = help: a plain VACUUM makes room for new rows; pg_repack gives it back to the disk while the table is in use, an index `omtdb migrate index rebuild`

        error[table-rewrite]: one table after another is written anew, and nobody reads or writes it until that is done
         --> V40__example.sql:3:1
          |
        3 | VACUUM FULL;
          | ^^^^^^^^^^^
          |
          = help: a plain VACUUM makes room for new rows; pg_repack gives it back to the disk while the table is in use, an index `omtdb migrate index rebuild`
        ");
        insta::assert_snapshot!(found(NAME, "CLUSTER interaction.user_media USING user_media_pkey;"), @r"
        error[table-rewrite]: interaction.user_media is written anew, and nobody reads or writes it until that is done
         --> V40__example.sql:1:9
          |
        1 | CLUSTER interaction.user_media USING user_media_pkey;
          |         ^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: pg_repack orders a table while it is in use, outside of migrations
        ");
    }

    #[test]
    fn every_alter_that_writes_anew_is_shown() {
        let sql = "ALTER TABLE media.media ADD COLUMN pages INT8, SET TABLESPACE fast;\n\
                   ALTER TABLE auth.tokens SET UNLOGGED;\nALTER TABLE auth.tokens SET LOGGED;\n\
                   ALTER TABLE auth.tokens SET ACCESS METHOD columnar;\n\
                   ALTER INDEX auth.tokens_pkey SET TABLESPACE fast;\n\
                   ALTER TABLE ALL IN TABLESPACE slow SET TABLESPACE fast;";
        insta::assert_snapshot!(found(NAME, sql), @r"
        error[table-rewrite]: media.media is written anew, and nobody reads or writes it until that is done
         --> V40__example.sql:1:48
          |
        1 | ALTER TABLE media.media ADD COLUMN pages INT8, SET TABLESPACE fast;
          |                                                ^^^^^^^^^^^^^^^^^^^
          |
          = help: pg_repack --tablespace moves a table while it is in use, outside of migrations

        error[table-rewrite]: auth.tokens is written anew, and nobody reads or writes it until that is done
         --> V40__example.sql:2:25
          |
        2 | ALTER TABLE auth.tokens SET UNLOGGED;
          |                         ^^^^^^^^^^^^
          |
          = help: leave it logged: after a crash it would be empty, and on a standby it always is; what may be lost gets a table of its own

        error[table-rewrite]: auth.tokens is written anew, and nobody reads or writes it until that is done
         --> V40__example.sql:3:25
          |
        3 | ALTER TABLE auth.tokens SET LOGGED;
          |                         ^^^^^^^^^^
          |
          = help: make a new table, which is logged from the beginning, fill it by `-- omtdb: backfill`, and change over

        error[table-rewrite]: auth.tokens is written anew, and nobody reads or writes it until that is done
         --> V40__example.sql:4:25
          |
        4 | ALTER TABLE auth.tokens SET ACCESS METHOD columnar;
          |                         ^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: make a new table USING that method, fill it by `-- omtdb: backfill`, and change over

        error[table-rewrite]: auth.tokens_pkey is copied, and nobody reads or writes what it is an index of until that is done
         --> V40__example.sql:5:1
          |
        5 | ALTER INDEX auth.tokens_pkey SET TABLESPACE fast;
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: make another index in that tablespace, `-- omtdb: online`, and drop this one in a later file

        error[table-rewrite]: one table after another is written anew, and nobody reads or writes it until that is done
         --> V40__example.sql:6:1
          |
        6 | ALTER TABLE ALL IN TABLESPACE slow SET TABLESPACE fast;
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: pg_repack --tablespace moves a table while it is in use, outside of migrations
        ");
    }

    #[test]
    fn a_plain_refresh_is_shown() {
        insta::assert_snapshot!(found(NAME, "REFRESH MATERIALIZED VIEW media.popular;"), @r"
        error[table-rewrite]: media.popular is made anew, and nobody reads it until that is done
         --> V40__example.sql:1:27
          |
        1 | REFRESH MATERIALIZED VIEW media.popular;
          |                           ^^^^^^^^^^^^^
          |
          = help: write REFRESH MATERIALIZED VIEW CONCURRENTLY, for which the view has a unique index
        ");
    }

    #[test]
    fn new_tables_and_tables_without_files_are_fine() {
        let new = "CREATE TABLE media.books (pages INT8);\nALTER TABLE media.books SET UNLOGGED;\n\
                   CREATE MATERIALIZED VIEW media.popular AS SELECT 1 AS x WITH NO DATA;\n\
                   REFRESH MATERIALIZED VIEW media.popular;";
        insta::assert_snapshot!(found(NAME, new), @"");
        insta::assert_snapshot!(found(NAME, "ALTER TABLE interaction.user_media SET TABLESPACE fast;"), @"");
        insta::assert_snapshot!(found(NAME, "REFRESH MATERIALIZED VIEW CONCURRENTLY media.popular;"), @"");
        insta::assert_snapshot!(found(NAME, "-- omtdb: no-transaction\nVACUUM (FULL false) media.media;"), @"");
    }
}
