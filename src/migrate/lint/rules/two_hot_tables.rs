//! **two-hot-tables**: a file whose statements run together locks two busy tables against writers (SHARE or stronger). It
//! holds the first lock while it waits for the second, and both until it commits: a transaction of the application that
//! takes them the other way round is a deadlock, and every other one waits for both.
//! See [deadlocks](https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-DEADLOCKS).

use super::{Check, Ended, Rule};
use crate::migrate::lint::finding::Finding;
use crate::migrate::script::{LockMode, Name};

pub(super) const NAME: &str = "two-hot-tables";
pub(super) const RULE: Rule = Rule {
    name: NAME,
    summary: "one transaction locks two busy tables against writers",
    check: Check::File(check),
};

const HELP: &str =
    "divide the file: one busy table a migration. A foreign key can be added afterwards, NOT VALID";

fn check(ended: &Ended<'_>) -> Vec<Finding> {
    if !ended.reading.is_together() {
        return Vec::new();
    }
    let mut held: Option<&Name> = None;
    for (statement, said) in ended.reading.statements() {
        for lock in statement.locks.iter().filter(|lock| lock.mode >= LockMode::Share) {
            let Some(table) = ended.hot(&lock.object) else { continue };
            match held {
                Some(first) if first != table => {
                    let mode = lock.mode;
                    let message =
                        format!("{mode} on {table} while {first} is locked too, both until the file is done");
                    return vec![ended.reading.error(NAME, said.span.clone(), message, HELP)];
                }
                _ => held = Some(table),
            }
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::super::examples::found;
    use super::NAME;

    #[test]
    fn two_busy_tables_are_shown() {
        let sql = "ALTER TABLE users.users ADD COLUMN locale TEXT;\n\
                   ALTER TABLE interaction.user_media_m16_r03 ADD COLUMN locale TEXT;";
        insta::assert_snapshot!(found(NAME, sql), @r"
        error[two-hot-tables]: ACCESS EXCLUSIVE on interaction.user_media while users.users is locked too, both until the file is done
         --> V40__example.sql:2:1
          |
        2 | ALTER TABLE interaction.user_media_m16_r03 ADD COLUMN locale TEXT;
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: divide the file: one busy table a migration. A foreign key can be added afterwards, NOT VALID
        ");
    }

    #[test]
    fn one_busy_table_is_fine() {
        let sql = "ALTER TABLE users.users ADD COLUMN locale TEXT;\nCREATE INDEX i ON users.users (locale);\n\
                   ALTER TABLE auth.tokens ADD COLUMN locale TEXT;";
        insta::assert_snapshot!(found(NAME, sql), @"");
    }
}
