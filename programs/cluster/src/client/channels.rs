//! The connections of this process to workers.
//!
//! One connection serves all queries. It is opened by its first request, and again by the first request after it broke.
//! It belongs to the I/O runtime: a query that computes does not delay it.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use datafusion::error::DataFusionError;
use datafusion_distributed::{
    ChannelResolver, WorkerChannel,
    grpc::{BoxCloneSyncChannel, create_worker_client},
};
use http::{HeaderName, HeaderValue, Uri};
use hyper_util::rt::TokioIo;
use neap_bucket::World;
use neap_http::ByteStream;
use neap_scan::IoRuntime;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};
use tower::{ServiceBuilder, util::MapRequestLayer};
use url::{Host, Url};

use super::security::{ClientSecurity, SecurityError};
use crate::{KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT};

/// Maximum time of a connection attempt.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum number of connections. The one that was not used for longest is closed.
const MAX_CHANNELS: usize = 256;

/// Time after which an unused connection is closed.
const MAX_IDLE_TIME: Duration = Duration::from_secs(300);

/// Bytes of an answer that may be under way to this process.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;

/// Bytes of all answers of a connection that may be under way: the maximum of HTTP/2. An answer whose reader pauses
/// keeps its share of the window, so a smaller one would let slow readers block all other answers.
const CONNECTION_WINDOW_BYTES: u32 = (1 << 31) - 1;

/// Connections to workers. Clones share them.
#[derive(Clone, derive_more::Debug)]
#[debug("WorkerChannels {{ security: {:?}, .. }}", self.0.security)]
pub struct WorkerChannels(Arc<ChannelPool>);

struct ChannelPool {
    security: ClientSecurity,
    io_runtime: IoRuntime,
    world: World,
    channels: Mutex<HashMap<Url, PooledChannel>>,
}

/// A connection, and when it was last used.
struct PooledChannel {
    channel: Channel,
    used: Duration,
}

impl WorkerChannels {
    /// Creates a pool without connections. They belong to `io_runtime`.
    pub fn new(security: ClientSecurity, io_runtime: IoRuntime, world: World) -> Self {
        Self(Arc::new(ChannelPool {
            security,
            io_runtime,
            world,
            channels: Mutex::default(),
        }))
    }

    /// Checks that this process may connect to a worker, without a request.
    pub(crate) fn check(&self, url: &Url) -> Result<(), SecurityError> {
        self.0.security.check(url)
    }

    /// Returns a client of a worker that sends this header with each request that lacks it.
    pub(crate) async fn client(
        &self,
        url: &Url,
        header: Option<(HeaderName, HeaderValue)>,
    ) -> Result<Box<dyn WorkerChannel>, DataFusionError> {
        let channel = self.channel(url).await?;
        let add_header = move |mut request: http::Request<tonic::body::Body>| {
            if let Some((name, value)) = &header
                && !request.headers().contains_key(name)
            {
                request.headers_mut().insert(name.clone(), value.clone());
            }
            request
        };
        let channel =
            ServiceBuilder::new().layer(MapRequestLayer::new(add_header)).service(channel);
        Ok(create_worker_client(BoxCloneSyncChannel::new(channel)))
    }

    async fn channel(&self, url: &Url) -> Result<Channel, DataFusionError> {
        if let Some(channel) = self.0.known_channel(url) {
            return Ok(channel);
        }
        let refused = |error| DataFusionError::External(Box::new(error));
        self.check(url).map_err(refused)?;
        let endpoint = endpoint(url).map_err(refused)?;
        let (security, connected) = (self.0.security.clone(), url.clone());
        let connector = tower::service_fn(move |_: Uri| {
            let (security, url) = (security.clone(), connected.clone());
            async move {
                let stream = connect(&security, &url).await?;
                Ok::<_, io::Error>(TokioIo::new(stream))
            }
        });
        // The tasks of the connection are spawned on the runtime that creates it.
        let channel = async move { endpoint.connect_with_connector_lazy(connector) };
        let channel = self.0.io_runtime.run(channel).await;
        Ok(self.0.keep(url, channel))
    }
}

impl ChannelPool {
    /// Returns the connection to a worker, if there is one. Closes connections that were not used for long.
    fn known_channel(&self, url: &Url) -> Option<Channel> {
        let now = self.world.clock.monotonic();
        let mut channels = self.lock();
        channels.retain(|_, pooled| now.saturating_sub(pooled.used) < MAX_IDLE_TIME);
        let pooled = channels.get_mut(url)?;
        pooled.used = now;
        Some(pooled.channel.clone())
    }

    /// Adds a connection, unless there is one in the meantime. Returns the one to use.
    fn keep(&self, url: &Url, channel: Channel) -> Channel {
        let used = self.world.clock.monotonic();
        let mut channels = self.lock();
        if channels.len() >= MAX_CHANNELS
            && let Some(oldest) = channels.iter().min_by_key(|(_, pooled)| pooled.used)
        {
            let oldest = oldest.0.clone();
            channels.remove(&oldest);
        }
        let pooled = channels.entry(url.clone()).or_insert(PooledChannel { channel, used });
        pooled.channel.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Url, PooledChannel>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ChannelResolver for WorkerChannels {
    async fn get_worker_client_for_url(
        &self,
        url: &Url,
    ) -> Result<Box<dyn WorkerChannel>, DataFusionError> {
        self.client(url, None).await
    }
}

/// Returns the settings of a connection. The scheme is http because the connector encrypts.
fn endpoint(url: &Url) -> Result<Endpoint, SecurityError> {
    let (host, port) = address(url)?;
    let host = match host.parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => host,
    };
    let uri = Uri::try_from(format!("http://{host}:{port}")).map_err(|_| SecurityError::Url)?;
    Ok(Endpoint::from(uri)
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES))
}

/// Returns the host and the port of a URL.
fn address(url: &Url) -> Result<(String, u16), SecurityError> {
    let host = match url.host().ok_or(SecurityError::Url)? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    let port = url.port_or_known_default().ok_or(SecurityError::Url)?;
    Ok((host, port))
}

/// Connects to a worker, with TLS if its URL says so.
async fn connect(security: &ClientSecurity, url: &Url) -> io::Result<Box<dyn ByteStream>> {
    let address = address(url).map_err(io::Error::other)?;
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    if url.scheme() != "https" {
        return Ok(Box::new(stream));
    }
    let encrypted = security.encrypt(url, stream).await;
    Ok(Box::new(encrypted.map_err(io::Error::other)?))
}
