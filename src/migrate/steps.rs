//! What `apply` would do, statement by statement: the same files, order, locks and steps, read from the same catalog, and
//! nothing written. The database itself refuses writes meanwhile.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

use super::lint::{self, Finding};
use super::online;
use super::plan::{self};
use super::script::{Form, Lock, LockMode, Mode, Statement};
use super::source::Source;
use super::stepwise::{self, Way};
use super::{Options, history, journal};
use crate::pg::error::{Doing as _, PgError, Result};
use crate::pg::{Session, Target};
use crate::schema;
use crate::units::Bytes;

/// Query of the sizes of relations, by its file's name.
pub(super) const SIZES: &str = include_str!("sizes.sql");

/// Version of the format of [`Plan`] as JSON.
const FORMAT: u32 = 1;

/// What `apply` would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of this format.
    pub format: u32,
    /// Version of the newest applied migration.
    pub current: Option<i64>,
    /// Of the files to be applied, of the history, of the journal's unfinished steps and of the catalog: BLAKE3,
    /// hexadecimal. A plan with another one is another plan.
    pub fingerprint: String,
    /// The migrations to be applied, in order.
    pub steps: Vec<Planned>,
}

/// A migration to be applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// Its version.
    pub version: i64,
    /// Its name.
    pub name: String,
    /// How its statements run.
    pub mode: Mode,
    /// Its statements, in order.
    pub statements: Vec<PlannedStatement>,
    /// What the lint says of its file, but for what is waived.
    pub findings: Vec<Finding>,
}

/// A statement to be run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedStatement {
    /// Line in the file.
    pub line: usize,
    /// The statement.
    pub sql: String,
    /// The strongest lock that it takes on something it names and that is there.
    pub lock: Option<LockMode>,
    /// All of them, strongest first.
    pub locks: Vec<PlannedLock>,
    /// Whether it runs in a transaction.
    pub transactional: bool,
    /// What it does to others, in words.
    pub explanation: String,
    /// The statements that an online one consists of, in order, as far as they can be told before.
    pub parts: Vec<String>,
    /// Whether an earlier run, which was stopped, has done it already.
    pub done: bool,
}

/// A lock to be taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedLock {
    /// On what.
    pub object: String,
    /// How strong.
    pub mode: LockMode,
    /// Its size with leaves, indexes and TOAST, in bytes; `None` for what an earlier statement makes.
    pub bytes: Option<i64>,
    /// Its rows by its statistics; `None` where there are none.
    pub rows: Option<f64>,
    /// Its leaves, which are locked with it.
    pub leaves: Option<i64>,
}

/// Plans what `apply` with these options would do. Takes no lock that anybody waits for, creates nothing.
///
/// # Errors
/// When the server cannot be reached; when files and history disagree; when a file is not understood.
pub async fn plan(target: &Target, source: &Source, options: &Options) -> anyhow::Result<Plan> {
    let mut session = Session::connect(target, "plan").await?;
    let read_only = "SET default_transaction_read_only = on; SET search_path = pg_catalog, pg_temp";
    session.batch_execute(read_only).await.doing(|| "make the session read-only".to_owned())?;
    // Reading what an index or a size is waits for whoever has its table for itself, and nobody waits behind it.
    session.limit(Duration::ZERO, options.locks.budget).await?;
    let planned = plan_in(&mut session, source, options).await;
    session.close().await;
    planned
}

pub(super) async fn plan_in(
    session: &mut Session,
    source: &Source,
    options: &Options,
) -> anyhow::Result<Plan> {
    let applied = history::read(session).await?;
    let status = plan::status(source.migrations(), &source.opt_in(), &applied);
    status.refuse_problems(source)?;
    let todo = plan::up_to(&status, source.migrations(), options.last)?;
    let journalled = journal::exists(session).await?;
    let versions: Vec<i64> = todo.iter().map(|one| one.version).collect();
    let found = lint::before_apply(source, &versions, lint::Catalog::read(session).await?)?.findings;
    let mut steps = Vec::new();
    for next in &todo {
        let known = match journalled {
            true => journal::known(session, Some(next.version), &next.name).await?,
            false => HashMap::new(),
        };
        let planner = Planner { session, known: &known, options };
        let script = source.script(next.version)?;
        match script.mode {
            Mode::Together => stepwise::refuse_begun(&known)?,
            Mode::Stepwise => stepwise::refuse_changed(&script, &known)?,
        }
        let mut statements = Vec::new();
        for (at, statement) in script.statements.iter().enumerate() {
            statements.push(planner.statement(at + 1, statement, script.mode).await?);
        }
        let findings = found.iter().filter(|one| one.version == Some(next.version)).cloned().collect();
        steps.push(Planned {
            version: next.version,
            name: next.name.clone(),
            mode: script.mode,
            statements,
            findings,
        });
    }
    let schemas = schema::user_schemas(session).await?;
    let schemas: Vec<&str> = schemas.iter().map(String::as_str).collect();
    let catalog = schema::fingerprint(&schema::read_schemas(session, &schemas).await?);
    let fingerprint = fingerprint(source, &applied, &steps, &catalog);
    Ok(Plan { format: FORMAT, current: status.current, fingerprint, steps })
}

