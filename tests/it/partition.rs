//! Leaves as they stand, on real servers; months created and dropped while others write, killed, raced and kept out.

use std::process::{Output, Stdio};

use omtdb::partition::month::Month;
use omtdb::partition::months::{self, Wanted};
use omtdb::partition::{map, standing};
use omtdb::pg::{Patience, Session, Target};
use omtdb::run::Run;
use omtdb::{migrate, schema};

use crate::harness::{Server, command, json, omtdb, text};

fn kinds(output: &Output) -> Vec<String> {
    let problems = json(output)["problems"].clone();
    let kind = |one: &serde_json::Value| {
        format!("{} {}", one["object"].as_str().unwrap(), one["kind"].as_str().unwrap())
    };
    problems.as_array().unwrap().iter().map(kind).collect()
}

#[tokio::test]
async fn leaves_are_shown_as_they_stand() {
    let server = Server::start();
    let target = server.loaded().await;
    server.session(&target.dbname).await.batch_execute("ANALYZE interaction.user_media").await.unwrap();
    let url = server.url(&target.dbname);
    let output = omtdb(&["partition", "status", "--url", &url, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let shown = json(&output);
    let leaves = shown["leaves"].as_array().unwrap();
    assert_eq!(leaves.len(), 16);
    assert_eq!(leaves[3]["name"], "user_media_m16_r03");
    assert_eq!((&leaves[3]["modulus"], &leaves[3]["remainder"]), (&16.into(), &3.into()));
    let rows: u64 = leaves.iter().map(|leaf| leaf["rows"].as_u64().unwrap()).sum();
    assert_eq!(rows, crate::harness::LOADED.user_media);
    assert!(leaves.iter().all(|leaf| leaf["bytes"].as_u64().unwrap() > 0));
    assert!(leaves.iter().all(|leaf| leaf["indexes"].as_array().unwrap().len() == 5));
    assert_eq!(shown["coverage"]["every_hash_exactly_once"], true);
    let said = text(&omtdb(&["partition", "status", "--url", &url]));
    assert!(said.contains("mod 16 = 3") && said.contains("5 valid"), "{said}");
    let verified = omtdb(&["partition", "verify", "--rows", "--url", &url, "--json"]);
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified));
    assert_eq!(json(&verified)["leaves"][0]["misplaced_rows"], 0);
}

#[tokio::test]
async fn a_leaf_that_was_never_analyzed_has_no_rows_to_tell() {
    let server = Server::start();
    let target = server.migrated().await;
    let output = omtdb(&["partition", "status", "--url", &server.url(&target.dbname), "--json"]);
    assert_eq!(json(&output)["leaves"][0]["rows"], serde_json::Value::Null);
}

