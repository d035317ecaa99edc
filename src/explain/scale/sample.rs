//! The sample: a server of our own with the schema, few rows of the model's shape, and what the planner knows of them.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use anyhow::Context as _;

use super::Options;
use super::columns::{self, Column, Key};
use super::known::Known;
use super::relations::{self, Relation};
use super::settings::planner_settings;
use super::standing::Standing;
use super::statistics::Growth;
use crate::datagen::{self, Sizes, Spec};
use crate::migrate::{self, Source};
use crate::partition::map::{self, Leaf};
use crate::pg::cluster::Settings;
use crate::pg::error::{Doing as _, Result};
use crate::pg::ident::{qualified, quoted};
use crate::pg::{Cluster, Session, Target};
use crate::run::Run;
use crate::schema::plan::USER_MEDIA;
use crate::verdict::UsageError;

/// What was loaded, and what is known of it.
pub(super) struct Sample {
    pub(super) sizes: Sizes,
    pub(super) relations: Vec<Relation>,
    pub(super) columns: BTreeMap<Key, Column>,
    /// Entries that statistics have.
    pub(super) entries: u64,
    /// Leaves of `interaction.user_media`.
    pub(super) leaves: Vec<Leaf>,
    /// Columns of which the planner of another server knows nothing, where its statistics were taken over.
    pub(super) unknown: Vec<Key>,
    /// How values change, where another server's statistics were taken over.
    pub(super) adopted: BTreeMap<Key, Growth>,
    /// Of columns whose values become more with the rows: how many values there are of each number of rows.
    groups: BTreeMap<Key, Vec<(f64, f64)>>,
}

/// Nothing may touch the files later, and nothing of it has to outlive a crash.
fn settings(planner: &BTreeMap<String, String>, leaves: u64) -> Settings {
    let calm =
        [("autovacuum", "off"), ("fsync", "off"), ("synchronous_commit", "off"), ("max_wal_size", "16GB")];
    let calm = calm.map(|(name, value)| (name.to_owned(), value.to_owned()));
    // ANALYZE and generic plans lock every leaf with its indexes, for each of at least a hundred sessions.
    let locks = ("max_locks_per_transaction".to_owned(), (64 + leaves).to_string());
    planner.iter().map(|(name, value)| (name.clone(), value.clone())).chain(calm).chain([locks]).collect()
}

/// The settings that the server of the sample has too, and the names of those that it has not.
async fn understood(
    target: &Target,
    planner: &BTreeMap<String, String>,
) -> Result<(BTreeMap<String, String>, Vec<String>)> {
    let own = planner_settings(target).await?;
    let (known, unknown): (BTreeMap<_, _>, BTreeMap<_, _>) =
        planner.clone().into_iter().partition(|(name, _)| own.contains_key(name));
    Ok((known, unknown.into_keys().collect()))
}

/// Migrates, changes what is asked for, loads and looks.
pub(super) async fn make(
    run: &Run,
    (cluster, target): (&Cluster, &Target),
    migrations: &Source,
    options: &Options,
) -> anyhow::Result<Sample> {
    let (known, unknown) = understood(target, &options.planner).await?;
    if !unknown.is_empty() {
        run.note(format!("this version of PostgreSQL plans without {}", unknown.join(", ")));
    }
    let standing = options.standing.as_ref();
    let leaves = options.what_if.partitions.or(standing.map(Standing::leaves));
    cluster
        .restart_with(&settings(&known, leaves.unwrap_or_default()))
        .context("set the planner as the other server's is")?;
    migrate::apply(target, migrations, &migrate::Options::unlinted(), run).await?;
    let session = Session::connect(target, "scale").await?;
    if let Some(leaves) = leaves {
        super::what_if::repartition(&session, leaves).await?;
    }
    let jobs = available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let sizes = options.sample_sizes();
    datagen::generate(run, target, &Spec { jobs, ..Spec::of(options.seed, sizes) }).await?;
    // Before indexes go: a primary key takes foreign keys along, and those say which values become more.
    let groups = groups(&session).await?;
    super::what_if::change_indexes(&session, &options.what_if).await?;
    let task = run.task("statistics", None, "statements");
    session.batch_execute("VACUUM (ANALYZE)").await.doing(|| "vacuum and analyze the sample".to_owned())?;
    session.batch_execute("CHECKPOINT").await.doing(|| "write the sample".to_owned())?;
    drop(task);
    let mut relations = relations::read(&session).await?;
    relations::look(&mut relations, &cluster.data_dir()).context("look at the sample's pages")?;
    refuse_empty_leaves(&relations)?;
    let mut sample = Sample {
        unknown: Vec::new(),
        adopted: BTreeMap::new(),
        sizes,
        relations,
        columns: columns::read(&session).await?,
        entries: statistics_target(&session).await?,
        leaves: map::live_leaves(&session, USER_MEDIA.0, USER_MEDIA.1).await?,
        groups,
    };
    if let Some(standing) = standing {
        standing.adopt(&mut sample)?;
    }
    columns::prepare(&session).await?;
    session.close().await;
    Ok(sample)
}