/// Of what decides what a run does; sizes and rows are left out, for they change all the time.
fn fingerprint(
    source: &Source,
    applied: &[refinery_core::Migration],
    steps: &[Planned],
    catalog: &str,
) -> String {
    let mut hasher = blake3::Hasher::new();
    for one in applied {
        hasher.update(format!("applied {} {}\n", one.version(), one.checksum()).as_bytes());
    }
    for step in steps {
        let checksum = source.migration(step.version).map(refinery_core::Migration::checksum);
        hasher.update(format!("pending {} {checksum:?}\n", step.version).as_bytes());
        for statement in &step.statements {
            hasher.update(format!("{} {:?}\n", statement.done, statement.parts).as_bytes());
        }
    }
    hasher.update(catalog.as_bytes());
    hasher.finalize().to_hex().to_string()
}

struct Planner<'a> {
    session: &'a Session,
    known: &'a HashMap<String, journal::Known>,
    options: &'a Options,
}

impl Planner<'_> {
    async fn statement(
        &self,
        ordinal: usize,
        statement: &Statement,
        mode: Mode,
    ) -> anyhow::Result<PlannedStatement> {
        let (parts, locks) = self.parts(ordinal, statement).await?;
        let mut locks = self.sized(&locks).await?;
        if let Form::Online { .. } = statement.form {
            // Of a partitioned table only the parent is locked, and each leaf when its turn comes.
            locks.iter_mut().for_each(|lock| lock.leaves = None);
        }
        let transactional = mode == Mode::Together
            || !(statement.refuses_transaction || matches!(statement.form, Form::Online { .. }));
        let done = self.known.get(&ordinal.to_string()).is_some_and(|known| known.outcome == "done");
        Ok(PlannedStatement {
            line: statement.at.line,
            sql: statement.sql.clone(),
            lock: locks.first().map(|lock| lock.mode),
            explanation: explain(statement, mode, &locks, self.options),
            locks,
            transactional,
            parts,
            done: done && mode == Mode::Stepwise,
        })
    }

    /// The statements that an online one consists of, and the locks of all of them.
    async fn parts(&self, ordinal: usize, statement: &Statement) -> anyhow::Result<(Vec<String>, Vec<Lock>)> {
        let prefix = format!("{ordinal}/");
        let begun: HashMap<String, bool> = self
            .known
            .iter()
            .filter_map(|(step, one)| Some((step.strip_prefix(&prefix)?.to_owned(), one.outcome == "done")))
            .collect();
        let parts = match stepwise::way(statement) {
            Way::Create(index, _) => {
                online::outline(self.session, index, &begun.into_keys().collect()).await?
            }
            Way::Drop(name) => vec![online::drop_sql(self.session, name).await?],
            Way::Rebuild(name, _) => online::rebuild_outline(self.session, name, &begun).await?,
            Way::Sweep { .. } | Way::Plain => return Ok((Vec::new(), statement.locks.clone())),
        };
        let locks = parts.iter().filter_map(|sql| super::script::parse(sql).ok());
        let mut locks: Vec<Lock> =
            locks.flat_map(|script| script.statements).flat_map(|one| one.locks).collect();
        locks.sort_by_key(|lock| std::cmp::Reverse(lock.mode));
        Ok((parts, locks))
    }

    async fn sized(&self, locks: &[Lock]) -> Result<Vec<PlannedLock>> {
        let names: Vec<String> = locks.iter().map(|lock| lock.object.quoted()).collect();
        let rows =
            self.session.query(SIZES, &[&names]).await.doing(|| "read the sizes of tables".to_owned())?;
        let sizes: HashMap<String, Size> = rows.iter().map(size).collect::<Result<_>>()?;
        let sized = locks.iter().map(|lock| {
            let size = sizes.get(&lock.object.quoted());
            PlannedLock {
                object: lock.object.to_string(),
                mode: lock.mode,
                bytes: size.map(|size| size.bytes),
                rows: size.map(|size| size.rows).filter(|&rows| rows >= 0.0),
                leaves: size.map(|size| size.leaves).filter(|&leaves| leaves > 0),
            }
        });
        Ok(sized.collect())
    }
}

