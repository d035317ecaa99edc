//! What the statements of a file do to tables and indexes, as values with their places: what rules look at, and what a
//! catalog follows. The syntax tree stays behind; it may not cross threads.

mod doubt;
mod index;
mod rewrite;
mod rows;
mod secret;
mod spelling;
mod table;

use std::ops::Range;

use squawk_syntax::ast::{AstNode as _, Do};
use squawk_syntax::{SourceFile, SyntaxKind as K, SyntaxNode};

pub(super) use self::doubt::Doubt;
pub use self::doubt::NEVER;
pub(super) use self::index::{Key, NewIndex, shape_of_key};
pub(super) use self::rewrite::Rewrite;
pub(super) use self::rows::{Rows, Which};
pub(super) use self::secret::{Of, Secret, secrets};
pub(super) use self::table::{Bound, Column, Constraint, NewTable, PartitionBy, Strategy};
use crate::migrate::script::{Name, tree};

/// One statement.
#[derive(Debug, Clone)]
pub(super) struct Said {
    /// Its bytes in the file.
    pub(super) span: Range<usize>,
    /// What it does, in order; empty where no rule asks.
    pub(super) changes: Vec<Change>,
}

/// Something that a statement does.
#[derive(Debug, Clone)]
pub(super) struct Change {
    /// The bytes that say it.
    pub(super) span: Range<usize>,
    /// What.
    pub(super) what: What,
}

/// What a statement can do, as far as rules ask.
#[derive(Debug, Clone)]
pub(super) enum What {
    /// Makes a table.
    CreateTable(NewTable),
    /// Drops a table.
    DropTable(Name),
    /// Gives a table another name.
    RenameTable { table: Name, to: Name },
    /// Makes a table a partition.
    Attach { parent: Name, leaf: Name, bound: Bound },
    /// Makes a partition a table of its own.
    Detach { parent: Name, leaf: Name, concurrently: bool },
    /// Adds a column.
    AddColumn { table: Name, column: Column },
    /// Gives a column another type.
    Retype { table: Name, column: Column },
    /// Says whether a column may be null.
    SetNull { table: Name, column: String, nullable: bool },
    /// Adds a constraint.
    AddConstraint { table: Name, constraint: Constraint },
    /// Drops a constraint.
    DropConstraint { table: Name, name: String },
    /// Proves a constraint that was not.
    Validate { table: Name, name: String },
    /// Makes an index.
    CreateIndex(NewIndex),
    /// Makes an index a part of a partitioned one.
    AttachIndex { index: Name, part: Name },
    /// Drops an index.
    DropIndex { index: Name, concurrently: bool },
    /// Gives an index another name.
    RenameIndex { index: Name, to: String },
    /// Writes rows.
    Write(Rows),
    /// Writes the files of a table or an index anew; `None` stands for everything that there is.
    Rewrite { table: Option<Name>, how: Rewrite },
    /// Throws away every row of a table.
    Truncate(Name),
    /// Runs procedural code, which may make, attach and drop what no rule sees.
    Block,
    /// Ends a transaction from inside a block of procedural code.
    EndsTransaction,
    /// Calls a procedure, which may end the transaction.
    Call(Name),
}

/// What the statements of `text` do, one entry a statement; `None` where it is no SQL.
pub(super) fn read(text: &str) -> Option<Vec<Said>> {
    let file = SourceFile::parse(text);
    if !file.errors().is_empty() {
        return None;
    }
    let statements = file.syntax_node();
    let statements = statements.children().filter(|node| node.kind() != K::EMPTY_STMT);
    Some(statements.map(|node| Said { span: span(&node), changes: changes(&node) }).collect())
}

impl Said {
    /// Whether it may do what no rule sees.
    pub(super) fn is_block(&self) -> bool {
        self.changes.iter().any(|change| matches!(change.what, What::Block))
    }
}

/// The bytes of `node`, without what only surrounds it.
fn span(node: &SyntaxNode) -> Range<usize> {
    let text = node.text().to_string();
    let start = usize::from(node.text_range().start());
    let before = text.len() - text.trim_start().len();
    let kept = text.trim_end().trim_end_matches(';').trim_end().len();
    start + before..start + kept.max(before)
}

/// A name as PostgreSQL finds it without a `search_path` of somebody's own.
fn full(name: Name) -> Name {
    Name { schema: name.schema.or_else(|| Some("public".to_owned())), name: name.name }
}

fn named(node: &SyntaxNode, kind: K) -> Option<Name> {
    tree::find(node, kind).and_then(|one| tree::name(&one)).map(full)
}

fn changes(node: &SyntaxNode) -> Vec<Change> {
    let one = |what| vec![Change { span: span(node), what }];
    let maybe = |what: Option<What>| what.map(one).unwrap_or_default();
    match node.kind() {
        K::CREATE_TABLE => maybe(table::created(node).map(What::CreateTable)),
        K::CREATE_TABLE_AS | K::SELECT_INTO | K::CREATE_MATERIALIZED_VIEW => {
            maybe(table::filled(node).map(What::CreateTable)).into_iter().chain(writes(node)).collect()
        }
        K::DROP_TABLE => each(node, K::TABLE_NAME_REF, What::DropTable),
        K::DROP_MATERIALIZED_VIEW => each(node, K::VIEW_REF, What::DropTable),
        K::ALTER_TABLE => table::altered(node),
        K::ALTER_MATERIALIZED_VIEW => rewrite::altered_view(node),
        K::VACUUM | K::CLUSTER | K::REFRESH | K::TRUNCATE => rewrite::maintained(node),
        K::CREATE_INDEX => maybe(index::created(node).map(What::CreateIndex)),
        K::ALTER_INDEX => maybe(index::altered(node)),
        K::DROP_INDEX => {
            let concurrently = tree::says(node, K::CONCURRENTLY_KW);
            each(node, K::INDEX_REF, |index| What::DropIndex { index, concurrently })
        }
        K::INSERT | K::UPDATE | K::DELETE | K::MERGE | K::COPY | K::SELECT | K::COMPOUND_SELECT => {
            writes(node).collect()
        }
        K::DO => one(What::Block).into_iter().chain(of_block(node)).collect(),
        K::CALL => maybe(tree::name(node).map(What::Call)),
        _ => Vec::new(),
    }
}

fn each(node: &SyntaxNode, kind: K, what: impl Fn(Name) -> What) -> Vec<Change> {
    let named = tree::all(node, kind).filter_map(|one| Some((span(&one), full(tree::name(&one)?))));
    named.map(|(span, name)| Change { span, what: what(name) }).collect()
}

fn writes(node: &SyntaxNode) -> impl Iterator<Item = Change> {
    rows::written(node).map(|(place, rows)| Change { span: span(&place), what: What::Write(rows) })
}

/// What a block of PL/pgSQL does that can be seen in it: rows that it writes, and where it ends the transaction that it runs
/// in.
fn of_block(node: &SyntaxNode) -> Vec<Change> {
    let Some(body) = Do::cast(node.clone()).and_then(|block| block.plpgsql()) else { return Vec::new() };
    let change = |place: &SyntaxNode, what| {
        let place = body.source_range(place.text_range());
        Change { span: place.start().into()..place.end().into(), what }
    };
    let ends = |one: &SyntaxNode| matches!(one.kind(), K::PLPGSQL_COMMIT_STMT | K::PLPGSQL_ROLLBACK_STMT);
    let block = body.syntax();
    let ends = block.descendants().filter(ends).map(|one| change(&one, What::EndsTransaction));
    let writes = rows::written(&block).map(|(place, rows)| change(&place, What::Write(rows)));
    ends.chain(writes).collect()
}
