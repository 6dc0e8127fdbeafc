//! Accepts connections, and drains them when the process stops.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use neap_bucket::World;
use neap_http::{AcceptedConnection, PeerAddress, PortPlaces, accept_connections, accept_tls};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    active_count::{ActiveCount, ActiveGuard},
    explained_refusals::ExplainedRefusals,
    first_bytes_timeout::FirstBytesTimeout,
    lingering_close::{borrow_connection, linger},
    min_rate_stream::{MinRateStream, TrafficStats},
    response_body::deliver,
    tls::TlsContext,
};

/// Maximum number of connections; others wait in the accept queue of the operating system.
const MAX_CONNECTIONS: usize = 10_000;
/// Idle time after which the server pings an HTTP/2 client.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// Time after which an unanswered ping closes the connection.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Maximum size of a request head in bytes, including path and query; a larger head is answered with 431. Paths longer
/// than 65,534 bytes are answered with 414.
const MAX_HEAD_BYTES: u32 = 128 << 10;
/// Maximum number of headers of a request.
const MAX_HEADERS: usize = 100;
/// Maximum number of concurrent requests on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;

/// Settings of connections.
#[derive(Clone, Debug)]
pub(super) struct ListenerSettings {
    /// TLS context; `None` for plain HTTP.
    pub(super) tls: Option<TlsContext>,
    /// Maximum time for receiving the head of a request, and for a client to read a piece of a response.
    pub(super) patience: Duration,
    /// Maximum time without a request on an HTTP/2 connection. For HTTP/1, it is `patience`.
    pub(super) idle: Duration,
    /// Maximum number of connections.
    pub(super) connections: usize,
}

impl ListenerSettings {
    /// Returns the default limits.
    pub(super) fn with_tls(tls: Option<TlsContext>) -> Self {
        Self {
            tls,
            patience: Duration::from_secs(30),
            idle: Duration::from_secs(300),
            connections: MAX_CONNECTIONS,
        }
    }
}

/// Counters of connections.
#[derive(Debug, Default)]
pub(super) struct ConnectionStats {
    pub(super) open: ActiveCount,
    /// Requests whose responses are incomplete.
    pub(super) requests: ActiveCount,
    /// Accepted connections.
    pub(super) taken: AtomicU64,
    /// Failed TLS handshakes.
    pub(super) refused: AtomicU64,
    /// Transferred bytes.
    pub(super) traffic: Arc<TrafficStats>,
}

/// Accepts connections for a router.
pub(super) struct Listener {
    tcp: TcpListener,
    bound: ListenerSettings,
    stats: Arc<ConnectionStats>,
    world: World,
}

/// State shared by all connections.
struct ConnectionContext {
    router: Router,
    bound: ListenerSettings,
    stats: Arc<ConnectionStats>,
    stop: CancellationToken,
    world: World,
}

impl Listener {
    /// Listens on an address such as `127.0.0.1:8181` or `localhost:0`.
    pub(super) async fn bind(
        address: &str,
        bound: ListenerSettings,
        world: World,
    ) -> io::Result<Self> {
        let tcp = TcpListener::bind(address).await?;
        Ok(Self { tcp, bound, stats: Arc::default(), world })
    }

    /// Returns the bound address.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Returns the counters of its connections.
    pub(super) fn stats(&self) -> Arc<ConnectionStats> {
        Arc::clone(&self.stats)
    }

