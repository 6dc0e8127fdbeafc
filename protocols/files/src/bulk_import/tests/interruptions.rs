//! Rows of a job never replace what clients write after the rows are visible, at whatever point its workers stop.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arrow_array::{
    ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray,
    cast::AsArray,
    types::{Float64Type, TimestampNanosecondType},
};
use futures::FutureExt;
use neap_bucket::{
    CallGate, CallPhase, Clock, FaultyStore, Get, GetOptions, Key, MemoryStore, Operation,
    ProtocolMargins, ProtocolRules, RECENT_PUT_IDS, Register, RegisterChange, SegmentName, Stamp,
    Store, StoreCall, StoreFaults, VersionedValue, World,
};
use neap_compact::{FlushLimits, Flusher};
use neap_manifest::{ManifestSettings, ManifestStore};
use neap_row_delete::{Condition, RowDelete, RowDeleter};
use neap_schema::{DatabaseId, TableId};
use neap_test_inputs::cases;
use neap_wal::{Segment, TailReader, TailReaderSettings};
use neap_write::{Precision, WriteOptions};
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;
use ulid::Ulid;

use super::{super::job::ImportJob, ImportTestBed, TARGET, memory};

/// The rows of the file, in batches of about 40.
const ROWS: i64 = 200;

/// A row that is deleted.
const DELETED: Option<f64> = None;

