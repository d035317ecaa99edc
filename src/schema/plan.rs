//! The plan's schema: what `migrations/` builds, in the words in which PostgreSQL 15 to 18 print it. `migrate verify`,
//! the audit and the scenarios' name checks all read it here. The second phase is opt-in: [`at`] gives what a database on
//! its way there is to have.

mod functions;
mod phase_two;
mod rights;

use std::sync::LazyLock;

pub use phase_two::at;

use super::model::{Column, Constraint, Enum, Extension, Index, Leaf, Schema, Shape, Table};
use crate::partition::bound::{HashBound, month_bound, month_leaf_name};

/// The schemas that omtdb answers for; what lies elsewhere in the database is not its business.
pub const SCHEMAS: [&str; 4] = ["auth", "interaction", "media", "users"];

/// Schema and name of the largest table, whose leaves are split as it grows.
pub const USER_MEDIA: (&str, &str) = ("interaction", "user_media");

/// Leaves of the largest table at birth.
pub const LEAVES_AT_BIRTH: u64 = 16;

/// Years whose months have a leaf in `auth.login_events`.
const LOGIN_YEARS: std::ops::RangeInclusive<u16> = 2026..=2027;

/// The plan's schema in its first phase, which is the current one.
pub static PLAN: LazyLock<Schema> = LazyLock::new(|| Schema {
    schemas: SCHEMAS.map(str::to_owned).to_vec(),
    extensions: vec![Extension { name: "ltree".to_owned(), schema: "public".to_owned() }],
    enums: vec![Enum {
        name: "media.relation_type".to_owned(),
        values: ["sequel", "prequel", "adaptation", "spin-off", "shared-universe"]
            .map(str::to_owned)
            .to_vec(),
    }],
    tables: vec![
        media(),
        external_links(),
        relationships(),
        users(),
        user_media(),
        user_lists(),
        list_items(),
        smart_lists(),
        sessions(),
        tokens(),
        login_events(),
    ],
    ..Schema::default()
});

fn media() -> Table {
    table("media", "media")
        .columns([
            id(),
            optional("external_id", "text"),
            required("media_type", "text"),
            required("media_class", "public.ltree"),
            required("title", "text"),
            optional("country_of_origin", "text"),
            optional("creators", "text[]"),
            optional("cover_url", "text"),
            optional("description", "text"),
            required("attributes", "jsonb").default("'{}'::jsonb"),
            now("created_at"),
            now("updated_at"),
        ])
        .primary("id")
        .index("idx_media_title", "btree (title)")
        .index("idx_media_external_id_unique", "UNIQUE btree (external_id)")
        .index("idx_media_attributes", "gin (attributes)")
        .index("idx_media_attr_isbn", "btree (((attributes ->> 'isbn'::text)))")
        .index("idx_media_attr_runtime_minutes", "btree (((attributes ->> 'runtime_minutes'::text)))")
        .index("idx_media_attr_platforms", "gin (((attributes -> 'platforms'::text)))")
        .index("idx_media_attr_genres", "gin (((attributes -> 'genres'::text)))")
}

fn external_links() -> Table {
    table("media", "external_links")
        .columns([
            required("media_id", "uuid"),
            required("source_name", "text"),
            required("external_key", "text"),
        ])
        .primary("source_name, external_key")
        .references("media_id", "media.media(id)")
        .index("idx_external_links_media_id", "btree (media_id)")
}

fn relationships() -> Table {
    table("media", "relationships")
        .columns([
            required("media_id", "uuid"),
            required("related_media_id", "uuid"),
            required("relation_type", "media.relation_type"),
            optional("notes", "text"),
            optional("weight", "smallint"),
            now("created_at"),
        ])
        .primary("media_id, related_media_id, relation_type")
        .references("media_id", "media.media(id)")
        .references("related_media_id", "media.media(id)")
        .index("idx_relationships_media_id", "btree (media_id)")
        .index("idx_relationships_related_id", "btree (related_media_id)")
        .index("idx_relationships_type", "btree (relation_type)")
}

