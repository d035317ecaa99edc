//! What a migration's file says: its statements, split by a parser of PostgreSQL's grammar, what each needs and locks, and
//! the directives that stand before them. Pure.

mod directive;
pub(super) mod locks;
mod needs;
mod reading;
pub(super) mod tree;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::directive::{Sweep, Waiver};
pub use self::locks::{Lock, LockMode};
pub use self::reading::parse;

/// A name with or without its schema, folded as PostgreSQL folds it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Name {
    /// Its schema, where it says one.
    pub schema: Option<String>,
    /// The name.
    pub name: String,
}

impl Name {
    /// Quoted, for SQL.
    #[must_use]
    pub fn quoted(&self) -> String {
        use crate::pg::ident::{qualified, quoted};
        self.schema.as_ref().map_or_else(|| quoted(&self.name), |schema| qualified(schema, &self.name))
    }
}

/// `interaction.user_media`, for messages.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// A migration's file, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Whether it is applied only when a target version reaches it.
    pub opt_in: bool,
    /// Whether its statements run together.
    pub mode: Mode,
    /// Its statements, in order.
    pub statements: Vec<Statement>,
}

/// How the statements of a file run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// All in one transaction, with the file's row of the history.
    Together,
    /// Each for itself, journalled.
    Stepwise,
}

/// A statement of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its text, without a semicolon.
    pub sql: String,
    /// Where it begins.
    pub at: Position,
    /// How it is run.
    pub form: Form,
    /// Whether PostgreSQL refuses it in a transaction.
    pub refuses_transaction: bool,
    /// The locks it takes on relations it names, strongest first.
    pub locks: Vec<Lock>,
    /// What it is, as far as running it again depends on it.
    pub act: Act,
    /// Rules that it may break.
    pub waivers: Vec<Waiver>,
}

impl Statement {
    /// The strongest lock that it takes on something it names.
    #[must_use]
    pub fn strongest(&self) -> Option<LockMode> {
        self.locks.first().map(|lock| lock.mode)
    }
}

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Bytes before it.
    pub offset: usize,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Position {
    /// The place `offset` bytes into `text`.
    #[must_use]
    pub fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
        let column = before.get(start..).unwrap_or_default().chars().count() + 1;
        Self { offset, line, column }
    }
}

/// How a statement is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// As it stands.
    Plain,
    /// In steps that keep nobody from the table.
    Online {
        /// Builds at once.
        jobs: usize,
    },
    /// For each batch of keys, `$1` to `$2`.
    Backfill(Sweep),
    /// For each batch of keys, `$1` to `$2`; it must find nothing.
    Check(Sweep),
}

/// What a statement is, as far as running it again depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Makes an index.
    CreateIndex(NewIndex),
    /// Drops indexes.
    DropIndex(Vec<Name>),
    /// Rebuilds one index.
    Reindex(Name),
    /// Detaches a leaf concurrently.
    Detach {
        /// The partitioned table.
        parent: Name,
        /// The leaf.
        leaf: Name,
    },
    /// Anything else.
    Other,
}

/// The index that a statement makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIndex {
    /// Its name; it lies in its table's schema.
    pub name: String,
    /// Its table.
    pub table: Name,
    /// Whether it is unique.
    pub unique: bool,
    /// What follows the table: method, keys, predicate.
    pub definition: String,
}

/// What keeps a file from being understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {what}\n  help: {help}", line = at.line, column = at.column)]
pub struct ScriptError {
    /// Where.
    pub at: Position,
    /// What is wrong.
    pub what: String,
    /// What helps.
    pub help: String,
}

impl ScriptError {
    fn new(at: Position, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { at, what: what.into(), help: help.into() }
    }
}

#[cfg(test)]
mod tests;
