//! Finding the server as libpq does, and saying what is in the way.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use omtdb::pg::Session;

use crate::harness::{command, programs, text};
use crate::secure::{PASSWORD, Secure};

/// `omtdb audit`, the shortest way to a connection, in `env` and from `secure`'s home directory.
fn audit(secure: &Secure, args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = command();
    command.env("HOME", &secure.home).envs(env.iter().copied());
    command.args(["audit", "--json"]).args(args).output().unwrap()
}

#[track_caller]
fn check(output: &Output, code: i32, says: &[&str]) {
    assert_eq!(output.status.code(), Some(code), "{}", text(output));
    let said = String::from_utf8_lossy(&output.stderr);
    for part in says {
        assert_eq!(said.matches(part).count(), 1, "{part:?} is to be said once: {}", text(output));
    }
    assert!(!text(output).contains("hush"), "{}", text(output));
}

#[tokio::test]
async fn the_command_reaches_what_the_environment_names() {
    let secure = Secure::start().await;
    let place = [
        ("PGHOST", "localhost"),
        ("PGHOSTADDR", secure.address.as_str()),
        ("PGUSER", "joe"),
        ("PGDATABASE", "postgres"),
    ];
    let with = |more: &[(&'static str, &str)]| -> Output {
        let env: Vec<(&str, &str)> = place.iter().chain(more).copied().collect();
        audit(&secure, &[], &env)
    };
    check(&with(&[]), 4, &["asks for the password of \"joe\"", "help: set PGPASSWORD"]);
    check(&with(&[("PGPASSWORD", PASSWORD)]), 0, &[]);
    let escaped = PASSWORD.replace(':', "\\:");
    let passfile = secure.write(".pgpass", &format!("localhost:5432:postgres:joe:{escaped}\n"));
    check(&with(&[]), 0, &[]);
    check(&with(&[("PGPASSWORD", "hush wrong")]), 4, &["28P01", "help: the password came from PGPASSWORD"]);
    fs::set_permissions(&passfile, fs::Permissions::from_mode(0o644)).unwrap();
    check(&with(&[]), 4, &["chmod 0600 ", "asks for the password"]);
    secure.write(".pgpass", "*:*:*:*:hush wrong\n");
    check(&with(&[]), 4, &["28P01", "the password came from line 1 of"]);
    let elsewhere = secure.write("elsewhere", &format!("*:*:*:joe:{escaped}\n"));
    check(&with(&[("PGPASSFILE", &elsewhere)]), 0, &[]);
}

#[tokio::test]
async fn the_command_reaches_what_a_service_or_a_url_names() {
    let secure = Secure::start().await;
    let service = format!("[omt]\nhost=localhost\nhostaddr={}\nuser=joe\ndbname=postgres\n", secure.address);
    secure.write(".pg_service.conf", &service);
    let password = [("PGPASSWORD", PASSWORD)];
    check(&audit(&secure, &["--url", "service=omt"], &password), 0, &[]);
    check(&audit(&secure, &[], &[("PGSERVICE", "omt"), password[0]]), 0, &[]);
    check(&audit(&secure, &["--url", "service=none"], &[]), 2, &["no service \"none\""]);
    let encoded: String = PASSWORD.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let url = format!("postgresql://joe:{encoded}@{}/postgres?sslmode=require", secure.address);
    check(&audit(&secure, &["--url", &url], &[]), 0, &[]);
    check(&audit(&secure, &[], &[("DATABASE_URL", &url), ("PGHOST", "nowhere.invalid")]), 0, &[]);
    let wrong = format!("postgresql://joe:hush%20wrong@{}/postgres", secure.address);
    check(&audit(&secure, &["--url", &wrong], &[]), 4, &["28P01", "the password came from --url"]);
    check(&audit(&secure, &["--url", "postgresql://joe:hush/hush@db"], &[]), 2, &["%2F"]);
    check(&audit(&secure, &["--url", "postgresql://db?sslmod=x"], &[]), 2, &["did you mean \"sslmode\"?"]);
}

#[tokio::test]
async fn what_is_in_the_way_is_named_with_the_remedy() {
    let secure = Secure::without_tls().await;
    let password = [("PGPASSWORD", PASSWORD)];
    let at = |more: &str| {
        let url = format!("{} user=joe {more}", secure.place());
        audit(&secure, &["--url", &url], &password)
    };
    check(&at("port=1"), 4, &["joe@localhost:1/postgres: connection refused", "help: "]);
    check(&at("dbname=none"), 4, &["3D000", "the database's name came from --url"]);
    check(&at("user=nobody"), 4, &["28000", "the role came from --url"]);
    check(&at("hostaddr='' host=nowhere.invalid"), 4, &["name cannot be resolved", "check the host's name"]);
    check(&at("hostaddr='' host=/nonexistent"), 4, &["there is no such socket", "PGHOST"]);
    check(&at("host=a,b hostaddr=127.0.0.1,127.0.0.1 port=1,2"), 4, &["no host will do", "a:1: ", "b:2: "]);
    check(&at("sslmode=require"), 4, &["does not speak TLS"]);
    check(&at("target_session_attrs=standby"), 4, &["it is not in recovery", "target_session_attrs"]);
}

#[tokio::test]
async fn the_next_host_is_asked_when_one_is_not_there_or_does_not_suit() {
    let secure = Secure::without_tls().await;
    let env = [("PGPASSWORD", PASSWORD)];
    let outcome = |hosts: &str| {
        let conninfo = format!("user=joe dbname=postgres {hosts}");
        let target = secure.target(&conninfo, &env);
        async move { Session::connect(&target, "test").await }
    };
    let twice = format!("host=a,b hostaddr={0},{0}", secure.address);
    assert!(outcome(&format!("{twice} port=1,5432")).await.is_ok(), "the first is not there");
    for suits in ["any", "read-write", "primary", "prefer-standby"] {
        assert!(outcome(&format!("{twice} target_session_attrs={suits}")).await.is_ok(), "{suits}");
    }
    let read_only = "options='-c default_transaction_read_only=on'";
    assert!(outcome(&format!("{twice} {read_only} target_session_attrs=read-only")).await.is_ok());
    let error = outcome(&format!("{twice} {read_only} target_session_attrs=read-write")).await.err().unwrap();
    assert!(error.to_string().contains("may not write"), "{error}");
    // A refusal is an answer: nobody else is asked, as with libpq.
    let error = outcome(&format!("{twice} port=5432,1 dbname=none")).await.err().unwrap();
    assert_eq!(error.sqlstate(), Some("3D000"), "{error}");
}

/// Who and where a session is.
const WHERE: &str = "SELECT pg_catalog.concat_ws('|', session_user, pg_catalog.current_database(), \
     pg_catalog.host(pg_catalog.inet_server_addr()), pg_catalog.inet_server_port(), \
     pg_catalog.current_setting('application_name'), pg_catalog.current_setting('work_mem'), \
     (SELECT ssl FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid()))";

#[tokio::test]
async fn omtdb_reaches_what_psql_reaches() {
    let secure = Secure::start().await;
    let socket = secure.server.cluster().socket_dir().display().to_string();
    let service = format!("[omt]\nhost=localhost\nhostaddr={}\nuser=enc\nport=5432\n", secure.address);
    secure.write(".pg_service.conf", &service);
    secure.write(".pgpass", &format!("localhost:*:postgres:*:{}\n", PASSWORD.replace(':', "\\:")));
    let ca = secure.home.join("ca.crt").display().to_string();
    let address = secure.address.as_str();
    let tcp =
        [("PGHOST", "localhost"), ("PGHOSTADDR", address), ("PGDATABASE", "postgres"), ("PGAPPNAME", "n")];
    let cases: Vec<(String, Vec<(&str, &str)>)> = vec![
        (String::new(), [&tcp[..], &[("PGUSER", "joe")]].concat()),
        (String::new(), [&tcp[..], &[("PGUSER", "joe"), ("PGSSLMODE", "disable")]].concat()),
        (String::new(), [&tcp[..], &[("PGUSER", "plain")]].concat()),
        (String::new(), [&tcp[..], &[("PGUSER", "enc"), ("PGSSLMODE", "allow")]].concat()),
        (String::new(), [&tcp[..], &[("PGUSER", "enc"), ("PGSSLMODE", "disable")]].concat()),
        (format!("user=joe sslmode=verify-full sslrootcert={ca}"), tcp.to_vec()),
        (
            format!("user=joe sslmode=verify-ca sslrootcert={ca}"),
            [&tcp[..], &[("PGSSLMODE", "disable")]].concat(),
        ),
        ("user=joe sslmode=verify-ca".to_owned(), tcp.to_vec()),
        ("user=joe sslmode=require options='-c work_mem=3MB'".to_owned(), tcp.to_vec()),
        ("user=joe password=wrong".to_owned(), tcp.to_vec()),
        ("service=omt dbname=postgres application_name='a b'".to_owned(), vec![("PGUSER", "joe")]),
        ("postgresql:///postgres?service=omt&user=joe&application_name=n".to_owned(), vec![]),
        (format!("host={socket} user=omtdb dbname=postgres application_name=n"), vec![("PGPORT", "")]),
        (
            format!("postgresql://omtdb@{}/?application_name=n", socket.replace('/', "%2f")),
            vec![("PGDATABASE", "x")],
        ),
        (format!("host={socket} user=omtdb application_name=n"), vec![]),
        (
            format!(
                "host=no,{socket} port=1,5432 hostaddr=127.0.0.1, user=omtdb dbname=template1 application_name=n"
            ),
            vec![],
        ),
    ];
    let mut reached = 0;
    for (conninfo, env) in cases {
        let (psql, ours) = (by_psql(&secure, &conninfo, &env), by_omtdb(&secure, &conninfo, &env).await);
        assert_eq!(ours, psql, "{conninfo:?} {env:?}");
        reached += usize::from(psql.is_some());
    }
    assert_eq!(reached, 11, "the others are refused on purpose");
}

/// What psql reaches; `None` when it reaches nothing.
fn by_psql(secure: &Secure, conninfo: &str, env: &[(&str, &str)]) -> Option<String> {
    // The directory on the path may hold links to some of the programs only.
    let initdb = fs::canonicalize(programs().bin().join("initdb")).unwrap();
    let bin = initdb.parent().unwrap();
    let mut psql = Command::new(bin.join("psql"));
    psql.env_clear().env("HOME", &secure.home).env("PATH", "/usr/bin:/bin").envs(env.iter().copied());
    psql.env("LD_LIBRARY_PATH", bin.parent().unwrap().join("lib"));
    let output = psql.args(["-XAtwc", WHERE, conninfo]).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
}

async fn by_omtdb(secure: &Secure, conninfo: &str, env: &[(&str, &str)]) -> Option<String> {
    let session = Session::connect(&secure.target(conninfo, env), "test").await.ok()?;
    Some(session.query_one(WHERE, &[]).await.unwrap().get(0))
}
