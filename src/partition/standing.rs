//! How a hash-partitioned table stands: its leaves with their sizes and indexes, whether they take every hash exactly once,
//! and rows that lie in a leaf that is not theirs.

use serde::{Deserialize, Serialize};
use tokio_postgres::{IsolationLevel, Row};

use super::bound::HashBound;
use super::cover::faults;
use crate::pg::error::{Doing as _, PgError, Result};
use crate::pg::{Session, ident};
use crate::run::Run;
use crate::verdict::{Interrupted, Verdict};

/// The queries by their files' names; both take schema and table as `$1` and `$2`.
pub const QUERIES: [(&str, &str); 2] = [("standing", STANDING), ("standing_indexes", INDEXES)];

const STANDING: &str = include_str!("standing.sql");
const INDEXES: &str = include_str!("standing_indexes.sql");

/// A hash-partitioned table as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The table, qualified.
    pub table: String,
    /// Its leaves, by modulus and remainder.
    pub leaves: Vec<LeafStanding>,
    /// Whether they take every hash.
    pub coverage: Coverage,
    /// Everything that is wrong; empty where nothing is.
    pub problems: Vec<Problem>,
}

impl Standing {
    /// `Fail` where anything is wrong.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        Verdict::from_ok(self.problems.is_empty())
    }
}

/// One leaf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeafStanding {
    /// Its schema.
    pub schema: String,
    /// Its name, without the schema.
    pub name: String,
    /// Modulus of its bound.
    pub modulus: u64,
    /// Remainder of its bound.
    pub remainder: u64,
    /// Rows as the server estimates them; `None` while it was never vacuumed nor analyzed.
    pub rows: Option<u64>,
    /// Its size with indexes and TOAST.
    pub bytes: u64,
    /// Whether its concurrent detaching was begun and never ended.
    pub detaching: bool,
    /// Its part of each index of the table, keys among them.
    pub indexes: Vec<LeafIndex>,
    /// Rows whose hash belongs into another leaf; `None` where they were not counted.
    pub misplaced_rows: Option<u64>,
}

impl LeafStanding {
    fn bound(&self) -> HashBound {
        HashBound { modulus: self.modulus, remainder: self.remainder }
    }
}

/// A leaf's part of an index of its table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeafIndex {
    /// The table's index, by name.
    pub part_of: String,
    /// The leaf's; `None` where none is attached.
    pub name: Option<String>,
    /// Whether it is attached, and queries may use it.
    pub valid: bool,
}

/// What leaves take together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Whether every hash has exactly one leaf.
    pub every_hash_exactly_once: bool,
    /// The greatest modulus, of which all others are divisors: as many remainders are there to take.
    pub modulus: u64,
    /// `no leaf for hash mod 32 = 3`; empty where every hash has exactly one leaf.
    pub faults: Vec<String>,
}

/// Something wrong with a table or a leaf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The table or leaf, qualified.
    pub object: String,
    /// `coverage`, `detaching`, `index` or `misplaced rows`.
    pub kind: String,
    /// What is wrong.
    pub found: String,
    /// What to do about it.
    pub help: String,
}

/// Reads how `schema.table` stands, in one snapshot; changes nothing. With `count_rows` every row is read, to count those
/// that lie in a leaf that is not theirs.
///
/// # Errors
/// When the server refuses, a leaf's bound is not one of hashes, or the run is interrupted.
pub async fn read(
    session: &mut Session,
    schema: &str,
    table: &str,
    count_rows: bool,
    run: &Run,
) -> anyhow::Result<Standing> {
    let mut leaves = read_leaves(session, schema, table).await.doing(|| doing(schema, table))?;
    if count_rows {
        count_misplaced(session, schema, table, &mut leaves, run).await?;
    }
    let leaves = leaves.into_iter().map(|(leaf, _)| leaf).collect();
    Ok(judge(format!("{schema}.{table}"), leaves))
}

fn doing(schema: &str, table: &str) -> String {
    format!("read the leaves of {schema}.{table}")
}

/// The leaves, and the columns of the key by which rows are told apart.
async fn read_leaves(
    session: &mut Session,
    schema: &str,
    table: &str,
) -> Result<Vec<(LeafStanding, Vec<String>)>> {
    let snapshot = session
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let rows = snapshot.query(STANDING, &[&schema, &table]).await?;
    let mut leaves = rows.iter().map(leaf).collect::<Result<Vec<_>>>()?;
    for row in snapshot.query(INDEXES, &[&schema, &table]).await? {
        let of: String = row.try_get("leaf")?;
        if let Some((leaf, _)) = leaves.iter_mut().find(|(leaf, _)| leaf.name == of) {
            leaf.indexes.push(index(&row)?);
        }
    }
    snapshot.rollback().await?;
    leaves.sort_by_key(|(leaf, _)| (leaf.modulus, leaf.remainder));
    Ok(leaves)
}

