//! What PostgreSQL, or the way to it, refused: said once, with message, detail, hint and SQLSTATE.

use std::error::Error as _;
use std::fmt;

use tokio_postgres::error::SqlState;

/// Result of a conversation with PostgreSQL.
pub type Result<T, E = PgError> = std::result::Result<T, E>;

/// A refused or broken conversation. `Display` is complete; there is no `source` that would say it twice.
#[derive(Debug)]
pub struct PgError {
    doing: String,
    kind: Kind,
    help: Option<String>,
}

#[derive(Debug)]
enum Kind {
    /// The server answered with an error.
    Server(Box<Refusal>),
    /// No answer, or none that can be understood.
    Broken(String),
}

/// The fields of a server's error response that people need.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// SQLSTATE, five characters.
    pub sqlstate: String,
    /// Primary message.
    pub message: String,
    /// Details, where the server gave them.
    pub detail: Option<String>,
    /// What the server proposes.
    pub hint: Option<String>,
}

impl PgError {
    /// A failure on our side of the conversation, in words.
    pub fn broken(doing: impl Into<String>, why: impl Into<String>) -> Self {
        Self { doing: doing.into(), kind: Kind::Broken(why.into()), help: None }
    }

    /// The same failure, naming what was being done (`"read the catalog"`).
    #[must_use]
    pub fn doing(mut self, what: impl Into<String>) -> Self {
        self.doing = what.into();
        self
    }

    /// The same failure, saying what to do about it.
    #[must_use]
    pub fn help(mut self, remedy: impl Into<String>) -> Self {
        self.help = Some(remedy.into());
        self
    }

    /// The server's answer, where there was one.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match &self.kind {
            Kind::Server(refusal) => Some(refusal),
            Kind::Broken(_) => None,
        }
    }

    /// SQLSTATE of the server's answer.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        self.refusal().map(|r| r.sqlstate.as_str())
    }

    fn is(&self, state: &SqlState) -> bool {
        self.sqlstate() == Some(state.code())
    }

    /// The same transaction may succeed when tried again: serialization failure or deadlock.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.is(&SqlState::T_R_SERIALIZATION_FAILURE) || self.is(&SqlState::T_R_DEADLOCK_DETECTED)
    }

    /// A lock was not granted within `lock_timeout`.
    #[must_use]
    pub fn is_lock_timeout(&self) -> bool {
        self.is(&SqlState::LOCK_NOT_AVAILABLE)
    }

    /// The statement was cancelled, by its time limit for one.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.is(&SqlState::QUERY_CANCELED)
    }

    /// The disk of the server is full.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        self.is(&SqlState::DISK_FULL)
    }

    /// The role may not.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.is(&SqlState::INSUFFICIENT_PRIVILEGE)
    }

    /// The conversation is over: no answer, or the server ended the session (SQLSTATE class 57P, 08).
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.sqlstate().is_none_or(|state| state.starts_with("57P") || state.starts_with("08"))
    }
}

impl From<tokio_postgres::Error> for PgError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(db) => Self::from(Refusal {
                sqlstate: db.code().code().to_owned(),
                message: db.message().to_owned(),
                detail: db.detail().map(str::to_owned),
                hint: db.hint().map(str::to_owned),
            }),
            None => Self::broken("", chain(&error)),
        }
    }
}

impl From<Refusal> for PgError {
    fn from(refusal: Refusal) -> Self {
        Self { doing: String::new(), kind: Kind::Server(Box::new(refusal)), help: None }
    }
}

/// `error` and its causes in one line; tokio-postgres leaves the cause out of its own text since 0.7.15.
fn chain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    text
}

impl fmt::Display for PgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.doing.is_empty() {
            write!(f, "{}: ", self.doing)?;
        }
        match &self.kind {
            Kind::Broken(why) => f.write_str(why)?,
            Kind::Server(refusal) => refusal.fmt(f)?,
        }
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.sqlstate)?;
        if let Some(detail) = &self.detail {
            write!(f, "\n  detail: {detail}")?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for PgError {}

/// Names what was being done when a conversation failed.
pub trait Doing<T> {
    /// The result, its error saying that `what` failed.
    ///
    /// # Errors
    /// The same failure, named.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<PgError>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| error.into().doing(what()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(sqlstate: &str) -> PgError {
        let refusal = Refusal {
            sqlstate: sqlstate.to_owned(),
            message: "no".to_owned(),
            detail: Some("why".to_owned()),
            hint: Some("do".to_owned()),
        };
        PgError::from(refusal).doing("read the catalog")
    }

    #[test]
    fn everything_is_said_once() {
        let text = refused("42501").to_string();
        assert_eq!(text, "read the catalog: no (SQLSTATE 42501)\n  detail: why\n  hint: do");
        assert_eq!(PgError::broken("a", "b").help("c").to_string(), "a: b\n  help: c");
    }

    #[test]
    fn classes_follow_the_sqlstate() {
        assert!(refused("40001").is_retryable() && refused("40P01").is_retryable());
        assert!(refused("55P03").is_lock_timeout() && refused("53100").is_disk_full());
        assert!(refused("57P01").is_lost() && refused("08006").is_lost() && !refused("42501").is_lost());
        assert!(PgError::broken("", "connection closed").is_lost());
    }
}
