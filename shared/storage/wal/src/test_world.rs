//! Test helpers: batches, virtual clocks, and a store with injectable faults.

use std::{
    collections::VecDeque,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampNanosecondArray, UInt64Array, types::Int32Type,
};
use arrow_schema::Schema;
use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use neap_bucket::{
    Bucket, Clock, ClockReading, Entropy, Get, GetOptions, Key, ListPage, ListRequest, MemoryStore,
    Operation, ProtocolMargins, ProtocolRules, Put, PutMode, Stamp, Store, StoreError,
    StoreResponse, StoreTime, World, WriteOrder,
};
use neap_row_delete::{Condition, RowDelete};
use neap_schema::{ColumnType, DatabaseId, TableId};
use proptest::prelude::*;

use crate::{DeleteBytes, DeleteRequest, EncodedRows, FreshnessProof, WriteRequest};

pub(crate) const DATABASE: DatabaseId = DatabaseId::new(3);

fn batch(columns: Vec<(ColumnType, &str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<_> = columns.iter().map(|(kind, name, _)| kind.arrow_field(name)).collect();
    let columns = columns.into_iter().map(|(_, _, column)| column).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// Returns rows with the columns `host` and `time`.
pub(crate) fn batch_of_times(times: &[i64]) -> RecordBatch {
    let hosts: DictionaryArray<Int32Type> = times.iter().map(|_| Some("a")).collect();
    batch(vec![
        (ColumnType::Tag, "host", Arc::new(hosts)),
        (
            ColumnType::Time,
            "time",
            Arc::new(TimestampNanosecondArray::from(times.to_vec())),
        ),
    ])
}

/// Returns rows of one table at time `seed` that take up a little more than `bytes`, compressed or not.
pub(crate) fn random_rows(seed: u64, bytes: usize) -> EncodedRows {
    let mut noise = vec![0; bytes];
    Entropy::from_seed(seed).fill(&mut noise);
    let (numbers, _) = noise.as_chunks::<8>();
    let numbers: UInt64Array = numbers.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
    let times = vec![i64::try_from(seed).unwrap(); numbers.len()];
    let batch = batch(vec![
        (ColumnType::UInteger, "noise", Arc::new(numbers)),
        (ColumnType::Time, "time", Arc::new(TimestampNanosecondArray::from(times))),
    ]);
    EncodedRows::encode(TableId::new(1), &batch).unwrap()
}

/// Generates rows with a column of each type. Integers are of any width.
pub(crate) fn batches() -> impl Strategy<Value = RecordBatch> {
    let row = (
        any::<Option<bool>>(),
        any::<Option<i64>>(),
        any::<Option<u64>>(),
        proptest::option::of(-1e9_f64..1e9),
        proptest::option::of(".{0,12}"),
        proptest::option::of("[a-d]{1,3}"),
        any::<i64>(),
    );
    (proptest::collection::vec(row, 1..40), 0_u32..64).prop_map(|(rows, shift)| {
        let tags: DictionaryArray<Int32Type> = rows.iter().map(|row| row.5.as_deref()).collect();
        let times: TimestampNanosecondArray = rows.iter().map(|row| Some(row.6)).collect();
        let (boolean, integer, unsigned): (BooleanArray, Int64Array, UInt64Array) = (
            rows.iter().map(|row| row.0).collect(),
            rows.iter().map(|row| row.1.map(|it| it >> shift)).collect(),
            rows.iter().map(|row| row.2.map(|it| it >> shift)).collect(),
        );
        let float: Float64Array = rows.iter().map(|row| row.3).collect();
        let string: StringArray = rows.iter().map(|row| row.4.as_deref()).collect();
        batch(vec![
            (ColumnType::Tag, "tag", Arc::new(tags)),
            (ColumnType::Boolean, "b", Arc::new(boolean)),
            (ColumnType::Integer, "i", Arc::new(integer)),
            (ColumnType::UInteger, "u", Arc::new(unsigned)),
            (ColumnType::Float, "f", Arc::new(float)),
            (ColumnType::String, "s", Arc::new(string)),
            (ColumnType::Time, "time", Arc::new(times)),
        ])
    })
}

/// A freeze of the machine at the nth read of its clock from now.
#[derive(Debug)]
pub(crate) struct ScheduledFreeze {
    pub(crate) reads_before: usize,
    pub(crate) duration: Duration,
    /// Whether the monotonic clock stands still during the freeze.
    pub(crate) is_still: bool,
    /// The clock of the store, which continues.
    pub(crate) store: Arc<TestClock>,
}

/// A clock over Tokio's paused time that can be set and frozen.
#[derive(Debug)]
pub(crate) struct TestClock {
    start: tokio::time::Instant,
    wall_offset: AtomicI64,
    monotonic_offset: Mutex<Duration>,
    freeze: Mutex<Option<ScheduledFreeze>>,
}

impl TestClock {
    const EPOCH_MICROS: i64 = 1_700_000_000_000_000;

    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            start: tokio::time::Instant::now(),
            wall_offset: AtomicI64::new(0),
            monotonic_offset: Mutex::default(),
            freeze: Mutex::default(),
        })
    }

    /// Sets the wall clock forward or back.
    pub(crate) fn step_wall(&self, seconds: i64) {
        self.wall_offset.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
    }

    pub(crate) fn freeze(&self, freeze: ScheduledFreeze) {
        *self.freeze.lock().unwrap() = Some(freeze);
    }

    /// Returns whether a scheduled freeze has not happened yet.
    pub(crate) fn has_scheduled_freeze(&self) -> bool {
        self.freeze.lock().unwrap().is_some()
    }

    fn read(&self) {
        let mut pending = self.freeze.lock().unwrap();
        match pending.take() {
            Some(freeze) if freeze.reads_before == 0 => {
                let seconds = i64::try_from(freeze.duration.as_secs()).unwrap();
                self.step_wall(seconds);
                freeze.store.step_wall(seconds);
                if !freeze.is_still {
                    *self.monotonic_offset.lock().unwrap() += freeze.duration;
                }
            }
            Some(freeze) => {
                *pending =
                    Some(ScheduledFreeze { reads_before: freeze.reads_before - 1, ..freeze });
            }
            None => {}
        }
    }
}

