//! Who may do what from the second phase on; whatever is not here is refused, but to the owner.

use super::super::model::Grant;

/// The role that owns everything.
pub(super) const OWNER: &str = "omt_owner";

const ALL: [&str; 4] = ["DELETE", "INSERT", "SELECT", "UPDATE"];
const READ: [&str; 1] = ["SELECT"];

const CATALOG: [&str; 3] = ["media.media", "media.external_links", "media.relationships"];
const LIBRARIES: [&str; 4] =
    ["interaction.user_media", "interaction.user_lists", "interaction.list_items", "interaction.smart_lists"];
const TYPED: [&str; 5] = ["media.books", "media.games", "media.audio", "media.events", "media.screen"];

/// Columns of `users.users` that are no secret.
const PROFILE: [&str; 7] = [
    "users.users.id",
    "users.users.email",
    "users.users.username",
    "users.users.role",
    "users.users.profile_settings",
    "users.users.created_at",
    "users.users.updated_at",
];
/// Those of them that the application changes.
const CHANGED: [&str; 5] = [
    "users.users.email",
    "users.users.username",
    "users.users.role",
    "users.users.profile_settings",
    "users.users.updated_at",
];
/// What sign-in reads of a user.
const CREDENTIALS: [&str; 5] = [
    "users.users.id",
    "users.users.email",
    "users.users.username",
    "users.users.password_hash",
    "users.users.role",
];

/// On everything that the first phase has.
pub(super) fn grants() -> Vec<Grant> {
    [
        on(&["media", "users", "interaction"], "omt_app", &["USAGE"]),
        on(&CATALOG, "omt_app", &ALL),
        on(&LIBRARIES, "omt_app", &ALL),
        on(&["users.users"], "omt_app", &["DELETE", "INSERT"]),
        on(&PROFILE, "omt_app", &READ),
        on(&CHANGED, "omt_app", &["UPDATE"]),
        on(&["users", "auth"], "omt_auth", &["USAGE"]),
        on(&CREDENTIALS, "omt_auth", &READ),
        on(&["users.users.password_hash", "users.users.updated_at"], "omt_auth", &["UPDATE"]),
        on(&["auth.sessions", "auth.tokens"], "omt_auth", &ALL),
        on(&["auth.login_events"], "omt_auth", &["INSERT", "SELECT"]),
        on(&["media", "users", "interaction"], "omt_readonly", &["USAGE"]),
        on(&CATALOG, "omt_readonly", &READ),
        on(&LIBRARIES, "omt_readonly", &READ),
        on(&PROFILE, "omt_readonly", &READ),
        on(&["media", "users", "interaction", "auth"], "omt_monitor", &["USAGE"]),
    ]
    .concat()
}

/// On what the owner creates later.
pub(super) fn default_privileges() -> Vec<Grant> {
    let tables = |schema| format!("default privileges of {OWNER} on tables in {schema}");
    let written = ["media", "interaction", "users"].map(tables);
    let read = ["media", "interaction"].map(tables);
    [
        on(&written.each_ref().map(String::as_str), "omt_app", &ALL),
        on(&read.each_ref().map(String::as_str), "omt_readonly", &READ),
    ]
    .concat()
}

/// On the tables that the second phase adds.
pub(super) fn on_typed_tables() -> Vec<Grant> {
    [on(&TYPED, "omt_app", &ALL), on(&TYPED, "omt_readonly", &READ)].concat()
}

fn on(objects: &[&str], role: &str, privileges: &[&str]) -> Vec<Grant> {
    let grant = |object: &&str| Grant {
        object: (*object).to_owned(),
        role: role.to_owned(),
        privileges: privileges.iter().map(|&privilege| privilege.to_owned()).collect(),
        grantable: false,
    };
    objects.iter().map(grant).collect()
}
