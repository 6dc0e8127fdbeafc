//! Shared parts of the tests: sections, virtual clocks, and a store that counts requests and runs scripted actions.

mod caches;
mod collect;
mod deletes;
mod fixture;
mod flush;
mod format;
mod history;
mod interleaving;
mod jobs;
mod protocol;
mod publications;
mod reader;
mod repair;
mod replace;
mod replace_all;
mod restore;
mod spill;
mod table_changes;
mod table_sweep;
mod tail_state;

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arrow_array::{
    Array, DictionaryArray, RecordBatch, TimestampNanosecondArray, types::Int32Type,
};
use arrow_schema::Schema;
use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use neap_bucket::{
    Bucket, Clock, Entropy, Get, GetOptions, Key, ListPage, ListRequest, MemoryStore, Operation,
    PausedClock, ProtocolMargins, ProtocolRules, Put, PutMode, Stamp, Store, StoreError,
    StoreResponse, StoreTime, World, WriteOrder,
};
use neap_catalog::Catalog;
use neap_schema::{ColumnType, DatabaseId, TableId};
use neap_wal::{
    EncodedRows, FreshnessProof, SegmentObserver, TailReader, TailReaderSettings, TailWriter,
    TailWriterSettings, WriteError, WriteRequest,
};
use ulid::Ulid;

use crate::{
    FlushCommit, FlushOutcome, JobKind, JobRecord, ManifestSettings, ManifestStore, PendingObject,
    Section, Snapshot, SnapshotError, SnapshotOptions, SnapshotReader, SnapshotSettings,
};

pub(crate) const DATABASE: DatabaseId = DatabaseId::new(1);

pub(crate) fn stamp(number: u64) -> Stamp {
    Stamp::from_u64(number)
}

/// Returns a section with one row at the start of a day.
pub(crate) fn section(table: u32, day: i32, above: u64, upto: u64) -> Section {
    let time = i64::from(day) * 86_400_000_000_000;
    Section {
        object: Ulid::from_parts(upto, u128::from(table)),
        length: 32,
        footer_length: 8,
        table: TableId::new(table),
        first_day: day,
        last_day: day,
        above: stamp(above),
        upto: stamp(upto),
        rows: 1,
        min_time: time,
        max_time: time,
        crc32c: crc32c::crc32c(&[0; 32]),
        footer_crc32c: crc32c::crc32c(&[0; 8]),
        added: 1,
        ..Section::default()
    }
}

/// Returns a job record with placeholder values.
pub(crate) fn job(kind: JobKind) -> JobRecord {
    JobRecord {
        inputs: 1,
        outputs: 1,
        rows: 1,
        bytes_in: 1,
        bytes_out: 1,
        duration_ms: 1,
        ..JobRecord::new(Ulid::from_parts(1, 1), kind, StoreTime::from_micros(1))
    }
}

/// The wall clock at the start of a test: 10 September 2025, 13:25:05.
const START_MICROS: i64 = 1_757_510_705_000_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestCounts {
    pub(crate) lists: usize,
    pub(crate) gets: usize,
    pub(crate) puts: usize,
}

type ActionFuture = BoxFuture<'static, ()>;

/// An action that runs once, before a matching request takes effect.
struct ScriptedAction {
    operation: Operation,
    prefix: &'static str,
    act: ActionFuture,
}

/// A store in memory that counts requests, delays them, and runs scripted actions.
pub(crate) struct InstrumentedStore {
    inner: MemoryStore,
    clock: Arc<PausedClock>,
    requests: Mutex<RequestCounts>,
    script: Mutex<VecDeque<ScriptedAction>>,
    longest_delay_micros: AtomicU64,
    chance: Entropy,
    dark: AtomicBool,
}

impl fmt::Debug for InstrumentedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StageStore")
    }
}

