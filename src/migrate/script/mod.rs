//! What a migration's file says: its statements, split by a parser of PostgreSQL's grammar, what each needs and locks, and
//! the directives that stand before them. Pure.

mod directive;
pub(super) mod locks;
mod needs;
mod refused;
pub(super) mod tree;

use std::fmt;

use serde::{Deserialize, Serialize};
use squawk_syntax::{SourceFile, SyntaxKind, SyntaxNode};

use self::directive::Directive;
pub use self::directive::{Sweep, Waiver};
pub use self::locks::{Lock, LockMode};

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
    /// Which kind of mistake it is.
    pub fault: Fault,
    /// Where.
    pub at: Position,
    /// What is wrong.
    pub what: String,
    /// What helps.
    pub help: String,
}

/// A kind of mistake in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is no SQL.
    Syntax,
    /// A directive is none, or says what its statement cannot do.
    Directive,
    /// A statement begins or ends a transaction.
    Transaction,
    /// Statements that run in a transaction stand beside some that cannot.
    Mixed,
    /// A statement lacks what it needs: rows, values, or the session of the one before.
    Lacking,
}

impl ScriptError {
    fn new(at: Position, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { fault: Fault::Directive, at, what: what.into(), help: help.into() }
    }

    fn of_fault(self, fault: Fault) -> Self {
        Self { fault, ..self }
    }
}

/// Understands the text of a migration.
///
/// # Errors
/// At the first place where the text is no SQL, a directive is none, or statements do not go together.
pub fn parse(text: &str) -> Result<Script, ScriptError> {
    let file = SourceFile::parse(text);
    if let Some(error) = file.errors().first() {
        let at = Position::of(text, error.range().start().into());
        let error = ScriptError::new(at, error.message(), "this is no SQL that PostgreSQL understands");
        return Err(error.of_fault(Fault::Syntax));
    }
    let mut reading = Reading { text, ..Reading::default() };
    for element in file.syntax_node().descendants_with_tokens() {
        match &element {
            squawk_syntax::SyntaxElement::Token(token) if token.kind() == SyntaxKind::COMMENT => {
                let outside = token.parent().is_some_and(|node| node.kind() == SyntaxKind::SOURCE_FILE);
                reading.comment(token.text(), token.text_range().start().into(), outside)?;
            }
            _ => {}
        }
        if let Some(node) = element.as_node().filter(|node| is_statement(node)) {
            reading.statement(node)?;
        }
    }
    reading.end()
}

fn is_statement(node: &SyntaxNode) -> bool {
    let top = node.parent().is_some_and(|parent| parent.kind() == SyntaxKind::SOURCE_FILE);
    top && node.kind() != SyntaxKind::EMPTY_STMT
}

/// A file, read so far.
#[derive(Default)]
struct Reading<'a> {
    text: &'a str,
    opt_in: bool,
    no_transaction: bool,
    form: Option<(Position, Form)>,
    waivers: Vec<Waiver>,
    statements: Vec<Statement>,
}

