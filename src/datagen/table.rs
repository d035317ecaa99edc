//! The tables of the plan that the generator fills: their columns, and which entities make their rows.

use super::column::{Column, Type};
use super::columns;
use super::model::{Micros, Model, Pick};
use super::row::Rows;

/// A table, in an order in which each comes after those it refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// `media.media`
    Media,
    /// `media.external_links`
    ExternalLinks,
    /// `media.relationships`
    Relationships,
    /// `users.users`
    Users,
    /// `interaction.user_media`
    UserMedia,
    /// `interaction.user_lists`
    UserLists,
    /// `interaction.list_items`
    ListItems,
    /// `interaction.smart_lists`
    SmartLists,
    /// `auth.sessions`
    Sessions,
    /// `auth.tokens`
    Tokens,
    /// `auth.login_events`
    LoginEvents,
}

macro_rules! columns {
    ($($name:literal $is:ident),+ $(,)?) => { &[$(Column { name: $name, is: Type::$is }),+] };
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Media,
        Self::ExternalLinks,
        Self::Relationships,
        Self::Users,
        Self::UserMedia,
        Self::UserLists,
        Self::ListItems,
        Self::SmartLists,
        Self::Sessions,
        Self::Tokens,
        Self::LoginEvents,
    ];

    /// Its schema.
    #[must_use]
    pub fn schema(self) -> &'static str {
        self.split().0
    }

    /// Its name within the schema.
    #[must_use]
    pub fn table(self) -> &'static str {
        self.split().1
    }

    fn split(self) -> (&'static str, &'static str) {
        self.name().split_once('.').unwrap_or(("public", self.name()))
    }

    /// Its qualified name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Media => "media.media",
            Self::ExternalLinks => "media.external_links",
            Self::Relationships => "media.relationships",
            Self::Users => "users.users",
            Self::UserMedia => "interaction.user_media",
            Self::UserLists => "interaction.user_lists",
            Self::ListItems => "interaction.list_items",
            Self::SmartLists => "interaction.smart_lists",
            Self::Sessions => "auth.sessions",
            Self::Tokens => "auth.tokens",
            Self::LoginEvents => "auth.login_events",
        }
    }

    /// Its columns.
    #[must_use]
    pub fn columns(self) -> &'static [Column] {
        match self {
            Self::Media => columns![
                "id" Uuid, "external_id" Text, "media_type" Text, "media_class" Ltree, "title" Text,
                "country_of_origin" Text, "creators" TextArray, "cover_url" Text, "description" Text,
                "attributes" Jsonb, "created_at" Timestamptz, "updated_at" Timestamptz,
            ],
            Self::ExternalLinks => columns!["media_id" Uuid, "source_name" Text, "external_key" Text],
            Self::Relationships => columns![
                "media_id" Uuid, "related_media_id" Uuid, "relation_type" Enum, "notes" Text, "weight" Int2,
                "created_at" Timestamptz,
            ],
            Self::Users => columns![
                "id" Uuid, "email" Text, "username" Text, "password_hash" Text, "role" Text,
                "profile_settings" Jsonb, "created_at" Timestamptz, "updated_at" Timestamptz,
            ],
            Self::UserMedia => columns![
                "user_id" Uuid, "media_id" Uuid, "status" Text, "progress" Int4, "rating" Int2, "notes" Text,
                "started_at" Timestamptz, "completed_at" Timestamptz, "meta_snapshot" Jsonb,
                "created_at" Timestamptz, "updated_at" Timestamptz,
            ],
            Self::UserLists => columns![
                "id" Uuid, "user_id" Uuid, "name" Text, "description" Text, "is_public" Bool, "list_type" Text,
                "filter_definition" Jsonb, "created_at" Timestamptz, "updated_at" Timestamptz,
            ],
            Self::ListItems => {
                columns!["list_id" Uuid, "media_id" Uuid, "position" Int4, "added_at" Timestamptz]
            }
            Self::SmartLists => columns!["list_id" Uuid, "filter_definition" Jsonb],
            Self::Sessions => columns![
                "id" Uuid, "user_id" Uuid, "token_hash" Bytea, "created_at" Timestamptz, "expires_at" Timestamptz,
                "revoked_at" Timestamptz, "ip" Inet, "user_agent" Text,
            ],
            Self::Tokens => columns![
                "id" Uuid, "user_id" Uuid, "kind" Text, "token_hash" Bytea, "created_at" Timestamptz,
                "expires_at" Timestamptz, "used_at" Timestamptz, "revoked_at" Timestamptz,
            ],
            Self::LoginEvents => columns![
                "id" Uuid, "occurred_at" Timestamptz, "user_id" Uuid, "email_attempted" Text, "ip" Inet,
                "user_agent" Text, "outcome" Text,
            ],
        }
    }

    /// Its columns that hold the id of a row of another table.
    #[must_use]
    pub fn references(self) -> &'static [(&'static str, Self)] {
        match self {
            Self::Media | Self::Users => &[],
            Self::ExternalLinks => &[("media_id", Self::Media)],
            Self::Relationships => &[("media_id", Self::Media), ("related_media_id", Self::Media)],
            Self::UserMedia => &[("user_id", Self::Users), ("media_id", Self::Media)],
            Self::UserLists | Self::Sessions | Self::Tokens | Self::LoginEvents => {
                &[("user_id", Self::Users)]
            }
            Self::ListItems => &[("list_id", Self::UserLists), ("media_id", Self::Media)],
            Self::SmartLists => &[("list_id", Self::UserLists)],
        }
    }

    /// How many entities make its rows; each makes none, one or several.
    #[must_use]
    pub fn entities(self, model: &Model) -> u64 {
        let sizes = model.sizes();
        match self {
            Self::Media | Self::ExternalLinks => sizes.media,
            Self::Relationships => model.relations(),
            Self::Users | Self::UserMedia => sizes.users,
            Self::UserLists | Self::ListItems | Self::SmartLists => model.lists(),
            Self::Sessions => sizes.users * 6 / 5,
            Self::Tokens => sizes.users / 5,
            Self::LoginEvents => sizes.users * 5,
        }
    }

    /// Number of rows in the data set.
    #[must_use]
    pub fn rows(self, model: &Model) -> u64 {
        let entities = 0..self.entities(model);
        match self {
            Self::UserMedia => model.sizes().user_media,
            Self::ExternalLinks => entities.map(|index| columns::media::links(model, index)).sum(),
            Self::ListItems => entities.map(|index| model.list(index).items()).sum(),
            Self::SmartLists => entities.map(|index| u64::from(model.list(index).is_smart())).sum(),
            _ => self.entities(model),
        }
    }

    /// Encodes the rows of entity `index`. For a user's single items there is [`Table::write_item`].
    pub fn write(self, model: &Model, index: u64, rows: &mut Rows) {
        match self {
            Self::Media => columns::media::write(model, index, rows),
            Self::ExternalLinks => columns::media::write_links(model, index, rows),
            Self::Relationships => columns::media::write_relationship(model, index, rows),
            Self::Users => columns::users::write(model, index, rows),
            Self::UserMedia => {
                let library = model.library(index, model.user(index).items());
                (0..library.items())
                    .for_each(|number| Self::write_item(model, index, library.pick(number), rows));
            }
            Self::UserLists => columns::lists::write(model, index, rows),
            Self::ListItems => columns::lists::write_items(model, index, rows),
            Self::SmartLists => columns::lists::write_smart(model, index, rows),
            Self::Sessions => columns::auth::write_session(model, index, rows),
            Self::Tokens => columns::auth::write_token(model, index, rows),
            Self::LoginEvents => columns::auth::write_login(model, index, rows),
        }
    }

    /// Encodes the row of `interaction.user_media` for one item of user `index`.
    #[inline]
    pub fn write_item(model: &Model, index: u64, pick: Pick, rows: &mut Rows) {
        columns::items::write(model, index, pick, rows);
    }
}

