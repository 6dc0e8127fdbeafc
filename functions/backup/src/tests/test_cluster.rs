//! A cluster in memory, with a clock that the tests advance, and a model of its contents.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Extension, Router, body::Body};
use bytes::Bytes;
use futures::future::{Either, select};
use http::Request;
use http_body_util::BodyExt;
use neap_bucket::{
    Bucket, Clock, Key, ListRequest, MemoryStore, ProtocolMargins, ProtocolRules, RECENT_PUT_IDS,
    Register, RegisterChange, RegisterError, RegisterValue, Stamp, SteppedClock, Store,
    VersionedValue, World,
};
use neap_catalog::{ANY_AGE, Catalog, DatabaseDocuments};
use neap_compact::{
    CompactParts, CompactorEvent, CompactorSettings, FlushLimits, Flusher,
    GarbageCollectorSettings, MergePolicy,
};
use neap_http::Caller;
use neap_manifest::{ManifestSettings, ManifestStore, SnapshotReader, SnapshotSettings};
use neap_query::{QueryEngine, QuerySettings};
use neap_rollup::ViewProgress;
use neap_row_delete::{Condition, RowDelete, RowDeleter};
use neap_rules::RuleProgress;
use neap_schema::DatabaseId;
use neap_wal::{SiteProgress, TailReader, TailReaderSettings};
use neap_write::{Precision, WriteOptions, WriteService, WriteServiceParts};
use serde_json::Value;
use tower::ServiceExt;

use crate::{
    BackupEngine, BackupParts, BackupPlaces, BackupRegister, BackupRequest, JobState,
    RestoreRequest,
};

/// The name of a place outside the bucket.
pub(crate) const PLACE: &str = "elsewhere";

/// Time that passes in a step of a test.
const STEP: Duration = Duration::from_millis(250);

/// Number of times that other tasks run in a step.
const YIELDS: usize = 20;

/// Requests a backup in the bucket, or at a place.
pub(crate) fn backup_to(name: &str, place: Option<&str>) -> BackupRequest {
    BackupRequest {
        name: Some(name.to_owned()),
        place: place.map(str::to_owned),
        ..BackupRequest::default()
    }
}

/// Requests the restore of a backup in the bucket, or at a place.
pub(crate) fn restore_from(backup: &str, place: Option<&str>) -> RestoreRequest {
    RestoreRequest {
        backup: Some(backup.to_owned()),
        place: place.map(str::to_owned),
        ..RestoreRequest::default()
    }
}

/// Places in memory, by name.
#[derive(Debug)]
pub(crate) struct TestPlaces {
    clock: Arc<SteppedClock>,
    places: Mutex<BTreeMap<String, Arc<MemoryStore>>>,
}

impl TestPlaces {
    pub(crate) fn store(&self, place: &str) -> Arc<MemoryStore> {
        let mut places = self.places.lock().unwrap();
        let new = || Arc::new(MemoryStore::new(Arc::clone(&self.clock) as _));
        Arc::clone(places.entry(place.to_owned()).or_insert_with(new))
    }
}

impl BackupPlaces for TestPlaces {
    fn open(&self, place: &str) -> Result<Arc<dyn Store>, String> {
        match place {
            "forbidden" => Err("it is forbidden".to_owned()),
            _ => Ok(self.store(place)),
        }
    }
}

/// The newest value of each point of a table: by host and time.
pub(crate) type Points = BTreeMap<(String, i64), i64>;

/// A change of a database, in the order of stamps.
#[derive(Clone, Debug)]
enum Change {
    Write(String, i64, i64),
    Delete(String),
}

/// A cluster with one table `m` in each database.
pub(crate) struct TestCluster {
    clock: Arc<SteppedClock>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) world: World,
    pub(crate) bucket: Bucket,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) rules: ProtocolRules,
    writer: Arc<WriteService>,
    queries: Router,
    engine: Arc<QueryEngine>,
    pub(crate) places: Arc<TestPlaces>,
    history: Mutex<BTreeMap<String, Vec<(Stamp, Change)>>>,
}

impl TestCluster {
    pub(crate) async fn new() -> Self {
        let clock = Arc::new(SteppedClock::self_advancing());
        let places = Arc::new(TestPlaces { clock: Arc::clone(&clock), places: Mutex::default() });
        Self::with(clock, places, 7).await
    }

    pub(crate) async fn with_row() -> Self {
        let cluster = Self::new().await;
        cluster.write("one", "a", 1, 1).await;
        cluster
    }

