//! The catalog read: owners, grants, functions and triggers as they are, and the fingerprint of it all.

use std::collections::BTreeSet;

use omtdb::pg::{Session, Target};
use omtdb::schema::model::{Function, Grant, Trigger};
use omtdb::schema::{self, Drift, PLAN, Schema};

use crate::harness::Server;

/// What is drift of `target`'s database under a plan that settles owner and grants: `object kind: found`.
async fn drift_of_rights(target: &Target, owner: &str, grants: &[Grant]) -> Vec<String> {
    let plan = Schema { owner: Some(owner.to_owned()), grants: Some(grants.to_vec()), ..PLAN.clone() };
    let mut session = Session::connect(target, "test").await.unwrap();
    let live = schema::read(&mut session).await.unwrap();
    let said = |one: Drift| format!("{} {}: {}", one.object, one.kind, one.found.unwrap_or_default());
    schema::diff(&plan, &live).into_iter().map(said).collect()
}

fn grant(object: &str, role: &str, privileges: &[&str]) -> Grant {
    let privileges = privileges.iter().map(|&one| one.to_owned()).collect();
    Grant { object: object.to_owned(), role: role.to_owned(), privileges, grantable: false }
}

#[tokio::test]
async fn owners_and_grants_are_read_as_they_are() {
    let server = Server::start();
    let target = server.migrated().await;
    let session = server.session(&target.dbname).await;
    let me: String = session.query_one("SELECT current_user::text", &[]).await.unwrap().get(0);
    let setup = "CREATE ROLE app; CREATE ROLE other; GRANT USAGE ON SCHEMA media TO app;
        GRANT SELECT, INSERT ON interaction.user_media TO app; GRANT UPDATE (title) ON media.media TO app;
        ALTER DEFAULT PRIVILEGES IN SCHEMA media GRANT SELECT ON TABLES TO app";
    session.batch_execute(setup).await.unwrap();
    let by_default = format!("default privileges of {me} on tables in media");
    let expected = [
        grant("media", "app", &["USAGE"]),
        grant("interaction.user_media", "app", &["INSERT", "SELECT"]),
        grant("media.media.title", "app", &["UPDATE"]),
        grant(&by_default, "app", &["SELECT"]),
    ];
    assert_eq!(drift_of_rights(&target, &me, &expected).await, [""; 0]);
    let change = "REVOKE INSERT ON interaction.user_media FROM app; GRANT USAGE ON SCHEMA auth TO app WITH GRANT OPTION;
        GRANT SELECT ON interaction.user_media_m16_r03 TO app; GRANT DELETE ON interaction.user_media_m16_r04 TO app;
        ALTER TABLE media.media OWNER TO other; ALTER TYPE media.relation_type OWNER TO other;
        ALTER DEFAULT PRIVILEGES IN SCHEMA media REVOKE SELECT ON TABLES FROM app";
    session.batch_execute(change).await.unwrap();
    let drift = drift_of_rights(&target, &me, &expected).await;
    let found = [
        "media.media owner: other".to_owned(),
        "media.relation_type owner: other".to_owned(),
        "auth grants: app: USAGE WITH GRANT OPTION".to_owned(),
        format!("{by_default} grants: "),
        "interaction.user_media grants: app: SELECT".to_owned(),
        "interaction.user_media_m16_r04 grants: app: DELETE".to_owned(),
    ];
    assert_eq!(drift, found);
}

#[tokio::test]
async fn functions_and_triggers_are_read_as_they_are() {
    let server = Server::start();
    let target = server.migrated().await;
    let session = server.session(&target.dbname).await;
    let setup = "CREATE FUNCTION interaction.touch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = '' AS $$
        BEGIN
            NEW.updated_at := pg_catalog.now();
            RETURN NEW;
        END
        $$;
        CREATE TRIGGER touch BEFORE UPDATE ON interaction.user_media FOR EACH ROW EXECUTE FUNCTION interaction.touch()";
    session.batch_execute(setup).await.unwrap();
    let mut plan = PLAN.clone();
    plan.functions = vec![Function {
        name: "interaction.touch()".to_owned(),
        security_definer: true,
        definition: "CREATE OR REPLACE FUNCTION interaction.touch() RETURNS trigger LANGUAGE plpgsql \
                     SET search_path TO '' AS $function$ BEGIN NEW.updated_at := pg_catalog.now(); RETURN NEW; END \
                     $function$"
            .to_owned(),
    }];
    let table = plan.tables.iter_mut().find(|table| table.name == "user_media").unwrap();
    table.shape.triggers = vec![Trigger {
        name: "touch".to_owned(),
        definition: "BEFORE UPDATE FOR EACH ROW EXECUTE FUNCTION interaction.touch()".to_owned(),
        enabled: "enabled".to_owned(),
    }];
    let mut reader = server.session(&target.dbname).await;
    assert_eq!(schema::diff(&plan, &schema::read(&mut reader).await.unwrap()), []);
    let off = "ALTER TABLE interaction.user_media_m16_r04 DISABLE TRIGGER touch";
    session.batch_execute(off).await.unwrap();
    let drift = schema::diff(&plan, &schema::read(&mut reader).await.unwrap());
    let [one] = drift.as_slice() else { panic!("{drift:#?}") };
    assert_eq!((one.object.as_str(), one.kind.as_str()), ("interaction.user_media_m16_r04.touch", "firing"));
}

#[tokio::test]
async fn a_fingerprint_changes_with_whatever_is_read() {
    let server = Server::start();
    let target = server.migrated().await;
    let session = server.session(&target.dbname).await;
    session.batch_execute("CREATE SCHEMA IF NOT EXISTS omtdb; CREATE SCHEMA shop").await.unwrap();
    assert_eq!(
        schema::user_schemas(&session).await.unwrap(),
        ["auth", "interaction", "media", "public", "shop", "users"]
    );
    let mut reader = server.session(&target.dbname).await;
    let mut seen = BTreeSet::new();
    for change in [
        "SELECT 1",
        "CREATE TABLE shop.orders (id INT)",
        "ALTER TABLE shop.orders ADD COLUMN total NUMERIC",
        "CREATE VIEW shop.v AS SELECT id FROM shop.orders",
        "CREATE OR REPLACE VIEW shop.v AS SELECT id + 0 AS id FROM shop.orders",
        "CREATE FUNCTION shop.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE FUNCTION shop.f() RETURNS int LANGUAGE sql AS 'SELECT 2'",
        "CREATE SEQUENCE shop.s",
        "ALTER SEQUENCE shop.s INCREMENT 2",
        "CREATE DOMAIN shop.d AS int CHECK (VALUE > 0)",
        "ALTER DOMAIN shop.d SET NOT NULL",
        "CREATE POLICY p ON shop.orders USING (id > 0)",
        "ALTER POLICY p ON shop.orders USING (id > 1)",
        "CREATE STATISTICS shop.x ON id, total FROM shop.orders",
        "GRANT SELECT ON shop.orders TO PUBLIC",
    ] {
        session.batch_execute(change).await.unwrap();
        let live = schema::read_schemas(&mut reader, &["shop"]).await.unwrap();
        assert!(seen.insert(schema::fingerprint(&live)), "not seen: {change}");
        let again = schema::read_schemas(&mut reader, &["shop"]).await.unwrap();
        assert_eq!(schema::fingerprint(&live), schema::fingerprint(&again));
    }
}
