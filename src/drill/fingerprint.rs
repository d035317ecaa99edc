//! The content proof: digests by leaf and bucket of key, compared, and differences traced down to rows.
//!
//! Independent of the order of rows, parallel by leaf, byte-exact. The digests contain type OIDs: they are equal between
//! a server and its physical copy, not after a dump and a load.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio_postgres::Row;

use super::patient;
use super::relation::Relation;
use crate::pg::error::{Doing as _, PgError};
use crate::pg::ident::literal;
use crate::pg::{Session, Target};
use crate::run::{Run, Task};
use crate::verdict::Interrupted;

const LEAF: &str = include_str!("fingerprint.sql");
const ROWS: &str = include_str!("rows.sql");

/// Connections that read at the same time; more would compete with the application for little.
const MOST_WORKERS: usize = 4;
/// Buckets and rows that a difference is traced into; a restore that lost a table must not list it.
const MOST_BUCKETS: usize = 8;
const MOST_ROWS: usize = 20;

/// Digests of one bucket of one leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bucket {
    rows: i64,
    total: String,
    parity: i64,
}

impl TryFrom<&Row> for Bucket {
    type Error = tokio_postgres::Error;

    fn try_from(row: &Row) -> Result<Self, Self::Error> {
        Ok(Self {
            rows: row.try_get("row_count")?,
            total: row.try_get("total")?,
            parity: row.try_get("parity")?,
        })
    }
}

type Buckets = BTreeMap<i32, Bucket>;

/// Digests of everything, by leaf and bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Fingerprint(BTreeMap<String, Buckets>);

impl Fingerprint {
    /// One digest of all of it.
    pub(super) fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (leaf, buckets) in &self.0 {
            hasher.update(format!("{leaf}\n").as_bytes());
            for (bucket, Bucket { rows, total, parity }) in buckets {
                hasher.update(format!("{bucket} {rows} {total} {parity}\n").as_bytes());
            }
        }
        hasher.finalize().to_hex().to_string()
    }

    /// How many rows of `leaf` it covers.
    pub(super) fn rows_of(&self, leaf: &str) -> i64 {
        self.0.get(leaf).map_or(0, |buckets| buckets.values().map(|bucket| bucket.rows).sum())
    }

    /// How many rows it covers.
    pub(super) fn rows(&self) -> i64 {
        self.0.keys().map(|leaf| self.rows_of(leaf)).sum()
    }

    /// How many tables and leaves it covers.
    pub(super) fn leaves(&self) -> usize {
        self.0.len()
    }

    /// The part of it about `leaf`.
    pub(super) fn only(&self, leaf: &str) -> Self {
        Self(
            self.0
                .iter()
                .filter(|(name, _)| *name == leaf)
                .map(|(name, b)| (name.clone(), b.clone()))
                .collect(),
        )
    }

    /// Leaves with the buckets in which the two differ; a leaf that only one has differs in all of its buckets.
    pub(super) fn difference(&self, other: &Self) -> BTreeMap<String, Vec<i32>> {
        let leaves = self.0.keys().chain(other.0.keys());
        let none = Buckets::new();
        let mut difference = BTreeMap::new();
        for leaf in leaves {
            let (ours, theirs) = (self.0.get(leaf), other.0.get(leaf));
            let (a, b) = (ours.unwrap_or(&none), theirs.unwrap_or(&none));
            let mut buckets: Vec<i32> =
                a.keys().chain(b.keys()).copied().filter(|bucket| a.get(bucket) != b.get(bucket)).collect();
            buckets.sort_unstable();
            buckets.dedup();
            if ours.is_some() != theirs.is_some() || !buckets.is_empty() {
                difference.insert(leaf.clone(), buckets);
            }
        }
        difference
    }
}

/// The state of a database that a fingerprint is taken of.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// Where.
    pub(super) target: Target,
    /// The exported snapshot; `None` where nothing changes, in a paused copy.
    pub(super) snapshot: Option<String>,
}

