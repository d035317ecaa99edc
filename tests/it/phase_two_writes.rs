//! Writes while the second phase is under way: of applications of each version, of values that fit no column, and in the
//! middle of a backfill.

use omtdb::migrate::{Source, script};
use omtdb::pg::Session;
use uuid::Uuid;

use crate::harness::{Server, eventually};
use crate::phase_two::{LAST, apply, at, one};

/// The last version before the backfill: attributes are copied as they are written.
const COPYING: i64 = 16;
const BACKFILL: i64 = 17;
const CHECK: i64 = 18;
const REMOVAL: i64 = 23;
const REMOVED: i64 = 24;

/// The statement of `version`'s only step, with `$1` and `$2`.
fn step(version: i64) -> String {
    let source = Source::embedded();
    let migration = source.migrations().iter().find(|one| one.version() == version).unwrap();
    script::parse(migration.sql().unwrap()).unwrap().statements.remove(0).sql
}

/// A book of the data set.
async fn a_book(session: &Session) -> Uuid {
    one(session, "SELECT id FROM media.media WHERE media_type = 'book' ORDER BY id LIMIT 1").await
}

/// What the check of `version` says is wrong: `what expected found`.
async fn wrong(session: &Session, version: i64) -> Vec<String> {
    let rows = session.query(&step(version), &[&Uuid::nil(), &Uuid::max()]).await.unwrap();
    let says = |row: &tokio_postgres::Row| {
        let text = |column| row.get::<_, String>(column);
        format!("{}: {}, not {}", text("what"), text("expected"), text("found"))
    };
    rows.iter().map(says).collect()
}

/// How an application of each version gets at the pages of a book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Application {
    /// Reads and writes attributes.
    V1,
    /// Reads typed tables, writes attributes.
    V2,
    /// Reads and writes typed tables, and takes what is there out of attributes: before or after.
    V3 { before: bool },
}

use Application::{V1, V2, V3};

impl Application {
    async fn write(self, session: &Session, book: Uuid, pages: i32) {
        let text = pages.to_string();
        let attributes = format!(
            "UPDATE media.media SET attributes = jsonb_set(attributes, '{{page_count}}', '{text}') WHERE id = '{book}'"
        );
        let typed = format!(
            "INSERT INTO media.books (media_id, page_count) VALUES ('{book}', {text})
             ON CONFLICT (media_id) DO UPDATE SET page_count = EXCLUDED.page_count"
        );
        let taken_out = format!(
            "UPDATE media.media SET attributes = attributes - '{{isbn,publisher,page_count,edition}}'::TEXT[]
             WHERE id = '{book}'"
        );
        let sql = match self {
            V1 | V2 => attributes,
            V3 { before: true } => format!("{taken_out}; {typed}"),
            V3 { before: false } => format!("{typed}; {taken_out}"),
        };
        session.batch_execute(&sql).await.unwrap();
    }

    async fn read(self, session: &Session, book: Uuid) -> Option<i32> {
        let sql = match self {
            V1 => format!("SELECT (attributes->>'page_count')::INT FROM media.media WHERE id = '{book}'"),
            V2 | V3 { .. } => format!(
                "SELECT b.page_count FROM media.media AS m LEFT JOIN media.books AS b ON b.media_id = m.id
                 WHERE m.id = '{book}'"
            ),
        };
        one(session, &sql).await
    }
}

/// The versions of the application that may run at versions of the schema.
const RUNNING: &[(std::ops::RangeInclusive<i64>, &[Application])] = &[
    (12..=18, &[V1]),
    (19..=20, &[V1, V2]),
    (21..=21, &[V2, V3 { before: true }, V3 { before: false }]),
    (22..=LAST, &[V3 { before: true }, V3 { before: false }]),
];

