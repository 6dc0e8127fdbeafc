//! A complete instance in a memory store, with a clock that the tests advance.

use std::{sync::Arc, time::Duration};

use axum::{Extension, Router, body::Body};
use bytes::Bytes;
use http::{Request, response::Parts};
use http_body_util::BodyExt;
use neap_bucket::{
    Bucket, CallHook, Clock, CountingStore, FaultyStore, MemoryStore, ObjectUploads,
    OperationCounts, ProtocolMargins, SteppedClock, Store, StoreFaults, World,
};
use neap_catalog::Catalog;
use neap_compact::{
    CompactParts, Compactor, CompactorSettings, FlushLimits, FlushResult, Flusher,
    GarbageCollectorSettings, JobLimits, Maintainer, MergeOutcome, MergePolicy, Merger,
    PlanScope as MergeScope,
};
use neap_distributed::Exchange;
use neap_http::Caller;
use neap_identity::{IdentityService, IdentitySettings, PasswordCost};
use neap_manifest::{
    ManifestSettings, ManifestStore, SnapshotOptions, SnapshotReader, SnapshotSettings,
};
use neap_operators::Cancellation;
use neap_row_delete::RowDeleter;
use neap_scan::StaleTail;
use neap_schema::DatabaseId;
use neap_tables::QueryContext;
use neap_wal::{TailReader, TailReaderSettings};
use neap_write::{WriteOptions, WriteService, WriteServiceParts};
use tower::ServiceExt;

use super::workers::TestWorkers;
use crate::{QueryEngine, QueryRequest, QuerySettings, router};

/// Returns a store whose calls await a hook.
pub(crate) fn hooked_store(
    store: Arc<dyn Store>,
    clock: &Arc<SteppedClock>,
    hook: CallHook,
) -> FaultyStore {
    let world = World::seeded(Arc::clone(clock) as _, 1);
    FaultyStore::new(store, world, StoreFaults::default()).with_hook(hook)
}

/// A complete instance over a store that may be shared.
pub(crate) struct QueryTestInstance {
    pub(crate) clock: Arc<SteppedClock>,
    pub(crate) counting: Arc<CountingStore>,
    pub(crate) bucket: Bucket,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) manifests: ManifestStore,
    pub(crate) service: Arc<WriteService>,
    pub(crate) flusher: Flusher,
    pub(crate) maintainer: Maintainer,
    pub(crate) compactor: Compactor,
    pub(crate) engine: Arc<QueryEngine>,
    pub(crate) router: Router,
    pub(crate) workers: Option<TestWorkers>,
}

/// The number of workers over which all tests distribute their queries; unset: none. Tests of requests, plans and limits
/// fail with workers, because they expect those of one process.
const WORKERS: &str = "NEAP_TEST_WORKERS";

pub(crate) enum TestDeleter {
    Writer,
    Other(Arc<dyn RowDeleter>),
    None,
}

pub(crate) const DATABASE: DatabaseId = DatabaseId::new(1);

impl QueryTestInstance {
    pub(crate) fn memory_store() -> (Arc<MemoryStore>, Arc<SteppedClock>) {
        let clock = Arc::new(SteppedClock::self_advancing());
        let store = Arc::new(MemoryStore::new(Arc::clone(&clock) as _));
        (store, clock)
    }

    pub(crate) async fn new(store: Arc<MemoryStore>, clock: Arc<SteppedClock>) -> Self {
        Self::with(store, clock, QuerySettings::default()).await
    }

    pub(crate) async fn with(
        store: Arc<MemoryStore>,
        clock: Arc<SteppedClock>,
        settings: QuerySettings,
    ) -> Self {
        Self::built(store, clock, settings, TestDeleter::Writer).await
    }

    /// Creates an instance with this deleter, or with none.
    pub(crate) async fn deleting(deleter: Option<Arc<dyn RowDeleter>>) -> Self {
        let (store, clock) = Self::memory_store();
        let deleter = deleter.map_or(TestDeleter::None, TestDeleter::Other);
        Self::built(store, clock, QuerySettings::default(), deleter).await
    }

    pub(crate) async fn built(
        store: Arc<MemoryStore>,
        clock: Arc<SteppedClock>,
        settings: QuerySettings,
        deleter: TestDeleter,
    ) -> Self {
        Self::over(store as _, clock, settings, deleter).await
    }

    /// Creates an instance over any store.
    pub(crate) async fn over(
        store: Arc<dyn Store>,
        clock: Arc<SteppedClock>,
        settings: QuerySettings,
        deleter: TestDeleter,
    ) -> Self {
        let workers = std::env::var(WORKERS)
            .ok()
            .map(|number| (number.parse().unwrap(), Exchange::Workers));
        Self::assembled(store, clock, settings, deleter, workers).await
    }

