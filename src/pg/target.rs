//! Which server, as whom: libpq's rules.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Where to connect and as whom. Resolved once; never printed with its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Hosts in the order in which they are tried.
    pub hosts: Vec<Endpoint>,
    /// Role.
    pub user: String,
    /// Database.
    pub dbname: String,
    /// Password, from wherever libpq's rules found one.
    pub password: Option<Secret>,
    /// How much encryption is asked for, and how much of it is verified.
    pub sslmode: SslMode,
    /// Certificates of the authorities that may sign the server's; `None` is the default file, where it exists.
    pub sslrootcert: Option<PathBuf>,
    /// The client's certificate.
    pub sslcert: Option<PathBuf>,
    /// The client's key.
    pub sslkey: Option<PathBuf>,
    /// `PGOPTIONS`: command-line options for the session's backend.
    pub options: Option<String>,
    /// `application_name` asked for by the user; omtdb's own otherwise.
    pub application_name: Option<String>,
    /// How long one attempt to connect may take; `None` waits as long as the system does.
    pub connect_timeout: Option<Duration>,
}

/// One address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A directory that holds the socket `.s.PGSQL.<port>`.
    Socket {
        /// The directory.
        dir: PathBuf,
        /// The port in the socket's name.
        port: u16,
    },
    /// A name or address, and a port.
    Tcp {
        /// Name that is resolved and that a certificate must carry.
        host: String,
        /// Port.
        port: u16,
    },
}

/// `sslmode`, with libpq's meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// Never encrypt.
    Disable,
    /// Encrypt only when the server refuses plain text.
    Allow,
    /// Encrypt when the server can.
    Prefer,
    /// Always encrypt; verify the authority when a root certificate file exists.
    Require,
    /// Always encrypt; the certificate must be signed by a known authority.
    VerifyCa,
    /// As `VerifyCa`, and the certificate must carry the host's name.
    VerifyFull,
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("********")
    }
}

impl Target {
    /// A server on this machine, reached through the socket in `dir`, without a password.
    #[must_use]
    pub fn socket(dir: impl Into<PathBuf>, port: u16, user: &str, dbname: &str) -> Self {
        Self {
            hosts: vec![Endpoint::Socket { dir: dir.into(), port }],
            user: user.to_owned(),
            dbname: dbname.to_owned(),
            password: None,
            sslmode: SslMode::Disable,
            sslrootcert: None,
            sslcert: None,
            sslkey: None,
            options: None,
            application_name: None,
            connect_timeout: Some(Duration::from_secs(10)),
        }
    }

    /// The same server and role, another database.
    #[must_use]
    pub fn with_dbname(&self, dbname: &str) -> Self {
        Self { dbname: dbname.to_owned(), ..self.clone() }
    }
}

/// `user@host:port/dbname`, for messages; no password.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places: Vec<String> = self.hosts.iter().map(Endpoint::to_string).collect();
        write!(f, "{}@{}/{}", self.user, places.join(","), self.dbname)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket { dir, port } => write!(f, "{}/.s.PGSQL.{port}", dir.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
        }
    }
}
