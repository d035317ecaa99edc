//! How an index is rebuilt under load: pure. `REINDEX INDEX CONCURRENTLY`, leaf by leaf; what a killed one leaves behind is
//! an invalid index of a name that PostgreSQL makes of the index's own
//! (<https://www.postgresql.org/docs/current/sql-reindex.html#SQL-REINDEX-CONCURRENTLY>).

use std::collections::{HashMap, HashSet};

use super::create::Task;
use super::standing::{Existing, Relation, Standing};
use crate::pg::ident::qualified;

/// What is left to do for the index `name` of the table that stands so. `begun` holds the steps that were begun, and
/// whether they are done.
pub(super) fn next(name: &str, standing: &Standing, begun: &HashMap<String, bool>) -> Vec<Task> {
    let parts = parts(name, standing);
    let remains: Vec<Task> =
        parts.iter().flat_map(|(on, index)| remains(on, index, begun.keys().collect())).collect();
    if !remains.is_empty() {
        return remains;
    }
    let rebuilds = parts.iter().map(|(on, index)| Task {
        step: step(on, index),
        sql: format!("REINDEX INDEX CONCURRENTLY {}", qualified(&on.schema, &index.name)),
        concurrently: true,
    });
    rebuilds.filter(|task| begun.get(&task.step) != Some(&true)).collect()
}

/// Parts of the index that are invalid, by name.
pub(super) fn invalid(name: &str, standing: &Standing) -> Vec<String> {
    let parts = parts(name, standing);
    let broken = parts.iter().filter(|(_, index)| !index.valid);
    broken.map(|(on, index)| format!("{}.{}", on.schema, index.name)).collect()
}

/// The index itself, or what is attached to it where it is a partitioned one.
fn parts<'a>(name: &str, standing: &'a Standing) -> Vec<(&'a Relation, &'a Existing)> {
    let Some(index) = standing.table.index(name) else { return Vec::new() };
    if !standing.table.divided {
        return vec![(&standing.table, index)];
    }
    let of = |leaf: &'a Relation| {
        leaf.indexes.iter().filter(|one| one.part_of == Some(index.oid)).map(move |one| (leaf, one))
    };
    standing.leaves.iter().flat_map(of).collect()
}

fn step(on: &Relation, index: &Existing) -> String {
    format!("rebuild {}.{}", on.schema, index.name)
}

/// What an earlier rebuild of `index` that we began has left on its table.
fn remains(on: &Relation, index: &Existing, begun: HashSet<&String>) -> Vec<Task> {
    if !begun.contains(&step(on, index)) {
        return Vec::new();
    }
    let left = on.indexes.iter().filter(|one| !one.valid && is_remains(&one.name, &index.name));
    let clear = |one: &Existing| Task {
        step: format!("clear {}.{}", on.schema, one.name),
        sql: format!("DROP INDEX CONCURRENTLY {}", qualified(&on.schema, &one.name)),
        concurrently: true,
    };
    left.map(clear).collect()
}

/// `index_ccnew`, `index_ccold1`, …; PostgreSQL shortens the index's name where that would be too long.
fn is_remains(name: &str, index: &str) -> bool {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let own = stem.strip_suffix("_ccnew").or_else(|| stem.strip_suffix("_ccold"));
    own.is_some_and(|own| own == index || (own.len() + "_ccnew".len() >= 60 && index.starts_with(own)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn existing(oid: u32, name: &str, valid: bool, part_of: Option<u32>) -> Existing {
        Existing { oid, name: name.to_owned(), valid, definition: "btree (c)".to_owned(), part_of }
    }

    fn relation(name: &str, divided: bool, indexes: Vec<Existing>) -> Relation {
        Relation { oid: 1, schema: "s".to_owned(), name: name.to_owned(), divided, indexes }
    }

    fn steps(standing: &Standing, begun: &[(&str, bool)]) -> Vec<String> {
        let begun = begun.iter().map(|&(step, done)| (step.to_owned(), done)).collect();
        next("i", standing, &begun).into_iter().map(|task| task.step).collect()
    }

    #[test]
    fn leaves_are_rebuilt_one_by_one_and_only_once() {
        let leaf = |at: u32| {
            relation(&format!("l{at}"), false, vec![existing(at, &format!("l{at}_i"), true, Some(9))])
        };
        let standing = Standing {
            table: relation("t", true, vec![existing(9, "i", true, None)]),
            leaves: vec![leaf(1), leaf(2)],
        };
        assert_eq!(steps(&standing, &[]), ["rebuild s.l1_i", "rebuild s.l2_i"]);
        assert_eq!(
            steps(&standing, &[("rebuild s.l1_i", true), ("rebuild s.l2_i", false)]),
            ["rebuild s.l2_i"]
        );
    }

    #[test]
    fn own_remains_go_first_and_foreign_ones_stay() {
        let table =
            relation("t", false, vec![existing(2, "i", true, None), existing(3, "i_ccnew", false, None)]);
        let standing = Standing { table, leaves: Vec::new() };
        assert_eq!(steps(&standing, &[("rebuild s.i", false)]), ["clear s.i_ccnew"]);
        assert_eq!(steps(&standing, &[]), ["rebuild s.i"]);
        assert!(is_remains("i_ccold12", "i") && !is_remains("other_ccnew", "i") && !is_remains("i_cc", "i"));
    }
}
