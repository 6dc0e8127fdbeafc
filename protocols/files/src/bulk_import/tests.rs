//! Tests of import jobs over a store in memory, on a clock that the tests advance.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use axum::{Extension, Router, body::Body};
use http::Request;
use http_body_util::BodyExt;
use neap_bucket::{
    Bucket, Clock, Get, GetOptions, Key, ListRequest, MemoryStore, ObjectUploads, PausedClock,
    ProtocolMargins, ProtocolRules, PutMode, Store, World,
};
use neap_catalog::Catalog;
use neap_http::{Caller, Metrics};
use neap_wal::Segment;
use neap_write::{WriteService, WriteServiceParts, WriteSettings};
use parquet::arrow::ArrowWriter;
use serde_json::Value;
use tower::ServiceExt;

mod interruptions;

use super::{ImportSettings, ImportWorker, import_router};

/// The memory of all requests. A write of an import has a sixteenth of it.
const MEMORY_BYTES: usize = 48 << 20;

/// A worker with its routes, over a store in memory that has the database `home`.
struct ImportTestBed {
    memory: Arc<MemoryStore>,
    worker: Arc<ImportWorker>,
    routes: Router,
}

/// Returns a clock of the tests with a store in memory.
fn memory() -> (Arc<dyn Clock>, Arc<MemoryStore>) {
    // In the year 2023.
    let clock: Arc<dyn Clock> = Arc::new(PausedClock::new(1_700_000_000_000_000));
    let memory = Arc::new(MemoryStore::new(Arc::clone(&clock)));
    (clock, memory)
}

impl ImportTestBed {
    async fn new() -> Self {
        let (clock, memory) = memory();
        let store = Arc::clone(&memory) as _;
        let fixture = Self::with_store(&memory, store, World::seeded(clock, 1));
        let catalog = fixture.worker.service.catalog();
        catalog.create_database("home", None).await.unwrap();
        fixture
    }

    /// Returns a process that accesses the memory through a store.
    fn with_store(memory: &Arc<MemoryStore>, store: Arc<dyn Store>, world: World) -> Self {
        let bucket = Bucket::new(Arc::clone(&store), world).trusting_store_clock(true);
        let catalog = Arc::new(Catalog::for_sole_process(bucket));
        let rules = ProtocolRules::new(ProtocolMargins::LOCAL);
        let service = Arc::new(WriteService::new(WriteServiceParts {
            settings: WriteSettings {
                max_bytes_in_flight: MEMORY_BYTES,
                ..WriteSettings::default()
            },
            ..WriteServiceParts::local(&catalog, rules)
        }));
        let uploads = ObjectUploads::collected(store, "");
        let worker = Arc::new(ImportWorker::new(
            service,
            uploads,
            ImportSettings::default(),
            &Metrics::default(),
        ));
        let routes = import_router(Arc::clone(&worker));
        Self {
            memory: Arc::clone(memory),
            worker,
            routes: routes.layer(Extension(Caller::unrestricted())),
        }
    }