impl InstrumentedStore {
    async fn pass(&self, operation: Operation, key: &str) -> Result<(), StoreError> {
        {
            let mut requests = self.requests.lock().unwrap();
            match operation {
                Operation::List => requests.lists += 1,
                Operation::Get => requests.gets += 1,
                Operation::Put => requests.puts += 1,
                Operation::Delete => {}
            }
        }
        let act = {
            let mut script = self.script.lock().unwrap();
            let cue = script
                .iter()
                .position(|cue| cue.operation == operation && key.starts_with(cue.prefix));
            cue.and_then(|cue| script.remove(cue)).map(|cue| cue.act)
        };
        if let Some(act) = act {
            act.await;
        }
        self.wait().await;
        if self.dark.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable {
                operation,
                key: key.to_owned(),
                reason: "the store is unavailable".to_owned(),
            });
        }
        Ok(())
    }

    async fn wait(&self) {
        let longest = Duration::from_micros(self.longest_delay_micros.load(Ordering::Relaxed));
        if !longest.is_zero() {
            self.clock.sleep(self.chance.below(longest)).await;
        }
    }
}

#[async_trait]
impl Store for InstrumentedStore {
    async fn get(&self, key: &str, options: GetOptions) -> Result<StoreResponse<Get>, StoreError> {
        self.pass(Operation::Get, key).await?;
        let answer = self.inner.get(key, options).await;
        self.wait().await;
        answer
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        mode: PutMode,
    ) -> Result<StoreResponse<Put>, StoreError> {
        self.pass(Operation::Put, key).await?;
        let answer = self.inner.put(key, body, mode).await;
        self.wait().await;
        answer
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<StoreResponse<ListPage>, StoreError> {
        self.pass(Operation::List, request.prefix).await?;
        let answer = self.inner.list(request).await;
        self.wait().await;
        answer
    }

    async fn delete(&self, keys: &[String]) -> Result<StoreResponse<()>, StoreError> {
        self.inner.delete(keys).await
    }

    fn is_sorted(&self) -> bool {
        self.inner.is_sorted()
    }
}

/// A simulated store, with one clock for all machines and one for the store.
#[derive(Clone, Debug)]
pub(crate) struct ManifestTestBed {
    pub(crate) clock: Arc<PausedClock>,
    pub(crate) store_clock: Arc<PausedClock>,
    store: Arc<InstrumentedStore>,
}

impl ManifestTestBed {
    pub(crate) fn new() -> Self {
        Self::with_seed(1)
    }

    pub(crate) fn with_seed(seed: u64) -> Self {
        let clock = Arc::new(PausedClock::new(START_MICROS));
        let store_clock = Arc::new(PausedClock::new(START_MICROS));
        let store = Arc::new(InstrumentedStore {
            inner: MemoryStore::with_page_keys(Arc::clone(&store_clock) as Arc<dyn Clock>, 3),
            clock: Arc::clone(&clock),
            requests: Mutex::default(),
            script: Mutex::default(),
            longest_delay_micros: AtomicU64::new(0),
            chance: Entropy::from_seed(seed),
            dark: AtomicBool::new(false),
        });
        Self { clock, store_clock, store }
    }

    pub(crate) async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }

    /// Delays the start and the end of each request by a random time up to `longest`.
    pub(crate) fn slow_down(&self, longest: Duration) {
        let micros = u64::try_from(longest.as_micros()).unwrap();
        let delay = &self.store.longest_delay_micros;
        delay.store(micros, Ordering::Relaxed);
    }

    pub(crate) fn set_unavailable(&self, dark: bool) {
        self.store.dark.store(dark, Ordering::Relaxed);
    }

    /// Runs `act` before the next request of this kind takes effect.
    pub(crate) fn before(
        &self,
        operation: Operation,
        prefix: &'static str,
        act: impl Future<Output = ()> + Send + 'static,
    ) {
        self.store.script.lock().unwrap().push_back(ScriptedAction {
            operation,
            prefix,
            act: Box::pin(act),
        });
    }

    /// Returns the request counts since the last call.
    pub(crate) fn taken(&self) -> RequestCounts {
        std::mem::take(&mut self.store.requests.lock().unwrap())
    }

    pub(crate) fn bucket(&self, seed: u64) -> Bucket {
        let world = World::seeded(Arc::clone(&self.clock) as Arc<dyn Clock>, seed);
        Bucket::new(Arc::clone(&self.store) as Arc<dyn Store>, world)
    }

