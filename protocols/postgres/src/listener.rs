//! Accepts connections, and drains them when the process stops.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use neap_http::{
    AcceptedConnection, AccessControl, Metrics, TLS_HANDSHAKE_TIMEOUT, accept_connections,
};
use neap_query::QueryEngine;
use neap_write::WriteService;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    cancel_registry::CancelRegistry,
    close_reason::CloseReason,
    connection,
    context::{ConnectionContext, PostgresSettings},
    credential::CredentialChecker,
    frontend::StartupMessage,
    metrics::ConnectionMetrics,
    startup,
    wire::{Wire, WireLimits},
};

/// Returns the TLS context for the next connection, with the newest certificate.
pub type TlsAcceptorSource = Arc<dyn Fn() -> TlsAcceptor + Send + Sync>;

/// The first byte of a TLS handshake without a request for TLS, as clients with `sslnegotiation=direct` send it.
const TLS_HANDSHAKE: u8 = 0x16;

/// The components of a [`PostgresListener`].
#[derive(Clone)]
pub struct PostgresParts {
    /// The query function.
    pub queries: Arc<QueryEngine>,
    /// The write function; `None`: connections only read.
    pub writes: Option<Arc<WriteService>>,
    /// Authenticates clients.
    pub access: AccessControl,
    /// The metrics registry.
    pub metrics: Metrics,
    /// TLS; `None`: connections are not encrypted.
    pub tls: Option<TlsAcceptorSource>,
}

impl fmt::Debug for PostgresParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresParts")
            .field("has_tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

/// Accepts clients of PostgreSQL over TCP or TLS.
///
/// ```text
///   let listener = PostgresListener::bind("127.0.0.1:5432", settings, parts).await?;
///   tokio::spawn(listener.serve(stop.cancelled_owned(), grace));
/// ```
pub struct PostgresListener {
    tcp: TcpListener,
    tls: Option<TlsAcceptorSource>,
    context: ConnectionContext,
}

impl fmt::Debug for PostgresListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresListener")
            .field("tcp", &self.tcp)
            .finish_non_exhaustive()
    }
}

impl PostgresListener {
    /// Listens on an address such as `127.0.0.1:5432` or `localhost:0`, and registers the metrics.
    ///
    /// # Errors
    /// The address can't be listened on.
    pub async fn bind(
        address: &str,
        settings: PostgresSettings,
        parts: PostgresParts,
    ) -> io::Result<Self> {
        let tcp = TcpListener::bind(address).await?;
        let world = parts.queries.world().clone();
        let identity = parts.writes.as_ref().and_then(|writes| writes.identity().cloned());
        let context = ConnectionContext {
            credentials: CredentialChecker {
                access: parts.access,
                identity,
                world: world.clone(),
            },
            queries: parts.queries,
            writes: parts.writes,
            registry: CancelRegistry::default(),
            metrics: ConnectionMetrics::new(&parts.metrics),
            limits: WireLimits {
                max_message_bytes: settings.max_message_bytes.min(settings.max_buffered_bytes),
                transfer: settings.transfer_timeout,
                memory: WireLimits::memory(settings.max_buffered_bytes),
            },
            settings,
            world,
            stop: CancellationToken::new(),
        };
        Ok(Self {
            tcp,
            tls: parts.tls,
            context,
        })
    }

    /// Returns the bound address.
    ///
    /// # Errors
    /// The operating system does not tell it.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves until `stop` completes. Then accepts no more connections, closes idle ones, and gives running statements at
    /// most `grace` to complete.
    pub async fn serve(self, stop: impl Future<Output = ()>, grace: Duration) {
        let open = TaskTracker::new();
        let serve = |accepted: AcceptedConnection| {
            let (context, tls) = (self.context.clone(), self.tls.clone());
            open.spawn(async move {
                let guard = context.metrics.open();
                let AcceptedConnection {
                    stream,
                    peer,
                    permit,
                } = accepted;
                let reason = serve_connection(stream, peer, tls, &context).await;
                context.metrics.count_closed(reason.label());
                tracing::debug!(%peer, reason = ?reason, "a connection of PostgreSQL's protocol ended");
                drop((guard, permit));
            });
        };
        let world = &self.context.world;
        let max_connections = self.context.settings.max_connections;
        accept_connections(self.tcp, max_connections, world, stop, serve).await;
        self.context.stop.cancel();
        open.close();
        if world.timeout(grace, open.wait()).await.is_none() {
            tracing::warn!("some statements of PostgreSQL's protocol did not end in time");
        }
    }
}