struct Size {
    bytes: i64,
    rows: f64,
    leaves: i64,
}

fn size(row: &Row) -> Result<(String, Size), PgError> {
    let size =
        Size { bytes: row.try_get("bytes")?, rows: row.try_get("rows")?, leaves: row.try_get("leaves")? };
    Ok((row.try_get("name")?, size))
}

/// What a statement does to others, in words.
fn explain(statement: &Statement, mode: Mode, locks: &[PlannedLock], options: &Options) -> String {
    let how = match (&statement.form, mode) {
        (Form::Online { jobs }, _) => format!("in steps of its own, at most {jobs} builds at once"),
        (Form::Backfill(sweep), _) => format!(
            "for each batch of keys of {}, {} rows at first, at work {:.0}% of the time; continues after the last key that is noted",
            sweep.table,
            sweep.batch,
            options.duty * 100.0
        ),
        (Form::Check(sweep), _) => {
            format!("for each batch of keys of {}; stops at the first rows it finds", sweep.table)
        }
        (Form::Plain, Mode::Together) => "in one transaction with the rest of its file".to_owned(),
        (Form::Plain, Mode::Stepwise) if statement.refuses_transaction => {
            "outside a transaction, journalled".to_owned()
        }
        (Form::Plain, Mode::Stepwise) => "in a transaction of its own, journalled".to_owned(),
    };
    match locks.iter().find(|lock| lock.bytes.is_some()) {
        Some(lock) => format!("{how}; {}", effect(lock, options)),
        None => how,
    }
}

fn effect(lock: &PlannedLock, options: &Options) -> String {
    let size = lock
        .bytes
        .and_then(|bytes| u64::try_from(bytes).ok())
        .map_or_else(String::new, |bytes| format!(", {}", Bytes(bytes)));
    let leaves = lock.leaves.map(|leaves| format!(" and its {leaves} leaves")).unwrap_or_default();
    let taken = format!("{} on {}{leaves}{size}: {}", lock.mode, lock.object, lock.mode.effect());
    let timeout = options.locks.lock_timeout.as_millis();
    match lock.mode {
        LockMode::AccessShare | LockMode::RowShare | LockMode::RowExclusive => taken,
        LockMode::ShareUpdateExclusive => taken,
        _ => format!(
            "{taken} while it is held, and behind it for at most {timeout} ms while it waits; then it gives way"
        ),
    }
}

/// What makes the plan that holds `now` another one than `expected`; nothing when it is the same.
#[must_use]
pub fn changes(expected: &Plan, now: &Plan) -> Vec<String> {
    let mut found = Vec::new();
    if expected.format != now.format {
        found.push(format!(
            "the plan has format {}, this program writes format {}",
            expected.format, now.format
        ));
    }
    if expected.current != now.current {
        let version =
            |plan: &Plan| plan.current.map_or_else(|| "no version".to_owned(), |at| format!("version {at}"));
        found.push(format!("the database was at {} and is at {}", version(expected), version(now)));
    }
    let versions = |plan: &Plan| plan.steps.iter().map(|step| step.version).collect::<Vec<_>>();
    if versions(expected) != versions(now) {
        found.push(format!("pending were {:?}, and are {:?}", versions(expected), versions(now)));
    }
    for (then, now) in expected.steps.iter().zip(&now.steps) {
        let same = |a: &PlannedStatement, b: &PlannedStatement| {
            (&a.sql, &a.parts, a.done) == (&b.sql, &b.parts, b.done)
        };
        let alike = then.statements.len() == now.statements.len()
            && then.statements.iter().zip(&now.statements).all(|(a, b)| same(a, b));
        if !alike {
            found.push(format!("V{}__{} would do something else", now.version, now.name));
        }
    }
    if found.is_empty() && expected.fingerprint != now.fingerprint {
        found.push("the catalog, or the text of a file, has changed".to_owned());
    }
    found
}
