//! The stream of a conversation that the library leads until somebody else goes on with it.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use super::framing::Framing;
use super::road::Stream;

/// A stream that its holders share, of which one can take it from the others.
#[derive(Clone)]
pub(super) struct Tap(Arc<Mutex<Flow>>);

struct Flow {
    /// `None` once it was taken.
    stream: Option<Box<dyn Stream>>,
    /// How far the server's messages were read; `None` where nobody wants to know.
    framing: Option<Framing>,
}

impl Tap {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self(Arc::new(Mutex::new(Flow { stream: Some(stream), framing: Some(Framing::default()) })))
    }

    /// The stream itself, unless it stands within a message: whoever has read its beginning has to read its end.
    pub(super) fn release(&self) -> Option<Box<dyn Stream>> {
        let mut flow = self.flow();
        if flow.framing.as_ref().is_some_and(Framing::is_between) { flow.stream.take() } else { None }
    }

    /// The stream itself, wherever it stands.
    pub(super) fn into_stream(self) -> Option<Box<dyn Stream>> {
        self.flow().stream.take()
    }

    /// Leaves the stream to the library for good, and its messages unread.
    pub(super) fn keep(&self) {
        self.flow().framing = None;
    }

    fn flow(&self) -> MutexGuard<'_, Flow> {
        // Nothing in here is left half done by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, act: impl FnOnce(Pin<&mut dyn Stream>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &mut self.flow().stream {
            Some(stream) => act(Pin::new(&mut **stream)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncRead for Tap {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(self.with(|stream| stream.poll_read(cx, buf)))?;
        match &mut self.flow().framing {
            Some(framing) => Poll::Ready(framing.pass(&buf.filled()[before..])),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Tap {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_shutdown(cx))
    }
}

impl TlsStream for Tap {
    fn channel_binding(&self) -> ChannelBinding {
        self.flow().stream.as_ref().map_or_else(ChannelBinding::none, |stream| stream.binding())
    }
}

/// Tells the library that the stream is as encrypted as it will be.
pub(super) struct Settled;

impl TlsConnect<Tap> for Settled {
    type Stream = Tap;
    type Error = Infallible;
    type Future = Ready<Result<Tap, Infallible>>;

    fn connect(self, stream: Tap) -> Self::Future {
        ready(Ok(stream))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn a_stream_is_given_away_between_two_messages_only() {
        let (ours, mut servers) = UnixStream::pair().unwrap();
        let mut tap = Tap::new(Box::new(ours));
        servers.write_all(b"Z\0\0\0\x05I").await.unwrap();
        tap.read_exact(&mut [0; 3]).await.unwrap();
        assert!(tap.release().is_none());
        tap.read_exact(&mut [0; 3]).await.unwrap();
        let mut taken = tap.release().unwrap();
        assert!(tap.read_u8().await.is_err() && tap.release().is_none());
        servers.write_all(b"Z").await.unwrap();
        assert_eq!(taken.read_u8().await.unwrap(), b'Z');
    }
}
