//! The protocol itself, spoken to real servers.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use omtdb::pg::error::Result;
use omtdb::pg::target::{self, Secret, Surroundings};
use omtdb::pg::{Frontend, PgError, Session, Target};
use tokio::sync::mpsc::unbounded_channel;
use tokio_postgres::types::Type;

use crate::harness::{Server, eventually};
use crate::secure::{PASSWORD, Secure};

const NONE: &[i32] = &[];

async fn connect(server: &Server) -> Frontend {
    Frontend::connect(&server.cluster().target("postgres"), "frontend").await.unwrap()
}

/// Proves that questions and answers still belong together.
async fn goes_on(frontend: &mut Frontend) {
    assert!(!frontend.is_lost());
    frontend.simple("SELECT 1").await.unwrap();
    let refused = frontend.execute_unnamed("SELECT 1 / $1", &[Type::INT4], &[0]).await;
    assert_eq!(refused.unwrap_err().sqlstate(), Some("22012"));
    frontend.execute_unnamed("SELECT 1 / $1", &[Type::INT4], &[1]).await.unwrap();
}

/// Processes of the server that serve others than `session`.
async fn served(session: &Session) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    session.query_one(sql, &[]).await.unwrap().get(0)
}

/// What it held is free then, and what it did is counted.
async fn goes_with_its_process(target: &Target, session: &Session) {
    for _ in 0..20 {
        let (frontend, other) =
            (Frontend::connect(target, "a").await.unwrap(), Session::connect(target, "b").await.unwrap());
        assert_eq!(served(session).await, 2);
        frontend.close().await;
        assert_eq!(served(session).await, 1);
        other.close().await;
        assert_eq!(served(session).await, 0);
    }
}

#[tokio::test]
async fn a_conversation_that_was_closed_has_ended_on_the_server_too() {
    let server = Server::start();
    goes_with_its_process(&server.cluster().target("postgres"), &server.session("postgres").await).await;
}

fn text(error: Result<()>) -> String {
    error.unwrap_err().to_string()
}

#[tokio::test]
async fn answers_of_any_kind_and_size_are_read_to_their_end() {
    let server = Server::start();
    let mut frontend = connect(&server).await;
    let (notices, mut told) = unbounded_channel();
    frontend.tell(notices);
    for sql in [
        "",
        "-- nothing",
        "SELECT 1; SELECT 2; CREATE TABLE t (a int)",
        "SELECT repeat('x', 100000) FROM generate_series(1, 50)",
        "SELECT 1 WHERE false",
        "COPY (SELECT repeat('x', i) FROM generate_series(1, 3000) AS i) TO STDOUT",
        "SET application_name = 'other'",
        "DO $$ BEGIN RAISE WARNING 'told'; RAISE WARNING '%', repeat('y', 100000); END $$",
    ] {
        frontend.simple(sql).await.unwrap();
        // Several statements are the simple protocol's alone.
        if !sql.starts_with("SELECT 1; ") {
            frontend.execute_unnamed(sql, &[], NONE).await.unwrap();
        }
    }
    for _ in 0..2 {
        assert_eq!(told.try_recv().unwrap(), "told");
        assert_eq!(told.try_recv().unwrap().len(), 100_000);
    }
    assert!(told.try_recv().is_err());
    goes_on(&mut frontend).await;
}

