//! The workers of a cluster, as a coordinator knows them.
//!
//! ```text
//!   nodes/ ── at most every 15 s ──► records of running workers
//!                                      │ not failed within the last 30 s
//!                                      ▼
//!                                    version asked once for each process ── the same as this process's ──► usable
//! ```
//!
//! Only queries that may be distributed cause these requests: an idle process sends none.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use datafusion_distributed::{GetWorkerInfoRequest, WorkerChannel};
use futures::future::join_all;
use http::{HeaderName, HeaderValue};
use neap_bucket::World;
use neap_catalog::{ANY_AGE, Catalog, INTERNAL_DATABASE_ID, Node, NodeReader};
use neap_distributed::{ClusterTickets, TICKET_HEADER, TicketIssuer, WorkerAddress, WorkerSet};
use neap_scan::IoRuntime;
use url::Url;

use crate::{
    CONNECT_TIMEOUT, WorkerChannels,
    known_workers::{KnownWorkers, RecordedWorker, recorded_workers},
};

/// Maximum age of the list of workers.
const MAX_LIST_AGE: Duration = Duration::from_secs(15);

/// Maximum time that a query waits for the list of workers. It then uses the previous list.
const LIST_TIMEOUT: Duration = Duration::from_secs(3);

/// Time for which a worker that failed is left out.
const FAILURE_PAUSE: Duration = Duration::from_secs(30);

/// Maximum time for the answer of a worker to the question for its version.
const VERSION_TIMEOUT: Duration = Duration::from_secs(2);

/// Lifetime of the ticket that asks for a version.
const VERSION_TICKET_LIFETIME: Duration = Duration::from_secs(30);

/// Numbers of workers by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerCounts {
    /// They take tasks.
    pub usable: usize,
    /// They failed within the last 30 s.
    pub failed: usize,
    /// They have another version.
    pub other_version: usize,
}

/// The components of a directory of workers.
#[derive(Debug)]
pub struct WorkerDirectoryParts {
    /// Reads the records of processes.
    pub reader: NodeReader,
    /// The tickets of the cluster.
    pub tickets: Arc<ClusterTickets>,
    /// The connections to workers.
    pub channels: WorkerChannels,
    /// The version that workers must have.
    pub version: String,
    /// The name of this process.
    pub coordinator: String,
    /// The query groups.
    pub catalog: Arc<Catalog>,
    /// The runtime of the requests to the store and to workers.
    pub io_runtime: IoRuntime,
    /// The clocks.
    pub world: World,
}

/// Finds the workers of a cluster.
#[derive(Debug)]
pub struct WorkerDirectory {
    inner: Arc<DirectoryInner>,
    io_runtime: IoRuntime,
}

#[derive(Debug)]
struct DirectoryInner {
    /// Reads the list; when it was last read.
    reader: tokio::sync::Mutex<(NodeReader, Option<Duration>)>,
    known: Mutex<KnownWorkers>,
    tickets: Arc<ClusterTickets>,
    issuer: TicketIssuer,
    channels: WorkerChannels,
    version: String,
    coordinator: String,
    catalog: Arc<Catalog>,
    world: World,
}

impl WorkerDirectory {
    /// Creates a directory that knows no workers.
    pub fn new(parts: WorkerDirectoryParts) -> Self {
        let inner = DirectoryInner {
            reader: tokio::sync::Mutex::new((parts.reader, None)),
            known: Mutex::default(),
            issuer: parts.tickets.issuer(&parts.coordinator),
            tickets: parts.tickets,
            channels: parts.channels,
            version: parts.version,
            coordinator: parts.coordinator,
            catalog: parts.catalog,
            world: parts.world,
        };
        Self { inner: Arc::new(inner), io_runtime: parts.io_runtime }
    }

    /// Returns the numbers of workers in the last list.
    pub fn counts(&self) -> WorkerCounts {
        let inner = &self.inner;
        let (known, now) = (inner.known(), inner.world.clock.monotonic());
        let mut counts = WorkerCounts::default();
        for worker in &known.workers {
            let health = known.health(worker);
            match health.version.as_ref() {
                Some(version) if *version != inner.version => counts.other_version += 1,
                _ if health.is_paused(now) => counts.failed += 1,
                Some(_) => counts.usable += 1,
                None => {}
            }
        }
        counts
    }
}

#[async_trait]
impl WorkerSet for WorkerDirectory {
    async fn workers(&self) -> Vec<WorkerAddress> {
        let inner = Arc::clone(&self.inner);
        let workers = async move { inner.find_workers().await };
        self.io_runtime.run(workers).await
    }

