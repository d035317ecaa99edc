//! Drift: each kind of change to a migrated database is reported, as exactly the object that was changed.

use omtdb::migrate;
use omtdb::partition::map;
use omtdb::schema::catalog;

use crate::harness::{Server, json, omtdb, text};

/// Changes, and what each is reported as: `object kind`.
const CHANGES: &[(&str, &[&str])] = &[
    ("DROP INDEX media.idx_media_title", &["media.idx_media_title missing"]),
    ("DROP INDEX interaction.idx_user_media_status", &["interaction.idx_user_media_status missing"]),
    (
        "DROP INDEX media.idx_media_attr_isbn; CREATE INDEX idx_media_attr_isbn ON media.media (external_id)",
        &["media.idx_media_attr_isbn definition"],
    ),
    ("CREATE INDEX extra ON users.users (role)", &["users.extra unexpected"]),
    (
        "CREATE INDEX extra ON interaction.user_media_m16_r07 (rating)",
        &["interaction.user_media_m16_r07.extra unexpected"],
    ),
    (
        "DROP INDEX interaction.idx_user_media_media_id;
         CREATE INDEX idx_user_media_media_id ON ONLY interaction.user_media (media_id);
         CREATE INDEX one ON interaction.user_media_m16_r00 (media_id);
         DO $$ BEGIN FOR r IN 0..14 LOOP
             EXECUTE format('CREATE INDEX i%s ON interaction.user_media_m16_r%s (media_id)', r, lpad(r::text, 2, '0'));
             EXECUTE format('ALTER INDEX interaction.idx_user_media_media_id ATTACH PARTITION interaction.i%s', r);
         END LOOP; END $$;
         DROP INDEX interaction.one",
        &[
            "interaction.idx_user_media_media_id validity",
            "interaction.user_media_m16_r15.idx_user_media_media_id missing",
        ],
    ),
    ("ALTER TABLE media.media ALTER attributes DROP DEFAULT", &["media.media.attributes default"]),
    (
        "ALTER TABLE interaction.user_media ALTER status SET DEFAULT 'dropped'",
        &[
            "interaction.user_media.status default",
        ],
    ),
    ("ALTER TABLE users.users ALTER username TYPE VARCHAR(255)", &["users.users.username type"]),
    ("ALTER TABLE media.media ALTER title TYPE TEXT COLLATE \"C\"", &["media.media.title type"]),
    ("ALTER TABLE media.media ADD COLUMN settings JSONB", &["media.media.settings unexpected"]),
    ("ALTER TABLE interaction.user_media ADD COLUMN tag TEXT", &["interaction.user_media.tag unexpected"]),
    ("ALTER TABLE media.media DROP COLUMN cover_url", &["media.media.cover_url missing"]),
    ("ALTER TABLE media.media ALTER title DROP NOT NULL", &["media.media.title nullability"]),
    (
        "ALTER TABLE interaction.user_media DROP CONSTRAINT user_media_rating_check",
        &["interaction.user_media.user_media_rating_check missing"],
    ),
    (
        "ALTER TABLE interaction.user_lists DROP CONSTRAINT user_lists_list_type_check;
         ALTER TABLE interaction.user_lists ADD CONSTRAINT user_lists_list_type_check CHECK (list_type <> '')",
        &["interaction.user_lists.user_lists_list_type_check definition"],
    ),
    (
        "ALTER TABLE interaction.user_media_m16_r04 ADD CONSTRAINT own CHECK (progress < 9)",
        &["interaction.user_media_m16_r04.own unexpected"],
    ),
    (
        "ALTER TABLE media.external_links DROP CONSTRAINT external_links_media_id_fkey",
        &["media.external_links.external_links_media_id_fkey missing"],
    ),
    (
        "ALTER TABLE media.external_links DROP CONSTRAINT external_links_media_id_fkey,
         ADD CONSTRAINT external_links_media_id_fkey FOREIGN KEY (media_id) REFERENCES media.media ON DELETE CASCADE NOT VALID",
        &["media.external_links.external_links_media_id_fkey validity"],
    ),
    (
        "ALTER TABLE media.external_links DROP CONSTRAINT external_links_media_id_fkey,
         ADD CONSTRAINT external_links_media_id_fkey FOREIGN KEY (media_id) REFERENCES media.media",
        &["media.external_links.external_links_media_id_fkey definition"],
    ),
    ("ALTER TABLE users.users DROP CONSTRAINT users_email_key", &["users.users.users_email_key missing"]),
    ("ALTER TABLE interaction.list_items DROP CONSTRAINT list_items_pkey", &[
        "interaction.list_items.list_items_pkey missing",
    ]),
    (
        "ALTER TABLE interaction.user_media DETACH PARTITION interaction.user_media_m16_r03",
        &["interaction.user_media coverage"],
    ),
    ("DROP TABLE interaction.user_media_m16_r03", &["interaction.user_media coverage"]),
    (
        "DROP TABLE interaction.user_media_m16_r03;
         CREATE TABLE interaction.user_media_m32_r19 PARTITION OF interaction.user_media
             FOR VALUES WITH (MODULUS 32, REMAINDER 19)",
        &["interaction.user_media coverage"],
    ),
    ("ALTER TABLE interaction.user_media_m16_r03 RENAME TO user_media_3", &["interaction.user_media_3 bound"]),
    ("DROP TABLE auth.login_events_default", &["auth.login_events_default missing"]),
    (
        "DROP TABLE auth.login_events_y2026m05;
         CREATE TABLE auth.login_events_y2026m05 PARTITION OF auth.login_events
             FOR VALUES FROM ('2026-05-02 00:00:00+00') TO ('2026-06-01 00:00:00+00')",
        &["auth.login_events_y2026m05 missing", "auth.login_events_y2026m05 unexpected"],
    ),
    ("ALTER TYPE media.relation_type RENAME VALUE 'spin-off' TO 'spinoff'", &["media.relation_type values"]),
    ("ALTER TYPE media.relation_type ADD VALUE 'remake'", &["media.relation_type values"]),
    ("ALTER TYPE media.relation_type ADD VALUE 'remake' BEFORE 'prequel'", &["media.relation_type values"]),
    (
        "ALTER TYPE media.relation_type RENAME VALUE 'sequel' TO 'was';
         ALTER TYPE media.relation_type RENAME VALUE 'prequel' TO 'sequel';
         ALTER TYPE media.relation_type RENAME VALUE 'was' TO 'prequel'",
        &["media.relation_type values"],
    ),
    ("ALTER EXTENSION ltree SET SCHEMA media", &["ltree schema", "media.media.media_class type"]),
    ("DROP TABLE auth.tokens", &["auth.tokens missing"]),
    ("DROP SCHEMA auth CASCADE", &[
        "auth missing",
        "auth.sessions missing",
        "auth.tokens missing",
        "auth.login_events missing",
    ]),
    ("ALTER TABLE media.relationships SET UNLOGGED", &["media.relationships persistence"]),
    ("CREATE TABLE media.scratch (id INT)", &["media.scratch unexpected"]),
    ("CREATE VIEW users.names AS SELECT username FROM users.users", &["users.names unexpected"]),
    (
        "CREATE FUNCTION auth.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER t AFTER INSERT ON interaction.user_media FOR EACH ROW EXECUTE FUNCTION auth.f()",
        &["interaction.user_media.t unexpected", "auth.f() unexpected"],
    ),
    (
        "CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER t AFTER INSERT ON interaction.user_media_m16_r04 FOR EACH ROW EXECUTE FUNCTION public.f()",
        &["interaction.user_media_m16_r04.t unexpected"],
    ),
    ("CREATE AGGREGATE auth.a (int) (SFUNC = int4pl, STYPE = int)", &["auth.a(integer) unexpected"]),
    ("ALTER TABLE media.media SET (fillfactor = 70, toast.autovacuum_enabled = off)", &["media.media options"]),
    (
        "ALTER TABLE interaction.user_media_m16_r04 SET (autovacuum_enabled = off)",
        &["interaction.user_media_m16_r04 options"],
    ),
    ("ALTER INDEX media.idx_media_title SET (fillfactor = 70)", &["media.idx_media_title options"]),
    ("ALTER INDEX media.media_pkey SET (fillfactor = 70)", &["media.media.media_pkey options"]),
    (
        "ALTER INDEX interaction.user_media_m16_r04_status_idx SET (fillfactor = 70)",
        &["interaction.user_media_m16_r04.idx_user_media_status options"],
    ),
    ("ALTER TABLE users.users REPLICA IDENTITY FULL", &["users.users replica identity"]),
    (
        "ALTER TABLE interaction.user_media_m16_r04 REPLICA IDENTITY NOTHING",
        &["interaction.user_media_m16_r04 replica identity"],
    ),
    ("ALTER TABLE users.users ENABLE ROW LEVEL SECURITY", &["users.users row security"]),
    (
        "COMMENT ON SCHEMA auth IS 'x'; COMMENT ON TYPE media.relation_type IS 'x'; COMMENT ON TABLE media.media IS 'x';
         COMMENT ON COLUMN media.media.title IS 'x'; COMMENT ON INDEX media.idx_media_title IS 'x';
         COMMENT ON CONSTRAINT users_email_key ON users.users IS 'x'",
        &[
            "auth comment",
            "media.idx_media_title comment",
            "media.media comment",
            "media.media.title comment",
            "media.relation_type comment",
            "users.users.users_email_key comment",
        ],
    ),
    ("COMMENT ON TABLE interaction.user_media_m16_r04 IS 'a leaf of its own'", &[]),
    (
        "GRANT USAGE ON SCHEMA auth TO PUBLIC; GRANT SELECT (email) ON users.users TO PUBLIC;
         GRANT DELETE ON interaction.user_media_m16_r04 TO PUBLIC",
        &["auth grants", "interaction.user_media_m16_r04 grants", "users.users.email grants"],
    ),
];