/// How many of the entities of `table`, which stand in the order of time, come before `time`; all where they have none.
#[must_use]
pub(super) fn entities_before(table: Table, model: &Model, time: Micros) -> u64 {
    let entities = table.entities(model);
    if table != Table::LoginEvents {
        return entities;
    }
    let (mut low, mut high) = (0, entities);
    while low < high {
        let middle = u64::midpoint(low, high);
        if columns::auth::occurred(model, middle) < time { low = middle + 1 } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datagen::Sizes;
    use crate::datagen::shape::Shape;

    #[test]
    fn every_table_writes_the_rows_it_promises() {
        for sizes in [
            Sizes { users: 200, media: 300, user_media: 5_000 },
            Sizes { users: 1, media: 1, user_media: 1 },
            Sizes { users: 3, media: 2, user_media: 6 },
        ] {
            let model = Model::new(11, sizes, &Shape::default());
            for table in Table::ALL {
                let mut rows = Rows::new(table.columns());
                for index in 0..table.entities(&model) {
                    table.write(&model, index, &mut rows);
                }
                assert_eq!(rows.tally().rows, table.rows(&model), "{} of {sizes}", table.name());
                assert_eq!(rows.tally().bytes, rows.len() as u64);
            }
        }
    }

    #[test]
    fn relations_form_chains_within_universes() {
        let model = Model::new(3, Sizes { users: 1, media: 600, user_media: 0 }, &Shape::default());
        let columns = Table::Relationships.columns();
        let mut seen = std::collections::HashSet::new();
        let (mut rows, mut sequels) = (Rows::new(columns), 0);
        for index in 0..model.relations() {
            Table::Relationships.write(&model, index, &mut rows);
            let row = rows.take(Vec::new());
            let (ids, kind) = ((&row[6..22], &row[26..42]), &row[46..]);
            sequels += u32::from(kind.starts_with(b"sequel") || kind.starts_with(b"prequel"));
            assert_ne!(ids.0, ids.1);
            assert!(seen.insert(row[..50].to_vec()), "a relation is there twice");
        }
        assert_eq!((seen.len(), sequels), (180, 108));
    }

    /// The rows of smoke under seed 42. When this fails the data have changed: raise `DATA_VERSION`, then take over what
    /// it found.
    #[test]
    fn the_data_are_those_of_this_version() {
        let model = Model::new(42, crate::datagen::Profile::Smoke.sizes(), &Shape::default());
        let line = |table: Table| {
            let mut rows = Rows::new(table.columns());
            (0..table.entities(&model)).for_each(|index| {
                table.write(&model, index, &mut rows);
                drop(rows.take(Vec::new()));
            });
            format!("{} {} {}", table.name(), rows.tally().rows, rows.tally().checksum())
        };
        let found: Vec<String> = Table::ALL.map(line).to_vec();
        insta::assert_snapshot!(format!("version {}\n{}", crate::datagen::DATA_VERSION, found.join("\n")), @"
        version 2
        media.media 5000 -149809599982522766170
        media.external_links 7452 2437064815418679220
        media.relationships 1500 21581858554007869169
        users.users 1000 -140864452452022639745
        interaction.user_media 100000 1563918802914685318454
        interaction.user_lists 500 50796651120720744550
        interaction.list_items 9063 -751194074943055763706
        interaction.smart_lists 57 42490271379602484731
        auth.sessions 1200 -173921377483917351865
        auth.tokens 200 77116065680360496942
        auth.login_events 5000 -612651107791127072445
        ");
    }
}
