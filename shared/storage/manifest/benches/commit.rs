//! Measures the cost of commits and cold reads as a manifest grows: bytes, requests and time, with a store in memory.
//!
//! ```text
//! cargo bench -p neap-manifest --bench commit [-- most sections]
//! ```
//!
//! Flushes build the manifest as in production: each adds a section of every table, days pass, and old sections move to
//! pages. `put` is the size of the register when it is put, `all` the bytes of all requests of the operation. Times are
//! medians on this machine, without a network.

#![expect(
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a bench tells its figures, its numbers are small, and it fails loudly"
)]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use neap_bucket::{
    Bucket, Clock, CountingStore, KeyClass, MemoryStore, Operation, OperationCounts,
    ProtocolMargins, ProtocolRules, PutMode, Stamp, StoreTime, SystemClock, VersionedValue, World,
};
use neap_manifest::{
    FlushCommit, FlushOutcome, JobKind, JobRecord, Manifest, ManifestSettings, ManifestStore,
    PendingObject, ReplaceOutcome, Replacement, Section, TagRange, TimeRange,
};
use neap_schema::{DatabaseId, TableId};

const DATABASE: DatabaseId = DatabaseId::new(1);
const DAY_NANOS: i64 = 86_400_000_000_000;

/// Flushes per day of the data.
const DAY_FLUSHES: u64 = 24;

/// The size of a footer, and of the rows before it, in bytes.
const FOOTER: u32 = 1_024;
const ROWS: u64 = 1_024;

/// Number of repetitions of an operation.
const ROUNDS: usize = 11;

fn stamp(flush: u64) -> Stamp {
    let micros = flush as i64 * 20_000_000;
    Stamp::end_of(StoreTime::from_micros(micros))
}

struct ManifestFixture {
    store: Arc<CountingStore>,
    bucket: Bucket,
    manifests: ManifestStore,
    tables: u32,
    flushes: u64,
}

struct OperationCost {
    time: Duration,
    counts: OperationCounts,
}

