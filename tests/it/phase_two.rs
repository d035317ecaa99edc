//! The second phase: each step on data, what every role may, and who may apply it.

use omtdb::datagen::{self, Sizes};
use omtdb::migrate::{self, Options, Source, script};
use omtdb::pg::error::PgError;
use omtdb::pg::{Session, Target};
use omtdb::run::Run;
use omtdb::schema::{self, plan};

use crate::harness::{Server, spec};

const FIRST: i64 = 12;
pub(crate) const LAST: i64 = 25;
const SIZES: Sizes = Sizes { users: 20, media: 1_200, user_media: 1_000 };

/// Applies what is pending up to `last`.
pub(crate) async fn apply(target: &Target, last: i64) -> anyhow::Result<()> {
    let options = Options { last: Some(last), ..Options::default() };
    migrate::apply(target, &Source::embedded(), &options, &Run::silent()).await?;
    Ok(())
}

/// A database of the first phase with data.
async fn first_phase(server: &Server) -> Target {
    let target = server.database().await;
    apply(&target, FIRST - 1).await.unwrap();
    datagen::generate(&Run::silent(), &target, &spec(42, SIZES)).await.unwrap();
    target
}

/// A database at `version` with data, and a session in it.
pub(crate) async fn at(server: &Server, version: i64) -> (Target, Session) {
    let target = first_phase(server).await;
    apply(&target, version).await.unwrap();
    let session = server.session(&target.dbname).await;
    (target, session)
}

/// What differs from the schema of `version`.
async fn drift(target: &Target, version: i64) -> Vec<schema::Drift> {
    let mut session = Session::connect(target, "test").await.unwrap();
    let live = schema::read(&mut session).await.unwrap();
    session.close().await;
    schema::diff(&plan::at(version), &live)
}

