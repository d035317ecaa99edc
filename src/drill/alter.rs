//! One row of the copy changed on purpose: the drill must notice.

use uuid::Uuid;

use super::fingerprint::Fingerprint;
use super::relation::Relation;
use crate::pg::Session;
use crate::pg::error::{Doing as _, PgError};
use crate::pg::ident::{literal, quoted};

/// How rows are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alteration {
    /// One goes.
    DeleteRow,
    /// A time stamp of one moves by a microsecond.
    UpdateRow,
    /// One comes twice, unseen by the indexes.
    DuplicateRow,
    /// Two users' rows change owners within a leaf; how many rows there are stays the same.
    SwapUsers,
}

impl Alteration {
    /// What it does, for people.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self {
            Self::DeleteRow => "one row of the copy was deleted",
            Self::UpdateRow => "one row of the copy was changed",
            Self::DuplicateRow => "one row of the copy was duplicated",
            Self::SwapUsers => "the rows of two users of the copy were swapped",
        }
    }
}

/// Changes one row of a leaf that `seed` picks among those with rows; returns what was changed, `None` when nothing can be.
///
/// # Errors
/// What the server says.
pub(super) async fn alter(
    session: &Session,
    relations: &[Relation],
    content: &Fingerprint,
    seed: Uuid,
    alteration: Alteration,
) -> Result<Option<Relation>, PgError> {
    let Some(leaf) = pick(relations, content, seed, alteration) else { return Ok(None) };
    // Without triggers and foreign keys: exactly that.
    let change = statement(leaf, alteration);
    let sql = format!("BEGIN; SET LOCAL session_replication_role = replica; {change}; COMMIT");
    session.batch_execute(&sql).await.doing(|| format!("change a row of the copy's {}", leaf.label()))?;
    Ok(Some(leaf.clone()))
}

fn statement(leaf: &Relation, alteration: Alteration) -> String {
    let name = leaf.quoted();
    let row = format!("WHERE ctid = (SELECT ctid FROM ONLY {name} LIMIT 1)");
    match (alteration, &leaf.stamp) {
        (Alteration::UpdateRow, Some(stamp)) => {
            let stamp = quoted(stamp);
            format!("UPDATE ONLY {name} SET {stamp} = {stamp} + INTERVAL '1 microsecond' {row}")
        }
        (Alteration::DeleteRow | Alteration::UpdateRow, _) => format!("DELETE FROM ONLY {name} {row}"),
        (Alteration::DuplicateRow, _) => {
            let indexes = |ready: bool| {
                format!(
                    "UPDATE pg_catalog.pg_index SET indisready = {ready}, indisvalid = {ready} \
                     WHERE indrelid = {}::pg_catalog.regclass",
                    literal(&name)
                )
            };
            // The catalog is changed before and after, so that the insertion passes by the indexes.
            format!(
                "{}; COMMIT; BEGIN; SET LOCAL session_replication_role = replica; \
                 INSERT INTO {name} SELECT * FROM ONLY {name} LIMIT 1; COMMIT; BEGIN; {}",
                indexes(false),
                indexes(true)
            )
        }
        (Alteration::SwapUsers, _) => {
            // Taken out and put back: keys are checked row by row.
            format!(
                "CREATE TEMPORARY TABLE two ON COMMIT DROP AS \
                 SELECT min(user_id::text)::uuid AS a, max(user_id::text)::uuid AS b FROM ONLY {name}; \
                 CREATE TEMPORARY TABLE theirs ON COMMIT DROP AS \
                 SELECT t.* FROM ONLY {name} AS t, two WHERE user_id IN (a, b); \
                 DELETE FROM ONLY {name} USING two WHERE user_id IN (a, b); \
                 UPDATE theirs SET user_id = CASE user_id WHEN a THEN b ELSE a END FROM two; \
                 INSERT INTO {name} SELECT * FROM theirs"
            )
        }
    }
}

fn pick<'a>(
    relations: &'a [Relation],
    content: &Fingerprint,
    seed: Uuid,
    alteration: Alteration,
) -> Option<&'a Relation> {
    let fits = |leaf: &&Relation| {
        leaf.is_leaf
            && content.rows_of(&leaf.label()) > 0
            && match alteration {
                Alteration::DeleteRow | Alteration::DuplicateRow => true,
                Alteration::UpdateRow => leaf.stamp.is_some(),
                // Several users share a leaf; elsewhere they have one row each, and a key that others refer to.
                Alteration::SwapUsers => leaf.is_by_user(),
            }
    };
    let candidates: Vec<&Relation> = relations.iter().filter(fits).collect();
    let place = seed.as_u128() % u128::try_from(candidates.len()).ok().filter(|n| *n > 0)?;
    candidates.get(usize::try_from(place).ok()?).copied()
}
