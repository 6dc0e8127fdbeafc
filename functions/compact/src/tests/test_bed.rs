//! A cluster in memory: a writer, and any number of compact functions.

use std::{
    convert::Infallible,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use neap_bucket::{
    Bucket, CallPhase, Clock, CountingStore, FaultyStore, KeyClass, ListRequest, MemoryStore,
    Operation, OperationCounts, ProtocolMargins, ProtocolRules, RegisterChange, SteppedClock,
    StorageClass, Store, StoreCall, StoreFaults, VersionedValue, World,
};
use neap_catalog::{ANY_AGE, Catalog};
use neap_manifest::{Manifest, ManifestSettings, ManifestStore};
use neap_row_delete::{Condition, RowDelete, RowDeleter};
use neap_schema::DatabaseId;
use neap_wal::{TailReader, TailReaderSettings};
use neap_write::{AcceptedWrite, WriteFailure, WriteOptions, WriteService, WriteServiceParts};

use crate::{
    CompactParts, CompactionReport, Compactor, CompactorEvent, CompactorSettings, EventDispatcher,
    FlushLimits, Flusher, GarbageCollectorSettings, Maintainer, MergePolicy, Merger,
};

/// The wall clock at the start of a test: 14 November 2023, 22:13:20.
pub(crate) const NOW: i64 = 1_700_000_000_000_000_000;

pub(super) const DAY: i64 = 86_400_000_000_000;

/// The clock of the test, with a wall clock that is ahead by so many microseconds.
#[derive(Debug)]
struct SkewedClock(Arc<SteppedClock>, i64);

impl Clock for SkewedClock {
    fn wall_micros(&self) -> i64 {
        self.0.wall_micros() + self.1
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration)
    }
}

/// Keeps dispatched events.
#[derive(Debug, Default)]
pub(super) struct EventQueue(Mutex<Vec<CompactorEvent>>);

impl EventQueue {
    pub(super) fn take(&self) -> Vec<CompactorEvent> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[async_trait]
impl EventDispatcher for EventQueue {
    async fn dispatch(&self, event: CompactorEvent) -> Result<(), String> {
        self.0.lock().unwrap().push(event);
        Ok(())
    }
}

pub(crate) struct CompactTestBed {
    clock: Arc<SteppedClock>,
    /// The store without counters. It has the storage classes of S3.
    pub(super) memory: Arc<MemoryStore>,
    pub(super) store: Arc<CountingStore>,
    pub(crate) bucket: Bucket,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) manifests: ManifestStore,
    writer: WriteService,
    pub(super) rules: ProtocolRules,
    pub(super) policy: MergePolicy,
    pub(super) collect: GarbageCollectorSettings,
    pub(super) settings: CompactorSettings,
    pub(super) flush: FlushLimits,
}

