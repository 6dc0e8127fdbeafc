//! Test helpers: an in-memory store, instances over it, and access to the stored segments.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use neap_bucket::{
    Bucket, Clock, ClockReading, CountingStore, FaultyStore, Get, GetOptions, Key, ListRequest,
    MemoryStore, OperationCounts, PausedClock, ProtocolMargins, ProtocolRules, StorageClass, Store,
    StoreFaults, World,
};
use neap_catalog::{ANY_AGE, Catalog, CatalogLimits, DatabaseCatalog};
use neap_http::{AccessControl, ClusterId, Metrics, ServiceContext, with_common_layers};
use neap_memory::MemoryPressure;
use neap_wal::{Segment, TailWriter, TailWriterSettings};
use tower::ServiceExt;

use crate::{WriteService, WriteServiceParts, WriteSettings, router, row_delete_router};

/// An in-memory store that several instances write to.
#[derive(Clone, Debug)]
pub(super) struct WriteTestBed {
    pub(super) memory: Arc<MemoryStore>,
    clock: Arc<PausedClock>,
}

impl WriteTestBed {
    pub(super) fn new() -> Self {
        Self::with_storage_classes(&[])
    }

    /// Returns an empty store with these storage classes.
    pub(super) fn with_storage_classes(classes: &'static [StorageClass]) -> Self {
        // In the year 2023.
        let clock = Arc::new(PausedClock::new(1_700_000_000_000_000));
        let memory = MemoryStore::new(Arc::clone(&clock) as _).with_storage_classes(classes);
        Self { memory: Arc::new(memory), clock }
    }

    pub(super) fn with_instance() -> (Self, WriteInstance) {
        let bed = Self::new();
        let instance = bed.instance();
        (bed, instance)
    }

    pub(super) async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }

    pub(super) fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.memory) as _
    }

    fn world(&self) -> World {
        let clock = Arc::clone(&self.clock) as _;
        World::seeded(clock, Arc::strong_count(&self.clock) as u64)
    }

    /// Returns the current time of the world.
    pub(super) fn clock_reading(&self) -> ClockReading {
        self.world().clock_reading()
    }

    pub(super) fn instance(&self) -> WriteInstance {
        self.instance_with(WriteSettings::default())
    }

    pub(super) fn instance_with(&self, settings: WriteSettings) -> WriteInstance {
        self.instance_on(self.store(), settings)
    }

    pub(super) fn instance_with_limits(&self, limits: CatalogLimits) -> WriteInstance {
        let catalog = |catalog: Catalog| catalog.with_limits(limits);
        self.build(self.store(), WriteSettings::default(), catalog)
    }

    /// Returns an instance configured as the only one on the store, which acknowledges drops without waiting.
    pub(super) fn sole_instance(&self) -> WriteInstance {
        let catalog = |catalog: Catalog| catalog.with_sole_process(true);
        self.build(self.store(), WriteSettings::default(), catalog)
    }

    /// Returns an instance whose requests to the store fail according to `faults`.
    pub(super) fn instance_with_faults(&self, faults: StoreFaults) -> WriteInstance {
        let store = FaultyStore::new(self.store(), self.world(), faults);
        self.instance_on(Arc::new(store), WriteSettings::default())
    }

    pub(super) fn instance_on(
        &self,
        store: Arc<dyn Store>,
        settings: WriteSettings,
    ) -> WriteInstance {
        self.build(store, settings, |catalog| catalog)
    }

    pub(super) fn instance_of_writer(&self, writer: TailWriterSettings) -> WriteInstance {
        let settings = WriteSettings::default();
        let pressure = MemoryPressure::none();
        self.build_with(self.store(), settings, |catalog| catalog, writer, pressure)
    }

    /// Returns an instance whose writes wait while memory is short.
    pub(super) fn instance_under(&self, pressure: MemoryPressure) -> WriteInstance {
        let (settings, writer) = (WriteSettings::default(), TailWriterSettings::LOCAL);
        self.build_with(self.store(), settings, |catalog| catalog, writer, pressure)
    }

    fn build(
        &self,
        store: Arc<dyn Store>,
        settings: WriteSettings,
        prepare: impl FnOnce(Catalog) -> Catalog,
    ) -> WriteInstance {
        let (writer, pressure) = (TailWriterSettings::LOCAL, MemoryPressure::none());
        self.build_with(store, settings, prepare, writer, pressure)
    }

    fn build_with(
        &self,
        store: Arc<dyn Store>,
        settings: WriteSettings,
        prepare: impl FnOnce(Catalog) -> Catalog,
        writer: TailWriterSettings,
        pressure: MemoryPressure,
    ) -> WriteInstance {
        let world = self.world();
        let counting = Arc::new(CountingStore::new(store));
        let bucket = Bucket::new(Arc::clone(&counting) as _, world.clone());
        let rules = ProtocolRules::new(ProtocolMargins::LOCAL);
        let catalog = Catalog::new(bucket.clone(), ProtocolMargins::LOCAL, None);
        let catalog = Arc::new(prepare(catalog));
        let metrics = Metrics::default();
        let service = WriteService::new(WriteServiceParts {
            catalog: Arc::clone(&catalog),
            writer: TailWriter::new(bucket, rules, writer, None),
            rules,
            metrics: metrics.clone(),
            settings,
        });
        let service = Arc::new(service.with_pressure(pressure));
        let common = ServiceContext {
            cluster: ClusterId::new(Arc::clone(&catalog)),
            world,
            metrics: metrics.clone(),
            access: AccessControl::Open,
        };
        let routes = router(Arc::clone(&service)).merge(row_delete_router(Arc::clone(&service)));
        WriteInstance {
            routes: with_common_layers(routes, common),
            service,
            catalog,
            metrics,
            counting,
        }
    }

    /// Returns the segments of all databases, in order.
    pub(super) async fn segments(&self) -> Vec<Segment> {
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
        segments.sort_by_key(Segment::name);
        segments
    }

    /// Returns the number of rows in the tails of all databases.
    pub(super) async fn rows(&self) -> u64 {
        let segments = self.segments().await;
        let tables = segments.iter().flat_map(|segment| segment.tables());
        tables.map(|table| table.rows).sum()
    }
}

