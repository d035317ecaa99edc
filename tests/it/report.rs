//! Recorded runs: facts of a real server, and the command that renders a record.

use omtdb::{host, report};

use crate::harness::{Server, json, omtdb, text};

#[tokio::test]
async fn the_facts_of_a_server_hold_no_secret() {
    let server = Server::with_settings(&[
        ("work_mem", "5MB"),
        ("archive_command", "curl -u me:hunter2 %p"),
        ("primary_conninfo", "password=hunter2"),
        ("app.token", "hunter2"),
    ]);
    let session = server.session("postgres").await;
    let facts = host::server(&session, &server.cluster().target("postgres")).await.unwrap();
    assert_eq!(facts.settings["work_mem"], "5MB");
    assert_eq!(facts.settings["fsync"], "off");
    assert!(!facts.settings.contains_key("application_name"), "that is ours, not the server's");
    assert!(!serde_json::to_string(&facts).unwrap().contains("hunter2"));
    assert_eq!(facts.version, session.version());
}

#[test]
fn the_facts_of_this_machine_are_there() {
    let host = host::host();
    assert!(host.cpus >= 1 && host.memory_bytes > 1 << 20 && !host.kernel.is_empty(), "{host:?}");
}

fn sample(name: &str) -> String {
    format!("{}/tests/records/{name}.json", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_command_renders_what_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (html, junit, markdown) = (path("r.html"), path("r.xml"), path("r.md"));
    let args = ["report", &sample("failing"), "--html", &html, "--junit", &junit, "--markdown", &markdown];
    let output = omtdb(&args);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(output.stdout.is_empty(), "{}", text(&output));
    for (file, beginning) in
        [(&html, "<!doctype html>"), (&junit, "<?xml"), (&markdown, "## omtdb gate: FAIL")]
    {
        let content = std::fs::read_to_string(file).unwrap();
        assert!(content.starts_with(beginning), "{file}: {}", &content[..40]);
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3, "no temporary file stays behind");
}

#[test]
fn without_a_file_to_write_a_summary_is_printed() {
    let output = omtdb(&["report", &sample("failing")]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("FAIL") && said.contains("1 of 38 relations differs"), "{said}");
    assert!(!said.contains('\u{1b}'), "no colours where nobody sees them");
    let coloured = omtdb(&["report", &sample("failing"), "--color", "always"]);
    assert!(String::from_utf8(coloured.stdout).unwrap().contains("\u{1b}["));
}

#[test]
fn json_is_the_record_itself() {
    let output = omtdb(&["report", &sample("passing"), "--json"]);
    let printed: report::RunRecord = serde_json::from_value(json(&output)).unwrap();
    assert_eq!(printed, report::read(sample("passing").as_ref()).unwrap());
}

#[test]
fn a_record_that_cannot_be_read_is_a_usage_error_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.json");
    for (content, expected) in [
        ("{\n  \"record_version\": 1,\n  \"seed\": -1\n}", "run.json:3:"),
        ("{\"record_version\": 7}", "version 7"),
        ("not json", "run.json:1:"),
    ] {
        std::fs::write(&path, content).unwrap();
        let output = omtdb(&["report", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        assert!(text(&output).contains(expected), "{}", text(&output));
    }
    let missing = omtdb(&["report", "/nonexistent/run.json"]);
    assert_eq!(missing.status.code(), Some(2), "{}", text(&missing));
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let output = omtdb(&["report", &sample("passing"), "--html", "/nonexistent/r.html"]);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    assert!(text(&output).contains("write /nonexistent/r.html"), "{}", text(&output));
}

#[test]
fn all_files_of_a_run_are_written_at_once_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let record = report::read(sample("passing").as_ref()).unwrap();
    for _ in 0..2 {
        let written = report::write_all(&record, &dir.path().join("deep/out")).unwrap();
        assert_eq!(report::read(&written.run_json).unwrap(), record);
        assert!(written.html.exists() && written.junit.exists());
    }
}