#[tokio::test]
async fn what_migrations_build_is_what_the_plan_says() {
    let server = Server::start();
    let target = server.migrated().await;
    assert_eq!(migrate::verify(&target).await.unwrap().drift, []);
}

#[tokio::test]
async fn each_change_is_reported_as_the_object_that_was_changed() {
    let server = Server::start();
    let template = server.migrated().await.dbname;
    let postgres = server.session("postgres").await;
    for (change, expected) in CHANGES {
        postgres.batch_execute("DROP DATABASE IF EXISTS changed WITH (FORCE)").await.unwrap();
        postgres.batch_execute(&format!("CREATE DATABASE changed TEMPLATE {template}")).await.unwrap();
        let session = server.session("changed").await;
        session.batch_execute(change).await.unwrap_or_else(|error| panic!("{change}: {error:?}"));
        session.close().await;
        let drift = migrate::verify(&server.cluster().target("changed")).await.unwrap().drift;
        let found: Vec<String> = drift.iter().map(|one| format!("{} {}", one.object, one.kind)).collect();
        assert_eq!(found, *expected, "after {change}: {drift:#?}");
    }
}

#[tokio::test]
async fn an_index_that_a_failed_build_left_is_invalid() {
    let server = Server::start();
    let target = server.migrated().await;
    let session = server.session(&target.dbname).await;
    let twice = "INSERT INTO media.media (media_type, media_class, title, external_id) VALUES ('book', 'a', 'b', 'same')";
    session.batch_execute("DROP INDEX media.idx_media_external_id_unique").await.unwrap();
    session.batch_execute(&format!("{twice}; {twice}")).await.unwrap();
    let build = "CREATE UNIQUE INDEX CONCURRENTLY idx_media_external_id_unique ON media.media (external_id)";
    session.batch_execute(build).await.unwrap_err();
    let drift = migrate::verify(&target).await.unwrap().drift;
    let [one] = drift.as_slice() else { panic!("{drift:#?}") };
    assert_eq!((one.object.as_str(), one.kind.as_str()), ("media.idx_media_external_id_unique", "validity"));
}

