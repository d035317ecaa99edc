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
        make_index(session, definition).await?;
    }
    for name in &what_if.without_index {
        drop_index(session, name).await?;
    }
    Ok(())
}

async fn make_index(session: &Session, definition: &str) -> Result<()> {
    if !is_index(definition) {
        let why = format!("{definition:?} is no CREATE INDEX statement");
        return Err(PgError::broken("--with-index", why));
    }
    // By the extended protocol, which takes one statement.
    let made = session.execute(definition, &[]).await;
    made.map(drop).doing(|| format!("make the index of --with-index: {definition}"))
}

async fn drop_index(session: &Session, name: &str) -> Result<()> {
    let doing = || format!("drop the index {name}");
    let found = session.query(include_str!("index.sql"), &[&name]).await.doing(doing)?;
    let row = match &found[..] {
        [row] => row,
        [] => return Err(PgError::broken(doing(), "there is no index of this name")),
        _ => return Err(PgError::broken(doing(), "several schemas have an index of this name")),
    };
    let text = |column| row.try_get::<_, String>(column).doing(doing);
    let constraint: Option<String> = row.try_get("constraint").doing(doing)?;
    let drop = match constraint {
        Some(constraint) => format!(
            "ALTER TABLE {} DROP CONSTRAINT {} CASCADE",
            qualified(&text("schema")?, &text("owner")?),
            quoted(&constraint)
        ),
        None => format!("DROP INDEX {}", qualified(&text("schema")?, name)),
    };
    session.batch_execute(&drop).await.doing(doing)
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