    /// Creates an instance that distributes all queries over this number of workers.
    pub(crate) async fn distributed(
        store: Arc<MemoryStore>,
        clock: Arc<SteppedClock>,
        settings: QuerySettings,
        workers: (usize, Exchange),
    ) -> Self {
        let deleter = TestDeleter::Writer;
        Self::assembled(store as _, clock, settings, deleter, Some(workers)).await
    }

    async fn assembled(
        store: Arc<dyn Store>,
        clock: Arc<SteppedClock>,
        settings: QuerySettings,
        deleter: TestDeleter,
        workers: Option<(usize, Exchange)>,
    ) -> Self {
        let shared = Arc::clone(&store);
        let counting = Arc::new(CountingStore::new(store));
        let exports = ObjectUploads::collected(Arc::clone(&counting) as _, "");
        let world = World::seeded(Arc::clone(&clock) as Arc<dyn Clock>, 7);
        let bucket = Bucket::new(Arc::clone(&counting) as _, world);
        // Drops do not wait, because this clock does not advance by itself.
        let catalog = Arc::new(Catalog::for_sole_process(bucket.clone()));
        let rules = catalog.rules().await.unwrap();
        let tail = TailReader::new(bucket.clone(), TailReaderSettings::default());
        let manifests = ManifestStore::new(bucket.clone(), &rules, ManifestSettings::default());
        let snapshots = SnapshotReader::new(
            manifests.clone(),
            Arc::clone(&catalog),
            tail.clone(),
            rules,
            SnapshotSettings::default(),
        );
        let service = Arc::new(WriteService::new(WriteServiceParts::local(&catalog, rules)));
        let flusher = Flusher::new(
            bucket.clone(),
            Arc::clone(&catalog),
            manifests.clone(),
            tail.clone(),
            rules,
            FlushLimits::default(),
        );
        let compactor = CompactParts {
            bucket: bucket.clone(),
            margins: ProtocolMargins::LOCAL,
            rules,
            flush: FlushLimits::default(),
            merge: MergePolicy::default(),
            collect: GarbageCollectorSettings::default(),
            settings: CompactorSettings::default(),
        };
        let merger = Merger::new(bucket.clone(), Arc::clone(&catalog), manifests.clone());
        let eager = MergePolicy {
            settle_after: Duration::ZERO,
            recent_sections: 2,
            range_after: Duration::ZERO,
            delete_after: Duration::ZERO,
            ..MergePolicy::default()
        };
        let maintainer =
            Maintainer::new(bucket.clone(), Arc::clone(&catalog), manifests.clone(), merger, eager);
        let settings_of_users = IdentitySettings {
            password_cost: PasswordCost { memory_kib: 64, passes: 1 },
            ..IdentitySettings::default()
        };
        let identity = IdentityService::new(Arc::clone(&catalog), settings_of_users).unwrap();
        let engine = QueryEngine::new(
            bucket.clone(),
            Arc::clone(&catalog),
            manifests.clone(),
            Arc::new(snapshots),
            settings,
        )
        .unwrap()
        .with_exports(exports)
        .with_row_writer(Arc::clone(&service) as _)
        .with_identity(Some(Arc::new(identity)))
        .with_views();
        let workers = match workers {
            Some((number, exchange)) => {
                let workers = TestWorkers::start(&shared, &clock, number, engine.settings()).await;
                Some((workers, exchange))
            }
            None => None,
        };
        let engine = match &workers {
            Some((workers, exchange)) => {
                let distributor = workers.distributor(&engine, tail, *exchange);
                engine.with_distributor(distributor)
            }
            None => engine,
        };
        let engine = Arc::new(match deleter {
            TestDeleter::Writer => engine.with_deleter(Arc::clone(&service) as _),
            TestDeleter::Other(other) => engine.with_deleter(other),
            TestDeleter::None => engine,
        });
        Self {
            clock,
            counting,
            bucket,
            catalog,
            manifests,
            service,
            flusher,
            maintainer,
            compactor: compactor.assemble(None),
            router: router(Arc::clone(&engine)).layer(Extension(Caller::unrestricted())),
            engine,
            workers: workers.map(|(workers, _)| workers),
        }
    }

    pub(crate) async fn alone() -> Self {
        let (store, clock) = Self::memory_store();
        Self::new(store, clock).await
    }

