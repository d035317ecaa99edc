//! The load as a list of units, each one COPY into one relation in one transaction. Pure: who is in which leaf.

use std::ops::Range;
use std::sync::Arc;

use super::order::{Layout, Member, walk};
use super::row::Rows;
use super::{Model, Shard, Table};
use crate::partition::hash::{CoverageError, Router};
use crate::partition::map::{Leaf, MonthLeaf};
use crate::pg::ident::qualified;

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
    part: Part,
}

/// Which rows of the table.
#[derive(Debug, Clone)]
enum Part {
    /// Those of these entities.
    Entities(Vec<Range<u64>>),
    /// Items of the users in one leaf, in this order.
    Users { router: Arc<Router>, leaf: usize, layout: Layout },
}

impl Unit {
    fn new(table: Table, schema: &str, name: &str, freeze: bool, rows: u64, part: Part) -> Self {
        let relation = qualified(schema, name);
        Self { table, relation, name: format!("{schema}.{name}"), freeze, rows, part }
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
        match &self.part {
            Part::Entities(ranges) => {
                for index in ranges.iter().cloned().flatten() {
                    self.table.write(model, index, rows);
                    if !goes_on(rows) {
                        return;
                    }
                }
            }
            Part::Users { router, leaf, layout } => {
                walk(model, members(model, router, *leaf), *layout, |user, pick| {
                    Table::write_item(model, user, pick, rows);
                    goes_on(rows)
                });
            }
        }
    }
}

/// The users of a leaf who have items.
fn members(model: &Model, router: &Router, leaf: usize) -> Vec<Member> {
    let member = |(user, items): (u32, u64)| {
        let here = items > 0 && router.leaf(model.user_id(u64::from(user))) == leaf;
        here.then(|| Member { user, items: u32::try_from(items).unwrap_or(u32::MAX) })
    };
    (0..).zip(model.items_of_users()).filter_map(member).collect()
}

/// A table that is there, and how it is to be loaded.
#[derive(Debug, Clone)]
pub struct Present {
    /// The table.
    pub table: Table,
    /// Its oid.
    pub oid: u32,
    /// Whether it is partitioned.
    pub partitioned: bool,
    /// What takes its rows.
    pub route: Route,
}

/// The way that rows take into a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Into the table itself, frozen where that is possible.
    Table {
        /// Whether rows can be written frozen.
        freeze: bool,
    },
    /// Straight into leaves by the hash of the user.
    Hash(Vec<Leaf>),
    /// Straight into leaves by month.
    Months(Vec<MonthLeaf>),
}

/// The units that fill `tables`, the largest first, so that none is left alone at the end.
///
/// # Errors
/// Where the leaves do not cover every row.
pub fn units(model: &Model, tables: &[Present], layout: Layout) -> Result<Vec<Unit>, CoverageError> {
    let mut units = Vec::new();
    for present in tables {
        units.extend(match &present.route {
            Route::Hash(leaves) => by_hash(model, leaves, layout)?,
            Route::Months(leaves) => match by_month(model, present.table, leaves) {
                Some(units) => units,
                // Rows that no leaf takes are refused by the parent.
                None => vec![whole(model, present.table, false, layout)?],
            },
            Route::Table { freeze } => vec![whole(model, present.table, *freeze, layout)?],
        });
    }
    units.sort_by(|a, b| b.rows.cmp(&a.rows).then_with(|| a.name.cmp(&b.name)));
    Ok(units)
}

/// The units of `all`, which stand in the order of [`units`], that `shard` loads: every shard finds the same shares, of
/// about equally many rows, without asking the others.
#[must_use]
pub fn of_shard(all: &[Unit], shard: Shard) -> Vec<Unit> {
    let mut loads = vec![0u64; usize::try_from(shard.of.get()).unwrap_or(1)];
    let mut own = Vec::new();
    for unit in all {
        // The least loaded takes the next largest.
        let least = (0..loads.len()).min_by_key(|&shard| loads[shard]).unwrap_or(0);
        loads[least] += unit.rows + 1;
        if least as u64 + 1 == u64::from(shard.number.get()) {
            own.push(unit.clone());
        }
    }
    own
}

fn whole(model: &Model, table: Table, freeze: bool, layout: Layout) -> Result<Unit, CoverageError> {
    let part = if table == Table::UserMedia {
        Part::Users { router: Arc::new(Router::new(&[(1, 0)])?), leaf: 0, layout }
    } else {
        Part::Entities(std::iter::once(0..table.entities(model)).collect())
    };
    Ok(Unit::new(table, table.schema(), table.table(), freeze, table.rows(model), part))
}

fn by_hash(model: &Model, leaves: &[Leaf], layout: Layout) -> Result<Vec<Unit>, CoverageError> {
    let bounds: Vec<(u64, u64)> = leaves.iter().map(|leaf| (leaf.modulus, leaf.remainder)).collect();
    let router = Arc::new(Router::new(&bounds)?);
    let mut rows = vec![0; leaves.len()];
    for (user, items) in (0..).zip(model.items_of_users()).filter(|&(_, items)| items > 0) {
        rows[router.leaf(model.user_id(user))] += items;
    }
    let unit = |(position, (leaf, rows)): (usize, (&Leaf, u64))| {
        let part = Part::Users { router: Arc::clone(&router), leaf: position, layout };
        Unit::new(Table::UserMedia, &leaf.schema, &leaf.name, true, rows, part)
    };
    Ok(leaves.iter().zip(rows).enumerate().map(unit).collect())
}

