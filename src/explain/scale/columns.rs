//! Statistics of columns: read from `pg_stats`, written back by the functions that PostgreSQL 18 has for it, or into the
//! catalog.

use std::collections::BTreeMap;

use crate::pg::Session;
use crate::pg::error::{Doing as _, Result};
use crate::pg::ident::literal;

/// First version with functions that write statistics.
const RESTORES: u32 = 18;

/// Which column of which table or index; `inherited` for what ANALYZE found in a partitioned table's leaves together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) schema: String,
    pub(super) relation: String,
    pub(super) column: String,
    pub(super) inherited: bool,
}

/// What the planner knows of a column, as `pg_stats` shows it. Arrays of values are literals.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Column {
    pub(super) null_frac: f64,
    pub(super) avg_width: i32,
    pub(super) n_distinct: f64,
    pub(super) common: Option<Common>,
    pub(super) histogram: Option<String>,
    pub(super) correlation: Option<f64>,
    pub(super) elements: Option<Common>,
    pub(super) element_counts: Option<Vec<f64>>,
}

/// Most common values, as the literal of an array, and their shares of the rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Common {
    pub(super) values: String,
    pub(super) freqs: Vec<f64>,
}

impl Column {
    /// How many values there are among `rows`.
    pub(super) fn values(&self, rows: f64) -> f64 {
        if self.n_distinct < 0.0 { -self.n_distinct * rows } else { self.n_distinct }
    }
}

impl Common {
    /// `None` where there are none.
    pub(super) fn of(values: &[(String, f64)]) -> Option<Self> {
        let quoted = values
            .iter()
            .map(|(value, _)| format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")));
        let literal = format!("{{{}}}", quoted.collect::<Vec<_>>().join(","));
        let freqs = values.iter().map(|(_, freq)| *freq).collect();
        (!values.is_empty()).then_some(Self { values: literal, freqs })
    }

    /// Each with its share, as text.
    pub(super) fn pairs(&self) -> Vec<(String, f64)> {
        let text = |item: &str| match item.strip_prefix('"').and_then(|item| item.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\\\"", "\"").replace("\\\\", "\\"),
            None => item.to_owned(),
        };
        items(&self.values).into_iter().map(text).zip(self.freqs.iter().copied()).collect()
    }

    /// The first `count` of them.
    pub(super) fn first(&self, count: usize) -> Option<Self> {
        let values: Vec<&str> = items(&self.values).into_iter().take(count).collect();
        let values = format!("{{{}}}", values.join(","));
        (count > 0).then(|| Self { values, freqs: self.freqs.iter().copied().take(count).collect() })
    }
}

