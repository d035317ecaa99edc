//! Opening a connection: hosts, addresses and encryption in libpq's order.

use std::net::IpAddr;

use tokio_postgres::config::{self, Config};
use tokio_postgres::{CancelToken, Client, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::failure::Failure;
use super::wire::Wire;
use crate::pg::error::{Doing as _, PgError};
use crate::pg::target::{ChannelBinding, Endpoint, SessionAttrs, SslMode, Target};
use crate::pg::tls;

/// A connection in its two halves.
pub(super) struct Opened {
    pub(super) client: Client,
    pub(super) wire: Wire,
    pub(super) encryption: Encryption,
}

/// How a connection is encrypted, and so its cancel requests.
#[derive(Clone)]
pub(super) enum Encryption {
    Plain,
    /// Where the server can, unless TLS is demanded.
    Tls(MakeRustlsConnect),
}

impl Encryption {
    pub(super) async fn cancel(&self, token: &CancelToken) -> Result<(), tokio_postgres::Error> {
        match self {
            Self::Plain => token.cancel_query(NoTls).await,
            Self::Tls(tls) => token.cancel_query(tls.clone()).await,
        }
    }
}

/// One way to talk to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Plain,
    /// Encrypted if the server says it can.
    Offered,
    Encrypted,
}

/// The ways in the order in which libpq tries them. There is no TLS on sockets.
fn attempts(endpoint: &Endpoint, mode: SslMode) -> &'static [Attempt] {
    match (endpoint, mode) {
        (Endpoint::Socket { .. }, _) | (_, SslMode::Disable) => &[Attempt::Plain],
        (_, SslMode::Allow) => &[Attempt::Plain, Attempt::Encrypted],
        (_, SslMode::Prefer) => &[Attempt::Offered, Attempt::Plain],
        (_, SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull) => &[Attempt::Encrypted],
    }
}

/// Connects to the first host that answers and suits. A host that answers with a refusal ends the search, as with
/// libpq: the next one would be asked the same with the same password.
pub(super) async fn open(target: &Target, purpose: &str) -> Result<Opened, PgError> {
    let mut failures = Vec::new();
    let question = || format!("ask {target} whether it suits target_session_attrs");
    for &wanted in passes(target.session) {
        for endpoint in &target.hosts {
            for address in addresses(endpoint, &mut failures).await {
                match reach(target, endpoint, address, purpose).await {
                    Ok(mut opened) => {
                        let suits = opened.wire.carry(suits(&opened.client, wanted)).await.doing(question)?;
                        if suits {
                            return Ok(opened);
                        }
                        failures.push(Failure::unsuitable(endpoint, wanted));
                    }
                    Err(failure) if failure.asks_next_host() => failures.push(failure),
                    Err(failure) => return Err(failure.into_error(target)),
                }
            }
        }
    }
    Err(Failure::all(failures, target))
}

/// What is asked of the hosts, round by round.
fn passes(session: SessionAttrs) -> &'static [SessionAttrs] {
    match session {
        SessionAttrs::Any => &[SessionAttrs::Any],
        SessionAttrs::ReadWrite => &[SessionAttrs::ReadWrite],
        SessionAttrs::ReadOnly => &[SessionAttrs::ReadOnly],
        SessionAttrs::Primary => &[SessionAttrs::Primary],
        SessionAttrs::Standby => &[SessionAttrs::Standby],
        SessionAttrs::PreferStandby => &[SessionAttrs::Standby, SessionAttrs::Any],
    }
}

/// The addresses of `endpoint`; a socket has one, which is none.
async fn addresses(endpoint: &Endpoint, failures: &mut Vec<Failure>) -> Vec<Option<IpAddr>> {
    match endpoint {
        Endpoint::Socket { .. } => vec![None],
        Endpoint::Tcp { addr: Some(addr), .. } => vec![Some(*addr)],
        Endpoint::Tcp { name, port, .. } => {
            match tokio::net::lookup_host((name.as_deref().unwrap_or_default(), *port)).await {
                Ok(found) => found.map(|address| Some(address.ip())).collect(),
                Err(error) => {
                    failures.push(Failure::unresolved(endpoint, &error));
                    Vec::new()
                }
            }
        }
    }
}

async fn reach(
    target: &Target,
    endpoint: &Endpoint,
    address: Option<IpAddr>,
    purpose: &str,
) -> Result<Opened, Failure> {
    let mut refused: Option<Failure> = None;
    for &attempt in attempts(endpoint, target.tls.mode) {
        match limited(target, endpoint, address, purpose, attempt).await {
            Ok(opened) => return Ok(opened),
            Err(failure) if failure.tries_other_encryption() => {
                refused = Some(match refused {
                    Some(first) => first.and(failure),
                    None => failure,
                });
            }
            Err(failure) => return Err(failure),
        }
    }
    Err(refused.unwrap_or_else(|| Failure::nowhere(endpoint)))
}

/// One attempt, within `connect_timeout`.
async fn limited(
    target: &Target,
    endpoint: &Endpoint,
    address: Option<IpAddr>,
    purpose: &str,
    attempt: Attempt,
) -> Result<Opened, Failure> {
    let config = config(target, endpoint, address, purpose, attempt);
    let connecting = connect(target, endpoint, &config, attempt);
    match target.connect_timeout {
        Some(limit) => match tokio::time::timeout(limit, connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(Failure::silent(endpoint, limit)),
        },
        None => connecting.await,
    }
}

