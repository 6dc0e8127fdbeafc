//! Accepts connections, and drains them when the process stops.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use neap_http::{
    AccessControl, ByteStream, ConnectionDrain, Metrics, PendingConnection, PendingConnections,
    PortPlaces, TlsAcceptorSource, accept_tls, serve_connections,
};
use neap_query::QueryEngine;
use neap_sql_changes::ChangeExecutor;
use neap_write::WriteService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::{
    cancel_registry::CancelRegistry,
    close_reason::CloseReason,
    connection,
    context::{ConnectionContext, PostgresSettings},
    credential::CredentialChecker,
    frontend::StartupMessage,
    metrics::ConnectionMetrics,
    startup::{self, StartingClient},
    wire::{Wire, WireLimits},
};

/// The first byte of a TLS handshake without a request for TLS, as clients with `sslnegotiation=direct` send it.
const TLS_HANDSHAKE: u8 = 0x16;

/// The components of a [`PostgresListener`].
#[derive(Clone, derive_more::Debug)]
#[debug("PostgresParts {{ has_tls: {:?}, .. }}", self.tls.is_some())]
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

/// Accepts clients of PostgreSQL over TCP or TLS.
///
/// ```text
///   let listener = PostgresListener::bind("127.0.0.1:5432", settings, parts).await?;
///   tokio::spawn(listener.serve(stop.cancelled_owned(), grace));
/// ```
#[derive(derive_more::Debug)]
#[debug("PostgresListener {{ tcp: {tcp:?}, .. }}")]
pub struct PostgresListener {
    tcp: TcpListener,
    tls: Option<TlsAcceptorSource>,
    context: ConnectionContext,
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
            credentials: CredentialChecker { access: parts.access, identity, world: world.clone() },
            changes: ChangeExecutor::new(Arc::clone(&parts.queries), parts.writes.clone()),
            queries: parts.queries,
            writes: parts.writes,
            registry: CancelRegistry::default(),
            pending: PendingConnections::new(settings.max_pending),
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
        Ok(Self { tcp, tls: parts.tls, context })
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
        let serve = |stream: TcpStream, peer: SocketAddr| {
            let (context, tls) = (self.context.clone(), self.tls.clone());
            let pending = context.pending.admit(peer.ip());
            async move {
                let connection = async {
                    let start = ConnectionStart::new(peer, pending, &context);
                    let reason = serve_connection(stream, tls, start).await;
                    tracing::debug!(%peer, reason = ?reason, "a connection of PostgreSQL's protocol ended");
                    reason.label()
                };
                context.metrics.connections.count(connection).await;
            }
        };
        let (tcp, context) = (self.tcp, &self.context);
        let places = PortPlaces {
            connections: context.settings.max_connections,
            pending: Some(&context.pending),
        };
        let drain = ConnectionDrain { stop: &context.stop, grace };
        if !serve_connections(tcp, places, &context.world, stop, drain, serve).await {
            tracing::warn!("some statements of PostgreSQL's protocol did not end in time");
        }
    }
}

struct ConnectionStart<'a> {
    peer: SocketAddr,
    pending: PendingConnection,
    /// When it must be complete, by the monotonic clock.
    deadline: Duration,
    context: &'a ConnectionContext,
}

impl<'a> ConnectionStart<'a> {
    fn new(peer: SocketAddr, pending: PendingConnection, context: &'a ConnectionContext) -> Self {
        let timeout = context.settings.startup_timeout;
        Self {
            peer,
            pending,
            deadline: context.world.clock.monotonic().saturating_add(timeout),
            context,
        }
    }

    /// Waits for a part of the start: until the deadline, and until the connection is displaced.
    async fn limited<T>(
        &self,
        part: impl Future<Output = Result<T, CloseReason>>,
    ) -> Result<T, CloseReason> {
        let world = &self.context.world;
        let remaining = self.deadline.saturating_sub(world.clock.monotonic());
        tokio::select! {
            biased;
            () = self.pending.displaced() => Err(CloseReason::Displaced),
            done = world.timeout(remaining, part) => done.unwrap_or(Err(CloseReason::SlowStartup)),
        }
    }
}

/// Serves a connection until it ends.
async fn serve_connection(
    stream: TcpStream,
    tls: Option<TlsAcceptorSource>,
    start: ConnectionStart<'_>,
) -> CloseReason {
    match start.limited(negotiate(stream, tls, start.context)).await {
        Ok(client) => serve_session(client, start).await,
        Err(reason) => reason,
    }
}

/// A client that has sent the first message after the negotiation of TLS.
struct NegotiatedClient {
    wire: Wire,
    message: StartupMessage,
    is_encrypted: bool,
}

async fn negotiate(
    stream: TcpStream,
    tls: Option<TlsAcceptorSource>,
    context: &ConnectionContext,
) -> Result<NegotiatedClient, CloseReason> {
    let mut first = [0];
    let peeked = stream.peek(&mut first).await;
    if let (Ok(1), [TLS_HANDSHAKE], Some(tls)) = (peeked, first, &tls) {
        return encrypt(Box::new(stream), tls, context).await;
    }
    let mut wire = Wire::new(Box::new(stream), context.limits.clone(), context.world.clone());
    loop {
        match wire.receive_startup().await? {
            StartupMessage::Tls => match &tls {
                // Bytes before the handshake would be taken for encrypted ones.
                Some(_) if wire.has_input() => return Err(CloseReason::Malformed),
                Some(tls) => {
                    wire.put_byte(b'S');
                    wire.flush().await?;
                    return encrypt(wire.into_stream(), tls, context).await;
                }
                None => wire.put_byte(b'N'),
            },
            StartupMessage::Gss => wire.put_byte(b'N'),
            message => {
                return Ok(NegotiatedClient { wire, message, is_encrypted: false });
            }
        }
        wire.flush().await?;
    }
}

async fn encrypt(
    stream: Box<dyn ByteStream>,
    tls: &TlsAcceptorSource,
    context: &ConnectionContext,
) -> Result<NegotiatedClient, CloseReason> {
    let encrypted = match accept_tls(&tls(), stream, &context.world).await {
        Ok(encrypted) => Box::new(encrypted),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            return Err(CloseReason::SlowStartup);
        }
        Err(error) => return Err(CloseReason::Broken(format!("TLS: {error}"))),
    };
    let mut wire = Wire::new(encrypted, context.limits.clone(), context.world.clone());
    Ok(NegotiatedClient {
        message: wire.receive_startup().await?,
        wire,
        is_encrypted: true,
    })
}

/// Serves a connection after the negotiation.
async fn serve_session(negotiated: NegotiatedClient, start: ConnectionStart<'_>) -> CloseReason {
    let NegotiatedClient { mut wire, message, is_encrypted } = negotiated;
    let client = StartingClient {
        address: start.peer.ip(),
        is_encrypted,
        pending: &start.pending,
    };
    let context = start.context;
    let started = start.limited(startup::begin(&mut wire, message, &client, context)).await;
    drop(start);
    let reason = match started {
        Ok(connection) => Box::pin(connection::serve(&mut wire, connection, context)).await,
        Err(reason) => reason,
    };
    wire.close().await;
    reason
}
