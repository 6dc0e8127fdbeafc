//! Connections: taking them, and letting them end when the process stops.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto::Builder,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use neap_bucket::World;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_rustls::TlsAcceptor;

use super::{
    lingering::{lend, linger},
    opening::Opening,
};

/// The most connections at once; others wait in the queue of the system.
const MAX_CONNECTIONS: usize = 10_000;
/// A client that has not sent the head of its request by then is not served.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection of HTTP/2 may be silent before the client is asked whether it is still there.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// A client that has not answered that by then is gone.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// A client that has not agreed on how to encrypt by then is not served.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after a connection could not be taken, as when there are no more file descriptors.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// Takes connections for a router.
pub(super) struct Listener {
    tcp: TcpListener,
    tls: Option<TlsAcceptor>,
    world: World,
}

impl Listener {
    /// Listens on an address such as `127.0.0.1:8181` or `localhost:0`.
    pub(super) async fn bind(
        address: &str,
        tls: Option<TlsAcceptor>,
        world: World,
    ) -> io::Result<Self> {
        let tcp = TcpListener::bind(address).await?;
        Ok(Self { tcp, tls, world })
    }

    /// The address that is listened on.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves until `stop` is over; then takes no more connections, and gives those that are open at most
    /// `grace` to finish the requests that they have begun.
    pub(super) async fn serve(
        self,
        router: Router,
        stop: impl Future<Output = ()>,
        grace: Duration,
    ) {
        let open = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut stop = std::pin::pin!(stop);
        loop {
            let (connection, place) = tokio::select! {
                biased;
                () = &mut stop => break,
                taken = self.take(&places) => taken,
            };
            let served = serve_connection(
                connection,
                self.tls.clone(),
                router.clone(),
                open.watcher(),
                self.world.clone(),
            );
            tokio::spawn(async move {
                served.await;
                drop(place);
            });
        }
        drop(self.tcp);
        if self.world.timeout(grace, open.shutdown()).await.is_none() {
            tracing::warn!("requests are under way that did not end in time");
        }
    }

    async fn take(&self, places: &Arc<Semaphore>) -> (TcpStream, Option<OwnedSemaphorePermit>) {
        // The semaphore is never closed.
        let place = Arc::clone(places).acquire_owned().await.ok();
        loop {
            match self.tcp.accept().await {
                Ok((connection, _)) => {
                    // Answers are written whole: waiting for more would only delay them.
                    connection.set_nodelay(true).ok();
                    return (connection, place);
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
    tls: Option<TlsAcceptor>,
    router: Router,
    open: Watcher,
    world: World,
) {
    let (connection, given_back) = lend(connection);
    match tls {
        None => serve_stream(connection, router, open, &world).await,
        Some(tls) => match world.timeout(TLS_TIMEOUT, tls.accept(connection)).await {
            Some(Ok(stream)) => serve_stream(stream, router, open, &world).await,
            Some(Err(error)) => tracing::debug!(%error, "a client did not agree on how to encrypt"),
            None => tracing::debug!("a client took too long to agree on how to encrypt"),
        },
    }
    linger(given_back, &world).await;
}

async fn serve_stream(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    open: Watcher,
    world: &World,
) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .max_concurrent_streams(256);
    let stream = Opening::new(stream, world.clock.sleep(HEAD_TIMEOUT));
    let service = TowerToHyperService::new(router);
    let connection = builder
        .serve_connection(TokioIo::new(stream), service)
        .into_owned();
    if let Err(error) = open.watch(connection).await {
        tracing::debug!(error, "a connection broke");
    }
}
