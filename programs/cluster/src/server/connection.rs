//! Connections of the worker port.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use neap_http::{ByteStream, PendingConnection};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::OwnedSemaphorePermit,
};
use tonic::transport::server::Connected;

/// The peer of a connection, and whether it has shown a valid ticket.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    address: SocketAddr,
    is_trusted: Arc<AtomicBool>,
    /// Its connection, until it has shown one.
    pending: Arc<PendingConnection>,
}

impl Peer {
    pub(super) fn new(address: SocketAddr, pending: PendingConnection) -> Self {
        Self {
            address,
            is_trusted: Arc::default(),
            pending: Arc::new(pending),
        }
    }

    /// Completes when the connection of another peer takes the place of that of this peer.
    pub(super) async fn displaced(&self) {
        self.pending.displaced().await;
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Records that the peer has shown a valid ticket.
    pub(super) fn trust(&self) {
        self.is_trusted.store(true, Ordering::Relaxed);
        self.pending.release();
    }

    fn is_trusted(&self) -> bool {
        self.is_trusted.load(Ordering::Relaxed)
    }
}

/// A connection that fails if its peer shows no valid ticket before `deadline`, so that strangers cannot occupy all
/// connections.
pub(super) struct WorkerConnection {
    stream: Box<dyn ByteStream>,
    peer: Peer,
    /// `None`: it has shown one.
    deadline: Option<BoxFuture<'static, ()>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl WorkerConnection {
    pub(super) fn new(
        stream: Box<dyn ByteStream>,
        peer: Peer,
        deadline: BoxFuture<'static, ()>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self { stream, peer, deadline: Some(deadline), _permit: permit }
    }

    fn check_deadline(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(deadline) = &mut self.deadline else {
            return Ok(());
        };
        if self.peer.is_trusted() {
            self.deadline = None;
            return Ok(());
        }
        match deadline.as_mut().poll(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "no request with a valid ticket"))
            }
        }
    }
}

impl Connected for WorkerConnection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for WorkerConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_deadline(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for WorkerConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
