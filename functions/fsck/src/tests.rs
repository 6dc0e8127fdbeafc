//! Tests of checks, with buckets that are written, flushed and damaged.

mod backlog;
mod caches;
mod clean;
mod damage;
mod key_kinds;
mod lost_registers;
mod quarantine;
mod repair;
mod scrub;
mod writes_ahead;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, RecordBatch, TimestampNanosecondArray,
    types::Int32Type,
};
use arrow_schema::Schema;
use bytes::Bytes;
use futures::future::BoxFuture;
use neap_bucket::{
    Bucket, Clock, CommitOutcome, DirectoryStore, Get, GetOptions, Key, MemoryStore,
    ProtocolMargins, ProtocolRules, PutMode, RegisterChange, Store, VersionedValue, World,
    WriteOrder,
};
use neap_catalog::{ANY_AGE, Catalog, TableAddition};
use neap_compact::{FlushLimits, FlushResult, Flusher};
use neap_manifest::{Manifest, ManifestSettings, ManifestStore, Section};
use neap_row_delete::{Condition, RowDelete};
use neap_schema::{ColumnType, DatabaseId, TableId};
use neap_wal::{
    DeleteBytes, DeleteRequest, EncodedRows, FreshnessProof, TailReader, TailReaderSettings,
    TailWriter, TailWriterSettings, WriteRequest,
};

use crate::{Fsck, FsckOptions, FsckReport};

/// The paused clock of tokio, which can be advanced.
#[derive(Debug)]
struct TestClock {
    start: tokio::time::Instant,
    step_micros: AtomicI64,
}