impl Clock for TestClock {
    fn wall_micros(&self) -> i64 {
        self.read();
        let elapsed = i64::try_from(self.start.elapsed().as_micros()).unwrap();
        Self::EPOCH_MICROS + elapsed + self.wall_offset.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        self.read();
        self.start.elapsed() + *self.monotonic_offset.lock().unwrap()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everything else is given"
    )]
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// The behaviour of the store for one PUT.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ScriptedPut {
    /// Stores the object after a delay.
    After(Duration),
    /// Stores the object and answers with a `Date` that is off by this many seconds.
    DateOff(i64),
    /// Stores the object and answers without a `Date`.
    NoDate,
    /// Stores the object; the answer is lost.
    AnswerLost,
    /// Neither stores the object nor answers.
    Lost,
    /// Never answers.
    Hang,
    /// Refuses the PUT permanently.
    Rejects,
}

/// A store in memory that follows a script for the next PUTs, and counts requests.
#[derive(Debug)]
pub(crate) struct TestStore {
    pub(crate) memory: MemoryStore,
    pub(crate) clock: Arc<TestClock>,
    deeds: Mutex<VecDeque<ScriptedPut>>,
    requests: Mutex<Vec<Operation>>,
    is_unsorted: AtomicBool,
    breaks_promise: AtomicBool,
    list_delay: Mutex<Duration>,
    gets: AtomicUsize,
    most_gets: AtomicUsize,
}

impl TestStore {
    pub(crate) fn new(page_keys: usize) -> Arc<Self> {
        let clock = TestClock::new();
        Arc::new(Self {
            memory: MemoryStore::with_page_keys(Arc::clone(&clock) as _, page_keys),
            clock,
            deeds: Mutex::default(),
            requests: Mutex::default(),
            is_unsorted: AtomicBool::default(),
            breaks_promise: AtomicBool::default(),
            list_delay: Mutex::default(),
            gets: AtomicUsize::default(),
            most_gets: AtomicUsize::default(),
        })
    }

    pub(crate) fn script_puts(&self, deeds: &[ScriptedPut]) {
        self.deeds.lock().unwrap().extend(deeds);
    }

    pub(crate) fn count(&self, operation: Operation) -> usize {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|request| **request == operation).count()
    }

    /// Sets whether the store sorts. A store that does not sort does not start after a key either.
    pub(crate) fn set_sorted(&self, is_sorted: bool) {
        self.is_unsorted.store(!is_sorted, Ordering::Relaxed);
    }

    /// Makes the store claim that it sorts, whether it does or not.
    pub(crate) fn claim_sorted(&self) {
        self.breaks_promise.store(true, Ordering::Relaxed);
    }

    /// Sets the latency of each page of a listing.
    pub(crate) fn delay_lists(&self, duration: Duration) {
        *self.list_delay.lock().unwrap() = duration;
    }

    /// Returns the maximum number of concurrent reads so far.
    pub(crate) fn max_concurrent_gets(&self) -> usize {
        self.most_gets.load(Ordering::Relaxed)
    }

    fn count_request(&self, operation: Operation) {
        self.requests.lock().unwrap().push(operation);
    }

    pub(crate) async fn objects(&self, prefix: &str) -> Vec<(String, Bytes)> {
        let mut objects = Vec::new();
        let mut page_token = None;
        loop {
            let request = ListRequest { prefix, start_after: None, page_token };
            let page = self.memory.list(request).await.unwrap().value;
            for entry in page.entries {
                let got = self.memory.get(&entry.key, GetOptions::default()).await;
                if let Get::Found(object) = got.unwrap().value {
                    objects.push((entry.key, object.bytes));
                }
            }
            page_token = page.next_page_token;
            if page_token.is_none() {
                return objects;
            }
        }
    }
}

