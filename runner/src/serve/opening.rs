//! The first bytes of a connection, which have to come in time.
//!
//! Whether a client speaks HTTP/1 or HTTP/2 is seen from its first bytes, and whoever waits for these has no
//! timer: a client that sends nothing, or only what both begin with, would hold its connection for ever. What
//! comes after is limited by HTTP itself.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a connection of HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection that fails unless its first bytes tell in time which HTTP it speaks.
pub(super) struct Opening<S> {
    stream: S,
    /// What is to come of the preface, if all before it was one.
    expected: &'static [u8],
    /// `None` once the version is known.
    deadline: Option<BoxFuture<'static, ()>>,
}

impl<S> Opening<S> {
    /// A connection whose first bytes have to come before `deadline` is over.
    pub(super) fn new(stream: S, deadline: BoxFuture<'static, ()>) -> Self {
        Self {
            stream,
            expected: PREFACE,
            deadline: Some(deadline),
        }
    }

    fn received(&mut self, bytes: &[u8]) {
        let alike = bytes.iter().zip(self.expected).take_while(|(a, b)| a == b);
        let alike = alike.count();
        self.expected = self.expected.get(alike..).unwrap_or_default();
        let is_end = bytes.is_empty();
        if is_end || alike < bytes.len() || self.expected.is_empty() {
            self.deadline = None;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Opening<S> {
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

impl<S: AsyncWrite + Unpin> AsyncWrite for Opening<S> {
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

    /// What becomes of a connection that sends these bytes and is then silent until after the deadline: `None`
    /// if it goes on waiting.
    async fn outcome(sent: &[&[u8]]) -> Option<io::ErrorKind> {
        let (mut client, server) = duplex(1 << 10);
        let mut server = Opening::new(server, std::future::ready(()).boxed());
        let mut buffer = [0; 64];
        for bytes in sent {
            client.write_all(bytes).await.unwrap();
            assert_eq!(server.read(&mut buffer).await.unwrap(), bytes.len());
        }
        let silence = server.read(&mut buffer).now_or_never()?;
        Some(silence.unwrap_err().kind())
    }

    #[tokio::test]
    async fn a_client_that_does_not_tell_its_version_is_given_up() {
        let timed_out = Some(io::ErrorKind::TimedOut);
        assert_eq!(outcome(&[]).await, timed_out);
        assert_eq!(outcome(&[b"P"]).await, timed_out);
        assert_eq!(outcome(&[b"PRI * HT", b"TP/2.0\r\n"]).await, timed_out);
    }

    #[tokio::test]
    async fn a_client_that_told_its_version_may_be_silent() {
        assert_eq!(outcome(&[b"G"]).await, None);
        assert_eq!(outcome(&[b"P", b"O"]).await, None);
        assert_eq!(outcome(&[PREFACE]).await, None);
        assert_eq!(outcome(&[b"PRI * ", &PREFACE[6..]]).await, None);
    }
}
