//! Indexes as the catalog has them, and when one does the work of another.

use tokio_postgres::Row;

use super::foreign_key::ForeignKey;
use crate::pg::ident::qualified;

/// One index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) oid: u32,
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) table_oid: u32,
    pub(super) table_schema: String,
    pub(super) table_name: String,
    /// Of a partitioned table: a node above leaves' indexes, without entries of its own.
    pub(super) partitioned: bool,
    pub(super) method: String,
    /// How many of `columns` are keys; the rest are only carried (`INCLUDE`).
    pub(super) key_count: usize,
    /// Attribute numbers; 0 is an expression.
    pub(super) columns: Vec<i16>,
    /// The columns as text.
    pub(super) column_texts: Vec<String>,
    /// One a key, as `collations` and `options` are.
    pub(super) operator_classes: Vec<u32>,
    pub(super) collations: Vec<u32>,
    /// Bit 0 descending, bit 1 nulls first.
    pub(super) options: Vec<i16>,
    pub(super) predicate: Option<String>,
    pub(super) is_unique: bool,
    pub(super) is_primary: bool,
    pub(super) nulls_not_distinct: bool,
    pub(super) is_exclusion: bool,
    pub(super) is_replica_identity: bool,
    pub(super) is_clustered: bool,
    /// Valid, ready and live.
    pub(super) is_usable: bool,
    pub(super) is_valid: bool,
    pub(super) being_built: bool,
    /// A primary key, unique or exclusion constraint is kept by it, or a foreign key refers to its columns.
    pub(super) serves_constraint: bool,
    /// The partitioned index it is attached to.
    pub(super) parent_oid: Option<u32>,
    pub(super) definition: String,
    pub(super) size_bytes: i64,
    pub(super) scans: i64,
    pub(super) entries_read: i64,
}

impl TryFrom<&Row> for Index {
    type Error = tokio_postgres::Error;

    fn try_from(row: &Row) -> Result<Self, Self::Error> {
        let key_count: i16 = row.try_get("key_count")?;
        Ok(Self {
            oid: row.try_get("oid")?,
            schema: row.try_get("schema")?,
            name: row.try_get("name")?,
            table_oid: row.try_get("table_oid")?,
            table_schema: row.try_get("table_schema")?,
            table_name: row.try_get("table_name")?,
            partitioned: row.try_get("partitioned")?,
            method: row.try_get("method")?,
            key_count: usize::from(key_count.unsigned_abs()),
            columns: row.try_get("columns")?,
            column_texts: row.try_get("column_texts")?,
            operator_classes: row.try_get("operator_classes")?,
            collations: row.try_get("collations")?,
            options: row.try_get("options")?,
            predicate: row.try_get("predicate")?,
            is_unique: row.try_get("is_unique")?,
            is_primary: row.try_get("is_primary")?,
            nulls_not_distinct: row.try_get("nulls_not_distinct")?,
            is_exclusion: row.try_get("is_exclusion")?,
            is_replica_identity: row.try_get("is_replica_identity")?,
            is_clustered: row.try_get("is_clustered")?,
            is_usable: row.try_get("is_usable")?,
            is_valid: row.try_get("is_valid")?,
            being_built: row.try_get("being_built")?,
            serves_constraint: row.try_get("serves_constraint")?,
            parent_oid: row.try_get("parent_oid")?,
            definition: row.try_get("definition")?,
            size_bytes: row.try_get("size_bytes")?,
            scans: row.try_get("scans")?,
            entries_read: row.try_get("entries_read")?,
        })
    }
}

/// How an index does another's work, the closest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Covers {
    /// Same keys, same rows: a copy.
    Equal,
    /// The other's keys are the first of its own.
    Prefix,
    /// As `Prefix`, but the other holds only some of the rows, so it is smaller.
    Unfiltered,
}

impl Index {
    /// Schema and name, for people.
    pub(super) fn plain_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// Schema and name, quoted, for SQL.
    pub(super) fn sql_name(&self) -> String {
        qualified(&self.schema, &self.name)
    }

    /// The root of its tree; only such an index can be dropped.
    pub(super) fn is_root(&self) -> bool {
        self.parent_oid.is_none()
    }

    /// Whether more than lookups depends on it: uniqueness, a constraint, replication.
    pub(super) fn enforces(&self) -> bool {
        self.is_unique || self.is_exclusion || self.serves_constraint || self.is_replica_identity
    }

    /// Its keys as text, in parentheses.
    pub(super) fn keys(&self) -> String {
        format!("({})", self.column_texts.iter().take(self.key_count).cloned().collect::<Vec<_>>().join(", "))
    }

    /// Whether `self` finds everything that `other` finds, in the same order or the whole of it backwards.
    ///
    /// Only a B-tree serves the first of its keys alone; another method must have the very same keys. PostgreSQL scans a
    /// B-tree either way, so the other may also have every key's order inverted.
    pub(super) fn covers(&self, other: &Self) -> Option<Covers> {
        let comparable = self.oid != other.oid
            && self.table_oid == other.table_oid
            && self.method == other.method
            && self.is_usable
            && other.is_usable
            && (self.method == "btree" && other.key_count <= self.key_count
                || other.key_count == self.key_count);
        let ordered = |inverted| (0..other.key_count).all(|at| self.same_key(other, at, inverted));
        let keys = comparable && (ordered(0) || self.method == "btree" && ordered(0b11));
        let carried = other.columns.iter().skip(other.key_count).all(|column| self.columns.contains(column));
        if !keys || !carried {
            return None;
        }
        match (&self.predicate, &other.predicate) {
            (None, Some(_)) => Some(Covers::Unfiltered),
            (own, others) if own != others => None,
            _ if self.columns.len() == other.columns.len() && self.key_count == other.key_count => {
                Some(Covers::Equal)
            }
            _ => Some(Covers::Prefix),
        }
    }