impl Clock for TestClock {
    fn wall_micros(&self) -> i64 {
        let elapsed = i64::try_from(self.start.elapsed().as_micros()).unwrap();
        1_757_510_705_000_000 + elapsed + self.step_micros.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        let step = self.step_micros.load(Ordering::Relaxed);
        self.start.elapsed() + Duration::from_micros(step.unsigned_abs())
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock of the tests")]
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A row: host, optional zone, time, usage.
type TestRow<'a> = (&'a str, Option<&'a str>, i64, f64);

const CPU: &str = "cpu";
const MEM: &str = "mem";
const DAY: i64 = 86_400_000_000_000;

/// A store with one database, and the writer and flusher of the database.
struct FsckFixture {
    store: Arc<dyn Store>,
    clock: Arc<TestClock>,
    bucket: Bucket,
    catalog: Arc<Catalog>,
    manifests: ManifestStore,
    writer: TailWriter,
    flusher: Flusher,
    database: DatabaseId,
    _directory: Option<tempfile::TempDir>,
}

impl FsckFixture {
    /// Creates a fixture on each kind of store.
    async fn each() -> Vec<Self> {
        let directory = tempfile::tempdir().unwrap();
        let in_memory = Self::on(None).await;
        let in_directory = Self::on(Some(directory)).await;
        vec![in_memory, in_directory]
    }

    async fn in_memory() -> Self {
        Self::on(None).await
    }

    async fn filled_in_memory() -> Self {
        let stage = Self::in_memory().await;
        stage.fill().await;
        stage
    }

    async fn on(directory: Option<tempfile::TempDir>) -> Self {
        let clock = Arc::new(TestClock {
            start: tokio::time::Instant::now(),
            step_micros: AtomicI64::new(0),
        });
        let world = World::seeded(Arc::clone(&clock) as _, 1);
        let store: Arc<dyn Store> = match &directory {
            None => Arc::new(MemoryStore::with_page_keys(Arc::clone(&clock) as _, 3)),
            Some(folder) => Arc::new(DirectoryStore::open(folder.path(), &world).unwrap()),
        };
        let bucket = Bucket::new(Arc::clone(&store), world);
        let rules = ProtocolRules::new(ProtocolMargins::LOCAL);
        let catalog = Arc::new(Catalog::new(bucket.clone(), ProtocolMargins::LOCAL, None));
        let settings = ManifestSettings::with_inline_sections(16);
        let manifests = ManifestStore::new(bucket.clone(), &rules, settings);
        let flusher = Flusher::new(
            bucket.clone(),
            Arc::clone(&catalog),
            manifests.clone(),
            TailReader::new(bucket.clone(), TailReaderSettings::default()),
            rules,
            FlushLimits::default(),
        );
        let database = catalog.create_database("db", None).await.unwrap();
        Self {
            writer: TailWriter::new(bucket.clone(), rules, TailWriterSettings::LOCAL, None),
            store,
            clock,
            bucket,
            catalog,
            manifests,
            flusher,
            database,
            _directory: directory,
        }
    }

    fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap();
        self.clock.step_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Writes rows to a table; creates the table if it is missing.
    async fn write(&self, table: &str, rows: &[TestRow<'_>]) {
        let columns = [
            ("host", ColumnType::Tag),
            ("zone", ColumnType::Tag),
            ("usage", ColumnType::Float),
        ];
        let addition = TableAddition {
            table: table.to_owned(),
            columns: columns.map(|(name, it)| (name.to_owned(), it)).to_vec(),
        };
        let known = self.catalog.database(self.database, ANY_AGE).await.unwrap();
        let additions = [addition];
        let added = self.catalog.add(self.database, known, &additions);
        let catalog = added.await.unwrap();
        let id = catalog.value.table(table).unwrap().id();
        let manifest = self.manifest().await;
        let request = WriteRequest {
            depth: 0,
            progress: None,
            arrived: self.bucket.world().clock_reading(),
            rows: vec![EncodedRows::encode(id, &batch(rows)).unwrap()],
            proof: FreshnessProof {
                tail: None,
                catalog_version: catalog.version,
                mark: manifest.value.low_water_mark,
                current_at: manifest.current_at.unwrap(),
                asked: manifest.asked.unwrap(),
            },
            after: None,
            order: WriteOrder::Clock,
        };
        self.writer.write(self.database, request).await.unwrap();
    }

    async fn delete_rows(&self, table: &str, condition: Condition) {
        let catalog = self.catalog.database(self.database, ANY_AGE).await.unwrap();
        let table = catalog.value.table(table).unwrap().id();
        let manifest = self.manifest().await;
        let request = DeleteRequest {
            arrived: self.bucket.world().clock_reading(),
            deletes: vec![RowDelete { table, condition }],
            proof: FreshnessProof {
                tail: None,
                catalog_version: catalog.version,
                mark: manifest.value.low_water_mark,
                current_at: manifest.current_at.unwrap(),
                asked: manifest.asked.unwrap(),
            },
            after: None,
            recorded: DeleteBytes::default(),
            progress: None,
        };
        self.writer.delete(self.database, request).await.unwrap();
    }

    async fn flush(&self) {
        self.advance(Duration::from_secs(20));
        let flushed = self.flusher.flush(self.database).await.unwrap();
        assert!(matches!(flushed, FlushResult::Done { .. }), "{flushed:?}");
    }

    /// Creates fixtures with two sections of `cpu`, one of `mem`, and a segment of each table in the tail.
    async fn filled() -> Vec<Self> {
        let stages = Self::each().await;
        for stage in &stages {
            stage.fill().await;
        }
        stages
    }

    async fn fill(&self) {
        self.write(CPU, &[("b", Some("x"), 5, 1.0), ("a", None, 7, 2.0)]).await;
        self.write(MEM, &[("a", None, 1, 1.0)]).await;
        self.flush().await;
        self.write(CPU, &[("c", None, 6, 3.0), ("b", Some("x"), 6, 4.0)]).await;
        self.flush().await;
        self.write(CPU, &[("b", None, 8, 5.0)]).await;
        self.write(MEM, &[("b", None, 2, 5.0)]).await;
    }

    /// Creates a fixture with enough flushes that sections are moved to pages.
    async fn paged() -> Self {
        let stage = Self::in_memory().await;
        for day in 0..20 {
            stage
                .write(CPU, &[("a", None, day * DAY, 1.0), ("b", None, day * DAY + 5, 2.0)])
                .await;
            stage.flush().await;
        }
        assert!(!stage.manifest().await.value.pages.is_empty());
        stage
    }

    async fn manifest(&self) -> VersionedValue<Manifest> {
        self.manifests.read(self.database, None).await.unwrap()
    }

    /// Returns the sections of a table, oldest first.
    async fn sections(&self, table: &str) -> Vec<Section> {
        let catalog = self.catalog.database(self.database, ANY_AGE).await.unwrap();
        let table = catalog.value.table(table).unwrap().id();
        let manifest = self.manifest().await;
        let all = self.manifests.all_sections(self.database, &manifest.value).await.unwrap();
        let of_table = all.into_iter().filter(|one| one.section.table == table);
        of_table.map(|one| Section::clone(&one.section)).collect()
    }

    /// Commits an invalid change to the manifest.
    async fn tamper(&self, change: impl Fn(&mut Manifest) + Sync) {
        let change = |base: &VersionedValue<Manifest>| {
            let mut next = Manifest::successor(base);
            change(&mut next);
            Ok::<_, ()>(RegisterChange::Put(next, ()))
        };
        let register = self.manifests.register(self.database);
        let outcome = register.commit(None, change).await.unwrap();
        assert!(matches!(outcome, CommitOutcome::Committed { .. }));
    }

    /// Changes the first inline section of `cpu`.
    async fn tamper_section(&self, change: impl Fn(&mut Section) + Sync) {
        self.tamper(|manifest| {
            let mut sections = manifest.sections.iter_mut();
            let first = sections.find(|section| section.table == TableId::new(1));
            change(Arc::make_mut(first.unwrap()));
        })
        .await;
    }

    async fn bytes(&self, key: &Key) -> Vec<u8> {
        let got = self.store.get(&key.to_string(), GetOptions::default()).await;
        match got.unwrap().value {
            Get::Found(object) => object.bytes.to_vec(),
            other => panic!("{key}: {other:?}"),
        }
    }

    async fn put(&self, key: &str, bytes: Vec<u8>) {
        let put = self.store.put(key, Bytes::from(bytes), PutMode::Overwrite);
        put.await.unwrap();
    }

    async fn delete(&self, key: &Key) {
        self.store.delete(&[key.to_string()]).await.unwrap();
    }

    async fn truncate(&self, key: &Key, to: usize) {
        let mut bytes = self.bytes(key).await;
        bytes.truncate(to);
        self.put(&key.to_string(), bytes).await;
    }

    async fn flip_bit(&self, key: &Key, at: usize) {
        let mut bytes = self.bytes(key).await;
        bytes[at] ^= 4;
        self.put(&key.to_string(), bytes).await;
    }

    /// Returns the first segment above the low-water mark.
    async fn segment(&self) -> Key {
        let tail = TailReader::new(self.bucket.clone(), TailReaderSettings::default());
        let mark = self.manifest().await.value.low_water_mark;
        let listing = tail.list(self.database, mark).await.unwrap();
        Key::Segment(self.database, listing.segments[0].name)
    }

    async fn check_with(&self, options: &FsckOptions) -> FsckReport {
        let fsck = Fsck::new(self.bucket.clone());
        fsck.check(options, &|_| {}).await.unwrap()
    }

    async fn quick(&self) -> FsckReport {
        self.check_with(&FsckOptions::default()).await
    }

    async fn full(&self) -> FsckReport {
        let full = true;
        self.check_with(&FsckOptions { full, ..FsckOptions::default() }).await
    }

    async fn repair(&self, full: bool) -> FsckReport {
        self.check_with(&FsckOptions { full, repair: true, database: None }).await
    }
}

fn batch(rows: &[TestRow<'_>]) -> RecordBatch {
    let hosts: DictionaryArray<Int32Type> = rows.iter().map(|row| Some(row.0)).collect();
    let zones: DictionaryArray<Int32Type> = rows.iter().map(|row| row.1).collect();
    let times = TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.2));
    let usages = Float64Array::from_iter_values(rows.iter().map(|row| row.3));
    let columns: [(&str, ColumnType, ArrayRef); 4] = [
        ("host", ColumnType::Tag, Arc::new(hosts)),
        ("time", ColumnType::Time, Arc::new(times)),
        ("usage", ColumnType::Float, Arc::new(usages)),
        ("zone", ColumnType::Tag, Arc::new(zones)),
    ];
    let fields: Vec<_> = columns
        .iter()
        .map(|(name, column_type, _)| column_type.arrow_field(name))
        .collect();
    let arrays = columns.map(|(_, _, array)| array).to_vec();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

/// Formats the findings as lines, without the names of objects.
fn lines(report: &FsckReport) -> String {
    let lines = report.findings.iter().map(|finding| {
        let mut line = finding.to_string();
        if let Some(key) = &finding.key {
            let class = neap_bucket::KeyClass::from_key(key);
            let place = match key.parse::<Key>() {
                Ok(_) => format!("<{}>", class.as_str()),
                Err(_) => key.clone(),
            };
            line = line.replace(key, &place);
        }
        line
    });
    lines.collect::<Vec<_>>().join("\n")
}
