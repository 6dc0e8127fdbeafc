//! Merges a day of flushes into one section. Measures bytes of a row, speed, and memory.
//!
//! ```text
//! cargo bench -p neap-compact --bench merge -- [hosts]
//! ```
//!
//! The rows are those of TSBS "cpu"; one in twenty of them is half an hour late. The second table shows the same rows
//! in one Parquet file with the defaults of DataFusion. Memory is the peak of allocated bytes during the merge, minus
//! the bytes allocated before.

#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::disallowed_methods,
    unsafe_code
)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark")]

#[path = "support/tsbs.rs"]
mod tsbs;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use bytes::Bytes;
use neap_bucket::{
    Bucket, DirectoryStore, Key, ProtocolMargins, ProtocolRules, PutMode, Stamp, Store, World,
};
use neap_catalog::Catalog;
use neap_compact::{JobLimits, MergeJob, MergeOutcome, MergeReason, Merger, encode_section};
use neap_manifest::{
    FlushCommit, FlushOutcome, JobKind, JobRecord, ManifestSettings, ManifestStore, PendingObject,
};
use neap_points::deduplicate;
use neap_schema::DatabaseId;
use neap_test_inputs::{XorShift, tsbs::CPU_FIELDS};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use tsbs::{FieldValues, TAGS, TsbsHosts};

/// Counts the bytes allocated from the system's allocator.
struct CountingAllocator;

static USED: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is forwarded unchanged.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let used = USED.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(used, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const FLUSHES: usize = 48;
const HALF_HOUR: i64 = 1_800_000_000_000;
/// 2024-01-01.
const START: i64 = 1_704_067_200_000_000_000;

struct BenchBucket {
    bucket: Bucket,
    catalog: Arc<Catalog>,
    manifests: ManifestStore,
    database: DatabaseId,
    _directory: tempfile::TempDir,
}

impl BenchBucket {
    async fn new(values: FieldValues) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let world = World::system();
        let store: Arc<dyn Store> =
            Arc::new(DirectoryStore::open(directory.path(), &world).unwrap());
        let bucket = Bucket::new(store, world);
        let catalog = Arc::new(Catalog::new(bucket.clone(), ProtocolMargins::LOCAL, None));
        let database = catalog.create_database("d", None).await.unwrap();
        let tags: Vec<String> = TAGS.iter().map(|(tag, _)| (*tag).to_owned()).collect();
        let fields: Vec<_> = CPU_FIELDS
            .iter()
            .map(|field| ((*field).to_owned(), values.column_type()))
            .collect();
        catalog.create_table(database, "cpu", &tags, &fields).await.unwrap();
        let rules = ProtocolRules::new(ProtocolMargins::LOCAL);
        let manifests = ManifestStore::new(bucket.clone(), &rules, ManifestSettings::default());
        Self { bucket, catalog, manifests, database, _directory: directory }
    }

    /// Puts sorted rows as the only section of a flush.
    async fn flush(&self, cut: u64, tags: &[String], rows: &RecordBatch) {
        let base = self.manifests.read(self.database, None).await.unwrap();
        let object = PendingObject::draw(&self.bucket).unwrap();
        let encoded = encode_section(tags, rows).unwrap();
        let day = neap_manifest::day_of(START);
        let table = self
            .catalog
            .known_database(self.database)
            .unwrap()
            .value
            .table("cpu")
            .unwrap()
            .id();
        let stamps = (base.value.low_water_mark, Stamp::from_u64(cut));
        let section = encoded.describe(object, table, day..=day, stamps);
        let key = Key::Parquet(self.database, object.ulid);
        self.bucket
            .put(&key, Bytes::from(encoded.bytes), PutMode::Overwrite)
            .await
            .unwrap();
        let job = JobRecord {
            inputs: 1,
            outputs: 1,
            rows: section.rows,
            bytes_out: section.length,
            ..JobRecord::new(object.ulid, JobKind::Flush, object.drawn)
        };
        let commit = FlushCommit {
            needs_catalog: 1,
            object: Some(object),
            sections: vec![section],
            ..FlushCommit::new(stamps.0, stamps.1, job)
        };
        let outcome = self.manifests.commit_flush(self.database, base, commit).await.unwrap();
        assert!(matches!(outcome, FlushOutcome::Committed(_)));
    }
}