    /// Serves until `stop` completes; then accepts no more connections, and gives open connections at most `grace` to
    /// finish requests in progress.
    pub(super) async fn serve(
        self,
        router: Router,
        stop: impl Future<Output = ()>,
        grace: Duration,
    ) {
        let stopping = CancellationToken::new();
        let shared = Arc::new(ConnectionContext {
            router,
            bound: self.bound.clone(),
            stats: Arc::clone(&self.stats),
            stop: stopping.clone(),
            world: self.world.clone(),
        });
        let serve = |accepted: AcceptedConnection| {
            self.stats.taken.fetch_add(1, Ordering::Relaxed);
            let open = self.stats.open.enter();
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                serve_connection(accepted.stream, accepted.peer, &shared, open).await;
                drop(accepted.permit);
            });
        };
        let places = PortPlaces { connections: self.bound.connections, pending: None };
        accept_connections(self.tcp, places, &self.world, stop, serve).await;
        stopping.cancel();
        let all_gone = self.stats.open.wait_until_zero();
        if self.world.timeout(grace, all_gone).await.is_none() {
            tracing::warn!("some requests did not end in time");
        }
    }
}

async fn serve_connection(
    connection: TcpStream,
    peer: SocketAddr,
    shared: &Arc<ConnectionContext>,
    open: ActiveGuard,
) {
    let world = &shared.world;
    let (connection, given_back) = borrow_connection(connection);
    let connection = MinRateStream::new(
        connection,
        Arc::clone(&world.clock),
        shared.bound.patience,
        Arc::clone(&shared.stats.traffic),
    );
    match &shared.bound.tls {
        None => serve_stream(connection, peer, shared).await,
        Some(tls) => match accept_tls(&tls.acceptor(), connection, world).await {
            Ok(stream) => serve_stream(stream, peer, shared).await,
            Err(error) => {
                shared.stats.refused.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%peer, %error, "TLS handshake failed");
            }
        },
    }
    drop(open);
    linger(given_back, world).await;
}

async fn serve_stream(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    shared: &Arc<ConnectionContext>,
) {
    let ListenerSettings { patience, idle, .. } = shared.bound;
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .max_buf_size(MAX_HEAD_BYTES as usize)
        .max_headers(MAX_HEADERS)
        .header_read_timeout(patience);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .max_header_list_size(MAX_HEAD_BYTES)
        .max_concurrent_streams(MAX_STREAMS);
    let world = &shared.world;
    let requests = ActiveCount::default();
    let service = {
        let (requests, shared) = (requests.clone(), Arc::clone(shared));
        service_fn(move |request| {
            let here = [requests.enter(), shared.stats.requests.enter()];
            answer(request, peer, Arc::clone(&shared), here)
        })
    };
    let stream = FirstBytesTimeout::new(stream, world.clock.sleep(patience));
    let stream = ExplainedRefusals::new(stream);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let is_over = async {
        tokio::select! {
            () = shared.stop.cancelled() => None,
            () = requests.wait_until_zero_for(idle, world) => Some(patience),
        }
    };
    let rest = tokio::select! {
        outcome = &mut connection => return note_end(peer, outcome),
        rest = is_over => rest,
    };
    connection.as_mut().graceful_shutdown();
    match rest {
        None => note_end(peer, connection.await),
        // Don't wait for a client that ignores the graceful shutdown.
        Some(rest) => match world.timeout(rest, connection).await {
            Some(outcome) => note_end(peer, outcome),
            None => tracing::debug!(%peer, "an idle connection was closed"),
        },
    }
}

fn note_end<E: std::fmt::Display>(peer: SocketAddr, outcome: Result<(), E>) {
    if let Err(error) = outcome {
        tracing::debug!(%peer, %error, "a connection broke");
    }
}

async fn answer(
    mut request: Request<Incoming>,
    peer: SocketAddr,
    shared: Arc<ConnectionContext>,
    here: [ActiveGuard; 2],
) -> Result<Response<Body>, Infallible> {
    let version = request.version();
    request.extensions_mut().insert(PeerAddress(peer));
    let answer = shared.router.clone().oneshot(request).await?;
    let traffic = Arc::clone(&shared.stats.traffic);
    let (patience, world) = (shared.bound.patience, shared.world.clone());
    Ok(answer.map(|body| deliver(body, version, patience, world, traffic, here)))
}

#[cfg(test)]
mod tests;
