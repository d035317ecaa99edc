//! A schema as values: the same for the plan's and for a live one.

use std::collections::BTreeSet;

use serde::Serialize;

/// Everything in the schemas that omtdb answers for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Schema {
    /// Names of the schemas.
    pub schemas: Vec<String>,
    /// Extensions: of the plan those that tables need, of a database all.
    pub extensions: Vec<Extension>,
    /// Enum types.
    pub enums: Vec<Enum>,
    /// Tables that are no leaf of another.
    pub tables: Vec<Table>,
    /// Functions and procedures.
    pub functions: Vec<Function>,
    /// Objects of all other kinds; the plan has none.
    pub others: Vec<Other>,
    /// Comments on whatever has one.
    pub comments: Vec<Comment>,
    /// The role that is to own everything; `None` where the plan does not say, and always of a database.
    pub owner: Option<String>,
    /// Who owns what; of a database only.
    pub owners: Vec<Owned>,
    /// What roles other than the owner may do. `None` where the plan does not say.
    pub grants: Option<Vec<Grant>>,
}

/// An extension and where its objects are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Extension {
    /// Its name.
    pub name: String,
    /// Schema of its objects.
    pub schema: String,
}

/// An enum type.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Enum {
    /// Qualified name.
    pub name: String,
    /// Its values, in order.
    pub values: Vec<String>,
}

/// A table, partitioned or not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Table {
    /// Schema.
    pub schema: String,
    /// Name without the schema.
    pub name: String,
    /// Whether it survives a crash of the server: `permanent` or `unlogged`.
    pub persistence: String,
    /// `HASH (user_id)`; `None` for a table without leaves.
    pub partition_key: Option<String>,
    /// Columns, constraints and indexes.
    pub shape: Shape,
    /// The leaves of a partitioned table.
    pub leaves: Vec<Leaf>,
}

/// What a table and each of its leaves have alike.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Shape {
    /// Columns.
    pub columns: Vec<Column>,
    /// Checks, primary, unique and foreign keys.
    pub constraints: Vec<Constraint>,
    /// Indexes that serve no constraint.
    pub indexes: Vec<Index>,
    /// Triggers, those of a leaf that it has from its table among them.
    pub triggers: Vec<Trigger>,
    /// Storage parameters as `name=value`, by name; those of its TOAST table begin with `toast.`.
    pub options: Vec<String>,
    /// `full`, `nothing` or `index`; `None` is PostgreSQL's default, the primary key.
    pub replica_identity: Option<String>,
    /// `enabled`, `forced` or both; `None` is PostgreSQL's default, neither.
    pub row_security: Option<String>,
}

/// A leaf of a partitioned table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Leaf {
    /// Schema.
    pub schema: String,
    /// Name without the schema.
    pub name: String,
    /// Its bound as PostgreSQL prints it in UTC.
    pub bound: String,
    /// Whether its concurrent detaching was begun and never ended: new queries no longer see its rows.
    pub detaching: bool,
    /// `permanent` or `unlogged`.
    pub persistence: String,
    /// Columns, constraints and indexes.
    pub shape: Shape,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type as PostgreSQL prints it with nothing on `search_path`: `public.ltree`, `text[]`.
    pub data_type: String,
    /// Whether null is refused.
    pub not_null: bool,
    /// Its default, or what generates it.
    pub default: Option<String>,
}

/// A constraint other than NOT NULL.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Constraint {
    /// Its name, unique in its table.
    pub name: String,
    /// As `pg_get_constraintdef` gives it.
    pub definition: String,
    /// Whether it holds for every row, and the index behind it, if any, is usable.
    pub valid: bool,
    /// Storage parameters of the index behind it.
    pub options: Vec<String>,
}

/// An index that serves no constraint.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Index {
    /// Its name, unique in its schema.
    pub name: String,
    /// Method, keys and what follows but for options, as `pg_get_indexdef` gives them, after `UNIQUE` where it is:
    /// `btree (title)`.
    pub definition: String,
    /// Storage parameters, as of a table.
    pub options: Vec<String>,
    /// Whether queries may use it and writes keep it.
    pub valid: bool,
    /// The partitioned index, by name, that it is a part of.
    pub parent: Option<String>,
}