/// Divides rows into timely and late rows.
fn divide(rows: &RecordBatch, random: &mut XorShift) -> (RecordBatch, RecordBatch) {
    let late: BooleanArray =
        (0..rows.num_rows()).map(|_| Some(random.draw().is_multiple_of(20))).collect();
    let in_time = BooleanArray::new(!late.values(), None);
    (
        filter_record_batch(rows, &in_time).unwrap(),
        filter_record_batch(rows, &late).unwrap(),
    )
}

/// One row group of up to a million rows, dictionaries everywhere, zstd 3.
fn plain_file(rows: &RecordBatch) -> (usize, Duration) {
    let level = ZstdLevel::try_new(3).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(1 << 20))
        .set_data_page_row_count_limit(20_000)
        .build();
    let start = Instant::now();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), Some(properties)).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
    (bytes.len(), start.elapsed())
}

async fn run(hosts: usize, interval: i64, values: FieldValues, compare: bool) {
    let place = BenchBucket::new(values).await;
    let tags: Vec<String> = TAGS.iter().map(|(tag, _)| (*tag).to_owned()).collect();
    let mut generator = TsbsHosts::new(hosts, values);
    let schema = generator.schema();
    let per_flush = usize::try_from(HALF_HOUR / interval).unwrap();
    let mut late = RecordBatch::new_empty(Arc::clone(&schema));
    let mut all = Vec::new();
    let mut random = XorShift::new(42);
    for flush in 0..FLUSHES {
        let start = START + HALF_HOUR * i64::try_from(flush).unwrap();
        let rows = generator.rows(start, interval, per_flush);
        let (in_time, next_late) = divide(&rows, &mut random);
        let folded = deduplicate(&tags, &schema, vec![late, in_time]).unwrap();
        late = next_late;
        place.flush(1 + flush as u64, &tags, &folded).await;
        if compare {
            all.push(folded);
        }
    }
    let manifest = place.manifests.read(place.database, None).await.unwrap();
    let job = MergeJob::new(manifest.value.sections.clone(), MergeReason::Settled).unwrap();
    let merger =
        Merger::new(place.bucket.clone(), Arc::clone(&place.catalog), place.manifests.clone());
    let before = USED.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let start = Instant::now();
    let limits = JobLimits { max_memory_bytes: 2 << 30, ..JobLimits::default() };
    let outcome = merger.run(place.database, &job.reference(), None, &limits).await.unwrap();
    let took = start.elapsed();
    let most = PEAK.load(Ordering::Relaxed) - before;
    let MergeOutcome::Done { rows, bytes_in, bytes_out, .. } = outcome else {
        panic!("{outcome:?}");
    };
    let per_row = |bytes: u64| bytes as f64 / rows as f64;
    println!(
        "| {hosts} | {values:?} | {rows} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} | {} | {} |",
        per_row(bytes_in),
        per_row(bytes_out),
        took.as_secs_f64(),
        rows as f64 / took.as_secs_f64() / 1e6,
        bytes_in as f64 / took.as_secs_f64() / 1e6,
        most >> 20,
        bytes_out >> 20,
    );
    if compare {
        let sorted = deduplicate(&tags, &schema, all).unwrap();
        let (bytes, took) = plain_file(&sorted);
        let ratio = bytes_out as f64 / bytes as f64;
        println!(
            "| | as DataFusion | {} | | {:.2} | {:.2} | | | | ratio {ratio:.3} |",
            sorted.num_rows(),
            per_row(bytes as u64),
            took.as_secs_f64()
        );
    }
}

fn main() {
    let hosts = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .next()
        .unwrap_or(1_000);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    println!(
        "| hosts | values | rows | in, bytes/row | out, bytes/row | s | M rows/s | MB/s in | memory, MiB | output, MiB |"
    );
    println!("|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    let minute = 60_000_000_000;
    for values in [FieldValues::Integers, FieldValues::WholeFloats, FieldValues::Floats] {
        runtime.block_on(run(hosts, minute, values, true));
    }
    for interval in [minute, minute / 10] {
        runtime.block_on(run(hosts / 10, interval, FieldValues::Integers, false));
        runtime.block_on(run(hosts, interval, FieldValues::Integers, false));
    }
}