#[tokio::test]
async fn a_split_leaf_is_no_drift() {
    let server = Server::start();
    let target = server.migrated().await;
    let session = server.session(&target.dbname).await;
    let split = "
        ALTER TABLE interaction.user_media DETACH PARTITION interaction.user_media_m16_r03;
        DROP TABLE interaction.user_media_m16_r03;
        CREATE TABLE interaction.user_media_m32_r03 PARTITION OF interaction.user_media
            FOR VALUES WITH (MODULUS 32, REMAINDER 3);
        CREATE TABLE interaction.user_media_m32_r19 PARTITION OF interaction.user_media
            FOR VALUES WITH (MODULUS 32, REMAINDER 19)";
    session.batch_execute(split).await.unwrap();
    assert_eq!(migrate::verify(&target).await.unwrap().drift, []);
}

#[tokio::test]
async fn a_leaf_whose_detaching_never_ended_is_none() {
    let server = Server::start();
    let target = server.migrated().await;
    let reader = server.session(&target.dbname).await;
    reader.batch_execute("BEGIN; SELECT FROM interaction.user_media").await.unwrap();
    let session = server.session(&target.dbname).await;
    session.batch_execute("SET lock_timeout = '10ms'").await.unwrap();
    let detach =
        "ALTER TABLE interaction.user_media DETACH PARTITION interaction.user_media_m16_r03 CONCURRENTLY";
    session.batch_execute(detach).await.unwrap_err();
    let drift = migrate::verify(&target).await.unwrap().drift;
    let [one] = drift.as_slice() else { panic!("{drift:#?}") };
    assert_eq!((one.object.as_str(), one.kind.as_str()), ("interaction.user_media", "coverage"));
    let found = one.found.as_deref().unwrap();
    assert!(found.contains("detaching of user_media_m16_r03 is pending"), "{found}");
    assert!(found.contains("no leaf for hash mod 16 = 3"), "{found}");
    let leaves = map::live_leaves(&session, "interaction", "user_media").await.unwrap();
    assert_eq!(leaves.len(), 15);
}

