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

/// How the connections of a port end when the process stops.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionDrain<'a> {
    /// Cancelled when the port is closed. Connections end when they have done what they have begun.
    pub stop: &'a CancellationToken,
    /// Maximum time in which they end.
    pub grace: Duration,
}

/// Serves each connection of `tcp` in a task of its own until `stop` completes, and closes `tcp`. Then waits until open
/// connections have ended, and returns whether they have ended in time. At most `max_connections` are open at a time;
/// others wait in the accept queue of the operating system.
pub async fn serve_connections<F: Future<Output = ()> + Send + 'static>(
    tcp: TcpListener,
    max_connections: usize,
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
    accept_connections(tcp, max_connections, world, stop, spawn).await;
    drain.stop.cancel();
    open.close();
    world.timeout(drain.grace, open.wait()).await.is_some()
}

/// Passes each connection of `tcp` to `serve` until `stop` completes, and closes `tcp`. At most `max_connections` are
/// open at a time; others wait in the accept queue of the operating system.
pub async fn accept_connections(
    tcp: TcpListener,
    max_connections: usize,
    world: &World,
    stop: impl Future<Output = ()>,
    mut serve: impl FnMut(AcceptedConnection),
) {
    let permits = Arc::new(Semaphore::new(max_connections));
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => return,
            accepted = accept(&tcp, &permits, world) => accepted,
        };
        serve(accepted);
    }
}

async fn accept(tcp: &TcpListener, permits: &Arc<Semaphore>, world: &World) -> AcceptedConnection {
    // The semaphore is never closed.
    let permit = Arc::clone(permits).acquire_owned().await.ok();
    loop {
        match tcp.accept().await {
            Ok((stream, peer)) => {
                stream.set_nodelay(true).ok();
                return AcceptedConnection {
                    stream,
                    peer,
                    permit,
                };
            }
            Err(error) => {
                let address = tcp.local_addr().ok();
                tracing::warn!(?address, %error, "cannot accept a connection");
                world.clock.sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
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
        let drain = ConnectionDrain {
            stop: &stopping,
            grace,
        };
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
        let serving = serve_connections(tcp, 1, &world, stopped, drain, serve);
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
}
