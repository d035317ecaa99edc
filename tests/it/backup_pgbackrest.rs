//! pgBackRest's own program and repository behind `backup --repo`. Servers that the installed pgBackRest does not know are
//! refused by it; then each of these tests proves that its errors come through.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use omtdb::backup::wal::Segment;
use omtdb::backup::{PgBackRest, Repo};
use omtdb::pg::cluster::{Cluster, Lease, Options};
use omtdb::pg::{Session, Target};
use omtdb::run::Run;
use serde_json::Value;

use crate::harness::{Server, command, fresh_name, home, json, programs, text};

/// A server that pgBackRest archives for.
struct Site {
    server: Server,
    dir: PathBuf,
}

impl Site {
    /// `None` where pgBackRest does not know this version of the server, and omtdb said so.
    fn make() -> Option<Self> {
        let server = Server::start();
        let dir = server.cluster().make_dir("pgbackrest").unwrap();
        for part in ["repo", "log", "lock", "spool"] {
            server.cluster().make_dir(&format!("pgbackrest/{part}")).unwrap();
        }
        let site = Self { server, dir };
        site.configure();
        let made = site.pgbackrest("stanza-create").output().unwrap();
        if made.status.success() {
            return Some(site);
        }
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        assert!(said.contains("unexpected control version"), "{said}");
        let created = site.omtdb("create", &["--json"]);
        assert_eq!(created.status.code(), Some(4), "{}", text(&created));
        let own_words = ["ERROR: [055]", "has a stanza-create been performed"];
        assert!(own_words.iter().all(|words| text(&created).contains(words)), "{}", text(&created));
        let listed = site.omtdb("list", &[]);
        assert_eq!(listed.status.code(), Some(2), "{}", text(&listed));
        None
    }

    fn configure(&self) {
        let (dir, cluster) = (self.dir.display(), self.server.cluster());
        let config = format!(
            "[global]\nrepo1-path={dir}/repo\nlog-path={dir}/log\nlock-path={dir}/lock\nspool-path={dir}/spool\n\
             repo1-retention-full=9\n[demo]\npg1-path={}\npg1-socket-path={}\npg1-user=omtdb\n",
            cluster.data_dir().display(),
            cluster.socket_dir().display(),
        );
        cluster.write_file(&self.config(), &config).unwrap();
        let push = format!(
            "env -u LD_LIBRARY_PATH {} --config={} --stanza=demo archive-push %p",
            program().display(),
            self.config().display()
        );
        let settings = [("archive_mode", "on"), ("archive_command", &push)];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        cluster.restart_with(&settings.into()).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.dir.join("pgbackrest.conf")
    }

    fn pgbackrest(&self, what: &str) -> std::process::Command {
        let mut command = programs().command(&program().display().to_string());
        command.env_remove("LD_LIBRARY_PATH").arg(format!("--config={}", self.config().display()));
        command.args(["--stanza=demo", "--log-level-console=off", "--log-level-stderr=warn", what]);
        command
    }

    fn omtdb(&self, action: &str, more: &[&str]) -> Output {
        let config = self.config().display().to_string();
        let repo = ["backup", action, "--repo", "pgbackrest:demo", "--repo-config", &config];
        command().args(repo).args(more).output().unwrap()
    }

    fn create(&self, more: &[&str]) -> Value {
        let output = self.omtdb("create", &[&["--json"], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        json(&output)
    }

    fn verify(&self) -> (Option<i32>, Value) {
        let output = self.omtdb("verify", &["--json"]);
        (output.status.code(), json(&output))
    }

    fn repo(&self) -> Repo {
        let path = std::env::var_os("PATH");
        let none = std::collections::BTreeMap::new();
        let found = PgBackRest::find("demo", Some(&self.config()), none, &programs(), path.as_deref());
        Repo::Stanza(found.unwrap())
    }

    /// The repository's files whose path holds `part`, in order.
    fn files(&self, part: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        collect(&self.dir.join("repo"), &mut found);
        found.retain(|path| path.display().to_string().contains(part));
        found.sort();
        found
    }

    async fn session(&self) -> Session {
        self.server.session("postgres").await
    }
}

fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let mut places = std::env::split_paths(&path).map(|dir| dir.join("pgbackrest"));
    places.find(|file| file.is_file()).expect("pgBackRest is needed: run scripts/test, which installs it")
}

fn collect(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() { collect(&path, found) } else { found.push(path) }
    }
}