/// Of a leaf without rows nothing can be told of more.
fn refuse_empty_leaves(relations: &[Relation]) -> std::result::Result<(), UsageError> {
    let leaves: Vec<&Relation> = relations.iter().filter(|one| one.is_leaf_of_items()).collect();
    let empty = leaves.iter().filter(|leaf| leaf.rows < 1.0).count();
    if empty == 0 {
        return Ok(());
    }
    Err(UsageError(format!(
        "{empty} of {} leaves have no row of the sample\n  help: a larger --sample",
        leaves.len()
    )))
}

/// Entries that statistics have: `default_statistics_target`.
async fn statistics_target(session: &Session) -> Result<u64> {
    let doing = || "read default_statistics_target".to_owned();
    let show = "SELECT setting::pg_catalog.int8 FROM pg_catalog.pg_settings WHERE name = 'default_statistics_target'";
    let entries: i64 = session.query_one(show, &[]).await.doing(doing)?.try_get(0).doing(doing)?;
    Ok(entries.cast_unsigned())
}

/// How often values occur in the columns whose values become more.
async fn groups(session: &Session) -> Result<BTreeMap<Key, Vec<(f64, f64)>>> {
    let doing = || "count the values of the sample's columns".to_owned();
    let mut found = BTreeMap::new();
    for row in session.query(include_str!("groups.sql"), &[]).await.doing(doing)? {
        let key = Key {
            schema: row.try_get("schema").doing(doing)?,
            relation: row.try_get("relation").doing(doing)?,
            column: row.try_get("column").doing(doing)?,
            inherited: row.try_get("inherited").doing(doing)?,
        };
        let (table, column) = (qualified(&key.schema, &key.relation), quoted(&key.column));
        let count = format!(
            "SELECT g.rows::pg_catalog.float8, pg_catalog.count(*)::pg_catalog.float8 FROM \
             (SELECT pg_catalog.count(*) AS rows FROM {table} WHERE {column} IS NOT NULL GROUP BY {column}) AS g GROUP BY 1"
        );
        let rows = session.query(&count, &[]).await.doing(doing)?;
        let pairs = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        found.insert(key, pairs.collect::<std::result::Result<_, tokio_postgres::Error>>().doing(doing)?);
    }
    Ok(found)
}

impl Sample {
    /// How the values of the column `key` change as the data become those of which so much is `known`.
    pub(super) fn growth(&self, key: &Key, known: &Known) -> Growth {
        if let Some(growth) = self.adopted.get(key) {
            return growth.clone();
        }
        match known.shares(key).filter(|_| self.adopted.is_empty()) {
            Some(shares) => Growth::Shares(shares.clone()),
            None if !self.adopted.is_empty() => Growth::Fixed,
            None => self.groups.get(key).map_or(Growth::Fixed, |groups| Growth::Groups(groups.clone())),
        }
    }

    /// How many values of equal size the column `key` would have to have to be as uneven as it is, `(sum n)^2 / sum n^2` over the
    /// rows of each: what its correlation stands on.
    pub(super) fn evenness(&self, key: &Key) -> f64 {
        let groups = self.groups.get(key).filter(|_| self.adopted.is_empty());
        let Some(groups) = groups else { return f64::INFINITY };
        let (rows, squares) = groups.iter().fold((0.0, 0.0), |(rows, squares), (size, number)| {
            (rows + size * number, squares + size * size * number)
        });
        if squares > 0.0 { rows * rows / squares } else { f64::INFINITY }
    }

    /// Whether the values of the column `key` become more with the rows.
    pub(super) fn grows(&self, key: &Key) -> bool {
        Known::is_known(key) || self.groups.contains_key(key)
    }

    /// The table or index that the column `key` is of.
    pub(super) fn relation(&self, key: &Key) -> Option<&Relation> {
        self.relations.iter().find(|one| (&one.schema, &one.name) == (&key.schema, &key.relation))
    }
}
