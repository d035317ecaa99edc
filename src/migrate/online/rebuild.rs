//! How an index is rebuilt under load: pure. `REINDEX INDEX CONCURRENTLY`, leaf by leaf; what a killed one leaves behind is
//! an invalid index of a name that PostgreSQL makes of the index's own
//! (<https://www.postgresql.org/docs/current/sql-reindex.html#SQL-REINDEX-CONCURRENTLY>).

use std::collections::HashMap;

use super::create::{Task, named};
use super::standing::{Existing, Relation, Standing};
use crate::pg::ident::qualified;

/// What is left to do for the index `name` of the table that stands so. `begun` holds the steps that were begun, and
/// whether they are done.
pub(super) fn next(name: &str, standing: &Standing, begun: &HashMap<String, bool>) -> Vec<Task> {
    let parts = parts(name, standing);
    let remains = clears(&parts, begun);
    if remains.is_empty() { rebuilds(&parts, begun) } else { remains }
}

/// All that is left to do, in order.
pub(super) fn all(name: &str, standing: &Standing, begun: &HashMap<String, bool>) -> Vec<Task> {
    let parts = parts(name, standing);
    clears(&parts, begun).into_iter().chain(rebuilds(&parts, begun)).collect()
}

fn clears(parts: &[(&Relation, &Existing)], begun: &HashMap<String, bool>) -> Vec<Task> {
    let ours = parts.iter().filter(|(on, index)| is_half_done(on, index, begun));
    ours.flat_map(|(on, index)| remains(on, index).map(|one| clear(on, one))).collect()
}

fn rebuilds(parts: &[(&Relation, &Existing)], begun: &HashMap<String, bool>) -> Vec<Task> {
    let rebuilds = parts.iter().map(|(on, index)| Task {
        index: named(&on.schema, &index.name),
        makes_on: None,
        step: step(on, index),
        sql: format!("REINDEX INDEX CONCURRENTLY {}", qualified(&on.schema, &index.name)),
        concurrently: true,
    });
    rebuilds.filter(|task| begun.get(&task.step) != Some(&true)).collect()
}

/// Invalid indexes that a rebuild has left which is not ours, by name: whose it is, is for people to find out.
pub(super) fn left(name: &str, standing: &Standing, begun: &HashMap<String, bool>) -> Vec<String> {
    let parts = parts(name, standing);
    let foreign = parts.iter().filter(|(on, index)| !is_half_done(on, index, begun));
    let named = |(on, index): &(&Relation, &Existing)| {
        remains(on, index).map(|one| format!("{}.{}", on.schema, one.name)).collect::<Vec<_>>()
    };
    foreign.flat_map(named).collect()
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

/// Whether a rebuild of ours was begun and not ended: one that ended has cleared up after itself.
fn is_half_done(on: &Relation, index: &Existing, begun: &HashMap<String, bool>) -> bool {
    begun.get(&step(on, index)) == Some(&false)
}

/// What an earlier rebuild of `index` has left on its table.
fn remains<'a>(on: &'a Relation, index: &Existing) -> impl Iterator<Item = &'a Existing> {
    on.indexes.iter().filter(move |one| !one.valid && is_remains(&one.name, &index.name))
}

fn clear(on: &Relation, remains: &Existing) -> Task {
    Task {
        index: named(&on.schema, &remains.name),
        makes_on: None,
        step: format!("clear {}.{}", on.schema, remains.name),
        sql: format!("DROP INDEX CONCURRENTLY {}", qualified(&on.schema, &remains.name)),
        concurrently: true,
    }
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
        assert_eq!(left("i", &standing, &HashMap::new()), ["s.i_ccnew"]);
        let done = HashMap::from([("rebuild s.i".to_owned(), true)]);
        assert_eq!(
            (steps(&standing, &[("rebuild s.i", true)]).len(), left("i", &standing, &done).len()),
            (0, 1)
        );
        let ours = HashMap::from([("rebuild s.i".to_owned(), false)]);
        assert_eq!(left("i", &standing, &ours), [""; 0]);
        let planned: Vec<String> = all("i", &standing, &ours).into_iter().map(|task| task.step).collect();
        assert_eq!(planned, ["clear s.i_ccnew", "rebuild s.i"]);
        assert!(is_remains("i_ccold12", "i") && !is_remains("other_ccnew", "i") && !is_remains("i_cc", "i"));
    }
}
