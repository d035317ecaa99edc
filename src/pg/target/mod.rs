//! Which server, as whom: libpq's rules.
//!
//! [`resolve`] turns a connection string, the environment and libpq's files into a [`Target`]. It is pure: it is handed
//! a snapshot of its [`Surroundings`] and a way to read files.

mod conninfo;
mod keywords;
mod passfile;
mod resolve;
mod service;
mod settings;
#[cfg(test)]
mod tests;
mod variables;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use conninfo::holds_secret;
pub use passfile::PassFile;
pub use resolve::{ConfigFile, Resolved, Surroundings, resolve};

/// Directories in which a server's socket is looked for when no host is given: Debian's default and PostgreSQL's own.
pub const SOCKET_DIRS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// Where to connect and as whom. Resolved once; never printed with its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Hosts in the order in which they are tried.
    pub hosts: Vec<Endpoint>,
    /// Role.
    pub user: String,
    /// Who named the role.
    pub user_from: Source,
    /// Database.
    pub dbname: String,
    /// Who named the database.
    pub dbname_from: Source,
    /// Where the password is, if anywhere.
    pub password: Password,
    /// Encryption.
    pub tls: Tls,
    /// Whether the password exchange is bound to the encrypted channel.
    pub channel_binding: ChannelBinding,
    /// Which of several servers will do.
    pub session: SessionAttrs,
    /// Signs of life on idle connections.
    pub keepalive: Keepalive,
    /// Command-line options for the session's backend.
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
    /// A server reached by TCP.
    Tcp {
        /// Its name: what a certificate must carry, and what is resolved unless there is an address.
        name: Option<String>,
        /// Its address (`hostaddr`).
        addr: Option<IpAddr>,
        /// Port.
        port: u16,
    },
}

/// Where a setting came from, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The connection string of the command line.
    Url,
    /// The connection string in `DATABASE_URL`.
    DatabaseUrl,
    /// Another environment variable.
    Variable(&'static str),
    /// A section of a service file.
    Service {
        /// The section.
        name: String,
        /// The file.
        file: PathBuf,
    },
    /// The operating system's name of the user.
    OsUser,
    /// The role's name, which is the database's default.
    User,
    /// omtdb itself, which made the server.
    Own,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => f.write_str("--url"),
            Self::DatabaseUrl => f.write_str("DATABASE_URL"),
            Self::Variable(name) => f.write_str(name),
            Self::Service { name, file } => write!(f, "service {name:?} in {}", file.display()),
            Self::OsUser => f.write_str("the operating system, as none was named"),
            Self::User => f.write_str("the role, as none was named"),
            Self::Own => f.write_str("omtdb"),
        }
    }
}

/// Where a password is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Password {
    /// Nowhere.
    None,
    /// The same for every host.
    Given {
        /// The password.
        secret: Secret,
        /// Who gave it.
        from: Source,
    },
    /// In a file, by host, port, database and role.
    File(PassFile),
}

/// How a session is encrypted, and what is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// `sslmode`.
    pub mode: SslMode,
    /// TLS from the first byte, without asking the server first (`sslnegotiation=direct`, PostgreSQL 17).
    pub direct: bool,
    /// Who may sign the server's certificate.
    pub roots: Roots,
    /// Revoked certificates, where the file exists.
    pub crl: Option<PathBuf>,
    /// The client's certificate, where the file exists.
    pub cert: Option<PathBuf>,
    /// The key of the client's certificate.
    pub key: Option<PathBuf>,
    /// Whether the host's name is sent in the clear for proxies to see.
    pub sni: bool,
    /// Oldest version of TLS.
    pub oldest: TlsVersion,
    /// Newest version of TLS.
    pub newest: TlsVersion,
}

/// Authorities that may sign the server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// Those in a file. Nothing is verified when it does not exist, unless the mode demands verification.
    File(PathBuf),
    /// Those the operating system trusts.
    System,
    /// None are named and there is no home directory to look in.
    Unknown,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// 1.2.
    V12,
    /// 1.3.
    V13,
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

impl SslMode {
    /// As it stands in connection strings.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// `channel_binding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// Where the server can.
    Prefer,
    /// Always.
    Require,
}

/// `target_session_attrs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionAttrs {
    /// Any server.
    Any,
    /// One whose sessions may write.
    ReadWrite,
    /// One whose sessions may not write.
    ReadOnly,
    /// One that is not in recovery.
    Primary,
    /// One in recovery.
    Standby,
    /// One in recovery if there is any.
    PreferStandby,
}

/// Signs of life on idle TCP connections; `None` is the system's default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keepalive {
    /// None at all.
    pub off: bool,
    /// Silence before the first.
    pub idle: Option<Duration>,
    /// Time between two.
    pub interval: Option<Duration>,
    /// How many may stay unanswered.
    pub count: Option<u32>,
    /// How long sent data may stay unacknowledged.
    pub user_timeout: Option<Duration>,
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

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
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
            user_from: Source::Own,
            dbname: dbname.to_owned(),
            dbname_from: Source::Own,
            password: Password::None,
            tls: Tls::off(),
            channel_binding: ChannelBinding::Prefer,
            session: SessionAttrs::Any,
            keepalive: Keepalive::default(),
            options: None,
            application_name: None,
            connect_timeout: Some(Duration::from_secs(10)),
        }
    }

    /// The same server and role, another database. A password file is asked again, for that database.
    #[must_use]
    pub fn with_dbname(&self, dbname: &str) -> Self {
        Self { dbname: dbname.to_owned(), dbname_from: Source::Own, ..self.clone() }
    }

    /// The password for `endpoint`, and where it stands.
    #[must_use]
    pub fn password_for(&self, endpoint: &Endpoint) -> Option<(&Secret, String)> {
        match &self.password {
            Password::None => None,
            Password::Given { secret, from } => Some((secret, from.to_string())),
            Password::File(file) => {
                file.find(&endpoint.name_in_passfile(), endpoint.port(), &self.dbname, &self.user)
            }
        }
    }
}

impl Tls {
    /// No encryption.
    #[must_use]
    pub fn off() -> Self {
        Self {
            mode: SslMode::Disable,
            direct: false,
            roots: Roots::Unknown,
            crl: None,
            cert: None,
            key: None,
            sni: true,
            oldest: TlsVersion::V12,
            newest: TlsVersion::V13,
        }
    }
}

impl Endpoint {
    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::Socket { port, .. } | Self::Tcp { port, .. } => *port,
        }
    }

    /// What its lines in a password file begin with: sockets in a default directory are `localhost`.
    fn name_in_passfile(&self) -> String {
        match self {
            Self::Socket { dir, .. } if SOCKET_DIRS.iter().any(|known| dir == Path::new(known)) => {
                "localhost".to_owned()
            }
            Self::Socket { dir, .. } => dir.display().to_string(),
            Self::Tcp { name, addr, .. } => {
                name.clone().or_else(|| addr.map(|addr| addr.to_string())).unwrap_or_default()
            }
        }
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
            Self::Tcp { port, .. } => match self.name_in_passfile() {
                host if host.contains(':') => write!(f, "[{host}]:{port}"),
                host => write!(f, "{host}:{port}"),
            },
        }
    }
}
