//! Foreign keys as the catalog has them.

use tokio_postgres::Row;

/// One foreign key, on the table that refers; of a partitioned table, the one it was declared with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ForeignKey {
    pub(super) name: String,
    pub(super) table_oid: u32,
    pub(super) table_schema: String,
    pub(super) table_name: String,
    pub(super) partitioned: bool,
    pub(super) columns: Vec<i16>,
    pub(super) column_names: Vec<String>,
    pub(super) referenced_schema: String,
    pub(super) referenced_name: String,
    /// `a` no action, `r` restrict, `c` cascade, `n` set null, `d` set default.
    pub(super) on_delete: String,
    /// The planner's estimate; -1 where never analysed.
    pub(super) table_rows: f64,
}

impl TryFrom<&Row> for ForeignKey {
    type Error = tokio_postgres::Error;

    fn try_from(row: &Row) -> Result<Self, Self::Error> {
        Ok(Self {
            name: row.try_get("name")?,
            table_oid: row.try_get("table_oid")?,
            table_schema: row.try_get("table_schema")?,
            table_name: row.try_get("table_name")?,
            partitioned: row.try_get("partitioned")?,
            columns: row.try_get("columns")?,
            column_names: row.try_get("column_names")?,
            referenced_schema: row.try_get("referenced_schema")?,
            referenced_name: row.try_get("referenced_name")?,
            on_delete: row.try_get("on_delete")?,
            table_rows: row.try_get("table_rows")?,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A foreign key of table 1.
    pub(in super::super) fn foreign_key(columns: &[i16]) -> ForeignKey {
        ForeignKey {
            name: "t_fkey".to_owned(),
            table_oid: 1,
            table_schema: "s".to_owned(),
            table_name: "t".to_owned(),
            partitioned: false,
            columns: columns.to_vec(),
            column_names: columns.iter().map(|column| format!("c{column}")).collect(),
            referenced_schema: "s".to_owned(),
            referenced_name: "r".to_owned(),
            on_delete: "c".to_owned(),
            table_rows: 1000.0,
        }
    }
}
