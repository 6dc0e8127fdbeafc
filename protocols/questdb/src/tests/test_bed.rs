//! A listener on a free port, and a client of it.

use std::{sync::Arc, time::Duration};

use arrow::{array::AsArray, datatypes::TimestampNanosecondType};
use base64::{Engine, engine::general_purpose::STANDARD};
use neap_bucket::{
    Bucket, Get, GetOptions, Key, ListRequest, MemoryStore, ProtocolMargins, ProtocolRules, Store,
    World,
};
use neap_catalog::{Catalog, ClientPrivateKey, NewClientKey, PermissionRequest};
use neap_http::{Metrics, TlsAcceptorSource};
use neap_wal::Segment;
use neap_write::{WriteService, WriteServiceParts, WriteSettings};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};

use super::sign;
use crate::{KeyPolicy, QuestDbListener, QuestDbParts, QuestDbSettings};

pub(super) const DATABASE: &str = "home";

/// Maximum time of every wait in these tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server with a listener.
pub(super) struct ListenerTestBed {
    pub(super) memory: Arc<MemoryStore>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) metrics: Metrics,
    pub(super) address: std::net::SocketAddr,
    pub(super) world: World,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl ListenerTestBed {
    pub(super) async fn new(policy: KeyPolicy) -> Self {
        Self::with(policy, |settings| settings, None).await
    }

    pub(super) async fn with(
        policy: KeyPolicy,
        change: impl FnOnce(QuestDbSettings) -> QuestDbSettings,
        tls: Option<TlsAcceptorSource>,
    ) -> Self {
        let world = World::system();
        let memory = Arc::new(MemoryStore::new(Arc::clone(&world.clock)));
        let metrics = Metrics::default();
        let (catalog, writes) = write_function(Arc::clone(&memory), &world, &metrics);
        let parts = QuestDbParts {
            writes,
            catalog: Arc::clone(&catalog),
            metrics: metrics.clone(),
            tls,
        };
        let settings = change(QuestDbSettings::new(DATABASE, policy));
        let listener = QuestDbListener::bind("127.0.0.1:0", settings, parts).await.unwrap();
        let address = listener.address().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            stopped.await.ok();
        };
        let serving = tokio::spawn(listener.serve(stopped, PATIENCE));
        Self {
            memory,
            catalog,
            metrics,
            address,
            world,
            stop: Some(stop),
            serving,
        }
    }

    /// Registers a key with these permissions.
    pub(super) async fn key(&self, name: &str, permissions: &[&str]) -> ClientPrivateKey {
        let key = ClientPrivateKey::generate(&self.world);
        let public = key.public_key();
        let new = NewClientKey::new(name, &public.x(), &public.y()).unwrap();
        let permissions: Vec<PermissionRequest> =
            permissions.iter().map(|text| text.parse().unwrap()).collect();
        let registered = self.catalog.register_client_key(&new, &permissions, None, None);
        registered.await.unwrap();
        key
    }

    pub(super) async fn connect(&self) -> TestClient {
        TestClient(TcpStream::connect(self.address).await.unwrap())
    }

    /// Stops the listener, and waits until all lines are stored.
    pub(super) async fn stop(&mut self) {
        drop(self.stop.take());
        timeout(&mut self.serving).await.unwrap();
    }

    /// Returns the number of stored rows. A row that is stored twice counts twice.
    pub(super) async fn rows(&self) -> usize {
        self.segments().await.iter().map(segment_rows).sum()
    }

    /// Returns the times of all stored rows, in nanoseconds.
    pub(super) async fn times(&self) -> Vec<i64> {
        let mut times = Vec::new();
        for segment in self.segments().await {
            for table in segment.tables() {
                for batch in segment.rows(table.table).unwrap() {
                    let column = batch
                        .column_by_name("time")
                        .unwrap()
                        .as_primitive::<TimestampNanosecondType>();
                    times.extend(column.values());
                }
            }
        }
        times
    }

    async fn segments(&self) -> Vec<Segment> {
        let page = self.memory.list(ListRequest::new(Key::TAIL_PREFIX)).await.unwrap().value;
        let mut segments = Vec::new();
        for entry in page.entries {
            let Ok(Key::Segment(database, name)) = entry.key.parse() else {
                panic!("{}", entry.key);
            };
            let object = self.memory.get(&entry.key, GetOptions::default()).await;
            let Get::Found(object) = object.unwrap().value else {
                panic!("{}", entry.key);
            };
            segments.push(Segment::decode(database, name, object.bytes).unwrap());
        }
        segments
    }

    /// Waits until a metric has a value.
    pub(super) async fn wait_for_metric(&self, sample: &str) {
        let shown = async {
            while !self.metrics.render().lines().any(|line| line == sample) {
                self.world.clock.sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = self.world.timeout(PATIENCE, shown).await;
        assert!(waited.is_some(), "{sample}: {}", self.metrics.render());
    }

    /// Waits until a connection was closed for this reason.
    pub(super) async fn wait_for_end(&self, reason: &str) {
        self.wait_for_ends(reason, 1).await;
    }

    /// Waits until this number of connections were closed for this reason.
    pub(super) async fn wait_for_ends(&self, reason: &str, number: u32) {
        let name = "neap_questdb_connections_closed_total";
        self.wait_for_metric(&format!("{name}{{reason=\"{reason}\"}} {number}")).await;
    }
}

/// Returns a write function on a store, and its catalog.
pub(super) fn write_function(
    memory: Arc<MemoryStore>,
    world: &World,
    metrics: &Metrics,
) -> (Arc<Catalog>, Arc<WriteService>) {
    let bucket = Bucket::new(memory as Arc<dyn Store>, world.clone());
    let rules = ProtocolRules::new(ProtocolMargins::LOCAL);
    let catalog = Arc::new(Catalog::new(bucket, ProtocolMargins::LOCAL, None));
    let writes = Arc::new(WriteService::new(WriteServiceParts {
        metrics: metrics.clone(),
        settings: WriteSettings {
            max_cells: 1 << 20,
            max_new_tables: 100,
            ..WriteSettings::default()
        },
        ..WriteServiceParts::local(&catalog, rules)
    }));
    (catalog, writes)
}

fn segment_rows(segment: &Segment) -> usize {
    segment.tables().map(|table| usize::try_from(table.rows).unwrap()).sum()
}

async fn timeout<T>(future: impl Future<Output = T>) -> T {
    let world = World::system();
    world.timeout(PATIENCE, future).await.expect("in time")
}

pub(super) struct TestClient(pub(super) TcpStream);

impl TestClient {
    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        timeout(self.0.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Sends bytes that the server may not receive, because it closes the connection.
    pub(super) async fn try_send(&mut self, bytes: &[u8]) {
        timeout(self.0.write_all(bytes)).await.ok();
    }

    /// Sends a name and returns the challenge.
    pub(super) async fn begin_handshake(&mut self, name: &str) -> Vec<u8> {
        self.send(format!("{name}\n")).await;
        let mut challenge = vec![0; 513];
        timeout(self.0.read_exact(&mut challenge)).await.unwrap();
        assert_eq!(challenge.pop(), Some(b'\n'));
        challenge
    }

    pub(super) async fn authenticate(&mut self, name: &str, key: &ClientPrivateKey) {
        let challenge = self.begin_handshake(name).await;
        let signature = sign(key, &challenge).to_der();
        self.send(STANDARD.encode(signature.as_bytes()) + "\n").await;
    }

    /// Closes the sending side, and waits until the server has closed the connection.
    pub(super) async fn finish(mut self) {
        self.0.shutdown().await.ok();
        self.wait_for_end().await;
    }

    /// Waits until the server has closed the connection, after any answer.
    pub(super) async fn wait_for_any_end(&mut self) {
        timeout(self.0.read_to_end(&mut Vec::new())).await.ok();
    }

    /// Waits until the server has closed the connection.
    pub(super) async fn wait_for_end(&mut self) {
        let mut rest = Vec::new();
        timeout(self.0.read_to_end(&mut rest)).await.ok();
        assert_eq!(rest, b"");
    }
}
