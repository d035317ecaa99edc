//! The half of a connection that moves its bytes, while the library leads the conversation.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Connection};

use super::notice;
use super::road::Stream;
use super::tap::Tap;

/// Writes what is asked and reads what the server answers, while somebody polls it.
pub(super) struct Wire {
    /// `None` once it has ended.
    connection: Option<Connection<Tap, Tap>>,
    tap: Tap,
}

impl Wire {
    pub(super) fn new(connection: Connection<Tap, Tap>, tap: Tap) -> Self {
        Self { connection: Some(connection), tap }
    }

    /// Leaves it to a task of its own, which ends when the conversation is over.
    pub(super) fn spawn(mut self) -> JoinHandle<()> {
        self.tap.keep();
        tokio::spawn(async move {
            poll_fn(|cx| self.poll(cx)).await;
            if let Some(stream) = self.tap.into_stream() {
                closed(stream).await;
            }
        })
    }

    /// Takes the stream from the library, which has no question open; `None` if the conversation is over.
    pub(super) async fn hand_over(mut self) -> Option<Box<dyn Stream>> {
        poll_fn(|cx| {
            // What the server says of itself may have come in part: it is the library's to read the rest.
            if self.poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            self.tap.release().map_or(Poll::Pending, |stream| Poll::Ready(Some(stream)))
        })
        .await
    }

    /// Awaits `work`, which the server answers over this wire.
    pub(super) async fn carry<T>(&mut self, work: impl Future<Output = T>) -> T {
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

    /// Moves what there is to move; ready when the conversation is over. A failure reaches whoever waits for an answer and
    /// needs no second report here.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(connection) = &mut self.connection {
            match connection.poll_message(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(AsyncMessage::Notice(notice)))) => {
                    notice::log(notice.severity(), notice.code().code(), notice.message(), notice.hint());
                }
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(_)) | None) => self.connection = None,
            }
        }
        Poll::Ready(())
    }
}

/// How long a server that was told the end of a conversation may take to close it.
const TO_CLOSE: Duration = Duration::from_secs(5);

/// Waits for the server to close `stream`, on which nothing is said any more. Its process has then ended: what the session
/// held is free and what it did is counted, which whoever looks next relies on. A server that stands still is not waited for.
pub(super) async fn closed(mut stream: Box<dyn Stream>) {
    let mut rest = [0; 1024];
    let until_closed = async { while stream.read(&mut rest).await.is_ok_and(|count| count > 0) {} };
    drop(tokio::time::timeout(TO_CLOSE, until_closed).await);
}
