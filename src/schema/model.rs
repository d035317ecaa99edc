//! A schema as values: the same for the plan's and for a live one.

/// Everything in the schemas that omtdb answers for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// Names of the schemas.
    pub schemas: Vec<String>,
    /// Extensions the tables need.
    pub extensions: Vec<Extension>,
    /// Enum types.
    pub enums: Vec<Enum>,
    /// Tables that are no leaf of another.
    pub tables: Vec<Table>,
    /// Views, functions, triggers, … by kind and name; the plan has none.
    pub others: Vec<Other>,
}

/// An extension and where its objects are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// Its name.
    pub name: String,
    /// Schema of its objects.
    pub schema: String,
}

/// An enum type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enum {
    /// Qualified name.
    pub name: String,
    /// Its values, in order.
    pub values: Vec<String>,
}

/// A table, partitioned or not.
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shape {
    /// Columns.
    pub columns: Vec<Column>,
    /// Checks, primary, unique and foreign keys.
    pub constraints: Vec<Constraint>,
    /// Indexes that serve no constraint.
    pub indexes: Vec<Index>,
}

/// A leaf of a partitioned table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Schema.
    pub schema: String,
    /// Name without the schema.
    pub name: String,
    /// Its bound as PostgreSQL prints it in UTC.
    pub bound: String,
    /// `permanent` or `unlogged`.
    pub persistence: String,
    /// Columns, constraints and indexes.
    pub shape: Shape,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    /// Its name, unique in its table.
    pub name: String,
    /// As `pg_get_constraintdef` gives it.
    pub definition: String,
    /// Whether it holds for every row, and the index behind it, if any, is usable.
    pub valid: bool,
}

/// An index that serves no constraint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Its name, unique in its schema.
    pub name: String,
    /// Method, keys and what follows, as `pg_get_indexdef` gives them, after `UNIQUE` where it is: `btree (title)`.
    pub definition: String,
    /// Whether queries may use it and writes keep it.
    pub valid: bool,
    /// The partitioned index, by name, that it is a part of.
    pub parent: Option<String>,
}

/// An object of a kind that the plan has none of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// `view`, `function`, `trigger`, …
    pub kind: String,
    /// Qualified name.
    pub name: String,
}

impl Schema {
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
