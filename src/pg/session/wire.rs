//! The half of a connection that moves its bytes.

use std::future::poll_fn;
use std::pin::pin;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Fuse};
use tokio::task::JoinHandle;

/// Writes what a [`Session`](super::Session) asks and reads what the server answers, while somebody polls it.
pub struct Wire(Fuse<BoxFuture<'static, ()>>);

impl Wire {
    /// `connection` reports its failure to whoever waits for an answer; it needs no second report here.
    pub(super) fn new(
        connection: impl Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
    ) -> Self {
        Self(connection.map(drop).boxed().fuse())
    }

    /// Leaves it to a task of its own.
    pub(super) fn spawn(self) -> JoinHandle<()> {
        tokio::spawn(self.0)
    }

    /// Awaits `work` on the session of this wire, which moves meanwhile. A task that the wire has of its own would be woken
    /// by each question, and wake the asker by each answer.
    pub async fn carry<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| {
            // First the answers that came, then the work that waits for them, then what the work has asked. The wire wakes
            // this task whenever it has more to move, and all that waits for it when it has ended.
            let _ = self.0.poll_unpin(cx);
            let done = work.as_mut().poll(cx);
            if done.is_pending() {
                let _ = self.0.poll_unpin(cx);
            }
            done
        })
        .await
    }

    /// Until the conversation is over, which it is once its session is gone.
    pub async fn end(self) {
        self.0.await;
    }
}
