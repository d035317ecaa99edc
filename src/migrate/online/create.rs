//! How an index comes to be on a table in use: pure. From what there is follows what is next, whatever happened before;
//! carried out until nothing is left, it converges however often it is interrupted.
//!
//! On a partitioned table: a shell on the parent (`ON ONLY`, invalid until it is whole), an index on each leaf made
//! concurrently, each attached to the shell; with the last one the server declares the shell valid
//! (<https://www.postgresql.org/docs/current/ddl-partitioning.html>).

use std::collections::HashSet;

use super::standing::{Existing, Relation, Standing};
use crate::migrate::script::{Name, NewIndex};
use crate::pg::ident::{qualified, quoted};

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing: the index is there, valid, and whole.
    Nothing,
    /// These, in any order, before it is asked again.
    Steps(Vec<Task>),
}

/// One statement, and how it is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    /// Name of the step, within the statement: `build interaction.user_media_m16_r03_idx`.
    pub(super) step: String,
    /// One statement.
    pub(super) sql: String,
    /// Whether it runs concurrently, which others need not wait for and a transaction refuses.
    pub(super) concurrently: bool,
    /// The index that it is about.
    pub(super) index: Name,
    /// The table of an index that it makes; a failed build leaves its remains there.
    pub(super) makes_on: Option<u32>,
}

/// Why there is no way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error(
        "index {0} exists, and was not made by this migration\n  help: drop or rename it; if it is what the migration makes, `omtdb migrate baseline` adopts it"
    )]
    Taken(String),
    #[error(
        "index {0} is INVALID, and was not left by this migration\n  help: find out who builds it; when nobody does, DROP INDEX CONCURRENTLY {0}, and run again"
    )]
    ForeignRemains(String),
    #[error("{0} has leaves of its own; an online index is made on one level of leaves")]
    Deep(String),
    #[error(
        "every leaf's index is attached, and the server does not hold {0} for valid\n  help: REINDEX the leaf indexes that are INVALID, and run again"
    )]
    NotProven(String),
}

/// PostgreSQL cuts names off here, in bytes.
const LONGEST_NAME: usize = 63;

/// What is next for `index` on the table that stands so. `ours` holds the names of the steps that this migration has begun.
pub(super) fn next(index: &NewIndex, standing: &Standing, ours: &HashSet<String>) -> Result<Next, Refused> {
    if standing.table.divided {
        on_parent(index, standing, ours)
    } else {
        on_table(index, &standing.table, ours)
    }
}

/// Everything that is still to be done for `index`, in order, as far as it can be told before it is begun.
pub(super) fn outline(
    index: &NewIndex,
    standing: &Standing,
    ours: &HashSet<String>,
) -> Result<Vec<Task>, Refused> {
    let mut tasks = match next(index, standing, ours)? {
        Next::Nothing => return Ok(Vec::new()),
        Next::Steps(tasks) => tasks,
    };
    if !standing.table.divided {
        return Ok(tasks);
    }
    let parent = standing.table.index(&index.name).cloned();
    // Its definition is the server's to say; none is alike before there is one.
    let shell =
        Existing { oid: 0, name: index.name.clone(), valid: false, definition: String::new(), part_of: None };
    let parent = parent.unwrap_or(shell);
    for leaf in &standing.leaves {
        let attached = |one: &Existing| parent.oid != 0 && one.part_of == Some(parent.oid);
        let told = tasks.iter().any(|task| task.step.starts_with("attach ") && is_of(task, leaf));
        if leaf.indexes.iter().any(attached) || told {
            continue;
        }
        let name = leaf_index_name(&leaf.name, &index.name);
        let built = build(index, leaf, &name);
        if !tasks.contains(&built) && leaf.index(&name).is_none_or(|one| !one.valid) {
            tasks.push(built);
        }
        let index = Existing { name, ..parent.clone() };
        tasks.push(attach(&standing.table, &parent, leaf, &index));
    }
    Ok(tasks)
}

/// Whether the index that `task` attaches is one of `leaf`.
fn is_of(task: &Task, leaf: &Relation) -> bool {
    let index = task.step.strip_prefix(&format!("attach {}.", leaf.schema));
    index.is_some_and(|name| leaf.index(name).is_some())
}

fn on_table(index: &NewIndex, table: &Relation, ours: &HashSet<String>) -> Result<Next, Refused> {
    let built = build(index, table, &index.name);
    let Some(found) = table.index(&index.name) else { return Ok(Next::Steps(vec![built])) };
    let name = format!("{}.{}", table.schema, found.name);
    match (found.valid, ours.contains(&built.step)) {
        (true, true) => Ok(Next::Nothing),
        (true, false) => Err(Refused::Taken(name)),
        (false, true) => Ok(Next::Steps(vec![drop_remains(table, found)])),
        (false, false) => Err(Refused::ForeignRemains(name)),
    }
}