#[tokio::test]
async fn applications_of_neighbouring_versions_see_each_others_writes_at_every_step() {
    let server = Server::start();
    let (target, session) = at(&server, 11).await;
    let book = a_book(&session).await;
    let isbn: String =
        one(&session, &format!("SELECT attributes->>'isbn' FROM media.media WHERE id = '{book}'")).await;
    let other_key = format!(
        "UPDATE media.media SET attributes = attributes || jsonb_build_object('language', clock_timestamp()) WHERE id = '{book}'"
    );
    let mut pages = 0;
    for (versions, applications) in RUNNING {
        for version in versions.clone() {
            apply(&target, version).await.unwrap();
            for writer in *applications {
                pages += 1;
                writer.write(&session, book, pages).await;
                // What somebody writes to another key of the same medium undoes nothing.
                session.batch_execute(&other_key).await.unwrap();
                for reader in *applications {
                    let read = reader.read(&session, book).await;
                    assert_eq!(read, Some(pages), "{writer:?} to {reader:?} at version {version}");
                }
            }
        }
    }
    let kept = format!("SELECT isbn FROM media.books WHERE media_id = '{book}'");
    assert_eq!(one::<String>(&session, &kept).await, isbn);
    let left =
        format!("SELECT array(SELECT jsonb_object_keys(attributes)) FROM media.media WHERE id = '{book}'");
    assert_eq!(one::<Vec<String>>(&session, &left).await, ["language"]);
}