impl ManifestFixture {
    fn new(tables: u32) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let store = Arc::new(CountingStore::new(Arc::new(MemoryStore::new(clock))));
        let bucket = Bucket::new(Arc::clone(&store) as _, World::system());
        let manifests = Self::cold(&bucket);
        Self { store, bucket, manifests, tables, flushes: 0 }
    }

    fn cold(bucket: &Bucket) -> ManifestStore {
        let rules = ProtocolRules::new(ProtocolMargins::LOCAL);
        ManifestStore::new(bucket.clone(), &rules, ManifestSettings::default())
    }

    async fn measure<T>(&self, operation: impl Future<Output = T>) -> (T, OperationCost) {
        let clock = &self.bucket.world().clock;
        let (counts, started_at) = (self.store.counts(), clock.monotonic());
        let result = operation.await;
        let cost = OperationCost {
            time: clock.monotonic().saturating_sub(started_at),
            counts: self.store.counts() - counts,
        };
        (result, cost)
    }

    async fn read(&self) -> VersionedValue<Manifest> {
        self.manifests.read(DATABASE, None).await.unwrap()
    }

    async fn bundle(&self, sections: &mut [Section]) -> PendingObject {
        let object = PendingObject::draw(&self.bucket).unwrap();
        let size_bytes = ROWS + u64::from(FOOTER);
        let is_bundle = sections.len() > 1;
        for (at, section) in sections.iter_mut().enumerate() {
            section.object = object.ulid;
            section.in_bundle = is_bundle;
            section.offset = at as u64 * size_bytes;
            section.length = size_bytes;
        }
        let body = vec![7; sections.len() * size_bytes as usize];
        let key = sections[0].key(DATABASE);
        let put = self.bucket.put(&key, body.into(), PutMode::Overwrite);
        put.await.unwrap();
        object
    }

    /// Prepares a flush with a section of every table, and puts its bundle.
    async fn next_flush(&mut self) -> FlushCommit {
        let (above, upto) = (stamp(self.flushes), stamp(self.flushes + 1));
        let read_mark = if self.flushes == 0 {
            Stamp::ZERO
        } else {
            above
        };
        let day = (self.flushes / DAY_FLUSHES) as i32;
        self.flushes += 1;
        let section = |table: u32| Section {
            footer_length: FOOTER,
            table: TableId::new(table),
            first_day: day,
            last_day: day,
            above: read_mark,
            upto,
            rows: 60_000,
            min_time: i64::from(day) * DAY_NANOS,
            max_time: (i64::from(day) + 1) * DAY_NANOS - 1,
            tags: tags(u64::from(table)),
            crc32c: table.wrapping_mul(2_654_435_761),
            footer_crc32c: table.wrapping_mul(2_246_822_519),
            ..Section::default()
        };
        let mut sections: Vec<_> = (1..=self.tables).map(section).collect();
        let object = self.bundle(&mut sections).await;
        FlushCommit {
            sections,
            needs_catalog: 1,
            object: Some(object),
            ..FlushCommit::new(read_mark, upto, self.job(JobKind::Flush))
        }
    }

    fn job(&self, kind: JobKind) -> JobRecord {
        JobRecord {
            inputs: 8,
            outputs: 1,
            rows: 480_000,
            bytes_in: 10_000_000,
            bytes_out: 9_000_000,
            duration_ms: 1_234,
            ..JobRecord::new(self.bucket.draw_ulid(), kind, self.bucket.clock().now().unwrap())
        }
    }

    async fn flush(
        &mut self,
        base: VersionedValue<Manifest>,
    ) -> (VersionedValue<Manifest>, OperationCost) {
        let flush = self.next_flush().await;
        let commit = self.manifests.commit_flush(DATABASE, base, flush);
        let (outcome, cost) = self.measure(commit).await;
        match outcome.unwrap() {
            FlushOutcome::Committed(current) => (current, cost),
            other => panic!("{other:?}"),
        }
    }

    async fn merge(
        &self,
        base: VersionedValue<Manifest>,
        inputs: Vec<Arc<Section>>,
    ) -> (VersionedValue<Manifest>, OperationCost) {
        let mut output = Section::clone(&inputs[0]);
        output.above = inputs.iter().map(|input| input.above).min().unwrap();
        output.upto = inputs.iter().map(|input| input.upto).max().unwrap();
        output.last_day = inputs.iter().map(|input| input.last_day).max().unwrap();
        output.max_time = inputs.iter().map(|input| input.max_time).max().unwrap();
        let mut add = vec![output];
        let object = self.bundle(&mut add).await;
        let replacement = Replacement {
            table: inputs[0].table,
            remove: inputs,
            add,
            object: Some(object),
            floor: None,
            claim: None,
            job: self.job(JobKind::Merge),
        };
        let replace = self.manifests.replace(DATABASE, base, &replacement);
        let (outcome, cost) = self.measure(replace).await;
        match outcome.unwrap() {
            ReplaceOutcome::Committed(current) => (current, cost),
            other => panic!("{other:?}"),
        }
    }
}

fn tags(seed: u64) -> BTreeMap<String, TagRange> {
    let tag = |name: &str, number: u64| {
        let range = TagRange {
            min: Some(format!("{name}_{number}")),
            max: Some(format!("{name}_{}", number + 997)),
            has_null: false,
        };
        (name.to_owned(), range)
    };
    [tag("host", seed * 7), tag("region", seed % 9), tag("rack", seed * 3)].into()
}

/// Prints the median cost, and the maximum time.
fn print_costs(what: &str, mut costs: Vec<OperationCost>) {
    costs.sort_by_key(|cost| cost.time);
    let longest = costs.last().map(|cost| cost.time).unwrap_or_default();
    let Some(median) = costs.get(costs.len() / 2) else {
        return;
    };
    let counts = &median.counts;
    let bytes: u64 = counts.iter().map(|(.., count)| count.bytes).sum();
    println!(
        "  {what:<26} {:>9.2} ms  (max {:>8.2})  put {:>9}  all {:>10}  {counts}",
        median.time.as_secs_f64() * 1e3,
        longest.as_secs_f64() * 1e3,
        size(counts.of(Operation::Put, KeyClass::Manifest).bytes),
        size(bytes),
    );
}

fn size(bytes: u64) -> String {
    format!("{:.1} kB", bytes as f64 / 1e3)
}