#[tokio::test]
async fn objects_elsewhere_and_the_reading_sessions_settings_do_not_matter() {
    let server = Server::start();
    let target = server.migrated().await;
    let session = server.session(&target.dbname).await;
    let elsewhere = "
        CREATE SCHEMA IF NOT EXISTS omtdb; CREATE TABLE omtdb.mine (id INT); CREATE TABLE public.notes (id INT);
        CREATE FUNCTION public.media() RETURNS int LANGUAGE sql AS 'SELECT 1'";
    session.batch_execute(elsewhere).await.unwrap();
    let name = &target.dbname;
    let settings = format!(
        "ALTER DATABASE {name} SET search_path = media, interaction, public;
         ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'; ALTER DATABASE {name} SET datestyle = 'German'"
    );
    session.batch_execute(&settings).await.unwrap();
    assert_eq!(migrate::verify(&target).await.unwrap().drift, []);
}

#[tokio::test]
async fn the_command_says_pass_or_fail() {
    let server = Server::start();
    let target = server.migrated().await;
    let url = server.url(&target.dbname);
    let clean = omtdb(&["migrate", "verify", "--url", &url]);
    assert_eq!(clean.status.code(), Some(0), "{}", text(&clean));
    let session = server.session(&target.dbname).await;
    session.batch_execute("ALTER TABLE users.users ALTER role SET DEFAULT 'admin'").await.unwrap();
    let drifted = omtdb(&["migrate", "verify", "--url", &url, "--json"]);
    assert_eq!(drifted.status.code(), Some(1), "{}", text(&drifted));
    let expected = serde_json::json!([{
        "object": "users.users.role", "kind": "default", "expected": "'user'::text", "found": "'admin'::text",
    }]);
    assert_eq!(json(&drifted)["drift"], expected);
    let said = text(&omtdb(&["migrate", "verify", "--url", &url]));
    assert!(said.contains("users.users.role") && said.contains("1 difference"), "{said}");
}

#[tokio::test]
async fn an_empty_database_is_all_drift() {
    let server = Server::start();
    let target = server.database().await;
    let drift = migrate::verify(&target).await.unwrap().drift;
    assert!(drift.iter().any(|one| one.object == "interaction.user_media" && one.kind == "missing"));
}

#[tokio::test]
async fn every_query_of_the_catalog_prepares() {
    let server = Server::start();
    let session = server.session("postgres").await;
    for (name, sql) in catalog::QUERIES {
        session.prepare(sql).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
}
