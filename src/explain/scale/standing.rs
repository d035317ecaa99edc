//! What the planner of another server knows, in the place of what the model says: its sizes and its statistics, no data.

use std::collections::BTreeMap;

use super::columns::{self, Column, Key};
use super::known::Known;
use super::relations::{self, Kind, Relation, Size};
use super::sample::Sample;
use super::statistics::{Growth, Shares};
use crate::datagen::Sizes;
use crate::pg::error::Result;
use crate::pg::{Session, Target};
use crate::schema::plan::USER_MEDIA;
use crate::verdict::UsageError;

/// Sizes of tables and indexes and statistics of columns, as a server has them.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// `user@host:port/dbname`.
    pub from: String,
    relations: Vec<Relation>,
    columns: BTreeMap<Key, Column>,
}

/// Reads what the planner of `target` knows; nothing is written there, and no table is read. Columns that the role may not
/// select from are not told.
///
/// # Errors
/// When the server cannot be asked.
pub async fn standing(target: &Target) -> Result<Standing> {
    let session = Session::connect(target, "explain").await?;
    let (relations, columns) = (relations::read(&session).await?, columns::read(&session).await?);
    session.close().await;
    Ok(Standing { from: target.to_string(), relations, columns })
}

impl Standing {
    /// Rows of `interaction.user_media`.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rows")]
    pub(super) fn rows(&self) -> u64 {
        let is_leaf = |one: &&Relation| {
            one.kind == Kind::Table && (one.root.0.as_str(), one.root.1.as_str()) == USER_MEDIA
        };
        self.relations.iter().filter(is_leaf).map(|leaf| leaf.rows.max(0.0)).sum::<f64>() as u64
    }

    /// The size of the server's counterpart of `relation`.
    fn size_of(&self, relation: &Relation) -> Option<Size> {
        let other = self
            .relations
            .iter()
            .find(|one| (&one.schema, &one.name) == (&relation.schema, &relation.name))?;
        Some(Size { pages: other.pages, rows: other.rows.max(0.0), visible: other.visible, height: 0 })
    }

    /// Puts this in the place of what is known of `sample`.
    ///
    /// # Errors
    /// Where a table has no counterpart, or the server has never analyzed it.
    pub(super) fn adopt(&self, sample: &mut Sample) -> std::result::Result<(), UsageError> {
        for relation in &mut sample.relations {
            let size = self.size_of(relation);
            if size.is_none() && relation.kind == Kind::Table {
                return Err(self.differs(relation));
            }
            relation.standing = size;
        }
        let rows = self.rows();
        if rows == 0 {
            return Err(UsageError(format!(
                "{} knows no rows of interaction.user_media\n  help: ANALYZE it, or plan by the model, without --stats-from",
                self.from
            )));
        }
        let of = |size: u64| {
            (u128::from(size) * u128::from(rows) / u128::from(sample.sizes.user_media.max(1))).max(1)
        };
        let of = |size: u64| u64::try_from(of(size)).unwrap_or(u64::MAX);
        sample.sizes =
            Sizes { users: of(sample.sizes.users), media: of(sample.sizes.media), user_media: rows };
        let growing: Vec<Key> = sample.columns.keys().filter(|key| sample.grows(key)).cloned().collect();
        sample.columns = self.columns.clone();
        sample.adopted =
            growing.into_iter().filter_map(|key| Some((key.clone(), self.growth(&key)?))).collect();
        Ok(())
    }

    fn differs(&self, relation: &Relation) -> UsageError {
        let Relation { schema, name, .. } = relation;
        UsageError(format!(
            "{} has no table {schema}.{name}\n  help: it is migrated differently; --partitions N where only the number of leaves differs",
            self.from
        ))
    }

    /// How the values of a growing column change: as many rows each as now, or the same shares.
    fn growth(&self, key: &Key) -> Option<Growth> {
        let column = self.columns.get(key)?;
        let relation =
            self.relations.iter().find(|one| (&one.schema, &one.name) == (&key.schema, &key.relation))?;
        let (all, filled) = (relation.rows.max(1.0), relation.rows.max(1.0) * (1.0 - column.null_frac));
        let values = column.values(all).max(1.0);
        if !(Known::is_known(key) && key.column == "media_id") {
            return Some(Growth::Groups(vec![((filled / values).max(1.0), values)]));
        }
        let first = column.common.as_ref().map(columns::Common::pairs).unwrap_or_default();
        let listed: f64 = first.iter().map(|(_, share)| share).sum();
        let others = (values - first.len() as f64).max(1.0);
        let all =
            first.iter().map(|(_, share)| (*share, 1.0)).chain([((1.0 - listed) / others, others)]).collect();
        Some(Growth::Shares(Shares { first, all }))
    }
}