#[tokio::test]
async fn what_is_wrong_with_leaves_is_named() {
    let server = Server::start();
    let target = server.migrated().await;
    let url = server.url(&target.dbname);
    let session = server.session(&target.dbname).await;
    let verify = |more: &[&str]| omtdb(&[&["partition", "verify", "--url", &url, "--json"], more].concat());
    let change = "
        DROP TABLE interaction.user_media_m16_r03;
        CREATE TABLE interaction.user_media_m32_r03 PARTITION OF interaction.user_media
            FOR VALUES WITH (MODULUS 32, REMAINDER 3);
        DROP INDEX interaction.idx_user_media_status;
        CREATE INDEX idx_user_media_status ON ONLY interaction.user_media (status);
        DO $$ BEGIN FOR r IN 0..15 LOOP CONTINUE WHEN r IN (3, 5);
            EXECUTE format('CREATE INDEX i%s ON interaction.user_media_m16_r%s (status)', r, lpad(r::text, 2, '0'));
            EXECUTE format('ALTER INDEX interaction.idx_user_media_status ATTACH PARTITION interaction.i%s', r);
        END LOOP; END $$";
    session.batch_execute(change).await.unwrap();
    let output = verify(&[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let expected = [
        "interaction.user_media coverage",
        "interaction.user_media_m16_r05 index",
        "interaction.user_media_m32_r03 index",
    ];
    assert_eq!(kinds(&output), expected);
    assert_eq!(json(&output)["coverage"]["faults"][0], "no leaf for hash mod 32 = 19");
}

#[tokio::test]
async fn a_row_in_the_wrong_leaf_is_found_by_reading_rows() {
    let server = Server::start();
    let target = server.loaded().await;
    let url = server.url(&target.dbname);
    let session = server.session(&target.dbname).await;
    // What attaching a wrong table leaves, without the check that would refuse it.
    let corrupt = "SET session_replication_role = replica;
        ALTER TABLE interaction.user_media DETACH PARTITION interaction.user_media_m16_r03;
        INSERT INTO interaction.user_media_m16_r03
            SELECT * FROM interaction.user_media_m16_r04 ORDER BY user_id, media_id LIMIT 3;
        ALTER TABLE interaction.user_media_m16_r03 ADD CONSTRAINT pretended CHECK
            (satisfies_hash_partition('interaction.user_media'::regclass, 16, 3, user_id)) NOT VALID;
        UPDATE pg_constraint SET convalidated = true WHERE conname = 'pretended';
        ALTER TABLE interaction.user_media ATTACH PARTITION interaction.user_media_m16_r03
            FOR VALUES WITH (MODULUS 16, REMAINDER 3)";
    session.batch_execute(corrupt).await.unwrap();
    let blind = omtdb(&["partition", "verify", "--url", &url, "--json"]);
    assert_eq!(blind.status.code(), Some(0), "{}", text(&blind));
    let seen = omtdb(&["partition", "verify", "--rows", "--url", &url, "--json"]);
    assert_eq!(seen.status.code(), Some(1), "{}", text(&seen));
    assert_eq!(kinds(&seen), ["interaction.user_media_m16_r03 misplaced rows"]);
    assert_eq!(json(&seen)["leaves"][3]["misplaced_rows"], 3);
}

#[tokio::test]
async fn a_pending_detach_is_said_by_leaf_and_by_coverage() {
    let server = Server::start();
    let target = server.migrated().await;
    let reader = server.session(&target.dbname).await;
    reader.batch_execute("BEGIN; SELECT FROM interaction.user_media").await.unwrap();
    let session = server.session(&target.dbname).await;
    session.batch_execute("SET lock_timeout = '10ms'").await.unwrap();
    let detach =
        "ALTER TABLE interaction.user_media DETACH PARTITION interaction.user_media_m16_r03 CONCURRENTLY";
    session.batch_execute(detach).await.unwrap_err();
    let output = omtdb(&["partition", "verify", "--url", &server.url(&target.dbname), "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let expected = ["interaction.user_media coverage", "interaction.user_media_m16_r03 detaching"];
    assert_eq!(kinds(&output), expected);
}

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
async fn two_at_once_do_it_once() {
    let events = Events::new().await;
    events.log_in(events.now.plus(1), 50).await;
    let spawn = || {
        let mut command = command();
        command.args(events.args(&["--ahead", "6"])).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let both = [spawn(), spawn()].map(|child| child.wait_with_output().unwrap());
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
    let mut command = command();
    command.args(events.args(&["--ahead", "1", "--lock-timeout", "20ms"]));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let refused = "SELECT FROM pg_stat_activity WHERE query LIKE 'LOCK TABLE%' AND wait_event_type = 'Lock'";
    while writer.query(refused, &[]).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
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
    let mut command = command();
    command.args(events.args(&["--ahead", "1", "--lock-timeout", "10s"]));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let waiting = "SELECT FROM pg_stat_activity WHERE query LIKE 'LOCK TABLE%' AND wait_event_type = 'Lock'";
    while writer.query(waiting, &[]).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
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
    let mut command = command();
    command.args(events.args(&["--ahead", "2", "--lock-timeout", "1h"]));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    let pid: i32 = loop {
        if let Some(row) = holder.query_opt(waiting, &[]).await.unwrap() {
            break row.get(0);
        }
        tokio::task::yield_now().await;
    };
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

#[tokio::test]
async fn every_query_of_the_partitions_prepares() {
    let server = Server::start();
    let session = server.session("postgres").await;
    for (name, sql) in [&standing::QUERIES[..], &months::QUERIES[..]].concat() {
        session.prepare(sql).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
}