impl Reading<'_> {
    fn comment(&mut self, comment: &str, offset: usize, outside: bool) -> Result<(), ScriptError> {
        let at = Position::of(self.text, offset);
        let refuse = |what: &str, help: &str| Err(ScriptError::new(at, what, help));
        let read = directive::parse(comment, at.line);
        let Some(directive) = read.map_err(|wrong| ScriptError::new(at, wrong.what, wrong.help))? else {
            return Ok(());
        };
        if !outside || !self.begins_line(offset) {
            return refuse(
                "a directive stands inside a statement, or after one",
                "give it a line of its own before the statement",
            );
        }
        match directive {
            Directive::NoTransaction | Directive::OptIn if !self.statements.is_empty() => {
                return refuse("this directive is about the whole file", "put it before the first statement");
            }
            Directive::NoTransaction => self.no_transaction = true,
            Directive::OptIn => self.opt_in = true,
            Directive::Allow(waiver) => self.waivers.push(waiver),
            _ if self.form.is_some() => {
                return refuse("two directives say how one statement is run", "keep one of them");
            }
            Directive::Online { jobs } => self.form = Some((at, Form::Online { jobs })),
            Directive::Backfill(sweep) => self.form = Some((at, Form::Backfill(sweep))),
            Directive::Check(sweep) => self.form = Some((at, Form::Check(sweep))),
        }
        Ok(())
    }

    fn begins_line(&self, offset: usize) -> bool {
        let before = self.text.get(..offset).unwrap_or_default();
        before.rsplit('\n').next().is_none_or(|line| line.trim().is_empty())
    }

    fn statement(&mut self, node: &SyntaxNode) -> Result<(), ScriptError> {
        let at = Position::of(self.text, node.text_range().start().into());
        refused::what_no_file_may_hold(node, at)?;
        let text = node.text().to_string();
        let statement = Statement {
            sql: text.trim_end().trim_end_matches(';').trim_end().to_owned(),
            at,
            form: self.form.take().map_or(Form::Plain, |(_, form)| form),
            refuses_transaction: needs::refuses_transaction(node),
            locks: locks::of(node),
            act: act(node),
            waivers: std::mem::take(&mut self.waivers),
        };
        refused::form(&statement, node)?;
        if self.no_transaction && needs::changes_session(node) {
            return Err(refused::lost_setting(at));
        }
        self.statements.push(statement);
        Ok(())
    }

    fn end(self) -> Result<Script, ScriptError> {
        if let Some((at, _)) = self.form {
            return Err(ScriptError::new(
                at,
                "no statement follows this directive",
                "put it before the statement that it is about",
            ));
        }
        let mode = refused::mode(&self.statements, self.no_transaction)?;
        Ok(Script { opt_in: self.opt_in, mode, statements: self.statements })
    }
}

/// What hides whether it has done something, or says more than an act keeps, is none.
fn act(node: &SyntaxNode) -> Act {
    let hides = [SyntaxKind::IF_EXISTS, SyntaxKind::IF_NOT_EXISTS, SyntaxKind::REINDEX_OPTION_TABLESPACE];
    if hides.iter().any(|&kind| tree::find(node, kind).is_some()) {
        return Act::Other;
    }
    match node.kind() {
        SyntaxKind::CREATE_INDEX => new_index(node).map_or(Act::Other, Act::CreateIndex),
        SyntaxKind::DROP_INDEX => Act::DropIndex(
            tree::all(node, SyntaxKind::INDEX_REF).filter_map(|one| tree::name(&one)).collect(),
        ),
        SyntaxKind::REINDEX => {
            let index = tree::find(node, SyntaxKind::REINDEX_TARGET_INDEX).and_then(|one| tree::name(&one));
            index.map_or(Act::Other, Act::Reindex)
        }
        SyntaxKind::ALTER_TABLE => detach(node).unwrap_or(Act::Other),
        _ => Act::Other,
    }
}

fn new_index(node: &SyntaxNode) -> Option<NewIndex> {
    let table = tree::find(node, SyntaxKind::TABLE_RELATION_NAME)?;
    let name = tree::find(node, SyntaxKind::INDEX).and_then(|one| tree::name(&one));
    let text = node.text().to_string();
    let after = usize::from(table.text_range().end() - node.text_range().start());
    Some(NewIndex {
        name: name.map(|one| one.name).unwrap_or_default(),
        table: tree::name(&table)?,
        unique: node.children_with_tokens().any(|one| one.kind() == SyntaxKind::UNIQUE_KW),
        definition: text.get(after..)?.trim().trim_end_matches(';').trim_end().to_owned(),
    })
}

fn detach(node: &SyntaxNode) -> Option<Act> {
    let action = tree::find(node, SyntaxKind::DETACH_PARTITION)?;
    tree::says(&action, SyntaxKind::CONCURRENTLY_KW).then_some(())?;
    Some(Act::Detach { parent: tree::name(node)?, leaf: tree::name(&action)? })
}

#[cfg(test)]
mod tests;
