//! A catalog follows the statements of a run.

use std::collections::BTreeSet;

use super::{Catalog, Check, Index, Origin, Table};
use crate::migrate::lint::ddl::{
    Bound, Column, Constraint, NewIndex, NewTable, Rewrite, Rows, What, shape_of_key,
};
use crate::migrate::script::Name;

impl Catalog {
    /// Takes over what a statement does; `made` is where it stands, if that is in this run.
    pub(in crate::migrate::lint) fn follow(&mut self, what: &What, made: Option<Origin>) {
        match what {
            What::CreateTable(table) => self.create_table(table, made),
            What::DropTable(name) => self.drop_table(name),
            What::RenameTable { table, to } => self.rename_table(table, to),
            What::Attach { parent, leaf, bound } => self.attach(parent, leaf, bound.clone()),
            What::Detach { leaf, .. } => self.detach(leaf),
            What::AddColumn { table, column } | What::Retype { table, column } => self.column(table, column),
            What::SetNull { table, column, nullable } => self.set_null(table, column, *nullable),
            What::AddConstraint { table, constraint } => self.constrain(table, constraint, made),
            What::DropConstraint { table, name } => self.drop_constraint(table, name),
            What::Validate { table, name } => self.validate(table, name),
            What::CreateIndex(index) => self.create_index(index, made),
            What::AttachIndex { index, part } => self.attach_index(index, part),
            What::DropIndex { index, .. } => drop(self.indexes.remove(index)),
            What::RenameIndex { index, to } => self.rename_index(index, to),
            What::Write(Rows { table, .. }) | What::Rewrite { table: Some(table), how: Rewrite::Refresh } => {
                self.write(table)
            }
            What::Rewrite { .. }
            | What::Truncate(_)
            | What::Block
            | What::EndsTransaction
            | What::Call(_) => {}
        }
    }

    fn create_table(&mut self, new: &NewTable, made: Option<Origin>) {
        let mut table = Table {
            divided: new.divided.clone(),
            written: new.filled,
            made: made.clone(),
            ..Table::default()
        };
        let like = new.like.iter().chain(new.parent.iter().map(|(parent, _)| parent));
        for model in like.filter_map(|model| self.tables.get(model)) {
            table.columns.extend(model.columns.clone());
            table.not_null.extend(model.not_null.clone());
        }
        self.tables.insert(new.name.clone(), table);
        new.columns.iter().for_each(|column| self.column(&new.name, column));
        new.constraints.iter().for_each(|constraint| self.constrain(&new.name, constraint, made.clone()));
        if let Some((parent, bound)) = &new.parent {
            self.attach(parent, &new.name, bound.clone());
        }
    }

    fn drop_table(&mut self, name: &Name) {
        let leaves: Vec<Name> = self.partitions(name).map(|(leaf, _)| leaf.clone()).collect();
        leaves.iter().for_each(|leaf| self.drop_table(leaf));
        self.detach(name);
        self.tables.remove(name);
        self.indexes.retain(|_, index| index.table != *name);
    }

    fn rename_table(&mut self, table: &Name, to: &Name) {
        let Some(moved) = self.tables.remove(table) else { return };
        self.tables.insert(to.clone(), moved);
        for other in self.tables.values_mut() {
            match &mut other.parent {
                Some((parent, _)) if parent == table => *parent = to.clone(),
                _ => {}
            }
        }
        for index in self.indexes.values_mut() {
            if index.table == *table {
                index.table = to.clone();
            }
            if index.parts.remove(table) {
                index.parts.insert(to.clone());
            }
        }
    }

    /// A new partition gets its part of every index.
    fn attach(&mut self, parent: &Name, leaf: &Name, bound: Bound) {
        self.tables.entry(leaf.clone()).or_default().parent = Some((parent.clone(), bound));
        for index in self.indexes.values_mut().filter(|index| index.table == *parent) {
            index.parts.insert(leaf.clone());
        }
    }

    fn detach(&mut self, leaf: &Name) {
        if let Some(table) = self.tables.get_mut(leaf) {
            table.parent = None;
        }
        for index in self.indexes.values_mut() {
            index.parts.remove(leaf);
        }
    }

    fn column(&mut self, table: &Name, column: &Column) {
        let table = self.tables.entry(table.clone()).or_default();
        table.columns.insert(column.name.clone(), column.kind.clone());
        if column.not_null {
            table.not_null.insert(column.name.clone());
        }
    }

    fn set_null(&mut self, table: &Name, column: &str, nullable: bool) {
        let not_null = &mut self.tables.entry(table.clone()).or_default().not_null;
        match nullable {
            true => drop(not_null.remove(column)),
            false => drop(not_null.insert(column.to_owned())),
        }
    }

    fn constrain(&mut self, table: &Name, constraint: &Constraint, made: Option<Origin>) {
        match constraint {
            Constraint::Key { name, primary, columns, index } => {
                self.add_key(table, name.as_deref(), *primary, columns, index.as_ref(), made);
            }
            Constraint::Check { name, text, valid, not_null } => {
                let (name, text, not_null) = (name.clone(), text.clone(), not_null.clone());
                let check = Check { name, text, valid: *valid, not_null };
                self.tables.entry(table.clone()).or_default().checks.push(check);
            }
            Constraint::Reference { .. } => {}
        }
    }

