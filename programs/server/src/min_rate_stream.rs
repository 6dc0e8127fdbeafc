//! Closes connections of clients that don't read: while there is data to write, a connection must make progress.
//!
//! A response is written as fast as the client reads it. A client that stops reading would hold its response and the
//! query behind it forever, and a client that reads a byte now and then, almost as long. Therefore, while there is data
//! to write, a client must take a minimum number of bytes within each time span.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::future::BoxFuture;
use neap_bucket::Clock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Minimum bytes per second that a client must take, averaged over the span.
const MIN_BYTES_PER_SECOND: u64 = 1 << 10;

/// Counters of connection traffic.
#[derive(Debug, Default)]
pub(super) struct TrafficStats {
    /// Bytes received from clients.
    pub(super) received: AtomicU64,
    /// Bytes sent to clients.
    pub(super) sent: AtomicU64,
    /// Connections and responses aborted because the client did not read.
    pub(super) stalled: AtomicU64,
}

/// A connection that fails when the peer reads too slowly.
#[derive(derive_more::Debug)]
#[debug("MinRateStream {{ taken: {taken:?}, is_blocked: {is_blocked:?}, .. }}")]
pub(super) struct MinRateStream<S> {
    stream: S,
    clock: Arc<dyn Clock>,
    span: Duration,
    traffic: Arc<TrafficStats>,
    /// End of the current span.
    end: Option<BoxFuture<'static, ()>>,
    /// Bytes taken in the current span.
    taken: u64,
    /// Whether the last write is pending.
    is_blocked: bool,
}

impl<S> MinRateStream<S> {
    /// Wraps a connection that must make progress within each `span`.
    pub(super) fn new(
        stream: S,
        clock: Arc<dyn Clock>,
        span: Duration,
        traffic: Arc<TrafficStats>,
    ) -> Self {
        Self {
            stream,
            clock,
            span,
            traffic,
            end: None,
            taken: 0,
            is_blocked: false,
        }
    }

    fn least_bytes(&self) -> u64 {
        (self.span.as_secs().saturating_mul(MIN_BYTES_PER_SECOND)).max(1)
    }

    fn note(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(outcome) = &written {
            let bytes = outcome.as_ref().map_or(0, |bytes| *bytes as u64);
            self.taken = self.taken.saturating_add(bytes);
            self.traffic.sent.fetch_add(bytes, Ordering::Relaxed);
            self.is_blocked = false;
            return written;
        }
        let was_blocked = std::mem::replace(&mut self.is_blocked, true);
        loop {
            let (clock, span) = (&self.clock, self.span);
            let end = self.end.get_or_insert_with(|| clock.sleep(span));
            ready!(end.as_mut().poll(context));
            self.end = None;
            // A span without a pending write is not evaluated.
            if was_blocked && self.taken < self.least_bytes() {
                self.traffic.stalled.fetch_add(1, Ordering::Relaxed);
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.taken = 0;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for MinRateStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let bytes = buffer.filled().len().saturating_sub(before);
        self.traffic.received.fetch_add(bytes as u64, Ordering::Relaxed);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for MinRateStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.note(written, context)
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
    use neap_bucket::SystemClock;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const SPAN: Duration = Duration::from_secs(10);

    /// Creates the two ends of a connection with a buffer of 1 KiB.
    fn connection() -> (DuplexStream, MinRateStream<DuplexStream>) {
        let (client, server) = duplex(1 << 10);
        let clock = Arc::new(SystemClock::new());
        (client, MinRateStream::new(server, clock, SPAN, Arc::default()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_disconnected() {
        let (_client, mut server) = connection();
        let error = server.write_all(&[0; 4 << 10]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_too_slowly_is_disconnected() {
        let (mut client, mut server) = connection();
        let read = tokio::spawn(async move {
            let mut buffer = [0; 16];
            while client.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {
                SystemClock::new().sleep(Duration::from_secs(1)).await;
            }
        });
        let error = server.write_all(&[0; 1 << 20]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        read.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_slowly_gets_all_of_it() {
        let (mut client, mut server) = connection();
        let read = tokio::spawn(async move {
            let (mut buffer, mut total) = ([0; 4 << 10], 0);
            while total < 1 << 20 {
                total += client.read(&mut buffer).await.unwrap();
                SystemClock::new().sleep(Duration::from_millis(300)).await;
            }
            total
        });
        server.write_all(&[0; 1 << 20]).await.unwrap();
        assert_eq!(read.await.unwrap(), 1 << 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_between_answers_does_not_count() {
        let (mut client, mut server) = connection();
        let mut buffer = [0; 2 << 10];
        for _ in 0..3 {
            let (written, _) =
                tokio::join!(server.write_all(&[0; 2 << 10]), client.read_exact(&mut buffer));
            written.unwrap();
            SystemClock::new().sleep(SPAN * 3).await;
        }
    }
}
