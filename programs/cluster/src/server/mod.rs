//! The worker port: a listener through which other processes execute parts of queries in this one.
//!
//! ```text
//!   I/O runtime                                            threads of the worker
//!     |-- accept, TLS, HTTP/2, ticket, task permit --------> decode the plan, execute partitions
//!     | <---------------- encoded batches, by a channel -----|
//! ```
//!
//! Tasks take no query permit: a task whose consumer waits for a permit of the same process would never end. Their
//! number is limited instead, and their memory comes from the pool of the process's queries.

mod accept;
mod answer_body;
mod connection;
mod gate;
mod worker_threads;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use datafusion_distributed::Worker;
use neap_bucket::World;
use neap_distributed::ClusterTickets;
use neap_http::TlsAcceptorSource;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use self::{
    gate::{Admission, WorkerGate},
    worker_threads::WorkerThreads,
};
use crate::{KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT, WorkerPortStats};

/// Maximum size of a request in bytes: a plan. Batches of rows have no limit, because the worker does not split them.
const MAX_REQUEST_BYTES: usize = 64 << 20;

/// Maximum size of the headers of a request in bytes.
const MAX_HEADER_BYTES: u32 = 64 << 10;

/// Maximum number of concurrent requests of a connection. A peer needs one for each task, and one for each pair of a
/// task of this process and a task of its own that reads from it; a lower limit could block a query forever, because
/// the requests of a query wait for each other.
const MAX_STREAMS: u32 = 8192;

/// Interval between two checks whether a worker that stops has tasks.
const DRAIN_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// The components of a worker port.
#[derive(derive_more::Debug)]
#[debug("WorkerServerParts {{ .. }}")]
pub struct WorkerServerParts {
    /// The worker, with the sessions and the memory pool of the process.
    pub worker: Worker,
    /// The tickets of the cluster.
    pub tickets: Arc<ClusterTickets>,
    /// TLS; `None`: connections are not encrypted.
    pub tls: Option<TlsAcceptorSource>,
    /// The counters of the process.
    pub stats: Arc<WorkerPortStats>,
    /// The clocks.
    pub world: World,
}

/// A bound worker port, with the threads of its tasks.
#[derive(Debug)]
pub struct WorkerServer {
    tcp: TcpListener,
    threads: WorkerThreads,
}

impl WorkerServer {
    /// Listens on an address such as `10.0.0.1:8182`, and starts `threads` threads for tasks.
    ///
    /// # Errors
    /// The address can't be listened on, or the threads can't be started.
    pub async fn bind(address: &str, threads: usize) -> io::Result<Self> {
        Ok(Self {
            tcp: TcpListener::bind(address).await?,
            threads: WorkerThreads::start(threads)?,
        })
    }

    /// Returns the bound address.
    ///
    /// # Errors
    /// The operating system refuses to tell it.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves until `stop`, and then without new tasks for the time that running tasks need, at most `grace`. The rows of
    /// running tasks can be requested until then, also over new connections.
    pub async fn serve(self, parts: WorkerServerParts, stop: CancellationToken, grace: Duration) {
        let service = parts
            .worker
            .into_worker_server()
            .max_decoding_message_size(MAX_REQUEST_BYTES)
            .max_encoding_message_size(usize::MAX);
        let tasks = parts.tickets.verifier();
        let admission = Admission::new(
            parts.tickets,
            &self.threads,
            parts.stats,
            parts.world.clone(),
            stop.clone(),
        );
        let gate = WorkerGate::new(service, admission);
        let clock = Arc::clone(&parts.world.clock);
        let drained = CancellationToken::new();
        let connections = accept::accept(self.tcp, parts.tls, parts.world, drained.clone());
        let drain = async {
            stop.cancelled().await;
            while tasks.watched_tasks() > 0 {
                clock.sleep(DRAIN_CHECK_INTERVAL).await;
            }
            drained.cancel();
        };
        let served = Server::builder()
            .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
            .http2_max_header_list_size(MAX_HEADER_BYTES)
            .max_concurrent_streams(MAX_STREAMS)
            .serve_with_incoming_shutdown(gate, connections, drain);
        let limit = async {
            stop.cancelled().await;
            clock.sleep(grace).await;
        };
        tokio::select! {
            served = served => {
                if let Err(error) = served {
                    tracing::error!(%error, "the worker port failed");
                }
            }
            () = limit => tracing::warn!("tasks of other processes did not end in time"),
        }
    }
}