    /// Creates another cluster with the same clock and the same places.
    pub(crate) async fn another(&self) -> Self {
        Self::with(Arc::clone(&self.clock), Arc::clone(&self.places), 8).await
    }

    async fn with(clock: Arc<SteppedClock>, places: Arc<TestPlaces>, seed: u64) -> Self {
        let store = Arc::new(MemoryStore::new(Arc::clone(&clock) as _));
        let world = World::seeded(Arc::clone(&clock) as _, seed);
        let bucket = Bucket::new(Arc::clone(&store) as _, world.clone());
        let catalog = catalog(&bucket);
        let rules = catalog.rules().await.unwrap();
        let tail = TailReader::new(bucket.clone(), TailReaderSettings::default());
        let manifests = ManifestStore::new(bucket.clone(), &rules, ManifestSettings::default());
        let snapshots = SnapshotReader::new(
            manifests.clone(),
            Arc::clone(&catalog),
            tail,
            rules,
            SnapshotSettings::default(),
        );
        let writer = Arc::new(WriteService::new(WriteServiceParts::local(&catalog, rules)));
        let queries = QueryEngine::new(
            bucket.clone(),
            Arc::clone(&catalog),
            manifests,
            Arc::new(snapshots),
            QuerySettings::default(),
        )
        .unwrap()
        .with_deleter(Arc::clone(&writer) as _)
        .with_row_writer(Arc::clone(&writer) as _)
        .with_views();
        let engine = Arc::new(queries);
        let queries = neap_query::router(Arc::clone(&engine));
        Self {
            clock,
            store,
            world,
            bucket,
            catalog,
            rules,
            writer,
            queries: queries.layer(Extension(Caller::unrestricted())),
            engine,
            places,
            history: Mutex::default(),
        }
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// Runs `work` while time passes.
    pub(crate) async fn drive<T>(&self, work: impl Future<Output = T>) -> T {
        self.drive_for(Duration::MAX, work).await.unwrap()
    }

    /// Runs `work` while time passes, for at most `limit`. Returns `None` if it has not ended by then.
    pub(crate) async fn drive_for<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut work = pin!(work);
        let started_at = self.clock.monotonic();
        while self.clock.monotonic() - started_at < limit {
            let others = async {
                for _ in 0..YIELDS {
                    tokio::task::yield_now().await;
                }
            };
            match select(work.as_mut(), pin!(others)).await {
                Either::Left((done, _)) => return Some(done),
                Either::Right(_) => self.pass(STEP),
            }
        }
        None
    }

    /// Returns a process with its own caches that runs backups.
    pub(crate) fn engine(&self) -> Arc<BackupEngine> {
        let places = Arc::clone(&self.places) as _;
        self.engine_on(self.bucket.clone(), places)
    }

    /// Returns a process that uses these stores.
    pub(super) fn engine_on(
        &self,
        bucket: Bucket,
        places: Arc<dyn BackupPlaces>,
    ) -> Arc<BackupEngine> {
        let catalog = catalog(&bucket);
        let rules = self.rules;
        let manifests = ManifestStore::new(bucket.clone(), &rules, ManifestSettings::default());
        let tail = TailReader::new(bucket.clone(), TailReaderSettings::default());
        let flusher = Flusher::new(
            bucket.clone(),
            Arc::clone(&catalog),
            manifests.clone(),
            tail.clone(),
            rules,
            FlushLimits::default(),
        );
        Arc::new(BackupEngine::new(BackupParts {
            bucket,
            catalog,
            manifests,
            tail,
            flusher,
            rules,
            places,
        }))
    }

    /// Makes a backup, which must succeed.
    pub(crate) async fn back_up(&self, request: &BackupRequest) -> crate::Backup {
        let engine = self.engine();
        let backup = engine.begin_backup(request).await.unwrap();
        let id = backup.id;
        self.drive(engine.run_backup(backup)).await;
        let backup = self.register().await.backup(id).unwrap().clone();
        assert_eq!(backup.job.state, JobState::Completed, "{:?}", backup.job.error);
        backup
    }

    /// Performs a restore, and returns how it has ended.
    pub(crate) async fn restore(&self, request: &RestoreRequest) -> crate::Restore {
        let engine = self.engine();
        let restore = engine.begin_restore(request).await.unwrap();
        let id = restore.id;
        self.drive(engine.run_restore(restore)).await;
        // As another process, which learns of it after a while.
        self.catalog.root(Duration::ZERO).await.unwrap();
        self.register().await.restore(id).unwrap().clone()
    }