#[tokio::test]
async fn a_statement_is_prepared_once_and_executed_again_and_again() {
    let server = Server::start();
    let mut frontend = connect(&server).await;
    frontend.prepare("one", "SELECT 10 / $1::int FROM pg_catalog.pg_class").await.unwrap();
    for divisor in 1..20 {
        frontend.execute("one", &[Type::INT4], &[divisor]).await.unwrap();
    }
    assert_eq!(frontend.execute("one", &[Type::INT4], &[0]).await.unwrap_err().sqlstate(), Some("22012"));
    let again = frontend.prepare("one", "SELECT 1").await;
    assert_eq!(again.unwrap_err().sqlstate(), Some("42P05"));
    goes_on(&mut frontend).await;
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_before_it_is() {
    let server = Server::start();
    let mut frontend = connect(&server).await;
    frontend.prepare("one", "SELECT $1::int").await.unwrap();
    assert!(text(frontend.execute("one", &[Type::INT4], NONE).await).contains("1 parameters, and 0 values"));
    assert!(text(frontend.execute("one", &[Type::INT4], &["a"]).await).contains("int4"));
    frontend.simple("SELECT\0 1").await.unwrap_err();
    goes_on(&mut frontend).await;
    let refused = text(frontend.simple("COPY pg_class FROM STDIN").await);
    assert!(refused.contains("rows from its client") && frontend.is_lost(), "{refused}");
    assert!(text(frontend.simple("SELECT 1").await).contains("closed"));
}

#[tokio::test]
async fn what_the_server_says_between_two_answers_belongs_to_neither() {
    let server = Server::start();
    let (mut frontend, session) = (connect(&server).await, server.session("postgres").await);
    frontend.simple("LISTEN news").await.unwrap();
    for _ in 0..3 {
        session.batch_execute(&format!("NOTIFY news, '{}'", "z".repeat(7_000))).await.unwrap();
    }
    goes_on(&mut frontend).await;
}

async fn ended_by(server: &Server, how: &str) -> (Frontend, Session) {
    let (frontend, session) = (connect(server).await, server.session("postgres").await);
    let ended = format!("SELECT {how} FROM pg_stat_activity WHERE application_name = 'omtdb/frontend'");
    session.batch_execute(&ended).await.unwrap();
    let left = "SELECT FROM pg_stat_activity WHERE application_name = 'omtdb/frontend'";
    while session.query_opt(left, &[]).await.unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    (frontend, session)
}

#[tokio::test]
async fn a_session_that_was_ended_says_why() {
    let server = Server::start();
    let (mut frontend, _session) = ended_by(&server, "pg_terminate_backend(pid)").await;
    let error = frontend.simple("SELECT 1").await.unwrap_err();
    assert_eq!((error.sqlstate(), frontend.is_lost()), (Some("57P01"), true), "{error}");
    assert!(text(frontend.simple("SELECT 1").await).contains("closed"));
    frontend.close().await;
    let mut frontend = connect(&server).await;
    let suicide = frontend.simple("SELECT pg_terminate_backend(pg_backend_pid())").await;
    assert_eq!((suicide.unwrap_err().sqlstate(), frontend.is_lost()), (Some("57P01"), true));
}

#[tokio::test]
async fn a_session_that_ends_for_the_crash_of_another_says_so() {
    let server = Server::start();
    let mut frontend = connect(&server).await;
    let session = server.session("postgres").await;
    let pid: i32 = session.query_one("SELECT pg_backend_pid() AS pid", &[]).await.unwrap().get("pid");
    let asleep = tokio::spawn(async move { (frontend.simple("SELECT pg_sleep(600)").await, frontend) });
    let is_asleep = "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    eventually("a sleep", async || session.query_opt(is_asleep, &[]).await.unwrap().is_some()).await;
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    let (slept, frontend) = asleep.await.unwrap();
    assert_eq!((slept.unwrap_err().sqlstate(), frontend.is_lost()), (Some("57P02"), true));
}

#[tokio::test]
async fn a_server_that_was_killed_is_lost() {
    let server = Server::start();
    let mut frontend = connect(&server).await;
    server.kill_and_start_again();
    let error = frontend.simple("SELECT 1").await.unwrap_err();
    assert!(frontend.is_lost() && error.is_lost(), "{error}");
}

#[tokio::test]
async fn encryption_reaches_its_statements_and_the_requests_to_cancel_them() {
    let secure = Secure::start().await;
    let ca = format!("sslrootcert={}", secure.home.join("ca.crt").display());
    for more in ["sslmode=disable".to_owned(), format!("sslmode=verify-full channel_binding=require {ca}")] {
        let conninfo = format!("{} user=joe {more}", secure.place());
        let target = secure.target(&conninfo, &[("PGPASSWORD", PASSWORD)]);
        let mut frontend = Frontend::connect(&target, "test").await.unwrap();
        frontend.simple("SELECT repeat('x', 100000) FROM generate_series(1, 20)").await.unwrap();
        let is_encrypted = !more.contains("disable");
        let proof = format!(
            "SELECT 1 / (ssl = {is_encrypted})::int FROM pg_catalog.pg_stat_ssl WHERE pid = pg_backend_pid()"
        );
        frontend.simple(&proof).await.unwrap();
        let (cancel, watcher) = (frontend.cancel(), secure.server.session("postgres").await);
        let cancelled = async {
            let asleep = "SELECT FROM pg_stat_activity WHERE usename = 'joe' AND wait_event = 'PgSleep'";
            eventually("a sleep", async || watcher.query_opt(asleep, &[]).await.unwrap().is_some()).await;
            cancel.ask().await
        };
        let (slept, asked): (_, Result<(), PgError>) =
            tokio::join!(frontend.simple("SELECT pg_catalog.pg_sleep(600)"), cancelled);
        asked.unwrap();
        assert_eq!(slept.unwrap_err().sqlstate(), Some("57014"), "{more}");
        goes_on(&mut frontend).await;
        frontend.close().await;
        goes_with_its_process(&target, &watcher).await;
        watcher.close().await;
    }
}

/// A message of the server.
fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag][..], &i32::try_from(body.len() + 4).unwrap().to_be_bytes(), body].concat()
}