/// The first value of the first row.
pub(crate) async fn one<T: for<'a> tokio_postgres::types::FromSql<'a>>(session: &Session, sql: &str) -> T {
    session.query_one(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
}

#[test]
fn every_file_of_the_phase_is_opt_in() {
    let source = Source::embedded();
    let versions: Vec<i64> = source.migrations().iter().map(refinery_core::Migration::version).collect();
    assert_eq!(versions, (1..=LAST).collect::<Vec<_>>());
    for migration in source.migrations() {
        let script = script::parse(migration.sql().unwrap()).unwrap();
        assert_eq!(script.opt_in, migration.version() >= FIRST, "{migration}");
    }
}

#[tokio::test]
async fn every_step_gives_the_schema_that_the_plan_says_and_loses_nothing() {
    let server = Server::start();
    let target = first_phase(&server).await;
    let session = server.session(&target.dbname).await;
    session
        .batch_execute("CREATE TABLE public.before AS SELECT id, attributes FROM media.media")
        .await
        .unwrap();
    for version in FIRST..=LAST {
        apply(&target, version).await.unwrap();
        assert_eq!(drift(&target, version).await, [], "at version {version}");
    }
    assert_eq!(one::<i64>(&session, "SELECT count(*) FROM media.media WHERE attributes <> '{}'").await, 0);
    let put_together = "
        SELECT count(*)
        FROM public.before AS o
        LEFT JOIN media.books AS b ON b.media_id = o.id
        LEFT JOIN media.games AS g ON g.media_id = o.id
        LEFT JOIN media.audio AS a ON a.media_id = o.id
        LEFT JOIN media.events AS e ON e.media_id = o.id
        LEFT JOIN media.screen AS s ON s.media_id = o.id
        WHERE o.attributes = jsonb_strip_nulls(
            jsonb_build_object('isbn', b.isbn, 'publisher', b.publisher, 'page_count', b.page_count,
                'edition', b.edition::INT, 'platforms', g.platforms, 'engine', g.engine,
                'playtime_hours', g.playtime_hours, 'narrator', a.narrator, 'duration_minutes', a.duration_minutes,
                'label', a.label, 'venue', e.venue, 'capacity', e.capacity, 'event_type', e.event_type,
                'runtime_minutes', s.runtime_minutes, 'genres', s.genres))";
    assert_eq!(one::<i64>(&session, put_together).await, 1_200);
    let refused = datagen::generate(&Run::silent(), &target, &spec(42, SIZES)).await.unwrap_err().to_string();
    assert!(refused.contains("generate at version 21"), "{refused}");
    for table in ["books", "games", "audio", "events", "screen"] {
        assert!(one::<i64>(&session, &format!("SELECT count(*) FROM media.{table}")).await > 0, "{table}");
    }
}

/// What each role may do, and what it may not.
const RIGHTS: &[(&str, &[&str], &[&str])] = &[
    (
        "omt_app",
        &[
            "INSERT INTO media.media (media_type, media_class, title, attributes) VALUES ('book', 'a', 'b', '{\"isbn\": \"1\"}')",
            "UPDATE media.media SET attributes = attributes || '{\"page_count\": 1}'",
            "DELETE FROM media.media",
            "INSERT INTO media.books (media_id) SELECT id FROM media.media ON CONFLICT (media_id) DO UPDATE SET isbn = '1'",
            "DELETE FROM media.screen",
            "INSERT INTO users.users (email, password_hash) VALUES ('a', 'b') RETURNING id",
            "UPDATE users.users SET username = NULL, updated_at = now() WHERE email = 'a'",
            "DELETE FROM users.users",
            "UPDATE interaction.user_media SET rating = 3 WHERE rating = 4",
            "INSERT INTO interaction.smart_lists SELECT id, '{}' FROM interaction.user_lists ON CONFLICT DO NOTHING",
        ],
        &[
            "SELECT password_hash FROM users.users",
            "UPDATE users.users SET password_hash = ''",
            "SELECT FROM auth.sessions",
            "SELECT FROM auth.login_events",
            "INSERT INTO auth.login_events (outcome) VALUES ('success')",
            "SELECT FROM interaction.user_media_m16_r00",
            "TRUNCATE media.media CASCADE",
            "DROP INDEX media.idx_media_title",
            "CREATE TABLE media.mine ()",
            "SELECT FROM public.refinery_schema_history",
        ],
    ),
    (
        "omt_auth",
        &[
            "SELECT id, password_hash, role FROM users.users WHERE email = 'a'",
            "UPDATE users.users SET password_hash = 'b', updated_at = now() WHERE username = 'a'",
            "INSERT INTO auth.sessions (user_id, token_hash, expires_at)
                SELECT id, decode(repeat('00', 32), 'hex'), now() FROM users.users LIMIT 1",
            "UPDATE auth.tokens SET used_at = now()",
            "DELETE FROM auth.sessions",
            "INSERT INTO auth.login_events (outcome) VALUES ('unknown-user') RETURNING id",
        ],
        &[
            "UPDATE auth.login_events SET outcome = 'success'",
            "DELETE FROM auth.login_events",
            "TRUNCATE auth.login_events",
            "UPDATE users.users SET role = 'admin'",
            "SELECT profile_settings FROM users.users",
            "DELETE FROM users.users",
            "SELECT FROM media.media",
            "SELECT FROM interaction.user_media",
        ],
    ),
    (
        "omt_readonly",
        &[
            "SELECT email, role FROM users.users",
            "SELECT * FROM media.media NATURAL JOIN media.books",
            "SELECT * FROM interaction.user_media",
            "SELECT * FROM interaction.smart_lists",
        ],
        &[
            "SELECT * FROM users.users",
            "SELECT FROM auth.tokens",
            "UPDATE media.media SET title = ''",
            "DELETE FROM interaction.list_items",
            "INSERT INTO media.books SELECT * FROM media.books",
        ],
    ),
    (
        "omt_monitor",
        &[
            "SELECT query FROM pg_stat_activity",
            "SELECT * FROM pg_ls_waldir()",
            "SELECT pg_table_size('auth.sessions')",
        ],
        &[
            "SELECT FROM media.media",
            "SELECT FROM users.users",
            "SELECT FROM auth.sessions",
            "SELECT FROM media.books",
        ],
    ),
    (
        "omt_backup",
        &[
            "SELECT * FROM auth.sessions",
            "SELECT * FROM users.users",
            "SELECT * FROM public.refinery_schema_history",
        ],
        &[
            "DELETE FROM auth.sessions",
            "INSERT INTO media.media DEFAULT VALUES",
            "CREATE TABLE media.mine ()",
        ],
    ),
    (
        "omt_owner",
        &[
            "ALTER TABLE interaction.user_media ADD COLUMN more INT",
            "CREATE TABLE auth.mine ()",
            "DROP SCHEMA users CASCADE",
        ],
        &[
            "CREATE SCHEMA more",
            "CREATE ROLE more",
            "ALTER TABLE public.refinery_schema_history ADD COLUMN more INT",
        ],
    ),
];

#[tokio::test]
async fn each_role_may_what_it_must_and_nothing_else() {
    let server = Server::start();
    let (_, session) = at(&server, LAST).await;
    for (role, may, may_not) in RIGHTS {
        let statements = may.iter().map(|sql| (sql, true)).chain(may_not.iter().map(|sql| (sql, false)));
        for (sql, allowed) in statements {
            session.batch_execute(&format!("BEGIN; SET LOCAL ROLE {role}")).await.unwrap();
            let done = session.batch_execute(sql).await.map_err(PgError::from);
            session.batch_execute("ROLLBACK").await.unwrap();
            match done {
                Ok(()) => assert!(allowed, "{role}: {sql}"),
                Err(error) => assert!(!allowed && error.is_forbidden(), "{role}: {sql}: {error}"),
            }
        }
    }
}

#[tokio::test]
async fn whoever_writes_media_needs_no_right_to_what_is_copied() {
    let server = Server::start();
    let (_, session) = at(&server, 16).await;
    let write = "
        CREATE ROLE loader; GRANT USAGE ON SCHEMA media TO loader; GRANT INSERT ON media.media TO loader;
        SET ROLE loader; SET search_path = pg_temp;
        INSERT INTO media.media (external_id, media_type, media_class, title, attributes)
            VALUES ('loaded', 'book', 'a', 'b', '{\"page_count\": 12}');
        RESET ROLE";
    session.batch_execute(write).await.unwrap();
    let pages = "SELECT b.page_count FROM media.books AS b JOIN media.media AS m ON m.id = b.media_id WHERE external_id = 'loaded'";
    assert_eq!(one::<i32>(&session, pages).await, 12);
    for function in ["copy_attributes(uuid, jsonb, jsonb)", "copy_written_attributes()"] {
        let may = format!("SELECT has_function_privilege('loader', 'media.{function}', 'EXECUTE')");
        assert!(!one::<bool>(&session, &may).await, "{function}");
    }
}

/// A login without superuser's rights and a database that it owns.
async fn owned_database(server: &Server, login: &str) -> Target {
    let postgres = server.session("postgres").await;
    postgres.batch_execute(&format!("CREATE ROLE {login} LOGIN CREATEROLE")).await.unwrap();
    postgres.batch_execute(&format!("CREATE DATABASE {login} OWNER {login}")).await.unwrap();
    Target { user: login.to_owned(), ..server.cluster().target(login) }
}

#[tokio::test]
async fn a_databases_owner_who_may_create_roles_can_apply_everything() {
    let server = Server::start();
    let first = owned_database(&server, "first").await;
    let second = owned_database(&server, "second").await;
    for target in [&first, &second] {
        apply(target, FIRST - 1).await.unwrap();
    }
    apply(&first, LAST).await.unwrap();
    assert_eq!(drift(&first, LAST).await, []);
    // From PostgreSQL 16 on the roles that one login has made are not the other's to give.
    let postgres = server.session("postgres").await;
    if one::<i32>(&postgres, "SELECT current_setting('server_version_num')::int").await >= 160_000 {
        let refused = format!("{:#}", apply(&second, LAST).await.unwrap_err());
        let remedy = "GRANT omt_owner TO second WITH INHERIT TRUE, SET TRUE";
        assert!(refused.contains("V14__owner") && refused.contains(remedy), "{refused}");
        postgres.batch_execute(remedy).await.unwrap();
    }
    apply(&second, LAST).await.unwrap();
    assert_eq!(drift(&second, LAST).await, []);
}

#[tokio::test]
async fn a_role_that_is_more_than_a_group_is_refused() {
    let server = Server::start();
    let target = first_phase(&server).await;
    let session = server.session(&target.dbname).await;
    session.batch_execute("CREATE ROLE omt_app LOGIN CREATEDB").await.unwrap();
    let refused = format!("{:#}", apply(&target, FIRST).await.unwrap_err());
    assert!(refused.contains("omt_app") && refused.contains("NOLOGIN"), "{refused}");
    session.batch_execute("ALTER ROLE omt_app NOLOGIN NOCREATEDB").await.unwrap();
    apply(&target, FIRST).await.unwrap();
}

#[tokio::test]
async fn databases_of_one_cluster_are_migrated_at_once() {
    let server = Server::start();
    let mut targets = Vec::new();
    for _ in 0..4 {
        let target = server.database().await;
        apply(&target, FIRST - 1).await.unwrap();
        targets.push(target);
    }
    let all = targets.iter().map(|target| apply(target, LAST));
    for (done, target) in futures_util::future::join_all(all).await.into_iter().zip(&targets) {
        done.unwrap();
        assert_eq!(drift(target, LAST).await, []);
    }
}
