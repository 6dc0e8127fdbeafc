//! A cluster of worker ports in this process.

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use datafusion_distributed::{GetWorkerInfoRequest, Worker};
use futures::future::BoxFuture;
use http::{HeaderName, HeaderValue};
use neap_bucket::{
    Bucket, Clock, CountingStore, Entropy, MemoryStore, OperationCounts, ProtocolMargins,
    SystemClock, World,
};
use neap_catalog::{Catalog, NodeReader, NodeRecord, NodeState};
use neap_distributed::{ClusterTickets, TICKET_HEADER, Ticket, TicketKey};
use neap_http::TlsAcceptorSource;
use neap_scan::IoRuntime;
use neap_schema::DatabaseId;
use tokio_util::sync::{CancellationToken, DropGuard};
use ulid::Ulid;
use url::Url;

use crate::{
    ClientSecurity, WorkerChannels, WorkerDirectory, WorkerDirectoryParts, WorkerPortStats,
    WorkerServer, WorkerServerParts,
};

/// The factor by which sleeps are shorter.
const SPEED: u32 = 4;

/// Clocks that the test sets forward. Sleeps take a fraction of their time.
#[derive(Debug)]
pub(super) struct TestClock {
    system: SystemClock,
    ahead_micros: AtomicI64,
    has_endless_sleeps: AtomicBool,
}

impl TestClock {
    pub(super) fn advance(&self, duration: Duration) {
        let micros = i64::try_from(duration.as_micros()).unwrap();
        self.ahead_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Lets no new sleep end, so that nothing happens because of a timeout.
    pub(super) fn make_sleeps_endless(&self) {
        self.has_endless_sleeps.store(true, Ordering::Relaxed);
    }

    fn ahead_micros(&self) -> i64 {
        self.ahead_micros.load(Ordering::Relaxed)
    }
}

impl Clock for TestClock {
    fn wall_micros(&self) -> i64 {
        self.system.wall_micros() + self.ahead_micros()
    }

    fn monotonic(&self) -> Duration {
        let ahead = Duration::from_micros(self.ahead_micros().unsigned_abs());
        self.system.monotonic() + ahead
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        if self.has_endless_sleeps.load(Ordering::Relaxed) {
            return Box::pin(pending::<()>());
        }
        self.system.sleep(duration / SPEED)
    }
}

/// A cluster with a secret, on a store in memory.
pub(super) struct ClusterFixture {
    pub(super) clock: Arc<TestClock>,
    pub(super) world: World,
    pub(super) catalog: Arc<Catalog>,
    pub(super) tickets: Arc<ClusterTickets>,
    pub(super) stats: Arc<WorkerPortStats>,
    pub(super) bucket: Bucket,
    store: Arc<CountingStore>,
    counted: Mutex<OperationCounts>,
    ports: Mutex<Vec<DropGuard>>,
}

impl ClusterFixture {
    pub(super) async fn new() -> Self {
        let cluster = Self::without_secret().await;
        cluster.catalog.ensure_cluster_secret().await.unwrap();
        cluster
    }

    /// Returns a cluster in which no process has served a worker port.
    pub(super) async fn without_secret() -> Self {
        let clock = Arc::new(TestClock {
            system: SystemClock::new(),
            ahead_micros: AtomicI64::new(0),
            has_endless_sleeps: AtomicBool::new(false),
        });
        let world = World {
            clock: Arc::clone(&clock) as _,
            entropy: Arc::new(Entropy::from_os()),
        };
        let store = MemoryStore::new(Arc::clone(&world.clock));
        let store = Arc::new(CountingStore::new(Arc::new(store)));
        let bucket = Bucket::new(Arc::clone(&store) as _, world.clone());
        let catalog = Catalog::new(bucket.clone(), ProtocolMargins::LOCAL, None);
        catalog.rules().await.unwrap();
        let catalog = Arc::new(catalog);
        let tickets = ClusterTickets::new(Arc::clone(&catalog), world.clone());
        Self {
            clock,
            world,
            tickets: Arc::new(tickets),
            catalog,
            stats: Arc::default(),
            bucket,
            store,
            counted: Mutex::default(),
            ports: Mutex::default(),
        }
    }

