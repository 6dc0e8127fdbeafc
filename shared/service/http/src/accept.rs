//! Accepts the connections of a TCP port.

use std::{fmt, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use neap_bucket::World;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::PendingConnections;

/// Timeout of the TLS handshake of an accepted connection.
const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause after a failed accept, for example when there are no file descriptors left.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// Returns the TLS context for the next connection, with the newest certificate.
pub type TlsAcceptorSource = Arc<dyn Fn() -> TlsAcceptor + Send + Sync>;

/// A connection, with or without TLS.
pub trait ByteStream: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin> ByteStream for T {}

/// An accepted connection.
#[derive(Debug)]
pub struct AcceptedConnection {
    /// The connection, without Nagle's algorithm, because answers are written in large pieces.
    pub stream: TcpStream,
    /// The remote address.
    pub peer: SocketAddr,
    /// Counts as an open connection until it is dropped.
    pub permit: Option<OwnedSemaphorePermit>,
}

/// The places of a port for connections.
#[derive(Clone, Copy, Debug)]
pub struct PortPlaces<'a> {
    /// Their number. One more connection waits for a place, and others in the accept queue of the operating system.
    pub connections: usize,
    /// The connections whose clients have not authenticated: one of them gives up its place if another one waits for it.
    pub pending: Option<&'a PendingConnections>,
}

/// How the connections of a port end when the process stops.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionDrain<'a> {
    /// Cancelled when the port is closed. Each connection ends after the work that it is doing.
    pub stop: &'a CancellationToken,
    /// Maximum time in which they end.
    pub grace: Duration,
}

/// Serves each connection of `tcp` in a task of its own until `stop` completes, and closes `tcp`. Then waits until open
/// connections have ended, and returns whether they have ended in time.
pub async fn serve_connections<F: Future<Output = ()> + Send + 'static>(
    tcp: TcpListener,
    places: PortPlaces<'_>,
    world: &World,
    stop: impl Future<Output = ()>,
    drain: ConnectionDrain<'_>,
    mut serve: impl FnMut(TcpStream, SocketAddr) -> F,
) -> bool {
    let open = TaskTracker::new();
    let spawn = |accepted: AcceptedConnection| {
        let served = serve(accepted.stream, accepted.peer);
        open.spawn(async move {
            served.await;
            drop(accepted.permit);
        });
    };
    accept_connections(tcp, places, world, stop, spawn).await;
    drain.stop.cancel();
    open.close();
    world.timeout(drain.grace, open.wait()).await.is_some()
}

/// Passes each connection of `tcp` that gets a place to `serve` until `stop` completes, and closes `tcp`.
pub async fn accept_connections(
    tcp: TcpListener,
    places: PortPlaces<'_>,
    world: &World,
    stop: impl Future<Output = ()>,
    mut serve: impl FnMut(AcceptedConnection),
) {
    let permits = Arc::new(Semaphore::new(places.connections));
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => return,
            accepted = accept(&tcp, &permits, places.pending, world) => accepted,
        };
        serve(accepted);
    }
}

async fn accept(
    tcp: &TcpListener,
    permits: &Arc<Semaphore>,
    pending: Option<&PendingConnections>,
    world: &World,
) -> AcceptedConnection {
    let (stream, peer) = loop {
        match tcp.accept().await {
            Ok(accepted) => break accepted,
            Err(error) => {
                let address = tcp.local_addr().ok();
                tracing::warn!(?address, %error, "cannot accept a connection");
                world.clock.sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    };
    stream.set_nodelay(true).ok();
    if permits.available_permits() == 0
        && let Some(pending) = pending
    {
        pending.displace_one();
    }
    AcceptedConnection {
        stream,
        peer,
        // The semaphore is never closed.
        permit: Arc::clone(permits).acquire_owned().await.ok(),
    }
}

/// Performs the TLS handshake of an accepted connection, if connections have TLS.
///
/// # Errors
/// Those of [`accept_tls`].
pub async fn accept_stream(
    stream: TcpStream,
    tls: Option<&TlsAcceptorSource>,
    world: &World,
) -> io::Result<Box<dyn ByteStream>> {
    let Some(tls) = tls else {
        return Ok(Box::new(stream));
    };
    Ok(Box::new(accept_tls(&tls(), stream, world).await?))
}

/// Performs the TLS handshake of an accepted connection.
///
/// # Errors
/// The handshake fails, or takes longer than ten seconds: `TimedOut`.
pub async fn accept_tls<S: AsyncRead + AsyncWrite + Unpin>(
    acceptor: &TlsAcceptor,
    stream: S,
    world: &World,
) -> io::Result<TlsStream<S>> {
    let accepted = world.timeout(TLS_HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await;
    accepted.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::oneshot,
    };

    use super::*;

    /// Serves connections that end when the server stops, and returns whether they ended in time.
    async fn stopped_server(grace: Duration, is_obedient: bool) -> bool {
        let world = World::system();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let stopping = CancellationToken::new();
        let drain = ConnectionDrain { stop: &stopping, grace };
        let serve = |mut stream: TcpStream, _| {
            let stopping = stopping.clone();
            async move {
                stream.write_all(b"x").await.unwrap();
                if is_obedient {
                    stopping.cancelled().await;
                } else {
                    std::future::pending::<()>().await;
                }
            }
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            stopped.await.ok();
        };
        let places = PortPlaces { connections: 1, pending: None };
        let serving = serve_connections(tcp, places, &world, stopped, drain, serve);
        let client = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.read_exact(&mut [0]).await.unwrap();
            drop(stop);
            stream
        };
        let (has_ended, _client) = tokio::join!(serving, client);
        has_ended
    }

    #[tokio::test]
    async fn connections_have_time_to_end_when_the_server_stops() {
        assert!(stopped_server(Duration::from_secs(60), true).await);
        assert!(!stopped_server(Duration::ZERO, false).await);
    }

    #[tokio::test]
    async fn clients_that_have_not_authenticated_give_up_their_places() {
        let world = World::system();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        // More than the port has places.
        let pending = PendingConnections::new(8);
        let places = PortPlaces { connections: 2, pending: Some(&pending) };
        let drain = ConnectionDrain { stop: &CancellationToken::new(), grace: Duration::ZERO };
        let serve = |mut stream: TcpStream, peer: SocketAddr| {
            let waiting = pending.admit(peer.ip());
            async move {
                stream.write_all(b"x").await.unwrap();
                waiting.displaced().await;
            }
        };
        let clients = async {
            let mut silent = Vec::new();
            for _ in 0..5 {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.read_exact(&mut [0]).await.unwrap();
                silent.push(stream);
            }
        };
        let stop = std::future::pending();
        let all_served = tokio::select! {
            _ = serve_connections(tcp, places, &world, stop, drain, serve) => None,
            served = world.timeout(Duration::from_secs(60), clients) => served,
        };
        assert!(all_served.is_some());
    }
}