/// The items of an array's literal as they are written in it.
fn items(literal: &str) -> Vec<&str> {
    let inner = literal.trim_start_matches('{').strip_suffix('}').unwrap_or_default();
    let (mut found, mut begin, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in inner.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                found.push(&inner[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    if !inner.is_empty() {
        found.push(&inner[begin..]);
    }
    found
}

/// The statistics of all columns of user tables and of expressions of their indexes that `session`'s role may see.
pub(super) async fn read(session: &Session) -> Result<BTreeMap<Key, Column>> {
    let doing = || "read the statistics of the columns".to_owned();
    let rows = session.query(include_str!("columns.sql"), &[]).await.doing(doing)?;
    rows.iter().map(column).collect::<std::result::Result<_, _>>().doing(doing)
}

fn column(row: &tokio_postgres::Row) -> std::result::Result<(Key, Column), tokio_postgres::Error> {
    let common = |values: &str, freqs: &str| {
        let values: Option<String> = row.try_get(values)?;
        let freqs: Option<Vec<f64>> = row.try_get(freqs)?;
        Ok::<_, tokio_postgres::Error>(values.zip(freqs).map(|(values, freqs)| Common { values, freqs }))
    };
    let key = Key {
        schema: row.try_get("schema")?,
        relation: row.try_get("relation")?,
        column: row.try_get("column")?,
        inherited: row.try_get("inherited")?,
    };
    let column = Column {
        null_frac: row.try_get("null_frac")?,
        avg_width: row.try_get("avg_width")?,
        n_distinct: row.try_get("n_distinct")?,
        common: common("common", "common_freqs")?,
        histogram: row.try_get("histogram")?,
        correlation: row.try_get("correlation")?,
        elements: common("elements", "element_freqs")?,
        element_counts: row.try_get("element_counts")?,
    };
    Ok((key, column))
}

/// The statement that gives the column `key` these statistics.
pub(super) fn write(key: &Key, column: &Column, major: u32) -> String {
    if major >= RESTORES { restore(key, column) } else { update(key, column) }
}

fn numbers(numbers: &[f64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    format!("'{{{}}}'::pg_catalog.float4[]", numbers.join(","))
}

/// By the functions of PostgreSQL 18.
fn restore(key: &Key, column: &Column) -> String {
    let Key { schema, relation, column: name, inherited } = key;
    let [schema, relation, name] = [schema, relation, name].map(|text| literal(text));
    let mut arguments = vec![
        format!("'null_frac', {}::pg_catalog.float4", column.null_frac),
        format!("'avg_width', {}", column.avg_width),
        format!("'n_distinct', {}::pg_catalog.float4", column.n_distinct),
    ];
    let mut values = |name: &str, value: Option<&String>| {
        arguments.extend(value.map(|value| format!("'{name}', {}", literal(value))));
    };
    values("most_common_vals", column.common.as_ref().map(|common| &common.values));
    values("histogram_bounds", column.histogram.as_ref());
    values("most_common_elems", column.elements.as_ref().map(|common| &common.values));
    let mut shares = |name: &str, freqs: Option<&Vec<f64>>| {
        arguments.extend(freqs.map(|freqs| format!("'{name}', {}", numbers(freqs))));
    };
    shares("most_common_freqs", column.common.as_ref().map(|common| &common.freqs));
    shares("most_common_elem_freqs", column.elements.as_ref().map(|common| &common.freqs));
    shares("elem_count_histogram", column.element_counts.as_ref());
    arguments.extend(column.correlation.map(|c| format!("'correlation', {c}::pg_catalog.float4")));
    format!(
        "SELECT pg_catalog.pg_clear_attribute_stats({schema}, {relation}, {name}, {inherited}); \
         SELECT pg_catalog.pg_restore_attribute_stats('schemaname', {schema}, 'relname', {relation}, 'attname', {name}, \
         'inherited', {inherited}, 'version', 180000, {});",
        arguments.join(", ")
    )
}

/// Into the catalog: kind of statistics `k` (`STATISTIC_KIND_MCV` 1, `_HISTOGRAM` 2, `_CORRELATION` 3, `_MCELEM` 4, `_DECHIST`
/// 5) in slot `k`.
fn update(key: &Key, column: &Column) -> String {
    let none = || "NULL".to_owned();
    let values = |literal_: Option<&String>, ty: &str| {
        literal_.map_or_else(none, |text| format!("pg_catalog.array_in({}, t.{ty}, -1)", literal(text)))
    };
    let shares = |freqs: Option<&Vec<f64>>| freqs.map_or_else(none, |freqs| numbers(freqs));
    let (common, elements) = (column.common.as_ref(), column.elements.as_ref());
    let correlation = column.correlation.map(|correlation| vec![correlation]);
    let slots = [
        ("eq", common.is_some(), shares(common.map(|c| &c.freqs)), values(common.map(|c| &c.values), "ty")),
        ("lt", column.histogram.is_some(), none(), values(column.histogram.as_ref(), "ty")),
        ("lt", correlation.is_some(), shares(correlation.as_ref()), none()),
        (
            "elem_eq",
            elements.is_some(),
            shares(elements.map(|c| &c.freqs)),
            values(elements.map(|c| &c.values), "elem"),
        ),
        ("elem_eq", column.element_counts.is_some(), shares(column.element_counts.as_ref()), none()),
    ];
    let mut sets = vec![
        format!("stanullfrac = {}", column.null_frac),
        format!("stawidth = {}", column.avg_width),
        format!("stadistinct = {}", column.n_distinct),
    ];
    for (slot, (operator, is_there, numbers, values)) in (1..).zip(slots) {
        let (kind, operator, collation) =
            if is_there { (slot, format!("t.{operator}"), "t.coll") } else { (0, "0".to_owned(), "0") };
        sets.push(format!(
            "stakind{slot} = {kind}, staop{slot} = {operator}, stacoll{slot} = {collation}, \
             stanumbers{slot} = {numbers}, stavalues{slot} = {values}"
        ));
    }
    let Key { schema, relation, column: name, inherited } = key;
    let [schema, relation, name] = [schema, relation, name].map(|text| literal(text));
    format!(
        "UPDATE pg_catalog.pg_statistic AS s SET {} FROM omtdb_scale.operators AS t \
         WHERE t.schema = {schema} AND t.relation = {relation} AND t.name = {name} \
         AND s.starelid = t.oid AND s.staattnum = t.attnum AND s.stainherit = {inherited};",
        sets.join(", ")
    )
}

/// The statement that makes the planner forget what it knows of the column `key`.
pub(super) fn forget(key: &Key, major: u32) -> String {
    let Key { schema, relation, column, inherited } = key;
    let [schema, relation, column] = [schema, relation, column].map(|text| literal(text));
    if major >= RESTORES {
        return format!(
            "SELECT pg_catalog.pg_clear_attribute_stats({schema}, {relation}, {column}, {inherited});"
        );
    }
    format!(
        "DELETE FROM pg_catalog.pg_statistic AS s USING omtdb_scale.operators AS t \
         WHERE t.schema = {schema} AND t.relation = {relation} AND t.name = {column} \
         AND s.starelid = t.oid AND s.staattnum = t.attnum AND s.stainherit = {inherited};"
    )
}

/// What [`write()`] needs in a database before version 18: the types of columns and their operators.
pub(super) async fn prepare(session: &Session) -> Result<()> {
    if session.version().major() >= RESTORES {
        return Ok(());
    }
    session
        .batch_execute(include_str!("operators.sql"))
        .await
        .doing(|| "read the types of the columns".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_split_where_the_server_would() {
        assert_eq!(items("{a,\"b,c\",\"d\\\"e\"}"), ["a", "\"b,c\"", "\"d\\\"e\""]);
        assert_eq!(items("{}"), Vec::<&str>::new());
        let common = Common::of(&[("a\"b".to_owned(), 0.5), ("c".to_owned(), 0.25)]).unwrap();
        assert_eq!(common.values, "{\"a\\\"b\",\"c\"}");
        assert_eq!(common.first(1).unwrap().values, "{\"a\\\"b\"}");
        assert_eq!(common.first(0), None);
        assert_eq!(common.pairs(), [("a\"b".to_owned(), 0.5), ("c".to_owned(), 0.25)]);
    }
}
