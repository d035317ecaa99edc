//! The half of a connection that moves its bytes.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::{AsyncMessage, Connection, Error};

/// Writes what a [`Session`](super::Session) asks and reads what the server answers, while somebody polls it.
pub struct Wire {
    /// `None` once it has ended.
    connection: Option<BoxStream<'static, Result<AsyncMessage, Error>>>,
    notices: Option<UnboundedSender<String>>,
}

impl Wire {
    pub(super) fn new<S, T>(mut connection: Connection<S, T>) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let messages = stream::poll_fn(move |cx| connection.poll_message(cx)).boxed();
        Self { connection: Some(messages), notices: None }
    }

    /// Sends the text of each notice that the server sends from now on to `notices`.
    pub fn tell(&mut self, notices: UnboundedSender<String>) {
        self.notices = Some(notices);
    }

    /// Leaves it to a task of its own.
    pub(super) fn spawn(self) -> JoinHandle<()> {
        tokio::spawn(self.end())
    }

    /// Awaits `work` on the session of this wire, which moves meanwhile. A task that the wire has of its own would be woken
    /// by each question, and wake the asker by each answer.
    pub async fn carry<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| {
            // First the answers that came, then the work that waits for them, then what the work has asked. The wire wakes
            // this task whenever it has more to move, and all that waits for it when it has ended.
            let _ = self.poll(cx);
            let done = work.as_mut().poll(cx);
            if done.is_pending() {
                let _ = self.poll(cx);
            }
            done
        })
        .await
    }

    /// Until the conversation is over, which it is once its session is gone.
    pub async fn end(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    /// Moves what there is to move; ready when the conversation is over. A failure reaches whoever waits for an answer and
    /// needs no second report here.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(connection) = &mut self.connection {
            match connection.poll_next_unpin(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(message))) => self.pass_on(message),
                Poll::Ready(Some(Err(_)) | None) => self.connection = None,
            }
        }
        Poll::Ready(())
    }

    fn pass_on(&self, message: AsyncMessage) {
        let AsyncMessage::Notice(notice) = message else { return };
        match &self.notices {
            // Nobody listens any more: nobody misses it.
            Some(notices) => drop(notices.send(notice.message().to_owned())),
            None => log(&notice),
        }
    }
}

/// Warnings are for people, with what the server proposes; notices for those who ask for them. That a ROLLBACK to be sure
/// had nothing to roll back is no news.
fn log(notice: &DbError) {
    let nothing_to_roll_back = notice.code() == &SqlState::NO_ACTIVE_SQL_TRANSACTION;
    let hint = notice.hint().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
    match notice.severity() {
        "WARNING" if !nothing_to_roll_back => tracing::warn!("{}{hint}", notice.message()),
        severity => tracing::info!("{severity}: {}{hint}", notice.message()),
    }
}