/// Returns the oldest eight adjacent sections of a table that are all inline, or all in pages.
async fn oldest(
    fixture: &ManifestFixture,
    current: &VersionedValue<Manifest>,
    table: TableId,
    in_pages: bool,
) -> Vec<Arc<Section>> {
    let all = fixture
        .manifests
        .load_sections(DATABASE, &current.value, table, TimeRange::ALL)
        .await
        .unwrap()
        .into_iter()
        .map(|found| found.section);
    let is_inline = |section: &Section| {
        let mut inline = current.value.sections.iter();
        inline.any(|one| one.is_same(section))
    };
    let wanted: Vec<_> = all.filter(|section| is_inline(section) != in_pages).collect();
    let is_closed = |window: &&[Arc<Section>]| {
        let mut pairs = window.windows(2);
        pairs.all(|pair| pair[0].upto == pair[1].above)
    };
    let mut windows = wanted.windows(8);
    windows.find(is_closed).unwrap_or_default().to_vec()
}

async fn run(tables: u32, sections: u64) {
    let mut fixture = ManifestFixture::new(tables);
    let mut current = fixture.read().await;
    let mut flushes = Vec::new();
    let clock = Arc::clone(&fixture.bucket.world().clock);
    let started_at = clock.monotonic();
    while current.value.section_count() < sections {
        let (next, cost) = fixture.flush(current).await;
        current = next;
        flushes.push(cost);
    }
    let built = clock.monotonic().saturating_sub(started_at);
    let value = &current.value;
    println!(
        "{tables} tables, {} sections: {} inline, {} pages; built in {:.1} s",
        value.section_count(),
        value.sections.len(),
        value.pages.len(),
        built.as_secs_f64(),
    );
    let recent = flushes.len().saturating_sub(200);
    let spilling =
        |cost: &OperationCost| cost.counts.of(Operation::Put, KeyClass::Page).requests > 0;
    let (with, without) = flushes.drain(recent..).partition(spilling);
    print_costs("flush", without);
    print_costs("flush that spills", with);

    let mut costs = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        let table = TableId::new(1 + round as u32 % tables);
        for in_pages in [false, true] {
            let inputs = oldest(&fixture, &current, table, in_pages).await;
            if inputs.is_empty() {
                continue;
            }
            if in_pages {
                // A new instance, which has not read the page.
                fixture.manifests = ManifestFixture::cold(&fixture.bucket);
            }
            let (next, cost) = fixture.merge(current, inputs).await;
            current = next;
            costs[usize::from(in_pages)].push(cost);
        }
    }
    let [inline, paged] = costs;
    print_costs("merge of 8, inline", inline);
    print_costs("merge of 8, in pages, cold", paged);

    let mut cold_reads = Vec::new();
    let mut costs = Vec::new();
    let last_day = (fixture.flushes / DAY_FLUSHES) as i64;
    for round in 0..ROUNDS as i64 {
        let first = last_day * round / ROUNDS as i64 * DAY_NANOS;
        let times = TimeRange { first, last: first + DAY_NANOS - 1 };
        let store = ManifestFixture::cold(&fixture.bucket);
        let read = async {
            let current = store.read(DATABASE, None).await.unwrap();
            let sections = store.load_sections(DATABASE, &current.value, TableId::new(1), times);
            sections.await.unwrap()
        };
        cold_reads.push(fixture.measure(read).await.1);
        if round < 3 {
            let store = ManifestFixture::cold(&fixture.bucket);
            let referenced = store.referenced_objects(DATABASE, &current.value);
            costs.push(fixture.measure(referenced).await.1);
        }
    }
    print_costs("cold read of table and day", cold_reads);
    print_costs("census", costs);
}

fn main() {
    let most: u64 = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .max()
        .unwrap_or(100_000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let cases = [
        (1, 10),
        (10, 10),
        (10, 1_000),
        (1, 100_000),
        (10, 100_000),
        (100, 100_000),
        (500, 500),
        (500, 6_000),
        (500, 100_000),
    ];
    for (tables, sections) in cases.into_iter().filter(|(_, count)| *count <= most) {
        runtime.block_on(run(tables, sections));
    }
}
