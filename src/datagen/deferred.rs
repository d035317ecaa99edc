//! Keys, indexes and foreign keys: taken off before the load and made again after it, from the catalog's own words.
//!
//! Their definitions stand in the ledger from the transaction that drops them to the one that has made them again, so a
//! run that was killed in between loses none. On a partitioned table they are made leaf by leaf, several at a time; what
//! is then made on the parent adopts the equal ones of the leaves instead of building them. This holds for indexes, keys
//! and, where they are validated, foreign keys (`tryAttachPartitionForeignKey`).

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio_postgres::Row;

use super::work::{share_out, stoppable};
use crate::pg::error::{Doing as _, Result};
use crate::pg::ident::{literal, qualified, quoted};
use crate::pg::{PgError, Session, Target};
use crate::run::Run;

const DEFINITIONS: &str = include_str!("sql/definitions.sql");
const LEAVES: &str = include_str!("sql/table_leaves.sql");
const DEFER: &str = "INSERT INTO omtdb.deferred (kind, schema_name, table_name, name, body)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (schema_name, table_name, name) DO NOTHING";
const DEFERRED: &str = "SELECT id, kind, schema_name, table_name, name, body FROM omtdb.deferred ORDER BY id";
const BUILT: &str = "SELECT definition, kind, schema_name, leaf_name AS table_name, name FROM omtdb.built";

/// What is defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Key,
    Index,
    UniqueIndex,
    ForeignKey,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Index => "index",
            Self::UniqueIndex => "unique index",
            Self::ForeignKey => "foreign key",
        }
    }

    fn parse(name: &str) -> Result<Self> {
        [Self::Key, Self::Index, Self::UniqueIndex, Self::ForeignKey]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| PgError::broken("read the ledger", format!("{name:?} is no kind of definition")))
    }
}

/// A definition and where it belongs.
#[derive(Debug, Clone)]
struct Definition {
    id: i64,
    kind: Kind,
    schema: String,
    table: String,
    name: String,
    /// What follows the name of a constraint, or the table of an index.
    body: String,
}