    /// Runs a restore that must complete.
    pub(crate) async fn restore_completely(&self, request: &RestoreRequest) {
        let restored = self.restore(request).await;
        let error = &restored.job.error;
        assert_eq!(restored.job.state, JobState::Completed, "{error:?}");
    }

    pub(crate) async fn register(&self) -> BackupRegister {
        let (register, _) = crate::BackupStore::new(&self.bucket).read().await.unwrap();
        BackupRegister::clone(&register.value)
    }

    /// Writes a point. Repeats the write until it is acknowledged.
    pub(crate) async fn write(&self, database: &str, host: &str, time: i64, value: i64) {
        loop {
            self.pass(Duration::from_millis(1));
            let line = format!("m,host={host} v={value}i {time}");
            let options = WriteOptions::with_precision(Precision::Nanosecond);
            let written = self.writer.write(database, Bytes::from(line), options);
            if let Ok(written) = written.await {
                let change = Change::Write(host.to_owned(), time, value);
                self.note(database, written.stamp.unwrap(), change);
                return;
            }
        }
    }

    /// Deletes the points of a host. Repeats the delete until it is acknowledged.
    pub(crate) async fn delete(&self, database: &str, host: &str) {
        let id = self.id(database).await;
        let catalog = self.catalog.database(id, ANY_AGE).await.unwrap();
        let table = catalog.value.table("m").unwrap().id();
        loop {
            self.pass(Duration::from_millis(1));
            let condition =
                Condition::Tag { name: "host".to_owned(), value: Some(host.to_owned()) };
            let deletes = vec![RowDelete { table, condition }];
            let arrived = self.world.clock_reading();
            let deleted = RowDeleter::delete_rows(&*self.writer, id, deletes, arrived, None);
            if let Ok(stamp) = deleted.await {
                self.note(database, stamp, Change::Delete(host.to_owned()));
                return;
            }
        }
    }

    fn note(&self, database: &str, stamp: Stamp, change: Change) {
        let mut history = self.history.lock().unwrap();
        let changes = history.entry(database.to_owned()).or_default();
        changes.push((stamp, change));
    }

    /// Returns the points of a database after all changes up to a stamp.
    pub(crate) fn points_at(&self, database: &str, stamp: Stamp) -> Points {
        let history = self.history.lock().unwrap();
        let mut changes = history.get(database).cloned().unwrap_or_default();
        changes.sort_by_key(|(stamp, _)| *stamp);
        let mut points = Points::new();
        for (_, change) in changes.into_iter().filter(|(of, _)| *of <= stamp) {
            match change {
                Change::Write(host, time, value) => {
                    points.insert((host, time), value);
                }
                Change::Delete(host) => points.retain(|(of, _), _| *of != host),
            }
        }
        points
    }

    /// Returns the points of a database after all changes.
    pub(crate) fn points_now(&self, database: &str) -> Points {
        self.points_at(database, Stamp::from_u64(u64::MAX))
    }

    /// Forgets the changes of a database after a stamp, as a restore does.
    pub(crate) fn rewind(&self, database: &str, stamp: Stamp) {
        let mut history = self.history.lock().unwrap();
        if let Some(changes) = history.get_mut(database) {
            changes.retain(|(of, _)| *of <= stamp);
        }
    }

    /// Gives a database these contents as of a stamp, as a restore does.
    pub(crate) fn replace_history(&self, database: &str, points: &Points, stamp: Stamp) {
        let changes = points.iter().map(|((host, time), value)| {
            let change = Change::Write(host.clone(), *time, *value);
            (stamp, change)
        });
        let mut history = self.history.lock().unwrap();
        history.insert(database.to_owned(), changes.collect());
    }

    pub(crate) async fn refresh_views(&self) -> neap_query::AllViewsReport {
        let limit = Duration::from_secs(3_600);
        self.engine.refresh_all_views(limit).await.unwrap()
    }

    /// Executes a statement and returns its rows.
    pub(crate) async fn sql(&self, database: &str, sql: &str) -> Vec<Value> {
        // Another process may have replaced the database.
        self.catalog.root(Duration::ZERO).await.unwrap();
        let body = serde_json::json!({ "db": database, "q": sql, "format": "json" });
        let request = Request::post("/api/v3/query_sql")
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        let text = self.answer(request).await;
        serde_json::from_str(&text).unwrap()
    }

