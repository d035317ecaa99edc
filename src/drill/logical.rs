//! The logical proof: foreign keys, unique keys, routing to leaves and the definitions of lists, counted from the heap.
//!
//! Constraints hold rows as they are written. Rows that went missing, came twice or lie in the wrong leaf break them
//! unseen, until a dump is loaded somewhere.

use tokio_postgres::Row;

use super::findings::Seen;
use super::relation::SCHEMAS;
use crate::pg::Session;
use crate::pg::error::{Doing as _, PgError};
use crate::pg::ident::{qualified, quoted};
use crate::run::Run;

const RULES: &str = include_str!("logical.sql");
const LISTS: &str = include_str!("lists.sql");
/// An index that is damaged must not answer for the table.
const FROM_THE_HEAP: &str = "SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off; SET row_security = off";

/// A rule that rows must keep.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    kind: String,
    name: String,
    table: String,
    columns: Vec<String>,
    other: Option<(String, Vec<String>)>,
    condition: Option<String>,
}

impl TryFrom<&Row> for Rule {
    type Error = tokio_postgres::Error;

    fn try_from(row: &Row) -> Result<Self, Self::Error> {
        let name = |schema: &str, table: &str| qualified(schema, table);
        let other: Option<String> = row.try_get("other_schema")?;
        let other = match other {
            Some(schema) => Some((name(&schema, row.try_get("other_table")?), row.try_get("other_columns")?)),
            None => None,
        };
        Ok(Self {
            kind: row.try_get("rule")?,
            name: row.try_get("name")?,
            table: name(row.try_get("schema")?, row.try_get("table")?),
            columns: row.try_get("columns")?,
            other,
            condition: row.try_get("condition")?,
        })
    }
}

impl Rule {
    /// The statement that counts its breaches.
    fn query(&self) -> String {
        let table = &self.table;
        let columns = |of: &str, columns: &[String]| -> Vec<String> {
            columns.iter().map(|column| format!("{of}.{}", quoted(column))).collect()
        };
        let ours = columns("t", &self.columns);
        let present: Vec<String> = ours.iter().map(|column| format!("{column} IS NOT NULL")).collect();
        match (&self.other, &self.condition) {
            (Some((other, theirs)), _) => {
                let theirs = columns("o", theirs);
                let equal: Vec<String> = ours.iter().zip(theirs).map(|(a, b)| format!("{a} = {b}")).collect();
                format!(
                    "SELECT pg_catalog.count(*) AS breaches FROM {table} AS t WHERE {} AND NOT EXISTS \
                     (SELECT FROM {other} AS o WHERE {})",
                    present.join(" AND "),
                    equal.join(" AND ")
                )
            }
            (None, Some(condition)) => {
                format!(
                    "SELECT pg_catalog.count(*) AS breaches FROM ONLY {table} WHERE ({condition}) IS NOT TRUE"
                )
            }
            (None, None) => format!(
                "SELECT pg_catalog.count(*) AS breaches FROM (SELECT FROM ONLY {table} AS t WHERE {} GROUP BY {} \
                 HAVING pg_catalog.count(*) > 1) AS doubled",
                present.join(" AND "),
                ours.join(", ")
            ),
        }
    }

    fn breach(&self, count: i64) -> String {
        match self.kind.as_str() {
            "foreign key" => format!("{count} rows of {} without what {} refers to", self.table, self.name),
            "unique" => format!("{count} keys of {} more than once, against {}", self.table, self.name),
            _ => format!("{count} rows of {} that belong into another leaf", self.table),
        }
    }
}

/// Counts the breaches of every rule in the database behind `session`.
///
/// # Errors
/// What the server says; [`crate::verdict::Interrupted`].
pub(super) async fn check(run: &Run, session: &Session) -> anyhow::Result<Seen> {
    let rows = session.query(RULES, &[&SCHEMAS.as_slice()]).await;
    let rules: Vec<Rule> = rows
        .and_then(|rows| rows.iter().map(Rule::try_from).collect())
        .doing(|| "list the rules that rows must keep".to_owned())?;
    session.batch_execute(FROM_THE_HEAP).await.doing(|| "read tables rather than indexes".to_owned())?;
    let task = run.task("check rules", Some(rules.len() as u64 + 1), "rules");
    let mut breaches = Vec::new();
    for rule in &rules {
        run.check()?;
        let count = count(session, &rule.query(), &rule.name).await?;
        breaches.extend((count > 0).then(|| rule.breach(count)));
        task.advance(1);
    }
    let lists = lists(session).await?;
    breaches.extend((lists > 0).then(|| format!("{lists} smart lists whose two definitions differ")));
    let held =
        format!("{} rules hold: foreign keys, unique keys, leaves, definitions of lists", rules.len() + 1);
    Ok((breaches.is_empty(), if breaches.is_empty() { held } else { breaches.join("; ") }))
}

async fn lists(session: &Session) -> Result<i64, PgError> {
    let known = "SELECT pg_catalog.to_regclass('interaction.smart_lists') IS NOT NULL \
                 AND pg_catalog.to_regclass('interaction.user_lists') IS NOT NULL";
    let doing = || "look for lists".to_owned();
    let there: bool = session.query_one(known, &[]).await.and_then(|row| row.try_get(0)).doing(doing)?;
    if there { count(session, LISTS, "the definitions of lists").await } else { Ok(0) }
}

async fn count(session: &Session, query: &str, name: &str) -> Result<i64, PgError> {
    let row = session.query_one(query, &[]).await;
    row.and_then(|row| row.try_get("breaches")).doing(|| format!("check {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(kind: &str) -> Rule {
        Rule {
            kind: kind.to_owned(),
            name: "k".to_owned(),
            table: "a.t".to_owned(),
            columns: vec!["x".to_owned(), "Y".to_owned()],
            other: None,
            condition: None,
        }
    }

    #[test]
    fn a_foreign_key_is_an_anti_join_over_its_columns() {
        let other = Some(("b.o".to_owned(), vec!["p".to_owned(), "q".to_owned()]));
        let query = Rule { other, ..rule("foreign key") }.query();
        let wanted = "FROM a.t AS t WHERE t.\"x\" IS NOT NULL AND t.\"Y\" IS NOT NULL AND NOT EXISTS \
                      (SELECT FROM b.o AS o WHERE t.\"x\" = o.\"p\" AND t.\"Y\" = o.\"q\")";
        assert!(query.ends_with(wanted), "{query}");
    }

    #[test]
    fn a_key_counts_when_it_comes_twice() {
        let query = rule("unique").query();
        assert!(query.contains("GROUP BY") && query.contains("> 1"), "{query}");
    }

    #[test]
    fn a_row_whose_bound_is_unknown_is_in_the_wrong_leaf() {
        let condition = Some("satisfies_hash_partition('1'::oid, 8, 0, user_id)".to_owned());
        let query = Rule { condition, ..rule("leaf") }.query();
        assert!(query.ends_with(
            "FROM ONLY a.t WHERE (satisfies_hash_partition('1'::oid, 8, 0, user_id)) IS NOT TRUE"
        ));
    }
}
