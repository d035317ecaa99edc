//! Statements that write a table's files anew while nobody can use it, or throw its rows away.

use squawk_syntax::ast::{AstNode as _, Vacuum};
use squawk_syntax::{SyntaxKind as K, SyntaxNode};

use super::{Change, What, each, full, span};
use crate::migrate::script::{Name, tree};

/// By which words a table is written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::migrate::lint) enum Rewrite {
    VacuumFull,
    Cluster,
    Tablespace,
    IndexTablespace,
    Logged,
    Unlogged,
    AccessMethod,
    Refresh,
}

/// `what` to each table that `node` names; to all of them where it names none.
fn named(node: &SyntaxNode, kind: K, how: Rewrite) -> Vec<Change> {
    let found = each(node, kind, |table| What::Rewrite { table: Some(table), how });
    let all = || vec![Change { span: span(node), what: What::Rewrite { table: None, how } }];
    if found.is_empty() { all() } else { found }
}

/// What a statement that only maintains does.
pub(super) fn maintained(node: &SyntaxNode) -> Vec<Change> {
    match node.kind() {
        K::VACUUM if Vacuum::cast(node.clone()).is_some_and(|vacuum| vacuum.is_full()) => {
            named(node, K::TABLE_NAME_REF, Rewrite::VacuumFull)
        }
        K::CLUSTER => named(node, K::TABLE_NAME_REF, Rewrite::Cluster),
        K::REFRESH if !tree::says(node, K::CONCURRENTLY_KW) => named(node, K::VIEW_REF, Rewrite::Refresh),
        K::TRUNCATE => each(node, K::TABLE_NAME_REF, What::Truncate),
        _ => Vec::new(),
    }
}

/// How an action of an ALTER TABLE writes its table anew, if it does.
pub(super) fn of_action(action: &SyntaxNode) -> Option<Rewrite> {
    match action.kind() {
        K::SET_TABLESPACE => Some(Rewrite::Tablespace),
        K::SET_LOGGED => Some(Rewrite::Logged),
        K::SET_UNLOGGED => Some(Rewrite::Unlogged),
        K::SET_ACCESS_METHOD => Some(Rewrite::AccessMethod),
        _ => None,
    }
}

/// Everything that lies in one tablespace moves to another.
pub(super) fn moved(node: &SyntaxNode) -> Option<What> {
    let how = if node.kind() == K::ALTER_INDEX { Rewrite::IndexTablespace } else { Rewrite::Tablespace };
    tree::find(node, K::ALL_IN_TABLESPACE).map(|_| What::Rewrite { table: None, how })
}

/// What an ALTER MATERIALIZED VIEW does.
pub(super) fn altered_view(node: &SyntaxNode) -> Vec<Change> {
    let Some(view) = tree::find(node, K::VIEW_REF).and_then(|one| tree::name(&one)).map(full) else {
        return moved(node).map(|what| Change { span: span(node), what }).into_iter().collect();
    };
    let change = |action: SyntaxNode| {
        let how = of_action(&action)?;
        let table: Option<Name> = Some(view.clone());
        Some(Change { span: span(&action), what: What::Rewrite { table, how } })
    };
    node.children().filter_map(change).collect()
}
