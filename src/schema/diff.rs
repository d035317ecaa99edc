//! The difference between the plan's schema and a live one: pure.
//!
//! Tables are held against the plan, leaves against the table they belong to, so that what is wrong once is said once.
//! Leaves of a hash-partitioned table are judged by what they take together: a split makes others of them, and that is no
//! drift. Months may be added to a table partitioned by month, and its oldest may go. The order of columns is not compared:
//! nothing of ours depends on it.

use std::collections::BTreeSet;

use self::found::Found;
use super::Drift;
use super::leaves::{self, absent, proper_name};
use super::model::{Column, Constraint, Enum, Function, Index, Leaf, Schema, Shape, Table, Trigger};

mod found;
mod rights;
#[cfg(test)]
mod tests;

/// Every difference, by kind of object, in the plan's order; then comments, owners and grants of what both have.
#[must_use]
pub fn diff(plan: &Schema, live: &Schema) -> Vec<Drift> {
    let mut found = Found::default();
    found.schemas(plan, live);
    found.extensions(plan, live);
    let same = |a: &Enum, b: &Enum| a.name == b.name;
    found.pairs("", &plan.enums, &live.enums, same, |found, name, plan, live| {
        found.differs(name, "values", &plan.values.join(", "), &live.values.join(", "));
    });
    found.tables(plan, live);
    found.functions(plan, live);
    for other in &live.others {
        found.unexpected(&other.name, &other.kind);
    }
    rights::compare(&mut found, plan, live);
    found.into_drift()
}

impl Found {
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

    fn functions(&mut self, plan: &Schema, live: &Schema) {
        let same = |a: &Function, b: &Function| a.name == b.name;
        self.pairs("", &plan.functions, &live.functions, same, |drifts, name, expected, found| {
            drifts.differs(name, "security", security(expected), security(found));
            drifts.differs(name, "definition", &expected.definition, &found.definition);
        });
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
        self.constraints(&table, &plan.shape, &live.shape);
        self.indexes(&plan.schema, &plan.shape, &live.shape);
        self.triggers(&table, &plan.shape.triggers, &live.shape.triggers);
        self.settings(&table, &plan.shape, &live.shape);
        // With another key every leaf is another one, and the key has been said.
        if plan.partition_key == live.partition_key {
            self.coverage(live, all, detached);
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
            drifts.differs(name, "nullability", expected.null(), found.null());
            let default = |column: &Column| column.default.clone().unwrap_or_else(|| "no default".to_owned());
            drifts.differs(name, "default", &default(expected), &default(found));
        });
    }

    fn constraints(&mut self, table: &str, plan: &Shape, live: &Shape) {
        let same = |a: &Constraint, b: &Constraint| a.name == b.name;
        self.pairs(table, &plan.constraints, &live.constraints, same, |drifts, name, expected, found| {
            drifts.differs(name, "definition", &expected.definition, &found.definition);
            drifts.validity(name, found.valid);
            drifts.options(name, &expected.options, &found.options);
        });
    }

    fn indexes(&mut self, schema: &str, plan: &Shape, live: &Shape) {
        let same = |a: &Index, b: &Index| a.name == b.name;
        self.pairs(schema, &plan.indexes, &live.indexes, same, |drifts, name, expected, found| {
            drifts.differs(name, "definition", &expected.definition, &found.definition);
            drifts.validity(name, found.valid);
            drifts.options(name, &expected.options, &found.options);
        });
    }

    fn triggers(&mut self, table: &str, plan: &[Trigger], live: &[Trigger]) {
        let same = |a: &Trigger, b: &Trigger| a.name == b.name;
        self.pairs(table, plan, live, same, |drifts, name, expected, found| {
            drifts.differs(name, "definition", &expected.definition, &found.definition);
            drifts.differs(name, "firing", &expected.enabled, &found.enabled);
        });
    }

    /// What is set on a table or leaf as a whole.
    fn settings(&mut self, table: &str, plan: &Shape, live: &Shape) {
        self.options(table, &plan.options, &live.options);
        let or = |value: &Option<String>, default: &str| value.as_deref().unwrap_or(default).to_owned();
        let identity = |shape: &Shape| or(&shape.replica_identity, "default");
        self.differs(table, "replica identity", &identity(plan), &identity(live));
        let security = |shape: &Shape| or(&shape.row_security, "disabled");
        self.differs(table, "row security", &security(plan), &security(live));
    }

    /// Whether the leaves of a hash-partitioned table take every hash exactly once.
    fn coverage(&mut self, live: &Table, all: &Schema, detached: &mut BTreeSet<String>) {
        let faults = leaves::uncovered(live, all, detached);
        if !faults.is_empty() {
            let (expected, found) = ("every hash exactly once", faults.join("; "));
            self.differs(&live.qualified(), "coverage", expected, &found);
        }
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
        // The coverage of hashes has told it of the others.
        if leaf.detaching && !leaves::is_by_hash(table) {
            self.differs(&name, "bound", &leaf.bound, "its detaching is pending");
        }
        self.differs(&name, "persistence", &table.persistence, &leaf.persistence);
        self.columns(&name, &table.shape, &leaf.shape);
        self.parts_of_leaf(&name, &table.shape, &leaf.shape);
        self.settings(&name, &table.shape, &leaf.shape);
    }

    fn parts_of_leaf(&mut self, leaf: &str, table: &Shape, live: &Shape) {
        // Keys of leaves bear names of their own; what they say is what counts.
        let same = |a: &Constraint, b: &Constraint| a.definition == b.definition;
        let (expected, found) = (&table.constraints, &live.constraints);
        self.pairs(leaf, expected, found, same, |drifts, name, expected, found| {
            drifts.validity(name, found.valid);
            drifts.options(name, &expected.options, &found.options);
        });
        // So do indexes; the partitioned index that each is a part of identifies it, and has its definition.
        let same = |a: &Index, b: &Index| b.parent.as_ref() == Some(&a.name);
        self.pairs(leaf, &table.indexes, &live.indexes, same, |drifts, name, expected, found| {
            drifts.validity(name, found.valid);
            drifts.options(name, &expected.options, &found.options);
        });
        // A trigger for each statement fires at the table that the statement names.
        let each_row = |trigger: &&Trigger| trigger.definition.contains(" FOR EACH ROW ");
        let expected: Vec<Trigger> = table.triggers.iter().filter(each_row).cloned().collect();
        self.triggers(leaf, &expected, &live.triggers);
    }
}

fn security(function: &Function) -> &'static str {
    if function.security_definer { "SECURITY DEFINER" } else { "SECURITY INVOKER" }
}

fn partitioning(table: &Table) -> &str {
    table.partition_key.as_deref().unwrap_or("not partitioned")
}

fn bound_of(name: &str, leaf: &Leaf) -> String {
    format!("{name} {}", leaf.bound)
}
