//! The sample: a server of our own with the schema, few rows of the model's shape, and what the planner knows of them.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use anyhow::Context as _;

use super::Options;
use super::columns::{self, Column, Key};
use super::relations::{self, Relation};
use super::statistics::{Growth, Shares};
use crate::datagen::{self, Model, Sizes, Spec};
use crate::migrate::{self, Source};
use crate::pg::cluster::Settings;
use crate::pg::error::{Doing as _, Result};
use crate::pg::ident::{qualified, quoted};
use crate::pg::{Cluster, Session, Target};
use crate::run::Run;
use crate::schema::plan::USER_MEDIA;

/// What was loaded, and what is known of it.
pub(super) struct Sample {
    pub(super) sizes: Sizes,
    pub(super) relations: Vec<Relation>,
    pub(super) columns: BTreeMap<Key, Column>,
    /// Of columns whose values become more with the rows: how many values there are of each number of rows.
    groups: BTreeMap<Key, Vec<(f64, f64)>>,
}

/// Nothing may touch the files later, and nothing of it has to outlive a crash.
fn settings(options: &Options) -> Settings {
    let calm = [("autovacuum", "off"), ("fsync", "off"), ("synchronous_commit", "off"), ("max_wal_size", "16GB")];
    let calm = calm.map(|(name, value)| (name.to_owned(), value.to_owned()));
    options.planner.iter().map(|(name, value)| (name.clone(), value.clone())).chain(calm).collect()
}

/// Migrates, changes what is asked for, loads and looks.
pub(super) async fn make(
    run: &Run,
    (cluster, target): (&Cluster, &Target),
    migrations: &Source,
    options: &Options,
) -> anyhow::Result<Sample> {
    cluster.restart_with(&settings(options)).context("set the planner as the target's is")?;
    migrate::apply(target, migrations, &migrate::Options::default(), run).await?;
    let session = Session::connect(target, "scale").await?;
    if let Some(leaves) = options.what_if.partitions {
        super::what_if::repartition(&session, leaves).await?;
    }
    let jobs = available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let sizes = options.sample_sizes();
    datagen::generate(run, target, &Spec { jobs, ..Spec::of(options.seed, sizes) }).await?;
    super::what_if::change_indexes(&session, &options.what_if).await?;
    let task = run.task("statistics", None, "statements");
    session.batch_execute("VACUUM (ANALYZE)").await.doing(|| "vacuum and analyze the sample".to_owned())?;
    drop(task);
    let sample = Sample {
        sizes,
        relations: relations::read(&session).await?,
        columns: columns::read(&session).await?,
        groups: groups(&session).await?,
    };
    columns::prepare(&session).await?;
    session.close().await;
    Ok(sample)
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
        if is_popular(&key.schema, &key.relation, &key.column) {
            continue;
        }
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

/// Whether the values of a column are chosen by popularity: with more media each has another share.
fn is_popular(schema: &str, relation: &str, column: &str) -> bool {
    (schema, column) == (USER_MEDIA.0, "media_id") && relation.starts_with(USER_MEDIA.1)
}

impl Sample {
    /// How the values of the column `key` change as the data become those of `model`.
    pub(super) fn growth(&self, key: &Key, shares: &Shares) -> Growth {
        if is_popular(&key.schema, &key.relation, &key.column) {
            return Growth::Shares(shares.clone());
        }
        self.groups.get(key).map_or(Growth::Fixed, |groups| Growth::Groups(groups.clone()))
    }

    /// The table or index that the column `key` is of.
    pub(super) fn relation(&self, key: &Key) -> Option<&Relation> {
        self.relations.iter().find(|one| (&one.schema, &one.name) == (&key.schema, &key.relation))
    }
}

/// The shares of the rows of `interaction.user_media` that media have in `model`; `first` of them with their ids.
#[expect(clippy::cast_precision_loss, reason = "ranks, far below 2^53")]
pub(super) fn shares(model: &Model, first: u64) -> Shares {
    let (popularity, media) = (model.popularity(), model.sizes().media);
    let between = |from: u64, to: u64| popularity.share_below(to) - popularity.share_below(from);
    let named = |rank: u64| (model.media_id(model.media_by_rank(rank)).to_string(), between(rank, rank + 1));
    let (mut all, mut from) = (Vec::new(), 0);
    while from < media {
        let to = (from + 1 + from / 64).min(media);
        let number = (to - from) as f64;
        all.push((between(from, to) / number, number));
        from = to;
    }
    Shares { first: (0..first.min(media)).map(named).collect(), all }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datagen::Shape;

    #[test]
    fn shares_are_all_of_the_rows() {
        let sizes = Sizes { users: 100, media: 5_000, user_media: 10_000 };
        let shares = shares(&Model::new(1, sizes, &Shape::default()), 10);
        let total: f64 = shares.all.iter().map(|(share, number)| share * number).sum();
        let media: f64 = shares.all.iter().map(|(_, number)| number).sum();
        assert!((total - 1.0).abs() < 1e-9 && (media - 5_000.0).abs() < 1e-9);
        assert!(shares.first.len() == 10 && shares.first[0].1 > shares.first[9].1);
        assert!((shares.first[3].1 - shares.all[3].0).abs() < 1e-12);
    }
}