    /// Executes an InfluxQL statement.
    pub(crate) async fn influxql(&self, database: &str, statement: &str) -> String {
        self.catalog.root(Duration::ZERO).await.unwrap();
        let form = [("db", database), ("q", statement)].map(|(name, value)| {
            let value = url::form_urlencoded::byte_serialize(value.as_bytes());
            format!("{name}={}", value.collect::<String>())
        });
        let request = Request::post("/query")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(form.join("&")))
            .unwrap();
        let answer = self.answer(request).await;
        assert!(!answer.contains("\"error\""), "{statement}: {answer}");
        answer
    }

    async fn answer(&self, request: Request<Body>) -> String {
        let response = self.queries.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(status.is_success(), "{text}");
        text
    }

    pub(crate) async fn points(&self, database: &str) -> Points {
        let sql = "SELECT host, CAST(time AS BIGINT) AS t, v FROM m";
        let rows = self.sql(database, sql).await;
        let points = rows.iter().map(|row| {
            let number = |name: &str| row[name].as_i64().unwrap();
            let host = row["host"].as_str().unwrap().to_owned();
            ((host, number("t")), number("v"))
        });
        points.collect()
    }

    pub(crate) async fn id(&self, database: &str) -> DatabaseId {
        let root = self.catalog.root(Duration::ZERO).await.unwrap();
        root.value.database(database).unwrap()
    }

    /// Returns the names of the live databases.
    pub(crate) async fn databases(&self) -> Vec<String> {
        let root = self.catalog.root(Duration::ZERO).await.unwrap().value;
        let names = root.live_databases().map(|(_, entry)| entry.name.clone());
        names.collect()
    }

    /// Flushes, merges and collects, as another process.
    pub(crate) async fn maintain(&self) {
        let parts = CompactParts {
            bucket: self.bucket.clone(),
            margins: ProtocolMargins::LOCAL,
            rules: self.rules,
            flush: FlushLimits::default(),
            merge: MergePolicy {
                settle_after: Duration::ZERO,
                recent_sections: 2,
                range_after: Duration::ZERO,
                delete_after: Duration::ZERO,
                ..MergePolicy::default()
            },
            collect: GarbageCollectorSettings::default(),
            settings: CompactorSettings::default(),
        };
        let compactor = parts.assemble(None);
        let root = self.catalog.root(Duration::ZERO).await.unwrap().value;
        for (database, _) in root.live_databases() {
            compactor.flush(database).await.unwrap();
        }
        let report = compactor.handle(&CompactorEvent::Collect, None).await;
        assert_eq!(report.unwrap().failures, []);
    }

    /// Flushes a database when its newest rows may be flushed, without a merge.
    pub(crate) async fn flush(&self, database: &str) {
        self.pass(Duration::from_secs(30));
        let id = self.id(database).await;
        self.engine().parts.shorten_tail(id).await;
    }

    /// Puts an empty register of documents, or of the progress of views, rules or sites.
    pub(crate) async fn put_empty_register(&self, key: &Key) {
        match key {
            Key::Documents(_) => self.put_default::<DatabaseDocuments>(key).await,
            Key::ViewProgress(_) => self.put_default::<ViewProgress>(key).await,
            Key::RuleProgress(_) => self.put_default::<RuleProgress>(key).await,
            Key::SiteProgress(_) => self.put_default::<SiteProgress>(key).await,
            other => panic!("{other} was not expected"),
        }
    }

    async fn put_default<T: RegisterValue + Default>(&self, key: &Key) {
        let register: Register<T> = Register::new(self.bucket.clone(), key.clone(), RECENT_PUT_IDS);
        let change =
            |_: &VersionedValue<T>| Ok::<_, RegisterError>(RegisterChange::Put(T::default(), ()));
        register.commit(None, change).await.unwrap();
    }

    /// Lets all garbage become old, and collects it.
    pub(crate) async fn collect_all_garbage(&self) {
        for _ in 0..6 {
            self.pass(Duration::from_secs(25 * 3_600));
            self.maintain().await;
        }
    }

    /// Returns the number of objects with a prefix.
    pub(crate) async fn count(&self, prefix: &str) -> usize {
        count(self.store.as_ref(), prefix).await
    }
}

/// Returns the number of objects of a store with a prefix.
pub(crate) async fn count(store: &dyn Store, prefix: &str) -> usize {
    store.list(ListRequest::new(prefix)).await.unwrap().value.entries.len()
}

/// Returns the catalog of a process whose drops do not wait, because the clock does not advance by itself.
fn catalog(bucket: &Bucket) -> Arc<Catalog> {
    Arc::new(Catalog::for_sole_process(bucket.clone()))
}
