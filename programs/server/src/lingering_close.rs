//! Lingering close: closes a connection so that the client receives the last response.
//!
//! A request may be refused while its body still arrives, for example because it is too large or names an invalid
//! database. If the server closed the connection immediately, the operating system would answer further data with a
//! reset, and the client would see the reset instead of the refusal. Therefore, the server reads and discards data for
//! up to 5 seconds.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use neap_bucket::World;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::oneshot,
};

/// Maximum time that a client may continue to send after the response.
const MAX_LINGER_TIME: Duration = Duration::from_secs(5);
/// Maximum bytes that a client may send in this time.
const MAX_LINGER_BYTES: u64 = 64 << 20;

/// A connection that returns to its owner when it is dropped, unless the client has closed it.
#[derive(Debug)]
pub(super) struct BorrowedConnection {
    connection: Option<TcpStream>,
    back: Option<oneshot::Sender<TcpStream>>,
}

/// Wraps a connection; the receiver gets it back on drop.
pub(super) fn borrow_connection(
    connection: TcpStream,
) -> (BorrowedConnection, oneshot::Receiver<TcpStream>) {
    let (back, given_back) = oneshot::channel();
    let lent = BorrowedConnection { connection: Some(connection), back: Some(back) };
    (lent, given_back)
}

/// Reads and discards data until the client closes the connection, bounded in time and bytes.
pub(super) async fn linger(given_back: oneshot::Receiver<TcpStream>, world: &World) {
    let Ok(connection) = given_back.await else {
        return;
    };
    let mut rest = connection.take(MAX_LINGER_BYTES);
    let drop_all = async {
        let mut buffer = [0; 16 << 10];
        while rest.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {}
    };
    world.timeout(MAX_LINGER_TIME, drop_all).await;
}

impl BorrowedConnection {
    fn connection(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        let connection = self.connection.as_mut().map(Pin::new);
        connection.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for BorrowedConnection {
    fn drop(&mut self) {
        if let Some((connection, back)) = self.connection.take().zip(self.back.take()) {
            // The receiver is gone if the process is stopping.
            back.send(connection).ok();
        }
    }
}

impl AsyncRead for BorrowedConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        let read = self.connection()?.poll_read(context, buffer);
        let is_over = room > 0 && buffer.filled().len() == before;
        if matches!(read, Poll::Ready(Ok(()))) && is_over {
            self.back = None;
        }
        read
    }
}

impl AsyncWrite for BorrowedConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.connection()?.poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.connection()?.poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection()?.poll_shutdown(context)
    }
}