    fn same_key(&self, other: &Self, at: usize, inverted: i16) -> bool {
        self.columns.get(at) == other.columns.get(at)
            && self.operator_classes.get(at) == other.operator_classes.get(at)
            && self.collations.get(at) == other.collations.get(at)
            && self.options.get(at).map(|option| option ^ inverted) == other.options.get(at).copied()
            && (self.columns.get(at) != Some(&0) || self.column_texts.get(at) == other.column_texts.get(at))
    }

    /// Whether it finds the rows that a foreign key looks for: the key's columns are its first, in any order.
    pub(super) fn serves(&self, key: &ForeignKey) -> bool {
        let n = key.columns.len();
        let whole = match &self.predicate {
            None => true,
            // The lookup is by =, which no null passes.
            Some(predicate) => key.column_names.iter().any(|c| *predicate == format!("({c} IS NOT NULL)")),
        };
        self.table_oid == key.table_oid
            && self.is_usable
            && whole
            && (self.method == "btree" || self.method == "hash")
            && n <= self.key_count
            && self.columns.iter().take(n).all(|column| key.columns.contains(column))
            && key.columns.iter().all(|column| self.columns.iter().take(n).any(|c| c == column))
    }

    /// Whether a partition's index of this table could be attached to `parent`, whose columns have the same texts.
    pub(super) fn fits(&self, parent: &Self) -> bool {
        self.is_usable
            && self.is_root()
            && self.method == parent.method
            && self.key_count == parent.key_count
            && self.column_texts == parent.column_texts
            && self.operator_classes == parent.operator_classes
            && self.collations == parent.collations
            && self.options == parent.options
            && self.predicate == parent.predicate
            && self.is_unique == parent.is_unique
            && self.nulls_not_distinct == parent.nulls_not_distinct
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A B-tree index on columns of table 1.
    pub(in super::super) fn index(oid: u32, name: &str, columns: &[i16]) -> Index {
        let texts: Vec<String> = columns.iter().map(|column| format!("c{column}")).collect();
        Index {
            oid,
            schema: "s".to_owned(),
            name: name.to_owned(),
            table_oid: 1,
            table_schema: "s".to_owned(),
            table_name: "t".to_owned(),
            partitioned: false,
            method: "btree".to_owned(),
            key_count: columns.len(),
            columns: columns.to_vec(),
            definition: format!("CREATE INDEX {name} ON s.t USING btree ({})", texts.join(", ")),
            column_texts: texts,
            operator_classes: vec![10; columns.len()],
            collations: vec![0; columns.len()],
            options: vec![0; columns.len()],
            predicate: None,
            is_unique: false,
            is_primary: false,
            nulls_not_distinct: false,
            is_exclusion: false,
            is_replica_identity: false,
            is_clustered: false,
            is_usable: true,
            is_valid: true,
            being_built: false,
            serves_constraint: false,
            parent_oid: None,
            size_bytes: 8192,
            scans: 0,
            entries_read: 0,
        }
    }

    #[test]
    fn a_btree_covers_its_prefixes() {
        let (a, ab) = (index(1, "a", &[1]), index(2, "ab", &[1, 2]));
        assert_eq!(ab.covers(&a), Some(Covers::Prefix));
        assert_eq!(a.covers(&ab), None);
        assert_eq!(a.covers(&a), None, "an index is not its own twin");
        assert_eq!(a.covers(&index(3, "a2", &[1])), Some(Covers::Equal));
        assert_eq!(index(4, "ba", &[2, 1]).covers(&a), None, "the first key differs");
    }

    #[test]
    fn what_makes_keys_differ() {
        let (a, ab) = (index(1, "a", &[1]), index(2, "ab", &[1, 2]));
        let check = |change: fn(&mut Index), expected| {
            let mut other = a.clone();
            change(&mut other);
            assert_eq!(ab.covers(&other), expected);
        };
        check(|other| other.operator_classes = vec![11], None);
        check(|other| other.collations = vec![100], None);
        check(|other| other.options = vec![1], None);
        check(|other| other.options = vec![3], Some(Covers::Prefix));
        check(|other| other.predicate = Some("(x)".to_owned()), Some(Covers::Unfiltered));
        check(|other| other.columns.push(2), Some(Covers::Prefix));
        check(|other| other.columns.push(9), None);
        check(|other| other.is_usable = false, None);
        check(|other| other.table_oid = 2, None);
        check(|other| other.method = "gin".to_owned(), None);
    }

    #[test]
    fn other_methods_need_the_same_keys() {
        let gin = |oid, columns: &[i16]| Index { method: "gin".to_owned(), ..index(oid, "g", columns) };
        assert_eq!(gin(1, &[1, 2]).covers(&gin(2, &[1])), None);
        assert_eq!(gin(1, &[1]).covers(&gin(2, &[1])), Some(Covers::Equal));
    }

    #[test]
    fn expressions_are_compared_as_text() {
        let expression =
            |oid, text: &str| Index { column_texts: vec![text.to_owned()], ..index(oid, "e", &[0]) };
        assert_eq!(expression(1, "lower(a)").covers(&expression(2, "lower(b)")), None);
        assert_eq!(expression(1, "lower(a)").covers(&expression(2, "lower(a)")), Some(Covers::Equal));
    }
}
