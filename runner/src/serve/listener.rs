//! Connections: taking them, and letting them end when the process stops.

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
use neap_http::Peer;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    delivery::deliver,
    lingering::{lend, linger},
    opening::Opening,
    pacing::{Paced, Traffic},
    presence::{Presence, Present},
    tls::Tls,
};

/// The most connections at once; others wait in the queue of the system.
const MAX_CONNECTIONS: usize = 10_000;
/// How long a connection of HTTP/2 may be silent before the client is asked whether it is still there.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// A client that has not answered that by then is gone.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// A client that has not agreed on how to encrypt by then is not served.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after a connection could not be taken, as when there are no more file descriptors.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);
/// The largest head of a request, with its path and query; one that is larger is answered with 431. Paths of
/// more than 65,534 bytes are answered with 414.
const MAX_HEAD_BYTES: u32 = 128 << 10;
/// The most headers of a request.
const MAX_HEADERS: usize = 100;
/// The most requests at once over one connection of HTTP/2.
const MAX_STREAMS: u32 = 256;

/// How connections are treated.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    /// What encrypts them.
    pub(super) tls: Option<Tls>,
    /// How long a client may take for the head of a request, and for reading a piece of an answer.
    pub(super) patience: Duration,
    /// How long a connection of HTTP/2 may have no request. One of HTTP/1 may for `patience`.
    pub(super) idle: Duration,
}

impl Bound {
    /// The usual times.
    pub(super) fn with_tls(tls: Option<Tls>) -> Self {
        Self {
            tls,
            patience: Duration::from_secs(30),
            idle: Duration::from_secs(300),
        }
    }
}

/// What is counted of connections.
#[derive(Debug, Default)]
pub(super) struct ConnectionStats {
    /// Connections that are open.
    pub(super) open: Presence,
    /// Requests whose answers are not yet on their way to the end.
    pub(super) requests: Presence,
    /// Connections that were taken.
    pub(super) taken: AtomicU64,
    /// Clients that did not agree on how to encrypt.
    pub(super) refused: AtomicU64,
    /// What went over them.
    pub(super) traffic: Arc<Traffic>,
}

/// Takes connections for a router.
pub(super) struct Listener {
    tcp: TcpListener,
    bound: Bound,
    stats: Arc<ConnectionStats>,
    world: World,
}

/// What every connection needs.
struct Shared {
    router: Router,
    bound: Bound,
    stats: Arc<ConnectionStats>,
    stop: CancellationToken,
    world: World,
}

impl Listener {
    /// Listens on an address such as `127.0.0.1:8181` or `localhost:0`.
    pub(super) async fn bind(address: &str, bound: Bound, world: World) -> io::Result<Self> {
        let tcp = TcpListener::bind(address).await?;
        Ok(Self {
            tcp,
            bound,
            stats: Arc::default(),
            world,
        })
    }

    /// The address that is listened on.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// What is counted of its connections.
    pub(super) fn stats(&self) -> Arc<ConnectionStats> {
        Arc::clone(&self.stats)
    }

    /// Serves until `stop` is over; then takes no more connections, and gives those that are open at most
    /// `grace` to finish the requests that they have begun.
    pub(super) async fn serve(
        self,
        router: Router,
        stop: impl Future<Output = ()>,
        grace: Duration,
    ) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let stopping = CancellationToken::new();
        let shared = Arc::new(Shared {
            router,
            bound: self.bound.clone(),
            stats: Arc::clone(&self.stats),
            stop: stopping.clone(),
            world: self.world.clone(),
        });
        let mut stop = pin!(stop);
        loop {
            let (connection, peer, place) = tokio::select! {
                biased;
                () = &mut stop => break,
                taken = self.take(&places) => taken,
            };
            self.stats.taken.fetch_add(1, Ordering::Relaxed);
            let open = self.stats.open.enter();
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                serve_connection(connection, peer, &shared, open).await;
                drop(place);
            });
        }
        drop(self.tcp);
        stopping.cancel();
        let all_gone = self.stats.open.nobody();
        if self.world.timeout(grace, all_gone).await.is_none() {
            tracing::warn!("requests are under way that did not end in time");
        }
    }

    async fn take(
        &self,
        places: &Arc<Semaphore>,
    ) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
        // The semaphore is never closed.
        let place = Arc::clone(places).acquire_owned().await.ok();
        loop {
            match self.tcp.accept().await {
                Ok((connection, peer)) => {
                    // Answers are written whole: waiting for more would only delay them.
                    connection.set_nodelay(true).ok();
                    return (connection, peer, place);
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    self.world.clock.sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
        }
    }
}

async fn serve_connection(
    connection: TcpStream,
    peer: SocketAddr,
    shared: &Arc<Shared>,
    open: Present,
) {
    let world = &shared.world;
    let (connection, given_back) = lend(connection);
    let connection = Paced::new(
        connection,
        Arc::clone(&world.clock),
        shared.bound.patience,
        Arc::clone(&shared.stats.traffic),
    );
    match &shared.bound.tls {
        None => serve_stream(connection, peer, shared).await,
        Some(tls) => {
            let accepted = tls.acceptor().accept(connection);
            let too_slow = || io::Error::from(io::ErrorKind::TimedOut);
            let accepted = world.timeout(TLS_TIMEOUT, accepted).await;
            match accepted.unwrap_or_else(|| Err(too_slow())) {
                Ok(stream) => serve_stream(stream, peer, shared).await,
                Err(error) => {
                    shared.stats.refused.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(%peer, %error, "a client did not agree on how to encrypt");
                }
            }
        }
    }
    drop(open);
    linger(given_back, world).await;
}

async fn serve_stream(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    shared: &Arc<Shared>,
) {
    let Bound { patience, idle, .. } = shared.bound;
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
    let requests = Presence::default();
    let service = {
        let (requests, shared) = (requests.clone(), Arc::clone(shared));
        service_fn(move |request| {
            let here = [requests.enter(), shared.stats.requests.enter()];
            answer(request, peer, Arc::clone(&shared), here)
        })
    };
    let stream = Opening::new(stream, world.clock.sleep(patience));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let is_over = async {
        tokio::select! {
            () = shared.stop.cancelled() => None,
            () = requests.nobody_for(idle, world) => Some(patience),
        }
    };
    let rest = tokio::select! {
        outcome = &mut connection => return note_end(peer, outcome),
        rest = is_over => rest,
    };
    connection.as_mut().graceful_shutdown();
    match rest {
        None => note_end(peer, connection.await),
        // A client that does not take note of the end is not waited for.
        Some(rest) => match world.timeout(rest, connection).await {
            Some(outcome) => note_end(peer, outcome),
            None => tracing::debug!(%peer, "an idle connection was cut"),
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
    shared: Arc<Shared>,
    here: [Present; 2],
) -> Result<Response<Body>, Infallible> {
    let version = request.version();
    request.extensions_mut().insert(Peer(peer));
    let answer = shared.router.clone().oneshot(request).await?;
    let traffic = Arc::clone(&shared.stats.traffic);
    let (patience, world) = (shared.bound.patience, shared.world.clone());
    Ok(answer.map(|body| deliver(body, version, patience, world, traffic, here)))
}

#[cfg(test)]
mod tests;
