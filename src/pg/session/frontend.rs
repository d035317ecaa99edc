//! A conversation in the protocol itself, for whoever sends the same few statements again and again and counts what each
//! costs.
//!
//! The library leads every other conversation; for its generality a load would pay: through it the driver took 1.2 times the
//! processor time of pgbench for an execution, and takes 0.9 times this way (`scripts/compare-pgbench`). Here an execution
//! of a prepared statement is one write and one read, without a queue or another task than the one that waits. The login is
//! the library's.
//!
//! A question is written before anything is read. PostgreSQL reads it whole before it answers at length, so neither waits
//! for the other.

use std::fmt;
use std::io;
use std::ops::Range;
use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend::{self, BindError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc::UnboundedSender;
use tokio_postgres::types::{ToSql, Type};

use super::framing::Framing;
use super::road::Stream;
use super::said::Said;
use super::wire::closed;
use super::{Cancel, Greeted, greet};
use crate::pg::error::{PgError, Result};
use crate::pg::target::Target;

/// What is read at once, at most.
const ROOM_BYTES: usize = 16 * 1024;

/// One connection, one question at a time. Rows are counted by nobody and let go of as they come.
pub struct Frontend {
    stream: Box<dyn Stream>,
    cancel: Cancel,
    notices: Option<UnboundedSender<String>>,
    state: State,
    /// What is sent next.
    out: BytesMut,
    /// Room for what comes.
    room: Box<[u8]>,
    /// Where in the room there is what came and was not looked at.
    unheard: Range<usize>,
    framing: Framing,
    said: Said,
    /// Whether the server has done or refused something since the last question.
    is_answered: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The server waits for a question.
    Idle,
    /// An answer is under way.
    Asked,
    /// The conversation is over.
    Lost,
}

impl Frontend {
    /// Connects as [`Session::connect`](super::Session::connect) does.
    ///
    /// # Errors
    /// As there.
    pub async fn connect(target: &Target, purpose: &str) -> Result<Self> {
        let Greeted { client, wire, cancel, .. } = greet(target, purpose).await?;
        let stream = wire.hand_over().await;
        drop(client);
        let lost = || PgError::broken(format!("connect to {target}"), CLOSED);
        Ok(Self {
            stream: stream.ok_or_else(lost)?,
            cancel,
            notices: None,
            state: State::Idle,
            out: BytesMut::new(),
            room: vec![0; ROOM_BYTES].into(),
            unheard: 0..0,
            framing: Framing::default(),
            said: Said::default(),
            is_answered: false,
        })
    }

    /// Sends the text of each notice that the server sends from now on to `notices`.
    pub fn tell(&mut self, notices: UnboundedSender<String>) {
        self.notices = Some(notices);
    }

    /// Asks the server to end what this connection does, while it does it.
    #[must_use]
    pub fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }

    /// Whether the conversation is over: the connection broke, or the server ended the session. An error does not tell: a
    /// statement may also fail with what a broken connection of the server's own gives, and a value before it is sent.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.state == State::Lost
    }

    /// Executes `sql`, which may be several statements, by the simple protocol.
    ///
    /// # Errors
    /// When the server refuses or the connection breaks.
    pub async fn simple(&mut self, sql: &str) -> Result<()> {
        self.ask(|out| frontend::query(sql, out).map_err(unsent)).await
    }

    /// Prepares `sql` under `name`, which is not empty; the server finds the types of its parameters.
    ///
    /// # Errors
    /// As [`Frontend::simple`].
    pub async fn prepare(&mut self, name: &str, sql: &str) -> Result<()> {
        self.ask(|out| {
            parse(name, sql, &[], out)?;
            frontend::sync(out);
            Ok(())
        })
        .await
    }

    /// Executes the statement that was prepared under `name` with `values` for its parameters of `types`.
    ///
    /// # Errors
    /// As [`Frontend::simple`], and before anything is sent when a value does not fit its type.
    pub async fn execute<V: ToSql>(&mut self, name: &str, types: &[Type], values: &[V]) -> Result<()> {
        self.ask(|out| {
            bind(name, types, values, out)?;
            execute(out)
        })
        .await
    }

    /// Prepares and executes `sql` at once, without a name, as libpq's `PQexecParams` does.
    ///
    /// # Errors
    /// As [`Frontend::execute`].
    pub async fn execute_unnamed<V: ToSql>(&mut self, sql: &str, types: &[Type], values: &[V]) -> Result<()> {
        self.ask(|out| {
            parse("", sql, types, out)?;
            bind("", types, values, out)?;
            frontend::describe(PORTAL, "", out).map_err(unsent)?;
            execute(out)
        })
        .await
    }

    /// Ends the conversation and waits until it is over.
    pub async fn close(mut self) {
        // A server that is still busy with the last question hears nothing.
        if self.state == State::Idle {
            self.out.clear();
            frontend::terminate(&mut self.out);
            // Whether the server still hears it makes no difference.
            drop(self.sent().await);
            drop(self.stream.shutdown().await);
            closed(self.stream).await;
        }
    }

    /// Sends what `write` writes, and waits for the whole answer.
    async fn ask(&mut self, write: impl FnOnce(&mut BytesMut) -> Result<()>) -> Result<()> {
        match self.state {
            State::Idle => {}
            State::Asked => return Err(PgError::broken("", "nobody waited for the last answer")),
            State::Lost => return Err(PgError::broken("", CLOSED)),
        }
        self.out.clear();
        write(&mut self.out)?;
        self.state = State::Asked;
        let outcome = self.exchange().await;
        self.state = if outcome.is_ok() { State::Idle } else { State::Lost };
        let refusal = match &outcome {
            Ok(()) => {
                self.said.farewell();
                self.said.refusal()
            }
            Err(_) => self.said.refusal().or_else(|| self.said.farewell()),
        };
        match (refusal, outcome) {
            (Some(refusal), _) => Err(refusal.into()),
            (None, Ok(())) => Ok(()),
            (None, Err(why)) if why.kind() == io::ErrorKind::UnexpectedEof => {
                Err(PgError::broken("", CLOSED))
            }
            (None, Err(why)) => Err(PgError::broken("", format!("{CLOSED}: {why}"))),
        }
    }

    async fn exchange(&mut self) -> io::Result<()> {
        self.overhear()?;
        match self.sent().await {
            Ok(()) => self.answered().await,
            Err(broken) => {
                // A server that ended the session has said why before it closed the connection.
                drop(tokio::time::timeout(LAST_WORDS, self.answered()).await);
                Err(broken)
            }
        }
    }

    async fn sent(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.out).await?;
        self.stream.flush().await
    }

    /// Reads until the server waits for the next question.
    async fn answered(&mut self) -> io::Result<()> {
        while !self.heard()? {
            let read = self.stream.read(&mut self.room).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.unheard = 0..read;
        }
        Ok(())
    }

    /// Takes what came with the last answer and after it, which is none. What a server sends unasked at another time is
    /// noticed here after it was taken for an answer.
    fn overhear(&mut self) -> io::Result<()> {
        self.is_answered = false;
        if self.heard()? || self.is_answered { Err(unasked()) } else { Ok(()) }
    }

    /// Takes what has come; tells whether the answer is complete. What comes after it is left for later.
    fn heard(&mut self) -> io::Result<bool> {
        let mut bytes = &self.room[self.unheard.clone()];
        while let Some(part) = self.framing.next(&mut bytes)? {
            self.unheard.start = self.unheard.end - bytes.len();
            match part.tag {
                READY if part.is_last => return if self.is_answered { Ok(true) } else { Err(unasked()) },
                PARSED | COMPLETE | EMPTY => self.is_answered = true,
                ERROR if self.said.error(&part) => return Err(io::ErrorKind::UnexpectedEof.into()),
                ERROR => self.is_answered |= part.is_last,
                NOTICE => self.said.notice(&part, self.notices.as_ref()),
                COPY_IN | COPY_BOTH => {
                    return Err(io::Error::other("a statement wants rows from its client"));
                }
                _ => {}
            }
        }
        self.unheard = 0..0;
        Ok(false)
    }
}