fn on_parent(index: &NewIndex, standing: &Standing, ours: &HashSet<String>) -> Result<Next, Refused> {
    let table = &standing.table;
    if let Some(deep) = standing.leaves.iter().find(|leaf| leaf.divided) {
        return Err(Refused::Deep(format!("{}.{}", deep.schema, deep.name)));
    }
    let shell = shell(index, table);
    let Some(parent) = table.index(&index.name) else { return Ok(Next::Steps(vec![shell])) };
    let name = format!("{}.{}", table.schema, parent.name);
    if !ours.contains(&shell.step) {
        return Err(Refused::Taken(name));
    }
    let mut tasks = Vec::new();
    for leaf in &standing.leaves {
        tasks.extend(on_leaf(index, parent, table, leaf, ours)?);
    }
    match (tasks.is_empty(), parent.valid) {
        (false, _) => Ok(Next::Steps(tasks)),
        (true, true) => Ok(Next::Nothing),
        (true, false) => Err(Refused::NotProven(name)),
    }
}

/// What is next for one leaf; nothing when it has its part. An index of the same definition that somebody made before is
/// taken, as the server itself takes one.
fn on_leaf(
    index: &NewIndex,
    parent: &Existing,
    table: &Relation,
    leaf: &Relation,
    ours: &HashSet<String>,
) -> Result<Option<Task>, Refused> {
    let alike = |one: &&Existing| one.definition == parent.definition;
    if leaf.indexes.iter().any(|one| one.part_of == Some(parent.oid)) {
        return Ok(None);
    }
    let free = leaf.indexes.iter().find(|one| one.valid && one.part_of.is_none() && alike(one));
    if let Some(free) = free {
        return Ok(Some(attach(table, parent, leaf, free)));
    }
    let name = leaf_index_name(&leaf.name, &index.name);
    let built = build(index, leaf, &name);
    match leaf.index(&name) {
        None => Ok(Some(built)),
        Some(remains) if ours.contains(&built.step) => Ok(Some(drop_remains(leaf, remains))),
        Some(foreign) if foreign.valid => Err(Refused::Taken(format!("{}.{name}", leaf.schema))),
        Some(_) => Err(Refused::ForeignRemains(format!("{}.{name}", leaf.schema))),
    }
}

fn shell(index: &NewIndex, table: &Relation) -> Task {
    let unique = if index.unique { "UNIQUE " } else { "" };
    Task {
        index: named(&table.schema, &index.name),
        makes_on: Some(table.oid),
        step: format!("shell {}.{}", table.schema, index.name),
        sql: format!(
            "CREATE {unique}INDEX {} ON ONLY {} {}",
            quoted(&index.name),
            qualified(&table.schema, &table.name),
            index.definition
        ),
        concurrently: false,
    }
}

fn build(index: &NewIndex, on: &Relation, name: &str) -> Task {
    let unique = if index.unique { "UNIQUE " } else { "" };
    Task {
        index: named(&on.schema, name),
        makes_on: Some(on.oid),
        step: format!("build {}.{name}", on.schema),
        sql: format!(
            "CREATE {unique}INDEX CONCURRENTLY {} ON {} {}",
            quoted(name),
            qualified(&on.schema, &on.name),
            index.definition
        ),
        concurrently: true,
    }
}

fn drop_remains(on: &Relation, index: &Existing) -> Task {
    Task {
        index: named(&on.schema, &index.name),
        makes_on: None,
        step: format!("clear {}.{}", on.schema, index.name),
        sql: format!("DROP INDEX CONCURRENTLY {}", qualified(&on.schema, &index.name)),
        concurrently: true,
    }
}

fn attach(table: &Relation, parent: &Existing, leaf: &Relation, index: &Existing) -> Task {
    Task {
        index: named(&leaf.schema, &index.name),
        makes_on: None,
        step: format!("attach {}.{}", leaf.schema, index.name),
        sql: format!(
            "ALTER INDEX {} ATTACH PARTITION {}",
            qualified(&table.schema, &parent.name),
            qualified(&leaf.schema, &index.name)
        ),
        concurrently: false,
    }
}

pub(super) fn named(schema: &str, name: &str) -> Name {
    Name { schema: Some(schema.to_owned()), name: name.to_owned() }
}

