//! One row of the copy changed on purpose: the drill must notice.

use uuid::Uuid;

use super::fingerprint::Fingerprint;
use super::relation::Relation;
use crate::pg::Session;
use crate::pg::error::{Doing as _, PgError};
use crate::pg::ident::quoted;

/// How a row is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alteration {
    /// It goes.
    DeleteRow,
    /// One of its time stamps moves by a microsecond.
    UpdateRow,
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
    let name = leaf.quoted();
    let row = format!("WHERE ctid = (SELECT ctid FROM ONLY {name} LIMIT 1)");
    let change = match (alteration, &leaf.stamp) {
        (Alteration::UpdateRow, Some(stamp)) => {
            let stamp = quoted(stamp);
            format!("UPDATE ONLY {name} SET {stamp} = {stamp} + INTERVAL '1 microsecond' {row}")
        }
        (Alteration::DeleteRow | Alteration::UpdateRow, _) => format!("DELETE FROM ONLY {name} {row}"),
    };
    // Without triggers and foreign keys: exactly one row.
    let sql = format!("BEGIN; SET LOCAL session_replication_role = replica; {change}; COMMIT");
    session.batch_execute(&sql).await.doing(|| format!("change a row of the copy's {}", leaf.label()))?;
    Ok(Some(leaf.clone()))
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
            && (alteration == Alteration::DeleteRow || leaf.stamp.is_some())
    };
    let candidates: Vec<&Relation> = relations.iter().filter(fits).collect();
    let place = seed.as_u128() % u128::try_from(candidates.len()).ok().filter(|n| *n > 0)?;
    candidates.get(usize::try_from(place).ok()?).copied()
}