const CLOSED: &str = "connection closed";
/// How long what a server said before it closed the connection may be under way.
const LAST_WORDS: Duration = Duration::from_secs(1);

// https://www.postgresql.org/docs/current/protocol-message-formats.html
const READY: u8 = b'Z';
const PARSED: u8 = b'1';
const COMPLETE: u8 = b'C';
const EMPTY: u8 = b'I';
const ERROR: u8 = b'E';
const NOTICE: u8 = b'N';
const COPY_IN: u8 = b'G';
const COPY_BOTH: u8 = b'W';
/// Format of values.
const BINARY: i16 = 1;
/// What is described.
const PORTAL: u8 = b'P';

fn parse(name: &str, sql: &str, types: &[Type], out: &mut BytesMut) -> Result<()> {
    frontend::parse(name, sql, types.iter().map(Type::oid), out).map_err(unsent)
}

fn bind<V: ToSql>(name: &str, types: &[Type], values: &[V], out: &mut BytesMut) -> Result<()> {
    if values.len() != types.len() {
        let why = format!("the statement has {} parameters, and {} values", types.len(), values.len());
        return Err(PgError::broken("", why));
    }
    let pairs = values.iter().zip(types);
    let write = |(value, ty): (&V, &Type), out: &mut BytesMut| {
        Ok(match value.to_sql_checked(ty, out)? {
            tokio_postgres::types::IsNull::Yes => IsNull::Yes,
            tokio_postgres::types::IsNull::No => IsNull::No,
        })
    };
    frontend::bind("", name, [BINARY], pairs, write, [BINARY], out).map_err(|error| match error {
        BindError::Conversion(why) => unsent(why),
        BindError::Serialization(why) => unsent(why),
    })
}

fn execute(out: &mut BytesMut) -> Result<()> {
    frontend::execute("", 0, out).map_err(unsent)?;
    frontend::sync(out);
    Ok(())
}

fn unasked() -> io::Error {
    io::Error::other("the server answers what nobody has asked")
}

/// What cannot be put into a message, as a name with a zero in it.
fn unsent(why: impl fmt::Display) -> PgError {
    PgError::broken("", why.to_string())
}
