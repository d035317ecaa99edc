//! Opening a connection: hosts, addresses and encryption in libpq's order.

use std::net::IpAddr;

use tokio_postgres::Client;
use tokio_postgres::config::{self, Config};

use super::failure::Failure;
use super::road::{Encryption, Place, Road};
use super::tap::{Settled, Tap};
use super::wire::Wire;
use crate::pg::error::{Doing as _, PgError};
use crate::pg::target::{ChannelBinding, Endpoint, SessionAttrs, SslMode, Target};
use crate::pg::tls;

/// A connection in its two halves, and how it was made.
pub(super) struct Opened {
    pub(super) client: Client,
    pub(super) wire: Wire,
    pub(super) road: Road,
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
    let connecting = connect(target, endpoint, address, purpose, attempt);
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
    address: Option<IpAddr>,
    purpose: &str,
    attempt: Attempt,
) -> Result<Opened, Failure> {
    let place = place(endpoint, address).ok_or_else(|| Failure::nowhere(endpoint))?;
    let encryption = encryption(target, endpoint, address, attempt);
    let encryption = encryption.map_err(|why| Failure::tls(endpoint, why))?;
    let road = Road { place, keepalive: target.keepalive.clone(), encryption };
    let stream = road.open().await.map_err(|blocked| Failure::blocked(target, endpoint, blocked))?;
    let (road, tap) = (road.again(&*stream), Tap::new(stream));
    match config(target, endpoint, purpose).connect_raw(tap.clone(), Settled).await {
        Ok((client, connection)) => Ok(Opened { client, wire: Wire::new(connection, tap), road }),
        Err(error) => Err(Failure::of(target, endpoint, error)),
    }
}

fn place(endpoint: &Endpoint, address: Option<IpAddr>) -> Option<Place> {
    match endpoint {
        Endpoint::Socket { dir, port } => Some(Place::Socket(dir.join(format!(".s.PGSQL.{port}")))),
        Endpoint::Tcp { port, .. } => Some(Place::Tcp((address?, *port).into())),
    }
}

fn encryption(
    target: &Target,
    endpoint: &Endpoint,
    address: Option<IpAddr>,
    attempt: Attempt,
) -> Result<Option<Encryption>, String> {
    let is_demanded = match attempt {
        Attempt::Plain => return Ok(None),
        Attempt::Offered => false,
        Attempt::Encrypted => true,
    };
    let name = match endpoint {
        Endpoint::Tcp { name: Some(name), .. } => name.clone(),
        _ if target.tls.mode == SslMode::VerifyFull => {
            return Err("sslmode=verify-full needs a host's name beside its hostaddr".to_owned());
        }
        // rustls wants a name; what is verified of it is ours to say.
        _ => address.map(|address| address.to_string()).unwrap_or_default(),
    };
    let tls = tls::connector(&target.tls)?;
    Ok(Some(Encryption { tls, name, is_direct: target.tls.direct, is_demanded }))
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

/// What the library is told of a session on a stream of ours.
fn config(target: &Target, endpoint: &Endpoint, purpose: &str) -> Config {
    let mut config = Config::new();
    config.user(&target.user).dbname(&target.dbname);
    config.application_name(application_name(target, purpose));
    if let Some((password, _)) = target.password_for(endpoint) {
        config.password(password.expose());
    }
    if let Some(options) = &target.options {
        config.options(options);
    }
    // It asks the stream what to bind the password exchange to, and the server for nothing.
    config.ssl_mode(config::SslMode::Require).ssl_negotiation(config::SslNegotiation::Direct);
    config.channel_binding(match target.channel_binding {
        ChannelBinding::Disable => config::ChannelBinding::Disable,
        ChannelBinding::Prefer => config::ChannelBinding::Prefer,
        ChannelBinding::Require => config::ChannelBinding::Require,
    });
    config
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
