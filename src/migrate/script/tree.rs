//! What this module asks of squawk's syntax tree.

use squawk_syntax::ast::normalize_name_node;
use squawk_syntax::{SyntaxKind, SyntaxNode};

use super::Name;

/// Whether `node` has a token of `kind` of its own or in a part of it.
pub(crate) fn says(node: &SyntaxNode, kind: SyntaxKind) -> bool {
    node.descendants_with_tokens().any(|one| one.kind() == kind)
}

/// The first node of `kind` within `node`.
pub(crate) fn find(node: &SyntaxNode, kind: SyntaxKind) -> Option<SyntaxNode> {
    node.descendants().find(|one| one.kind() == kind)
}

/// The nodes of `kind` within `node`, in order.
pub(crate) fn all(node: &SyntaxNode, kind: SyntaxKind) -> impl Iterator<Item = SyntaxNode> {
    node.descendants().filter(move |one| one.kind() == kind)
}

/// The qualified name that `node` is or holds first, folded as PostgreSQL folds it.
pub(crate) fn name(node: &SyntaxNode) -> Option<Name> {
    let is_path = |one: &SyntaxNode| matches!(one.kind(), SyntaxKind::PATH | SyntaxKind::PATH_REF);
    let path = node.descendants().find(is_path)?;
    let is_segment =
        |one: &SyntaxNode| matches!(one.kind(), SyntaxKind::PATH_SEGMENT | SyntaxKind::PATH_SEGMENT_REF);
    let mut parts: Vec<String> =
        path.descendants().filter(is_segment).map(|one| normalize_name_node(&one)).collect();
    let name = parts.pop()?;
    Some(Name { schema: parts.pop(), name })
}