    pub(crate) fn instance(&self, seed: u64, settings: SnapshotSettings) -> Instance {
        let bucket = self.bucket(seed);
        let rules = ProtocolRules::new(ProtocolMargins::LOCAL);
        let catalog = Arc::new(Catalog::new(bucket.clone(), ProtocolMargins::LOCAL, None));
        let manifests = ManifestStore::new(bucket.clone(), &rules, ManifestSettings::default());
        let tail = TailReader::new(bucket.clone(), TailReaderSettings::default());
        let reader = Arc::new(SnapshotReader::new(
            manifests.clone(),
            Arc::clone(&catalog),
            tail.clone(),
            rules,
            settings,
        ));
        let observer: Option<Arc<dyn SegmentObserver>> =
            settings.sole_writer.then(|| Arc::clone(&reader) as Arc<dyn SegmentObserver>);
        let writer = TailWriter::new(bucket.clone(), rules, TailWriterSettings::LOCAL, observer);
        Instance { bucket, rules, catalog, manifests, tail, reader, writer }
    }
}

/// All components of one instance.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) bucket: Bucket,
    pub(crate) rules: ProtocolRules,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) manifests: ManifestStore,
    pub(crate) tail: TailReader,
    pub(crate) reader: Arc<SnapshotReader>,
    pub(crate) writer: TailWriter,
}

impl Instance {
    /// Reads with strong consistency.
    pub(crate) async fn read(&self) -> Result<Arc<Snapshot>, SnapshotError> {
        self.reader.read(DATABASE, SnapshotOptions::default()).await
    }

    /// Writes one row whose segment needs this version of the catalog.
    pub(crate) async fn write(&self, catalog_version: u64) -> Result<Stamp, WriteError> {
        let arrived = self.bucket.world().clock_reading();
        let manifest = self.manifests.read(DATABASE, None).await.unwrap();
        let request = WriteRequest {
            depth: 0,
            progress: None,
            arrived,
            rows: vec![rows()],
            proof: FreshnessProof {
                tail: None,
                catalog_version,
                mark: manifest.value.low_water_mark,
                current_at: manifest.current_at.unwrap(),
                asked: manifest.asked.unwrap(),
            },
            after: None,
            order: WriteOrder::Clock,
        };
        let written = self.writer.write(DATABASE, request).await;
        written.map(|acknowledged| acknowledged.stamp)
    }

    /// Flushes all segments up to `cut` as one section without data.
    pub(crate) async fn flush(&self, cut: Stamp) -> FlushOutcome {
        let base = self.manifests.read(DATABASE, None).await.unwrap();
        let object = PendingObject::draw(&self.bucket).unwrap();
        self.flush_from(base.value.low_water_mark, cut, object).await
    }

    /// Commits a flush that started from `read_mark` and has put its object.
    pub(crate) async fn flush_from(
        &self,
        read_mark: Stamp,
        cut: Stamp,
        object: PendingObject,
    ) -> FlushOutcome {
        let base = self.manifests.read(DATABASE, None).await.unwrap();
        let mut section = section(1, 0, read_mark.as_u64(), cut.as_u64());
        section.object = object.ulid;
        let flush = FlushCommit {
            sections: vec![section],
            object: Some(object),
            ..FlushCommit::new(read_mark, cut, job(JobKind::Flush))
        };
        let committed = self.manifests.commit_flush(DATABASE, base, flush);
        committed.await.unwrap()
    }

    /// Deletes the segments at or below a mark.
    pub(crate) async fn collect(&self, mark: Stamp) {
        let listing = self.tail.list(DATABASE, Stamp::ZERO).await.unwrap();
        let names = listing.names().into_iter();
        let keys: Vec<_> = names
            .filter(|name| name.stamp <= mark)
            .map(|name| Key::Segment(DATABASE, name).to_string())
            .collect();
        self.bucket.delete(&keys).await.unwrap();
    }
}

fn rows() -> EncodedRows {
    let tags: DictionaryArray<Int32Type> = [Some("a")].into_iter().collect();
    let times = TimestampNanosecondArray::from(vec![1]);
    let fields = vec![ColumnType::Tag.arrow_field("host"), ColumnType::Time.arrow_field("time")];
    let columns: Vec<Arc<dyn Array>> = vec![Arc::new(tags), Arc::new(times)];
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    EncodedRows::encode(TableId::new(1), &batch).unwrap()
}

pub(crate) fn stamps_of(snapshot: &Snapshot) -> Vec<Stamp> {
    snapshot.tail_names().map(|name| name.stamp).collect()
}
