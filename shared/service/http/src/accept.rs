//! Accepts the connections of a TCP port.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use neap_bucket::World;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// Timeout of the TLS handshake of an accepted connection.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause after a failed accept, for example when there are no file descriptors left.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

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
