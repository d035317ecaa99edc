//! Through a real PgBouncer, in the modes and by the protocols that it allows.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::bench_driver::{PATIENT, yaml};
use crate::harness::{Server, json, omtdb, text};

/// The user that PgBouncer must not be root as.
fn owner(server: &Server) -> String {
    use std::os::unix::fs::MetadataExt as _;
    let uid = fs::metadata(server.cluster().data_dir()).unwrap().uid();
    nix::unistd::User::from_uid(uid.into()).unwrap().unwrap().name
}

/// PgBouncer before a server, ended with the test.
pub(crate) struct Pooler(Child, tempfile::TempDir);

impl Pooler {
    pub(crate) fn before(server: &Server, dbname: &str, mode: &str) -> (Self, String) {
        let (dir, target) = (tempfile::tempdir().unwrap(), server.cluster().target(dbname));
        let path = dir.path().display();
        let ini = format!(
            "[databases]\n{dbname} = host={} port={}\n[pgbouncer]\nlisten_port = 6432\nlisten_addr =\nunix_socket_dir = {path}\n\
             auth_type = any\npool_mode = {mode}\ndefault_pool_size = 2\nlogfile = {path}/log\n\
             ignore_startup_parameters = extra_float_digits\n",
            server.cluster().socket_dir().display(),
            server.url("postgres").split("port=").nth(1).map_or("5432", |rest| rest.split('&').next().unwrap()),
        )
        .replace("host=", &format!("user={} host=", target.user));
        fs::write(dir.path().join("ini"), ini).unwrap();
        let owner = owner(server);
        let open = Command::new("chown").args(["-R", &owner]).arg(dir.path()).status().unwrap();
        assert!(open.success());
        let pooler = Command::new("pgbouncer")
            .args(["-u", &owner, "-q"])
            .arg(dir.path().join("ini"))
            .stderr(Stdio::null())
            .spawn()
            .expect("pgbouncer is needed: run scripts/test, which installs it");
        let url = format!("host={path} port=6432 dbname={dbname} user={}", target.user);
        let socket = dir.path().join(".s.PGSQL.6432");
        for _ in 0..6_000 {
            if socket.exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(socket.exists(), "pgbouncer does not start");
        (Self(pooler, dir), url)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
        let _ = &self.1;
    }
}

#[test]
fn a_pooler_in_between_is_driven_by_the_protocols_it_allows() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.yaml");
    let load = "{ arrival: { rate: 200/s, process: uniform }, warmup: 0s, duration: 1s, connections: 6 }";
    let ops = ["one: { sql: \"SELECT $1::int\", bind: [n] }"];
    fs::write(&file, yaml(&ops, load) + PATIENT).unwrap();
    for (mode, protocol) in [("transaction", "unnamed"), ("transaction", "simple"), ("session", "prepared")] {
        let (_pooler, url) = Pooler::before(&server, "postgres", mode);
        let file = file.to_str().unwrap();
        // A pool in session mode serves as many clients as it has sessions.
        let sessions = if mode == "session" {
            fs::read_to_string(file).unwrap().replace("connections: 6", "connections: 1")
        } else {
            fs::read_to_string(file).unwrap()
        };
        let own = dir.path().join(format!("{mode}-{protocol}.yaml"));
        fs::write(&own, sessions).unwrap();
        let output =
            omtdb(&["bench", "run", own.to_str().unwrap(), "--protocol", protocol, "--url", &url, "--json"]);
        assert!(output.status.success(), "{mode} {protocol}: {}", text(&output));
        assert_eq!(json(&output)["scenarios"][0]["ops"][0]["errors"], 0, "{mode} {protocol}");
    }
}

#[tokio::test]
async fn what_is_drawn_watched_and_recorded_needs_no_session_of_its_own() {
    let server = Server::start();
    let target = server.loaded().await;
    let (_pooler, url) = Pooler::before(&server, &target.dbname, "transaction");
    let dir = tempfile::tempdir().unwrap();
    let recording = dir.path().join("a.json");
    // Again and again: a named statement that one run leaves on the server is in the way of the next.
    for _ in 0..3 {
        let load = ["--protocol", "unnamed", "--duration", "1s", "--warmup", "0s", "--record"];
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/fans.yaml");
        let args =
            [&["bench", "run", file][..], &load, &[recording.to_str().unwrap(), "--url", &url, "--json"]];
        let output = omtdb(&args.concat());
        assert!(!text(&output).contains("not told"), "{}", text(&output));
        let run = &json(&output)["scenarios"][0];
        assert!(run["ops"].as_array().unwrap().iter().all(|op| op["errors"] == 0), "{run}");
        assert!(run["server"].is_object(), "{run}");
    }
}