    fn record_failure(&self, worker: &Url) {
        self.inner.record_failure(worker);
    }
}

impl DirectoryInner {
    fn known(&self) -> MutexGuard<'_, KnownWorkers> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the list of workers if the last one is too old. Concurrent queries share the requests.
    async fn refresh(&self) {
        let mut reader = self.reader.lock().await;
        let now = self.world.clock.monotonic();
        let read = reader.1;
        if read.is_some_and(|read| now.saturating_sub(read) < MAX_LIST_AGE) {
            return;
        }
        // A store that does not answer is not asked by each query.
        reader.1 = Some(now);
        let listed = self.world.timeout(LIST_TIMEOUT, reader.0.read()).await;
        match listed {
            Some(Ok(nodes)) => {
                let nodes = self.of_own_groups(nodes).await;
                self.known().set(recorded_workers(nodes));
            }
            Some(Err(error)) => tracing::warn!(%error, "cannot list the workers of the cluster"),
            None => tracing::warn!("listing the workers of the cluster timed out"),
        }
    }

    /// Leaves out processes that are in no query group with this one. The root catalog is cached, because the query has
    /// read it.
    async fn of_own_groups(&self, mut nodes: Vec<Node>) -> Vec<Node> {
        match self.catalog.root(ANY_AGE).await {
            Ok(root) => {
                let groups = root.value.query_groups();
                nodes.retain(|node| groups.may_send(&self.coordinator, &node.record.name()));
            }
            Err(error) => tracing::warn!(%error, "cannot read the query groups"),
        }
        nodes
    }

    /// Asks workers for their versions. Failures are recorded.
    async fn ask_versions(&self, workers: Vec<RecordedWorker>) {
        let asked = workers.into_iter().map(|worker| async move {
            if let Err(error) = self.channels.check(&worker.url) {
                tracing::warn!(url = worker.url.as_str(), %error, "a worker is left out");
                self.record_failure(&worker.url);
                return;
            }
            let version = self
                .world
                .timeout(CONNECT_TIMEOUT + VERSION_TIMEOUT, self.ask_version(&worker.url));
            let reason = match version.await {
                Some(Ok(version)) => {
                    if version != self.version {
                        let (url, own) = (worker.url.as_str(), &self.version);
                        tracing::warn!(
                            url,
                            version,
                            own,
                            "a worker of another version is left out"
                        );
                    }
                    self.known().set_version(&worker, version);
                    return;
                }
                Some(Err(reason)) => reason,
                None => "no answer".to_owned(),
            };
            tracing::warn!(url = worker.url.as_str(), reason, "cannot reach a worker");
            self.record_failure(&worker.url);
        });
        join_all(asked).await;
    }

    async fn ask_version(&self, url: &Url) -> Result<String, String> {
        let header = self.ticket_header()?;
        let mut client: Box<dyn WorkerChannel> = self
            .channels
            .client(url, Some(header))
            .await
            .map_err(|error| error.to_string())?;
        let info = client.get_worker_info(GetWorkerInfoRequest {}).await;
        info.map(|info| info.version).map_err(|error| error.to_string())
    }

    fn ticket_header(&self) -> Result<(HeaderName, HeaderValue), String> {
        // The ticket sets no task, so the database does not matter.
        let ticket = self.issuer.ticket(INTERNAL_DATABASE_ID, VERSION_TICKET_LIFETIME);
        let header = self.issuer.sign(&ticket).map_err(|error| error.to_string())?;
        Ok((HeaderName::from_static(TICKET_HEADER), header))
    }

    /// Returns the workers that can be used now.
    async fn find_workers(self: &Arc<Self>) -> Vec<WorkerAddress> {
        match self.tickets.refresh().await {
            Ok(true) => {}
            // No process has ever served a worker port.
            Ok(false) => return Vec::new(),
            Err(error) => {
                tracing::warn!(%error, "cannot read the secret of the cluster");
                return Vec::new();
            }
        }
        self.refresh().await;
        let now = self.world.clock.monotonic();
        let (new, failed) = self.known().unknown(now, now + FAILURE_PAUSE);
        if !failed.is_empty() {
            // No query waits for a worker that failed before.
            let directory = Arc::clone(self);
            tokio::spawn(async move { directory.ask_versions(failed).await });
        }
        self.ask_versions(new).await;
        let now = self.world.clock.monotonic();
        self.known().usable(&self.version, now)
    }

    fn record_failure(&self, worker: &Url) {
        let until = self.world.clock.monotonic() + FAILURE_PAUSE;
        self.known().pause(worker, until);
    }
}
