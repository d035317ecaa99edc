//! Why there is no connection, and what to do about it.

use std::io;
use std::time::Duration;

use tokio_postgres::error::SqlState;

use super::road::Blocked;
use crate::pg::error::PgError;
use crate::pg::target::{Endpoint, Password, SessionAttrs, Source, SslMode, Target};
use crate::pg::tls;

/// An attempt that failed.
pub(super) struct Failure {
    endpoint: Endpoint,
    stage: Stage,
    error: PgError,
}

/// How far the attempt came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nobody answered.
    Unreachable,
    /// The server is not the kind that was asked for.
    Unsuitable,
    /// Encryption could not begin.
    Tls,
    /// The server said no.
    Refused,
    /// The conversation broke, or could not begin for want of a password.
    Broken,
}

impl Failure {
    fn new(endpoint: &Endpoint, stage: Stage, error: PgError) -> Self {
        Self { endpoint: endpoint.clone(), stage, error }
    }

    fn unreachable(endpoint: &Endpoint, why: impl Into<String>, help: &str) -> Self {
        Self::new(endpoint, Stage::Unreachable, PgError::broken("", why).help(help))
    }

    /// Its name has no address.
    pub(super) fn unresolved(endpoint: &Endpoint, error: &io::Error) -> Self {
        Self::unreachable(
            endpoint,
            format!("the host's name cannot be resolved: {error}"),
            "check the host's name",
        )
    }

    /// It did not answer within `limit`.
    pub(super) fn silent(endpoint: &Endpoint, limit: Duration) -> Self {
        let why = format!("no answer within {} s", limit.as_secs());
        Self::unreachable(
            endpoint,
            why,
            "check host, port and firewall; connect_timeout says how long to wait",
        )
    }

    /// It has a name and no address.
    pub(super) fn nowhere(endpoint: &Endpoint) -> Self {
        Self::unreachable(endpoint, "the host has no address", "check the host's name")
    }

    /// It answered and is not `wanted`.
    pub(super) fn unsuitable(endpoint: &Endpoint, wanted: SessionAttrs) -> Self {
        let why = match wanted {
            SessionAttrs::ReadWrite => "its sessions may not write",
            SessionAttrs::ReadOnly => "its sessions may write",
            SessionAttrs::Primary => "it is in recovery",
            SessionAttrs::Standby | SessionAttrs::PreferStandby => "it is not in recovery",
            SessionAttrs::Any => "it does not suit",
        };
        let error = PgError::broken("", why).help("target_session_attrs asks for another kind of server");
        Self::new(endpoint, Stage::Unsuitable, error)
    }

    /// Encryption cannot begin.
    pub(super) fn tls(endpoint: &Endpoint, why: impl Into<String>) -> Self {
        Self::new(endpoint, Stage::Tls, PgError::broken("", why))
    }

    /// The address was not reached.
    pub(super) fn blocked(target: &Target, endpoint: &Endpoint, blocked: Blocked) -> Self {
        match blocked {
            Blocked::Unreachable(io) => no_answer(endpoint, &io),
            Blocked::Broken(_) => {
                Self::new(endpoint, Stage::Broken, PgError::broken("", blocked.to_string()))
            }
            Blocked::Plain => no_tls(target, endpoint),
            Blocked::Handshake(io) => match rustls_error(&io) {
                Some(rustls) => Self::tls(endpoint, tls::explain(&target.tls, rustls)),
                None => Self::tls(endpoint, format!("the handshake of TLS failed: {io}")),
            },
        }
    }

    /// What the library reports of a conversation with `endpoint` that did not begin.
    pub(super) fn of(target: &Target, endpoint: &Endpoint, error: tokio_postgres::Error) -> Self {
        if error.as_db_error().is_some() {
            return Self::refused(target, endpoint, error.into());
        }
        // The library does not show which kind of error it is but in its text.
        match error.to_string().as_str() {
            "invalid configuration" => no_password(target, endpoint),
            _ => Self::new(endpoint, Stage::Broken, error.into()),
        }
    }

    fn refused(target: &Target, endpoint: &Endpoint, error: PgError) -> Self {
        let help = error.sqlstate().and_then(|state| remedy(target, endpoint, state));
        let error = match help {
            Some(help) => error.help(help),
            None => error,
        };
        Self::new(endpoint, Stage::Refused, error)
    }

    /// Whether another host may do better: this one was not there, is starting or stopping, or does not suit.
    pub(super) fn asks_next_host(&self) -> bool {
        match self.stage {
            Stage::Unreachable | Stage::Unsuitable => true,
            Stage::Refused => self.error.sqlstate() == Some(SqlState::CANNOT_CONNECT_NOW.code()),
            Stage::Tls | Stage::Broken => false,
        }
    }

    /// Whether the same address may do better with, or without, encryption.
    pub(super) fn tries_other_encryption(&self) -> bool {
        matches!(self.stage, Stage::Tls | Stage::Refused)
    }