fn users() -> Table {
    table("users", "users")
        .columns([
            id(),
            required("email", "text"),
            optional("username", "text"),
            required("password_hash", "text"),
            required("role", "text").default("'user'::text"),
            required("profile_settings", "jsonb").default("'{}'::jsonb"),
            now("created_at"),
            now("updated_at"),
        ])
        .primary("id")
        .unique("email")
        .unique("username")
}

fn user_media() -> Table {
    let (schema, name) = USER_MEDIA;
    let leaves = (0..LEAVES_AT_BIRTH).map(|remainder| {
        let bound = HashBound { modulus: LEAVES_AT_BIRTH, remainder };
        (bound.leaf_name(name), bound.to_string())
    });
    table(schema, name)
        .columns([
            required("user_id", "uuid"),
            required("media_id", "uuid"),
            required("status", "text").default("'planned'::text"),
            optional("progress", "integer"),
            optional("rating", "smallint"),
            optional("notes", "text"),
            optional("started_at", INSTANT),
            optional("completed_at", INSTANT),
            required("meta_snapshot", "jsonb").default("'{}'::jsonb"),
            now("created_at"),
            now("updated_at"),
        ])
        .primary("user_id, media_id")
        .references("user_id", "users.users(id)")
        .references("media_id", "media.media(id)")
        .one_of("status", &["planned", "in-progress", "completed", "dropped"])
        .check("rating", "((rating >= 1) AND (rating <= 10))")
        .index("idx_user_media_user_id", "btree (user_id)")
        .index("idx_user_media_user_status", "btree (user_id, status)")
        .index("idx_user_media_media_id", "btree (media_id)")
        .index("idx_user_media_status", "btree (status)")
        .partitioned("HASH (user_id)", leaves)
}

fn user_lists() -> Table {
    table("interaction", "user_lists")
        .columns([
            id(),
            required("user_id", "uuid"),
            required("name", "text"),
            optional("description", "text"),
            required("is_public", "boolean").default("false"),
            required("list_type", "text"),
            optional("filter_definition", "jsonb"),
            now("created_at"),
            now("updated_at"),
        ])
        .primary("id")
        .references("user_id", "users.users(id)")
        .one_of("list_type", &["static", "smart"])
}

fn list_items() -> Table {
    table("interaction", "list_items")
        .columns([
            required("list_id", "uuid"),
            required("media_id", "uuid"),
            optional("position", "integer"),
            now("added_at"),
        ])
        .primary("list_id, media_id")
        .references("list_id", "interaction.user_lists(id)")
        .references("media_id", "media.media(id)")
}

fn smart_lists() -> Table {
    table("interaction", "smart_lists")
        .columns([required("list_id", "uuid"), required("filter_definition", "jsonb")])
        .primary("list_id")
        .references("list_id", "interaction.user_lists(id)")
}

fn sessions() -> Table {
    table("auth", "sessions")
        .columns([
            id(),
            required("user_id", "uuid"),
            required("token_hash", "bytea"),
            now("created_at"),
            required("expires_at", INSTANT),
            optional("revoked_at", INSTANT),
            optional("ip", "inet"),
            optional("user_agent", "text"),
        ])
        .primary("id")
        .unique("token_hash")
        .references("user_id", "users.users(id)")
        .check("token_hash", "(octet_length(token_hash) = 32)")
        .index("idx_sessions_user_id", "btree (user_id)")
}

fn tokens() -> Table {
    table("auth", "tokens")
        .columns([
            id(),
            required("user_id", "uuid"),
            required("kind", "text"),
            required("token_hash", "bytea"),
            now("created_at"),
            required("expires_at", INSTANT),
            optional("used_at", INSTANT),
            optional("revoked_at", INSTANT),
        ])
        .primary("id")
        .unique("token_hash")
        .references("user_id", "users.users(id)")
        .one_of("kind", &["email-verification", "password-reset", "api"])
        .check("token_hash", "(octet_length(token_hash) = 32)")
        .index("idx_tokens_user_id", "btree (user_id)")
}

