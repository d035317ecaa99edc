//! Scenarios against a live database: does every statement prepare, do the values fit, are the named objects there?

use std::collections::BTreeSet;
use std::sync::Arc;

use super::draw::Drawing;
use super::{Op, Scenario, Statement, files};
use crate::datagen::{Model, Shape, Sizes};
use crate::pg::error::Doing as _;
use crate::pg::{PgError, Session};
use crate::yaml::{Problem, Rejected};

const LIVE: &str = include_str!("live.sql");

/// Prepares every statement of `scenarios` and looks for the tables and indexes of their contracts; executes nothing.
///
/// # Errors
/// [`Rejected`] with what does not fit, at its place in the files; otherwise a conversation that broke.
pub async fn check_live(session: &Session, scenarios: &[Scenario]) -> anyhow::Result<()> {
    // Kinds of values, not values, are compared: one of each is enough.
    let model = Arc::new(Model::new(0, Sizes { users: 1, media: 1, user_media: 0 }, &Shape::default()));
    let mut rejected = Rejected::new();
    for scenario in scenarios {
        let text = files::text_of(&scenario.file)?;
        let mut report = |path: &[&str], message: String| {
            let place = files::place_of(&text, path);
            let file = scenario.file.clone();
            rejected.push(Problem { file, line: place.line, column: place.column, message }, &text);
        };
        for (op, (i, statement)) in
            scenario.ops.iter().flat_map(|op| std::iter::repeat(op).zip(op.statements.iter().enumerate()))
        {
            let i = i.to_string();
            let within = match op.transaction {
                true => vec!["ops", op.name.as_str(), "transaction", i.as_str()],
                false => vec!["ops", op.name.as_str()],
            };
            let mut at = |rest: &[&str], message| report(&[&within, rest].concat(), message);
            match session.prepare(&statement.sql).await.map_err(PgError::from) {
                Ok(prepared) => {
                    let drawing = Drawing::new(scenario, op, statement, 0, &model);
                    if let Some(message) = drawing.misfit(prepared.params()) {
                        at(&["bind"], message);
                    }
                }
                Err(error) if error.is_lost() => {
                    return Err(error.doing(format!("prepare {}", op.name)).into());
                }
                Err(error) => at(&["sql"], format!("the server refuses it: {error}")),
            }
            for (path, message) in missing(session, op, statement).await? {
                at(&path.iter().map(String::as_str).collect::<Vec<_>>(), message);
            }
        }
    }
    if rejected.problems.is_empty() { Ok(()) } else { Err(rejected.into()) }
}

/// What the contract of `statement` names and the database lacks, with its path below the statement.
async fn missing(
    session: &Session,
    op: &Op,
    statement: &Statement,
) -> Result<Vec<(Vec<String>, String)>, PgError> {
    let plan = &statement.plan;
    let tables: Vec<&String> = plan.max_scanned.keys().collect();
    let doing = || format!("look for the objects that the contract of {} names", op.name);
    let rows = session.query(LIVE, &[&tables, &plan.uses_index]).await.doing(doing)?;
    let names = rows.iter().map(|row| row.try_get("name"));
    let found: BTreeSet<String> = names.collect::<Result<_, _>>().doing(doing)?;
    let path = |rest: &[&str]| ["plan"].iter().chain(rest).map(|step| (*step).to_owned()).collect::<Vec<_>>();
    let tables = tables.into_iter().filter(|table| !found.contains(*table)).map(|table| {
        (path(&["partitions", table]), format!("`{table}` is no partitioned table of this database"))
    });
    let indexes = (0_usize..).zip(&plan.uses_index).filter(|(_, index)| !found.contains(*index));
    let indexes = indexes.map(|(i, index)| {
        (path(&["uses_index", &i.to_string()]), format!("`{index}` is no index of this database"))
    });
    Ok(tables.chain(indexes).collect())
}
