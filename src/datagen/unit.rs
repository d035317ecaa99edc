//! The load as a list of units, each one COPY into one relation in one transaction. Pure: who is in which leaf.

use crate::partition::hash::{CoverageError, Router};
use crate::partition::map::Leaf;
use crate::pg::ident::qualified;

use super::row::Rows;
use super::{Model, Table};

/// One relation and the rows it gets.
#[derive(Debug, Clone)]
pub struct Unit {
    /// The table.
    pub table: Table,
    /// Qualified and quoted name of the relation that is copied into: the table, or one of its leaves.
    pub relation: String,
    /// The same name for people.
    pub name: String,
    /// Whether rows can be written frozen: PostgreSQL refuses that for a partitioned table, not for its leaves.
    pub freeze: bool,
    /// Number of rows.
    pub rows: u64,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    /// All entities of the table.
    All(u64),
    /// Users, with the number of their items.
    Users(Vec<(u32, u32)>),
}

impl Unit {
    fn whole(table: Table, partitioned: bool, model: &Model) -> Self {
        Self {
            table,
            relation: qualified(table.schema(), table.table()),
            name: table.name().to_owned(),
            freeze: !partitioned,
            rows: table.rows(model),
            source: Source::All(table.entities(model)),
        }
    }

    fn leaf(leaf: &Leaf, users: Vec<(u32, u32)>) -> Self {
        Self {
            table: Table::UserMedia,
            relation: qualified(&leaf.schema, &leaf.name),
            name: format!("{}.{}", leaf.schema, leaf.name),
            freeze: true,
            rows: users.iter().map(|&(_, items)| u64::from(items)).sum(),
            source: Source::Users(users),
        }
    }

    /// Encodes all rows; calls `full` after each entity that filled `rows` with `size` bytes or more, and goes on while
    /// that returns true.
    pub fn write(
        &self,
        model: &Model,
        rows: &mut Rows,
        size: usize,
        mut full: impl FnMut(&mut Rows) -> bool,
    ) {
        let mut goes_on = |rows: &mut Rows| rows.len() < size || full(rows);
        match &self.source {
            Source::All(entities) => {
                for index in 0..*entities {
                    self.table.write(model, index, rows);
                    if !goes_on(rows) {
                        return;
                    }
                }
            }
            Source::Users(users) => {
                for &(user, items) in users {
                    Table::write_items(model, u64::from(user), u64::from(items), rows);
                    if !goes_on(rows) {
                        return;
                    }
                }
            }
        }
    }
}

/// A table that is there, and whether it is partitioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present {
    /// The table.
    pub table: Table,
    /// Its oid.
    pub oid: u32,
    /// Whether it is partitioned.
    pub partitioned: bool,
}

/// The units that fill `tables`, the largest first, so that none is left alone at the end. `leaves` are those of
/// `interaction.user_media`.
///
/// # Errors
/// Where the leaves do not cover every user.
pub fn units(model: &Model, tables: &[Present], leaves: &[Leaf]) -> Result<Vec<Unit>, CoverageError> {
    let mut units = Vec::new();
    for &Present { table, partitioned, .. } in tables {
        if table == Table::UserMedia && partitioned {
            let users = users_by_leaf(model, leaves)?;
            units.extend(leaves.iter().zip(users).map(|(leaf, users)| Unit::leaf(leaf, users)));
        } else {
            units.push(Unit::whole(table, partitioned, model));
        }
    }
    units.sort_by_key(|unit| std::cmp::Reverse(unit.rows));
    Ok(units)
}

/// Users and the number of their items, for each leaf.
fn users_by_leaf(model: &Model, leaves: &[Leaf]) -> Result<Vec<Vec<(u32, u32)>>, CoverageError> {
    let bounds: Vec<(u64, u64)> = leaves.iter().map(|leaf| (leaf.modulus, leaf.remainder)).collect();
    let router = Router::new(&bounds)?;
    let mut users = vec![Vec::new(); leaves.len()];
    for (user, items) in (0u32..).zip(model.items_of_users()) {
        if items > 0 {
            let leaf = router.leaf(model.user_id(u64::from(user)));
            users[leaf].push((user, u32::try_from(items).unwrap_or(u32::MAX)));
        }
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datagen::Sizes;
    use crate::datagen::row::Tally;

    fn leaf(modulus: u64, remainder: u64) -> Leaf {
        let name = format!("user_media_m{modulus}_r{remainder}");
        Leaf { oid: 0, schema: "interaction".to_owned(), name, modulus, remainder }
    }

    fn tally(model: &Model, units: &[Unit]) -> Tally {
        let mut sum = Tally::default();
        for unit in units {
            let mut rows = Rows::new(unit.table.columns());
            let mut chunks = 0;
            unit.write(model, &mut rows, 4096, |rows| {
                chunks += 1;
                !rows.take(Vec::new()).is_empty()
            });
            assert_eq!(rows.tally().rows, unit.rows, "{}", unit.name);
            assert!(chunks > 0 || unit.rows < 100);
            sum += rows.tally();
        }
        sum
    }

    #[test]
    fn leaves_of_any_moduli_hold_the_same_rows_together() {
        let model = Model::new(5, Sizes { users: 100, media: 400, user_media: 3_000 });
        let table = [Present { table: Table::UserMedia, oid: 0, partitioned: true }];
        let of = |leaves: &[Leaf]| tally(&model, &units(&model, &table, leaves).unwrap());
        let whole = of(&[leaf(1, 0)]);
        assert_eq!(whole.rows, 3_000);
        assert_eq!(of(&[leaf(2, 0), leaf(4, 1), leaf(8, 3), leaf(8, 7)]), whole);
        assert!(units(&model, &table, &[leaf(2, 0)]).is_err());
        let plain = [Present { partitioned: false, ..table[0] }];
        assert_eq!(tally(&model, &units(&model, &plain, &[]).unwrap()), whole);
    }

    #[test]
    fn the_largest_unit_comes_first() {
        let model = Model::new(5, Sizes { users: 100, media: 400, user_media: 3_000 });
        let tables = Table::ALL.map(|table| Present { table, oid: 0, partitioned: false });
        let units = units(&model, &tables, &[]).unwrap();
        assert_eq!(units.len(), Table::ALL.len());
        assert!(units.is_sorted_by(|a, b| a.rows >= b.rows));
    }
}
