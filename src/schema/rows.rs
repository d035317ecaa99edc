//! From rows of the catalog's queries to values of the model.

use tokio_postgres::Row;

use super::model::{
    Column, Comment, Constraint, Enum, Extension, Function, Grant, Index, Other, Owned, Trigger,
};
use crate::pg::error::Result;

/// A row of `tables.sql`.
pub(super) struct Relation {
    pub(super) oid: u32,
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) persistence: String,
    pub(super) partition_key: Option<String>,
    pub(super) bound: Option<String>,
    pub(super) parent: Option<u32>,
    pub(super) detaching: bool,
    pub(super) options: Vec<String>,
    pub(super) replica_identity: Option<String>,
    pub(super) row_security: Option<String>,
}

pub(super) fn relation(row: &Row) -> Result<Relation> {
    Ok(Relation {
        oid: row.try_get("oid")?,
        schema: row.try_get("schema")?,
        name: row.try_get("name")?,
        persistence: row.try_get("persistence")?,
        partition_key: row.try_get("partition_key")?,
        bound: row.try_get("bound")?,
        parent: row.try_get("parent")?,
        detaching: row.try_get("detaching")?,
        options: row.try_get("options")?,
        replica_identity: row.try_get("replica_identity")?,
        row_security: row.try_get("row_security")?,
    })
}

pub(super) fn extension(row: &Row) -> Result<Extension> {
    Ok(Extension { name: row.try_get("name")?, schema: row.try_get("schema")? })
}

pub(super) fn one_enum(row: &Row) -> Result<Enum> {
    Ok(Enum { name: row.try_get("name")?, values: row.try_get("values")? })
}

pub(super) fn other(row: &Row) -> Result<Other> {
    Ok(Other {
        kind: row.try_get("kind")?,
        name: row.try_get("name")?,
        definition: row.try_get("definition")?,
    })
}

pub(super) fn comment(row: &Row) -> Result<Comment> {
    Ok(Comment { object: row.try_get("object")?, text: row.try_get("text")? })
}

pub(super) fn owned(row: &Row) -> Result<Owned> {
    Ok(Owned { object: row.try_get("object")?, role: row.try_get("role")? })
}

pub(super) fn grant(row: &Row) -> Result<Grant> {
    Ok(Grant {
        object: row.try_get("object")?,
        role: row.try_get("role")?,
        privileges: row.try_get("privileges")?,
        grantable: row.try_get("grantable")?,
    })
}

pub(super) fn column(row: &Row) -> Result<(u32, Column)> {
    let column = Column {
        name: row.try_get("name")?,
        data_type: row.try_get("data_type")?,
        not_null: row.try_get("not_null")?,
        default: row.try_get("column_default")?,
    };
    Ok((row.try_get("relation")?, column))
}

pub(super) fn constraint(row: &Row) -> Result<(u32, Constraint)> {
    let text: String = row.try_get("definition")?;
    // Whether it is validated is a value of its own.
    let definition = text.strip_suffix(" NOT VALID").unwrap_or(&text).to_owned();
    let constraint = Constraint {
        name: row.try_get("name")?,
        definition,
        valid: row.try_get("valid")?,
        options: row.try_get("options")?,
    };
    Ok((row.try_get("relation")?, constraint))
}

pub(super) fn index(row: &Row) -> Result<(u32, Index)> {
    let text: String = row.try_get("definition")?;
    let options: Vec<String> = row.try_get("options")?;
    let index = Index {
        name: row.try_get("name")?,
        definition: index_definition(&text, &options),
        options,
        valid: row.try_get("valid")?,
        parent: row.try_get("parent")?,
    };
    Ok((row.try_get("relation")?, index))
}

pub(super) fn trigger(row: &Row) -> Result<(u32, Trigger)> {
    let (text, table): (String, String) = (row.try_get("definition")?, row.try_get("table")?);
    let trigger = Trigger {
        name: row.try_get("name")?,
        definition: trigger_definition(&text, &table),
        enabled: row.try_get("enabled")?,
    };
    Ok((row.try_get("relation")?, trigger))
}

pub(super) fn function(row: &Row) -> Result<Function> {
    let (text, security_definer): (String, bool) =
        (row.try_get("definition")?, row.try_get("security_definer")?);
    let definition = text.split_whitespace().collect::<Vec<_>>().join(" ");
    Ok(Function {
        name: row.try_get("name")?,
        // It stands before the body, which may say it too.
        definition: if security_definer {
            definition.replacen(" SECURITY DEFINER", "", 1)
        } else {
            definition
        },
        security_definer,
    })
}

/// What of `CREATE [UNIQUE] INDEX name ON [ONLY] table USING …` depends neither on names nor on options.
pub(crate) fn index_definition(text: &str, options: &[String]) -> String {
    let rest = text.split_once(" USING ").map_or(text, |(_, rest)| rest);
    let rest = without_options(rest, options);
    if text.starts_with("CREATE UNIQUE ") { format!("UNIQUE {rest}") } else { rest }
}

/// Takes ` WITH (fillfactor='70')` out. Which option stands first is not told, but each is one word.
fn without_options(text: &str, options: &[String]) -> String {
    let names = options.iter().filter_map(|option| option.split_once('='));
    let found = names.filter_map(|(name, _)| text.split_once(&format!(" WITH ({name}="))).next();
    let Some((before, rest)) = found else { return text.to_owned() };
    let after = rest.split_once(')').map_or("", |(_, after)| after);
    format!("{before}{after}")
}

/// What of `CREATE [CONSTRAINT] TRIGGER name … ON table …` does not depend on names.
fn trigger_definition(text: &str, table: &str) -> String {
    let rest = text.split_once(" TRIGGER ").map_or(text, |(_, rest)| rest);
    let events = ["BEFORE ", "AFTER ", "INSTEAD OF "].iter().filter_map(|word| rest.find(word)).min();
    let rest = rest.get(events.unwrap_or(0)..).unwrap_or(rest).replacen(&format!(" ON {table} "), " ", 1);
    if text.starts_with("CREATE CONSTRAINT ") { format!("CONSTRAINT {rest}") } else { rest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_of_indexes_are_free_of_names_and_options() {
        let unique =
            "CREATE UNIQUE INDEX idx_media_external_id_unique ON media.media USING btree (external_id)";
        assert_eq!(index_definition(unique, &[]), "UNIQUE btree (external_id)");
        let partitioned = "CREATE INDEX i ON ONLY interaction.user_media USING btree (user_id) \
                           WITH (fillfactor='70', deduplicate_items=off) WHERE (rating > 5)";
        let options = ["deduplicate_items=off", "fillfactor=70"].map(str::to_owned);
        assert_eq!(index_definition(partitioned, &options), "btree (user_id) WHERE (rating > 5)");
    }

    #[test]
    fn definitions_of_triggers_are_free_of_names() {
        let text = "CREATE TRIGGER touch BEFORE UPDATE OF title ON media.media FOR EACH ROW EXECUTE FUNCTION media.touch()";
        assert_eq!(
            trigger_definition(text, "media.media"),
            "BEFORE UPDATE OF title FOR EACH ROW EXECUTE FUNCTION media.touch()"
        );
        let text = "CREATE CONSTRAINT TRIGGER c AFTER INSERT ON media.media DEFERRABLE INITIALLY DEFERRED FOR EACH ROW \
                    EXECUTE FUNCTION media.f()";
        let definition = trigger_definition(text, "media.media");
        assert!(definition.starts_with("CONSTRAINT AFTER INSERT DEFERRABLE"), "{definition}");
    }
}
