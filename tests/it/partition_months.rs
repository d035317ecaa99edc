//! Months created and dropped while others write, killed, raced and kept out.

use std::process::{Child, Output, Stdio};

use omtdb::partition::map;
use omtdb::partition::month::Month;
use omtdb::partition::months::{self, Wanted};
use omtdb::pg::{Patience, Session, Target};
use omtdb::run::Run;
use omtdb::{migrate, schema};

use crate::harness::{Server, command, eventually, json, omtdb, text};

const TABLE: (&str, &str) = ("auth", "login_events");

/// A database whose `auth.login_events` has leaves for the current month and the one before, and for no other.
struct Events {
    server: Server,
    target: Target,
    now: Month,
}

impl Events {
    async fn new() -> Self {
        let server = Server::start();
        let target = server.migrated().await;
        let mut session = server.session(&target.dbname).await;
        let leaves = map::live_months(&session, "auth", "login_events").await.unwrap().unwrap();
        for leaf in leaves.iter().filter(|leaf| leaf.months.is_some()) {
            session.batch_execute(&format!("DROP TABLE auth.{}", leaf.name)).await.unwrap();
        }
        let now = months::survey(&mut session, "auth", "login_events").await.unwrap().now;
        let events = Self { server, target, now };
        for month in [now.minus(1), now] {
            let leaf = month.leaf_name("login_events").unwrap();
            let create = format!("CREATE TABLE auth.{leaf} PARTITION OF auth.login_events {}", month.bound());
            session.batch_execute(&create).await.unwrap();
        }
        events
    }

    async fn session(&self) -> Session {
        self.server.session(&self.target.dbname).await
    }

    fn args(&self, more: &[&str]) -> Vec<String> {
        let url = self.server.url(&self.target.dbname);
        let args = [&["partition", "months", "--json", "--url", &url], more].concat();
        args.into_iter().map(str::to_owned).collect()
    }

    fn run(&self, more: &[&str]) -> Output {
        command().args(self.args(more)).output().unwrap()
    }

    async fn log_in(&self, month: Month, times: u32) {
        let insert = "INSERT INTO auth.login_events (occurred_at, outcome)
            SELECT $1::text::timestamptz + i * interval '1 hour', 'success' FROM generate_series(1, $2::int4) AS i";
        let times = i32::try_from(times).unwrap();
        self.session().await.execute(insert, &[&month.start(), &times]).await.unwrap();
    }

