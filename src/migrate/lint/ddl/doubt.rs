//! What in an expression is not IMMUTABLE, so that PostgreSQL refuses an index on it; of some functions and casts only the
//! column's type can tell.

use std::ops::Range;

use squawk_syntax::ast::{AstNode as _, Type};
use squawk_syntax::{SyntaxKind as K, SyntaxNode};

use super::{span, spelling};
use crate::migrate::script::tree;

/// A part of an index's expression that is not the same for ever, or may not be.
#[derive(Debug, Clone)]
pub(in crate::migrate::lint) struct Doubt {
    /// The bytes that say it.
    pub(in crate::migrate::lint) span: Range<usize>,
    /// What it is, for messages.
    pub(in crate::migrate::lint) what: String,
    /// The column and the types of it with which it is so; `None` where it is so with any.
    pub(in crate::migrate::lint) depends: Option<(String, &'static [&'static str])>,
}

/// Functions of which no form is IMMUTABLE; a test holds each against `pg_proc` of a server.
pub const NEVER: [&str; 31] = [
    "array_to_json",
    "array_to_string",
    "clock_timestamp",
    "concat",
    "concat_ws",
    "current_database",
    "current_setting",
    "currval",
    "gen_random_uuid",
    "json_build_array",
    "json_build_object",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_path_exists_tz",
    "jsonb_path_match_tz",
    "jsonb_path_query_first_tz",
    "lastval",
    "make_timestamptz",
    "nextval",
    "now",
    "random",
    "row_to_json",
    "setval",
    "statement_timestamp",
    "timeofday",
    "to_char",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_number",
    "transaction_timestamp",
];
/// Words that stand for such a function.
const WORDS: [&str; 9] = [
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "current_user",
    "session_user",
    "current_role",
    "user",
];
/// Functions that go by the session's time zone when they are given an instant.
const BY_ZONE: [&str; 5] = ["date", "date_part", "date_trunc", "extract", "time"];
/// Types whose text is read by settings of the session.
const READ_BY_SETTINGS: [&str; 6] = [
    "date",
    "interval",
    "time with time zone",
    "time without time zone",
    "timestamp with time zone",
    "timestamp without time zone",
];
const INSTANT: [&str; 1] = ["timestamp with time zone"];
const TEXT: [&str; 2] = ["text", "character varying"];

/// The doubts about `expression`, in order.
pub(super) fn of(expression: &SyntaxNode) -> Vec<Doubt> {
    expression.descendants().filter_map(|node| one(&node)).collect()
}

fn one(node: &SyntaxNode) -> Option<Doubt> {
    let (what, depends) = match node.kind() {
        K::NAME_REF => (word(node)?, None),
        K::CALL_EXPR => call(node)?,
        K::CAST_EXPR => cast(node)?,
        _ => return None,
    };
    Some(Doubt { span: span(node), what, depends })
}

fn word(node: &SyntaxNode) -> Option<String> {
    let text = node.text().to_string().to_lowercase();
    WORDS.contains(&text.as_str()).then_some(text)
}

type Found = (String, Option<(String, &'static [&'static str])>);

fn call(node: &SyntaxNode) -> Option<Found> {
    let function = node.children().next()?;
    let name = match function.kind() {
        K::EXTRACT_FN => "extract".to_owned(),
        _ => function.text().to_string().to_lowercase(),
    };
    let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
    let arguments = tree::all(node, K::ARG).count();
    if NEVER.contains(&name)
        || name == "to_timestamp" && arguments == 2
        || name == "to_tsvector" && arguments == 1
    {
        return Some((format!("{name}()"), None));
    }
    let column = column(&last(node)?).filter(|_| BY_ZONE.contains(&name))?;
    Some((format!("{name}() of an instant"), Some((column, &INSTANT))))
}

/// The last argument of a call.
fn last(call: &SyntaxNode) -> Option<SyntaxNode> {
    let own = |kind| call.descendants().find(|one| one.kind() == kind);
    let list = own(K::EXTRACT_FN).or_else(|| own(K::ARG_LIST))?;
    list.children().last()
}

/// The column that `node` is and nothing more.
fn column(node: &SyntaxNode) -> Option<String> {
    let mut node = node.clone();
    while matches!(node.kind(), K::PAREN_EXPR | K::ARG) {
        node = node.children().next()?;
    }
    (node.kind() == K::NAME_REF).then(|| spelling::key(&node))
}

fn cast(node: &SyntaxNode) -> Option<Found> {
    let to = spelling::type_name(&node.children().find(|one| Type::can_cast(one.kind()))?);
    let operand = node.children().next()?;
    let read = READ_BY_SETTINGS.contains(&to.as_str());
    if read && spelling::is_text(&operand) {
        return Some((format!("reading text as {to}"), None));
    }
    let column = column(&operand)?;
    let zoned =
        ["date", "time without time zone", "timestamp without time zone", "text"].contains(&to.as_str());
    match (read, zoned) {
        (_, true) if to == "text" => Some(("an instant as text".to_owned(), Some((column, &INSTANT)))),
        (true, true) => Some((format!("a cast to {to}"), Some((column, &TEXT_OR_INSTANT)))),
        (true, false) => Some((format!("reading text as {to}"), Some((column, &TEXT)))),
        _ => None,
    }
}

const TEXT_OR_INSTANT: [&str; 3] = [TEXT[0], TEXT[1], INSTANT[0]];
