//! Accepts connections on the worker port.

use std::{io, time::Duration};

use futures::{FutureExt, stream};
use neap_bucket::World;
use neap_http::{
    AcceptedConnection, PendingConnection, PendingConnections, PortPlaces, TlsAcceptorSource,
    accept_connections, accept_stream,
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

use super::connection::{Peer, WorkerConnection};

/// Maximum number of connections; others wait in the accept queue of the operating system. A peer opens one or two.
const MAX_CONNECTIONS: usize = 512;

/// Time in which a peer must show a valid ticket.
const TICKET_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections that were accepted and wait to be served.
const ACCEPTED_CONNECTIONS: usize = 16;

/// Accepts connections until `stop`, and returns them as a stream.
pub(super) fn accept(
    tcp: TcpListener,
    tls: Option<TlsAcceptorSource>,
    world: World,
    stop: CancellationToken,
) -> impl futures::Stream<Item = io::Result<WorkerConnection>> {
    let (accepted, connections) = mpsc::channel(ACCEPTED_CONNECTIONS);
    tokio::spawn(async move {
        let pending = PendingConnections::new(PendingConnections::USUAL_MAX);
        let serve = |connection: AcceptedConnection| {
            let admitted = pending.admit(connection.peer.ip());
            let tls = tls.clone();
            let (world, accepted) = (world.clone(), accepted.clone());
            tokio::spawn(async move {
                if let Some(connection) = connect(connection, admitted, tls, &world).await {
                    accepted.send(Ok(connection)).await.ok();
                }
            });
        };
        let places = PortPlaces { connections: MAX_CONNECTIONS, pending: Some(&pending) };
        accept_connections(tcp, places, &world, stop.cancelled(), serve).await;
    });
    stream::unfold(connections, |mut connections| async move {
        let connection = connections.recv().await?;
        Some((connection, connections))
    })
}

/// Performs the TLS handshake, if any. Returns `None` if it fails.
async fn connect(
    accepted: AcceptedConnection,
    pending: PendingConnection,
    tls: Option<TlsAcceptorSource>,
    world: &World,
) -> Option<WorkerConnection> {
    let AcceptedConnection { stream, peer: address, permit } = accepted;
    let handshake = tokio::select! {
        () = pending.displaced() => return None,
        handshake = accept_stream(stream, tls.as_ref(), world) => handshake,
    };
    let connected = match handshake {
        Ok(connected) => connected,
        Err(error) => {
            tracing::debug!(%address, %error, "TLS handshake on the worker port failed");
            return None;
        }
    };
    let peer = Peer::new(address, pending);
    let (waiting, sleep) = (peer.clone(), world.clock.sleep(TICKET_TIMEOUT));
    let deadline = async move {
        tokio::select! {
            () = waiting.displaced() => {}
            () = sleep => {}
        }
    };
    Some(WorkerConnection::new(connected, peer, deadline.boxed(), permit))
}
