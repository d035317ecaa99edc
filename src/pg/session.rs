//! A conversation with PostgreSQL. Nothing else in omtdb opens a connection.

mod connect;
mod failure;
mod framing;
mod frontend;
mod notice;
mod road;
mod said;
mod tap;
mod wire;

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::{CancelToken, Client, SimpleQueryMessage};

pub use self::frontend::Frontend;
use self::road::Road;
use self::tap::{Settled, Tap};
use self::wire::{Wire, closed};
use super::error::{Doing as _, PgError, Result};
use super::target::Target;
use super::version::ServerVersion;

/// One connection, named after what it does. Dropping it ends the conversation; a statement
/// under way on the server goes on unless it is cancelled first ([`Session::cancel`]).
pub struct Session {
    client: Client,
    /// The task that moves its bytes.
    driver: JoinHandle<()>,
    cancel: Cancel,
    version: ServerVersion,
}

impl Session {
    /// Connects; `purpose` stands in `application_name` as `omtdb/<purpose>` unless the user asked for another name.
    ///
    /// # Errors
    /// When no host answers, the server refuses, or its version is not supported.
    pub async fn connect(target: &Target, purpose: &str) -> Result<Self> {
        let Greeted { client, wire, cancel, version } = greet(target, purpose).await?;
        Ok(Self { client, driver: wire.spawn(), cancel, version })
    }

    /// What a session for `purpose` is called in `pg_stat_activity`.
    #[must_use]
    pub fn name(target: &Target, purpose: &str) -> String {
        connect::application_name(target, purpose)
    }

    /// The server's version.
    #[must_use]
    pub fn version(&self) -> ServerVersion {
        self.version
    }

    /// Limits statements and lock waits of this session from now on; zero is no limit.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn limit(&self, statement: Duration, lock: Duration) -> Result<()> {
        let sql =
            format!("SET statement_timeout = {}; SET lock_timeout = {}", whole_ms(statement), whole_ms(lock));
        self.client.batch_execute(&sql).await.doing(|| "set the session's timeouts".to_owned())
    }

    /// Asks the server to stop the statement under way, over a connection encrypted as this one is.
    ///
    /// # Errors
    /// When the request cannot be sent.
    pub async fn cancel(&self) -> Result<()> {
        self.cancel.ask().await
    }

    /// Ends the conversation and waits until it is over.
    pub async fn close(self) {
        drop(self.client);
        // The driver ends by itself once the client is gone; it has nothing left to say.
        drop(self.driver.await);
    }
}

/// Asks a server to end what one of its sessions does.
#[derive(Clone)]
pub struct Cancel {
    token: CancelToken,
    road: Road,
}

impl Cancel {
    /// As [`Session::cancel`].
    ///
    /// # Errors
    /// As [`Session::cancel`].
    pub async fn ask(&self) -> Result<()> {
        let doing = || "cancel the statement under way".to_owned();
        let stream =
            self.road.open().await.map_err(|why| PgError::broken("", why.to_string())).doing(doing)?;
        let tap = Tap::new(stream);
        self.token.cancel_query_raw(tap.clone(), Settled).await.doing(doing)?;
        // The server closes it once the session has been told, as libpq waits for too: later it would be the next statement
        // that ends.
        if let Some(stream) = tap.into_stream() {
            closed(stream).await;
        }
        Ok(())
    }
}

/// A conversation that has begun.
struct Greeted {
    client: Client,
    wire: Wire,
    cancel: Cancel,
    version: ServerVersion,
}

/// Connects to a server that we know how to work with.
async fn greet(target: &Target, purpose: &str) -> Result<Greeted> {
    let connect::Opened { client, mut wire, road } = connect::open(target, purpose).await?;
    let version = wire.carry(version_of(&client)).await;
    let version = version.doing(|| format!("read the version of {target}"))?;
    if !version.is_supported() {
        return Err(PgError::broken(
            format!("connect to {target}"),
            format!(
                "the server is PostgreSQL {version}; omtdb works with {} to {}",
                ServerVersion::OLDEST,
                ServerVersion::NEWEST
            ),
        ));
    }
    let cancel = Cancel { token: client.cancel_token(), road };
    Ok(Greeted { client, wire, cancel, version })
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

/// Milliseconds as the server counts them; less than one is one, as none would be no limit.
fn whole_ms(limit: Duration) -> u128 {
    limit.as_micros().div_ceil(1000)
}

/// By the simple protocol, which needs no prepared statement: a pooler may give each message another server.
async fn version_of(client: &Client) -> Result<ServerVersion> {
    let messages = client.simple_query("SHOW server_version_num").await?;
    let number = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    });
    number.map(ServerVersion).ok_or_else(|| PgError::broken("read the version", "the server told none"))
}