async fn connect(
    target: &Target,
    endpoint: &Endpoint,
    config: &Config,
    attempt: Attempt,
) -> Result<Opened, Failure> {
    let failed = |error| Failure::of(target, endpoint, error);
    if attempt == Attempt::Plain {
        let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
        return Ok(Opened { client, wire: Wire::new(connection), encryption: Encryption::Plain });
    }
    if let (SslMode::VerifyFull, Endpoint::Tcp { name: None, .. }) = (target.tls.mode, endpoint) {
        return Err(Failure::tls(endpoint, "sslmode=verify-full needs a host's name beside its hostaddr"));
    }
    let tls = tls::connector(&target.tls).map_err(|why| Failure::tls(endpoint, why))?;
    let (client, connection) = config.connect(tls.clone()).await.map_err(failed)?;
    Ok(Opened { client, wire: Wire::new(connection), encryption: Encryption::Tls(tls) })
}

/// `NAMEDATALEN` less one: longer names are cut by the server.
const MOST_NAME_BYTES: usize = 63;

/// What a session for `purpose` is called, unless the user asked for another name; as much of it as the server keeps.
pub(super) fn application_name(target: &Target, purpose: &str) -> String {
    let ours = || format!("omtdb/{purpose}");
    let mut name = target.application_name.clone().unwrap_or_else(ours);
    while name.len() > MOST_NAME_BYTES {
        name.pop();
    }
    name
}

fn config(
    target: &Target,
    endpoint: &Endpoint,
    address: Option<IpAddr>,
    purpose: &str,
    attempt: Attempt,
) -> Config {
    let mut config = Config::new();
    config.user(&target.user).dbname(&target.dbname).port(endpoint.port());
    config.application_name(application_name(target, purpose));
    match (endpoint, address) {
        (Endpoint::Socket { dir, .. }, _) => config.host_path(dir),
        (Endpoint::Tcp { name: Some(name), .. }, Some(address)) => config.host(name).hostaddr(address),
        (Endpoint::Tcp { name: Some(name), .. }, None) => config.host(name),
        // The crate wants a name for TLS; what is verified of it is ours to say.
        (Endpoint::Tcp { name: None, .. }, Some(address)) => config.host(address.to_string()),
        (Endpoint::Tcp { name: None, .. }, None) => &mut config,
    };
    if let Some((password, _)) = target.password_for(endpoint) {
        config.password(password.expose());
    }
    if let Some(options) = &target.options {
        config.options(options);
    }
    encrypt(&mut config, target, attempt);
    keep_alive(&mut config, target);
    config
}

fn encrypt(config: &mut Config, target: &Target, attempt: Attempt) {
    config.ssl_mode(match attempt {
        Attempt::Plain => config::SslMode::Disable,
        Attempt::Offered => config::SslMode::Prefer,
        Attempt::Encrypted => config::SslMode::Require,
    });
    if target.tls.direct {
        config.ssl_negotiation(config::SslNegotiation::Direct);
    }
    config.channel_binding(match target.channel_binding {
        ChannelBinding::Disable => config::ChannelBinding::Disable,
        ChannelBinding::Prefer => config::ChannelBinding::Prefer,
        ChannelBinding::Require => config::ChannelBinding::Require,
    });
}

fn keep_alive(config: &mut Config, target: &Target) {
    let keepalive = &target.keepalive;
    config.keepalives(!keepalive.off);
    if let Some(idle) = keepalive.idle {
        config.keepalives_idle(idle);
    }
    if let Some(interval) = keepalive.interval {
        config.keepalives_interval(interval);
    }
    if let Some(count) = keepalive.count {
        config.keepalives_retries(count);
    }
    if let Some(timeout) = keepalive.user_timeout {
        config.tcp_user_timeout(timeout);
    }
}

/// Whether the server is one of those asked for.
async fn suits(client: &Client, wanted: SessionAttrs) -> Result<bool, PgError> {
    if wanted == SessionAttrs::Any {
        return Ok(true);
    }
    let row = client.query_one(include_str!("session_attrs.sql"), &[]).await?;
    let (in_recovery, read_only): (bool, bool) = (row.try_get("in_recovery")?, row.try_get("read_only")?);
    Ok(match wanted {
        SessionAttrs::Any | SessionAttrs::PreferStandby => true,
        SessionAttrs::ReadWrite => !read_only,
        SessionAttrs::ReadOnly => read_only,
        SessionAttrs::Primary => !in_recovery,
        SessionAttrs::Standby => in_recovery,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encryption_is_tried_in_libpqs_order() {
        use Attempt::{Encrypted, Offered, Plain};
        let tcp = Endpoint::Tcp { name: Some("db".to_owned()), addr: None, port: 5432 };
        let socket = Endpoint::Socket { dir: "/tmp".into(), port: 5432 };
        for (mode, expected) in [
            (SslMode::Disable, &[Plain][..]),
            (SslMode::Allow, &[Plain, Encrypted]),
            (SslMode::Prefer, &[Offered, Plain]),
            (SslMode::Require, &[Encrypted]),
            (SslMode::VerifyCa, &[Encrypted]),
            (SslMode::VerifyFull, &[Encrypted]),
        ] {
            assert_eq!(attempts(&tcp, mode), expected, "{mode:?}");
            assert_eq!(attempts(&socket, mode), [Plain], "{mode:?}");
        }
    }
}
