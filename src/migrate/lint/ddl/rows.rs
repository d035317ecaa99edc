//! Rows that statements write, and how many of them that may be.

use squawk_syntax::ast::normalize_name_node;
use squawk_syntax::{SyntaxKind as K, SyntaxNode};

use super::{full, named};
use crate::migrate::script::{Name, tree};

/// Rows of a table that a statement writes.
#[derive(Debug, Clone)]
pub(in crate::migrate::lint) struct Rows {
    pub(in crate::migrate::lint) table: Name,
    pub(in crate::migrate::lint) which: Which,
}

/// Which rows are written.
#[derive(Debug, Clone)]
pub(in crate::migrate::lint) enum Which {
    /// Those that the statement spells out, or a file that it reads has.
    Given,
    /// What a query finds in these tables.
    Found(Vec<Name>),
    /// Rows that are there; the columns that a literal value is demanded of.
    There { pinned: Vec<String> },
}

/// Rows that `node` writes, with the places that say so: its own, and those of its parts.
pub(super) fn written(node: &SyntaxNode) -> impl Iterator<Item = (SyntaxNode, Rows)> {
    node.descendants().filter_map(|one| {
        let rows = rows(&one)?;
        Some((one, rows))
    })
}

fn rows(node: &SyntaxNode) -> Option<Rows> {
    let which = match node.kind() {
        K::COPY if tree::find(node, K::COPY_FROM).is_some() => Which::Given,
        K::INSERT => found(node),
        K::MERGE => Which::There { pinned: Vec::new() },
        K::UPDATE | K::DELETE => {
            let condition = node.children().find(|one| one.kind() == K::WHERE_CLAUSE);
            Which::There {
                pinned: condition.iter().flat_map(SyntaxNode::children).flat_map(pinned).collect(),
            }
        }
        _ => return None,
    };
    Some(Rows { table: target(node)?, which })
}

/// What `node` writes; a `WITH` before it names other tables.
fn target(node: &SyntaxNode) -> Option<Name> {
    const TARGETS: [K; 4] = [K::RELATION_NAME, K::RELATION_NAME_REF, K::TABLE_RELATION_NAME, K::COPY_TABLE];
    let target = node.children().find(|one| TARGETS.contains(&one.kind()))?;
    tree::name(&target).map(full)
}

fn found(insert: &SyntaxNode) -> Which {
    if insert.children().any(|one| matches!(one.kind(), K::VALUES | K::DEFAULT_VALUES)) {
        return Which::Given;
    }
    let sources = insert.descendants().filter(|one| matches!(one.kind(), K::RELATION_FROM_ITEM | K::TABLE));
    let sources = sources.filter(|one| !is_of_expression(one, insert));
    let names: Vec<Name> = sources.filter_map(|one| named(&one, K::RELATION_NAME_REF)).collect();
    if names.is_empty() { Which::Given } else { Which::Found(names) }
}

/// Whether `node` is within a condition or a value of `statement`: it adds no rows.
fn is_of_expression(node: &SyntaxNode, statement: &SyntaxNode) -> bool {
    const EXPRESSIONS: [K; 4] = [K::WHERE_CLAUSE, K::TARGET_LIST, K::ON_CLAUSE, K::HAVING_CLAUSE];
    node.ancestors().take_while(|one| one != statement).any(|one| EXPRESSIONS.contains(&one.kind()))
}

/// The columns of which `condition` demands that they are one of some literal values.
fn pinned(condition: SyntaxNode) -> Vec<String> {
    let has = |kind| condition.children_with_tokens().any(|one| one.kind() == kind);
    match condition.kind() {
        K::PAREN_EXPR => condition.children().flat_map(pinned).collect(),
        K::BIN_EXPR if has(K::AND_KW) => condition.children().flat_map(pinned).collect(),
        K::BIN_EXPR if has(K::EQ) || has(K::IN_KW) => {
            let mut sides = condition.children();
            let column = sides.next().and_then(|one| column(&one));
            let literal = sides.next().is_some_and(|one| is_literal(&one));
            column.filter(|_| literal).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn column(node: &SyntaxNode) -> Option<String> {
    match node.kind() {
        K::NAME_REF => Some(normalize_name_node(node)),
        K::FIELD_EXPR => node.children().last().and_then(|one| column(&one)),
        _ => None,
    }
}

fn is_literal(node: &SyntaxNode) -> bool {
    match node.kind() {
        K::LITERAL => true,
        K::CAST_EXPR => node.children().next().is_some_and(|one| is_literal(&one)),
        K::TUPLE_EXPR | K::PAREN_EXPR => node.children().all(|one| is_literal(&one)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use squawk_syntax::SourceFile;

    use super::*;

    fn said(sql: &str) -> String {
        let file = SourceFile::parse(sql);
        assert_eq!(file.errors(), []);
        let root = file.syntax_node();
        let each = written(&root).map(|(_, rows)| match rows.which {
            Which::Given => format!("{} given", rows.table),
            Which::Found(names) => {
                let names: Vec<String> = names.iter().map(Name::to_string).collect();
                format!("{} from {}", rows.table, names.join(" "))
            }
            Which::There { pinned } => format!("{} there {}", rows.table, pinned.join(" ")),
        });
        each.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn rows_are_given_found_or_there() {
        assert_eq!(said("INSERT INTO a.b VALUES ((SELECT x FROM a.c))"), "a.b given");
        assert_eq!(said("INSERT INTO a.b SELECT 1 WHERE NOT EXISTS (SELECT FROM a.b)"), "a.b given");
        assert_eq!(said("INSERT INTO a.b SELECT c.x FROM a.c JOIN a.d ON a.d.x = c.x"), "a.b from a.c a.d");
        assert_eq!(said("INSERT INTO a.b TABLE c"), "a.b from public.c");
        assert_eq!(said("COPY a.b FROM '/x'"), "a.b given");
        assert_eq!(said("COPY a.b TO '/x'"), "");
        assert_eq!(said("MERGE INTO a.b USING a.c ON true WHEN MATCHED THEN DELETE"), "a.b there ");
        assert_eq!(
            said("WITH x AS (DELETE FROM a.c RETURNING y) INSERT INTO a.b SELECT y FROM x"),
            "a.b from public.x; a.c there "
        );
    }

    #[test]
    fn literal_values_pin_columns() {
        assert_eq!(said("DELETE FROM a.b WHERE id = 1"), "a.b there id");
        let both = "UPDATE a.b AS t SET c = 1 WHERE (t.id = '1'::uuid) AND k IN ('x', 'y') AND z > 1";
        assert_eq!(said(both), "a.b there id k");
        assert_eq!(said("DELETE FROM a.b WHERE id = 1 OR k = 2"), "a.b there ");
        assert_eq!(said("DELETE FROM a.b WHERE id = other"), "a.b there ");
        assert_eq!(said("DELETE FROM a.b WHERE id <> 1 AND id IN (SELECT id FROM a.c)"), "a.b there ");
    }
}