    /// Both failures of one address as one. A wrong password counts more than a rule that lets nobody in without, or
    /// with, encryption; a handshake that failed is told beside the refusal that followed it.
    pub(super) fn and(self, other: Self) -> Self {
        match (self.stage, other.stage) {
            (Stage::Refused, Stage::Refused) if self.is_lockout() && !other.is_lockout() => other,
            (Stage::Refused, Stage::Refused) => self,
            (Stage::Tls, Stage::Refused) if other.is_lockout() => self.beside(&other),
            (Stage::Refused, Stage::Tls) if self.is_lockout() => other.beside(&self),
            (Stage::Refused, _) => self,
            _ => other,
        }
    }

    fn is_lockout(&self) -> bool {
        self.error.sqlstate() == Some(SqlState::INVALID_AUTHORIZATION_SPECIFICATION.code())
    }

    fn beside(self, plain: &Self) -> Self {
        let why = format!("{}\n  without encryption: {}", self.error, plain.error);
        Self { error: PgError::broken("", why), ..self }
    }

    /// The error for people, naming the one host it is about.
    pub(super) fn into_error(self, target: &Target) -> PgError {
        self.error.doing(format!("connect to {}@{}/{}", target.user, self.endpoint, target.dbname))
    }

    /// No host did: each answer once.
    pub(super) fn all(mut failures: Vec<Self>, target: &Target) -> PgError {
        let said = |failure: &Self| (failure.endpoint.to_string(), failure.error.to_string());
        let mut answers: Vec<(String, String)> = Vec::new();
        for answer in failures.iter().map(said) {
            if !answers.contains(&answer) {
                answers.push(answer);
            }
        }
        match failures.pop() {
            Some(failure) if answers.len() == 1 => failure.into_error(target),
            _ => {
                let lines: Vec<String> =
                    answers.iter().map(|(place, why)| format!("\n  {place}: {why}")).collect();
                PgError::broken(format!("connect to {target}"), format!("no host will do{}", lines.concat()))
            }
        }
    }
}

fn no_answer(endpoint: &Endpoint, error: &io::Error) -> Failure {
    let (why, help) = match (error.kind(), endpoint) {
        (io::ErrorKind::NotFound, _) => (
            "there is no such socket",
            "is the server running, and is this its socket directory and port? Name another place with --url or PGHOST",
        ),
        (io::ErrorKind::ConnectionRefused, Endpoint::Socket { .. }) => (
            "no server listens on this socket",
            "start the server; the socket is what an earlier one left behind",
        ),
        (io::ErrorKind::ConnectionRefused, Endpoint::Tcp { .. }) => (
            "connection refused",
            "is the server running, and does it listen on this address and port (listen_addresses)?",
        ),
        (io::ErrorKind::PermissionDenied, _) => (
            "permission denied",
            "the socket's directory is closed to this user; run as another one or use TCP",
        ),
        _ => return Failure::unreachable(endpoint, error.to_string(), "check host and port"),
    };
    Failure::unreachable(endpoint, why, help)
}

fn rustls_error(io: &io::Error) -> Option<&rustls::Error> {
    io.get_ref()?.downcast_ref()
}

/// The server declined; nothing else fails here without the system or rustls having a say.
fn no_tls(target: &Target, endpoint: &Endpoint) -> Failure {
    let why = format!("the server does not speak TLS, and sslmode={} asks for it", target.tls.mode.word());
    let help = "turn `ssl` on in the server's configuration, or ask for less with sslmode=prefer";
    Failure::new(endpoint, Stage::Tls, PgError::broken("", why).help(help))
}

/// The library's only complaint about a configuration of ours: the password that the server asks for is missing.
fn no_password(target: &Target, endpoint: &Endpoint) -> Failure {
    let why = format!("the server asks for the password of {:?}, and there is none", target.user);
    let help = match &target.password {
        Password::File(file) => format!(
            "set PGPASSWORD, or add a line for {endpoint}, database {:?} to {}",
            target.dbname,
            file.path().display()
        ),
        Password::None | Password::Given { .. } => {
            "set PGPASSWORD, or write a line to ~/.pgpass, which only you may read (chmod 0600)".to_owned()
        }
    };
    Failure::new(endpoint, Stage::Broken, PgError::broken("", why).help(help))
}

/// What to do about SQLSTATE `state` at the start of a session.
fn remedy(target: &Target, endpoint: &Endpoint, state: &str) -> Option<String> {
    if state == SqlState::INVALID_PASSWORD.code() {
        return Some(match target.password_for(endpoint) {
            Some((_, from)) => format!("the password came from {from}"),
            None => "no password was given: set PGPASSWORD, or write a line to ~/.pgpass".to_owned(),
        });
    }
    if state == SqlState::INVALID_AUTHORIZATION_SPECIFICATION.code() {
        let encryption = match target.tls.mode {
            SslMode::Disable => "; sslmode=disable forgoes TLS",
            _ => "",
        };
        return Some(format!(
            "the role came from {}; the server's pg_hba.conf says who may connect from where{encryption}",
            target.user_from
        ));
    }
    if state == SqlState::INVALID_CATALOG_NAME.code() {
        return Some(match target.dbname_from {
            Source::Own => format!("make it with `createdb {}`", target.dbname),
            ref from => {
                format!("the database's name came from {from}; name another, or make it with `createdb`")
            }
        });
    }
    None
}
