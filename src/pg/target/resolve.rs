//! From a connection string, the environment and libpq's files to a [`Target`].

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::settings::{Result, Settings, wrong};
use super::{
    ChannelBinding, Endpoint, Keepalive, PassFile, Password, Roots, SOCKET_DIRS, Secret, SessionAttrs,
    Source, SslMode, Target, Tls, TlsVersion, conninfo,
};

const DEFAULT_PORT: u16 = 5432;

/// Everything outside the connection string that decides where it leads.
pub struct Surroundings<'a> {
    /// Environment variables; those that begin with `PG`, and `DATABASE_URL`, matter.
    pub env: BTreeMap<String, String>,
    /// The user's home directory.
    pub home: Option<PathBuf>,
    /// The operating system's name of the user.
    pub os_user: Option<String>,
    /// Reads a file.
    pub read: &'a dyn Fn(&Path) -> io::Result<ConfigFile>,
}

/// A file of libpq's, as it lies on disk.
#[derive(Clone)]
pub struct ConfigFile {
    /// What stands in it.
    pub text: String,
    /// Permission bits.
    pub mode: u32,
    /// Whether it is a plain file.
    pub is_plain: bool,
}

/// A target, and what the user should know about how it was found.
#[derive(Debug)]
pub struct Resolved {
    /// The target.
    pub target: Target,
    /// Sentences for people.
    pub warnings: Vec<String>,
}

/// Where `url` leads, else `DATABASE_URL`, else the environment; what a connection string leaves open is filled from
/// the service, then the environment, then libpq's defaults.
///
/// Rules: PostgreSQL's documentation, "Database Connection Control Functions"; where it is silent, `fe-connect.c`.
///
/// # Errors
/// When a value is not understood, or asks for something omtdb cannot do. No message holds a secret.
pub fn resolve(url: Option<&Secret>, around: &Surroundings<'_>) -> Result<Resolved> {
    let settings = Settings::gather(url, around)?;
    settings.refuse_unsupported()?;
    let hosts = settings.hosts()?;
    let (user, user_from) = settings.user(around)?;
    let (dbname, dbname_from) = match settings.some("dbname") {
        Some((dbname, from)) => (dbname.to_owned(), from.clone()),
        None => (user.clone(), Source::User),
    };
    let mut warnings = Vec::new();
    let target = Target {
        hosts,
        user,
        user_from,
        dbname,
        dbname_from,
        password: settings.password(around, &mut warnings),
        tls: settings.tls(around)?,
        channel_binding: settings.word(
            "channel_binding",
            ChannelBinding::Prefer,
            &[
                ("disable", ChannelBinding::Disable),
                ("prefer", ChannelBinding::Prefer),
                ("require", ChannelBinding::Require),
            ],
        )?,
        session: settings.session_attrs()?,
        keepalive: settings.keepalive()?,
        options: settings.text("options"),
        application_name: settings
            .text("application_name")
            .or_else(|| settings.text("fallback_application_name")),
        connect_timeout: settings.seconds("connect_timeout")?,
    };
    Ok(Resolved { target, warnings })
}

