//! A plan's shape: equal for equal plans, whatever the leaves are called, how many there are, and what they cost.

use std::collections::BTreeMap;

use super::catalog::Catalog;
use super::scan::index_name;
use super::tree::{Node, Plan};

/// Sixteen hexadecimal digits that differ where shapes differ.
#[must_use]
pub fn fingerprint(plan: &Plan, catalog: &Catalog) -> String {
    blake3::hash(shape(plan, catalog).as_bytes()).to_hex().chars().take(16).collect()
}

/// The shape in words: nodes, tables and indexes by their roots' names, conditions without values.
///
/// An `Append` whose members are all alike stands for one of them, so that a scan of one leaf, of which PostgreSQL makes
/// no `Append`, has the shape of the same scan of many: how many leaves are scanned is for the contract to judge.
#[must_use]
pub fn shape(plan: &Plan, catalog: &Catalog) -> String {
    let aliases = leaf_aliases(&plan.root);
    node_shape(&plan.root, None, catalog, &aliases)
}

/// The same for people: a line a node, indented, leaves that are alike told once.
#[must_use]
pub fn outline(plan: &Plan, catalog: &Catalog) -> String {
    let shape = shape(plan, catalog);
    let (mut lines, mut depth, mut line) = (Vec::new(), 0_usize, String::new());
    let mut flush = |line: &mut String, depth: usize| {
        if !line.trim().is_empty() {
            lines.push(format!("{}{}", "  ".repeat(depth), line.trim()));
        }
        line.clear();
    };
    for c in shape.chars() {
        match c {
            OPEN => {
                flush(&mut line, depth);
                depth += 1;
            }
            CLOSE => {
                flush(&mut line, depth);
                depth = depth.saturating_sub(1);
            }
            NEXT => flush(&mut line, depth),
            c => line.push(c),
        }
    }
    lines.join("\n")
}

/// What stands around and between the children of a node in a shape: no character that a condition could have.
const OPEN: char = '\u{2}';
const CLOSE: char = '\u{3}';
const NEXT: char = '\u{1e}';

/// `um_3` to `um` for every numbered alias: PostgreSQL numbers those of leaves.
fn leaf_aliases(root: &Node) -> BTreeMap<&str, &str> {
    root.walk().into_iter().filter_map(|node| numbered(node.alias.as_deref()?)).collect()
}

/// The alias and its stem, where it ends in a number.
fn numbered(alias: &str) -> Option<(&str, &str)> {
    let (stem, number) = alias.rsplit_once('_')?;
    number.bytes().all(|b| b.is_ascii_digit()).then_some((alias, stem))
}

fn node_shape(node: &Node, above: Option<&str>, catalog: &Catalog, aliases: &BTreeMap<&str, &str>) -> String {
    let schema = node.schema.as_deref().or(above);
    let mut children: Vec<String> =
        node.children.iter().map(|child| node_shape(child, schema, catalog, aliases)).collect();
    let kind = node.kind.as_str();
    // In which order they are asked depends on their costs, and makes no difference.
    if matches!(kind, "Append" | "Merge Append" | "BitmapAnd" | "BitmapOr") {
        children.sort();
    }
    if matches!(kind, "Append" | "Merge Append") {
        children.dedup();
        if let [only] = children.as_mut_slice() {
            return std::mem::take(only);
        }
    }
    let mut parts = vec![node.kind.clone()];
    parts.extend(
        [&node.strategy, &node.partial_mode, &node.join_type, &node.operation].into_iter().flatten().cloned(),
    );
    parts.extend(node.relation.as_ref().map(|relation| table_name(schema, relation, catalog)));
    parts.extend(node.index.iter().chain(&node.arbiters).map(|i| index_name(schema, i, catalog).to_owned()));
    parts.extend(node.direction.clone().filter(|direction| direction == "Backward"));
    parts.extend(node.cte.iter().chain(&node.function).cloned());
    parts.extend(node.conditions().map(|(name, text)| format!("{name} {}", without_values(text, aliases))));
    parts.extend(node.sort_key.iter().chain(&node.group_key).map(|key| without_values(key, aliases)));
    format!("{}{OPEN}{}{CLOSE}", parts.join(" "), children.join(&NEXT.to_string()))
}

