//! Limits the time until the first bytes of a connection arrive.
//!
//! The first bytes show whether a client speaks HTTP/1 or HTTP/2, and the HTTP library waits for them without a
//! timeout: a client that sends nothing, or only a common prefix of both, would hold its connection forever. HTTP
//! timeouts limit everything after these bytes.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The connection preface of HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection that fails unless its first bytes show the HTTP version before the deadline.
pub(super) struct FirstBytesTimeout<S> {
    stream: S,
    /// The rest of the preface, while the received bytes are a prefix of it.
    expected: &'static [u8],
    /// `None` after the version is known.
    deadline: Option<BoxFuture<'static, ()>>,
}

impl<S> FirstBytesTimeout<S> {
    /// Wraps a connection whose first bytes must arrive before `deadline` completes.
    pub(super) fn new(stream: S, deadline: BoxFuture<'static, ()>) -> Self {
        Self { stream, expected: PREFACE, deadline: Some(deadline) }
    }

    fn received(&mut self, bytes: &[u8]) {
        let alike = bytes.iter().zip(self.expected).take_while(|(a, b)| a == b).count();
        self.expected = self.expected.get(alike..).unwrap_or_default();
        let is_end = bytes.is_empty();
        if is_end || alike < bytes.len() || self.expected.is_empty() {
            self.deadline = None;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FirstBytesTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Some(deadline) = &mut self.deadline else {
            return read;
        };
        if read.is_pending() {
            ready!(deadline.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.received(buffer.filled().get(before..).unwrap_or_default());
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FirstBytesTimeout<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// Returns the error of a connection that sends these bytes and is then silent until after the deadline; `None` if
    /// it continues to wait.
    async fn outcome(sent: &[&[u8]]) -> Option<io::ErrorKind> {
        let (mut client, server) = duplex(1 << 10);
        let mut server = FirstBytesTimeout::new(server, std::future::ready(()).boxed());
        let mut buffer = [0; 64];
        for bytes in sent {
            client.write_all(bytes).await.unwrap();
            assert_eq!(server.read(&mut buffer).await.unwrap(), bytes.len());
        }
        let silence = server.read(&mut buffer).now_or_never()?;
        Some(silence.unwrap_err().kind())
    }

    #[tokio::test]
    async fn a_client_that_does_not_show_its_version_is_disconnected() {
        let timed_out = Some(io::ErrorKind::TimedOut);
        assert_eq!(outcome(&[]).await, timed_out);
        assert_eq!(outcome(&[b"P"]).await, timed_out);
        assert_eq!(outcome(&[b"PRI * HT", b"TP/2.0\r\n"]).await, timed_out);
    }

    #[tokio::test]
    async fn a_client_with_a_known_version_may_be_silent() {
        assert_eq!(outcome(&[b"G"]).await, None);
        assert_eq!(outcome(&[b"P", b"O"]).await, None);
        assert_eq!(outcome(&[PREFACE]).await, None);
        assert_eq!(outcome(&[b"PRI * ", &PREFACE[6..]]).await, None);
    }
}
