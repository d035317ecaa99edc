//! What is known of a database while its migrations are read: nothing at first, or what a live database has; then what
//! each statement makes of it.

mod follow;
mod live;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::ddl::{Bound, PartitionBy, Strategy};
use crate::migrate::script::Name;
use crate::partition::bound::HashBound;

/// The tables and indexes that are known.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// Whether it began with a live database: then what it does not know is not there.
    live: bool,
    tables: BTreeMap<Name, Table>,
    indexes: BTreeMap<Name, Index>,
}

/// A place in a run: the file's number, and the bytes in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) file: usize,
    pub(super) span: Range<usize>,
}

/// A table.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    /// Types of its columns.
    pub(super) columns: BTreeMap<String, String>,
    pub(super) not_null: BTreeSet<String>,
    /// How it is divided.
    pub(super) divided: Option<PartitionBy>,
    /// The table that it is a partition of, and which rows it takes.
    pub(super) parent: Option<(Name, Bound)>,
    pub(super) checks: Vec<Check>,
    /// Rows and bytes, where a server told; of a divided table, without its partitions.
    pub(super) size: Option<Size>,
    /// The statement that made it, where that is in this run.
    pub(super) made: Option<Origin>,
    /// Whether this run writes rows into it.
    pub(super) written: bool,
}

impl Table {
    fn is_empty(&self, live: bool, file: usize) -> bool {
        match (&self.made, self.size) {
            _ if self.written => false,
            (Some(made), _) => live || made.file == file,
            (None, Some(size)) => size.bytes == 0 || size.rows == 0.0 && size.bytes <= SMALL_BYTES,
            (None, None) => false,
        }
    }
}

/// A CHECK.
#[derive(Debug, Clone)]
pub(super) struct Check {
    pub(super) name: Option<String>,
    /// Its expression, spelled one way.
    pub(super) text: String,
    pub(super) valid: bool,
    /// The columns that are not null where it holds.
    pub(super) not_null: Vec<String>,
}

/// How much a table holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Size {
    /// The planner's estimate; below zero where it has none.
    pub(super) rows: f64,
    pub(super) bytes: i64,
}

/// An index.
#[derive(Debug, Clone)]
pub(super) struct Index {
    pub(super) table: Name,
    /// Method, keys and predicate, spelled one way.
    pub(super) shape: String,
    pub(super) unique: bool,
    /// Whether it serves a key constraint.
    pub(super) constraint: bool,
    /// Whether it was made without its parts.
    pub(super) only: bool,
    /// Partitions whose part of it is attached; a part that nobody knows counts under the index's own name.
    pub(super) parts: BTreeSet<Name>,
    /// The statement that made it, where that is in this run.
    pub(super) made: Option<Origin>,
}

/// Bytes up to which a table is believed that had no rows when the server last counted.
const SMALL_BYTES: i64 = 1 << 20;
/// Rows from which a table counts as hot.
const HOT_ROWS: f64 = 100_000.0;
/// Bytes from which a table counts as hot.
const HOT_BYTES: i64 = 64 << 20;
/// The plan's largest tables, which stand for the hot ones where no server tells sizes.
const LARGEST: [(&str, &str); 9] = [
    ("auth", "login_events"),
    ("auth", "sessions"),
    ("interaction", "list_items"),
    ("interaction", "user_lists"),
    ("interaction", "user_media"),
    ("media", "external_links"),
    ("media", "media"),
    ("media", "relationships"),
    ("users", "users"),
];