#[derive(Debug)]
pub(super) struct WriteInstance {
    pub(super) service: Arc<WriteService>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) metrics: Metrics,
    counting: Arc<CountingStore>,
    routes: Router,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HttpReply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl HttpReply {
    pub(super) fn stamp(&self) -> Option<u64> {
        let stamp = self.headers.get("x-neap-stamp")?;
        Some(stamp.to_str().unwrap().parse().unwrap())
    }
}

/// Sends a request with a body of JSON, or without a body.
pub(super) async fn send(
    instance: &WriteInstance,
    method: &str,
    path: &str,
    body: &str,
) -> HttpReply {
    let mut request = Request::builder().method(method).uri(path);
    if !body.is_empty() {
        request = request.header("Content-Type", "application/json");
    }
    instance.send(request.body(Body::from(body.to_owned())).unwrap()).await
}

/// Sends the request of each line, `METHOD PATH BODY ==> STATUS ANSWER`, asserts its answer, and returns the replies.
pub(super) async fn assert_answers(instance: &WriteInstance, requests: &str) -> Vec<HttpReply> {
    let mut replies = Vec::new();
    for (request, answer) in neap_test_inputs::text_pairs(requests) {
        let parts: Vec<&str> = request.splitn(3, ' ').collect();
        let sent_body = parts.get(2).copied().unwrap_or_default();
        let reply = send(instance, parts[0], parts[1], sent_body).await;
        let (status, body) = answer.split_once(' ').unwrap_or((answer, ""));
        let expected = (status.parse::<u16>().unwrap(), body);
        assert_eq!((reply.status, reply.body.as_str()), expected, "{request}");
        replies.push(reply);
    }
    replies
}

impl WriteInstance {
    pub(super) async fn send(&self, request: Request<Body>) -> HttpReply {
        let response = self.routes.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        HttpReply {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub(super) async fn post(&self, path: &str, body: impl Into<Body>) -> HttpReply {
        self.send(Request::post(path).body(body.into()).unwrap()).await
    }

    /// Writes lines to `/api/v3/write_lp` with timestamps in seconds.
    pub(super) async fn write(&self, db: &str, lines: &'static str) -> HttpReply {
        let path = format!("/api/v3/write_lp?precision=second&db={db}");
        self.post(&path, Bytes::from_static(lines.as_bytes())).await
    }

    /// Runs `work`, and returns its result and the store requests that it made.
    pub(super) async fn counted<T>(&self, work: impl Future<Output = T>) -> (T, OperationCounts) {
        let before = self.counting.counts();
        let outcome = work.await;
        (outcome, self.counting.counts() - before)
    }

    /// Returns the catalog of a database as cached by this instance.
    pub(super) async fn catalog_of(&self, name: &str) -> Arc<DatabaseCatalog> {
        let database = self.catalog.database_by_name(name, ANY_AGE).await.unwrap();
        let database = self.catalog.database(database.unwrap(), Duration::ZERO);
        database.await.unwrap().value
    }

    /// Returns the tables with their columns, in order of creation.
    pub(super) async fn tables(&self, name: &str) -> Vec<String> {
        let catalog = self.catalog_of(name).await;
        let tables = catalog.tables().map(|table| {
            let columns: Vec<_> = table
                .columns()
                .iter()
                .map(|column| column.name.as_str())
                .filter(|column| *column != "time")
                .collect();
            format!("{} {}", table.name(), columns.join(","))
        });
        tables.collect()
    }
}

/// A switch that turns store faults on and off.
#[derive(Clone, Debug, Default)]
pub(super) struct FaultSwitch(Arc<AtomicBool>);

impl FaultSwitch {
    pub(super) fn set(&self, on: bool) {
        self.0.store(on, Ordering::Relaxed);
    }

    pub(super) fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