/// Serves a connection until it ends.
async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptorSource>,
    context: &ConnectionContext,
) -> CloseReason {
    let timeout = context.settings.startup_timeout;
    let deadline = context.world.clock.monotonic().saturating_add(timeout);
    let negotiated = negotiate(stream, tls, context);
    let negotiated = context.world.timeout(timeout, negotiated).await;
    match negotiated.unwrap_or(Err(CloseReason::SlowStartup)) {
        Ok(Negotiated::Plain(wire, message)) => {
            serve_session(*wire, message, peer, (false, deadline), context).await
        }
        Ok(Negotiated::Encrypted(wire, message)) => {
            serve_session(*wire, message, peer, (true, deadline), context).await
        }
        Err(reason) => reason,
    }
}

/// A connection whose client has sent the first message after the negotiation of TLS.
enum Negotiated {
    Plain(Box<Wire<TcpStream>>, StartupMessage),
    Encrypted(
        Box<Wire<tokio_rustls::server::TlsStream<TcpStream>>>,
        StartupMessage,
    ),
}

async fn negotiate(
    stream: TcpStream,
    tls: Option<TlsAcceptorSource>,
    context: &ConnectionContext,
) -> Result<Negotiated, CloseReason> {
    let mut first = [0];
    let peeked = stream.peek(&mut first).await;
    if let (Ok(1), [TLS_HANDSHAKE], Some(tls)) = (peeked, first, &tls) {
        return accept_tls(stream, tls, context).await;
    }
    let mut wire = Wire::new(stream, context.limits.clone(), context.world.clone());
    loop {
        match wire.receive_startup().await? {
            StartupMessage::Tls => match &tls {
                // Bytes before the handshake would be taken for encrypted ones.
                Some(_) if wire.has_input() => return Err(CloseReason::Malformed),
                Some(tls) => {
                    wire.put_byte(b'S');
                    wire.flush().await?;
                    return accept_tls(wire.into_stream(), tls, context).await;
                }
                None => wire.put_byte(b'N'),
            },
            StartupMessage::Gss => wire.put_byte(b'N'),
            message => return Ok(Negotiated::Plain(Box::new(wire), message)),
        }
        wire.flush().await?;
    }
}

async fn accept_tls(
    stream: TcpStream,
    tls: &TlsAcceptorSource,
    context: &ConnectionContext,
) -> Result<Negotiated, CloseReason> {
    let accepted = context.world.timeout(TLS_HANDSHAKE_TIMEOUT, tls().accept(stream)).await;
    let stream = match accepted {
        Some(Ok(stream)) => stream,
        Some(Err(error)) => return Err(CloseReason::Broken(format!("TLS: {error}"))),
        None => return Err(CloseReason::SlowStartup),
    };
    let mut wire = Wire::new(stream, context.limits.clone(), context.world.clone());
    let message = wire.receive_startup().await?;
    Ok(Negotiated::Encrypted(Box::new(wire), message))
}

/// Serves a connection after the negotiation, whose startup must be complete at the deadline, by the monotonic clock.
async fn serve_session<S: AsyncRead + AsyncWrite + Unpin + Send>(
    mut wire: Wire<S>,
    message: StartupMessage,
    peer: SocketAddr,
    (is_encrypted, deadline): (bool, Duration),
    context: &ConnectionContext,
) -> CloseReason {
    let remaining = deadline.saturating_sub(context.world.clock.monotonic());
    let startup = startup::begin(&mut wire, message, peer.ip(), is_encrypted, context);
    let started = context.world.timeout(remaining, startup).await;
    let reason = match started.unwrap_or(Err(CloseReason::SlowStartup)) {
        Ok(connection) => Box::pin(connection::serve(&mut wire, connection, context)).await,
        Err(reason) => reason,
    };
    wire.close().await;
    reason
}
