//! What the journal keeps, and whom it believes.

use omtdb::migrate;

use crate::harness::{command, text};
use crate::migrate::{Place, assert_refused, code};
use crate::migrate_online::{BASE, place};

#[tokio::test]
async fn the_journal_says_who_did_what_and_what_failed() {
    let place = place(("V2__b.sql", "CREATE TABLE s.u (); SELECT 1 / 0")).await;
    assert_eq!(code(&place.run("apply", &[])), Some(4));
    let session = place.session().await;
    let sql = "SELECT r.outcome, r.sql, r.os_user IS NOT NULL, r.host IS NOT NULL, r.db_user = session_user, r.message,
                      (SELECT array_agg(s.outcome || coalesce(' ' || s.sqlstate, '') ORDER BY s.step) FROM omtdb.migration_step AS s WHERE s.run = r.id)
               FROM omtdb.migration_run AS r ORDER BY r.id DESC LIMIT 1";
    let row = session.query_one(sql, &[]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), "failed");
    assert!(
        row.get::<_, String>(1).contains("1 / 0") && row.get::<_, String>(5).contains("division by zero")
    );
    assert!(row.get::<_, bool>(2) && row.get::<_, bool>(3) && row.get::<_, bool>(4));
    assert_eq!(row.get::<_, Vec<String>>(6), ["taken back", "failed 22012"]);
}

#[tokio::test]
async fn a_journal_that_a_stranger_laid_out_is_refused() {
    let place = Place::new(&[BASE]).await;
    let session = place.session().await;
    let (name, migrator) = (format!("{}_a", place.target.dbname), format!("{}_b", place.target.dbname));
    let made = format!(
        "CREATE ROLE {name}; CREATE ROLE {migrator} LOGIN; CREATE SCHEMA omtdb AUTHORIZATION {name};
         GRANT ALL ON DATABASE {0} TO {migrator}; GRANT ALL ON SCHEMA public TO {migrator}",
        place.target.dbname
    );
    session.batch_execute(&made).await.unwrap();
    let url = place
        .server
        .url(&place.target.dbname)
        .replace(&format!("{}@", place.target.user), &format!("{migrator}@"));
    let url = if url.contains(&migrator) { url } else { format!("{url}&user={migrator}") };
    let dir = place.dir.path().to_str().unwrap();
    let output = command().args(["migrate", "apply", "--url", &url, "--migrations", dir]).output().unwrap();
    assert_refused(&output, 4, &["schema omtdb", "belongs to", &name, "make its owner"]);
    session.batch_execute(&format!("ALTER SCHEMA omtdb OWNER TO {migrator}")).await.unwrap();
    let output = command().args(["migrate", "apply", "--url", &url, "--migrations", dir]).output().unwrap();
    assert_eq!(code(&output), Some(0), "{}", text(&output));
}

#[tokio::test]
async fn a_step_that_committed_stays_done_though_its_session_was_lost() {
    let place = place(("V2__none.sql", "SELECT 1")).await;
    let session = place.session().await;
    let query = |wanted: &str| migrate::queries().find(|(name, _)| *name == wanted).unwrap().1;
    let outcome = "SELECT outcome FROM omtdb.migration_step WHERE run = 1 AND step = 'x'";
    let begin: &[&(dyn tokio_postgres::types::ToSql + Sync)] = &[&1_i64, &"x", &"digest", &"sql", &0_i32];
    session.execute(query("begin_step"), begin).await.unwrap();
    for (ending, expected) in [("failed", "failed"), ("done", "done"), ("failed", "done")] {
        let none: Option<&str> = None;
        let values: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
            &[&1_i64, &"x", &ending, &none, &none, &0.0_f64, &0.0_f64, &Vec::<String>::new()];
        session.execute(query("end_step"), values).await.unwrap();
        assert_eq!(session.query_one(outcome, &[]).await.unwrap().get::<_, String>(0), expected);
    }
}
