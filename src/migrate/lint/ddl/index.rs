//! Indexes as statements make, change and attach them.

use std::ops::Range;

use squawk_syntax::{SyntaxKind as K, SyntaxNode};

use super::{Doubt, Rewrite, What, doubt, full, named, rewrite, span, spelling};
use crate::migrate::script::{Name, tree};

/// An index that a statement makes.
#[derive(Debug, Clone)]
pub(in crate::migrate::lint) struct NewIndex {
    /// Its name; where the statement gives none, one like PostgreSQL's.
    pub(in crate::migrate::lint) name: Name,
    /// Its table.
    pub(in crate::migrate::lint) table: Name,
    pub(in crate::migrate::lint) unique: bool,
    pub(in crate::migrate::lint) concurrently: bool,
    /// Whether it is made without its parts.
    pub(in crate::migrate::lint) only: bool,
    /// The bytes of `IF NOT EXISTS`.
    pub(in crate::migrate::lint) if_not_exists: Option<Range<usize>>,
    /// What it orders by.
    pub(in crate::migrate::lint) keys: Vec<Key>,
    /// Method, keys and predicate, spelled one way.
    pub(in crate::migrate::lint) shape: String,
    /// What in its expressions and predicate may not be IMMUTABLE.
    pub(in crate::migrate::lint) doubts: Vec<Doubt>,
}

/// A key of an index: a column, or an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::migrate::lint) enum Key {
    Column(String),
    Expression,
}

pub(super) fn created(node: &SyntaxNode) -> Option<NewIndex> {
    let relation = tree::find(node, K::TABLE_RELATION_NAME)?;
    let table = full(tree::name(&relation)?);
    let items = node.children().find(|one| one.kind() == K::PARTITION_ITEM_LIST)?;
    let keys: Vec<Key> = items.children().filter_map(|item| key(&item)).collect();
    let name = tree::find(node, K::INDEX).and_then(|one| tree::name(&one)).map(|one| one.name);
    let name = name.unwrap_or_else(|| default_name(&table.name, &keys));
    let mut doubts = doubt::of(&items);
    doubts
        .extend(node.children().filter(|one| one.kind() == K::WHERE_CLAUSE).flat_map(|one| doubt::of(&one)));
    Some(NewIndex {
        name: Name { schema: table.schema.clone(), name },
        table,
        unique: tree::says(node, K::UNIQUE_KW),
        concurrently: tree::says(node, K::CONCURRENTLY_KW),
        only: tree::says(&relation, K::ONLY_KW),
        if_not_exists: tree::find(node, K::IF_NOT_EXISTS).map(|one| span(&one)),
        keys,
        shape: shape(node),
        doubts,
    })
}

fn key(item: &SyntaxNode) -> Option<Key> {
    let expression = item.children().next()?;
    let column = expression.kind() == K::NAME_REF;
    Some(if column { Key::Column(spelling::key(&expression)) } else { Key::Expression })
}

/// As PostgreSQL names an index that nobody named.
fn default_name(table: &str, keys: &[Key]) -> String {
    let words = keys.iter().map(|key| match key {
        Key::Column(name) => name.as_str(),
        Key::Expression => "expr",
    });
    format!("{table}_{}_idx", words.collect::<Vec<_>>().join("_"))
}

/// Everything that two indexes must have in common for one to be a part of the other.
fn shape(node: &SyntaxNode) -> String {
    const KEPT: [K; 5] = [
        K::USING_METHOD,
        K::PARTITION_ITEM_LIST,
        K::INDEX_INCLUDE_CLAUSE,
        K::NULLS_NOT_DISTINCT,
        K::WHERE_CLAUSE,
    ];
    let parts = node.children().filter(|one| KEPT.contains(&one.kind())).map(|one| spelling::of(&one));
    let parts: Vec<String> = parts.filter(|part| part != "using btree").collect();
    parts.join(" ")
}

/// The shape of the index of a key constraint over `columns`.
pub(in crate::migrate::lint) fn shape_of_key(columns: &[String]) -> String {
    format!("({})", columns.join(","))
}

pub(super) fn altered(node: &SyntaxNode) -> Option<What> {
    let Some(index) = named(node, K::INDEX_REF) else { return rewrite::moved(node) };
    if tree::find(node, K::SET_TABLESPACE).is_some() {
        return Some(What::Rewrite { table: Some(index), how: Rewrite::IndexTablespace });
    }
    if let Some(part) = tree::find(node, K::ATTACH_INDEX_PARTITION) {
        return Some(What::AttachIndex { index, part: named(&part, K::INDEX_REF)? });
    }
    let to = tree::find(node, K::INDEX_RENAME_TO)?;
    Some(What::RenameIndex { index, to: tree::name(&to)?.name })
}
