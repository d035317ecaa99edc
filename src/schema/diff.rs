//! The difference between the plan's schema and a live one: pure.
//!
//! Tables are held against the plan, leaves against the table they belong to, so that what is wrong once is said once.
//! Leaves of a hash-partitioned table are judged by what they take together: a split makes others of them, and that is no
//! drift. Months may be added to a table partitioned by month. The order of columns is not compared: nothing of ours
//! depends on it.

use std::collections::BTreeSet;

use super::Drift;
use super::leaves::{absent, proper_name};
use super::model::{Column, Constraint, Enum, Index, Leaf, Schema, Shape, Table};

/// Every difference, by kind of object, in the plan's order.
#[must_use]
pub fn diff(plan: &Schema, live: &Schema) -> Vec<Drift> {
    let mut found = Found(Vec::new());
    found.schemas(plan, live);
    found.extensions(plan, live);
    let same = |a: &Enum, b: &Enum| a.name == b.name;
    found.pairs("", &plan.enums, &live.enums, same, |found, name, plan, live| {
        found.differs(name, "values", &plan.says(), &live.says());
    });
    found.tables(plan, live);
    for other in &live.others {
        found.unexpected(&other.name, &other.kind);
    }
    found.0
}

/// A part of a schema or table, for messages.
trait Part {
    fn name(&self) -> &str;
    fn says(&self) -> String;
}

impl Part for Enum {
    fn name(&self) -> &str {
        &self.name
    }

    fn says(&self) -> String {
        self.values.join(", ")
    }
}

impl Part for Column {
    fn name(&self) -> &str {
        &self.name
    }

    fn says(&self) -> String {
        format!("{} {}", self.data_type, null(self))
    }
}

impl Part for Constraint {
    fn name(&self) -> &str {
        &self.name
    }

    fn says(&self) -> String {
        self.definition.clone()
    }
}

impl Part for Index {
    fn name(&self) -> &str {
        &self.name
    }

    fn says(&self) -> String {
        self.definition.clone()
    }
}

/// The differences found so far.
struct Found(Vec<Drift>);

impl Found {
    fn add(&mut self, object: &str, kind: &str, expected: Option<&str>, found: Option<&str>) {
        self.0.push(Drift {
            object: object.to_owned(),
            kind: kind.to_owned(),
            expected: expected.map(str::to_owned),
            found: found.map(str::to_owned),
        });
    }

    fn missing(&mut self, object: &str, expected: &str) {
        self.add(object, "missing", Some(expected), None);
    }

    fn unexpected(&mut self, object: &str, found: &str) {
        self.add(object, "unexpected", None, Some(found));
    }

    fn differs(&mut self, object: &str, kind: &str, expected: &str, found: &str) {
        if expected != found {
            self.add(object, kind, Some(expected), Some(found));
        }
    }

    fn validity(&mut self, object: &str, valid: bool) {
        self.differs(object, "validity", "valid", if valid { "valid" } else { "invalid" });
    }

    /// Pairs up the parts of `within` that are the `same`; what has no partner is missing or unexpected.
    fn pairs<T: Part>(
        &mut self,
        within: &str,
        plan: &[T],
        live: &[T],
        same: impl Fn(&T, &T) -> bool,
        compare: impl Fn(&mut Self, &str, &T, &T),
    ) {
        let object = |part: &T| {
            if within.is_empty() { part.name().to_owned() } else { format!("{within}.{}", part.name()) }
        };
        for expected in plan {
            match live.iter().find(|found| same(expected, found)) {
                Some(found) => compare(self, &object(expected), expected, found),
                None => self.missing(&object(expected), &expected.says()),
            }
        }
        for found in live.iter().filter(|found| !plan.iter().any(|expected| same(expected, found))) {
            self.unexpected(&object(found), &found.says());
        }
    }

    fn schemas(&mut self, plan: &Schema, live: &Schema) {
        for schema in plan.schemas.iter().filter(|schema| !live.schemas.contains(schema)) {
            self.missing(schema, "schema");
        }
    }

    fn extensions(&mut self, plan: &Schema, live: &Schema) {
        for expected in &plan.extensions {
            match live.extensions.iter().find(|one| one.name == expected.name) {
                None => self.missing(&expected.name, "extension"),
                Some(found) => self.differs(&expected.name, "schema", &expected.schema, &found.schema),
            }
        }
    }

    fn tables(&mut self, plan: &Schema, live: &Schema) {
        let mut detached = BTreeSet::new();
        for expected in &plan.tables {
            match live.table(&expected.schema, &expected.name) {
                None => self.missing(&expected.qualified(), "table"),
                Some(found) => self.table(expected, found, live, &mut detached),
            }
        }
        for found in &live.tables {
            let name = found.qualified();
            if plan.table(&found.schema, &found.name).is_none() && !detached.contains(&name) {
                self.unexpected(&name, "table");
            }
        }
    }