fn answered() -> Vec<u8> {
    [message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat()
}

/// A server that lets anybody in, ends its answer to the login's last question with `more`, says `answer` a moment
/// later, and answers every question after that.
async fn scripted(more: &[u8], answer: Vec<u8>) -> Frontend {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let ready = message(b'Z', b"I");
    let column = [&b"\0\x01version\0"[..], &[0; 18]].concat();
    let row = [&b"\0\x01\0\0\0\x06"[..], b"150018"].concat();
    let version = [message(b'T', &column), message(b'D', &row), message(b'C', b"SHOW\0"), ready.clone()];
    let script = [[message(b'R', &[0; 4]), ready].concat(), [&version.concat(), more].concat()];
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        for words in script {
            assert!(client.read(&mut [0; 1024]).unwrap() > 0);
            client.write_all(&words).unwrap();
        }
        std::thread::sleep(Duration::from_millis(50));
        client.write_all(&answer).unwrap();
        // Until the client has gone.
        while client.read(&mut [0; 1024]).is_ok_and(|count| count > 0) {
            drop(client.write_all(&answered()));
        }
    });
    Frontend::connect(&at(address.port()), "frontend").await.unwrap()
}

fn at(port: u16) -> Target {
    target_of(port, "disable")
}

fn target_of(port: u16, sslmode: &str) -> Target {
    let around = Surroundings { env: BTreeMap::new(), home: None, os_user: None, read: &crate::secure::read };
    let place = format!("host=127.0.0.1 port={port} user=joe dbname=db sslmode={sslmode}");
    target::resolve(Some(&Secret::new(place)), &around).unwrap().target
}

