//! Adopts a database whose schema came about without omtdb: proves that it is what the files build, and then writes the
//! history that applying them would have left.

use refinery_core::traits::r#async::{AsyncMigrate, AsyncQuery, AsyncTransaction};
use refinery_core::{Migration, Runner, Target as Until};
use serde::{Deserialize, Serialize};

use super::apply::{apply, ready};
use super::journal::{Ending, Journal, Subject};
use super::lock::Lock;
use super::source::Source;
use super::{Known, Options, history};
use crate::pg::error::{Doing as _, Result};
use crate::pg::{PgError, Session, Target};
use crate::run::Run;
use crate::schema::{self, Drift, Schema};
use crate::verdict::UsageError;

/// What is to be adopted, and why.
#[derive(Debug, Clone, Copy)]
pub struct Adoption<'a> {
    /// The version that the database is at.
    pub version: i64,
    /// Why; the journal keeps it.
    pub reason: &'a str,
    /// An empty database on a server that is thrown away, in which the files are built to be compared with. Without one
    /// nothing is proven, which the journal keeps too.
    pub proof: Option<&'a Target>,
}

/// What `migrate baseline` did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// The version that the database was said to be at.
    pub version: i64,
    /// Whether the schema was compared with what the files build.
    pub proven: bool,
    /// The migrations that the history has now; none where there is drift.
    pub adopted: Vec<Known>,
    /// Every difference of the database from what the files build.
    pub drift: Vec<Drift>,
}

/// Has `target`'s database say that every migration up to `adoption.version` is applied, all or nothing; where its schema is
/// another one, says how, and writes nothing.
///
/// # Errors
/// When there is no such version, or the database has a history; when another omtdb works on it for longer than
/// `options.wait` ([`super::Busy`]); when a server refuses; when interrupted.
pub async fn baseline(
    target: &Target,
    source: &Source,
    adoption: &Adoption<'_>,
    options: &Options,
    run: &Run,
) -> anyhow::Result<Adopted> {
    let version = adoption.version;
    if source.migration(version).is_none() {
        return Err(UsageError(format!("there is no migration {version} in {source}")).into());
    }
    let lock = Lock::take(target, options.wait, run).await?;
    let done = baseline_locked(target, &lock, source, adoption, options, run).await;
    lock.release().await;
    done
}

async fn baseline_locked(
    target: &Target,
    lock: &Lock,
    source: &Source,
    adoption: &Adoption<'_>,
    options: &Options,
    run: &Run,
) -> anyhow::Result<Adopted> {
    refuse_history(&history::read(lock.session()).await?)?;
    let drift = match adoption.proof {
        Some(proof) => compare(target, proof, source, adoption.version, run).await?,
        None => Vec::new(),
    };
    let mut adopted =
        Adopted { version: adoption.version, proven: adoption.proof.is_some(), adopted: Vec::new(), drift };
    if adopted.drift.is_empty() {
        ready(lock, options, run).await?;
        lock.check().await?;
        adopted.adopted = record(target, source, adoption, options).await?;
    }
    Ok(adopted)
}

fn refuse_history(applied: &[Migration]) -> Result<(), UsageError> {
    let Some(last) = applied.last() else { return Ok(()) };
    Err(UsageError(format!(
        "the database has a history already: {} applied, the last of them {last}\n  help: `omtdb migrate status` says what is pending, `omtdb migrate apply` goes on from there",
        applied.len()
    )))
}

/// Builds the files in `proof`, and says how `target` differs from that.
async fn compare(
    target: &Target,
    proof: &Target,
    source: &Source,
    version: i64,
    run: &Run,
) -> anyhow::Result<Vec<Drift>> {
    // Nobody uses the copy, and what was applied once cannot be written otherwise.
    let options = Options { last: Some(version), ..Options::unlinted() };
    apply(proof, source, &options, run).await?;
    let mut built = Session::connect(proof, "baseline").await?;
    let mut live = Session::connect(target, "baseline").await?;
    if built.version().major() != live.version().major() {
        run.note(format!(
            "compared with what PostgreSQL {} builds; the database's is {}, which may print definitions differently",
            built.version(),
            live.version()
        ));
    }
    let all = schema::user_schemas(&built).await?;
    let everything = schema::read_schemas(&mut built, &names(&all)).await?;
    let used: Vec<String> = all.into_iter().filter(|name| is_used(&everything, name)).collect();
    let expected = schema::read_schemas(&mut built, &names(&used)).await?;
    let found = schema::read_schemas(&mut live, &names(&used)).await?;
    let builder = built.query_one("SELECT session_user::text", &[]).await.map_err(PgError::from)?;
    let builder: String = builder.try_get(0).map_err(PgError::from)?;
    built.close().await;
    live.close().await;
    let (expected, found) = promised(expected, found, &builder);
    Ok(schema::diff(&expected, &found))
}

fn names(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}

/// Whether the files make the schema `name`, or anything in it: `public` is there of itself, and others use it too.
fn is_used(built: &Schema, name: &str) -> bool {
    let inside = format!("{name}.");
    let is_history = |object: &str| format!("{object}.").starts_with(&format!("{}.", history::TABLE));
    let index = format!("{inside}{}", history::KEY);
    name != "public"
        || built.objects().iter().any(|one| one.starts_with(&inside) && !is_history(one) && *one != index)
        || built.others.iter().any(|one| one.name.starts_with(&inside))
}