impl State {
    /// A session that sees the state, and fails rather than to leave out rows that a policy hides.
    pub(super) async fn open(&self) -> Result<Session, PgError> {
        let session = patient::connect(&self.target).await?;
        let mut begin = "SET row_security = off; SET client_encoding = 'UTF8'; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
            .to_owned();
        if let Some(snapshot) = &self.snapshot {
            begin = format!("{begin}; SET TRANSACTION SNAPSHOT {}", literal(snapshot));
        }
        session.batch_execute(&begin).await.doing(|| "share the drill's snapshot".to_owned())?;
        Ok(session)
    }

    /// The fingerprint of `relations` in this state.
    ///
    /// # Errors
    /// What the server says; [`Interrupted`] after the statements under way were cancelled.
    pub(super) async fn fingerprint(
        &self,
        run: &Run,
        relations: &[Relation],
        name: &str,
    ) -> anyhow::Result<Fingerprint> {
        let leaves: VecDeque<Relation> = relations.iter().filter(|r| r.is_leaf).cloned().collect();
        let task = Arc::new(run.task(name, Some(leaves.len() as u64), "leaves"));
        let workers = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let workers = workers.min(MOST_WORKERS).min(leaves.len().max(1));
        let queue = Arc::new(Mutex::new(leaves));
        let mut set = JoinSet::new();
        for _ in 0..workers {
            set.spawn(worker(run.clone(), self.clone(), Arc::clone(&queue), Arc::clone(&task)));
        }
        let mut all = Fingerprint::default();
        while let Some(done) = set.join_next().await {
            all.0.extend(done??);
        }
        Ok(all)
    }

    async fn rows(&self, leaf: &Relation, bucket: i32) -> Result<BTreeMap<String, i64>, PgError> {
        let session = self.open().await?;
        let doing = || format!("read the rows of {} that differ", leaf.label());
        let rows = session.query(&leaf.fill_in(ROWS), &[&bucket]).await.doing(doing)?;
        session.close().await;
        let pair = |row: &Row| Ok((row.try_get("key")?, row.try_get("digest")?));
        rows.iter().map(pair).collect::<Result<_, tokio_postgres::Error>>().doing(doing)
    }
}

async fn worker(
    run: Run,
    state: State,
    queue: Arc<Mutex<VecDeque<Relation>>>,
    task: Arc<Task>,
) -> anyhow::Result<Vec<(String, Buckets)>> {
    let session = state.open().await?;
    let mut done = Vec::new();
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(leaf) = next else { break };
        let buckets = tokio::select! {
            buckets = leaf_buckets(&session, &leaf) => buckets?,
            () = run.interrupt.cancelled() => {
                session.cancel().await?;
                return Err(Interrupted.into());
            }
        };
        done.push((leaf.label(), buckets));
        task.advance(1);
    }
    session.close().await;
    Ok(done)
}

async fn leaf_buckets(session: &Session, leaf: &Relation) -> Result<Buckets, PgError> {
    let rows = session.query(&leaf.fill_in(LEAF), &[]).await;
    let pair = |row: &Row| Ok((row.try_get("bucket")?, Bucket::try_from(row)?));
    rows.and_then(|rows| rows.iter().map(pair).collect()).doing(|| format!("fingerprint {}", leaf.label()))
}

/// A row that is not the same in source and copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferingRow {
    /// Leaf or table.
    pub relation: String,
    /// Its key, as PostgreSQL writes a row; a digest where the table has no key.
    pub key: String,
    /// `missing`, `unexpected` or `changed` in the copy.
    pub how: RowDifference,
}

/// How a row of the copy differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowDifference {
    /// Only the source has it.
    Missing,
    /// Only the copy has it.
    Unexpected,
    /// Both have it, with other values.
    Changed,
}

impl RowDifference {
    /// The word used on screen and in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unexpected => "unexpected",
            Self::Changed => "changed",
        }
    }
}