    fn table(&mut self, plan: &Table, live: &Table, all: &Schema, detached: &mut BTreeSet<String>) {
        let table = plan.qualified();
        self.differs(&table, "persistence", &plan.persistence, &live.persistence);
        self.differs(&table, "definition", partitioning(plan), partitioning(live));
        self.columns(&table, &plan.shape, &live.shape);
        let same = |a: &Constraint, b: &Constraint| a.name == b.name;
        let (expected, found) = (&plan.shape.constraints, &live.shape.constraints);
        self.pairs(&table, expected, found, same, |drifts, name, expected, found| {
            drifts.differs(name, "definition", &expected.definition, &found.definition);
            drifts.validity(name, found.valid);
        });
        let same = |a: &Index, b: &Index| a.name == b.name;
        self.pairs(
            &plan.schema,
            &plan.shape.indexes,
            &live.shape.indexes,
            same,
            |drifts, name, expected, found| {
                drifts.differs(name, "definition", &expected.definition, &found.definition);
                drifts.validity(name, found.valid);
            },
        );
        // With another key every leaf is another one, and the key has been said.
        if plan.partition_key == live.partition_key {
            self.absent_leaves(plan, live, all, detached);
            for leaf in &live.leaves {
                self.leaf(live, leaf);
            }
        }
    }

    fn columns(&mut self, table: &str, plan: &Shape, live: &Shape) {
        let same = |a: &Column, b: &Column| a.name == b.name;
        self.pairs(table, &plan.columns, &live.columns, same, |drifts, name, expected, found| {
            drifts.differs(name, "type", &expected.data_type, &found.data_type);
            drifts.differs(name, "nullability", null(expected), null(found));
            let default = |column: &Column| column.default.clone().unwrap_or_else(|| "no default".to_owned());
            drifts.differs(name, "default", &default(expected), &default(found));
        });
    }

    fn absent_leaves(&mut self, plan: &Table, live: &Table, all: &Schema, detached: &mut BTreeSet<String>) {
        for (name, bound) in absent(plan, live) {
            let leaf = format!("{}.{name}", plan.schema);
            if all.table(&plan.schema, &name).is_some() {
                let expected = format!("leaf of {} {bound}", plan.qualified());
                self.differs(&leaf, "bound", &expected, "a table of its own");
                detached.insert(leaf);
            } else {
                self.missing(&leaf, &bound);
            }
        }
    }

    /// Holds a leaf against the table it belongs to.
    fn leaf(&mut self, table: &Table, leaf: &Leaf) {
        let name = leaf.qualified();
        match proper_name(table, &leaf.bound) {
            Some(proper) => self.differs(&name, "bound", &bound_of(&proper, leaf), &bound_of(&name, leaf)),
            None => self.unexpected(&name, &leaf.bound),
        }
        self.differs(&name, "persistence", &table.persistence, &leaf.persistence);
        self.columns(&name, &table.shape, &leaf.shape);
        // Keys of leaves bear names of their own; what they say is what counts.
        let same = |a: &Constraint, b: &Constraint| a.definition == b.definition;
        let (expected, found) = (&table.shape.constraints, &leaf.shape.constraints);
        self.pairs(&name, expected, found, same, |drifts, name, _, found| drifts.validity(name, found.valid));
        // So do indexes; the partitioned index that each is a part of identifies it, and has its definition.
        let same = |a: &Index, b: &Index| b.parent.as_ref() == Some(&a.name);
        let (expected, found) = (&table.shape.indexes, &leaf.shape.indexes);
        self.pairs(&name, expected, found, same, |drifts, name, _, found| drifts.validity(name, found.valid));
    }
}

fn null(column: &Column) -> &'static str {
    if column.not_null { "NOT NULL" } else { "NULL" }
}

fn partitioning(table: &Table) -> &str {
    table.partition_key.as_deref().unwrap_or("not partitioned")
}

fn bound_of(name: &str, leaf: &Leaf) -> String {
    format!("{name} {}", leaf.bound)
}

#[cfg(test)]
mod tests {
    use super::super::model::{Extension, Other};
    use super::super::plan::PLAN;
    use super::*;
    use crate::partition::bound::{self, HashBound};

    /// What a change of the plan's schema is reported as: `object kind`.
    fn drift(change: impl FnOnce(&mut Schema)) -> Vec<String> {
        let mut live = as_built();
        change(&mut live);
        diff(&PLAN, &live).into_iter().map(|one| format!("{} {}", one.object, one.kind)).collect()
    }

    /// The plan as PostgreSQL builds it: indexes of leaves are parts of partitioned ones, under other names.
    fn as_built() -> Schema {
        let mut live = PLAN.clone();
        for leaf in live.tables.iter_mut().flat_map(|table| &mut table.leaves) {
            for index in &mut leaf.shape.indexes {
                index.parent = Some(std::mem::replace(&mut index.name, format!("{}_idx", leaf.name)));
            }
        }
        live
    }