fn without_history(mut schema: Schema) -> Schema {
    schema.tables.retain(|table| table.qualified() != history::TABLE);
    schema
}

/// What the files promise of what they have built, and what of the database is to be held against it: an owner only where
/// that is not whoever built it, and grants only where they grant something.
fn promised(built: Schema, live: Schema, builder: &str) -> (Schema, Schema) {
    let (mut built, mut live) = (without_history(built), without_history(live));
    let mut owners = built.owners.iter().filter(|one| one.object != "public" && one.object != history::TABLE);
    let first = owners.next().map(|one| one.role.clone());
    built.owner = first.filter(|first| first != builder && owners.all(|one| one.role == *first));
    if built.grants.as_ref().is_none_or(|grants| grants.iter().all(|one| one.role == "PUBLIC")) {
        (built.grants, live.grants) = (None, None);
    }
    (built, live)
}

/// Writes history and journal in one transaction.
async fn record(
    target: &Target,
    source: &Source,
    adoption: &Adoption<'_>,
    options: &Options,
) -> anyhow::Result<Vec<Known>> {
    let mut runner = Runner::new(source.migrations()).set_target(Until::FakeVersion(adoption.version));
    runner.set_migration_table_name(history::TABLE);
    let session = Session::connect(target, "migrate").await?;
    session.batch_execute("BEGIN").await.map_err(PgError::from)?;
    let mut recorder = Recorder { session, failure: None };
    let report = runner.run_async(&mut recorder).await;
    let Recorder { session, failure } = recorder;
    if let Some(failure) = failure {
        return Err(failure.into());
    }
    report?;
    let adopted = source.migrations().iter().filter(|one| one.version() <= adoption.version);
    for migration in adopted.clone() {
        let journal = Journal::begin(&session, &subject(migration, adoption), &options.by).await?;
        journal.end(&Ending::Done).await?;
    }
    session.batch_execute("COMMIT").await.doing(|| "commit".to_owned())?;
    session.close().await;
    Ok(adopted.map(Known::from).collect())
}

fn subject(migration: &Migration, adoption: &Adoption<'_>) -> Subject {
    let proven = if adoption.proof.is_some() { "" } else { "unproven: " };
    Subject {
        event: "baseline",
        version: Some(migration.version()),
        name: migration.name().to_owned(),
        sql: migration.sql().unwrap_or_default().to_owned(),
        reason: Some(format!("{proven}{}", adoption.reason)),
    }
}

/// What refinery writes its history with; the transaction is ours.
struct Recorder {
    session: Session,
    /// What the server refused: refinery would wrap it twice.
    failure: Option<PgError>,
}

/// Stands for [`Recorder::failure`] while refinery passes it on.
#[derive(Debug, thiserror::Error)]
#[error("the history could not be written")]
struct Failed;

impl Recorder {
    fn keep<T>(&mut self, outcome: Result<T>) -> Result<T, Failed> {
        outcome.map_err(|error| {
            self.failure = Some(error);
            Failed
        })
    }

    async fn write(&self, queries: &[&str]) -> Result<usize> {
        for sql in queries {
            self.session.batch_execute(sql).await.doing(|| format!("write {}", history::TABLE))?;
        }
        Ok(queries.len())
    }
}

impl AsyncTransaction for Recorder {
    type Error = Failed;

    async fn execute<'a, T: Iterator<Item = &'a str> + Send + 'a>(
        &'a mut self,
        queries: T,
    ) -> Result<usize, Failed> {
        let queries: Vec<&str> = queries.collect();
        let written = self.write(&queries).await;
        self.keep(written)
    }
}

impl AsyncQuery<Vec<Migration>> for Recorder {
    async fn query<'a>(&'a mut self, _: &'a str) -> Result<Vec<Migration>, Failed> {
        let applied = history::read(&self.session).await;
        self.keep(applied)
    }
}

impl AsyncMigrate for Recorder {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::model::{Grant, Owned, Table};

    fn built() -> Schema {
        let table = |schema: &str, name: &str| Table {
            schema: schema.to_owned(),
            name: name.to_owned(),
            ..Table::default()
        };
        Schema {
            schemas: vec!["public".to_owned(), "s".to_owned()],
            tables: vec![table("public", "refinery_schema_history"), table("s", "t")],
            owners: vec![Owned { object: "s.t".to_owned(), role: "builder".to_owned() }],
            grants: Some(Vec::new()),
            ..Schema::default()
        }
    }

    #[test]
    fn public_counts_where_the_files_use_it() {
        let mut schema = built();
        assert!(is_used(&schema, "s") && !is_used(&schema, "public"));
        schema.tables.push(Table { schema: "public".to_owned(), name: "a".to_owned(), ..Table::default() });
        assert!(is_used(&schema, "public"));
    }

    #[test]
    fn only_what_the_files_say_is_promised() {
        let (plain, _) = promised(built(), built(), "builder");
        assert_eq!((plain.owner, plain.grants, plain.tables.len()), (None, None, 1));
        let (owned, _) = promised(built(), built(), "another");
        assert_eq!(owned.owner.as_deref(), Some("builder"));
        let grant = Grant { object: "s.t".to_owned(), role: "app".to_owned(), ..Grant::default() };
        let granted = Schema { grants: Some(vec![grant]), ..built() };
        assert!(promised(granted, built(), "builder").0.grants.is_some());
        let granted = Schema { grants: Some(Vec::new()), ..built() };
        assert_eq!(promised(built(), granted, "builder").1.grants, None);
    }
}