/// A trigger that somebody created; those that keep foreign keys are PostgreSQL's own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Trigger {
    /// Its name, unique in its table.
    pub name: String,
    /// As `pg_get_triggerdef` gives it, without its own name and its table's:
    /// `BEFORE UPDATE FOR EACH ROW EXECUTE FUNCTION media.touch()`.
    pub definition: String,
    /// When it fires: `enabled`, `disabled`, `replica` or `always`.
    pub enabled: String,
}

/// A function or procedure.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Function {
    /// Name and types of its arguments: `media.touch()`.
    pub name: String,
    /// Whether it has the rights of its owner instead of its caller's.
    pub security_definer: bool,
    /// As `pg_get_functiondef` gives it with every run of white space as one blank, and without `SECURITY DEFINER`.
    pub definition: String,
}

/// What an object is for, in the words of a `COMMENT`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
pub struct Comment {
    /// The object: `media`, `media.media`, `media.media.title` for a column, constraint or trigger, `media.touch()`.
    pub object: String,
    /// The comment.
    pub text: String,
}

/// An object and its owner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
pub struct Owned {
    /// The object, named as in [`Comment::object`].
    pub object: String,
    /// The role.
    pub role: String,
}

/// Privileges of a role on an object; what the owner may by owning is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
pub struct Grant {
    /// The object, named as in [`Comment::object`]. For what will be created in a schema:
    /// `default privileges of omt_owner on tables in media`.
    pub object: String,
    /// The role; `PUBLIC` is everybody.
    pub role: String,
    /// `INSERT`, `SELECT`, `USAGE`, …, sorted.
    pub privileges: Vec<String>,
    /// Whether the role may grant them to others.
    pub grantable: bool,
}

/// An object of a kind that the plan has none of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Other {
    /// `view`, `sequence`, `row security policy`, …
    pub kind: String,
    /// Qualified name.
    pub name: String,
    /// What it says, for a view, rule, policy, sequence, domain or statistics; empty for the rest.
    pub definition: String,
}

/// A number for everything that `schema` says, 64 hexadecimal digits: the same for equal schemas, another one when
/// anything differs.
#[must_use]
pub fn fingerprint(schema: &Schema) -> String {
    blake3::hash(serde_json::json!(schema).to_string().as_bytes()).to_hex().to_string()
}

impl Schema {
    /// Names of schemas, enums, tables, functions, and of what tables have, as comments, owners and grants name them.
    #[must_use]
    pub fn objects(&self) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = self.schemas.iter().cloned().collect();
        names.extend(self.enums.iter().map(|one| one.name.clone()));
        names.extend(self.functions.iter().map(|one| one.name.clone()));
        names.extend(self.tables.iter().flat_map(Table::objects));
        names
    }

    /// The table `schema.name`.
    #[must_use]
    pub fn table(&self, schema: &str, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.schema == schema && table.name == name)
    }
}

impl Table {
    /// `media.external_links`.
    #[must_use]
    pub fn qualified(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// Names of the table and of its columns, constraints, triggers, indexes and keys.
    fn objects(&self) -> Vec<String> {
        let Shape { columns, constraints, indexes, triggers, .. } = &self.shape;
        let table = self.qualified();
        let columns = columns.iter().map(|one| &one.name);
        let within = columns
            .chain(constraints.iter().map(|one| &one.name))
            .chain(triggers.iter().map(|one| &one.name));
        let keys = constraints.iter().filter(|one| one.is_key()).map(|one| &one.name);
        let beside = indexes.iter().map(|one| &one.name).chain(keys);
        let within = within.map(|name| format!("{table}.{name}"));
        within.chain(beside.map(|name| format!("{}.{name}", self.schema))).chain([table.clone()]).collect()
    }
}

impl Leaf {
    /// `interaction.user_media_m16_r03`.
    #[must_use]
    pub fn qualified(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

impl Constraint {
    /// Whether an index stands behind it.
    #[must_use]
    pub fn is_key(&self) -> bool {
        self.definition.starts_with("PRIMARY KEY") || self.definition.starts_with("UNIQUE")
    }
}