    /// Serves a worker port of this version, whose tasks have no tables. Returns its URL.
    pub(super) async fn serve(&self, version: &str, tls: Option<TlsAcceptorSource>) -> Url {
        let worker = Worker::default().with_version(version.to_owned());
        self.serve_worker(worker, tls).await
    }

    /// Serves the port of a worker until the fixture is dropped, and returns its URL.
    pub(super) async fn serve_worker(&self, worker: Worker, tls: Option<TlsAcceptorSource>) -> Url {
        let stop = CancellationToken::new();
        let url = self.serve_until(worker, tls, stop.clone(), Duration::ZERO).await;
        self.ports.lock().unwrap().push(stop.drop_guard());
        url
    }

    /// Serves the port of a worker until `stop`, and then its tasks for at most `grace`. Returns its URL.
    pub(super) async fn serve_until(
        &self,
        worker: Worker,
        tls: Option<TlsAcceptorSource>,
        stop: CancellationToken,
        grace: Duration,
    ) -> Url {
        let server = WorkerServer::bind("127.0.0.1:0", 1).await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", server.address().unwrap());
        let parts = WorkerServerParts {
            worker,
            tickets: Arc::clone(&self.tickets),
            tls,
            stats: Arc::clone(&self.stats),
            world: self.world.clone(),
        };
        tokio::spawn(server.serve(parts, stop, grace));
        url.parse().unwrap()
    }

    /// Records a process with this worker port.
    pub(super) async fn record(&self, number: u128, url: &Url) -> NodeRecord {
        let record = NodeRecord {
            instance_id: Ulid(number),
            node_id: Some(format!("node-{number}")),
            mode: vec!["query".to_owned()],
            core_count: 1,
            state: NodeState::Running,
            version: "1".to_owned(),
            address: None,
            worker: Some(url.to_string()),
            stop: None,
        };
        record.put(&self.bucket).await.unwrap();
        record
    }

    pub(super) fn channels(&self, security: ClientSecurity) -> WorkerChannels {
        WorkerChannels::new(security, IoRuntime::of_caller(), self.world.clone())
    }

    /// Returns the directory of a coordinator of version `v1`.
    pub(super) fn directory(&self) -> WorkerDirectory {
        WorkerDirectory::new(WorkerDirectoryParts {
            reader: NodeReader::new(self.bucket.clone()),
            tickets: Arc::clone(&self.tickets),
            channels: self.channels(ClientSecurity::default()),
            version: "v1".to_owned(),
            coordinator: "test".to_owned(),
            catalog: Arc::clone(&self.catalog),
            io_runtime: IoRuntime::of_caller(),
            world: self.world.clone(),
        })
    }

    /// Returns the requests to the store since the last call, such as `1 list other, 2 get other`.
    pub(super) fn requests(&self) -> String {
        let counts = self.store.counts();
        let before = std::mem::replace(&mut *self.counted.lock().unwrap(), counts);
        (counts - before).to_string()
    }

    /// Returns a ticket that is valid for a minute, and its header.
    pub(super) fn ticket(&self) -> (Ticket, (HeaderName, HeaderValue)) {
        let issuer = self.tickets.issuer("test");
        let ticket = issuer.ticket(DatabaseId::new(1), Duration::from_secs(60));
        let header = issuer.sign(&ticket).unwrap();
        (ticket, (HeaderName::from_static(TICKET_HEADER), header))
    }

    /// Returns a header that another cluster signed.
    pub(super) fn forged_header(&self) -> (HeaderName, HeaderValue) {
        let (ticket, _) = self.ticket();
        let header = TicketKey::new([7; 32]).sign(&ticket).unwrap();
        (HeaderName::from_static(TICKET_HEADER), header)
    }
}

/// Asks a worker for its version.
pub(super) async fn version(
    channels: &WorkerChannels,
    url: &Url,
    header: Option<(HeaderName, HeaderValue)>,
) -> Result<String, String> {
    let mut client = channels.client(url, header).await.map_err(|error| error.to_string())?;
    let info = client.get_worker_info(GetWorkerInfoRequest {}).await;
    info.map(|info| info.version).map_err(|error| error.to_string())
}