impl Definition {
    fn read(row: &Row) -> Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            kind: Kind::parse(row.try_get("kind")?)?,
            schema: row.try_get("schema_name")?,
            table: row.try_get("table_name")?,
            name: row.try_get("name")?,
            body: row.try_get("body")?,
        })
    }

    /// The statement that makes it on the table it belongs to.
    fn make(&self) -> String {
        let table = qualified(&self.schema, &self.table);
        let (name, body) = (quoted(&self.name), &self.body);
        match self.kind {
            Kind::Key | Kind::ForeignKey => format!("ALTER TABLE {table} ADD CONSTRAINT {name} {body}"),
            Kind::Index => format!("CREATE INDEX {name} ON {table}{body}"),
            Kind::UniqueIndex => format!("CREATE UNIQUE INDEX {name} ON {table}{body}"),
        }
    }

    /// The statement that makes its part on `leaf`, under the name PostgreSQL would choose.
    fn make_on(&self, leaf: &Leaf) -> String {
        let (table, body) = (qualified(&leaf.schema, &leaf.name), &self.body);
        match self.kind {
            Kind::Key => format!("ALTER TABLE {table} ADD {body}"),
            Kind::Index => format!("CREATE INDEX ON {table}{body}"),
            Kind::UniqueIndex => format!("CREATE UNIQUE INDEX ON {table}{body}"),
            // Without looking at the rows; a foreign key of a leaf has the name of its parent's.
            Kind::ForeignKey => {
                format!("ALTER TABLE {table} ADD CONSTRAINT {} {body} NOT VALID", quoted(&self.name))
            }
        }
    }

    /// The table it belongs to.
    fn place(&self) -> Leaf {
        Leaf { schema: self.schema.clone(), name: self.table.clone() }
    }

    fn says(&self) -> String {
        format!("make {} {} of {}.{}", self.kind.name(), self.name, self.schema, self.table)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Leaf {
    schema: String,
    name: String,
}

/// Parts on leaves that were made: the definition's number, and the leaf.
type Built = HashSet<(i64, Leaf)>;

async fn built(session: &Session) -> Result<Built> {
    let rows = session.query(BUILT, &[]).await.doing(|| "read the ledger".to_owned())?;
    let part = |row: &Row| {
        let leaf = Leaf { schema: row.try_get("schema_name")?, name: row.try_get("table_name")? };
        Ok((row.try_get("definition")?, leaf))
    };
    rows.iter().map(part).collect()
}

/// Drops keys, indexes and foreign keys of the tables `oids` and records them, within the caller's transaction. What an
/// earlier run recorded and did not get to make again stays recorded; what it left half made on leaves is dropped.
pub(super) async fn take_off(session: &Session, oids: &[u32]) -> Result<()> {
    drop_leftovers(session).await?;
    let found = session.query(DEFINITIONS, &[&oids]).await.doing(|| "read keys and indexes".to_owned())?;
    for row in &found {
        let text = |column| row.try_get::<_, String>(column);
        let (kind, schema, table) = (text("kind")?, text("schema_name")?, text("table_name")?);
        let (name, body) = (text("name")?, text("body")?);
        session.execute(DEFER, &[&kind, &schema, &table, &name, &body]).await?;
        let drop = drop_statement(Kind::parse(&kind)?, &schema, &table, &name);
        session.batch_execute(&drop).await.doing(|| format!("drop {kind} {name} of {schema}.{table}"))?;
    }
    Ok(())
}

/// A part on a leaf is recorded when it is made and forgotten in the transaction in which its parent adopts it.
async fn drop_leftovers(session: &Session) -> Result<()> {
    for row in session.query(BUILT, &[]).await.doing(|| "read the ledger".to_owned())? {
        let (schema, table, name): (String, String, String) =
            (row.try_get("schema_name")?, row.try_get("table_name")?, row.try_get("name")?);
        let drop = drop_statement(Kind::parse(row.try_get("kind")?)?, &schema, &table, &name);
        session.batch_execute(&drop).await.doing(|| format!("drop {name} of {schema}.{table}"))?;
    }
    session.batch_execute("DELETE FROM omtdb.built").await.doing(|| "mend the ledger".to_owned())
}

fn drop_statement(kind: Kind, schema: &str, table: &str, name: &str) -> String {
    match kind {
        Kind::Key | Kind::ForeignKey => {
            format!(
                "ALTER TABLE IF EXISTS {} DROP CONSTRAINT IF EXISTS {}",
                qualified(schema, table),
                quoted(name)
            )
        }
        Kind::Index | Kind::UniqueIndex => format!("DROP INDEX IF EXISTS {}", qualified(schema, name)),
    }
}

/// A definition still to be made, with the leaves of its table; none where the table is not partitioned.
#[derive(Debug, Clone)]
struct Pending {
    definition: Definition,
    leaves: Vec<Leaf>,
}

async fn pending(session: &Session, wanted: impl Fn(Kind) -> bool) -> Result<Vec<Pending>> {
    let mut all = Vec::new();
    let rows = session.query(DEFERRED, &[]).await.doing(|| "read the ledger".to_owned())?;
    for definition in rows.iter().map(Definition::read).collect::<Result<Vec<_>>>()? {
        if wanted(definition.kind) {
            let leaves = leaves(session, &definition.schema, &definition.table).await?;
            all.push(Pending { definition, leaves });
        }
    }
    Ok(all)
}

async fn leaves(session: &Session, schema: &str, table: &str) -> Result<Vec<Leaf>> {
    let rows = session.query(LEAVES, &[&schema, &table]).await;
    let rows = rows.doing(|| format!("read the leaves of {schema}.{table}"))?;
    let partitioned = |row: &&Row| row.try_get("partitioned").unwrap_or(false);
    let leaf = |row: &Row| Ok(Leaf { schema: row.try_get("schema_name")?, name: row.try_get("name")? });
    rows.iter().filter(partitioned).map(leaf).collect()
}

/// One statement of the making: a whole definition, or its part on one leaf.
type Job = (Definition, Option<Leaf>);

fn jobs(pending: &[Pending]) -> Vec<Job> {
    let parts = |p: &Pending| -> Vec<Job> {
        let part = |leaf: &Leaf| (p.definition.clone(), Some(leaf.clone()));
        if p.leaves.is_empty() {
            vec![(p.definition.clone(), None)]
        } else {
            p.leaves.iter().map(part).collect()
        }
    };
    pending.iter().flat_map(parts).collect()
}

/// Makes keys and indexes again; those that a run made before it was cut short are left as they are.
pub(super) async fn put_on_indexes(
    run: &Run,
    target: &Target,
    session: &Session,
    sessions: NonZeroUsize,
) -> anyhow::Result<()> {
    let pending = pending(session, |kind| kind != Kind::ForeignKey).await?;
    let built = built(session).await?;
    let jobs = jobs(&pending);
    let is_missing = |(definition, leaf): &Job| match leaf {
        Some(leaf) => !built.contains(&(definition.id, leaf.clone())),
        None => true,
    };
    let jobs: Vec<Job> = jobs.into_iter().filter(is_missing).collect();
    let task = Arc::new(run.task("keys and indexes", Some(jobs.len() as u64), "indexes"));
    share_out(run, target, sessions, jobs, move |session, (definition, leaf): Job, _| {
        let task = Arc::clone(&task);
        async move {
            match &leaf {
                None => finish(&session, &definition).await?,
                Some(leaf) => build_on(&session, &definition, leaf).await?,
            }
            task.advance(1);
            Ok(())
        }
    })
    .await?;
    adopt(run, session, &pending).await
}

/// Makes foreign keys again: first without looking at the rows, which takes a lock on both tables for a moment, then
/// validated side by side under a lock that stops nobody.
pub(super) async fn put_on_foreign_keys(
    run: &Run,
    target: &Target,
    session: &Session,
    sessions: NonZeroUsize,
) -> anyhow::Result<()> {
    let pending = pending(session, |kind| kind == Kind::ForeignKey).await?;
    let built = built(session).await?;
    let jobs = jobs(&pending);
    for (definition, leaf) in &jobs {
        run.check()?;
        let place = leaf.clone().unwrap_or_else(|| definition.place());
        if !built.contains(&(definition.id, place.clone())) {
            stoppable(run, session, async { Ok(build_on(session, definition, &place).await?) }).await?;
        }
    }
    let task = Arc::new(run.task("foreign keys", Some(jobs.len() as u64), "foreign keys"));
    share_out(run, target, sessions, jobs, move |session, (definition, leaf): Job, _| {
        let task = Arc::clone(&task);
        async move {
            validate(&session, &definition, leaf.as_ref()).await?;
            task.advance(1);
            Ok(())
        }
    })
    .await?;
    adopt(run, session, &pending).await
}

/// Makes the parents' definitions, which adopt those of the leaves.
async fn adopt(run: &Run, session: &Session, pending: &[Pending]) -> anyhow::Result<()> {
    for Pending { definition, .. } in pending.iter().filter(|pending| !pending.leaves.is_empty()) {
        run.check()?;
        stoppable(run, session, async { Ok(finish(session, definition).await?) }).await?;
    }
    Ok(())
}

/// Makes a definition and takes it out of the ledger, in one transaction.
async fn finish(session: &Session, definition: &Definition) -> Result<()> {
    let sql = format!("{}; {}", definition.make(), forget(definition));
    in_transaction(session, &sql).await.doing(|| definition.says())
}

async fn validate(session: &Session, definition: &Definition, leaf: Option<&Leaf>) -> Result<()> {
    let (schema, table) = match leaf {
        Some(leaf) => (&leaf.schema, &leaf.name),
        None => (&definition.schema, &definition.table),
    };
    let name = quoted(&definition.name);
    let validate = format!("ALTER TABLE {} VALIDATE CONSTRAINT {name}", qualified(schema, table));
    let sql = if leaf.is_some() { validate } else { format!("{validate}; {}", forget(definition)) };
    in_transaction(session, &sql).await.doing(|| format!("validate {name} of {schema}.{table}"))
}

fn forget(definition: &Definition) -> String {
    let id = definition.id;
    format!("DELETE FROM omtdb.deferred WHERE id = {id}; DELETE FROM omtdb.built WHERE definition = {id}")
}

/// Makes a definition's part on `leaf` and records what it is called.
async fn build_on(session: &Session, definition: &Definition, leaf: &Leaf) -> Result<()> {
    let table = qualified(&leaf.schema, &leaf.name);
    let kind = definition.kind;
    // PostgreSQL chose the index's name; it is the one of this leaf that this transaction made.
    let name = match kind {
        Kind::ForeignKey => literal(&definition.name),
        Kind::Key | Kind::Index | Kind::UniqueIndex => format!(
            "(SELECT x.relname FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
              WHERE i.indrelid = {}::pg_catalog.regclass AND x.xmin = pg_catalog.pg_current_xact_id()::xid)",
            literal(&table)
        ),
    };
    let [kind, schema, leaf_name] = [kind.name(), &leaf.schema, &leaf.name].map(literal);
    let id = definition.id;
    let record = format!(
        "INSERT INTO omtdb.built (definition, kind, schema_name, leaf_name, name) \
         VALUES ({id}, {kind}, {schema}, {leaf_name}, {name})"
    );
    let sql = format!("{}; {record}", definition.make_on(leaf));
    in_transaction(session, &sql).await.doing(|| format!("{} on {}", definition.says(), leaf.name))
}

/// Several statements in one message are one transaction, undone whole where one of them fails.
async fn in_transaction(session: &Session, sql: &str) -> Result<()> {
    Ok(session.batch_execute(sql).await?)
}
