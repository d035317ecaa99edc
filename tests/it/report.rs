//! Recorded runs: facts of a real server, and the command that renders a record.

use omtdb::report;

use crate::harness::Server;

#[tokio::test]
async fn the_facts_of_a_server_hold_no_secret() {
    let server = Server::with_settings(&[
        ("work_mem", "5MB"),
        ("archive_command", "curl -u me:hunter2 %p"),
        ("primary_conninfo", "password=hunter2"),
        ("app.token", "hunter2"),
    ]);
    let session = server.session("postgres").await;
    let facts = report::server(&session, &server.cluster().target("postgres")).await.unwrap();
    assert_eq!(facts.settings["work_mem"], "5MB");
    assert_eq!(facts.settings["fsync"], "off");
    assert!(!facts.settings.contains_key("application_name"), "that is ours, not the server's");
    assert!(!serde_json::to_string(&facts).unwrap().contains("hunter2"));
    assert_eq!(facts.version, session.version());
}

#[test]
fn the_facts_of_this_machine_are_there() {
    let host = report::host();
    assert!(host.cpus >= 1 && host.memory_bytes > 1 << 20 && !host.kernel.is_empty(), "{host:?}");
}
