//! Secrets that stand in a file: what must not be kept, and not be shown.

use std::ops::Range;

use squawk_syntax::ast::{AstNode as _, CreateFunction, CreateProcedure, Do};
use squawk_syntax::{SourceFile, SyntaxKind as K, SyntaxNode};

use super::span;
use crate::migrate::script::tree;

/// A literal that is or holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::migrate::lint) struct Secret {
    /// Its bytes in the file, quotes included.
    pub(in crate::migrate::lint) span: Range<usize>,
    pub(in crate::migrate::lint) of: Of,
}

/// What a secret lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::migrate::lint) enum Of {
    Role,
    Connection,
    UserMapping,
}

/// The secrets of `text`, in order, as far as it is SQL.
pub(in crate::migrate::lint) fn secrets(text: &str) -> Vec<Secret> {
    let lower = text.to_lowercase();
    if !lower.contains("password") && !lower.contains("://") {
        return Vec::new();
    }
    let file = SourceFile::parse(text).syntax_node();
    let own = within(&file).map(|(literal, of)| Secret { span: span(&literal), of });
    let mut found: Vec<Secret> = own.collect();
    found.extend(file.descendants().flat_map(|node| in_block(&node)));
    found.sort_by_key(|secret| secret.span.start);
    found
}

fn within(node: &SyntaxNode) -> impl Iterator<Item = (SyntaxNode, Of)> {
    let literals = node.descendants().filter(|one| one.kind() == K::LITERAL);
    literals.filter_map(|literal| {
        let of = of(&literal)?;
        Some((literal, of))
    })
}

/// The secrets in the PL/pgSQL of `node`.
fn in_block(node: &SyntaxNode) -> Vec<Secret> {
    let body = match node.kind() {
        K::DO => Do::cast(node.clone()).and_then(|block| block.plpgsql()),
        K::CREATE_FUNCTION => CreateFunction::cast(node.clone()).and_then(|function| function.plpgsql()),
        K::CREATE_PROCEDURE => CreateProcedure::cast(node.clone()).and_then(|procedure| procedure.plpgsql()),
        _ => None,
    };
    let Some(body) = body else { return Vec::new() };
    let in_file = |(literal, of): (SyntaxNode, Of)| {
        let place = body.source_range(literal.text_range());
        Secret { span: place.start().into()..place.end().into(), of }
    };
    within(&body.syntax()).map(in_file).collect()
}

fn of(literal: &SyntaxNode) -> Option<Of> {
    let value = literal.text().to_string();
    let parent = literal.parent()?;
    match parent.kind() {
        K::ROLE_OPTION_PASSWORD | K::ROLE_OPTION_ENCRYPTED_PASSWORD => (value.len() > 2).then_some(Of::Role),
        K::ADD_FOREIGN_OPTION | K::SET_FOREIGN_OPTION => is_secret_option(&parent).then_some(Of::UserMapping),
        kind => {
            let declared = kind == K::CONNECTION_CLAUSE;
            connects_by_secret(&value.to_lowercase(), declared).then_some(Of::Connection)
        }
    }
}

fn is_secret_option(option: &SyntaxNode) -> bool {
    let name = tree::find(option, K::FOREIGN_OPTION_NAME).map(|one| one.text().to_string().to_lowercase());
    name.is_some_and(|name| ["password", "sslpassword"].contains(&name.trim_matches('"')))
}

/// Whether `value` is a connection string with a password; one that is not `declared` to be one looks like it by more than
/// that word.
fn connects_by_secret(value: &str, declared: bool) -> bool {
    let assigned: Vec<&str> = value.split('=').rev().skip(1).map(str::trim_end).collect();
    let has = |key: &str| assigned.iter().any(|before| before.ends_with(key));
    let looks = || ["host", "hostaddr", "port", "user", "dbname", "service"].into_iter().any(has);
    has("password") && (declared || looks()) || has_user_info(value)
}

/// Whether `value` holds `postgres://user:password@`.
fn has_user_info(value: &str) -> bool {
    value.match_indices("://").any(|(at, mark)| {
        let authority = value[at + mark.len()..].split(['/', '?', ' ']).next().unwrap_or_default();
        let user_info = authority.rsplit_once('@').map_or("", |(user_info, _)| user_info);
        let password = user_info.split_once(':').map_or("", |(_, password)| password);
        let scheme = ["postgres", "postgresql"].iter().any(|scheme| value[..at].ends_with(scheme));
        scheme && !password.is_empty()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        secrets(text).into_iter().map(|secret| &text[secret.span]).collect()
    }

    #[test]
    fn secrets_are_found_wherever_they_stand() {
        for (sql, secret) in [
            ("CREATE ROLE a LOGIN PASSWORD 'x y' VALID UNTIL 'z'", "'x y'"),
            ("ALTER USER a WITH ENCRYPTED PASSWORD $$x$$", "$$x$$"),
            ("CREATE SUBSCRIPTION a CONNECTION 'password = x' PUBLICATION p", "'password = x'"),
            ("ALTER SUBSCRIPTION a CONNECTION 'postgresql://u:x@h/d'", "'postgresql://u:x@h/d'"),
            ("CREATE USER MAPPING FOR a SERVER b OPTIONS (user 'c', \"password\" 'x')", "'x'"),
            ("ALTER USER MAPPING FOR a SERVER b OPTIONS (SET password 'x')", "'x'"),
            ("SELECT dblink_connect('dbname=a password=x')", "'dbname=a password=x'"),
            ("DO $$ BEGIN CREATE ROLE a PASSWORD 'x'; END $$", "'x'"),
            ("CREATE TABEL a; CREATE ROLE b PASSWORD 'x'", "'x'"),
        ] {
            assert_eq!(found(sql), [secret], "{sql}");
        }
    }

    #[test]
    fn what_only_speaks_of_secrets_is_none() {
        for sql in [
            "ALTER ROLE a PASSWORD NULL",
            "ALTER ROLE a PASSWORD ''",
            "CREATE SUBSCRIPTION a CONNECTION 'service=b passfile=/c' PUBLICATION p",
            "CREATE USER MAPPING FOR a SERVER b OPTIONS (user 'password')",
            "SELECT 'wrong-password', 'password=', 'postgres://u@h:5432/d', 'https://a:b@c'",
            "CREATE TABLE a.b (password_hash TEXT DEFAULT 'x')",
        ] {
            assert_eq!(found(sql), [""; 0], "{sql}");
        }
    }
}
