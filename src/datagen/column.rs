//! Columns that the generator fills, and their types.

/// A column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `uuid`
    Uuid,
    /// `text`
    Text,
    /// `text[]`
    TextArray,
    /// `jsonb`
    Jsonb,
    /// `timestamptz`
    Timestamptz,
    /// `int4`
    Int4,
    /// `int2`
    Int2,
    /// `bool`
    Bool,
    /// `bytea`
    Bytea,
    /// `inet`
    Inet,
    /// `ltree`
    Ltree,
    /// An enum
    Enum,
}

impl Type {
    /// Whether the checksum takes its text instead of the value.
    #[must_use]
    pub fn hashed_as_text(self) -> bool {
        matches!(self, Self::Jsonb | Self::Ltree | Self::Enum)
    }
}

/// A column that the generator fills.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub is: Type,
}
