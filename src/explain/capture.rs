//! Takes the plan of one prepared statement from the server, and leaves nothing behind there.

use crate::pg::Session;
use crate::pg::error::{Doing as _, PgError, Result};
use crate::pg::ident::literal;

use super::Mode;
use super::tree::Plan;

/// Name of the prepared statement: a session prepares one at a time.
const STATEMENT: &str = "omtdb_explained";

/// Whether what is explained is executed too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// So often as it takes to have the plan that counts, each time undone.
    Executed,
    /// Never: the plan alone.
    Planned,
}

impl How {
    fn options(self) -> &'static str {
        match self {
            Self::Executed => "ANALYZE, BUFFERS, WAL, VERBOSE, SETTINGS, FORMAT JSON",
            Self::Planned => "VERBOSE, SETTINGS, FORMAT JSON",
        }
    }
}

/// The plan of `sql` for `values` (as text, one a placeholder), as the server executes it in `mode`.
///
/// Everything happens in one transaction that is rolled back, and each execution in it is undone before the next: writes
/// leave no rows, and it works through
/// a transaction pooler. The plan is that of the execution after the discarded ones of
/// `Mode::discarded`: the first reads catalogs, and automatic mode chooses its plan after five.
///
/// # Errors
/// When the server refuses the statement or the values, or says something that is no plan.
pub async fn capture(session: &Session, sql: &str, values: &[String], mode: Mode, how: How) -> Result<Plan> {
    session.batch_execute("BEGIN").await.doing(|| "begin".to_owned())?;
    let plan = explain(session, sql, values, mode, how).await;
    // Within the transaction: a pooler gives what comes after it another server. It is not undone with it.
    if plan.is_ok() {
        let forget = format!("DEALLOCATE {STATEMENT}");
        session.batch_execute(&forget).await.doing(|| "forget the statement".to_owned())?;
    }
    let rolled_back = session.batch_execute("ROLLBACK").await;
    if plan.is_err() {
        // What failed may have been the preparation itself, and there is nothing to forget.
        drop(session.batch_execute(&format!("DEALLOCATE {STATEMENT}")).await);
    }
    let plan = plan?;
    rolled_back.doing(|| "roll back what was explained".to_owned())?;
    Ok(plan)
}

async fn explain(session: &Session, sql: &str, values: &[String], mode: Mode, how: How) -> Result<Plan> {
    let set = format!("SET LOCAL plan_cache_mode = {}", mode.setting());
    session.batch_execute(&set).await.doing(|| "choose how the statement is planned".to_owned())?;
    // By the extended protocol, which takes one statement: text after a semicolon would be executed otherwise.
    let prepare = format!("PREPARE {STATEMENT} AS {}", sql.trim().trim_end_matches(';'));
    session.execute(&prepare, &[]).await.doing(|| "prepare the statement".to_owned())?;
    let execute = execute_statement(&parameter_types(session).await?, values)?;
    let explain = format!("EXPLAIN ({}) {execute}", how.options());
    let (mut document, mut locks) = once(session, &explain).await?;
    for _ in 0..mode.discarded(how) {
        (document, locks) = once(session, &explain).await?;
    }
    let plan =
        Plan::from_json(document).map_err(|error| PgError::broken("read the plan", error.to_string()))?;
    Ok(Plan { locks, ..plan })
}

/// What EXPLAIN says, and the locks that were taken.
async fn once(session: &Session, explain: &str) -> Result<(serde_json::Value, u32)> {
    let doing = || "execute the statement".to_owned();
    session.batch_execute("SAVEPOINT execution").await.doing(doing)?;
    let document = session.query_one(explain, &[]).await.doing(doing)?.try_get(0).doing(doing)?;
    let locks: i64 =
        session.query_one(include_str!("locks.sql"), &[]).await.doing(doing)?.try_get(0).doing(doing)?;
    session.batch_execute("ROLLBACK TO SAVEPOINT execution").await.doing(doing)?;
    Ok((document, u32::try_from(locks).unwrap_or(u32::MAX)))
}

/// The types PostgreSQL settled on for the placeholders, as they are written in a cast.
async fn parameter_types(session: &Session) -> Result<Vec<String>> {
    let doing = || "read the statement's parameter types".to_owned();
    let sql =
        "SELECT parameter_types::pg_catalog.text[] FROM pg_catalog.pg_prepared_statements WHERE name = $1";
    session.query_one(sql, &[&STATEMENT]).await.doing(doing)?.try_get(0).doing(doing)
}

fn execute_statement(types: &[String], values: &[String]) -> Result<String> {
    if types.len() != values.len() {
        return Err(PgError::broken(
            "bind the parameters",
            format!("the statement has {} placeholders, {} values are bound", types.len(), values.len()),
        ));
    }
    if types.is_empty() {
        return Ok(format!("EXECUTE {STATEMENT}"));
    }
    let bound: Vec<String> =
        types.iter().zip(values).map(|(name, value)| format!("{}::{name}", literal(value))).collect();
    Ok(format!("EXECUTE {STATEMENT} ({})", bound.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_literals_of_the_parameters_types() {
        let types = ["uuid".to_owned(), "text".to_owned()];
        let values = ["6b".to_owned(), "it's".to_owned()];
        let execute = execute_statement(&types, &values).unwrap();
        assert_eq!(execute, "EXECUTE omtdb_explained ('6b'::uuid, 'it''s'::text)");
        assert_eq!(execute_statement(&[], &[]).unwrap(), "EXECUTE omtdb_explained");
        assert!(execute_statement(&types, &[]).unwrap_err().to_string().contains("2 placeholders, 0 values"));
    }
}