    fn table<'a>(schema: &'a mut Schema, name: &str) -> &'a mut Table {
        schema.tables.iter_mut().find(|table| table.qualified() == name).unwrap()
    }

    fn user_media(schema: &mut Schema) -> &mut Table {
        table(schema, "interaction.user_media")
    }

    #[test]
    fn the_plan_is_its_own_schema() {
        assert_eq!(drift(|_| {}), [""; 0]);
    }

    #[test]
    fn an_empty_database_lacks_every_table_once() {
        let none =
            Schema { schemas: vec![], extensions: vec![], enums: vec![], tables: vec![], others: vec![] };
        let missing = diff(&PLAN, &none);
        assert!(missing.iter().all(|one| one.kind == "missing" && one.found.is_none()));
        assert_eq!(missing.len(), 4 + 1 + 1 + PLAN.tables.len());
    }

    #[test]
    fn objects_around_the_tables_are_compared() {
        assert_eq!(drift(|live| live.enums[0].values.swap(0, 1)), ["media.relation_type values"]);
        let moved = Extension { name: "ltree".to_owned(), schema: "media".to_owned() };
        assert_eq!(drift(|live| live.extensions = vec![moved]), ["ltree schema"]);
        let view = Other { kind: "view".to_owned(), name: "media.v".to_owned() };
        assert_eq!(drift(|live| live.others.push(view)), ["media.v unexpected"]);
    }

    #[test]
    fn each_property_of_a_column_is_a_difference_of_its_own() {
        let changed = drift(|live| {
            let status = &mut user_media(live).shape.columns[2];
            status.data_type = "character varying(255)".to_owned();
            status.not_null = false;
            status.default = None;
            for leaf in &mut user_media(live).leaves {
                leaf.shape.columns[2] = Column {
                    name: "status".to_owned(),
                    data_type: "character varying(255)".to_owned(),
                    not_null: false,
                    default: None,
                };
            }
        });
        let status = "interaction.user_media.status";
        assert_eq!(changed, ["type", "nullability", "default"].map(|kind| format!("{status} {kind}")));
    }

    #[test]
    fn a_leaf_that_lags_behind_its_table_is_named() {
        let dropped = drift(|live| {
            user_media(live).leaves[3].shape.indexes.remove(0);
        });
        assert_eq!(dropped, ["interaction.user_media_m16_r03.idx_user_media_user_id missing"]);
        let own = drift(|live| user_media(live).leaves[3].shape.indexes[0].parent = None);
        assert_eq!(own.len(), 2, "an index that is no part of the table's is not it: {own:?}");
        let invalid = drift(|live| user_media(live).leaves[3].shape.indexes[1].valid = false);
        assert_eq!(invalid, ["interaction.user_media_m16_r03.idx_user_media_user_status validity"]);
    }

    #[test]
    fn a_split_is_no_drift() {
        let split = drift(|live| {
            let leaves = &mut user_media(live).leaves;
            let old = leaves.remove(3);
            for remainder in [3, 19] {
                let bound = HashBound { modulus: 32, remainder };
                leaves.push(Leaf {
                    name: bound.leaf_name("user_media"),
                    bound: bound.to_string(),
                    ..old.clone()
                });
            }
        });
        assert_eq!(split, [""; 0]);
        let half = drift(|live| {
            let leaf = &mut user_media(live).leaves[3];
            let bound = HashBound { modulus: 32, remainder: 3 };
            (leaf.name, leaf.bound) = (bound.leaf_name("user_media"), bound.to_string());
        });
        assert_eq!(half, ["interaction.user_media_m32_r19 missing"]);
    }

    #[test]
    fn a_detached_leaf_is_one_difference() {
        let detached = drift(|live| {
            let leaf = user_media(live).leaves.remove(3);
            let alone = Table {
                schema: leaf.schema,
                name: leaf.name,
                persistence: leaf.persistence,
                partition_key: None,
                shape: leaf.shape,
                leaves: vec![],
            };
            live.tables.push(alone);
        });
        assert_eq!(detached, ["interaction.user_media_m16_r03 bound"]);
    }

    #[test]
    fn a_leaf_is_named_by_its_bound() {
        let renamed = drift(|live| user_media(live).leaves[3].name = "user_media_p3".to_owned());
        assert_eq!(renamed, ["interaction.user_media_p3 bound"]);
    }

    #[test]
    fn months_may_be_added_and_none_be_missing() {
        let events = "auth.login_events";
        let added = drift(|live| {
            let leaves = &mut table(live, events).leaves;
            let bound = bound::month_bound(2028, 1);
            let name = bound::month_leaf_name("login_events", &bound).unwrap();
            leaves.push(Leaf { name, bound, ..leaves[0].clone() });
        });
        assert_eq!(added, [""; 0]);
        let default = |live: &mut Schema| table(live, events).leaves.retain(|leaf| leaf.bound != "DEFAULT");
        assert_eq!(drift(default), ["auth.login_events_default missing"]);
    }
}
