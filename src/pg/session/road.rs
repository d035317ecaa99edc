//! The way to one address of a server, for a session and for the requests to cancel its statements.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream as _};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::pg::target::Keepalive;

/// What the crate does not name.
type Encrypted = <MakeRustlsConnect as MakeTlsConnect<Box<dyn Stream>>>::Stream;

/// What carries a conversation.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {
    /// What a password exchange can be bound to; none without encryption.
    fn binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }

    fn is_encrypted(&self) -> bool {
        false
    }
}

impl Stream for UnixStream {}
impl Stream for TcpStream {}
impl Stream for Encrypted {
    fn binding(&self) -> ChannelBinding {
        self.channel_binding()
    }

    fn is_encrypted(&self) -> bool {
        true
    }
}

/// An address, and how to speak to it.
#[derive(Clone)]
pub(super) struct Road {
    pub(super) place: Place,
    pub(super) keepalive: Keepalive,
    /// `None` is none.
    pub(super) encryption: Option<Encryption>,
}

#[derive(Debug, Clone)]
pub(super) enum Place {
    Socket(PathBuf),
    Tcp(SocketAddr),
}

#[derive(Clone)]
pub(super) struct Encryption {
    pub(super) tls: MakeRustlsConnect,
    /// What the server is called, for its certificate.
    pub(super) name: String,
    /// Whether TLS begins at once (`sslnegotiation=direct`).
    pub(super) is_direct: bool,
    /// Whether a server that cannot will not do.
    pub(super) is_demanded: bool,
}

/// Why an address was not reached.
#[derive(Debug)]
pub(super) enum Blocked {
    /// Nobody answered.
    Unreachable(io::Error),
    /// It was reached and did not say whether it speaks TLS.
    Broken(io::Error),
    /// The server does not speak TLS.
    Plain,
    /// Encryption could not begin.
    Handshake(io::Error),
}

impl std::fmt::Display for Blocked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "no connection: {why}"),
            Self::Broken(why) => write!(f, "the server does not say whether it speaks TLS: {why}"),
            Self::Plain => f.write_str("the server does not speak TLS"),
            Self::Handshake(why) => write!(f, "no encryption: {why}"),
        }
    }
}

impl Road {
    /// Opens a connection, encrypted as it will be.
    pub(super) async fn open(&self) -> Result<Box<dyn Stream>, Blocked> {
        let stream = self.dial().await.map_err(Blocked::Unreachable)?;
        match &self.encryption {
            Some(encryption) => encryption.begin(stream).await,
            None => Ok(stream),
        }
    }

    /// The same for the requests to cancel what runs over `stream`, which are encrypted if it is.
    pub(super) fn again(mut self, stream: &dyn Stream) -> Self {
        if let Some(encryption) = &mut self.encryption {
            encryption.is_demanded |= stream.is_encrypted();
        }
        self
    }

    async fn dial(&self) -> io::Result<Box<dyn Stream>> {
        match &self.place {
            Place::Socket(path) => Ok(Box::new(UnixStream::connect(path).await?)),
            Place::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                keep_alive(&SockRef::from(&stream), &self.keepalive)?;
                Ok(Box::new(stream))
            }
        }
    }
}

/// What is not said is left to the system, as libpq does.
fn keep_alive(socket: &SockRef<'_>, keepalive: &Keepalive) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if keepalive.user_timeout.is_some() {
        socket.set_tcp_user_timeout(keepalive.user_timeout)?;
    }
    if keepalive.off {
        return Ok(());
    }
    let mut asked = TcpKeepalive::new();
    if let Some(idle) = keepalive.idle {
        asked = asked.with_time(idle);
    }
    if let Some(interval) = keepalive.interval {
        asked = asked.with_interval(interval);
    }
    if let Some(count) = keepalive.count {
        asked = asked.with_retries(count);
    }
    socket.set_tcp_keepalive(&asked)
}

impl Encryption {
    /// Asks the server for TLS, and begins it if it agrees.
    async fn begin(&self, mut stream: Box<dyn Stream>) -> Result<Box<dyn Stream>, Blocked> {
        if !self.is_direct && !agrees(&mut stream).await.map_err(Blocked::Broken)? {
            return if self.is_demanded { Err(Blocked::Plain) } else { Ok(stream) };
        }
        let Ok(connector) =
            MakeTlsConnect::<Box<dyn Stream>>::make_tls_connect(&mut self.tls.clone(), &self.name);
        Ok(Box::new(connector.connect(stream).await.map_err(Blocked::Handshake)?))
    }
}

/// Whether the server at the other end of `stream` says that it speaks TLS. No more than its one byte is read, so that
/// nothing that somebody slipped in before the handshake is taken for a part of what follows.
async fn agrees(stream: &mut Box<dyn Stream>) -> io::Result<bool> {
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    stream.write_all(&request).await?;
    match stream.read_u8().await? {
        b'S' => Ok(true),
        b'N' => Ok(false),
        // https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL: what follows cannot be trusted.
        b'E' => Err(io::Error::other("it answers with an error")),
        _ => Err(io::Error::other("is it PostgreSQL?")),
    }
}
