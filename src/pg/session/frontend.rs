//! A conversation in the protocol itself, for whoever sends the same few statements again and again and counts what each
//! costs.
//!
//! The library leads every other conversation; for its generality a load would pay. Per execution of a SELECT of one row,
//! user time of the driver was 1.9 us through it and is 0.85 us here (pgbench: 1.0), and as driver and server share the
//! processors, throughput rose by a tenth (`scripts/compare-pgbench`). Here an execution is one write and one read, without
//! a queue, an allocation, or another task than the one that waits. The login is the library's.

use std::fmt;
use std::io;
use std::ops::Range;

use bytes::BytesMut;
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend::{self, BindError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc::UnboundedSender;
use tokio_postgres::types::{ToSql, Type};

use super::framing::Framing;
use super::road::Stream;
use super::said::Said;
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

    /// Whether the conversation is over: the connection broke, or the server ended the session.
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

    /// Prepares `sql` with parameters of `types` under `name`; the empty name is the unnamed statement.
    ///
    /// # Errors
    /// As [`Frontend::simple`].
    pub async fn prepare(&mut self, name: &str, sql: &str, types: &[Type]) -> Result<()> {
        self.ask(|out| {
            parse(name, sql, types, out)?;
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
        self.ask(|out| execute(name, types, values, out)).await
    }

    /// Prepares and executes `sql` at once, without a name.
    ///
    /// # Errors
    /// As [`Frontend::execute`].
    pub async fn execute_unnamed<V: ToSql>(&mut self, sql: &str, types: &[Type], values: &[V]) -> Result<()> {
        self.ask(|out| {
            parse("", sql, types, out)?;
            execute("", types, values, out)
        })
        .await
    }

    /// Ends the conversation.
    pub async fn close(mut self) {
        self.out.clear();
        frontend::terminate(&mut self.out);
        // Whether the server still hears it makes no difference.
        drop(self.sent().await);
        drop(self.stream.shutdown().await);
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
        let sent = self.sent().await;
        // A server that ended the session has said why before it closed the connection.
        let answered = self.answered().await;
        self.state = if answered.is_ok() { State::Idle } else { State::Lost };
        match (self.said.refusal(), sent.and(answered)) {
            (Some(refusal), _) => Err(refusal.into()),
            (None, outcome) => outcome.map_err(|error| PgError::broken("", error.to_string())),
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
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, CLOSED));
            }
            self.unheard = 0..read;
        }
        Ok(())
    }

    /// Takes what has come; tells whether the answer is complete. What comes after it belongs to the next.
    fn heard(&mut self) -> io::Result<bool> {
        let mut bytes = &self.room[self.unheard.clone()];
        while let Some(part) = self.framing.next(&mut bytes)? {
            self.unheard.start = self.unheard.end - bytes.len();
            match part.tag {
                READY if part.is_last => return Ok(true),
                ERROR if self.said.error(&part) => return Err(io::Error::other(CLOSED)),
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

// https://www.postgresql.org/docs/current/protocol-message-formats.html
const READY: u8 = b'Z';
const ERROR: u8 = b'E';
const NOTICE: u8 = b'N';
const COPY_IN: u8 = b'G';
const COPY_BOTH: u8 = b'W';
/// Format of values.
const BINARY: i16 = 1;

fn parse(name: &str, sql: &str, types: &[Type], out: &mut BytesMut) -> Result<()> {
    frontend::parse(name, sql, types.iter().map(Type::oid), out).map_err(unsent)
}

fn execute<V: ToSql>(name: &str, types: &[Type], values: &[V], out: &mut BytesMut) -> Result<()> {
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
    })?;
    frontend::execute("", 0, out).map_err(unsent)?;
    frontend::sync(out);
    Ok(())
}

/// What cannot be put into a message, as a name with a zero in it.
fn unsent(why: impl fmt::Display) -> PgError {
    PgError::broken("", why.to_string())
}
