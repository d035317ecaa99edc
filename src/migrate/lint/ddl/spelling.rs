//! Expressions spelled one way, so that what differs only in spaces, parentheses, case or the names of types is the same.

use squawk_syntax::ast::{AstNode as _, Type, normalize_name_node};
use squawk_syntax::{SyntaxElement, SyntaxKind as K, SyntaxNode};

use crate::migrate::script::tree;

/// `node`, spelled one way: lower case, no spaces, no parentheses around an expression, no cast of a literal string, and
/// PostgreSQL's own names of types.
pub(super) fn of(node: &SyntaxNode) -> String {
    let mut words = String::new();
    spell(node, &mut words);
    words
}

/// A column by its name, or an expression spelled one way.
pub(super) fn key(node: &SyntaxNode) -> String {
    if node.kind() == K::NAME_REF { normalize_name_node(node) } else { of(node) }
}

fn spell(node: &SyntaxNode, words: &mut String) {
    if Type::can_cast(node.kind()) {
        return push(words, &type_name(node));
    }
    match node.kind() {
        // An index in another order can still be a part.
        K::SORT_ASC | K::SORT_DESC | K::NULLS_FIRST | K::NULLS_LAST => {}
        K::CAST_EXPR => spell_cast(node, words),
        K::PAREN_EXPR => node.children().for_each(|child| spell(&child, words)),
        _ => node.children_with_tokens().for_each(|element| match element {
            SyntaxElement::Node(child) => spell(&child, words),
            SyntaxElement::Token(token) if token.kind().is_trivia() => {}
            SyntaxElement::Token(token) => push(words, &word(token.kind(), token.text())),
        }),
    }
}

fn spell_cast(node: &SyntaxNode, words: &mut String) {
    let Some(operand) = node.children().next() else { return };
    spell(&operand, words);
    let literal = operand.kind() == K::LITERAL && tree::says(&operand, K::STRING);
    let Some(to) = node.children().find(|one| Type::can_cast(one.kind())).map(|one| type_name(&one)) else {
        return;
    };
    // Text is text already.
    if !(literal || to == "text" && is_text(&operand)) {
        push(words, "::");
        push(words, &to);
    }
}

/// Whether `node` is what `->>` or `#>>` takes out of JSON.
pub(super) fn is_text(node: &SyntaxNode) -> bool {
    match node.kind() {
        K::PAREN_EXPR => node.children().next().is_some_and(|inner| is_text(&inner)),
        K::BIN_EXPR => {
            let operator = node.children().find(|one| one.kind() == K::CUSTOM_OP);
            operator.is_some_and(|one| matches!(one.text().to_string().as_str(), "->>" | "#>>"))
        }
        _ => false,
    }
}

fn word(kind: K, text: &str) -> String {
    match kind {
        K::STRING | K::DOLLAR_QUOTED_STRING | K::ESC_STRING => text.to_owned(),
        _ => {
            let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            let plain =
                |name: &&str| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            match inner {
                Some(name) if plain(&name) => name.to_owned(),
                Some(_) => text.to_owned(),
                None => text.to_lowercase(),
            }
        }
    }
}

fn push(words: &mut String, next: &str) {
    let wordy = |c: char| c.is_alphanumeric() || c == '_';
    if words.ends_with(wordy) && next.starts_with(wordy) {
        words.push(' ');
    }
    words.push_str(next);
}

/// A type by the name that PostgreSQL prints.
pub(super) fn type_name(node: &SyntaxNode) -> String {
    let text = node.text().to_string().to_lowercase();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text.strip_prefix("pg_catalog.").unwrap_or(&text);
    let name = match text {
        "int" | "int4" => "integer",
        "int8" => "bigint",
        "int2" => "smallint",
        "bool" => "boolean",
        "float8" | "float" => "double precision",
        "float4" => "real",
        "decimal" => "numeric",
        "varchar" => "character varying",
        "char" => "character",
        "timestamptz" => "timestamp with time zone",
        "timestamp" => "timestamp without time zone",
        "timetz" => "time with time zone",
        "time" => "time without time zone",
        other => other,
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use squawk_syntax::SourceFile;

    use super::*;

    fn spelled(expression: &str) -> String {
        let file = SourceFile::parse(&format!("CREATE INDEX i ON a.b ({expression})"));
        assert_eq!(file.errors(), []);
        of(&tree::find(&file.syntax_node(), K::PARTITION_ITEM).unwrap())
    }

    #[test]
    fn what_means_the_same_is_spelled_the_same() {
        assert_eq!(spelled("(data->>'k')"), spelled("(((Data ->> 'k'::text)))"));
        assert_eq!(spelled("(data->>'k')"), spelled("((data->>'k')::text)"));
        assert_eq!(spelled("((d->>'k')::int)"), spelled("(CAST((d ->> 'k') AS integer)) DESC NULLS LAST"));
        assert_eq!(spelled("\"a\""), spelled("A ASC"));
        assert_eq!(spelled("coalesce(a, '')"), "coalesce(a,'')");
    }

    #[test]
    fn what_means_something_else_stays_apart() {
        for (one, other) in [
            ("(d->>'k')", "(d->'k')"),
            ("(d->>'k')", "((d->>'k')::varchar)"),
            ("(d->>'k')", "(d->>'K')"),
            ("a", "a text_pattern_ops"),
            ("\"A\"", "a"),
        ] {
            assert_ne!(spelled(one), spelled(other));
        }
    }
}
