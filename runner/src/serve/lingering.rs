//! Ending a connection so that its last answer arrives.
//!
//! A request may be refused while its body is still on the way: it is too large, or for a database that can't
//! be. If the connection were closed then, the system would answer what comes after with a reset, and the
//! client would see that in place of the refusal. So what comes is read and dropped for a while.

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

/// How long a client may go on sending after its answer.
const LONGEST: Duration = Duration::from_secs(5);
/// How much it may send in this time.
const MOST_BYTES: u64 = 64 << 20;

/// A connection that is given back when it is dropped, unless the client has closed it.
#[derive(Debug)]
pub(super) struct Lent {
    connection: Option<TcpStream>,
    back: Option<oneshot::Sender<TcpStream>>,
}

/// Lends a connection; the receiver gets it back.
pub(super) fn lend(connection: TcpStream) -> (Lent, oneshot::Receiver<TcpStream>) {
    let (back, given_back) = oneshot::channel();
    let lent = Lent {
        connection: Some(connection),
        back: Some(back),
    };
    (lent, given_back)
}

/// Reads on until the client has seen that the connection is over, within bounds.
pub(super) async fn linger(given_back: oneshot::Receiver<TcpStream>, world: &World) {
    let Ok(connection) = given_back.await else {
        return;
    };
    let mut rest = connection.take(MOST_BYTES);
    let drop_all = async {
        let mut buffer = [0; 16 << 10];
        while rest.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {}
    };
    world.timeout(LONGEST, drop_all).await;
}

impl Lent {
    fn connection(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        let connection = self.connection.as_mut().map(Pin::new);
        connection.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some((connection, back)) = self.connection.take().zip(self.back.take()) {
            // Nobody waits for it when the process ends.
            back.send(connection).ok();
        }
    }
}

impl AsyncRead for Lent {
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

impl AsyncWrite for Lent {
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