#[tokio::test]
async fn a_message_that_comes_in_parts_is_not_torn_by_the_login() {
    let notice = message(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mearly\0\0");
    // Nothing follows: whoever waits for more waits for ever. In a task of its own, for the time limit would wake this one.
    let connecting = tokio::spawn(async move { scripted(&notice[..9], notice[9..].to_vec()).await });
    let mut frontend = tokio::time::timeout(Duration::from_secs(20), connecting).await.unwrap().unwrap();
    frontend.simple("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn what_is_said_unasked_is_no_answer() {
    let news = [&[0; 4][..], &[b'x'; 40_000], &[0, 0]].concat();
    let notice = [&b"SLOG\0VLOG\0C00000\0M"[..], &[b'y'; 40_000], &[0, 0]].concat();
    let said = [message(b'A', &news), message(b'S', b"TimeZone\0UTC\0"), message(b'N', &notice)].concat();
    let mut frontend = scripted(&[], said).await;
    let (notices, mut told) = unbounded_channel();
    frontend.tell(notices);
    for _ in 0..3 {
        frontend.simple("SELECT 1").await.unwrap();
    }
    assert_eq!(told.try_recv().unwrap().len(), 40_000);
}

#[tokio::test]
async fn an_answer_that_is_none_ends_the_conversation() {
    for (answer, says) in [
        (b"Z\xff\xff\xff\xff".to_vec(), "no message of PostgreSQL"),
        (message(b'E', b"SFATAL\0C08P01\0Mpooler error\0\0"), "pooler error"),
        (message(b'Z', b"I"), "nobody has asked"),
        (answered().repeat(2), "nobody has asked"),
    ] {
        let mut frontend = scripted(&[], answer).await;
        // An answer that comes before its question may be taken for the answer, once.
        let mut asked = frontend.simple("SELECT 1").await;
        if asked.is_ok() {
            asked = frontend.simple("SELECT 1").await;
        }
        let refused = text(asked);
        assert!(refused.contains(says) && frontend.is_lost(), "{refused}");
    }
}

#[tokio::test]
async fn who_does_not_say_whether_it_speaks_tls_is_not_told_more() {
    for (answer, says) in [
        (message(b'E', b"VERROR\0\0"), "with an error"),
        (b"HTTP".to_vec(), "PostgreSQL?"),
        (vec![], "end of file"),
    ] {
        for sslmode in ["prefer", "require"] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let target = target_of(listener.local_addr().unwrap().port(), sslmode);
            let (answer, again) = (answer.clone(), listener.try_clone().unwrap());
            let server = std::thread::spawn(move || {
                let (mut client, _) = listener.accept().unwrap();
                let mut request = [0; 8];
                client.read_exact(&mut request).unwrap();
                client.write_all(&answer).unwrap();
                client.shutdown(std::net::Shutdown::Write).unwrap();
                let mut more = Vec::new();
                // What was sent is not all read by the client, which may end in a reset.
                drop(client.read_to_end(&mut more));
                more
            });
            let error = Frontend::connect(&target, "frontend").await.err().unwrap().to_string();
            assert!(error.contains("whether it speaks TLS") && error.contains(says), "{sslmode}: {error}");
            assert_eq!(server.join().unwrap(), b"", "{sslmode}");
            again.set_nonblocking(true).unwrap();
            assert!(again.accept().is_err(), "{sslmode}: it was asked once more");
        }
    }
}

#[tokio::test]
async fn a_request_to_cancel_is_never_less_encrypted_than_its_session() {
    let secure = Secure::start().await;
    let (listener, upstream) = (TcpListener::bind("127.0.0.1:0").unwrap(), (secure.address.clone(), 5432));
    let port = listener.local_addr().unwrap().port();
    let second = std::thread::spawn(move || {
        let ((near, _), far) = (listener.accept().unwrap(), TcpStream::connect(upstream).unwrap());
        for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        }
        let (mut client, _) = listener.accept().unwrap();
        client.read_exact(&mut [0; 8]).unwrap();
        client.write_all(b"N").unwrap();
        let mut more = Vec::new();
        drop(client.read_to_end(&mut more));
        more
    });
    let conninfo =
        format!("host=localhost hostaddr=127.0.0.1 port={port} dbname=postgres user=joe sslmode=prefer");
    let target = secure.target(&conninfo, &[("PGPASSWORD", PASSWORD)]);
    let mut frontend = Frontend::connect(&target, "frontend").await.unwrap();
    frontend
        .simple("SELECT 1 / ssl::int FROM pg_catalog.pg_stat_ssl WHERE pid = pg_backend_pid()")
        .await
        .unwrap();
    let refused = text(frontend.cancel().ask().await);
    assert!(refused.contains("does not speak TLS"), "{refused}");
    assert_eq!(second.join().unwrap(), b"");
}