    fn add_key(
        &mut self,
        table: &Name,
        name: Option<&str>,
        primary: bool,
        columns: &[String],
        using: Option<&Name>,
        made: Option<Origin>,
    ) {
        if primary {
            self.tables.entry(table.clone()).or_default().not_null.extend(columns.iter().cloned());
        }
        let default = match primary {
            true => format!("{}_pkey", table.name),
            false => format!("{}_{}_key", table.name, columns.join("_")),
        };
        let own = Name { schema: table.schema.clone(), name: name.unwrap_or(&default).to_owned() };
        let beside = |index: &Name| Name { schema: table.schema.clone(), name: index.name.clone() };
        let taken = using.and_then(|index| self.indexes.remove(&beside(index)));
        let index = taken.unwrap_or_else(|| Index {
            table: table.clone(),
            shape: shape_of_key(columns),
            unique: true,
            constraint: true,
            only: false,
            parts: BTreeSet::new(),
            made,
        });
        self.indexes.insert(own, Index { constraint: true, ..index });
    }

    fn drop_constraint(&mut self, table: &Name, name: &str) {
        self.indexes.remove(&Name { schema: table.schema.clone(), name: name.to_owned() });
        if let Some(table) = self.tables.get_mut(table) {
            table.checks.retain(|check| check.name.as_deref() != Some(name));
        }
    }

    fn validate(&mut self, table: &Name, name: &str) {
        let checks = self.tables.get_mut(table).into_iter().flat_map(|table| &mut table.checks);
        checks.filter(|check| check.name.as_deref() == Some(name)).for_each(|check| check.valid = true);
    }

    fn create_index(&mut self, new: &NewIndex, made: Option<Origin>) {
        let every: BTreeSet<Name> = self.partitions(&new.table).map(|(leaf, _)| leaf.clone()).collect();
        let parts = if new.only { BTreeSet::new() } else { every };
        let index = Index {
            table: new.table.clone(),
            shape: new.shape.clone(),
            unique: new.unique,
            constraint: false,
            only: new.only,
            parts,
            made,
        };
        self.indexes.insert(new.name.clone(), index);
    }

    fn attach_index(&mut self, index: &Name, part: &Name) {
        let leaf = self.indexes.get(part).map_or_else(|| part.clone(), |part| part.table.clone());
        if let Some(index) = self.indexes.get_mut(index) {
            index.parts.insert(leaf);
        }
    }

    fn rename_index(&mut self, index: &Name, to: &str) {
        if let Some(moved) = self.indexes.remove(index) {
            self.indexes.insert(Name { schema: index.schema.clone(), name: to.to_owned() }, moved);
        }
    }

    fn write(&mut self, table: &Name) {
        let root = self.root(table).clone();
        let tree: Vec<Name> = self.tables.keys().filter(|one| *self.root(one) == root).cloned().collect();
        for name in tree {
            if let Some(table) = self.tables.get_mut(&name) {
                table.written = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::lint::ddl;
    use crate::partition::bound::HashBound;

    fn followed(sql: &str) -> Catalog {
        let mut catalog = Catalog::default();
        for said in ddl::read(sql).unwrap() {
            said.changes.iter().for_each(|change| catalog.follow(&change.what, None));
        }
        catalog
    }

    fn name(text: &str) -> Name {
        let (schema, name) = text.split_once('.').unwrap();
        Name { schema: Some(schema.to_owned()), name: name.to_owned() }
    }

    const DIVIDED: &str =
        "CREATE TABLE a.t (id UUID NOT NULL, at TIMESTAMPTZ, PRIMARY KEY (id)) PARTITION BY HASH (id);
        CREATE TABLE a.t0 PARTITION OF a.t FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE INDEX i ON a.t (at);
        CREATE TABLE a.t1 PARTITION OF a.t FOR VALUES WITH (MODULUS 2, REMAINDER 1);";

    #[test]
    fn a_partition_has_what_its_table_has() {
        let catalog = followed(DIVIDED);
        assert_eq!(catalog.hashes(&name("a.t")), [0, 1].map(|remainder| HashBound { modulus: 2, remainder }));
        assert_eq!(catalog.table(&name("a.t1")).unwrap().columns["at"], "timestamp with time zone");
        assert_eq!(catalog.index(&name("a.i")).unwrap().parts.len(), 2);
        assert_eq!(catalog.root(&name("a.t0")), &name("a.t"));
        assert!(catalog.index(&name("a.t_pkey")).unwrap().constraint);
    }

    #[test]
    fn what_goes_is_forgotten() {
        let catalog = followed(&format!("{DIVIDED} ALTER TABLE a.t DETACH PARTITION a.t0; DROP INDEX a.i;"));
        assert_eq!((catalog.hashes(&name("a.t")).len(), catalog.indexes().count()), (1, 1));
        let catalog = followed(&format!("{DIVIDED} DROP TABLE a.t;"));
        assert_eq!((catalog.tables.len(), catalog.indexes.len()), (0, 0));
    }

    #[test]
    fn names_are_followed() {
        let sql = "ALTER TABLE a.t RENAME TO u; ALTER INDEX a.i RENAME TO j; ALTER TABLE a.t0 RENAME TO u0;";
        let catalog = followed(&format!("{DIVIDED} {sql}"));
        assert_eq!(catalog.root(&name("a.u0")), &name("a.u"));
        assert_eq!(catalog.index(&name("a.j")).unwrap().table, name("a.u"));
        assert!(catalog.index(&name("a.j")).unwrap().parts.contains(&name("a.u0")));
    }

    #[test]
    fn parts_are_attached_one_by_one() {
        let sql = "CREATE INDEX o ON ONLY a.t (at); CREATE INDEX o0 ON a.t0 (at); ALTER INDEX a.o ATTACH PARTITION a.o0;";
        let catalog = followed(&format!("{DIVIDED} {sql}"));
        assert_eq!(catalog.index(&name("a.o")).unwrap().parts, [name("a.t0")].into());
    }
}
