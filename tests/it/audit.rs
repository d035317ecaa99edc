//! Audit rules on real servers: each catches what it is for, what it proposes mends it, and a healthy database is quiet.

use omtdb::audit::{self, Audited, Finding, Rule, Severity};
use omtdb::pg::{Session, Target};
use omtdb::run::Run;
use omtdb::verdict::Verdict;

use crate::harness::{Server, json, omtdb, text};

async fn audit(target: &Target, rule: Rule) -> Vec<Finding> {
    audit::run(&Run::silent(), target, &[rule]).await.unwrap().findings
}

/// The finding of `rule` about `object`.
#[track_caller]
fn about<'a>(findings: &'a [Finding], object: &str) -> &'a Finding {
    findings.iter().find(|f| f.object == object).unwrap_or_else(|| panic!("{object} is not in {findings:#?}"))
}

/// Statements of a finding go one by one, as a person would enter them: CONCURRENTLY allows no transaction.
async fn execute(session: &Session, statements: &[String]) {
    for statement in statements {
        session.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
}

/// `do` makes the finding of `rule` about `object` go, `undo` brings it back.
async fn mends_and_undoes(session: &Session, target: &Target, rule: Rule, object: &str) {
    let found = audit(target, rule).await;
    let finding = about(&found, object).clone();
    assert!(!finding.undo.is_empty(), "{finding:#?}");
    execute(session, &finding.remedy).await;
    let after = audit(target, rule).await;
    assert!(after.iter().all(|f| f.object != object), "{after:#?}");
    execute(session, &finding.undo).await;
    let again = audit(target, rule).await;
    assert_eq!(about(&again, object).remedy, finding.remedy);
    assert_eq!(audit(target, Rule::InvalidIndex).await, [], "what is made again must be complete");
}

/// The plan's schema with some rows in every leaf, analysed.
async fn filled(server: &Server) -> (Session, Target) {
    let target = server.migrated().await;
    let session = server.session(&target.dbname).await;
    session
        .batch_execute(
            "INSERT INTO users.users (email, password_hash) SELECT i || '@x', 'x' FROM generate_series(1, 300) AS i;
             INSERT INTO media.media (media_type, media_class, title) SELECT 'book', 'book', i::text FROM generate_series(1, 10) AS i;
             INSERT INTO interaction.user_media (user_id, media_id) SELECT u.id, m.id FROM users.users AS u CROSS JOIN media.media AS m;
             ANALYZE",
        )
        .await
        .unwrap();
    (session, target)
}

#[tokio::test]
async fn the_plans_schema_has_findings_and_no_errors() {
    let server = Server::start();
    let (_, target) = filled(&server).await;
    let audited: Audited = audit::run(&Run::silent(), &target, &[]).await.unwrap();
    assert_eq!(audited.verdict(Severity::Error), Verdict::Pass, "{:#?}", audited.findings);
    assert_eq!(audited.verdict(Severity::Warning), Verdict::Fail);
    let of = |rule: Rule| {
        let findings = audited.findings.iter().filter(move |f| f.id == rule.name());
        findings.map(|f| f.object.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(of(Rule::InvalidIndex), [""; 0]);
    assert_eq!(of(Rule::StaleParentStatistics), [""; 0]);
    assert_eq!(
        of(Rule::RedundantIndex),
        ["interaction.idx_user_media_user_id", "media.idx_relationships_media_id"],
        "by the plan's own list"
    );
    assert_eq!(of(Rule::ForeignKeyWithoutIndex), ["interaction.list_items", "interaction.user_lists"]);
    for finding in audited.findings.iter().filter(|f| f.id == Rule::UnusedIndex.name()) {
        assert_eq!((finding.severity, finding.verdict.as_str()), (Severity::Info, "cannot-tell"));
        assert!(finding.evidence.contains("too short"), "{finding:#?}");
    }
}

#[tokio::test]
async fn a_redundant_index_is_dropped_and_made_again() {
    let server = Server::start();
    let (session, target) = filled(&server).await;
    session
        .batch_execute("CREATE INDEX again ON users.users (email DESC); CREATE INDEX \"Odd name\" ON users.users (role); CREATE INDEX twin ON users.users (role)")
        .await
        .unwrap();
    let found = audit(&target, Rule::RedundantIndex).await;
    assert_eq!(about(&found, "users.twin").verdict, "drop-safe");
    assert!(found.iter().all(|f| f.object != "users.Odd name"), "one of the two stays: {found:#?}");
    let partitioned = about(&found, "interaction.idx_user_media_user_id");
    assert!(partitioned.evidence.contains("user_media_pkey (user_id, media_id)"), "{partitioned:#?}");
    assert!(
        partitioned.evidence.contains("idx_user_media_user_status (user_id, status)"),
        "{partitioned:#?}"
    );
    for object in ["users.again", "interaction.idx_user_media_user_id", "media.idx_relationships_media_id"] {
        mends_and_undoes(&session, &target, Rule::RedundantIndex, object).await;
    }
}

#[tokio::test]
async fn an_unused_index_is_one_without_scans_of_any_leaf() {
    let server = Server::start();
    let (session, target) = filled(&server).await;
    let object = "interaction.idx_user_media_status";
    let found = audit(&target, Rule::UnusedIndex).await;
    assert!(about(&found, object).evidence.contains("no scan of (status)"));
    for kept in
        ["users.users_email_key", "interaction.user_media_pkey", "interaction.idx_user_media_media_id"]
    {
        assert!(found.iter().all(|f| f.object != kept), "{kept} keeps something: {found:#?}");
    }
    mends_and_undoes(&session, &target, Rule::UnusedIndex, object).await;
    session
        .batch_execute(
            "SET enable_seqscan = off; SET enable_bitmapscan = off;
             SELECT count(*) FROM interaction.user_media_m16_r03 WHERE status = 'planned';
             SELECT pg_stat_force_next_flush()",
        )
        .await
        .unwrap();
    let after = audit(&target, Rule::UnusedIndex).await;
    assert!(after.iter().all(|f| f.object != object), "a scan of one leaf is use: {after:#?}");
}

#[tokio::test]
async fn a_foreign_key_without_an_index_gets_one() {
    let server = Server::start();
    let (session, target) = filled(&server).await;
    let object = "interaction.user_lists";
    mends_and_undoes(&session, &target, Rule::ForeignKeyWithoutIndex, object).await;
    session.batch_execute("DROP INDEX interaction.idx_user_media_media_id").await.unwrap();
    let partitioned = "interaction.user_media";
    let found = audit(&target, Rule::ForeignKeyWithoutIndex).await;
    assert_eq!(
        found.iter().filter(|f| f.object.starts_with(partitioned)).count(),
        1,
        "leaves are not: {found:#?}"
    );
    assert!(about(&found, partitioned).evidence.contains("media_id"));
    mends_and_undoes(&session, &target, Rule::ForeignKeyWithoutIndex, partitioned).await;
}

#[tokio::test]
async fn an_invalid_index_is_mended() {
    let server = Server::start();
    let (session, target) = filled(&server).await;
    let failed = session.batch_execute("CREATE UNIQUE INDEX CONCURRENTLY once ON users.users (role)").await;
    assert!(failed.is_err(), "every user has the same role");
    session
        .batch_execute("CREATE INDEX half ON ONLY interaction.user_media (progress); CREATE INDEX own ON interaction.user_media_m16_r07 (progress)")
        .await
        .unwrap();
    let found = audit(&target, Rule::InvalidIndex).await;
    let objects: Vec<&str> = found.iter().map(|f| f.object.as_str()).collect();
    assert_eq!(objects, ["interaction.half", "users.once"]);
    assert!(found.iter().all(|f| f.severity == Severity::Error));
    assert!(about(&found, "users.once").evidence.contains("duplicate rows"));
    session.batch_execute("UPDATE users.users SET role = email").await.unwrap();
    for finding in &found {
        execute(&session, &finding.remedy).await;
    }
    assert_eq!(audit(&target, Rule::InvalidIndex).await, []);
    let own =
        "SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = 'interaction.own'::regclass";
    let parent: String = session.query_one(own, &[]).await.unwrap().get(0);
    assert_eq!(parent, "interaction.half", "an index that fits is attached, not built twice");
}

#[tokio::test]
async fn a_broken_leaf_of_a_constraint_is_mended() {
    let server = Server::start();
    let session = server.session("postgres").await;
    session
        .batch_execute(
            "CREATE TABLE t (a int NOT NULL, b int) PARTITION BY HASH (a);
             CREATE TABLE t0 PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 0);
             CREATE TABLE t1 PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 1);
             ALTER TABLE ONLY t ADD CONSTRAINT t_pk PRIMARY KEY (a);
             CREATE INDEX i ON t (b);
             UPDATE pg_index SET indisvalid = false WHERE indexrelid IN ('i'::regclass, 't0_b_idx'::regclass)",
        )
        .await
        .unwrap();
    let target = server.cluster().target("postgres");
    let found = audit(&target, Rule::InvalidIndex).await;
    assert_eq!(found.len(), 2, "{found:#?}");
    for finding in &found {
        execute(&session, &finding.remedy).await;
    }
    assert_eq!(audit(&target, Rule::InvalidIndex).await, []);
}

#[tokio::test]
async fn a_parent_without_statistics_is_an_error() {
    let server = Server::start();
    let target = server.migrated().await;
    let session = server.session(&target.dbname).await;
    assert_eq!(
        audit(&target, Rule::StaleParentStatistics).await,
        [],
        "an empty table has nothing to analyse"
    );
    let insert = "INSERT INTO interaction.user_media (user_id, media_id) SELECT u.id, m.id FROM users.users AS u CROSS JOIN media.media AS m ON CONFLICT DO NOTHING";
    session
        .batch_execute(&format!(
            "INSERT INTO users.users (email, password_hash) SELECT i || '@x', 'x' FROM generate_series(1, 300) AS i;
             INSERT INTO media.media (media_type, media_class, title) VALUES ('book', 'book', 'one'); {insert}"
        ))
        .await
        .unwrap();
    let found = audit(&target, Rule::StaleParentStatistics).await;
    let [never] = found.as_slice() else { panic!("{found:#?}") };
    assert_eq!((never.object.as_str(), never.severity), ("interaction.user_media", Severity::Error));
    execute(&session, &never.remedy).await;
    assert_eq!(audit(&target, Rule::StaleParentStatistics).await, []);
    let more = format!(
        "INSERT INTO media.media (media_type, media_class, title) VALUES ('book', 'book', 'two'); {insert}"
    );
    session.batch_execute(&more).await.unwrap();
    for leaf in 0..16 {
        session.batch_execute(&format!("ANALYZE interaction.user_media_m16_r{leaf:02}")).await.unwrap();
    }
    let found = audit(&target, Rule::StaleParentStatistics).await;
    let [old] = found.as_slice() else { panic!("{found:#?}") };
    assert_eq!(
        (old.severity, old.evidence.as_str()),
        (Severity::Warning, "its statistics say 300 rows, those of its leaves 600")
    );
    execute(&session, &old.remedy).await;
    assert_eq!(audit(&target, Rule::StaleParentStatistics).await, []);
}

#[tokio::test]
async fn the_command_says_what_to_do_and_when_to_fail() {
    let server = Server::start();
    let (session, target) = filled(&server).await;
    session.close().await;
    let scratch = server.scratch_of(&target).await;
    let audit = |args: &[&str]| omtdb(&[&["audit", &scratch], args].concat());
    let all = audit(&[]);
    assert_eq!(all.status.code(), Some(0), "{}", text(&all));
    assert!(text(&all).contains(r#"DROP INDEX "interaction"."idx_user_media_user_id";"#), "{}", text(&all));
    let one = audit(&["--json", "--only", "redundant-index", "--fail-on", "warning"]);
    assert_eq!(one.status.code(), Some(1), "{}", text(&one));
    let findings = json(&one)["findings"].as_array().unwrap().clone();
    assert!(
        findings.iter().all(|f| f["id"] == "redundant-index" && f["do"].is_array() && f["undo"].is_array())
    );
    let unknown = audit(&["--only", "redundant-indx"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", text(&unknown));
    assert!(text(&unknown).contains("redundant-index"), "{}", text(&unknown));
}
