//! `omtdb migrate lint`: by files alone, and by a live database.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::harness::{Server, json, omtdb, text};
use crate::lint::notes;

fn lint(args: &[&str]) -> Output {
    omtdb(&[&["migrate", "lint"], args].concat())
}

fn write(dir: &Path, name: &str, sql: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, sql).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_command_goes_by_files_alone() {
    let clean = lint(&["--json"]);
    assert_eq!(
        (clean.status.code(), json(&clean)["findings"].as_array().unwrap().len()),
        (Some(0), 0),
        "{}",
        text(&clean)
    );
    assert!(json(&clean)["waived"][0]["reason"].is_string());
    let dir = tempfile::tempdir().unwrap();
    let file =
        write(dir.path(), "V900__x.sql", "CREATE INDEX CONCURRENTLY i ON interaction.user_media (rating);\n");
    let sarif = dir.path().join("lint.sarif");
    let bad = lint(&[&file, "--json", "--sarif", sarif.to_str().unwrap()]);
    assert_eq!(bad.status.code(), Some(1), "{}", text(&bad));
    let finding = &json(&bad)["findings"][0];
    assert_eq!(finding["rule"], "concurrently-on-partitioned");
    assert_eq!(
        (&finding["severity"], &finding["line"], &finding["column"]),
        (&"error".into(), &1.into(), &1.into())
    );
    assert!(finding["file"].as_str().unwrap().ends_with("V900__x.sql") && finding["help"].is_string());
    assert!(fs::read_to_string(sarif).unwrap().contains("omtdb/concurrently-on-partitioned"));
    let shown = String::from_utf8(lint(&[&file]).stdout).unwrap();
    assert!(
        shown.contains("error[concurrently-on-partitioned]")
            && shown.ends_with("1 error, 0 warnings in 1 file\n"),
        "{shown}"
    );
    let missing = lint(&["none.sql"]);
    assert_eq!(missing.status.code(), Some(2), "{}", text(&missing));
}

#[test]
fn the_command_names_its_rules() {
    let rules = lint(&["--rules", "--json"]);
    let rules = json(&rules);
    let names: Vec<&str> =
        rules["rules"].as_array().unwrap().iter().map(|one| one["rule"].as_str().unwrap()).collect();
    for name in ["hash-bounds", "two-hot-tables", "unused-waiver", "ban-drop-column", "prefer-robust-stmts"] {
        assert!(names.contains(&name), "{name}");
    }
    let shown = String::from_utf8(lint(&["--rules"]).stdout).unwrap();
    assert!(shown.contains("left out"), "{shown}");
}

/// A directory with a waiver, and a pending file whose table only the database knows.
#[tokio::test]
async fn the_command_goes_by_the_database() {
    let server = Server::start();
    let (target, session) = notes(&server).await;
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "V1__x.sql", "CREATE INDEX CONCURRENTLY i ON t.notes (at);\n");
    let (url, dir) = (server.url(&target.dbname), dir.path());
    let args = ["--url", &url, "--migrations", dir.to_str().unwrap(), "--json"];
    let offline = lint(&args[2..]);
    assert_eq!(offline.status.code(), Some(0), "{}", text(&offline));
    let live = lint(&args);
    assert_eq!(live.status.code(), Some(1), "{}", text(&live));
    let whole = lint(&[&args[..2], &[args[3]]].concat());
    assert_eq!(whole.status.code(), Some(1), "{}", text(&whole));
    write(dir, "waivers.yaml", "- { migration: 1, rule: concurrently-on-partitioned, reason: a test }\n");
    let waived = lint(&args);
    assert_eq!((waived.status.code(), &json(&waived)["waived"][0]["reason"]), (Some(0), &"a test".into()));
    write(dir, "waivers.yaml", "- { migration: 1, rule: concurrently-on-partitioned, why: a test }\n");
    let wrong = lint(&args);
    assert_eq!(wrong.status.code(), Some(2), "{}", text(&wrong));
    assert!(text(&wrong).contains("waivers.yaml:1:"), "{}", text(&wrong));
    drop(session);
}