fn spoil(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(b"spoilt", 20).unwrap();
}

#[test]
fn a_stanza_is_filled_listed_and_verified() {
    let Some(site) = Site::make() else { return };
    let empty = site.omtdb("list", &["--json"]);
    assert_eq!(json(&empty)["backups"], serde_json::json!([]), "{}", text(&empty));
    let scratch = format!("--scratch={}", site.server.cluster().name());
    let full = site.create(&[&scratch]);
    assert_eq!(
        (&full["archiving"]["state"], &full["backup"]["parent"]),
        (&"continuous".into(), &Value::Null)
    );
    let incremental = site.create(&["--incremental"]);
    assert_eq!(incremental["backup"]["parent"], full["backup"]["label"]);
    let listed = json(&site.omtdb("list", &["--json"]));
    assert_eq!(listed["backups"], serde_json::json!([full["backup"], incremental["backup"]]));
    let (code, found) = site.verify();
    assert_eq!((code, &found["verdict"]), (Some(0), &"pass".into()), "{found}");
    assert!(found["wal"]["segments"].as_u64().unwrap() >= 2, "{found}");
    assert_eq!(found["backups"].as_array().unwrap().len(), 2, "{found}");

    let other = Server::start();
    let another = format!("--scratch={}", other.cluster().name());
    let refused = site.omtdb("create", &[&another]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    assert!(text(&refused).contains("another server"), "{}", text(&refused));
}

#[tokio::test]
async fn damage_in_the_repository_fails_whatever_its_exit_code() {
    let Some(site) = Site::make() else { return };
    let created = site.create(&[]);
    let session = site.session().await;
    for _ in 0..3 {
        session.batch_execute("SELECT pg_logical_emit_message(true, 'x', 'y')").await.unwrap();
        session.batch_execute("SELECT pg_switch_wal()").await.unwrap();
    }
    site.create(&[]);
    assert_eq!(site.verify().0, Some(0));

    let label = created["backup"]["label"].as_str().unwrap();
    let data = site
        .files(&format!("{label}/pg_data/base/"))
        .into_iter()
        .find(|path| path.metadata().unwrap().len() > 999);
    let (data, saved) = (data.unwrap(), site.dir.join("saved"));
    fs::copy(&data, &saved).unwrap();
    spoil(&data);
    let (code, found) = site.verify();
    assert_eq!((code, &found["backups"][0]["ok"]), (Some(1), &Value::from(false)), "{found}");
    fs::copy(&saved, &data).unwrap();
    assert_eq!(site.verify().0, Some(0));

    // A hole: pgBackRest 2.45 says that all is well.
    let segments = site
        .files("/archive/demo/")
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "gz"));
    let segments: Vec<PathBuf> = segments.collect();
    let lost = &segments[segments.len() - 2];
    let lost_name = lost.file_name().unwrap().to_str().unwrap()[..24].to_owned();
    fs::rename(lost, &saved).unwrap();
    let (code, found) = site.verify();
    assert_eq!((code, &found["wal"]["gaps"][0]["first"]), (Some(1), &lost_name.into()), "{found}");
    fs::rename(&saved, lost).unwrap();
    spoil(lost);
    let (code, found) = site.verify();
    assert_eq!(code, Some(1), "{found}");
    assert!(found["wal"]["damaged"][0]["detail"].as_str().unwrap().contains("total valid WAL"), "{found}");
}