impl Settings {
    fn hosts(&self) -> Result<Vec<Endpoint>> {
        let list = |name: &str| -> Vec<&str> {
            self.some(name).map(|(value, _)| value.split(',').collect()).unwrap_or_default()
        };
        let (names, addrs, ports) = (list("host"), list("hostaddr"), list("port"));
        if !names.is_empty() && !addrs.is_empty() && names.len() != addrs.len() {
            return wrong(format!("{} hosts do not match {} hostaddr values", names.len(), addrs.len()));
        }
        let count = names.len().max(addrs.len()).max(1);
        if ports.len() > 1 && ports.len() != count {
            return wrong(format!("{} ports do not match {count} hosts", ports.len()));
        }
        let mut hosts = Vec::new();
        for index in 0..count {
            let at = |list: &[&'_ str]| list.get(index).copied().unwrap_or_default().to_owned();
            let port = ports.get(index).or(ports.first()).copied().unwrap_or_default();
            self.add_host(&mut hosts, &at(&names), &at(&addrs), self.port(port)?)?;
        }
        Ok(hosts)
    }

    fn port(&self, text: &str) -> Result<u16> {
        if text.is_empty() {
            return Ok(DEFAULT_PORT);
        }
        match text.trim_matches(conninfo::is_space).parse() {
            Ok(port) if port > 0 => Ok(port),
            _ => self.bad("port", text, "a port from 1 to 65535"),
        }
    }

    fn add_host(&self, hosts: &mut Vec<Endpoint>, name: &str, addr: &str, port: u16) -> Result<()> {
        if !addr.is_empty() {
            let Ok(addr) = addr.parse::<IpAddr>() else {
                return self.bad("hostaddr", addr, "an IPv4 or IPv6 address");
            };
            let name = Some(name.to_owned()).filter(|name| !name.is_empty());
            hosts.push(Endpoint::Tcp { name, addr: Some(addr), port });
        } else if name.is_empty() {
            hosts.extend(SOCKET_DIRS.map(|dir| Endpoint::Socket { dir: dir.into(), port }));
        } else if name.starts_with('@') {
            return self.bad(
                "host",
                name,
                "a host or a directory; sockets in the abstract namespace are not supported",
            );
        } else if name.starts_with('/') {
            hosts.push(Endpoint::Socket { dir: name.into(), port });
        } else {
            hosts.push(Endpoint::Tcp { name: Some(name.to_owned()), addr: None, port });
        }
        Ok(())
    }

    fn user(&self, around: &Surroundings<'_>) -> Result<(String, Source)> {
        match (self.0.get("user"), &around.os_user) {
            (Some((user, _)), _) if user.is_empty() => wrong(format!("{} is empty", self.place("user"))),
            (Some((user, source)), _) => Ok((user.clone(), source.clone())),
            (None, Some(user)) => Ok((user.clone(), Source::OsUser)),
            (None, None) => {
                wrong("no role: the operating system does not know this user; name one with PGUSER or --url")
            }
        }
    }

    fn password(&self, around: &Surroundings<'_>, warnings: &mut Vec<String>) -> Password {
        if let Some((password, from)) = self.some("password") {
            return Password::Given { secret: Secret::new(password), from: from.clone() };
        }
        let named = self.path("passfile");
        let path = named.clone().or_else(|| Some(around.home.as_ref()?.join(".pgpass")));
        let Some(path) = path else { return Password::None };
        let ignored = match (around.read)(&path) {
            Ok(file) if !file.is_plain => "is not a plain file".to_owned(),
            Ok(file) if file.mode & 0o077 != 0 => {
                format!("may be read by others; make it your own with `chmod 0600 {}`", path.display())
            }
            Ok(file) => return Password::File(PassFile::parse(path, &file.text)),
            Err(_) if named.is_none() => return Password::None,
            Err(error) => format!("cannot be read: {error}"),
        };
        warnings.push(format!("password file {} is ignored: it {ignored}", path.display()));
        Password::None
    }

    fn tls(&self, around: &Surroundings<'_>) -> Result<Tls> {
        let own = |file: &str| Some(around.home.as_ref()?.join(".postgresql").join(file));
        let roots = match self.text("sslrootcert") {
            Some(word) if word == "system" => Roots::System,
            Some(path) => Roots::File(path.into()),
            None => own("root.crt").map_or(Roots::Unknown, Roots::File),
        };
        let sends_cert = self.word("sslcertmode", true, &[("allow", true), ("disable", false)])?;
        let tls = Tls {
            mode: self.sslmode(&roots)?,
            direct: self.word("sslnegotiation", false, &[("postgres", false), ("direct", true)])?,
            roots,
            crl: self.path("sslcrl").or_else(|| own("root.crl")),
            cert: self.path("sslcert").or_else(|| own("postgresql.crt")).filter(|_| sends_cert),
            key: self.path("sslkey").or_else(|| own("postgresql.key")).filter(|_| sends_cert),
            sni: self.word("sslsni", true, &[("1", true), ("0", false)])?,
            oldest: self.tls_version("ssl_min_protocol_version", TlsVersion::V12)?,
            newest: self.tls_version("ssl_max_protocol_version", TlsVersion::V13)?,
        };
        if tls.newest < tls.oldest {
            return wrong("ssl_max_protocol_version is older than ssl_min_protocol_version");
        }
        let weak = matches!(tls.mode, SslMode::Disable | SslMode::Allow | SslMode::Prefer);
        if tls.direct && weak {
            return wrong(format!(
                "sslnegotiation=direct needs sslmode=require, verify-ca or verify-full, not {}",
                tls.mode.word()
            ));
        }
        Ok(tls)
    }

    fn sslmode(&self, roots: &Roots) -> Result<SslMode> {
        use SslMode::{Allow, Disable, Prefer, Require, VerifyCa, VerifyFull};
        let modes = [Disable, Allow, Prefer, Require, VerifyCa, VerifyFull].map(|mode| (mode.word(), mode));
        if *roots != Roots::System {
            return self.word("sslmode", Prefer, &modes);
        }
        match self.word("sslmode", VerifyFull, &modes)? {
            VerifyFull => Ok(VerifyFull),
            // Anybody can have a certificate that the system's authorities have signed: only the name tells them apart.
            weak => wrong(format!("sslrootcert=system needs sslmode=verify-full, not {}", weak.word())),
        }
    }

    fn tls_version(&self, name: &str, default: TlsVersion) -> Result<TlsVersion> {
        let Some((value, _)) = self.some(name) else { return Ok(default) };
        match value.to_ascii_lowercase().as_str() {
            "tlsv1.3" => Ok(TlsVersion::V13),
            "tlsv1.2" => Ok(TlsVersion::V12),
            // What is oldest may be newer than asked for.
            "tlsv1" | "tlsv1.1" if default == TlsVersion::V12 => Ok(TlsVersion::V12),
            _ => self.bad(name, value, "TLSv1.2 or TLSv1.3"),
        }
    }

    fn session_attrs(&self) -> Result<SessionAttrs> {
        self.word(
            "target_session_attrs",
            SessionAttrs::Any,
            &[
                ("any", SessionAttrs::Any),
                ("read-write", SessionAttrs::ReadWrite),
                ("read-only", SessionAttrs::ReadOnly),
                ("primary", SessionAttrs::Primary),
                ("standby", SessionAttrs::Standby),
                ("prefer-standby", SessionAttrs::PreferStandby),
            ],
        )
    }

    fn keepalive(&self) -> Result<Keepalive> {
        let millis = self.integer("tcp_user_timeout")?.and_then(|ms| u64::try_from(ms).ok());
        Ok(Keepalive {
            off: self.integer("keepalives")? == Some(0),
            idle: self.seconds("keepalives_idle")?,
            interval: self.seconds("keepalives_interval")?,
            count: self.integer("keepalives_count")?.and_then(|n| u32::try_from(n).ok()).filter(|&n| n > 0),
            user_timeout: millis.filter(|&ms| ms > 0).map(Duration::from_millis),
        })
    }
}
