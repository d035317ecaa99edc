//! Encryption: each of libpq's modes, where it works and where it must not.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use omtdb::pg::Session;

use crate::harness::eventually;
use crate::secure::{Authority, PASSWORD, Secure, self_signed};

#[track_caller]
fn refused(outcome: Result<bool, String>, says: &[&str]) {
    let error = outcome.expect_err("there must be no session");
    for part in says {
        assert!(error.contains(part), "{part:?} is missing in: {error}");
        assert_eq!(error.matches(part).count(), 1, "{part:?} is said more than once in: {error}");
    }
    assert!(!error.contains(PASSWORD), "{error}");
}

#[tokio::test]
async fn each_mode_encrypts_what_it_promises() {
    let secure = Secure::start().await;
    let ca = format!("sslrootcert={}", secure.home.join("ca.crt").display());
    for (role, mode, encrypted) in [
        ("joe", "disable", false),
        ("joe", "allow", false),
        ("joe", "prefer", true),
        ("joe", "require", true),
        ("enc", "allow", true),
        ("enc", "prefer", true),
        ("plain", "allow", false),
        ("plain", "prefer", false),
    ] {
        assert_eq!(secure.encrypts(role, &format!("sslmode={mode}")).await, Ok(encrypted), "{role} {mode}");
    }
    for mode in ["require", "verify-ca", "verify-full"] {
        assert_eq!(secure.encrypts("enc", &format!("sslmode={mode} {ca}")).await, Ok(true), "{mode}");
    }
    let by_address = format!("host={} sslmode=verify-full {ca}", secure.address);
    assert_eq!(secure.encrypts("enc", &by_address).await, Ok(true));
    refused(secure.encrypts("enc", "sslmode=disable").await, &["28000", "no encryption", "sslmode=disable"]);
    refused(secure.encrypts("plain", "sslmode=require").await, &["28000", "pg_hba.conf says"]);
    refused(secure.encrypts("joe", "sslmode=verify-ca").await, &["root.crt", "sslrootcert=system"]);
    let nameless = format!("host='' sslmode=verify-full {ca}");
    refused(secure.encrypts("joe", &nameless).await, &["needs a host's name"]);
}

#[tokio::test]
async fn an_unknown_authority_is_refused_where_anything_is_verified() {
    let secure = Secure::start().await;
    let other = secure.write("other.crt", &self_signed("other").cert);
    for mode in ["require", "verify-ca", "verify-full"] {
        let outcome = secure.encrypts("joe", &format!("sslmode={mode} sslrootcert={other}")).await;
        refused(outcome, &[&format!("sslmode={mode}"), "not signed by an authority", &other]);
    }
    // As libpq: a handshake that fails is followed by plain text where that is allowed.
    assert_eq!(secure.encrypts("joe", &format!("sslmode=prefer sslrootcert={other}")).await, Ok(false));
    let both = secure.encrypts("enc", &format!("sslmode=prefer sslrootcert={other}")).await;
    refused(both, &["not signed by an authority", "without encryption", "28000"]);
    secure.write(".postgresql/root.crt", &self_signed("other").cert);
    refused(
        secure.encrypts("joe", "sslmode=require").await,
        &["not signed by an authority", ".postgresql/root.crt"],
    );
    let garbage = secure.write("garbage.crt", "garbage");
    refused(
        secure.encrypts("joe", &format!("sslmode=verify-ca sslrootcert={garbage}")).await,
        &[&garbage, "PEM"],
    );
}

#[tokio::test]
async fn only_verify_full_asks_for_the_name() {
    let secure = Secure::start().await;
    let ca = format!("sslrootcert={}", secure.home.join("ca.crt").display());
    secure.present(&secure.authority.sign("server", &["elsewhere.example"]));
    assert_eq!(secure.encrypts("joe", &format!("sslmode=verify-ca {ca}")).await, Ok(true));
    assert_eq!(secure.encrypts("joe", &format!("sslmode=require {ca}")).await, Ok(true));
    let outcome = secure.encrypts("joe", &format!("sslmode=verify-full {ca}")).await;
    refused(outcome, &["sslmode=verify-full", "elsewhere.example", "not for localhost"]);
    secure.present(&secure.authority.sign("localhost", &[]));
    let outcome = secure.encrypts("joe", &format!("sslmode=verify-full {ca}")).await;
    refused(outcome, &["subjectAltName"]);
}

#[tokio::test]
async fn a_server_may_sign_for_itself_when_the_user_knows_its_certificate() {
    let secure = Secure::start().await;
    let (known, stranger) = (self_signed("localhost"), self_signed("localhost"));
    secure.present(&known);
    let with = |file: &str, mode: &str| format!("sslmode={mode} sslrootcert={file}");
    let known = secure.write("known.crt", &known.cert);
    let stranger = secure.write("stranger.crt", &stranger.cert);
    assert_eq!(secure.encrypts("joe", &with(&known, "verify-ca")).await, Ok(true));
    assert_eq!(secure.encrypts("joe", &with(&known, "verify-full")).await, Ok(true));
    assert!(secure.encrypts("joe", &with(&stranger, "verify-ca")).await.is_err());
    let by_address = format!("host={} {}", secure.address, with(&known, "verify-full"));
    assert!(secure.encrypts("joe", &by_address).await.is_err(), "the name still counts");
}