#[tokio::test]
async fn a_repository_is_restored_and_rolled_forward_to_a_point() {
    let Some(site) = Site::make() else { return };
    let session = site.session().await;
    session.batch_execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS x").await.unwrap();
    site.create(&[]);
    session.batch_execute("INSERT INTO kept SELECT generate_series(1001, 1500)").await.unwrap();
    session.batch_execute("SELECT pg_create_restore_point('here')").await.unwrap();
    session.batch_execute("INSERT INTO kept SELECT generate_series(1501, 9000)").await.unwrap();
    let end: String = session.query_one("SELECT pg_switch_wal()::text", &[]).await.unwrap().get(0);
    let (run, repo, size) = (Run::silent(), site.repo(), 16 << 20);
    let last = Segment::ending_at(1, end.parse().unwrap(), size);
    assert!(repo.wait_for(&run, last, size, Duration::from_secs(60)).await.unwrap());
    let never = Segment { number: last.number + 9, ..last };
    assert!(!repo.wait_for(&run, never, size, Duration::ZERO).await.unwrap());

    let name = fresh_name("c");
    let data = home().join("clusters").join(&name).join("data");
    let settings = [
        ("restore_command", repo.restore_command(&data).unwrap()),
        ("recovery_target_name", "here".to_owned()),
        ("recovery_target_action", "promote".to_owned()),
        ("archive_mode", "off".to_owned()),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value)).into();
    let adopted = tokio::task::spawn_blocking(move || {
        let (programs, run) = (programs(), Run::silent());
        let fill = |data: &Path| {
            let filled = async {
                let newest = repo.backups(&run).await?.pop().unwrap();
                repo.materialize(&run, &newest, &programs, data).await
            };
            tokio::runtime::Handle::current().block_on(filled)?;
            fs::write(data.join("recovery.signal"), "")?;
            anyhow::Ok(())
        };
        Cluster::adopt::<anyhow::Error>(
            &home().join("clusters"),
            &name,
            &programs,
            &Options { settings },
            fill,
        )
    });
    let copy = Lease::throw_away(adopted.await.unwrap().unwrap()).unwrap();
    let target: Target = copy.cluster().target("postgres");
    let restored = Session::connect(&target, "test").await.unwrap();
    let patience = std::time::Instant::now();
    // It answers before it has reached the point.
    let in_recovery = "SELECT pg_is_in_recovery()";
    while restored.query_one(in_recovery, &[]).await.unwrap().get::<_, bool>(0) {
        assert!(patience.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let rows: i64 = restored.query_one("SELECT count(*) FROM kept", &[]).await.unwrap().get(0);
    assert_eq!(rows, 1500);
}

#[test]
fn what_is_no_stanza_is_refused_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("none.conf");
    fs::write(&config, format!("[global]\nrepo1-path={}\n", dir.path().display())).unwrap();
    open_to_all(dir.path());
    let config = config.display().to_string();
    let with = |stanza: &str| {
        command().args(["backup", "list", "--repo", stanza, "--repo-config", &config]).output().unwrap()
    };
    let unknown = with("pgbackrest:nope");
    assert_eq!(unknown.status.code(), Some(2), "{}", text(&unknown));
    assert!(text(&unknown).contains("stanza-create"), "{}", text(&unknown));
    for (stanza, said) in
        [("barman:x", "use pgbackrest:STANZA"), ("pgbackrest:--delta", "no name of a stanza")]
    {
        let refused = with(stanza);
        assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
        assert!(text(&refused).contains(said), "{}", text(&refused));
    }
    let neither = command().args(["backup", "list"]).output().unwrap();
    assert_eq!(neither.status.code(), Some(2), "{}", text(&neither));
}

fn open_to_all(dir: &Path) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(dir, mode).unwrap();
}

#[test]
fn a_secret_of_the_environment_stays_out_of_the_copys_settings() {
    let secret = [("PGBACKREST_REPO1_CIPHER_PASS".to_owned(), "hunter2".to_owned())].into();
    let path = std::env::var_os("PATH");
    let stanza = PgBackRest::find("demo", None, secret, &programs(), path.as_deref()).unwrap();
    let refused = stanza.restore_command(Path::new("/data")).unwrap_err().to_string();
    assert!(refused.contains("--repo-config") && !refused.contains("hunter2"), "{refused}");
    let open = [("PGBACKREST_REPO1_PATH".to_owned(), "/a b".to_owned())].into();
    let stanza = PgBackRest::find("demo", None, open, &programs(), path.as_deref()).unwrap();
    assert!(stanza.restore_command(Path::new("/d")).unwrap().contains("'PGBACKREST_REPO1_PATH=/a b'"));
}

#[tokio::test]
async fn a_drill_restores_from_a_stanza_and_proves_it() {
    let Some(site) = Site::make() else { return };
    let target = site.server.loaded().await;
    site.create(&[]);
    let (own_home, config) = (crate::drill::own_home(), site.config().display().to_string());
    let from = ["--repo", "pgbackrest:demo", "--repo-config", &config];
    for aim in ["restore-point", "latest"] {
        let args = [&from[..], &["--to", aim]].concat();
        let output = crate::drill::drill(&site.server, &target, &own_home, &args);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        assert_eq!(json(&output)["reached"], "self-test");
    }
    crate::drill::assert_nothing_left(&own_home);
}
