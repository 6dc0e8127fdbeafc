//! Accepts connections of QuestDB's clients, and drains them when the process stops.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use neap_catalog::Catalog;
use neap_http::{
    ConnectionDrain, Metrics, PendingConnection, PendingConnections, PortPlaces, TlsAcceptorSource,
    accept_stream, serve_connections,
};
use neap_write::WriteService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::{
    batch_writer::BatchWriter,
    close_reason::CloseReason,
    connection::{self, ConnectionContext, ConnectionLimits},
    connection_access::{KeyPolicy, KeyReader},
    metrics::ConnectionMetrics,
    receive_buffer::BufferMemory,
};

/// The settings of a [`QuestDbListener`].
#[derive(Clone, Debug)]
pub struct QuestDbSettings {
    /// The database that all lines are written to. It is created if it is missing. Must be a valid name.
    pub database: String,
    /// The clients that may write.
    pub key_policy: KeyPolicy,
    /// Maximum time for which an open connection may write after another instance has deleted its key.
    pub max_key_age: Duration,
    /// Maximum number of connections; others wait in the accept queue of the operating system.
    pub max_connections: usize,
    /// Maximum number of them whose clients have not signed the challenge, if all clients need a key.
    pub max_pending: usize,
    /// Maximum bytes of a line. A longer line closes the connection.
    pub max_line_bytes: usize,
    /// Maximum bytes of the lines that are written at once. A connection holds as many bytes again that it receives
    /// meanwhile.
    pub max_batch_bytes: usize,
    /// Maximum received bytes that all connections together hold, besides 16 KiB for each. A connection that gets no
    /// memory stops to receive, and is closed if it waits longer than `line_timeout`.
    pub max_buffered_bytes: usize,
    /// Maximum time without a byte.
    pub idle_timeout: Duration,
    /// Maximum time between the first and the last byte of a line, without the time in which the connection does not
    /// receive; and maximum wait for the memory of a line.
    pub line_timeout: Duration,
}

impl QuestDbSettings {
    /// Returns the default limits: 1,024 connections, lines of 2 MiB, writes of 8 MiB, 64 MiB for all connections, one
    /// hour without a byte.
    pub fn new(database: impl Into<String>, key_policy: KeyPolicy) -> Self {
        Self {
            database: database.into(),
            key_policy,
            max_key_age: Duration::from_secs(5),
            max_connections: 1024,
            max_pending: PendingConnections::USUAL_MAX,
            max_line_bytes: 2 << 20,
            max_batch_bytes: 8 << 20,
            max_buffered_bytes: 64 << 20,
            // The clients do not connect again by themselves.
            idle_timeout: Duration::from_secs(3600),
            line_timeout: Duration::from_secs(60),
        }
    }
}

/// The components of a [`QuestDbListener`].
#[derive(Clone, derive_more::Debug)]
#[debug("QuestDbParts {{ has_tls: {:?}, .. }}", self.tls.is_some())]
pub struct QuestDbParts {
    /// The write function.
    pub writes: Arc<WriteService>,
    /// The catalog with the keys.
    pub catalog: Arc<Catalog>,
    /// The metrics registry.
    pub metrics: Metrics,
    /// TLS; `None` for plain TCP.
    pub tls: Option<TlsAcceptorSource>,
}

/// Accepts line protocol of QuestDB over TCP or TLS.
///
/// ```text
///   let listener = QuestDbListener::bind("0.0.0.0:9009", settings, parts).await?;
///   tokio::spawn(listener.serve(stop.cancelled_owned(), grace));
/// ```
#[derive(derive_more::Debug)]
#[debug("QuestDbListener {{ tcp: {tcp:?}, .. }}")]
pub struct QuestDbListener {
    tcp: TcpListener,
    tls: Option<TlsAcceptorSource>,
    max_connections: usize,
    context: ConnectionContext,
    metrics: ConnectionMetrics,
}