impl Catalog {
    /// Whether it began with a live database.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live
    }

    pub(super) fn table(&self, name: &Name) -> Option<&Table> {
        self.tables.get(name)
    }

    pub(super) fn index(&self, name: &Name) -> Option<&Index> {
        self.indexes.get(name)
    }

    pub(super) fn indexes(&self) -> impl Iterator<Item = (&Name, &Index)> {
        self.indexes.iter()
    }

    /// The columns of each unique key of `table` that is one of columns alone; its primary key first.
    fn keys<'a>(&'a self, table: &'a Name) -> impl Iterator<Item = Vec<&'a str>> {
        let is_own = move |index: &Index| index.unique && index.table == *table;
        let mut own: Vec<(&Name, &Index)> = self.indexes.iter().filter(|(_, index)| is_own(index)).collect();
        own.sort_by_key(|(name, _)| !name.name.ends_with("_pkey"));
        own.into_iter().filter_map(|(_, index)| {
            let columns: Vec<&str> = index.shape.strip_prefix('(')?.strip_suffix(')')?.split(',').collect();
            let plain = |column: &&str| column.chars().all(|c| c.is_alphanumeric() || c == '_');
            columns.iter().all(plain).then_some(columns)
        })
    }

    /// The column by which `table` can be walked over, key by key.
    pub(super) fn key_of<'a>(&'a self, table: &'a Name) -> Option<&'a str> {
        let not_null = &self.tables.get(table)?.not_null;
        self.keys(table).find_map(|key| match key.as_slice() {
            [column] if not_null.contains(*column) => Some(*column),
            _ => None,
        })
    }

    /// Whether values of `columns` say which row of `table` is meant.
    pub(super) fn is_one_row(&self, table: &Name, columns: &[String]) -> bool {
        self.keys(table).any(|key| key.iter().all(|column| columns.iter().any(|one| one == column)))
    }

    /// How `table` is divided; `None` for one that is not, or is not known.
    pub(super) fn divided(&self, table: &Name) -> Option<&PartitionBy> {
        self.tables.get(table)?.divided.as_ref()
    }

    pub(super) fn is_hash(&self, table: &Name) -> bool {
        self.divided(table).is_some_and(|by| by.strategy == Strategy::Hash)
    }

    /// The partitions of `table`, with their bounds.
    pub(super) fn partitions<'a>(&'a self, table: &'a Name) -> impl Iterator<Item = (&'a Name, &'a Bound)> {
        self.tables.iter().filter_map(move |(name, one)| {
            let (parent, bound) = one.parent.as_ref()?;
            (parent == table).then_some((name, bound))
        })
    }

    /// The bounds of the partitions of `table` that are of hashes.
    pub(super) fn hashes(&self, table: &Name) -> Vec<HashBound> {
        let bounds = self.partitions(table).filter_map(|(_, bound)| match bound {
            Bound::Hash(bound) => Some(*bound),
            _ => None,
        });
        bounds.collect()
    }

    /// The partition of `table` that takes what no other takes.
    pub(super) fn default_of<'a>(&'a self, table: &'a Name) -> Option<&'a Name> {
        self.partitions(table).find(|(_, bound)| **bound == Bound::Default).map(|(name, _)| name)
    }

    /// The table at the root of what `name` is a partition of, or an index of.
    pub(super) fn root<'a>(&'a self, name: &'a Name) -> &'a Name {
        let table = self.indexes.get(name).map_or(name, |index| &index.table);
        self.line(table).last().unwrap_or(table)
    }

    /// Whether `column` of `table` is known to be not null, by its own word or a valid CHECK, also of what the table is a
    /// partition of.
    pub(super) fn is_not_null(&self, table: &Name, column: &str) -> bool {
        let says = |table: &Table| {
            let mut checks = table.checks.iter().filter(|check| check.valid);
            table.not_null.contains(column)
                || checks.any(|check| check.not_null.iter().any(|one| one == column))
        };
        self.line(table).any(|one| self.tables.get(one).is_some_and(says))
    }

    /// `table`, what it is a partition of, and so on up to the root.
    fn line<'a>(&'a self, table: &'a Name) -> impl Iterator<Item = &'a Name> {
        let parent = |name: &&'a Name| self.tables.get(*name)?.parent.as_ref().map(|(parent, _)| parent);
        // No name is its own parent.
        std::iter::successors(Some(table), parent).take(self.tables.len() + 1)
    }

    /// Whether `name` was made in file `file`.
    pub(super) fn is_of_file(&self, name: &Name, file: usize) -> bool {
        self.tables.get(name).and_then(|table| table.made.as_ref()).is_some_and(|made| made.file == file)
    }

    /// Whether `name`, with all its partitions, is known to hold nothing while file `file` runs: a server says so, or this
    /// run has made it and not written to it. Without a server an earlier file may have run long ago.
    pub(super) fn is_empty(&self, name: &Name, file: usize) -> bool {
        let below = |one: &Name| self.line(one).any(|above| above == name);
        let mut tree = self.tables.iter().filter(|(one, _)| below(one)).map(|(_, table)| table).peekable();
        tree.peek().is_some() && tree.all(|table| table.is_empty(self.live, file))
    }

    /// Whether the application is likely to be in `table`, with all its partitions, at any moment.
    pub(super) fn is_hot(&self, name: &Name) -> bool {
        if !self.live {
            let known = |(schema, table): &(&str, &str)| {
                name.schema.as_deref() == Some(schema) && name.name == *table
            };
            return LARGEST.iter().any(known);
        }
        let tree = self.tables.iter().filter(|(one, _)| self.root(one) == name);
        let sizes = tree.filter_map(|(_, table)| table.size);
        let (rows, bytes) =
            sizes.fold((0.0, 0), |(rows, bytes), size| (rows + size.rows.max(0.0), bytes + size.bytes));
        rows >= HOT_ROWS || bytes >= HOT_BYTES
    }
}