/// A file with a row for each second, whose texts make batches small.
fn file() -> Vec<u8> {
    let text = "x".repeat(64 << 10);
    let columns: [(&str, ArrayRef); 4] = [
        (
            "at",
            Arc::new(TimestampMillisecondArray::from_iter_values((0..ROWS).map(|row| row * 1_000))),
        ),
        ("room", Arc::new(StringArray::from_iter_values((0..ROWS).map(|_| "a")))),
        (
            "temp",
            Arc::new(Float64Array::from_iter_values((0..ROWS).map(|row| row as f64))),
        ),
        ("note", Arc::new(StringArray::from_iter_values((0..ROWS).map(|_| &text)))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

/// Processes over one store: two that import, one of which stops at some call, and one of clients and flushes.
struct Cluster {
    memory: Arc<MemoryStore>,
    clock: Arc<dyn Clock>,
    clients: ImportTestBed,
    flusher: Flusher,
    manifests: ManifestStore,
    /// The segments that flushes took.
    flushed: BTreeSet<SegmentName>,
    /// The last values of clients for rows whose row of the job was visible before; [`DELETED`] if they deleted it.
    written: BTreeMap<i64, Option<f64>>,
    /// Rows that clients deleted before they saw the row of the job, which may have been stored meanwhile.
    deleted_early: BTreeSet<i64>,
}

impl Cluster {
    async fn new() -> Self {
        let (clock, memory) = memory();
        let world = World::seeded(Arc::clone(&clock), 3);
        let store: Arc<dyn Store> = Arc::clone(&memory) as _;
        let clients = ImportTestBed::with_store(&memory, store, world);
        let catalog = clients.worker.service.catalog();
        catalog.create_database("home", None).await.unwrap();
        let rules = ProtocolRules::new(ProtocolMargins::LOCAL);
        let bucket = catalog.bucket().clone();
        let manifests = ManifestStore::new(bucket.clone(), &rules, ManifestSettings::default());
        let flusher = Flusher::new(
            bucket.clone(),
            Arc::clone(catalog),
            manifests.clone(),
            TailReader::new(bucket, TailReaderSettings::default()),
            rules,
            FlushLimits::default(),
        );
        Self {
            memory,
            clock,
            clients,
            flusher,
            manifests,
            flushed: BTreeSet::new(),
            written: BTreeMap::new(),
            deleted_early: BTreeSet::new(),
        }
    }

    async fn database(&self) -> DatabaseId {
        let catalog = self.clients.worker.service.catalog();
        let found = catalog.database_by_name("home", Duration::ZERO).await;
        found.unwrap().unwrap()
    }

    async fn mark(&self) -> Stamp {
        let manifest = self.manifests.read(self.database().await, None).await;
        manifest.unwrap().value.low_water_mark
    }

    async fn tail(&self) -> Vec<SegmentName> {
        let keys = self.clients.keys(Key::TAIL_PREFIX).await;
        let names = keys.iter().map(|key| match key.parse() {
            Ok(Key::Segment(_, name)) => name,
            other => panic!("{other:?}"),
        });
        names.collect()
    }

    async fn flush(&mut self) {
        let before = self.mark().await;
        let tail = self.tail().await;
        self.flusher.flush(self.database().await).await.unwrap();
        let mark = self.mark().await;
        let taken = tail.into_iter().filter(|name| before < name.stamp && name.stamp <= mark);
        self.flushed.extend(taken);
    }

    /// Returns what queries see.
    async fn visible(&self) -> VisibleRows {
        let (database, mark) = (self.database().await, self.mark().await);
        let mut names = self.tail().await;
        names.retain(|name| name.stamp > mark || self.flushed.contains(name));
        names.sort_unstable();
        let mut visible = VisibleRows::default();
        for name in names {
            let key = Key::Segment(database, name).to_string();
            let object = self.memory.get(&key, GetOptions::default()).await;
            let Get::Found(object) = object.unwrap().value else {
                panic!("{key}");
            };
            let segment = Segment::decode(database, name, object.bytes).unwrap();
            for delete in segment.deletes() {
                let Condition::Time { min, max } = delete.condition else {
                    panic!("{delete:?}");
                };
                let is_deleted = |time: i64| min <= time * SECOND && time * SECOND <= max;
                visible.values.retain(|time, _| !is_deleted(*time));
            }
            for table in segment.tables() {
                for batch in segment.rows(table.table).unwrap() {
                    let rows = values(&batch);
                    if !segment.progress().is_empty() {
                        visible.imported.extend(rows.iter().map(|(time, _)| *time));
                    }
                    visible.values.extend(rows);
                }
            }
        }
        visible
    }

    /// Overwrites rows, and records those whose row of the job was visible.
    async fn overwrite(&mut self, times: std::ops::Range<i64>, value: f64) {
        let visible = self.visible().await;
        let lines: String = times
            .clone()
            .map(|time| format!("rooms,room=a temp={value} {}\n", time * SECOND))
            .collect();
        let service = &self.clients.worker.service;
        let options = WriteOptions::with_precision(Precision::Nanosecond);
        let written = service.write("home", lines.into(), options);
        written.await.unwrap();
        let overwritten = times.filter(|time| visible.imported.contains(time));
        self.written.extend(overwritten.map(|time| (time, Some(value))));
    }

    /// Deletes rows, and records those whose row of the job was visible.
    async fn delete(&mut self, table: TableId, times: std::ops::Range<i64>) {
        let visible = self.visible().await;
        let (min, max) = (times.start * SECOND, times.end * SECOND - 1);
        let delete = RowDelete { table, condition: Condition::between(min, max) };
        let service = &self.clients.worker.service;
        let arrived = service.world().clock_reading();
        let database = self.database().await;
        RowDeleter::delete_rows(&**service, database, vec![delete], arrived, None)
            .await
            .unwrap();
        for time in times {
            if visible.imported.contains(&time) {
                self.written.insert(time, DELETED);
            } else {
                self.deleted_early.insert(time);
            }
        }
    }

    /// Starts a process that imports until all jobs have ended. It stops at a call, until its gate is thawed.
    fn start(
        &self,
        seed: u64,
        faults: StoreFaults,
        is_stop: impl Fn(&StoreCall) -> bool + Send + Sync + 'static,
    ) -> Importer {
        let world = World::seeded(Arc::clone(&self.clock), seed);
        let gate = CallGate::default();
        let hook = {
            let gate = gate.clone();
            move |call: &StoreCall| {
                if is_stop(call) {
                    gate.freeze();
                }
                let gate = gate.clone();
                async move { gate.pass().await }.boxed()
            }
        };
        let store = FaultyStore::new(Arc::clone(&self.memory) as _, world.clone(), faults);
        let store = Arc::new(store.with_hook(Arc::new(hook)));
        let fixture = ImportTestBed::with_store(&self.memory, store, world);
        let clock = Arc::clone(&self.clock);
        let task = tokio::spawn(async move {
            let mut ended = BTreeSet::<Ulid>::new();
            while !matches!(fixture.worker.import_all(&mut ended).await, Ok(true)) {
                clock.sleep(Duration::from_secs(30)).await;
            }
        });
        Importer { task, gate }
    }

    /// Flushes until a process has imported all files.
    async fn wait_for(&mut self, importer: &Importer) {
        for _ in 0..1_000 {
            if importer.task.is_finished() {
                return;
            }
            self.sleep(10).await;
            self.flush().await;
        }
        panic!("the job does not end");
    }

    /// Removes the claim of a job, so that the next worker does not wait until its segments are settled.
    async fn forget_claim(&self, id: Ulid) {
        let bucket = self.clients.worker.service.catalog().bucket().clone();
        let register = Register::<ImportJob>::new(bucket, Key::ImportJob(id), RECENT_PUT_IDS);
        let forget = |base: &VersionedValue<ImportJob>| {
            let job = ImportJob {
                worker: None,
                claimed_until: None,
                ..ImportJob::clone(&base.value)
            };
            Ok::<_, Infallible>(RegisterChange::Put(job, ()))
        };
        register.commit(None, forget).await.unwrap();
    }

    async fn sleep(&self, seconds: u64) {
        self.clock.sleep(Duration::from_secs(seconds)).await;
    }
}

/// The rows that queries see, by their times in seconds.
#[derive(Default)]
struct VisibleRows {
    values: BTreeMap<i64, f64>,
    /// The rows of the job, those included that were overwritten or deleted later.
    imported: BTreeSet<i64>,
}

/// A process that imports.
struct Importer {
    task: tokio::task::JoinHandle<()>,
    gate: CallGate,
}

/// A second in nanoseconds.
const SECOND: i64 = 1_000_000_000;

/// Returns the values of a batch by time in seconds.
fn values(batch: &RecordBatch) -> Vec<(i64, f64)> {
    let column = |name: &str| batch.column_by_name(name).unwrap();
    let times = column("time").as_primitive::<TimestampNanosecondType>();
    let values = column("temp").as_primitive::<Float64Type>();
    let times = times.values().iter().map(|time| time / SECOND);
    times.zip(values.values().iter().copied()).collect()
}

/// What clients and operators do after a pause.
#[derive(Clone, Debug)]
enum Action {
    Overwrite(i64, i64),
    Delete(i64, i64),
    Flush,
    /// The stopped process continues.
    Wake,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => (0..ROWS, 1_i64..60).prop_map(|(start, rows)| Action::Overwrite(start, rows)),
        3 => (0..ROWS, 1_i64..60).prop_map(|(start, rows)| Action::Delete(start, rows)),
        2 => Just(Action::Flush),
        1 => Just(Action::Wake),
    ]
}

/// The conditions of a run.
#[derive(Clone, Debug)]
struct Run {
    stop: (u64, CallPhase),
    lost_reply: f64,
    late_landing: f64,
    actions: Vec<(u64, Action)>,
}

fn run() -> impl Strategy<Value = Run> {
    let phase = prop_oneof![Just(CallPhase::Before), Just(CallPhase::After)];
    let fault = || prop_oneof![3 => Just(0.0), 1 => Just(0.1)];
    let actions = proptest::collection::vec((0_u64..40, action()), 1..16);
    ((0_u64..40, phase), fault(), fault(), actions).prop_map(
        |(stop, lost_reply, late_landing, actions)| Run { stop, lost_reply, late_landing, actions },
    )
}

async fn check(run: &Run) {
    let mut cluster = Cluster::new().await;
    let (status, job) = cluster.clients.upload(&TARGET, &file()).await;
    assert_eq!(status, 200, "{job}");
    let table = TableId::new(job["table_id"].as_u64().unwrap().try_into().unwrap());
    let faults = StoreFaults {
        lost_reply: run.lost_reply,
        late_landing: run.late_landing,
        longest_landing: Duration::from_secs(90),
        ..StoreFaults::default()
    };
    let stop = run.stop;
    let stopped = cluster.start(1, faults.clone(), move |call| (call.number, call.phase) == stop);
    let other = cluster.start(2, faults, |_| false);
    for (number, (pause, action)) in run.actions.iter().enumerate() {
        cluster.sleep(*pause).await;
        match *action {
            Action::Overwrite(start, rows) => {
                let value = -1.0 - number as f64;
                cluster.overwrite(start..ROWS.min(start + rows), value).await;
            }
            Action::Delete(start, rows) => {
                cluster.delete(table, start..ROWS.min(start + rows)).await;
            }
            Action::Flush => cluster.flush().await,
            Action::Wake => stopped.gate.thaw(),
        }
    }
    cluster.wait_for(&other).await;
    stopped.gate.thaw();
    cluster.sleep(200).await;
    cluster.flush().await;
    let job = &cluster.clients.jobs().await[0];
    let has_faults = run.lost_reply > 0.0 || run.late_landing > 0.0;
    // Many faults may end a job early.
    let is_imported = job["status"] == "imported";
    assert!(is_imported || has_faults, "{job}");
    let visible = cluster.visible().await;
    for time in 0..ROWS {
        let value = visible.values.get(&time).copied();
        match cluster.written.get(&time) {
            Some(written) => assert_eq!(value, *written, "row {time}"),
            // Clients may have written or deleted a row before they saw it.
            None => assert!(
                value.is_some() || !is_imported || cluster.deleted_early.contains(&time),
                "row {time} is missing"
            ),
        }
    }
    stopped.task.abort();
}

/// Returns whether rows come back that are deleted while a worker of their job is stopped.
async fn do_deleted_rows_come_back(is_settled: bool) -> bool {
    let mut cluster = Cluster::new().await;
    let (_, job) = cluster.clients.upload(&TARGET, &file()).await;
    let table = TableId::new(job["table_id"].as_u64().unwrap().try_into().unwrap());
    let id: uuid::Uuid = job["upload_uuid"].as_str().unwrap().parse().unwrap();
    let puts = AtomicUsize::new(0);
    let _stopped = cluster.start(1, StoreFaults::default(), move |call| {
        call.operation == Operation::Put
            && call.phase == CallPhase::After
            && call.key.starts_with(Key::TAIL_PREFIX)
            && puts.fetch_add(1, Ordering::Relaxed) == 2
    });
    cluster.sleep(20).await;
    let visible = cluster.visible().await.imported;
    assert!((1..ROWS).contains(&i64::try_from(visible.len()).unwrap()));
    cluster.delete(table, 0..ROWS).await;
    if !is_settled {
        cluster.forget_claim(Ulid(id.as_u128())).await;
    }
    let other = cluster.start(2, StoreFaults::default(), |_| false);
    cluster.wait_for(&other).await;
    let values = cluster.visible().await.values;
    visible.iter().any(|time| values.contains_key(time))
}

#[tokio::test(start_paused = true)]
async fn deleted_rows_come_back_if_a_job_is_claimed_before_its_segments_are_settled() {
    assert!(!do_deleted_rows_come_back(true).await);
    assert!(do_deleted_rows_come_back(false).await);
}

fn check_paused(run: &Run) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(check(run));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(64)))]

    #[test]
    fn rows_of_a_job_never_replace_what_clients_write_after_they_are_visible(run in run()) {
        check_paused(&run);
    }
}