/// Attributes that no column can hold whole, and what the check says of each.
const MISFITS: &[(&str, &[&str])] = &[
    (r#"{"page_count": "abc"}"#, &["media.books.page_count: a whole number, not \"abc\""]),
    (
        r#"{"page_count": 1e30, "isbn": "1"}"#,
        &["media.books.page_count: a whole number, not 1000000000000000000000000000000"],
    ),
    (r#"{"page_count": 2147483648}"#, &["media.books.page_count: a whole number, not 2147483648"]),
    (
        r#"{"page_count": "99999999999999999999"}"#,
        &["media.books.page_count: a whole number, not \"99999999999999999999\""],
    ),
    (r#"{"capacity": 1.5}"#, &["media.events.capacity: a whole number, not 1.5"]),
    (r#"{"capacity": {"seats": 3}}"#, &["media.events.capacity: a whole number, not {\"seats\": 3}"]),
    (r#"{"genres": "crime"}"#, &["media.screen.genres: a list of strings, not \"crime\""]),
    (r#"{"genres": ["crime", 7]}"#, &["media.screen.genres: a list of strings, not [\"crime\", 7]"]),
    (r#"{"genres": ["crime", null]}"#, &["media.screen.genres: a list of strings, not [\"crime\", null]"]),
    (r#"{"platforms": [["pc"]]}"#, &["media.games.platforms: a list of strings, not [[\"pc\"]]"]),
    (r#"{"playtime_hours": "many"}"#, &["media.games.playtime_hours: a number, not \"many\""]),
    (r#"{"isbn": ["1"]}"#, &["media.books.isbn: a string of at most 2000 bytes, not [\"1\"]"]),
    (r#"{"venue": true}"#, &["media.events.venue: a string, not true"]),
    // What looks odd and is held.
    (r#"{"page_count": "321", "edition": 2, "isbn": 9780000000001}"#, &[]),
    (r#"{"page_count": 90.0, "duration_minutes": -5}"#, &[]),
    (r#"{"playtime_hours": "12.5", "platforms": []}"#, &[]),
    (r#"{"playtime_hours": 1e400}"#, &[]),
    (r#"{"isbn": null, "genres": null, "page_count": null}"#, &[]),
    (r#"["isbn", "genres"]"#, &[]),
    (r#""isbn""#, &[]),
    ("null", &[]),
    ("7", &[]),
];

#[tokio::test]
async fn what_no_column_can_hold_breaks_no_write_and_is_named() {
    let server = Server::start();
    let (target, session) = at(&server, COPYING).await;
    let insert = "INSERT INTO media.media (media_type, media_class, title, attributes) VALUES ('x', 'a', 'misfit', $1::text::jsonb)";
    let update = "UPDATE media.media SET attributes = $1::text::jsonb WHERE title = 'misfit'";
    session.execute(insert, &[&"{}"]).await.unwrap();
    apply(&target, BACKFILL).await.unwrap();
    for (attributes, expected) in MISFITS {
        session
            .execute(update, &[attributes])
            .await
            .unwrap_or_else(|error| panic!("{attributes}: {error:?}"));
        assert_eq!(wrong(&session, CHECK).await, *expected, "updated to {attributes}");
        session.execute("DELETE FROM media.media WHERE title = 'misfit'", &[]).await.unwrap();
        session
            .execute(insert, &[attributes])
            .await
            .unwrap_or_else(|error| panic!("{attributes}: {error:?}"));
        assert_eq!(wrong(&session, CHECK).await, *expected, "inserted as {attributes}");
    }
    // Neither does what no index can hold, when there are indexes.
    apply(&target, 19).await.unwrap();
    let long = "SELECT jsonb_build_object(key, string_agg(md5(n::TEXT), ''), 'genres', jsonb_build_array(string_agg(md5(n::TEXT), ''))) \
                FROM generate_series(1, 500) AS n, (VALUES ('platforms')) AS k (key) GROUP BY key";
    let write = format!("UPDATE media.media SET attributes = ({long}) WHERE title = 'misfit'");
    session.batch_execute(&write).await.unwrap();
    assert_eq!(wrong(&session, CHECK).await.len(), 2);
}

#[tokio::test]
async fn a_check_that_finds_something_stops_until_it_is_mended() {
    let server = Server::start();
    let (target, session) = at(&server, BACKFILL).await;
    let book = a_book(&session).await;
    let set = |value: &str| {
        format!(
            "UPDATE media.media SET attributes = jsonb_set(attributes, '{{page_count}}', '{value}') WHERE id = '{book}'"
        )
    };
    session.batch_execute(&set("\"abc\"")).await.unwrap();
    let stopped = format!("{:#}", apply(&target, CHECK).await.unwrap_err());
    for word in [&book.to_string(), "page_count", "a whole number", "abc"] {
        assert!(stopped.contains(word), "{word}: {stopped}");
    }
    session.batch_execute(&set("321")).await.unwrap();
    // A column that says something else, and rows that nothing asks for.
    let spoil = format!(
        "UPDATE media.books SET page_count = 5 WHERE media_id = '{book}'; INSERT INTO media.audio VALUES ('{book}')"
    );
    session.batch_execute(&spoil).await.unwrap();
    let expected = ["media.audio: no row, not a row", "media.books.page_count: 321, not 5"];
    assert_eq!(wrong(&session, CHECK).await, expected);
    let mend = format!(
        "UPDATE media.books SET page_count = 321 WHERE media_id = '{book}'; DELETE FROM media.audio WHERE media_id = '{book}'"
    );
    session.batch_execute(&mend).await.unwrap();
    apply(&target, CHECK).await.unwrap();
}

/// Waits until `count` sessions wait for a lock.
async fn until_waiting(session: &Session, count: i64) {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("a wait", async || one::<i64>(session, waiting).await >= count).await;
}

#[tokio::test]
async fn a_backfill_copies_what_the_write_that_it_waited_for_has_made_of_a_medium() {
    let server = Server::start();
    let (target, session) = at(&server, COPYING).await;
    let book = a_book(&session).await;
    let writer = server.session(&target.dbname).await;
    let backfill = server.session(&target.dbname).await;
    // It becomes a game.
    let write = format!(
        "BEGIN; UPDATE media.media SET media_type = 'game', attributes = '{{\"engine\": \"Godot\", \"genres\": [\"puzzle\"]}}'
         WHERE id = '{book}'"
    );
    writer.batch_execute(&write).await.unwrap();
    let sql = step(BACKFILL);
    let waiting = async {
        until_waiting(&session, 1).await;
        writer.batch_execute("COMMIT").await.unwrap();
    };
    let keys: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&book, &book];
    let (done, ()) = tokio::join!(backfill.execute(&sql, &keys), waiting);
    assert_eq!(done.unwrap(), 1);
    assert_eq!(
        one::<i64>(&session, &format!("SELECT count(*) FROM media.books WHERE media_id = '{book}'")).await,
        0
    );
    let engine = format!("SELECT engine FROM media.games WHERE media_id = '{book}'");
    assert_eq!(one::<String>(&session, &engine).await, "Godot");
}

#[tokio::test]
async fn a_write_that_waited_for_a_backfill_has_the_last_word() {
    let server = Server::start();
    let (target, session) = at(&server, COPYING).await;
    let book = a_book(&session).await;
    let writer = server.session(&target.dbname).await;
    let backfill = server.session(&target.dbname).await;
    backfill.batch_execute("BEGIN").await.unwrap();
    backfill.execute(&step(BACKFILL), &[&Uuid::nil(), &Uuid::max()]).await.unwrap();
    // Who only refers to a medium does not wait.
    let refer = format!("INSERT INTO media.external_links VALUES ('{book}', 'test', 'test')");
    session.batch_execute(&refer).await.unwrap();
    let write = format!("UPDATE media.media SET attributes = '{{\"isbn\": \"7\"}}' WHERE id = '{book}'");
    let waiting = async {
        until_waiting(&session, 1).await;
        backfill.batch_execute("COMMIT").await.unwrap();
    };
    let (done, ()) = tokio::join!(writer.batch_execute(&write), waiting);
    done.unwrap();
    assert_eq!(wrong(&session, CHECK).await, [""; 0]);
    let isbn = format!(
        "SELECT isbn FROM media.books WHERE media_id = '{book}' AND num_nulls(publisher, page_count, edition) = 3"
    );
    assert_eq!(one::<String>(&session, &isbn).await, "7");
}

#[tokio::test]
async fn whatever_is_written_during_the_backfill_is_in_the_tables_after_it() {
    let server = Server::start();
    let (target, session) = at(&server, COPYING).await;
    // Media change their attributes, lose keys, get those of another one, go, and come.
    let storm = "DO $$ BEGIN FOR i IN 1..150 LOOP
        UPDATE media.media SET attributes = attributes || jsonb_build_object('page_count', i)
            WHERE id = (SELECT id FROM media.media ORDER BY random() LIMIT 1);
        COMMIT;
        UPDATE media.media SET attributes = attributes - 'genres'
            WHERE id = (SELECT id FROM media.media ORDER BY random() LIMIT 1);
        COMMIT;
        UPDATE media.media AS m SET attributes = o.attributes
            FROM (SELECT attributes FROM media.media ORDER BY random() LIMIT 1) AS o
            WHERE m.id = (SELECT id FROM media.media ORDER BY random() LIMIT 1);
        COMMIT;
        DELETE FROM media.media WHERE id = (SELECT id FROM media.media ORDER BY random() LIMIT 1);
        INSERT INTO media.media (media_type, media_class, title, attributes)
            SELECT media_type, media_class, title, attributes FROM media.media ORDER BY random() LIMIT 1;
        COMMIT;
    END LOOP; END $$";
    let (one, two) = (server.session(&target.dbname).await, server.session(&target.dbname).await);
    let (first, second, done) =
        tokio::join!(one.batch_execute(storm), two.batch_execute(storm), apply(&target, BACKFILL));
    first.unwrap();
    second.unwrap();
    done.unwrap();
    assert_eq!(wrong(&session, CHECK).await, [""; 0]);
    apply(&target, LAST).await.unwrap();
}

#[tokio::test]
async fn only_what_a_column_holds_goes_from_attributes_and_the_rest_is_named() {
    let server = Server::start();
    let (target, session) = at(&server, REMOVAL - 1).await;
    let book = a_book(&session).await;
    // An instance of version 2 that was forgotten, and a value that was never held.
    let late = format!(
        "UPDATE media.media SET attributes = attributes || '{{\"page_count\": 5, \"venue\": true}}' WHERE id = '{book}'"
    );
    session.batch_execute(&late).await.unwrap();
    apply(&target, REMOVAL).await.unwrap();
    let left =
        format!("SELECT array(SELECT jsonb_object_keys(attributes)) FROM media.media WHERE id = '{book}'");
    assert_eq!(one::<Vec<String>>(&session, &left).await, ["venue", "page_count"]);
    let stopped = format!("{:#}", apply(&target, REMOVED).await.unwrap_err());
    assert!(stopped.contains("media.books.page_count") && stopped.contains(&book.to_string()), "{stopped}");
    let mend = format!(
        "UPDATE media.media SET attributes = attributes - 'page_count' - 'venue' WHERE id = '{book}'"
    );
    session.batch_execute(&mend).await.unwrap();
    apply(&target, LAST).await.unwrap();
}
