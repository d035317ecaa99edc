//! **hash-bounds**: leaves of hashes that PostgreSQL refuses together, or that leave hashes without a leaf at the end of a
//! file. Each modulus must divide the next greater one (`42P17`); and a row whose hash no leaf takes cannot be written. In a
//! file with a `DO` block, which may make leaves, nothing is said of leaves that are missing.
//! See [CREATE TABLE](https://www.postgresql.org/docs/current/sql-createtable.html#SQL-CREATETABLE-PARTITION).

use super::{Check, Ended, Rule};
use crate::migrate::lint::ddl::{Bound, Change, Said, What};
use crate::migrate::lint::finding::Finding;
use crate::migrate::script::Name;
use crate::partition::bound::{HashBound, gaps};

pub(super) const NAME: &str = "hash-bounds";
pub(super) const RULE: Rule = Rule {
    name: NAME,
    summary: "hashes without a leaf at the end of a file, or moduli that do not divide one another",
    check: Check::File(check),
};

fn check(ended: &Ended<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    let mut seen: Vec<&Name> = Vec::new();
    // Latest first: the last statement about a table is the one that leaves it so.
    for (said, change, table) in ended.reading.said.iter().flat_map(|said| touched(ended, said)).rev() {
        if !seen.contains(&table) {
            seen.push(table);
            found.extend(judge(ended, said, change, table));
        }
    }
    found.reverse();
    found
}

/// The tables divided by hash whose leaves `said` makes, attaches, detaches or drops.
fn touched<'a>(
    ended: &Ended<'a>,
    said: &'a Said,
) -> impl DoubleEndedIterator<Item = (&'a Said, &'a Change, &'a Name)> {
    let (before, after) = (ended.before, ended.after);
    said.changes.iter().filter_map(move |change| {
        let table = match &change.what {
            What::CreateTable(table) => table.parent.as_ref().map_or(&table.name, |(parent, _)| parent),
            What::Attach { parent, bound: Bound::Hash(_), .. } | What::Detach { parent, .. } => parent,
            What::DropTable(leaf) => &before.table(leaf)?.parent.as_ref()?.0,
            _ => return None,
        };
        after.is_hash(table).then_some((said, change, table))
    })
}

fn judge(ended: &Ended<'_>, said: &Said, change: &Change, table: &Name) -> Option<Finding> {
    let leaves = ended.after.hashes(table);
    let (message, help) = if let Some((smaller, greater)) = unfit(&leaves) {
        let message =
            format!("leaves of {table} have the moduli {smaller} and {greater}: one must divide the other");
        (message, "split a leaf by a multiple of its modulus".to_owned())
    } else {
        let open = if ended.reading.said.iter().any(Said::is_block) { Vec::new() } else { gaps(&leaves) };
        let first = open.first()?;
        let more = match open.len() {
            1 => String::new(),
            count => format!(", nor those of {} more bounds", count - 1),
        };
        let HashBound { modulus, remainder } = first;
        let message =
            format!("no leaf of {table} takes the hashes of modulus {modulus}, remainder {remainder}{more}");
        (
            message,
            format!("add PARTITION OF {table} FOR VALUES WITH (MODULUS {modulus}, REMAINDER {remainder})"),
        )
    };
    // A table without leaves is told at the statement that makes it.
    let span = if change.span == said.span { said.span.clone() } else { change.span.clone() };
    Some(ended.reading.error(NAME, span, message, help))
}

/// Two moduli of which the smaller does not divide the greater.
fn unfit(leaves: &[HashBound]) -> Option<(u64, u64)> {
    let mut moduli: Vec<u64> = leaves.iter().map(|leaf| leaf.modulus).collect();
    moduli.sort_unstable();
    moduli.dedup();
    moduli
        .windows(2)
        .map(|pair| (pair[0], pair[1]))
        .find(|(smaller, greater)| !greater.is_multiple_of(*smaller))
}

#[cfg(test)]
mod tests {
    use super::super::examples::{DIVIDED, found};
    use super::NAME;

    #[test]
    fn a_gap_is_shown() {
        let sql = "ALTER TABLE interaction.user_media DETACH PARTITION interaction.user_media_m16_r03;\n\
                   CREATE TABLE interaction.user_media_m32_r03 PARTITION OF interaction.user_media\n\
                   FOR VALUES WITH (MODULUS 32, REMAINDER 3);";
        insta::assert_snapshot!(found(NAME, sql), @r"
        error[hash-bounds]: no leaf of interaction.user_media takes the hashes of modulus 32, remainder 19
         --> V40__example.sql:2:1
          |
        2 | CREATE TABLE interaction.user_media_m32_r03 PARTITION OF interaction.user_media
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: add PARTITION OF interaction.user_media FOR VALUES WITH (MODULUS 32, REMAINDER 19)
        ");
    }

    #[test]
    fn moduli_that_do_not_divide_are_shown() {
        let sql = "ALTER TABLE t.notes DETACH PARTITION t.notes_m2_r1;\n\
                   CREATE TABLE t.notes_m3_r1 PARTITION OF t.notes FOR VALUES WITH (MODULUS 3, REMAINDER 1);";
        insta::assert_snapshot!(found(NAME, &format!("{DIVIDED}{sql}")), @r"
        error[hash-bounds]: leaves of t.notes have the moduli 2 and 3: one must divide the other
         --> V40__example.sql:5:1
          |
        5 | CREATE TABLE t.notes_m3_r1 PARTITION OF t.notes FOR VALUES WITH (MODULUS 3, REMAINDER 1);
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: split a leaf by a multiple of its modulus
        ");
    }

    #[test]
    fn a_whole_set_is_fine() {
        insta::assert_snapshot!(found(NAME, DIVIDED), @"");
        let block = "CREATE TABLE t.made (id UUID) PARTITION BY HASH (id);\nDO $$ BEGIN PERFORM 1; END $$;";
        insta::assert_snapshot!(found(NAME, block), @"");
        let split = "ALTER TABLE t.notes DETACH PARTITION t.notes_m2_r1;\n\
                     CREATE TABLE t.notes_m4_r1 PARTITION OF t.notes FOR VALUES WITH (MODULUS 4, REMAINDER 1);\n\
                     CREATE TABLE t.notes_m4_r3 PARTITION OF t.notes FOR VALUES WITH (MODULUS 4, REMAINDER 3);";
        insta::assert_snapshot!(found(NAME, &format!("{DIVIDED}{split}")), @"");
    }
}
