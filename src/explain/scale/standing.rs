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
        self.relations.iter().filter(|one| one.is_leaf_of_items()).map(|leaf| leaf.rows.max(0.0)).sum::<f64>()
            as u64
    }

    /// Leaves of `interaction.user_media`.
    pub(super) fn leaves(&self) -> u64 {
        self.relations.iter().filter(|one| one.is_leaf_of_items()).count().max(1) as u64
    }

    fn named(&self, schema: &str, name: &str) -> Option<&Relation> {
        self.relations.iter().find(|one| (one.schema.as_str(), one.name.as_str()) == (schema, name))
    }

    /// The size of the server's counterpart of `relation`: where it has other leaves, an even part of what they have. `alike` are so
    /// many in the sample.
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    fn size_of(&self, relation: &Relation, alike: u64) -> Option<Size> {
        if let Some(other) = self.named(&relation.schema, &relation.name) {
            return Some(Size {
                pages: other.pages,
                rows: other.rows.max(0.0),
                visible: other.visible,
                height: 0,
            });
        }
        let others: Vec<&Relation> = self
            .relations
            .iter()
            .filter(|one| (&one.alike, one.kind) == (&relation.alike, relation.kind))
            .collect();
        if others.is_empty() {
            return None;
        }
        // A month that is not there has no rows; what a leaf by hash has is somewhere.
        if (relation.root.0.as_str(), relation.root.1.as_str()) != USER_MEDIA {
            return Some(Size { pages: 0, rows: 0.0, visible: 0, height: 0 });
        }
        let sum =
            |of: &dyn Fn(&Relation) -> u64| others.iter().map(|one| of(one)).sum::<u64>() / alike.max(1);
        let rows = others.iter().map(|one| one.rows.max(0.0)).sum::<f64>() / alike.max(1) as f64;
        Some(Size { pages: sum(&|one| one.pages), rows, visible: sum(&|one| one.visible), height: 0 })
    }

    /// What the server knows of the counterpart of the column `key` of `relation`.
    fn column(&self, key: &Key, relation: &Relation) -> Option<&Column> {
        let named = self.columns.get(key);
        named.or_else(|| {
            let is_alike = |one: &&Relation| (&one.alike, one.kind) == (&relation.alike, relation.kind);
            let of = |one: &Relation| Key {
                schema: one.schema.clone(),
                relation: one.name.clone(),
                ..key.clone()
            };
            self.relations.iter().filter(is_alike).find_map(|one| self.columns.get(&of(one)))
        })
    }

    /// Puts this in the place of what is known of `sample`.
    ///
    /// # Errors
    /// Where a table has no counterpart, or the server has never analyzed it.
    pub(super) fn adopt(&self, sample: &mut Sample) -> std::result::Result<(), UsageError> {
        if let Some(never) = self.relations.iter().find(|one| one.kind == Kind::Table && one.rows < 0.0) {
            return Err(UsageError(format!(
                "{} has never analyzed {}.{}\n  help: ANALYZE it there first",
                self.from, never.schema, never.name
            )));
        }
        let mut alike: BTreeMap<(String, Kind), u64> = BTreeMap::new();
        for relation in &sample.relations {
            *alike.entry((relation.alike.clone(), relation.kind)).or_default() += 1;
        }
        for relation in &mut sample.relations {
            let alike = alike.get(&(relation.alike.clone(), relation.kind)).copied().unwrap_or(1);
            relation.standing = self.size_of(relation, alike);
            if relation.standing.is_none() && relation.kind == Kind::Table {
                return Err(self.differs(relation));
            }
        }
        let tables: BTreeMap<(String, String), f64> = sample
            .relations
            .iter()
            .filter_map(|one| Some(((one.schema.clone(), one.name.clone()), one.standing?.rows)))
            .collect();
        for index in sample.relations.iter_mut().filter(|one| one.standing.is_none()) {
            // An index that the server has not: of as many rows as its table has there.
            index.standing_rows =
                tables.get(&(index.schema.clone(), index.owner.clone())).map(|rows| rows * index.share());
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
        let known = std::mem::take(&mut sample.columns);
        for key in known.into_keys() {
            let Some(relation) = sample.relation(&key).cloned() else { continue };
            match self.column(&key, &relation).cloned() {
                Some(column) => {
                    if sample.grows(&key) {
                        sample.adopted.insert(key.clone(), growth(&key, &column, &relation));
                    }
                    sample.columns.insert(key, column);
                }
                None => sample.unknown.push(key),
            }
        }
        Ok(())
    }

    fn differs(&self, relation: &Relation) -> UsageError {
        let Relation { schema, name, .. } = relation;
        UsageError(format!(
            "{} has no table {schema}.{name}\n  help: its schema is to be that of the migrations",
            self.from
        ))
    }
}

/// How the values of a growing `column` change: as many rows each as now, or the same shares.
#[expect(clippy::cast_precision_loss, reason = "at most 10000 entries")]
fn growth(key: &Key, column: &Column, relation: &Relation) -> Growth {
    let all = relation.standing.map_or(0.0, |size| size.rows).max(1.0);
    let (filled, values) = (all * (1.0 - column.null_frac), column.values(all).max(1.0));
    if !(Known::is_known(key) && key.column == "media_id") {
        return Growth::Groups(vec![((filled / values).max(1.0), values)]);
    }
    let first = column.common.as_ref().map(columns::Common::pairs).unwrap_or_default();
    let listed: f64 = first.iter().map(|(_, share)| share).sum();
    let others = (values - first.len() as f64).max(1.0);
    let all =
        first.iter().map(|(_, share)| (*share, 1.0)).chain([((1.0 - listed) / others, others)]).collect();
    Growth::Shares(Shares { first, all })
}