    pub(crate) async fn with_rows(lines: &str) -> Self {
        let instance = Self::alone().await;
        instance.write(lines).await;
        instance
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    pub(crate) async fn write(&self, lines: &str) -> u64 {
        self.pass(Duration::from_millis(1));
        let body = Bytes::from(lines.to_owned());
        let written = self.service.write("db", body, WriteOptions::default());
        written.await.unwrap().stamp.unwrap().as_u64()
    }

    pub(crate) async fn flush(&self) -> FlushResult {
        self.pass(Duration::from_secs(10));
        self.flusher.flush(DATABASE).await.unwrap()
    }

    /// Removes expired sections, merges sections, and returns the number of merges.
    pub(crate) async fn merge(&self) -> usize {
        let plan = self.maintainer.plan(
            DATABASE,
            MergeScope::All,
            neap_compact::PlanLimits::with_max_jobs(100),
        );
        let mut merges = 0;
        for order in plan.await.unwrap().orders {
            let outcome = self.maintainer.run(&order, &JobLimits::default()).await;
            merges += usize::from(!matches!(outcome.unwrap(), MergeOutcome::Skipped(_)));
        }
        merges
    }

    /// Writes the missing objects of caches.
    pub(crate) async fn fill_caches(&self) {
        self.compactor.fill_caches(DATABASE, None).await.unwrap();
    }

    pub(crate) async fn get(&self, path_and_query: &str) -> (u16, String) {
        self.send(Request::get(path_and_query).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> (u16, String) {
        let (head, body) = self.exchange(request).await;
        (head.status.as_u16(), body)
    }

    pub(crate) async fn exchange(&self, request: Request<Body>) -> (Parts, String) {
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head, String::from_utf8_lossy(&body).into_owned())
    }

    /// Answers a statement as of a time or stamp. Also returns the stamp up to which the answer includes writes.
    pub(crate) async fn sql_at(&self, sql: &str, as_of: &str) -> (u16, Option<String>, String) {
        let body = serde_json::json!({"db": "db", "q": sql, "format": "csv"});
        let request = Request::post("/api/v3/query_sql")
            .header("x-neap-as-of", as_of)
            .body(Body::from(body.to_string()))
            .unwrap();
        let (head, body) = self.exchange(request).await;
        let shown =
            head.headers.get("x-neap-as-of").map(|shown| shown.to_str().unwrap().to_owned());
        (head.status.as_u16(), shown, body)
    }

    pub(crate) async fn post(&self, body: serde_json::Value) -> (u16, String) {
        let request = Request::post("/api/v3/query_sql").body(Body::from(body.to_string()));
        self.send(request.unwrap()).await
    }

    /// Returns the context of a query that starts now.
    pub(crate) async fn context(&self) -> QueryContext {
        let (options, request) = (SnapshotOptions::default(), QueryRequest::default());
        let cancellation = Cancellation::default();
        let context =
            self.engine.context(DATABASE, options, &request, StaleTail::Fail, cancellation);
        context.await.unwrap()
    }

    /// Answers a statement that must succeed.
    pub(crate) async fn sql(&self, sql: &str) -> String {
        self.sql_as(sql, "csv").await
    }

    /// Returns the plan of a statement in one process.
    pub(crate) async fn plan(&self, sql: &str) -> String {
        let mut plan = self.sql(&format!("EXPLAIN {sql}")).await;
        if let Some(of_workers) = plan.find("\ndistributed_plan,") {
            plan.truncate(of_workers);
        }
        plan
    }

    pub(crate) async fn sql_as(&self, sql: &str, format: &str) -> String {
        self.sql_as_in("db", sql, format).await
    }

    /// Answers a statement over another database, which must succeed.
    pub(crate) async fn sql_in(&self, database: &str, sql: &str) -> String {
        self.sql_as_in(database, sql, "csv").await
    }

    pub(crate) async fn sql_as_in(&self, database: &str, sql: &str, format: &str) -> String {
        let (status, body) =
            self.post(serde_json::json!({"db": database, "q": sql, "format": format})).await;
        assert_eq!(status, 200, "{sql}: {body}");
        body
    }

    /// Answers a statement that must succeed, without caches.
    pub(crate) async fn sql_without_caches(&self, sql: &str) -> String {
        let body = serde_json::json!({"db": "db", "q": sql, "format": "csv"});
        let request = Request::post("/api/v3/query_sql")
            .header("x-neap-cache", "off")
            .body(Body::from(body.to_string()))
            .unwrap();
        let (status, body) = self.send(request).await;
        assert_eq!(status, 200, "{sql}: {body}");
        body
    }

    /// Counts the store requests of a statement.
    pub(crate) async fn requests(&self, sql: &str) -> OperationCounts {
        let before = self.counting.counts();
        self.sql(sql).await;
        self.counting.counts() - before
    }
}

/// Asks each statement of a text and asserts that the answer is the line below it.
pub(crate) async fn assert_answers(text: &str, ask: impl AsyncFn(&str) -> String) {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    for pair in lines.chunks(2) {
        let [statement, expected] = pair else {
            panic!("no answer is below {pair:?}");
        };
        assert_eq!(ask(statement).await.trim_end(), *expected, "{statement}");
    }
}