fn leaf(row: &Row) -> Result<(LeafStanding, Vec<String>)> {
    let (name, text): (String, String) = (row.try_get("name")?, row.try_get("bound")?);
    let bound = HashBound::parse(&text)
        .ok_or_else(|| PgError::broken("", format!("leaf {name} is not bounded by a hash but {text}")))?;
    let bytes: i64 = row.try_get("bytes")?;
    let leaf = LeafStanding {
        schema: row.try_get("schema")?,
        name,
        modulus: bound.modulus,
        remainder: bound.remainder,
        rows: estimated(row.try_get("rows")?),
        bytes: bytes.unsigned_abs(),
        detaching: row.try_get("detaching")?,
        indexes: Vec::new(),
        misplaced_rows: None,
    };
    Ok((leaf, row.try_get("key")?))
}

/// `reltuples` as a count; -1 is nobody's estimate.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number of rows")]
fn estimated(reltuples: f64) -> Option<u64> {
    (reltuples >= 0.0).then_some(reltuples as u64)
}

fn index(row: &Row) -> Result<LeafIndex> {
    Ok(LeafIndex {
        part_of: row.try_get("part_of")?,
        name: row.try_get("name")?,
        valid: row.try_get("valid")?,
    })
}

async fn count_misplaced(
    session: &Session,
    schema: &str,
    table: &str,
    leaves: &mut [(LeafStanding, Vec<String>)],
    run: &Run,
) -> anyhow::Result<()> {
    let progress = run.task("count rows", Some(leaves.len() as u64), "leaves");
    for (leaf, key) in leaves {
        run.check()?;
        let sql = misplaced(schema, table, leaf, key);
        leaf.misplaced_rows = Some(interruptible(session, run, &sql).await?);
        progress.advance(1);
    }
    Ok(())
}

/// Counts the rows of a leaf that its table's partitioning would send elsewhere.
fn misplaced(schema: &str, table: &str, leaf: &LeafStanding, key: &[String]) -> String {
    let parent = ident::literal(&ident::qualified(schema, table));
    let key: Vec<String> = key.iter().map(|column| ident::quoted(column)).collect();
    format!(
        "SELECT pg_catalog.count(*) FROM ONLY {} WHERE NOT pg_catalog.satisfies_hash_partition({parent}::pg_catalog.regclass, {}, {}, {})",
        ident::qualified(&leaf.schema, &leaf.name),
        leaf.modulus,
        leaf.remainder,
        key.join(", ")
    )
}

/// The one number that `sql` gives; at an interrupt the server stops counting.
async fn interruptible(session: &Session, run: &Run, sql: &str) -> anyhow::Result<u64> {
    let doing = || "count rows that lie in a leaf that is not theirs".to_owned();
    let mut counting = std::pin::pin!(session.query_one(sql, &[]));
    tokio::select! {
        row = &mut counting => {
            let counted: i64 = row.and_then(|row| row.try_get(0)).doing(doing)?;
            return Ok(counted.unsigned_abs());
        }
        () = run.interrupt.cancelled() => {}
    }
    session.cancel().await?;
    drop(counting.await);
    Err(Interrupted.into())
}

/// What leaves take together, and everything that is wrong with them: pure.
fn judge(table: String, leaves: Vec<LeafStanding>) -> Standing {
    // New queries no longer see the rows of a leaf whose detaching was begun.
    let seen: Vec<HashBound> =
        leaves.iter().filter(|leaf| !leaf.detaching).map(LeafStanding::bound).collect();
    let faults: Vec<String> = faults(&seen).iter().map(ToString::to_string).collect();
    let coverage = Coverage {
        every_hash_exactly_once: faults.is_empty(),
        modulus: seen.iter().map(|bound| bound.modulus).max().unwrap_or(1),
        faults,
    };
    let mut problems: Vec<Problem> = coverage.faults.iter().map(|fault| uncovered(&table, fault)).collect();
    problems.extend(leaves.iter().flat_map(|leaf| wrong_with(&table, leaf)));
    Standing { table, leaves, coverage, problems }
}

