//! Changes to the schema whose plans are asked for.

use super::WhatIf;
use crate::partition::bound::HashBound;
use crate::partition::map;
use crate::pg::error::{Doing as _, Result};
use crate::pg::ident::{qualified, quoted};
use crate::pg::{PgError, Session};
use crate::schema::plan::USER_MEDIA;

/// Gives `interaction.user_media`, which is empty, so many leaves.
pub(super) async fn repartition(session: &Session, leaves: u64) -> Result<()> {
    let (schema, table) = USER_MEDIA;
    let live = map::live_leaves(session, schema, table).await?;
    if live.len() as u64 == leaves {
        return Ok(());
    }
    for leaf in live {
        let drop = format!("DROP TABLE {}", qualified(&leaf.schema, &leaf.name));
        session.batch_execute(&drop).await.doing(|| format!("drop {}", leaf.name))?;
    }
    for remainder in 0..leaves {
        let bound = HashBound { modulus: leaves, remainder };
        let name = bound.leaf_name(table);
        let create = format!(
            "CREATE TABLE {} PARTITION OF {} {bound}",
            qualified(schema, &name),
            qualified(schema, table)
        );
        session.batch_execute(&create).await.doing(|| format!("create {name}"))?;
    }
    Ok(())
}

/// Makes and drops indexes, while there are few rows.
pub(super) async fn change_indexes(session: &Session, what_if: &WhatIf) -> Result<()> {
    for definition in &what_if.with_index {
        if !is_index(definition) {
            return Err(PgError::broken(
                "--with-index",
                format!("{definition:?} is no CREATE INDEX statement"),
            ));
        }
        // By the extended protocol, which takes one statement.
        session
            .execute(definition, &[])
            .await
            .doing(|| format!("make the index of --with-index: {definition}"))?;
    }
    for name in &what_if.without_index {
        let find = "SELECT n.nspname::text, x.indrelid::pg_catalog.regclass::text AS owner, k.conname::text AS constraint_name
            FROM pg_catalog.pg_class AS c INNER JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
            INNER JOIN pg_catalog.pg_index AS x ON x.indexrelid = c.oid
            LEFT JOIN pg_catalog.pg_constraint AS k ON k.conindid = c.oid AND k.contype IN ('p', 'u')
            WHERE c.relname = $1 AND c.relkind IN ('i', 'I') AND n.nspname NOT IN ('pg_catalog', 'pg_toast')";
        let doing = || format!("drop the index {name}");
        let found = session.query(find, &[name]).await.doing(doing)?;
        let [row] = &found[..] else {
            if found.len() > 1 {
                return Err(PgError::broken(doing(), "several schemas have an index of this name"));
            }
            return Err(PgError::broken(doing(), "there is no index of this name"));
        };
        let (schema, owner): (String, String) = (row.try_get(0).doing(doing)?, row.try_get(1).doing(doing)?);
        let constraint: Option<String> = row.try_get(2).doing(doing)?;
        let drop = match constraint {
            Some(constraint) => {
                format!("ALTER TABLE {owner} DROP CONSTRAINT {} CASCADE", quoted(&constraint))
            }
            None => format!("DROP INDEX {}", qualified(&schema, name)),
        };
        session.batch_execute(&drop).await.doing(doing)?;
    }
    Ok(())
}

fn is_index(definition: &str) -> bool {
    let words: Vec<String> = definition.split_whitespace().take(3).map(str::to_ascii_uppercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    matches!(words[..], ["CREATE", "INDEX", ..] | ["CREATE", "UNIQUE", "INDEX"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_told_from_other_statements() {
        assert!(is_index("create index on a.b (c)") && is_index(" CREATE UNIQUE INDEX x ON a.b (c)"));
        assert!(!is_index("DROP INDEX x") && !is_index("CREATE TABLE x (a int)") && !is_index(""));
    }
}