fn table_name(schema: Option<&str>, relation: &str, catalog: &Catalog) -> String {
    let known = schema.and_then(|schema| catalog.get(schema, relation));
    known.map_or_else(|| relation.to_owned(), super::catalog::Relation::root)
}

/// `condition` with `?` for every literal and parameter, and leaves' aliases without their numbers.
fn without_values(condition: &str, aliases: &BTreeMap<&str, &str>) -> String {
    let mut out = String::with_capacity(condition.len());
    let mut rest = condition;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' => quoted_length(rest),
            '$' | '0'..='9' => {
                rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '$' && c != '.').unwrap_or(rest.len())
            }
            c if c.is_alphabetic() || c == '_' => {
                rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
            }
            c => c.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        match first {
            '\'' | '$' | '0'..='9' => out.push('?'),
            _ => out.push_str(aliases.get(token).copied().unwrap_or(token)),
        }
        rest = after;
        // What a value is cast to stands behind a literal and not behind a parameter.
        if out.ends_with('?') && rest.starts_with("::") {
            rest = without_type(&rest[2..]);
        }
    }
    out
}

/// `text` without the type that it begins with, in the words in which PostgreSQL writes it.
fn without_type(text: &str) -> &str {
    let mut rest = text.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_' || c == '.' || c == '"');
    for more in [" varying", " precision"] {
        rest = rest.strip_prefix(more).unwrap_or(rest);
    }
    if let Some((_, after)) = rest.strip_prefix('(').and_then(|inside| inside.split_once(')')) {
        rest = after;
    }
    for more in [" without time zone", " with time zone"] {
        rest = rest.strip_prefix(more).unwrap_or(rest);
    }
    rest.trim_start_matches("[]")
}

/// Bytes of the literal that `text` begins with, its quotes included.
fn quoted_length(text: &str) -> usize {
    let mut quotes = text.match_indices('\'').skip(1).map(|(at, _)| at).peekable();
    while let Some(at) = quotes.next() {
        match quotes.peek() {
            Some(&next) if next == at + 1 => {
                quotes.next();
            }
            _ => return at + 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::super::golden;
    use super::super::tests::catalog;
    use super::*;

    #[test]
    fn leaves_and_values_do_not_matter() {
        let catalog = catalog();
        for (version, plans) in golden::all() {
            let of = |name: &str| shape(&plans[name], &catalog);
            assert_eq!(of("custom"), of("generic"), "{version}");
            assert_eq!(of("custom_array"), of("generic_array"), "{version}");
            assert_ne!(of("custom"), of("custom_array"), "{version}");
            assert!(
                of("generic").contains("interaction.user_media idx_user_media_user_status")
                    || of("generic").contains("Bitmap Index Scan idx_user_media_user_status"),
                "{}",
                of("generic")
            );
            assert_eq!(fingerprint(&plans["custom"], &catalog).len(), 16);
        }
    }

    #[test]
    fn values_are_left_out_and_columns_stay() {
        let aliases = BTreeMap::from([("um_3", "um")]);
        let check =
            |condition: &str, expected: &str| assert_eq!(without_values(condition, &aliases), expected);
        check("(um_3.user_id = '6b'::uuid)", "(um.user_id = ?)");
        check("(um_3.user_id = $1)", "(um.user_id = ?)");
        check("(status = 'it''s (x)'::text) AND (rating > 3.5)", "(status = ?) AND (rating > ?)");
        check("(a.x2 = ANY ('{1,2}'::uuid[]))", "(a.x2 = ANY (?))");
        check("(t > '2024-01-01 00:00:00+00'::timestamp with time zone)", "(t > ?)");
        check("(t > '2024-01-01'::timestamp(3) without time zone) AND b", "(t > ?) AND b");
        check("((c = 'x'::character varying(20)) OR (d = '1.5'::numeric(10,2)))", "((c = ?) OR (d = ?))");
    }
}
