//! What a live database has, told by the server as the statements that would make it.

use tokio_postgres::Row;

use super::{Catalog, Size};
use crate::migrate::lint::ddl;
use crate::migrate::script::Name;
use crate::pg::Session;
use crate::pg::error::{Doing as _, Result};

const RELATIONS: &str = include_str!("relations.sql");
const SIZES: &str = include_str!("sizes.sql");

impl Catalog {
    /// The tables, partitions, indexes and checks of every schema that is not PostgreSQL's own. Changes nothing.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn read(session: &Session) -> Result<Self> {
        let doing = || "read the catalog".to_owned();
        let rows = session.query(RELATIONS, &[]).await.doing(doing)?;
        let statements: Vec<String> = rows
            .iter()
            .map(|row| row.try_get("statement"))
            .collect::<std::result::Result<_, _>>()
            .doing(doing)?;
        let sizes = session.query(SIZES, &[]).await.doing(doing)?;
        let sizes = sizes.iter().map(size).collect::<Result<Vec<_>>>().doing(doing)?;
        Ok(Self::told(&statements, sizes))
    }

    fn told(statements: &[String], sizes: Vec<(Name, Size)>) -> Self {
        let mut catalog = Self { live: true, ..Self::default() };
        // One that the parser does not know leaves its relation unknown, and every other known.
        for said in statements.iter().filter_map(|statement| ddl::read(statement)).flatten() {
            said.changes.iter().for_each(|change| catalog.follow(&change.what, None));
        }
        for (name, size) in sizes {
            if let Some(table) = catalog.tables.get_mut(&name) {
                table.size = Some(size);
            }
        }
        catalog
    }
}

fn size(row: &Row) -> Result<(Name, Size)> {
    let name = Name { schema: Some(row.try_get("schema")?), name: row.try_get("name")? };
    Ok((name, Size { rows: row.try_get("rows")?, bytes: row.try_get("bytes")? }))
}