    async fn send(&self, request: Request<Body>) -> (u16, Value) {
        let response = self.routes.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    /// Uploads a file with further parts.
    async fn upload(&self, parts: &[(&str, &str)], file: &[u8]) -> (u16, Value) {
        let mut body = Vec::new();
        for (name, value) in parts {
            let part = format!(
                "--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            );
            body.extend(part.into_bytes());
        }
        body.extend(b"--b\r\nContent-Disposition: form-data; name=\"file_bytes\"; filename=\"f.parquet\"\r\n\r\n");
        body.extend(file);
        body.extend(b"\r\n--b--\r\n");
        let request = Request::post("/api/v3/enterprise/import")
            .header("content-type", "multipart/form-data; boundary=b");
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    async fn jobs(&self) -> Vec<Value> {
        let request = Request::get("/api/v3/enterprise/import");
        let (status, jobs) = self.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(status, 200, "{jobs}");
        jobs.as_array().unwrap().clone()
    }

    async fn import_all(&self) -> bool {
        self.worker.import_all(&mut BTreeSet::new()).await.unwrap()
    }

    async fn keys(&self, prefix: &str) -> Vec<String> {
        let page = self.memory.list(ListRequest::new(prefix)).await.unwrap().value;
        page.entries.into_iter().map(|entry| entry.key).collect()
    }

    /// Returns the number of rows in the tail.
    async fn rows(&self) -> u64 {
        let mut rows = 0;
        for key in self.keys(Key::TAIL_PREFIX).await {
            let object = self.memory.get(&key, GetOptions::default()).await;
            let (Get::Found(object), Ok(Key::Segment(database, name))) =
                (object.unwrap().value, key.parse())
            else {
                panic!("{key}");
            };
            let segment = Segment::decode(database, name, object.bytes).unwrap();
            rows += segment.tables().map(|table| table.rows).sum::<u64>();
        }
        rows
    }
}

/// Returns a file with a row for each second, of ten rooms.
fn file(rows: i64) -> Vec<u8> {
    file_at((0..rows).map(|row| row * 1_000).collect())
}

/// Returns a file with a row for each of these times in milliseconds.
fn file_at(times: Vec<i64>) -> Vec<u8> {
    let rows = i64::try_from(times.len()).unwrap();
    let rooms = (0..rows).map(|row| format!("room {}", row % 10));
    let columns: [(&str, ArrayRef); 3] = [
        ("at", Arc::new(TimestampMillisecondArray::from_iter_values(times))),
        ("room", Arc::new(StringArray::from_iter_values(rooms))),
        (
            "temp",
            Arc::new(Float64Array::from_iter_values((0..rows).map(|row| row as f64))),
        ),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

const TARGET: [(&str, &str); 3] = [
    ("database", "home"),
    ("table", "rooms"),
    ("column_metadata", r#"{"column_mapping":{"at":"time","room":"tag"}}"#),
];

#[tokio::test(start_paused = true)]
async fn an_uploaded_file_becomes_rows_of_a_new_table() {
    let fixture = ImportTestBed::new().await;
    let (status, job) = fixture.upload(&TARGET, &file(100_000)).await;
    assert_eq!(status, 200, "{job}");
    assert_eq!(job["status"], "queued");
    assert_eq!(job["row_count"], 100_000);
    assert_eq!(job["min_timestamp_ns"], 0);
    assert_eq!(job["max_timestamp_ns"], 99_999_000_000_000_i64);
    assert_eq!(job["filename"], "f.parquet");
    assert_eq!(job["column_metadata"]["column_mapping"]["at"], "time");
    assert!(fixture.import_all().await);
    assert_eq!(fixture.rows().await, 100_000);
    let jobs = fixture.jobs().await;
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0]["upload_uuid"], job["upload_uuid"]);
    assert_eq!(jobs[0]["status"], "imported", "{}", jobs[0]);
    assert_eq!(jobs[0]["imported_rows"], 100_000);
    assert!(jobs[0]["completed_at"].is_i64());
    let catalog = fixture.worker.service.catalog();
    let database = catalog.database_by_name("home", Duration::ZERO).await;
    let database = catalog
        .database(database.unwrap().unwrap(), Duration::ZERO)
        .await
        .unwrap()
        .value;
    assert_eq!(database.table("rooms").unwrap().tag_names(), ["room"]);
    let keys = fixture.keys(Key::IMPORTS_PREFIX).await;
    assert_eq!(keys.len(), 1, "the file is deleted: {keys:?}");
}

#[tokio::test(start_paused = true)]
async fn uploads_at_the_same_time_create_their_table_once() {
    let fixture = ImportTestBed::new().await;
    let files = [file(10), file(20), file(30)];
    let uploads = files.iter().map(|file| fixture.upload(&TARGET, file));
    for (status, job) in futures::future::join_all(uploads).await {
        assert_eq!(status, 200, "{job}");
    }
    assert!(fixture.import_all().await);
    assert_eq!(fixture.rows().await, 60);
}

#[tokio::test(start_paused = true)]
async fn rows_that_do_not_fit_end_a_job_with_a_message() {
    let fixture = ImportTestBed::new().await;
    let types = r#"{"column_mapping":{"at":"time","room":"i64"}}"#;
    let parts = [TARGET[0], TARGET[1], ("column_metadata", types)];
    let (status, _) = fixture.upload(&parts, &file(10)).await;
    assert_eq!(status, 200);
    assert!(fixture.import_all().await);
    let job = &fixture.jobs().await[0];
    assert_eq!(job["status"], "terminal_failed");
    assert_eq!(job["last_message"], "row 1: the value of column 'room' is not of type i64");
    assert_eq!(fixture.rows().await, 0);
}

#[tokio::test(start_paused = true)]
async fn rows_that_replace_each_other_in_a_new_table_end_a_job() {
    let fixture = ImportTestBed::new().await;
    let without_tags = r#"{"column_mapping":{"at":"time"}}"#;
    let parts = [TARGET[0], TARGET[1], ("column_metadata", without_tags)];
    let file = file_at(vec![5_000; 10]);
    assert_eq!(fixture.upload(&parts, &file).await.0, 200);
    assert!(fixture.import_all().await);
    let job = &fixture.jobs().await[0];
    assert_eq!(job["status"], "terminal_failed");
    let message = job["last_message"].as_str().unwrap();
    assert!(message.contains("9 of 10 rows") && message.contains("'room'"), "{message}");
    assert_eq!(fixture.rows().await, 0);
    // Another upload finds the table.
    assert_eq!(fixture.upload(&parts, &file).await.0, 200);
    assert!(fixture.import_all().await);
    assert_eq!(fixture.rows().await, 10);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_needs_too_much_memory_ends_its_job() {
    let fixture = ImportTestBed::new().await;
    // A page has at least one value.
    let text = StringArray::from_iter_values(["x".repeat(MEMORY_BYTES / 2)]);
    let columns: [(&str, ArrayRef); 3] = [
        ("at", Arc::new(TimestampMillisecondArray::from_iter_values([0]))),
        ("room", Arc::new(StringArray::from_iter_values(["a"]))),
        ("note", Arc::new(text)),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let file = writer.into_inner().unwrap();
    assert_eq!(fixture.upload(&TARGET, &file).await.0, 200);
    assert!(fixture.import_all().await);
    let job = &fixture.jobs().await[0];
    assert_eq!(job["status"], "terminal_failed");
    let message = job["last_message"].as_str().unwrap();
    assert!(message.contains("of memory to be decoded"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn uploads_that_do_not_fit_are_refused_and_leave_nothing() {
    let fixture = ImportTestBed::new().await;
    let good = file(10);
    let missing = [("database", "nope"), TARGET[1], TARGET[2]];
    let with_nul = [TARGET[0], ("table", "a\0b"), TARGET[2]];
    /// Parts, file, status, message.
    type RefusedUpload<'a> = (&'a [(&'a str, &'a str)], &'a [u8], u16, &'a str);
    let cases: [RefusedUpload<'_>; 7] = [
        (&TARGET[1..], &good, 400, "missing database"),
        (&TARGET[..1], &good, 400, "missing table"),
        (&missing, &good, 404, "Database not found nope"),
        (&with_nul, &good, 400, r"the name of the table 'a\0b' contains a NUL character"),
        (
            &TARGET[..2],
            &good,
            400,
            "the file has no column 'time', and no column is mapped to time",
        ),
        (&TARGET, &file(0), 400, "the file has no rows"),
        (&TARGET, b"x", 400, "the file is not valid Parquet: it is too short"),
    ];
    for (parts, file, status, message) in cases {
        let (got, answer) = fixture.upload(parts, file).await;
        assert_eq!((got, answer["error"].as_str()), (status, Some(message)));
    }
    let (status, answer) = fixture.upload(&TARGET, b"time,temp\n1,2\n3,4\n").await;
    assert_eq!(status, 400, "{answer}");
    assert_eq!(fixture.keys(Key::IMPORTS_PREFIX).await, Vec::<String>::new());
    assert_eq!(fixture.jobs().await, Vec::<Value>::new());
}

#[tokio::test(start_paused = true)]
async fn a_job_that_cannot_be_read_hides_no_others() {
    let fixture = ImportTestBed::new().await;
    let (damaged, upload) = fixture.worker.store.begin_file().await.unwrap();
    upload.finish().await.unwrap();
    let key = Key::ImportJob(damaged).to_string();
    let damage = fixture.memory.put(&key, "damage".into(), PutMode::Create);
    damage.await.unwrap();
    assert_eq!(fixture.upload(&TARGET, &file(10)).await.0, 200);

    assert!(fixture.import_all().await);
    assert_eq!(fixture.rows().await, 10);
    let jobs = fixture.jobs().await;
    let status = |job: &Value| job["status"].as_str().unwrap().to_owned();
    let mut shown: Vec<String> = jobs.iter().map(status).collect();
    shown.sort();
    assert_eq!(shown, ["imported", "terminal_failed"]);
    let failed = jobs.iter().find(|job| job["status"] == "terminal_failed").unwrap();
    let message = failed["last_message"].as_str().unwrap();
    assert!(message.starts_with("the job can't be read: "), "{message}");
    assert!(message.contains(&key), "{message}");

    let clock = &fixture.worker.service.world().clock;
    clock.sleep(Duration::from_secs(8 * 24 * 60 * 60)).await;
    fixture.worker.store.collect_garbage().await.unwrap();
    let file = Key::ImportFile(damaged).to_string();
    assert_eq!(fixture.keys(Key::IMPORTS_PREFIX).await, [file, key]);
}

#[tokio::test(start_paused = true)]
async fn ended_jobs_and_files_without_job_are_removed_after_their_time() {
    let fixture = ImportTestBed::new().await;
    fixture.upload(&TARGET, &file(10)).await;
    assert!(fixture.import_all().await);
    let (_, orphan) = fixture.worker.store.begin_file().await.unwrap();
    orphan.finish().await.unwrap();
    let day = Duration::from_secs(24 * 60 * 60);
    let clock = &fixture.worker.service.world().clock;
    let left = async || {
        fixture.worker.store.collect_garbage().await.unwrap();
        fixture.keys(Key::IMPORTS_PREFIX).await.len()
    };
    assert_eq!(left().await, 2);
    clock.sleep(day).await;
    assert_eq!(left().await, 1);
    clock.sleep(day * 6).await;
    assert_eq!(left().await, 0);
}
