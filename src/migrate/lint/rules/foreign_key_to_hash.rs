//! **foreign-key-to-hash-partitioned**: a foreign key that refers to a table divided by hash. No leaf of that table can be
//! detached any more while it is referred to (`23503`), so it can never be split online; and every delete there asks the
//! referring table.
//! See `RI_PartitionRemove_Check` in PostgreSQL's `ri_triggers.c`.

use super::{Check, Here, Rule};
use crate::migrate::lint::ddl::{Change, Constraint, What};
use crate::migrate::lint::finding::Finding;
use crate::migrate::script::Name;

pub(super) const NAME: &str = "foreign-key-to-hash-partitioned";
pub(super) const RULE: Rule = Rule {
    name: NAME,
    summary: "a foreign key to a table divided by hash keeps its leaves from ever being split",
    check: Check::Statement(check),
};

const HELP: &str = "refer to what both tables refer to (the user, the medium), or keep the key without a constraint and \
                    look for orphans";

fn check(here: &Here<'_>) -> Vec<Finding> {
    here.changes()
        .flat_map(|change| referred(&change.what).map(move |to| (change, to)))
        .filter_map(|(change, to)| judge(here, change, to))
        .collect()
}

/// The tables that a change refers to.
fn referred(what: &What) -> impl Iterator<Item = &Name> {
    let constraints = match what {
        What::CreateTable(table) => table.constraints.as_slice(),
        What::AddConstraint { constraint, .. } => std::slice::from_ref(constraint),
        _ => &[],
    };
    constraints.iter().filter_map(|constraint| match constraint {
        Constraint::Reference { to, .. } => Some(to),
        _ => None,
    })
}

fn judge(here: &Here<'_>, change: &Change, to: &Name) -> Option<Finding> {
    let root = here.now.root(to);
    if !here.now.is_hash(root) {
        return None;
    }
    let message = format!("no leaf of {root} can be detached while this foreign key refers to it");
    Some(here.reading.error(NAME, change.span.clone(), message, HELP))
}

#[cfg(test)]
mod tests {
    use super::super::examples::found;
    use super::NAME;

    #[test]
    fn a_reference_is_shown() {
        let sql = "CREATE TABLE interaction.reviews (\n    user_id UUID,\n    media_id UUID,\n    \
                   FOREIGN KEY (user_id, media_id) REFERENCES interaction.user_media (user_id, media_id)\n);";
        insta::assert_snapshot!(found(NAME, sql), @r"
        error[foreign-key-to-hash-partitioned]: no leaf of interaction.user_media can be detached while this foreign key refers to it
         --> V40__example.sql:1:1
          |
        1 | CREATE TABLE interaction.reviews (
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: refer to what both tables refer to (the user, the medium), or keep the key without a constraint and look for orphans
        ");
    }

    #[test]
    fn a_reference_to_the_user_is_fine() {
        let sql = "CREATE TABLE interaction.reviews (user_id UUID REFERENCES users.users (id));";
        insta::assert_snapshot!(found(NAME, sql), @"");
    }
}