fn login_events() -> Table {
    let months = LOGIN_YEARS.flat_map(|year| (1..=12).map(move |month| month_bound(year, month)));
    let named = months.filter_map(|bound| Some((month_leaf_name("login_events", &bound)?, bound)));
    let default = ("login_events_default".to_owned(), "DEFAULT".to_owned());
    table("auth", "login_events")
        .columns([
            id(),
            now("occurred_at"),
            optional("user_id", "uuid"),
            optional("email_attempted", "text"),
            optional("ip", "inet"),
            optional("user_agent", "text"),
            required("outcome", "text"),
        ])
        .primary("occurred_at, id")
        .references("user_id", "users.users(id)")
        .one_of("outcome", &["success", "wrong-password", "unknown-user", "locked"])
        .index("idx_login_events_user_id", "btree (user_id, occurred_at)")
        .partitioned("RANGE (occurred_at)", named.chain([default]))
}

const INSTANT: &str = "timestamp with time zone";

fn column(name: &str, data_type: &str, not_null: bool) -> Column {
    Column { name: name.to_owned(), data_type: data_type.to_owned(), not_null, default: None }
}

fn required(name: &str, data_type: &str) -> Column {
    column(name, data_type, true)
}

fn optional(name: &str, data_type: &str) -> Column {
    column(name, data_type, false)
}

fn id() -> Column {
    required("id", "uuid").default("gen_random_uuid()")
}

fn now(name: &str) -> Column {
    required(name, INSTANT).default("now()")
}

fn table(schema: &str, name: &str) -> Table {
    Table {
        schema: schema.to_owned(),
        name: name.to_owned(),
        persistence: "permanent".to_owned(),
        partition_key: None,
        shape: Shape::default(),
        leaves: Vec::new(),
    }
}

impl Column {
    fn default(mut self, expression: &str) -> Self {
        self.default = Some(expression.to_owned());
        self
    }
}

/// Constraints are named as PostgreSQL names them when it is not told otherwise.
impl Table {
    fn columns<const N: usize>(mut self, columns: [Column; N]) -> Self {
        self.shape.columns = columns.to_vec();
        self
    }

    fn constraint(mut self, name: String, definition: String) -> Self {
        self.shape.constraints.push(Constraint { name, definition, valid: true, ..Constraint::default() });
        self
    }

    fn primary(self, columns: &str) -> Self {
        let name = format!("{}_pkey", self.name);
        self.constraint(name, format!("PRIMARY KEY ({columns})"))
    }

    fn unique(self, column: &str) -> Self {
        let name = format!("{}_{column}_key", self.name);
        self.constraint(name, format!("UNIQUE ({column})"))
    }

    fn references(self, column: &str, referenced: &str) -> Self {
        let name = format!("{}_{column}_fkey", self.name);
        self.constraint(name, format!("FOREIGN KEY ({column}) REFERENCES {referenced} ON DELETE CASCADE"))
    }

    fn check(self, column: &str, condition: &str) -> Self {
        let name = format!("{}_{column}_check", self.name);
        self.constraint(name, format!("CHECK ({condition})"))
    }

    fn one_of(self, column: &str, values: &[&str]) -> Self {
        let list: Vec<String> = values.iter().map(|value| format!("'{value}'::text")).collect();
        self.check(column, &format!("({column} = ANY (ARRAY[{}]))", list.join(", ")))
    }

    fn index(mut self, name: &str, definition: &str) -> Self {
        let (name, definition) = (name.to_owned(), definition.to_owned());
        self.shape.indexes.push(Index { name, definition, valid: true, ..Index::default() });
        self
    }

    fn partitioned(mut self, key: &str, leaves: impl IntoIterator<Item = (String, String)>) -> Self {
        self.partition_key = Some(key.to_owned());
        let leaf = |(name, bound)| Leaf {
            schema: self.schema.clone(),
            name,
            bound,
            persistence: self.persistence.clone(),
            shape: self.shape.clone(),
            detaching: false,
        };
        self.leaves = leaves.into_iter().map(leaf).collect();
        self
    }
}
