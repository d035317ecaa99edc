//! **rows-at-once**: an UPDATE, DELETE, MERGE or INSERT … SELECT over a table that was there before the file, in one
//! transaction. Every row that it changes stays locked until the last one is done, dead rows come all at once, VACUUM cleans up
//! nowhere meanwhile, and what fails near the end begins anew. A busy table makes it an error. Without a server, which tells
//! sizes, any other is worth a warning; what literal values of a unique key pick is not.
//! See [routine vacuuming](https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-SPACE-RECOVERY) and
//! [row-level locks](https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-ROWS).

use super::{Check, Here, Rule};
use crate::migrate::lint::ddl::{Change, Rows, What, Which};
use crate::migrate::lint::finding::Finding;
use crate::migrate::script::{Form, Name};

pub(super) const NAME: &str = "rows-at-once";
pub(super) const RULE: Rule = Rule {
    name: NAME,
    summary: "the rows of a table in use are changed or copied in one transaction",
    check: Check::Statement(check),
};

fn check(here: &Here<'_>) -> Vec<Finding> {
    if here.statement.form != Form::Plain {
        return Vec::new();
    }
    here.each(|change| judge(here, change))
}

fn judge(here: &Here<'_>, change: &Change) -> Option<Finding> {
    let What::Write(rows) = &change.what else { return None };
    let (table, message) = match &rows.which {
        Which::Given => return None,
        Which::There { pinned } => changed(here, rows, pinned)?,
        Which::Found(sources) => copied(here, rows, sources)?,
    };
    let key = here.now.key_of(table).unwrap_or("KEY");
    let help = format!(
        "write `-- omtdb: backfill {table} by {key}` on the line before it, and `{key} BETWEEN $1 AND $2` into it"
    );
    let span = change.span.clone();
    if is_hot(here, table) || is_hot(here, &rows.table) {
        return Some(here.reading.error(NAME, span, message, help));
    }
    (!here.now.is_live()).then(|| here.reading.warning(NAME, span, message, help))
}

fn changed<'a>(here: &Here<'_>, rows: &'a Rows, pinned: &[String]) -> Option<(&'a Name, String)> {
    let table = &rows.table;
    if !has_rows(here, table) || here.now.is_one_row(table, pinned) {
        return None;
    }
    let message =
        format!("the rows of {table} that it changes stay locked until all are, and leave as many dead ones");
    Some((table, message))
}

/// What is copied, and from where; a name that is none of a table is one of a `WITH`.
fn copied<'a>(here: &Here<'_>, rows: &Rows, sources: &'a [Name]) -> Option<(&'a Name, String)> {
    let known = |table: &&Name| here.now.table(table).is_some() && has_rows(here, table);
    let mut sources = sources.iter().filter(known);
    let first = sources.next()?;
    let source = std::iter::once(first).chain(sources).find(|table| is_hot(here, table)).unwrap_or(first);
    let message = format!(
        "rows of {source} are copied into {} in one transaction, and VACUUM cleans up nowhere until it ends",
        rows.table
    );
    Some((source, message))
}

fn has_rows(here: &Here<'_>, table: &Name) -> bool {
    let file = here.reading.at;
    !here.now.is_of_file(table, file) && !here.now.is_empty(table, file)
}

fn is_hot(here: &Here<'_>, table: &Name) -> bool {
    has_rows(here, table) && here.now.is_hot(here.now.root(table))
}

#[cfg(test)]
mod tests {
    use super::super::examples::found;
    use super::NAME;

    #[test]
    fn changes_of_many_rows_are_shown() {
        let sql = "UPDATE media.media SET title = trim(title);\n\
                   DELETE FROM interaction.user_media_m16_r03 WHERE rating IS NULL;\n\
                   DELETE FROM auth.tokens WHERE expires_at < now();\n\
                   DO $$ BEGIN UPDATE users.users SET role = 'user'; END $$;";
        insta::assert_snapshot!(found(NAME, sql), @r"
        error[rows-at-once]: the rows of media.media that it changes stay locked until all are, and leave as many dead ones
         --> V40__example.sql:1:1
          |
        1 | UPDATE media.media SET title = trim(title);
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: write `-- omtdb: backfill media.media by id` on the line before it, and `id BETWEEN $1 AND $2` into it

        error[rows-at-once]: the rows of interaction.user_media_m16_r03 that it changes stay locked until all are, and leave as many dead ones
         --> V40__example.sql:2:1
          |
        2 | DELETE FROM interaction.user_media_m16_r03 WHERE rating IS NULL;
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: write `-- omtdb: backfill interaction.user_media_m16_r03 by KEY` on the line before it, and `KEY BETWEEN $1 AND $2` into it

        warning[rows-at-once]: the rows of auth.tokens that it changes stay locked until all are, and leave as many dead ones
         --> V40__example.sql:3:1
          |
        3 | DELETE FROM auth.tokens WHERE expires_at < now();
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: write `-- omtdb: backfill auth.tokens by id` on the line before it, and `id BETWEEN $1 AND $2` into it

        error[rows-at-once]: the rows of users.users that it changes stay locked until all are, and leave as many dead ones
         --> V40__example.sql:4:13
          |
        4 | DO $$ BEGIN UPDATE users.users SET role = 'user'; END $$;
          |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: write `-- omtdb: backfill users.users by id` on the line before it, and `id BETWEEN $1 AND $2` into it
        ");
    }

    #[test]
    fn copies_of_many_rows_are_shown() {
        let sql = "CREATE TABLE media.books (media_id UUID);\n\
                   INSERT INTO media.books SELECT id FROM media.media WHERE type = 'book';\n\
                   WITH gone AS (DELETE FROM auth.tokens RETURNING user_id)\n\
                   INSERT INTO auth.sessions (user_id) SELECT user_id FROM gone;";
        insta::assert_snapshot!(found(NAME, sql), @r"
        error[rows-at-once]: rows of media.media are copied into media.books in one transaction, and VACUUM cleans up nowhere until it ends
         --> V40__example.sql:2:1
          |
        2 | INSERT INTO media.books SELECT id FROM media.media WHERE type = 'book';
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: write `-- omtdb: backfill media.media by id` on the line before it, and `id BETWEEN $1 AND $2` into it

        warning[rows-at-once]: the rows of auth.tokens that it changes stay locked until all are, and leave as many dead ones
         --> V40__example.sql:3:15
          |
        3 | WITH gone AS (DELETE FROM auth.tokens RETURNING user_id)
          |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: write `-- omtdb: backfill auth.tokens by id` on the line before it, and `id BETWEEN $1 AND $2` into it
        ");
    }

    #[test]
    fn backfills_and_single_rows_are_fine() {
        let backfill = "-- omtdb: backfill media.media by id\n\
                        UPDATE media.media SET title = trim(title) WHERE id BETWEEN $1 AND $2;";
        insta::assert_snapshot!(found(NAME, backfill), @"");
        let some = "UPDATE users.users SET role = 'admin' WHERE id IN ('00000000-0000-0000-0000-000000000001');\n\
                    INSERT INTO users.users (email) VALUES ('a');\n\
                    CREATE TABLE media.books (pages INT8);\nINSERT INTO media.books SELECT generate_series(1, 9);\n\
                    UPDATE media.books SET pages = 1;";
        insta::assert_snapshot!(found(NAME, some), @"");
    }
}