impl CompactTestBed {
    pub(crate) async fn new() -> Self {
        let clock = Arc::new(SteppedClock::stopped());
        let empty = MemoryStore::new(Arc::clone(&clock) as _);
        let memory = Arc::new(empty.with_storage_classes(StorageClass::S3));
        let store = Arc::new(CountingStore::new(Arc::clone(&memory) as _));
        let world = World::seeded(Arc::clone(&clock) as _, 1);
        let bucket = Bucket::new(Arc::clone(&store) as _, world);
        // Catalog drops do not wait, because this clock does not advance by itself.
        let catalog = Arc::new(Catalog::for_sole_process(bucket.clone()));
        let rules = catalog.rules().await.unwrap();
        let manifests = ManifestStore::new(bucket.clone(), &rules, ManifestSettings::default());
        let writer = WriteService::new(WriteServiceParts::local(&catalog, rules));
        Self {
            clock,
            memory,
            store,
            bucket,
            catalog,
            manifests,
            writer,
            rules,
            policy: MergePolicy::default(),
            collect: GarbageCollectorSettings::default(),
            settings: CompactorSettings::default(),
            flush: FlushLimits::default(),
        }
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    pub(crate) async fn with_rows(lines: &str) -> Self {
        let bed = Self::new().await;
        bed.write("db", lines).await;
        bed
    }

    pub(crate) async fn write(&self, database: &str, lines: &str) {
        self.try_write(database, lines).await.unwrap();
    }

    pub(super) async fn try_write(
        &self,
        database: &str,
        lines: &str,
    ) -> Result<AcceptedWrite, WriteFailure> {
        self.pass(Duration::from_millis(1));
        let body = Bytes::from(lines.to_owned());
        let options = WriteOptions::default();
        self.writer.write(database, body, options).await
    }

    /// Writes a segment to each of `number` databases, and returns their ids.
    pub(super) async fn write_databases(&self, number: usize) -> Vec<DatabaseId> {
        for database in 0..number {
            self.write(&format!("db{database}"), &format!("m v=1 {NOW}")).await;
        }
        let root = self.catalog.root(ANY_AGE).await.unwrap();
        root.value.live_databases().map(|(id, _)| id).collect()
    }

    /// Returns how many of these databases are flushed.
    pub(super) async fn flushed(&self, databases: &[DatabaseId]) -> usize {
        let mut flushed = 0;
        for database in databases {
            let manifest = self.manifests.read(*database, None).await.unwrap();
            flushed += usize::from(manifest.value.section_count() > 0);
        }
        flushed
    }

    /// Deletes rows of the table `m`.
    pub(super) async fn delete(&self, database: &str, condition: Condition) {
        self.pass(Duration::from_millis(1));
        let id = self.id(database).await;
        let catalog = self.catalog.database(id, ANY_AGE).await.unwrap();
        let table = catalog.value.table("m").unwrap().id();
        let deletes = vec![RowDelete { table, condition }];
        let arrived = self.bucket.world().clock_reading();
        let deleted = RowDeleter::delete_rows(&self.writer, id, deletes, arrived, None);
        deleted.await.unwrap();
    }

    /// Returns a function with its own caches.
    pub(super) fn compactor(&self) -> Compactor {
        self.compactor_with(None)
    }

    pub(super) fn compactor_with(&self, dispatcher: Option<Arc<dyn EventDispatcher>>) -> Compactor {
        self.assembled(self.bucket.clone(), dispatcher)
    }

    /// Returns a function that loses races for the manifest of a database: those of its manifest PUTs whose numbers are
    /// in `puts` take six seconds, and meanwhile another process commits.
    pub(super) fn overtaken(&self, database: DatabaseId, puts: Range<u64>) -> Compactor {
        let (clock, register) = (Arc::clone(&self.clock), self.manifests.register(database));
        let started_commits = AtomicU64::new(0);
        let hook = move |call: &StoreCall| {
            let is_put = call.operation == Operation::Put && call.phase == CallPhase::Before;
            let is_commit = is_put && call.key == register.key().to_string();
            if !is_commit || !puts.contains(&started_commits.fetch_add(1, Ordering::Relaxed)) {
                return std::future::ready(()).boxed();
            }
            clock.advance(Duration::from_secs(6));
            let register = register.clone();
            async move {
                let touch = |base: &VersionedValue<Manifest>| {
                    Ok::<_, Infallible>(RegisterChange::Put(Manifest::successor(base), ()))
                };
                register.commit(None, touch).await.unwrap();
            }
            .boxed()
        };
        let (inner, world) = (Arc::clone(&self.store) as _, self.bucket.world().clone());
        let store = FaultyStore::new(inner, world.clone(), StoreFaults::default())
            .with_hook(Arc::new(hook));
        self.assembled(Bucket::new(Arc::new(store), world), None)
    }

    /// Returns a maintainer without the rest of the function.
    pub(super) fn maintainer(&self) -> Maintainer {
        let (bucket, catalog) = (self.bucket.clone(), Arc::clone(&self.catalog));
        let manifests = self.manifests.clone();
        let merger = Merger::new(bucket.clone(), Arc::clone(&catalog), manifests.clone());
        Maintainer::new(bucket, catalog, manifests, merger, self.policy)
    }

    /// Returns a function for which `done` runs before its first read of an object of a class.
    pub(super) fn interrupted(
        &self,
        class: KeyClass,
        done: impl Future<Output = ()> + Send + 'static,
    ) -> Compactor {
        self.interrupted_at((Operation::Get, class), done)
    }

    /// Like [`interrupted`](Self::interrupted), for its first request of any operation.
    pub(super) fn interrupted_at(
        &self,
        (operation, class): (Operation, KeyClass),
        done: impl Future<Output = ()> + Send + 'static,
    ) -> Compactor {
        let done = Mutex::new(Some(done.boxed()));
        self.hooked(move |call: &StoreCall| {
            let is_it = call.operation == operation
                && call.phase == CallPhase::Before
                && KeyClass::from_key(&call.key) == class;
            match is_it.then(|| done.lock().unwrap().take()).flatten() {
                Some(done) => done,
                None => std::future::ready(()).boxed(),
            }
        })
    }

    /// Returns a function whose requests wait for a hook.
    pub(super) fn hooked(
        &self,
        hook: impl Fn(&StoreCall) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Compactor {
        self.hooked_with(None, hook)
    }

    /// Like [`hooked`](Self::hooked), with a dispatcher.
    pub(super) fn hooked_with(
        &self,
        dispatcher: Option<Arc<dyn EventDispatcher>>,
        hook: impl Fn(&StoreCall) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Compactor {
        let (inner, world) = (Arc::clone(&self.store) as _, self.bucket.world().clone());
        let store = FaultyStore::new(inner, world.clone(), StoreFaults::default())
            .with_hook(Arc::new(hook));
        self.assembled(Bucket::new(Arc::new(store), world), dispatcher)
    }

    /// Returns a function that advances the clock, for hooks.
    pub(super) fn clock_hand(&self) -> impl Fn(Duration) + Send + Sync + 'static {
        let clock = Arc::clone(&self.clock);
        move |time| clock.advance(time)
    }

    fn assembled(&self, bucket: Bucket, dispatcher: Option<Arc<dyn EventDispatcher>>) -> Compactor {
        self.assembled_with(bucket, dispatcher, self.flush)
    }

    /// Returns a function with these flush limits, on a machine with a wall clock that is off by `off`.
    pub(super) fn compactor_of_limits(&self, flush: FlushLimits, off: Duration) -> Compactor {
        let off = i64::try_from(off.as_micros()).unwrap();
        self.assembled_with(self.skewed(off), None, flush)
    }

    /// Returns a function on a machine with a wall clock that is behind.
    pub(super) fn compactor_behind(&self, by: Duration) -> Compactor {
        let by = i64::try_from(by.as_micros()).unwrap();
        self.assembled(self.skewed(-by), None)
    }

    /// Returns the bucket of a machine whose wall clock is ahead by so many microseconds.
    fn skewed(&self, micros: i64) -> Bucket {
        let world = World {
            clock: Arc::new(SkewedClock(Arc::clone(&self.clock), micros)),
            ..self.bucket.world().clone()
        };
        Bucket::new(Arc::clone(&self.store) as _, world)
    }

    fn assembled_with(
        &self,
        bucket: Bucket,
        dispatcher: Option<Arc<dyn EventDispatcher>>,
        flush: FlushLimits,
    ) -> Compactor {
        let parts = CompactParts {
            bucket,
            margins: ProtocolMargins::LOCAL,
            rules: self.rules,
            flush,
            merge: self.policy,
            collect: self.collect,
            settings: self.settings,
        };
        parts.assemble(dispatcher)
    }

    /// Runs a scheduled event `after` the last write, and asserts that nothing fails.
    pub(super) async fn scheduled(&self, after: Duration) -> CompactionReport {
        self.handle(&CompactorEvent::Scheduled, after).await
    }

    /// Runs a collection, and asserts that nothing fails.
    pub(super) async fn look(&self, after: Duration) -> CompactionReport {
        self.handle(&CompactorEvent::Collect, after).await
    }

    /// Collects garbage several times, each time after this duration.
    pub(super) async fn look_times(&self, times: usize, after: Duration) {
        for _ in 0..times {
            self.look(after).await;
        }
    }

    async fn handle(&self, event: &CompactorEvent, after: Duration) -> CompactionReport {
        self.pass(after);
        let report = self.compactor().handle(event, None).await.unwrap();
        assert_eq!(report.failures, []);
        report
    }

    pub(crate) async fn id(&self, database: &str) -> DatabaseId {
        let root = self.catalog.root(ANY_AGE).await.unwrap();
        root.value.database(database).unwrap()
    }

    pub(super) async fn manifest(&self, database: &str) -> Arc<Manifest> {
        let id = self.id(database).await;
        self.manifests.read(id, None).await.unwrap().value
    }

    /// Flushes all written segments.
    pub(crate) async fn flush(&self, database: &str) {
        self.pass(Duration::from_secs(10));
        let id = self.id(database).await;
        self.compactor().flush(id).await.unwrap();
    }

    /// Flushes all written segments like a process that keeps few sections in the manifest.
    pub(super) async fn flush_to_pages(&self, database: &str, inline_sections: usize) {
        let settings = ManifestSettings::with_inline_sections(inline_sections);
        let flusher = Flusher::new(
            self.bucket.clone(),
            Arc::clone(&self.catalog),
            ManifestStore::new(self.bucket.clone(), &self.rules, settings),
            TailReader::new(self.bucket.clone(), TailReaderSettings::default()),
            self.rules,
            FlushLimits::default(),
        );
        self.pass(Duration::from_secs(10));
        flusher.flush(self.id(database).await).await.unwrap();
    }

    /// Writes `count` sections of one day.
    pub(super) async fn write_sections(&self, database: &str, count: i64) {
        for number in 0..count {
            let line = format!("m,host=a v={number} {}", NOW + number);
            self.write(database, &line).await;
            self.flush(database).await;
        }
    }

    /// Counts the requests to the store during `work`.
    pub(super) async fn counted<T>(&self, work: impl Future<Output = T>) -> (T, OperationCounts) {
        let before = self.store.counts();
        let done = work.await;
        (done, self.store.counts() - before)
    }

    pub(super) async fn keys(&self, prefix: &str) -> Vec<String> {
        let page = self.store.list(ListRequest::new(prefix)).await.unwrap().value;
        page.entries.into_iter().map(|entry| entry.key).collect()
    }
}
