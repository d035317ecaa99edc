//! What there is to know of an index, and why it is not to be dropped.

use tokio_postgres::Row;

use crate::migrate::script::Name;
use crate::pg::Session;
use crate::pg::error::{Doing as _, Result};

pub(super) const FACTS: &str = include_str!("facts.sql");

/// An index that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    table: String,
    /// Of all its parts.
    pub(super) bytes: i64,
    /// The key or exclusion constraint that it stands behind.
    rule: Option<String>,
    /// A foreign key that refers to its columns.
    foreign_key: Option<String>,
    /// The partitioned index that it is a part of.
    parent: Option<String>,
    /// Whether changes of its table are replicated by it.
    identity: bool,
}

/// The index called `name`, where there is one.
pub(super) async fn read(session: &Session, name: &Name) -> Result<Option<Facts>> {
    let doing = || format!("look for index {name}");
    let row = session.query_opt(FACTS, &[&name.quoted()]).await.doing(doing)?;
    row.as_ref().map(facts).transpose().doing(doing)
}

fn facts(row: &Row) -> Result<Facts> {
    Ok(Facts {
        table: row.try_get("table_name")?,
        bytes: row.try_get("bytes")?,
        rule: row.try_get("rule")?,
        foreign_key: row.try_get("foreign_key")?,
        parent: row.try_get("parent")?,
        identity: row.try_get("identity")?,
    })
}

impl Facts {
    /// Why the index `name` is not to be dropped, where it is not.
    pub(super) fn needed(&self, name: &Name) -> Option<String> {
        let table = &self.table;
        if let Some(parent) = &self.parent {
            return Some(format!(
                "{name} is a part of the partitioned index {parent}, and does not go alone\n  help: drop {parent}; its parts go with it"
            ));
        }
        if let Some(rule) = &self.rule {
            return Some(format!(
                "{name} is the index of constraint {rule} of {table}\n  help: if the rule is no longer wanted, drop the constraint in a migration; to be rid of bloat, rebuild the index"
            ));
        }
        if let Some(key) = &self.foreign_key {
            return Some(format!(
                "foreign key {key} refers to what {name} keeps unique\n  help: drop the foreign key first, in a migration"
            ));
        }
        self.identity.then(|| {
            format!(
                "{name} is the replica identity of {table}: without it, updates and deletes of a published table fail\n  help: give the table another one first, in a migration"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            table: "s.t".to_owned(),
            bytes: 1,
            rule: None,
            foreign_key: None,
            parent: None,
            identity: false,
        }
    }

    #[test]
    fn what_is_needed_stays() {
        let name = Name { schema: Some("s".to_owned()), name: "i".to_owned() };
        let needed = |facts: Facts| facts.needed(&name).unwrap_or_default();
        assert_eq!(facts().needed(&name), None);
        let some = |text: &str| Some(text.to_owned());
        let part = needed(Facts { parent: some("s.p"), rule: some("k"), ..facts() });
        assert!(part.contains("part of the partitioned index s.p"), "{part}");
        assert!(needed(Facts { rule: some("k"), ..facts() }).contains("constraint k of s.t"));
        assert!(
            needed(Facts { foreign_key: some("f of s.o"), ..facts() }).starts_with("foreign key f of s.o")
        );
        assert!(needed(Facts { identity: true, ..facts() }).contains("replica identity of s.t"));
    }
}