impl QuestDbListener {
    /// Listens on an address such as `127.0.0.1:9009` or `localhost:0`, and registers the metrics.
    ///
    /// # Errors
    /// The address can't be listened on.
    pub async fn bind(
        address: &str,
        settings: QuestDbSettings,
        parts: QuestDbParts,
    ) -> io::Result<Self> {
        let tcp = TcpListener::bind(address).await?;
        let metrics = ConnectionMetrics::new(&parts.metrics);
        let world = parts.writes.world().clone();
        let keys = KeyReader {
            catalog: parts.catalog,
            world: world.clone(),
            max_age: settings.max_key_age,
        };
        let writer = BatchWriter {
            writes: parts.writes,
            keys,
            database: settings.database.into(),
            metrics: metrics.clone(),
        };
        let context = ConnectionContext {
            writer,
            policy: settings.key_policy,
            pending: PendingConnections::new(settings.max_pending),
            memory: BufferMemory::new(settings.max_buffered_bytes),
            limits: ConnectionLimits {
                line_bytes: settings.max_line_bytes,
                batch_bytes: settings.max_batch_bytes.max(settings.max_line_bytes),
                idle: settings.idle_timeout,
                line: settings.line_timeout,
            },
            world,
            stop: CancellationToken::new(),
        };
        Ok(Self {
            tcp,
            tls: parts.tls,
            max_connections: settings.max_connections,
            context,
            metrics,
        })
    }

    /// Returns the bound address.
    ///
    /// # Errors
    /// The operating system does not tell it.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves until `stop` completes. Then accepts no more connections, and gives open connections at most `grace` to
    /// store the lines that have arrived.
    pub async fn serve(self, stop: impl Future<Output = ()>, grace: Duration) {
        let serve = |stream: TcpStream, peer: SocketAddr| {
            let (context, tls) = (self.context.clone(), self.tls.clone());
            let metrics = self.metrics.clone();
            let pending = context.pending.admit(peer.ip());
            if context.policy != KeyPolicy::Required {
                // Clients may connect long before their first line.
                pending.release();
            }
            async move {
                let connection = async {
                    let (reason, key) = serve_connection(stream, pending, tls, &context).await;
                    log_end(peer, key.as_deref(), &reason);
                    reason.label()
                };
                metrics.connections.count(connection).await;
            }
        };
        let (tcp, world) = (self.tcp, &self.context.world);
        let places = PortPlaces {
            connections: self.max_connections,
            pending: Some(&self.context.pending),
        };
        let drain = ConnectionDrain { stop: &self.context.stop, grace };
        if !serve_connections(tcp, places, world, stop, drain, serve).await {
            tracing::warn!("some lines of QuestDB's clients were not stored in time");
        }
    }
}

async fn serve_connection(
    stream: TcpStream,
    pending: PendingConnection,
    tls: Option<TlsAcceptorSource>,
    context: &ConnectionContext,
) -> (CloseReason, Option<String>) {
    let accepted = tokio::select! {
        () = context.stop.cancelled() => return (CloseReason::Stopped, None),
        () = pending.displaced() => return (CloseReason::Displaced, None),
        accepted = accept_stream(stream, tls.as_ref(), &context.world) => accepted,
    };
    match accepted {
        Ok(accepted) => connection::serve(accepted, pending, context).await,
        Err(error) if error.kind() == io::ErrorKind::TimedOut => (CloseReason::SlowHandshake, None),
        Err(error) => (CloseReason::Broken(format!("TLS: {error}")), None),
    }
}

fn log_end(peer: SocketAddr, key: Option<&str>, reason: &CloseReason) {
    let (label, message) = (reason.label(), reason.message());
    if reason.is_failure() {
        tracing::warn!(%peer, key, reason = label, message, "a connection of QuestDB's protocol was closed");
    } else {
        tracing::debug!(%peer, key, reason = label, message, "a connection of QuestDB's protocol ended");
    }
}
