//! **long-after-lock**: a file whose statements run together reads or writes a busy table from end to end after it has
//! locked a table against everybody. A lock is held until the transaction ends, so what would have been a moment for that
//! table's users is as long as the reading takes.
//! See [explicit locking](https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES).

use super::{Check, Ended, Rule};
use crate::migrate::lint::ddl::{Change, Constraint, What, Which};
use crate::migrate::lint::finding::Finding;
use crate::migrate::script::{LockMode, Name, Statement};

pub(super) const NAME: &str = "long-after-lock";
pub(super) const RULE: Rule = Rule {
    name: NAME,
    summary: "a table stays locked against everybody while the same transaction reads a busy one",
    check: Check::File(check),
};

const HELP: &str = "divide the file: what takes long comes in a file of its own";

fn check(ended: &Ended<'_>) -> Vec<Finding> {
    if !ended.reading.is_together() {
        return Vec::new();
    }
    let mut held: Option<&Name> = None;
    let mut found = Vec::new();
    for (statement, said) in ended.reading.statements() {
        let long = || said.changes.iter().find_map(|change| Some((change, whole(ended, change)?)));
        if let Some((locked, (change, table))) = held.and_then(|locked| Some((locked, long()?))) {
            let message = format!(
                "{locked} stays locked against everybody while {table} is gone through from end to end"
            );
            found.push(ended.reading.warning(NAME, change.span.clone(), message, HELP));
        }
        held = held.or_else(|| locked(ended, statement));
    }
    found
}

/// A table that `statement` locks against everybody.
fn locked<'a>(ended: &Ended<'a>, statement: &'a Statement) -> Option<&'a Name> {
    let mut strongest = statement.locks.iter().filter(|lock| lock.mode == LockMode::AccessExclusive);
    strongest.find_map(|lock| {
        let table = ended.in_use(&lock.object)?;
        (!ended.before.is_empty(table, ended.reading.at)).then_some(table)
    })
}

/// Whether every row is read when `constraint` is added.
fn is_checked_at_once(constraint: &Constraint) -> bool {
    match constraint {
        Constraint::Key { index, .. } => index.is_none(),
        Constraint::Check { valid, .. } | Constraint::Reference { valid, .. } => *valid,
    }
}

/// The busy table that `change` reads or writes from end to end.
fn whole<'a>(ended: &Ended<'a>, change: &'a Change) -> Option<&'a Name> {
    match &change.what {
        What::Validate { table, .. } => ended.hot(table),
        What::CreateIndex(index) if !index.only => ended.hot(&index.table),
        What::AddConstraint { table, constraint } if is_checked_at_once(constraint) => ended.hot(table),
        What::SetNull { table, column, nullable: false } if !ended.before.is_not_null(table, column) => {
            ended.hot(table)
        }
        What::Read(tables) => tables.iter().find_map(|table| ended.hot(table)),
        What::Write(rows) => match &rows.which {
            Which::Given => None,
            Which::Found(sources) => sources.iter().find_map(|table| ended.hot(table)),
            Which::There { pinned } if ended.before.is_one_row(&rows.table, pinned) => None,
            Which::There { .. } => ended.hot(&rows.table),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::examples::found;
    use super::NAME;

    #[test]
    fn what_takes_long_after_a_lock_is_shown() {
        let sql = "ALTER TABLE auth.tokens ADD COLUMN note TEXT;\n\
                   ALTER TABLE users.users VALIDATE CONSTRAINT later;\n\
                   UPDATE auth.tokens SET note = '';\n\
                   UPDATE users.users SET role = 'user';\n\
                   CREATE TABLE media.books AS SELECT id FROM media.media;";
        insta::assert_snapshot!(found(NAME, sql), @r"
        warning[long-after-lock]: auth.tokens stays locked against everybody while users.users is gone through from end to end
         --> V40__example.sql:2:25
          |
        2 | ALTER TABLE users.users VALIDATE CONSTRAINT later;
          |                         ^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: divide the file: what takes long comes in a file of its own

        warning[long-after-lock]: auth.tokens stays locked against everybody while users.users is gone through from end to end
         --> V40__example.sql:4:1
          |
        4 | UPDATE users.users SET role = 'user';
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: divide the file: what takes long comes in a file of its own

        warning[long-after-lock]: auth.tokens stays locked against everybody while media.media is gone through from end to end
         --> V40__example.sql:5:1
          |
        5 | CREATE TABLE media.books AS SELECT id FROM media.media;
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: divide the file: what takes long comes in a file of its own
        ");
    }

    #[test]
    fn what_takes_long_before_it_or_by_itself_is_fine() {
        let before = "CREATE TABLE media.books AS SELECT id FROM media.media;\n\
                      ALTER TABLE media.books ADD COLUMN pages INT8;\nSELECT count(*) FROM media.media;\n\
                      ALTER TABLE auth.tokens ADD COLUMN note TEXT;\n\
                      UPDATE users.users SET role = 'admin' WHERE id = '00000000-0000-0000-0000-000000000001';\n\
                      ALTER TABLE users.users ADD CONSTRAINT c CHECK (role <> '') NOT VALID;";
        insta::assert_snapshot!(found(NAME, before), @"");
        let stepwise = "-- omtdb: no-transaction\nALTER TABLE auth.tokens ADD COLUMN note TEXT;\n\
                        ALTER TABLE users.users VALIDATE CONSTRAINT later;";
        insta::assert_snapshot!(found(NAME, stepwise), @"");
        let new = "CREATE TABLE books ();\nALTER TABLE books ADD COLUMN pages INT8;\nSELECT count(*) FROM media.media;";
        insta::assert_snapshot!(found(NAME, new), @"");
    }
}
