//! The one place that quotes: identifiers and string literals inside SQL that cannot be bound as parameters.

use postgres_protocol::escape::{escape_identifier, escape_literal};

/// `name` as an SQL identifier, always in double quotes: no keyword and no character escapes it.
#[must_use]
pub fn quoted(name: &str) -> String {
    escape_identifier(name)
}

/// `schema.name`, each part quoted.
#[must_use]
pub fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", quoted(schema), quoted(name))
}

/// `text` as an SQL string literal, for statements that take no parameters (`CREATE DATABASE`, `SET`, …).
#[must_use]
pub fn literal(text: &str) -> String {
    escape_literal(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_double_inside_quotes() {
        assert_eq!(quoted(r#"a"b"#), r#""a""b""#);
        assert_eq!(qualified("s", "t; DROP TABLE x"), r#""s"."t; DROP TABLE x""#);
        assert_eq!(literal("it's"), "'it''s'");
    }
}