    /// Rows by the leaf that they lie in.
    async fn rows(&self) -> Vec<(String, i64)> {
        let sql = "SELECT tableoid::regclass::text, count(*) FROM auth.login_events GROUP BY 1 ORDER BY 1";
        let rows = self.session().await.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// Waits until a session like `query` waits for a lock; its process.
    async fn until_waiting(&self, query: &str) -> i32 {
        let waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1";
        // In a transaction the server would show what it showed before.
        let session = self.session().await;
        let mut pid = 0;
        eventually(query, async || {
            let row = session.query_opt(waiting, &[&query]).await.unwrap();
            row.is_some_and(|row| {
                pid = row.get(0);
                true
            })
        })
        .await;
        pid
    }

    fn spawn(&self, more: &[&str]) -> Child {
        let mut command = command();
        command.args(self.args(more)).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    fn leaf(&self, later: u32) -> String {
        self.now.plus(later).leaf_name("login_events").unwrap()
    }

    /// What is wrong with `auth.login_events`; that the plan's months are not there is not.
    async fn drift(&self) -> Vec<String> {
        let mut session = self.session().await;
        let live = schema::read(&mut session).await.unwrap();
        let drift = schema::diff(&schema::PLAN, &live).into_iter();
        drift.filter(|one| one.kind != "missing").map(|one| format!("{} {}", one.object, one.kind)).collect()
    }
}

#[track_caller]
fn done(output: &Output) -> Vec<(String, String, u64)> {
    assert_eq!(output.status.code(), Some(0), "{}", text(output));
    let month = |one: &serde_json::Value| {
        let word = |name: &str| one[name].as_str().unwrap().to_owned();
        (word("action"), word("name"), one["rows_moved"].as_u64().unwrap())
    };
    json(output)["months"].as_array().unwrap().iter().map(month).collect()
}

#[tokio::test]
async fn months_ahead_get_leaves_and_their_rows_from_the_default_leaf() {
    let events = Events::new().await;
    events.log_in(events.now.plus(1), 5).await;
    events.log_in(events.now.plus(9), 2).await;
    let planned = events.run(&["--ahead", "2", "--dry-run"]);
    assert_eq!(json(&planned)["months"][0]["rows_in_default"], 5);
    assert_eq!(events.rows().await, [("auth.login_events_default".to_owned(), 7)]);
    let made = done(&events.run(&["--ahead", "2"]));
    let create = |later, moved| ("create".to_owned(), events.leaf(later), moved);
    assert_eq!(made, [create(1, 5), create(2, 0)]);
    let expected = [("auth.login_events_default".to_owned(), 2), (format!("auth.{}", events.leaf(1)), 5)];
    assert_eq!(events.rows().await, expected);
    assert_eq!(events.drift().await, [""; 0]);
    let again = events.run(&["--ahead", "2"]);
    assert_eq!(done(&again), []);
    assert_eq!(json(&again)["rows_left_in_default"], 2);
}

#[tokio::test]
async fn old_months_go_when_confirmed() {
    let events = Events::new().await;
    events.log_in(events.now, 3).await;
    events.log_in(events.now.minus(1), 4).await;
    assert_eq!(done(&events.run(&["--ahead", "0", "--keep", "1"])), []);
    let refused = events.run(&["--ahead", "0", "--keep", "0"]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    let old = events.now.minus(1).leaf_name("login_events").unwrap();
    assert!(text(&refused).contains(&old) && text(&refused).contains("--yes"), "{}", text(&refused));
    assert_eq!(events.rows().await.len(), 2);
    let dropped = done(&events.run(&["--ahead", "0", "--keep", "0", "--yes"]));
    assert_eq!(dropped, [("drop".to_owned(), old, 0)]);
    assert_eq!(events.rows().await, [(format!("auth.{}", events.leaf(0)), 3)]);
    assert_eq!(done(&events.run(&["--ahead", "0", "--keep", "0", "--yes"])), []);
}

#[tokio::test]
async fn whoever_may_act_as_the_owner_keeps_months_and_the_owner_owns_them() {
    let events = Events::new().await;
    events.log_in(events.now.plus(1), 5).await;
    let roles = "CREATE ROLE months_owner; CREATE ROLE keeper LOGIN IN ROLE months_owner;
        GRANT USAGE, CREATE ON SCHEMA auth TO months_owner; GRANT USAGE ON SCHEMA users TO months_owner;
        GRANT ALL ON users.users TO months_owner;
        ALTER TABLE auth.login_events OWNER TO months_owner; ALTER TABLE auth.login_events_default OWNER TO months_owner;
        GRANT SELECT ON auth.login_events TO PUBLIC";
    events.session().await.batch_execute(roles).await.unwrap();
    let url = events.server.url(&events.target.dbname);
    let user = events.target.user.clone();
    let keeper = url.replacen(&format!("//{user}@"), "//keeper@", 1);
    let made = done(&omtdb(&["partition", "months", "--json", "--ahead", "1", "--url", &keeper]));
    assert_eq!(made, [("create".to_owned(), events.leaf(1), 5)]);
    let sql = "SELECT relowner::regrole::text, relacl IS NULL FROM pg_class WHERE relname = $1";
    let leaf = events.session().await.query_one(sql, &[&events.leaf(1)]).await.unwrap();
    assert_eq!((leaf.get::<_, &str>(0), leaf.get::<_, bool>(1)), ("months_owner", true));
}

#[tokio::test]
async fn two_at_once_do_it_once() {
    let events = Events::new().await;
    events.log_in(events.now.plus(1), 50).await;
    let both = [(); 2].map(|()| events.spawn(&["--ahead", "6"]));
    let both = both.map(|child| child.wait_with_output().unwrap());
    let counts: Vec<usize> = both.iter().map(|output| done(output).len()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 6, "{counts:?}");
    assert_eq!(events.rows().await, [(format!("auth.{}", events.leaf(1)), 50)]);
    assert_eq!(events.drift().await, [""; 0]);
}

#[tokio::test]
async fn whoever_holds_the_lock_is_waited_for_with_patience() {
    let events = Events::new().await;
    let writer = events.session().await;
    let insert =
        "BEGIN; INSERT INTO auth.login_events (occurred_at, outcome) VALUES ('3000-01-01', 'success')";
    writer.batch_execute(insert).await.unwrap();
    let given_up = events.run(&["--ahead", "1", "--attempts", "2", "--lock-timeout", "20ms"]);
    assert_eq!(given_up.status.code(), Some(4), "{}", text(&given_up));
    let said = text(&given_up);
    assert!(said.contains(&events.leaf(1)) && said.contains("2 attempts of 20 ms"), "{said}");
    // The table that was built waits to be attached; nobody sees it meanwhile.
    let planned = events.run(&["--ahead", "1", "--dry-run"]);
    assert_eq!(json(&planned)["months"][0]["action"], "attach");
    let child = events.spawn(&["--ahead", "1", "--lock-timeout", "20ms"]);
    events.until_waiting("LOCK TABLE%").await;
    writer.batch_execute("COMMIT").await.unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(done(&output), [("attach".to_owned(), events.leaf(1), 0)]);
    assert!(json(&output)["months"][0]["lock_attempts"].as_u64().unwrap() >= 1);
    assert_eq!(events.drift().await, [""; 0]);
}

#[tokio::test]
async fn rows_that_come_while_the_lock_is_waited_for_are_moved_too() {
    let events = Events::new().await;
    events.log_in(events.now.plus(1), 10).await;
    let writer = events.session().await;
    let start = events.now.plus(1).start();
    let late =
        format!("BEGIN; INSERT INTO auth.login_events (occurred_at, outcome) VALUES ('{start}', 'locked')");
    writer.batch_execute(&late).await.unwrap();
    let child = events.spawn(&["--ahead", "1", "--lock-timeout", "10s"]);
    events.until_waiting("LOCK TABLE%").await;
    writer.batch_execute("COMMIT").await.unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(done(&output), [("create".to_owned(), events.leaf(1), 11)]);
    assert_eq!(events.rows().await, [(format!("auth.{}", events.leaf(1)), 11)]);
}

#[tokio::test]
async fn a_killed_run_is_finished_by_the_next() {
    let events = Events::new().await;
    events.log_in(events.now.plus(1), 10).await;
    let holder = events.session().await;
    holder.batch_execute("BEGIN; LOCK TABLE auth.login_events_default IN SHARE MODE").await.unwrap();
    let mut child = events.spawn(&["--ahead", "2", "--lock-timeout", "1h"]);
    let pid = events.until_waiting("%").await;
    child.kill().unwrap();
    child.wait().unwrap();
    holder.execute("SELECT pg_terminate_backend($1)", &[&pid]).await.unwrap();
    holder.batch_execute("COMMIT").await.unwrap();
    assert_eq!(events.rows().await, [("auth.login_events_default".to_owned(), 10)]);
    let finished = done(&events.run(&["--ahead", "2"]));
    let expected = [("attach".to_owned(), events.leaf(1), 10), ("create".to_owned(), events.leaf(2), 0)];
    assert_eq!(finished, expected);
    assert_eq!(events.drift().await, [""; 0]);
}

#[tokio::test]
async fn a_stranger_in_the_way_is_named_and_left_alone() {
    let events = Events::new().await;
    let leaf = events.leaf(1);
    events.session().await.batch_execute(&format!("CREATE TABLE auth.{leaf} (id INT)")).await.unwrap();
    let output = events.run(&["--ahead", "1"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains(&format!("auth.{leaf} is in the way")), "{}", text(&output));
    let other = events.run(&["--table", "users.users"]);
    assert_eq!(other.status.code(), Some(4), "{}", text(&other));
    assert!(text(&other).contains("users.users") && text(&other).contains("--table"), "{}", text(&other));
}

#[tokio::test]
async fn whoever_writes_meanwhile_loses_nothing() {
    let events = Events::new().await;
    let writer = events.session().await;
    let stop = tokio_util::sync::CancellationToken::new();
    let writing = {
        let (stop, months) = (stop.clone(), [0, 1, 2, 3].map(|later| events.now.plus(later).start()));
        tokio::spawn(async move {
            let insert = "INSERT INTO auth.login_events (occurred_at, outcome) VALUES ($1::text::timestamptz, 'success')";
            let mut count = 0_i64;
            while !stop.is_cancelled() {
                for month in &months {
                    writer.execute(insert, &[month]).await.unwrap();
                    count += 1;
                }
            }
            count
        })
    };
    let mut session = events.session().await;
    let wanted = Wanted { ahead: 3, keep: Some(0) };
    let planned =
        months::plan(&months::survey(&mut session, TABLE.0, TABLE.1).await.unwrap(), wanted).unwrap();
    let patience = (Patience::default(), 7);
    months::apply(&mut session, TABLE, (wanted, &planned), patience, &Run::silent()).await.unwrap();
    stop.cancel();
    let written = writing.await.unwrap();
    let rows = events.rows().await;
    assert_eq!(rows.iter().map(|(_, rows)| rows).sum::<i64>(), written);
    assert!(rows.iter().all(|(leaf, _)| leaf != "auth.login_events_default"), "{rows:?}");
    assert_eq!(rows.len(), 4);
}

#[tokio::test]
async fn dropping_a_month_locks_no_other_table() {
    let events = Events::new().await;
    let session = events.session().await;
    let old = events.now.minus(1).leaf_name("login_events").unwrap();
    session.batch_execute(&format!("BEGIN; DROP TABLE auth.{old}")).await.unwrap();
    let locked = "SELECT relation::regclass::text FROM pg_locks
        WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation = 'users.users'::regclass
            AND mode <> 'AccessShareLock'";
    assert!(session.query(locked, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_dropped_front_of_months_is_no_drift() {
    let server = Server::start();
    let target = server.migrated().await;
    let session = server.session(&target.dbname).await;
    session.batch_execute("DROP TABLE auth.login_events_y2026m01, auth.login_events_y2026m02").await.unwrap();
    assert_eq!(migrate::verify(&target).await.unwrap().drift, []);
}