#[tokio::test]
async fn a_revoked_certificate_is_refused() {
    let secure = Secure::start().await;
    let ca = secure.home.join("ca.crt").display().to_string();
    let revoked = secure.write("revoked.crl", &secure.authority.revoke(Authority::SERIAL));
    let others = secure.write("others.crl", &secure.authority.revoke(Authority::OTHER_SERIAL));
    let with = |list: &str| format!("sslmode=verify-full sslrootcert={ca} sslcrl={list}");
    assert_eq!(secure.encrypts("joe", &with(&others)).await, Ok(true));
    assert_eq!(secure.encrypts("joe", &with("/nonexistent")).await, Ok(true), "as libpq, without a list");
    refused(secure.encrypts("joe", &with(&revoked)).await, &["fails sslmode=verify-full"]);
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_demanded() {
    let secure = Secure::without_tls().await;
    for mode in ["disable", "allow", "prefer"] {
        assert_eq!(secure.encrypts("joe", &format!("sslmode={mode}")).await, Ok(false), "{mode}");
    }
    let ca = format!("sslrootcert={}", secure.home.join("ca.crt").display());
    for mode in ["require", "verify-ca", "verify-full"] {
        let outcome = secure.encrypts("joe", &format!("sslmode={mode} {ca}")).await;
        refused(outcome, &["does not speak TLS", &format!("sslmode={mode}")]);
    }
}

#[tokio::test]
async fn a_client_is_known_by_its_certificate() {
    let secure = Secure::start().await;
    refused(secure.encrypts("certified", "sslmode=require").await, &["28000"]);
    let leaf = secure.authority.sign("certified", &[]);
    let (cert, key) = (secure.write("c.crt", &leaf.cert), secure.write("c.key", &leaf.key));
    let with = format!("sslmode=require sslcert={cert} sslkey={key}");
    assert_eq!(secure.encrypts("certified", &with).await, Ok(true));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    refused(secure.encrypts("certified", &with).await, &["others may use", "chmod 0600"]);
    fs::remove_file(&key).unwrap();
    refused(secure.encrypts("certified", &with).await, &["cannot be read"]);
    secure.write(".postgresql/postgresql.crt", &leaf.cert);
    secure.write(".postgresql/postgresql.key", &leaf.key);
    assert_eq!(secure.encrypts("certified", "sslmode=require").await, Ok(true), "found at home");
    refused(secure.encrypts("certified", "sslmode=require sslcertmode=disable").await, &["28000"]);
}

#[tokio::test]
async fn options_of_the_handshake_are_kept() {
    let secure = Secure::start().await;
    for (more, version) in
        [("ssl_max_protocol_version=TLSv1.2", "TLSv1.2"), ("", "TLSv1.3"), ("sslsni=0", "TLSv1.3")]
    {
        let session = secure.connect("joe", &format!("sslmode=require {more}")).await.unwrap();
        let own = "SELECT version FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid()";
        let found: String = session.query_one(own, &[]).await.unwrap().get(0);
        assert_eq!(found, version, "{more}");
    }
    assert_eq!(secure.encrypts("joe", "sslmode=require channel_binding=require").await, Ok(true));
    refused(secure.encrypts("joe", "sslmode=disable channel_binding=require").await, &["channel binding"]);
    let direct = secure.encrypts("joe", "sslmode=require sslnegotiation=direct").await;
    assert_eq!(direct.is_ok(), secure.server.cluster().programs().version().major() >= 17, "{direct:?}");
}

#[tokio::test]
async fn a_statement_is_cancelled_over_any_kind_of_connection() {
    let secure = Secure::start().await;
    let ca = format!("sslrootcert={}", secure.home.join("ca.crt").display());
    for more in ["sslmode=disable".to_owned(), format!("sslmode=verify-full {ca}")] {
        let session = secure.connect("joe", &more).await.unwrap();
        let watcher = secure.server.session("postgres").await;
        let (slept, cancelled) = tokio::join!(
            session.batch_execute("SELECT pg_catalog.pg_sleep(600)"),
            cancel_once_asleep(&session, &watcher)
        );
        cancelled.unwrap();
        assert_eq!(slept.unwrap_err().code().unwrap().code(), "57014", "{more}");
    }
}

async fn cancel_once_asleep(session: &Session, watcher: &Session) -> Result<(), omtdb::pg::PgError> {
    let asleep = "SELECT FROM pg_catalog.pg_stat_activity WHERE usename = 'joe' AND wait_event = 'PgSleep'";
    eventually("a sleep", async || watcher.query_opt(asleep, &[]).await.unwrap().is_some()).await;
    session.cancel().await
}