/// The name of the index of `leaf` under the partitioned index `index`: the same in every run, and never longer than
/// PostgreSQL keeps: then the end gives way to a digest of the whole.
pub(super) fn leaf_index_name(leaf: &str, index: &str) -> String {
    let whole = format!("{leaf}_{index}");
    if whole.len() <= LONGEST_NAME {
        return whole;
    }
    let digest = blake3::hash(whole.as_bytes()).to_hex();
    let mut end = LONGEST_NAME - 9;
    while !whole.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}_{}", &whole[..end], &digest.as_str()[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> NewIndex {
        NewIndex {
            name: "i".to_owned(),
            table: Name { schema: Some("s".to_owned()), name: "t".to_owned() },
            unique: false,
            definition: "(c)".to_owned(),
        }
    }

    fn relation(name: &str, divided: bool, indexes: Vec<Existing>) -> Relation {
        Relation { oid: 1, schema: "s".to_owned(), name: name.to_owned(), divided, indexes }
    }

    fn existing(oid: u32, name: &str, valid: bool, part_of: Option<u32>) -> Existing {
        Existing { oid, name: name.to_owned(), valid, definition: "btree (c)".to_owned(), part_of }
    }

    fn steps(standing: &Standing, ours: &[&str]) -> Result<Vec<String>, Refused> {
        let ours = ours.iter().map(|&one| one.to_owned()).collect();
        Ok(match next(&index(), standing, &ours)? {
            Next::Nothing => Vec::new(),
            Next::Steps(tasks) => tasks.into_iter().map(|task| task.step).collect(),
        })
    }

    fn plain(indexes: Vec<Existing>) -> Standing {
        Standing { table: relation("t", false, indexes), leaves: Vec::new() }
    }

    fn divided(own: Vec<Existing>, leaves: Vec<Vec<Existing>>) -> Standing {
        let leaf = |(at, indexes)| relation(&format!("l{at}"), false, indexes);
        Standing {
            table: relation("t", true, own),
            leaves: leaves.into_iter().enumerate().map(leaf).collect(),
        }
    }

    #[test]
    fn a_plain_table_gets_one_build() {
        assert_eq!(steps(&plain(vec![]), &[]).unwrap(), ["build s.i"]);
        let valid = plain(vec![existing(2, "i", true, None)]);
        assert!(steps(&valid, &["build s.i"]).unwrap().is_empty());
        assert!(matches!(steps(&valid, &[]), Err(Refused::Taken(_))));
        let remains = plain(vec![existing(2, "i", false, None)]);
        assert_eq!(steps(&remains, &["build s.i"]).unwrap(), ["clear s.i"]);
        assert!(matches!(steps(&remains, &[]), Err(Refused::ForeignRemains(_))));
    }

    #[test]
    fn a_partitioned_table_gets_shell_builds_and_attachments() {
        let shell = || vec![existing(9, "i", false, None)];
        assert_eq!(steps(&divided(vec![], vec![vec![]]), &[]).unwrap(), ["shell s.i"]);
        let built = existing(2, "l0_i", true, None);
        let leaves = || vec![vec![built.clone()], vec![], vec![existing(3, "l2_i", false, None)]];
        let ours = ["shell s.i", "build s.l0_i", "build s.l2_i"];
        assert_eq!(
            steps(&divided(shell(), leaves()), &ours).unwrap(),
            ["attach s.l0_i", "build s.l1_i", "clear s.l2_i"]
        );
        assert!(matches!(steps(&divided(shell(), leaves()), &ours[..2]), Err(Refused::ForeignRemains(_))));
        assert!(matches!(steps(&divided(shell(), leaves()), &ours[1..]), Err(Refused::Taken(_))));
        let whole = |valid| {
            divided(vec![existing(9, "i", valid, None)], vec![vec![existing(2, "l0_i", true, Some(9))]])
        };
        assert!(steps(&whole(true), &ours).unwrap().is_empty());
        assert!(matches!(steps(&whole(false), &ours), Err(Refused::NotProven(_))));
    }

    #[test]
    fn an_outline_tells_what_is_left_from_shell_to_attachment() {
        let outline = |standing: &Standing, ours: &[&str]| {
            let ours = ours.iter().map(|&one| one.to_owned()).collect();
            let tasks = outline(&index(), standing, &ours).unwrap();
            tasks.into_iter().map(|task| task.step).collect::<Vec<_>>()
        };
        let all = ["shell s.i", "build s.l0_i", "attach s.l0_i", "build s.l1_i", "attach s.l1_i"];
        assert_eq!(outline(&divided(vec![], vec![vec![], vec![]]), &[]), all);
        let half = divided(
            vec![existing(9, "i", false, None)],
            vec![vec![existing(2, "l0_i", true, Some(9))], vec![], vec![existing(3, "l2_i", true, None)]],
        );
        let ours = ["shell s.i", "build s.l0_i", "build s.l2_i"];
        assert_eq!(outline(&half, &ours), ["build s.l1_i", "attach s.l2_i", "attach s.l1_i"]);
        assert_eq!(outline(&plain(vec![]), &[]), ["build s.i"]);
    }

    #[test]
    fn an_index_alike_is_taken() {
        let standing =
            divided(vec![existing(9, "i", false, None)], vec![vec![existing(2, "older", true, None)]]);
        assert_eq!(steps(&standing, &["shell s.i"]).unwrap(), ["attach s.older"]);
    }

    #[test]
    fn names_of_leaf_indexes_fit() {
        assert_eq!(leaf_index_name("user_media_m16_r03", "idx"), "user_media_m16_r03_idx");
        let long = leaf_index_name(&"ü".repeat(30), &"x".repeat(30));
        assert!(long.len() <= LONGEST_NAME && long.len() > LONGEST_NAME - 3, "{long}");
        assert_ne!(long, leaf_index_name(&"ü".repeat(30), &"x".repeat(31)));
    }
}