#[async_trait]
impl Store for TestStore {
    async fn get(&self, key: &str, options: GetOptions) -> Result<StoreResponse<Get>, StoreError> {
        self.count_request(Operation::Get);
        let under_way = self.gets.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_gets.fetch_max(under_way, Ordering::Relaxed);
        tokio::task::yield_now().await;
        let answer = self.memory.get(key, options).await;
        self.gets.fetch_sub(1, Ordering::Relaxed);
        answer
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        mode: PutMode,
    ) -> Result<StoreResponse<Put>, StoreError> {
        self.count_request(Operation::Put);
        let deed = self.deeds.lock().unwrap().pop_front();
        let (operation, key_owned) = (Operation::Put, key.to_owned());
        let lost = StoreError::Unavailable {
            operation,
            key: key_owned.clone(),
            reason: "connection reset".to_owned(),
        };
        match deed {
            Some(ScriptedPut::After(duration)) => self.clock.sleep(duration).await,
            Some(ScriptedPut::Hang) => pending().await,
            Some(ScriptedPut::Lost) => return Err(lost),
            Some(ScriptedPut::Rejects) => {
                return Err(StoreError::Rejected {
                    operation,
                    key: key_owned,
                    reason: "no such bucket".to_owned(),
                });
            }
            _ => {}
        }
        let answer = self.memory.put(key, body, mode).await?;
        let date = answer.date;
        match deed {
            Some(ScriptedPut::AnswerLost) => Err(lost),
            Some(ScriptedPut::NoDate) => Ok(StoreResponse { date: None, ..answer }),
            Some(ScriptedPut::DateOff(seconds)) => Ok(StoreResponse {
                date: date.map(|date| StoreTime::from_micros(date.micros() + seconds * 1_000_000)),
                ..answer
            }),
            _ => Ok(answer),
        }
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<StoreResponse<ListPage>, StoreError> {
        self.count_request(Operation::List);
        let delay = *self.list_delay.lock().unwrap();
        if !delay.is_zero() {
            self.clock.sleep(delay).await;
        }
        if !self.is_unsorted.load(Ordering::Relaxed) {
            return self.memory.list(request).await;
        }
        let mut answer = self.memory.list(ListRequest { start_after: None, ..request }).await?;
        answer.value.entries.reverse();
        Ok(answer)
    }

    async fn delete(&self, keys: &[String]) -> Result<StoreResponse<()>, StoreError> {
        self.memory.delete(keys).await
    }

    fn is_sorted(&self) -> bool {
        !self.is_unsorted.load(Ordering::Relaxed) || self.breaks_promise.load(Ordering::Relaxed)
    }
}

/// A store, a bucket on it, and an instance's own clock.
#[derive(Clone, Debug)]
pub(crate) struct TestWorld {
    pub(crate) store: Arc<TestStore>,
    pub(crate) bucket: Bucket,
    pub(crate) clock: Arc<TestClock>,
}

impl TestWorld {
    /// Creates a world whose bucket does not know the time of the store yet.
    pub(crate) fn without_store_time(page_keys: usize) -> Self {
        let (store, clock) = (TestStore::new(page_keys), TestClock::new());
        let world = World::seeded(Arc::clone(&clock) as _, 1);
        let bucket = Bucket::new(Arc::clone(&store) as _, world);
        Self { store, bucket, clock }
    }

    /// Creates a world whose bucket has seen an answer of the store.
    pub(crate) async fn new() -> Self {
        let world = Self::without_store_time(1000);
        world.read_catalog().await;
        world
    }

    pub(crate) async fn read_catalog(&self) -> StoreTime {
        let answer = self.bucket.get(&Key::RootCatalog, GetOptions::default()).await;
        answer.unwrap().date.unwrap()
    }

    pub(crate) fn rules(&self) -> ProtocolRules {
        ProtocolRules::new(ProtocolMargins::NETWORK)
    }

    pub(crate) fn clock_reading(&self) -> ClockReading {
        self.bucket.world().clock_reading()
    }

    /// Returns a request that arrives now, with one row at `time`.
    pub(crate) fn request(&self, time: i64) -> WriteRequest {
        self.request_of(vec![
            EncodedRows::encode(TableId::new(1), &batch_of_times(&[time])).unwrap(),
        ])
    }

    pub(crate) fn request_of(&self, rows: Vec<EncodedRows>) -> WriteRequest {
        WriteRequest {
            depth: 0,
            progress: None,
            arrived: self.clock_reading(),
            rows,
            proof: self.proof(),
            after: None,
            order: WriteOrder::Clock,
        }
    }

    /// Returns a request that arrives now and deletes the rows of a table.
    pub(crate) fn delete_request(&self, table: u32) -> DeleteRequest {
        DeleteRequest {
            arrived: self.clock_reading(),
            deletes: vec![RowDelete {
                table: TableId::new(table),
                condition: Condition::EVERYTHING,
            }],
            proof: self.proof(),
            after: None,
            recorded: DeleteBytes::default(),
            progress: None,
        }
    }

    fn proof(&self) -> FreshnessProof {
        FreshnessProof {
            catalog_version: 1,
            mark: Stamp::ZERO,
            current_at: self.bucket.clock().now().unwrap_or_default(),
            tail: None,
            asked: self.clock_reading(),
        }
    }
}