fn uncovered(table: &str, fault: &str) -> Problem {
    Problem {
        object: table.to_owned(),
        kind: "coverage".to_owned(),
        found: fault.to_owned(),
        help: "attach the leaf that is missing, or create it; until then inserts of these rows fail"
            .to_owned(),
    }
}

fn wrong_with(table: &str, leaf: &LeafStanding) -> Vec<Problem> {
    let object = format!("{}.{}", leaf.schema, leaf.name);
    let problem = |kind: &str, found: String, help: String| Problem {
        object: object.clone(),
        kind: kind.to_owned(),
        found,
        help,
    };
    let mut problems = Vec::new();
    if leaf.detaching {
        let help = format!("ALTER TABLE {table} DETACH PARTITION {object} FINALIZE, then attach it again");
        problems.push(problem("detaching", "its detaching is pending".to_owned(), help));
    }
    for index in leaf.indexes.iter().filter(|index| !index.valid) {
        let (found, help) = index_wrong(&object, index);
        problems.push(problem("index", found, help));
    }
    if let Some(rows) = leaf.misplaced_rows.filter(|&rows| rows > 0) {
        let found = format!("{rows} rows whose hash belongs into another leaf");
        let help =
            format!("no query by the key finds them: delete them from {object} and insert them into {table}");
        problems.push(problem("misplaced rows", found, help));
    }
    problems
}

fn index_wrong(leaf: &str, index: &LeafIndex) -> (String, String) {
    match &index.name {
        Some(name) => (
            format!("{name}, its part of {}, is invalid", index.part_of),
            format!("REINDEX INDEX CONCURRENTLY {name} in the schema of {leaf}"),
        ),
        None => (
            format!("no part of {} is attached", index.part_of),
            format!(
                "CREATE INDEX CONCURRENTLY on {leaf} as {} is, then ALTER INDEX {} ATTACH PARTITION it",
                index.part_of, index.part_of
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(modulus: u64, remainder: u64) -> LeafStanding {
        let bound = HashBound { modulus, remainder };
        LeafStanding {
            schema: "s".to_owned(),
            name: bound.leaf_name("t"),
            modulus,
            remainder,
            rows: Some(1),
            bytes: 8192,
            detaching: false,
            indexes: vec![LeafIndex { part_of: "i".to_owned(), name: Some("i_0".to_owned()), valid: true }],
            misplaced_rows: None,
        }
    }

    fn problems(leaves: Vec<LeafStanding>) -> Vec<String> {
        let standing = judge("s.t".to_owned(), leaves);
        standing.problems.iter().map(|one| format!("{} {}: {}", one.object, one.kind, one.found)).collect()
    }

    #[test]
    fn each_problem_is_named() {
        assert_eq!(problems(vec![leaf(2, 0), leaf(4, 1), leaf(4, 3)]), [""; 0]);
        assert_eq!(problems(vec![leaf(2, 0), leaf(4, 1)]), ["s.t coverage: no leaf for hash mod 4 = 3"]);
        let mut leaves = vec![leaf(2, 0), leaf(2, 1)];
        leaves[1].detaching = true;
        assert_eq!(
            problems(leaves.clone()),
            ["s.t coverage: no leaf for hash mod 2 = 1", "s.t_m2_r1 detaching: its detaching is pending"]
        );
        leaves[1].detaching = false;
        leaves[0].misplaced_rows = Some(7);
        leaves[1].misplaced_rows = Some(0);
        leaves[1].indexes[0].valid = false;
        leaves[1].indexes.push(LeafIndex { part_of: "j".to_owned(), name: None, valid: false });
        let expected = [
            "s.t_m2_r0 misplaced rows: 7 rows whose hash belongs into another leaf",
            "s.t_m2_r1 index: i_0, its part of i, is invalid",
            "s.t_m2_r1 index: no part of j is attached",
        ];
        assert_eq!(problems(leaves), expected);
    }

    #[test]
    fn nobodys_estimate_is_none() {
        assert_eq!((estimated(-1.0), estimated(0.0), estimated(12.0)), (None, Some(0), Some(12)));
    }

    #[test]
    fn names_are_quoted() {
        let sql = misplaced("s", "t", &leaf(2, 1), &["a b".to_owned()]);
        assert!(sql.contains(r#"FROM ONLY "s"."t_m2_r1""#) && sql.contains(r#""a b")"#), "{sql}");
    }
}