/// Entities stand in the order of time: each leaf takes a stretch of them, the default leaf what is left. `None` where
/// something is left and there is no default leaf.
fn by_month(model: &Model, table: Table, leaves: &[MonthLeaf]) -> Option<Vec<Unit>> {
    let entities = table.entities(model);
    let mut bounded: Vec<&MonthLeaf> = leaves.iter().filter(|leaf| leaf.months.is_some()).collect();
    bounded.sort_by_key(|leaf| leaf.months.as_ref().map(|months| months.start));
    let mut units = Vec::new();
    let (mut rest, mut taken) = (Vec::new(), 0);
    let mut unit = |leaf: &MonthLeaf, ranges: Vec<Range<u64>>| {
        let rows = ranges.iter().map(|range| range.end - range.start).sum();
        units.push(Unit::new(table, &leaf.schema, &leaf.name, true, rows, Part::Entities(ranges)));
    };
    for leaf in bounded {
        let Some(months) = &leaf.months else { continue };
        let until = |time| super::table::entities_before(table, model, time);
        let range = until(months.start).max(taken)..until(months.end);
        rest.push(taken..range.start);
        taken = range.end.max(taken);
        unit(leaf, vec![range]);
    }
    rest.push(taken..entities);
    match leaves.iter().find(|leaf| leaf.months.is_none()) {
        Some(leaf) => unit(leaf, rest),
        None if rest.iter().any(|range| !range.is_empty()) => return None,
        None => {}
    }
    Some(units)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datagen::Sizes;
    use crate::datagen::row::Tally;
    use crate::datagen::shape::Shape;

    fn leaf(modulus: u64, remainder: u64) -> Leaf {
        let name = format!("user_media_m{modulus}_r{remainder}");
        Leaf { oid: 0, schema: "interaction".to_owned(), name, modulus, remainder }
    }

    fn present(table: Table, route: Route) -> Present {
        Present { table, oid: 0, partitioned: !matches!(route, Route::Table { .. }), route }
    }

    fn plain() -> Vec<Present> {
        Table::ALL.map(|table| present(table, Route::Table { freeze: true })).to_vec()
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

    fn model() -> Model {
        Model::new(5, Sizes { users: 100, media: 400, user_media: 3_000 }, &Shape::default())
    }

    #[test]
    fn leaves_of_any_moduli_and_layouts_hold_the_same_rows_together() {
        let model = model();
        let of = |route, layout| {
            units(&model, &[present(Table::UserMedia, route)], layout).map(|units| tally(&model, &units))
        };
        let whole = of(Route::Table { freeze: true }, Layout::Arrival).unwrap();
        assert_eq!(whole.rows, 3_000);
        let mixed = vec![leaf(2, 0), leaf(4, 1), leaf(8, 3), leaf(8, 7)];
        for layout in [Layout::Arrival, Layout::Clustered] {
            assert_eq!(of(Route::Hash(vec![leaf(1, 0)]), layout).unwrap(), whole);
            assert_eq!(of(Route::Hash(mixed.clone()), layout).unwrap(), whole);
        }
        assert!(of(Route::Hash(vec![leaf(2, 0)]), Layout::Arrival).is_err());
    }

    #[test]
    fn months_hold_the_same_rows_together() {
        let model = model();
        let leaf = |months| MonthLeaf { schema: "auth".to_owned(), name: "x".to_owned(), months };
        let months =
            |month| crate::partition::bound::moments(&crate::partition::bound::month_bound(2026, month));
        let all =
            units(&model, &[present(Table::LoginEvents, Route::Table { freeze: true })], Layout::Arrival);
        let all = tally(&model, &all.unwrap());
        let leaves = vec![leaf(months(10)), leaf(None), leaf(months(9))];
        let units =
            units(&model, &[present(Table::LoginEvents, Route::Months(leaves))], Layout::Arrival).unwrap();
        assert!(units.len() == 3 && units.iter().all(|unit| unit.rows > 100));
        assert_eq!(tally(&model, &units), all);
        // Without a default leaf there is no place for August: the parent is to say so.
        let leaves = vec![leaf(months(10)), leaf(months(9))];
        let units =
            super::units(&model, &[present(Table::LoginEvents, Route::Months(leaves))], Layout::Arrival)
                .unwrap();
        assert_eq!((units.len(), units[0].name.as_str(), units[0].freeze), (1, "auth.login_events", false));
    }

    #[test]
    fn the_largest_unit_comes_first() {
        let units = units(&model(), &plain(), Layout::Arrival).unwrap();
        assert_eq!(units.len(), Table::ALL.len());
        assert!(units.is_sorted_by(|a, b| a.rows >= b.rows));
    }

    #[test]
    fn shards_share_everything_out_evenly() {
        let leaves: Vec<Leaf> = (0..16).map(|remainder| leaf(16, remainder)).collect();
        let tables = [present(Table::UserMedia, Route::Hash(leaves))];
        let all = units(&model(), &tables, Layout::Arrival).unwrap();
        for of in 1..=20 {
            let shard = |number| of_shard(&all, Shard::new(number, of).unwrap());
            let mut names: Vec<String> = (1..=of).flat_map(shard).map(|unit| unit.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), 16, "{of}");
        }
        let rows =
            |number| of_shard(&all, Shard::new(number, 2).unwrap()).iter().map(|unit| unit.rows).sum::<u64>();
        assert!(rows(1).abs_diff(rows(2)) < 400, "{} {}", rows(1), rows(2));
    }
}