/// Traces `difference` down to rows, a bounded number of them.
///
/// # Errors
/// What the servers say.
pub(super) async fn trace(
    source: &State,
    copy: &State,
    relations: &[Relation],
    difference: &BTreeMap<String, Vec<i32>>,
) -> Result<Vec<DifferingRow>, PgError> {
    let mut found = Vec::new();
    let buckets = relations.iter().filter(|relation| relation.is_leaf).flat_map(|leaf| {
        let buckets = difference.get(&leaf.label()).map_or(&[][..], Vec::as_slice);
        buckets.iter().map(move |bucket| (leaf, *bucket))
    });
    for (leaf, bucket) in buckets.take(MOST_BUCKETS) {
        let (ours, theirs) = (source.rows(leaf, bucket).await?, copy.rows(leaf, bucket).await?);
        found.extend(compare_rows(&leaf.label(), &ours, &theirs));
    }
    found.truncate(MOST_ROWS);
    Ok(found)
}

fn compare_rows(
    relation: &str,
    source: &BTreeMap<String, i64>,
    copy: &BTreeMap<String, i64>,
) -> Vec<DifferingRow> {
    let row = |key: &String, how| DifferingRow { relation: relation.to_owned(), key: key.clone(), how };
    let lost = source.iter().filter_map(|(key, digest)| match copy.get(key) {
        None => Some(row(key, RowDifference::Missing)),
        Some(other) => (other != digest).then(|| row(key, RowDifference::Changed)),
    });
    let extra = copy.keys().filter(|key| !source.contains_key(*key));
    lost.chain(extra.map(|key| row(key, RowDifference::Unexpected))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(leaves: &[(&str, &[(i32, i64)])]) -> Fingerprint {
        let bucket = |&(bucket, rows)| (bucket, Bucket { rows, total: rows.to_string(), parity: rows });
        Fingerprint(
            leaves
                .iter()
                .map(|(leaf, buckets)| ((*leaf).to_owned(), buckets.iter().map(bucket).collect()))
                .collect(),
        )
    }

    #[test]
    fn equal_content_has_one_digest() {
        let (a, b) =
            (fingerprint(&[("x", &[(1, 2)]), ("y", &[])]), fingerprint(&[("y", &[]), ("x", &[(1, 2)])]));
        assert_eq!(a.digest(), b.digest());
        assert!(a.difference(&b).is_empty());
        assert_eq!((a.rows(), a.rows_of("x")), (2, 2));
    }

    #[test]
    fn a_difference_names_leaf_and_bucket() {
        let a = fingerprint(&[("x", &[(1, 2), (7, 3)]), ("y", &[(4, 4)])]);
        let b = fingerprint(&[("x", &[(1, 2), (7, 2), (9, 1)]), ("y", &[(4, 4)])]);
        assert_ne!(a.digest(), b.digest());
        assert_eq!(a.difference(&b), [("x".to_owned(), vec![7, 9])].into());
    }

    #[test]
    fn an_empty_table_that_is_gone_is_a_difference() {
        let (a, b) = (fingerprint(&[("x", &[]), ("y", &[])]), fingerprint(&[("x", &[])]));
        assert_eq!(a.difference(&b), [("y".to_owned(), vec![])].into());
        assert_ne!(a.digest(), b.digest());
    }

    #[test]
    fn rows_are_missing_unexpected_or_changed() {
        let source = [("a".to_owned(), 1), ("b".to_owned(), 2)].into();
        let copy = [("b".to_owned(), 3), ("c".to_owned(), 4)].into();
        let found: Vec<_> =
            compare_rows("x", &source, &copy).into_iter().map(|row| (row.key, row.how)).collect();
        let expected = [
            ("a".to_owned(), RowDifference::Missing),
            ("b".to_owned(), RowDifference::Changed),
            ("c".to_owned(), RowDifference::Unexpected),
        ];
        assert_eq!(found, expected);
    }
}
