//! The second phase, version by version: what each of its migrations makes of the schema.

use super::super::model::{Index, Schema, Table, Trigger};
use super::{PLAN, functions, optional, required, rights, table};

const PRIVILEGES: i64 = 13;
const OWNER: i64 = 14;
const TYPED_TABLES: i64 = 15;
const COPYING: i64 = 16;
const TYPED_INDEXES: i64 = 19;
const NO_ATTRIBUTE_INDEXES: i64 = 20;
const KEEPING: i64 = 21;
const NO_COPYING: i64 = 22;
const NO_CONVERSIONS: i64 = 25;

/// The schema that a database at `version` is to have: up to the last version of the first phase that is [`PLAN`].
///
/// Versions that change rows, or roles, which belong to no database, have the schema of the one before.
#[must_use]
pub fn at(version: i64) -> Schema {
    let mut schema = PLAN.clone();
    if version >= PRIVILEGES {
        schema.grants = Some(rights::grants());
    }
    if version >= OWNER {
        schema.owner = Some(rights::OWNER.to_owned());
        schema.grants.get_or_insert_default().extend(rights::default_privileges());
    }
    if version >= TYPED_TABLES {
        schema.tables.extend(typed_tables());
        schema.grants.get_or_insert_default().extend(rights::on_typed_tables());
    }
    if (COPYING..NO_CONVERSIONS).contains(&version) {
        schema.functions.extend(functions::conversions());
    }
    if (COPYING..NO_COPYING).contains(&version) {
        schema.functions.extend(functions::copying(version >= KEEPING));
        change(&mut schema, "media", |media| media.shape.triggers.push(copying()));
    }
    if version >= TYPED_INDEXES {
        for (table, name, definition) in TYPED_INDEXES_OF {
            change(&mut schema, table, |table| table.shape.indexes.push(typed_index(name, definition)));
        }
    }
    if version >= NO_ATTRIBUTE_INDEXES {
        let is_of_a_key = |index: &Index| index.name.starts_with("idx_media_attr_");
        change(&mut schema, "media", |media| media.shape.indexes.retain(|index| !is_of_a_key(index)));
    }
    schema
}

/// Table, name and definition.
const TYPED_INDEXES_OF: [(&str, &str, &str); 4] = [
    ("books", "idx_books_isbn", "btree (isbn)"),
    ("games", "idx_games_platforms", "gin (platforms)"),
    ("screen", "idx_screen_runtime_minutes", "btree (runtime_minutes)"),
    ("screen", "idx_screen_genres", "gin (genres)"),
];

/// Changes the table `media.name`.
fn change(schema: &mut Schema, name: &str, change: impl FnOnce(&mut Table)) {
    if let Some(table) = schema.tables.iter_mut().find(|table| table.schema == "media" && table.name == name)
    {
        change(table);
    }
}

fn typed_index(name: &str, definition: &str) -> Index {
    Index { name: name.to_owned(), definition: definition.to_owned(), valid: true, ..Index::default() }
}

fn copying() -> Trigger {
    Trigger {
        name: "copy_written_attributes".to_owned(),
        definition: "AFTER INSERT OR UPDATE OF attributes FOR EACH ROW EXECUTE FUNCTION media.copy_written_attributes()"
            .to_owned(),
        enabled: "enabled".to_owned(),
    }
}

/// One for each kind of medium, keyed by the medium.
fn typed_tables() -> [Table; 5] {
    let typed = |name, columns: &[(&str, &str)]| {
        let mut table = table("media", name).columns([required("media_id", "uuid")]);
        table.shape.columns.extend(columns.iter().map(|(name, data_type)| optional(name, data_type)));
        table.primary("media_id").references("media_id", "media.media(id)")
    };
    [
        typed(
            "books",
            &[("isbn", "text"), ("publisher", "text"), ("page_count", "integer"), ("edition", "text")],
        ),
        typed("games", &[("platforms", "text[]"), ("engine", "text"), ("playtime_hours", "numeric")]),
        typed("audio", &[("narrator", "text"), ("duration_minutes", "integer"), ("label", "text")]),
        typed("events", &[("venue", "text"), ("capacity", "integer"), ("event_type", "text")]),
        typed("screen", &[("runtime_minutes", "integer"), ("genres", "text[]")]),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::super::diff;
    use super::*;

    #[test]
    fn the_first_phase_is_the_plan() {
        assert_eq!(at(11), *PLAN);
        assert_eq!(at(12), *PLAN);
    }

    #[test]
    fn each_step_changes_what_its_migration_is_about() {
        // Leaves of the plan do not say whose parts their indexes are.
        let of_media = |version| {
            let mut schema = at(version);
            schema.tables.retain(|table| table.schema == "media");
            schema
        };
        let changes = |from: i64, to: i64| {
            let found = diff(&of_media(from), &of_media(to));
            found.into_iter().map(|one| format!("{} {}", one.object, one.kind)).collect::<Vec<_>>()
        };
        assert_eq!(changes(16, 18), [""; 0]);
        assert_eq!(changes(18, 19).len(), 4);
        assert_eq!(changes(19, 20).len(), 4);
        assert_eq!(changes(20, 21), ["media.copy_written_attributes() definition"]);
        assert_eq!(changes(21, 22).len(), 3);
        assert_eq!(changes(22, 24), [""; 0]);
        assert_eq!(changes(24, 25).len(), 5);
    }
}
