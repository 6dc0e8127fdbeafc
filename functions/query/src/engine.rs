//! The query engine: resolves the database, takes a snapshot, plans and streams rows.

mod query_contexts;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use arrow::{
    array::{RecordBatch, UInt64Array},
    datatypes::{DataType, Field, Schema},
};
use neap_bucket::{Bucket, ObjectUploads, Stamp, TRACE_TARGET, World};
use neap_catalog::{Catalog, EngineLogs, INTERNAL_DATABASE, INTERNAL_DATABASE_ID};
use neap_identity::IdentityService;
use neap_manifest::{ManifestStore, Snapshot, SnapshotReader};
use neap_operators::Cancellation;
use neap_row_delete::{RowDelete, RowDeleter};
use neap_rows::columnar::RowWriter;
use neap_rules::Notifier;
use neap_scan::{
    DataCacheLimits, DataCacheStats, ScanContext, ScanEnvironment, SectionData, StaleTail,
    TailImages, is_stale_snapshot,
};
use neap_schema::DatabaseId;
use neap_tables::{
    CacheLayers, CacheStats, PluginFiles, QueryContext, SessionSettings, Sessions, SharedTables,
    StoreRequests, SystemSources, runtime,
};
use neap_wal::TailReader;
use tracing::{Instrument, trace_span};

use crate::{
    AnswerCacheStats, DistributionStats, PlanDistributor, QueryError, QueryRequest, QuerySettings,
    QueryStats, Rows,
    answer_cache::{AnswerCache, AnswerReuse, KeptAnswer},
    copy::StartedCopy,
    distribution::EngineDistributor,
    executor::Executor,
    plan_cache::PlanCache,
    query_log::{QueryLog, QueryTracker},
    query_permits::{HeldPermit, QueryPermits},
    query_task::{PendingQuery, QueryTask, RowReceiver, StartedQuery},
    request::{Planner, QueryDatabases},
    sql_planner::CachedSqlPlanner,
    views::ViewReader,
};

/// The maximum time that a query waits for a permit.
const MAX_PERMIT_WAIT: Duration = Duration::from_secs(30);

/// The maximum time that a query with a permit waits for the end of memory pressure.
const MAX_PRESSURE_WAIT: Duration = Duration::from_secs(10);

/// The maximum number of times that a query takes a newer snapshot because a cached tail image is newer than its
/// snapshot.
const MAX_SNAPSHOT_RETRIES: usize = 3;

/// The maximum age of that newer snapshot. A cached one satisfies it.
const RETRY_SNAPSHOT_AGE: Duration = Duration::from_secs(1);

/// Answers queries over the databases of a bucket.
#[derive(Debug)]
pub struct QueryEngine {
    catalog: Arc<Catalog>,
    snapshots: Arc<SnapshotReader>,
    sessions: Sessions,
    settings: QuerySettings,
    running: QueryPermits,
    log: Arc<QueryLog>,
    plans: Arc<PlanCache>,
    answers: Arc<AnswerCache>,
    bucket: Bucket,
    deleter: Option<Arc<dyn RowDeleter>>,
    row_writer: Option<Arc<dyn RowWriter>>,
    exports: Option<ObjectUploads>,
    distributor: Option<EngineDistributor>,
    identity: Option<Arc<IdentityService>>,
    /// Whether this process refreshes materialized views and evaluates rules.
    keeps_views: bool,
    notifier: Option<Arc<Notifier>>,
}

impl QueryEngine {
    /// Creates an engine with empty caches.
    ///
    /// # Errors
    /// The spill directory can't be used.
    pub fn new(
        bucket: Bucket,
        catalog: Arc<Catalog>,
        manifests: ManifestStore,
        snapshots: Arc<SnapshotReader>,
        settings: QuerySettings,
    ) -> Result<Self, QueryError> {
        let limits = DataCacheLimits {
            metadata_bytes: settings.metadata_cache_bytes,
            chunk_bytes: settings.chunk_cache_bytes,
        };
        let io_runtime = settings.executor.io_runtime();
        let session_settings = SessionSettings {
            partitions: settings.partitions,
            memory_pool_bytes: settings.memory_pool_bytes,
            spill_dir: settings.spill_dir.clone(),
            spill_bytes: settings.spill_bytes,
            max_windows: settings.max_windows,
        };
        let runtime = Arc::new(runtime(&session_settings)?);
        let scan = ScanContext {
            manifests,
            data: SectionData::new(bucket.clone(), io_runtime.clone(), limits),
            tails: TailImages::new(settings.tail_bytes, Arc::clone(&runtime)),
            io_runtime: io_runtime.clone(),
        };
        let tables = SharedTables {
            scan: Arc::new(scan),
            cache_layers: Arc::new(CacheLayers::new(
                bucket.clone(),
                io_runtime.clone(),
                settings.cache_bytes,
                settings.timeout,
            )),
        };
        let log = Arc::new(QueryLog::new(
            bucket.world().clone(),
            settings.query_log_size,
        ));
        let system = SystemSources {
            catalog: Arc::clone(&catalog),
            queries: Arc::clone(&log) as _,
            plugin_logs: OnceLock::new(),
            plugin_files: OnceLock::new(),
            store_requests: OnceLock::new(),
            shows_token_hashes: settings.with_authentication,
        };
        let sessions = Sessions::new(
            &session_settings,
            runtime,
            Arc::new(tables),
            Arc::new(system),
        );
        Ok(Self {
            catalog,
            snapshots,
            sessions,
            log,
            plans: Arc::default(),
            answers: Arc::new(AnswerCache::new(if settings.use_caches {
                settings.answer_cache_bytes
            } else {
                0
            })),
            running: QueryPermits::new(settings.concurrent_queries),
            settings,
            bucket,
            deleter: None,
            row_writer: None,
            exports: None,
            distributor: None,
            identity: None,
            keeps_views: false,
            notifier: None,
        })
    }

    /// Adds a deleter, which lets the engine execute `DELETE` statements.
    #[must_use]
    pub fn with_deleter(self, deleter: Arc<dyn RowDeleter>) -> Self {
        Self {
            deleter: Some(deleter),
            ..self
        }
    }

    /// Adds a writer of rows, which lets the engine execute `SELECT ... INTO` statements of InfluxQL.
    #[must_use]
    pub fn with_row_writer(self, row_writer: Arc<dyn RowWriter>) -> Self {
        Self {
            row_writer: Some(row_writer),
            ..self
        }
    }

    /// Lets clients create materialized views and rules. The engine must have a deleter and a writer of rows, and the process
    /// calls [`refresh_views`](Self::refresh_views) and [`evaluate_rules`](Self::evaluate_rules).
    #[must_use]
    pub fn with_views(self) -> Self {
        Self {
            keeps_views: true,
            ..self
        }
    }

    /// Adds the client that sends notifications about alerts, if there are targets.
    #[must_use]
    pub fn with_notifier(self, notifier: Option<Arc<Notifier>>) -> Self {
        Self { notifier, ..self }
    }

    /// Adds uploads to the store, which lets the engine execute `COPY` statements.
    #[must_use]
    pub fn with_exports(self, exports: ObjectUploads) -> Self {
        Self {
            exports: Some(exports),
            ..self
        }
    }

    /// Adds a distributor, which lets the engine run queries on workers.
    #[must_use]
    pub fn with_distributor(self, plans: Arc<dyn PlanDistributor>) -> Self {
        let counters = Arc::default();
        Self {
            distributor: Some(EngineDistributor { plans, counters }),
            ..self
        }
    }

    /// Adds the sign-in of users, which lets the engine execute statements of InfluxQL that change users.
    #[must_use]
    pub fn with_identity(self, identity: Option<Arc<IdentityService>>) -> Self {
        Self { identity, ..self }
    }

    /// Returns the state with which this process executes scans for distributed queries: the engine's caches, functions
    /// and memory pool. `tail` reads segments.
    pub fn scan_environment(&self, tail: TailReader) -> Arc<ScanEnvironment> {
        Arc::new(self.sessions.scan_environment(tail))
    }

    /// Counters of distributed queries since the process started.
    pub fn distribution_stats(&self) -> DistributionStats {
        let distributor = self.distributor.as_ref();
        let stats = distributor.map(|distributor| distributor.counters.stats());
        stats.unwrap_or_default()
    }

    /// The sign-in of users, if it is enabled.
    pub(crate) fn identity(&self) -> Option<&Arc<IdentityService>> {
        self.identity.as_ref()
    }

    /// The writer of rows, if the engine may write.
    pub(crate) fn row_writer(&self) -> Option<&Arc<dyn RowWriter>> {
        self.row_writer.as_ref()
    }

    /// The deleter of rows, if the engine may delete.
    pub(crate) fn deleter(&self) -> Option<&Arc<dyn RowDeleter>> {
        self.deleter.as_ref()
    }

    /// The client that sends notifications, if there are targets.
    pub(crate) fn notifier(&self) -> Option<&Arc<Notifier>> {
        self.notifier.as_ref()
    }

    /// Whether clients may create materialized views and rules.
    pub(crate) fn keeps_views(&self) -> bool {
        self.keeps_views
    }

    /// The store.
    pub(crate) fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// The manifests of the databases.
    pub(crate) fn manifests(&self) -> &ManifestStore {
        &self.tables().scan.manifests
    }

    /// Uploads to the store, if the engine may write exports.
    pub(crate) fn exports(&self) -> Option<&ObjectUploads> {
        self.exports.as_ref()
    }

    /// Sets the log buffers of this process's plugins, so that queries show lines that are not in the bucket yet. Only
    /// the first call has an effect.
    pub fn set_plugin_logs(&self, logs: Arc<EngineLogs>) {
        self.sessions.system().plugin_logs.get_or_init(|| logs);
    }

    /// Sets the provider of plugin files. Only the first call has an effect.
    pub fn set_plugin_files(&self, files: Arc<dyn PluginFiles>) {
        self.sessions.system().plugin_files.get_or_init(|| files);
    }

    /// Sets the stores whose requests `system.store_requests` shows. Only the first call has an effect.
    pub fn set_store_requests(&self, requests: StoreRequests) {
        let shown = &self.sessions.system().store_requests;
        shown.get_or_init(|| requests);
    }

    /// The settings of the engine.
    pub fn settings(&self) -> &QuerySettings {
        &self.settings
    }

    /// The number of queries that may run at once.
    pub(crate) fn concurrency_limit(&self) -> usize {
        self.running.limit()
    }

    /// Changes the number of queries that may run at once. Running queries continue.
    pub(crate) fn set_concurrency_limit(&self, limit: usize) {
        self.running.set_limit(limit);
    }

    /// The clock, timers and randomness.
    pub fn world(&self) -> &World {
        self.bucket.world()
    }

    /// The state that the tables of all queries share.
    pub(crate) fn tables(&self) -> &SharedTables {
        self.sessions.tables()
    }

    /// Counters of lookups in last and distinct value caches.
    pub fn cache_stats(&self) -> CacheStats {
        self.tables().cache_layers.stats()
    }

    /// The contents, hits and misses of the caches of section data.
    pub fn data_cache_stats(&self) -> DataCacheStats {
        self.tables().scan.data.stats()
    }

    /// The contents, hits and misses of the cache of answers.
    pub fn answer_cache_stats(&self) -> AnswerCacheStats {
        self.answers.stats()
    }

    /// Releases the cached column chunks of sections, and the kept answers. They are only kept to avoid reading and computing
    /// them again.
    pub fn release_memory(&self) {
        self.tables().scan.data.release_chunks();
        self.answers.release();
    }

    /// Ends the newest running query. Operators may hold memory that the memory of queries does not count, such as rows that are
    /// collected until a batch is full; only the memory of the process shows it.
    pub fn end_newest_query(&self) {
        if let Some(id) = self.log.kill_newest() {
            tracing::warn!(%id, "the memory is exhausted: the newest query was ended");
        }
    }

    /// The bytes reserved by running queries, and those of the cached tail images of tables.
    pub fn memory_stats(&self) -> MemoryStats {
        MemoryStats {
            queries: self.sessions.reserved_bytes() as u64,
            tails: self.tables().scan.tails.size_bytes(),
        }
    }

    /// The kept plans of statements.
    pub(crate) fn plan_cache(&self) -> &Arc<PlanCache> {
        &self.plans
    }

    /// The running and recent queries of this process.
    pub(crate) fn query_log(&self) -> &QueryLog {
        &self.log
    }

    /// Counters of finished queries since the process started.
    pub fn query_stats(&self) -> QueryStats {
        self.log.totals().stats()
    }

    /// The catalog of the bucket.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Resolves a database name with the cached catalog, which may be a few seconds old.
    /// Fails if the catalog can't be read.
    pub(crate) async fn known_database(
        &self,
        name: &str,
    ) -> Result<Option<DatabaseId>, QueryError> {
        if name == INTERNAL_DATABASE {
            return Ok(Some(INTERNAL_DATABASE_ID));
        }
        let root = self.catalog.root(self.catalog.max_age()).await?;
        Ok(root.value.database(name))
    }

    /// Resolves a database name. A request calls this before it checks the caller's permission.
    ///
    /// # Errors
    /// `DatabaseNotFound`, or the catalog can't be read.
    pub async fn find_database(&self, name: &str) -> Result<DatabaseId, QueryError> {
        if name == INTERNAL_DATABASE {
            return Ok(INTERNAL_DATABASE_ID);
        }
        let max_age = self.catalog.max_age();
        let database = self.catalog.database_by_name(name, max_age).await?;
        database.ok_or_else(|| QueryError::DatabaseNotFound(name.to_owned()))
    }

    /// The executor, which plans and executes queries.
    pub fn executor(&self) -> &Executor {
        &self.settings.executor
    }

    /// Answers one SQL statement. Rows are streamed: the answer may begin before it is complete.
    pub async fn query(
        &self,
        database: DatabaseId,
        request: QueryRequest,
    ) -> Result<Rows, QueryError> {
        let planner = CachedSqlPlanner(Arc::clone(&self.plans));
        self.run(database, request, Arc::new(planner)).await
    }

    /// Answers one statement over one database, in the language of the planner.
    pub(crate) async fn run(
        &self,
        database: DatabaseId,
        request: QueryRequest,
        planner: Arc<dyn Planner>,
    ) -> Result<Rows, QueryError> {
        let databases = QueryDatabases::from(database);
        self.run_over(databases, request, planner).await
    }

    /// Answers one statement over its databases, in the language of the planner.
    pub(crate) async fn run_over(
        &self,
        databases: QueryDatabases,
        request: QueryRequest,
        planner: Arc<dyn Planner>,
    ) -> Result<Rows, QueryError> {
        let database = databases.first;
        let started_at = self.world().clock_reading();
        let timeout = self.request_timeout(&request);
        let deadline = self.world().clock.monotonic().saturating_add(timeout);
        let running = self.log.begin(databases.ids(), planner.language(), &request);
        let tracker = Arc::clone(running.tracker());
        // An answer that is ready at once would win over the clock.
        if timeout.is_zero() {
            tracker.record_failure();
            return Err(QueryError::Timeout(timeout));
        }
        let answer_key = self.answers.key(&databases, planner.language(), &request);
        let pending = Arc::new(PendingQuery {
            databases,
            request,
            planner,
            started_at,
            deadline,
            max_rows: self.settings.max_rows,
            answer_key,
        });
        let answer = async {
            tokio::select! {
                answer = Box::pin(self.begin(Arc::clone(&pending), &tracker)) => answer,
                error = tracker.killed() => Err(error),
            }
        };
        // The timeout is enforced here because answering may compute without yielding.
        let answer = self.world().timeout(timeout, answer).await;
        match answer.unwrap_or(Err(QueryError::Timeout(timeout))) {
            Ok(QueryAnswer::Rows(answer)) => {
                let left = pending.remaining_time(self.world());
                Ok(answer.rows(running, timeout, left, self.world()))
            }
            Ok(QueryAnswer::Kept(kept, as_of)) => {
                tracker.record_first_rows();
                tracker.totals().count_rows(kept.rows);
                tracker.record_success();
                Ok(Rows {
                    as_of: Some(as_of),
                    reuse: AnswerReuse::Kept(kept),
                    ..Rows::from_batch(RecordBatch::new_empty(Arc::new(Schema::empty())))
                })
            }
            Ok(QueryAnswer::Copied(answer, copy)) => {
                let left = pending.remaining_time(self.world());
                let rows = answer.rows(running, timeout, left, self.world());
                let written = self.write_export(database, *copy, rows);
                let written = self.world().timeout(left, written).await;
                written.unwrap_or(Err(QueryError::Timeout(timeout)))
            }
            Ok(QueryAnswer::Deleted(stamp)) => {
                let rows = deleted(stamp).inspect_err(|_| tracker.record_failure())?;
                tracker.record_first_rows();
                tracker.totals().count_rows(1);
                tracker.record_success();
                Ok(rows)
            }
            Err(error) => {
                tracker.record_failure();
                Err(error)
            }
        }
    }

    /// Returns the timeout of a request that starts now.
    fn request_timeout(&self, request: &QueryRequest) -> Duration {
        let now = self.world().clock.monotonic();
        let left = request
            .ends
            .map(|ends| ends.saturating_sub(now))
            // Whole milliseconds, because nanoseconds would only clutter the error message.
            .map(|left| {
                Duration::from_millis(left.as_secs() * 1000 + u64::from(left.subsec_millis()))
            });
        left.map_or(self.settings.timeout, |left| {
            left.min(self.settings.timeout)
        })
    }

    /// Executes work that reads the store but is no query over a snapshot. It holds a query permit and is bounded by
    /// the query timeout.
    /// Fails with `Busy`, `Timeout`, or the error of the work itself.
    pub(crate) async fn run_with_permit<T, E: From<QueryError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let placed = async {
            let _permit = self.acquire_permit().await?;
            work.await
        };
        let timeout = self.settings.timeout;
        let done = self.world().timeout(timeout, placed).await;
        done.unwrap_or_else(|| Err(QueryError::Timeout(timeout).into()))
    }

    /// Acquires a query permit, and waits until memory pressure allows another query.
    async fn acquire_permit(&self) -> Result<HeldPermit, QueryError> {
        let permit = self
            .world()
            .timeout(MAX_PERMIT_WAIT, self.running.acquire())
            .await
            .flatten()
            .ok_or(QueryError::Busy)?;
        let pressure = &self.settings.pressure;
        if pressure.wait_until_relieved(self.world(), MAX_PRESSURE_WAIT).await {
            Ok(permit)
        } else {
            Err(QueryError::Busy)
        }
    }

    async fn begin(
        &self,
        pending: Arc<PendingQuery>,
        tracker: &Arc<QueryTracker>,
    ) -> Result<QueryAnswer, QueryError> {
        let permit = self
            .acquire_permit()
            .instrument(trace_span!(target: TRACE_TARGET, "permit"))
            .await?;
        tracker.record_permit();
        let cancellation = Cancellation::default();
        let permit = self.executor().query_permit(permit, cancellation.clone());
        let (databases, request) = (&pending.databases, &pending.request);
        let mut options = self.snapshot_options(request);
        let work = |context| QueryTask {
            context,
            pending: Arc::clone(&pending),
            tracker: Arc::clone(tracker),
            permit: Arc::clone(&permit),
            distributor: self.distributor.clone(),
            views: ViewReader {
                bucket: self.bucket.clone(),
                manifests: self.manifests().clone(),
            },
            world: self.world().clone(),
        };
        for _ in 0..MAX_SNAPSHOT_RETRIES {
            let stale_tail = StaleTail::Fail;
            let context = self
                .query_context(databases, options, request, stale_tail, &cancellation)
                .await?;
            if let Some(answer) = self.kept_answer(&pending, &context) {
                return Ok(answer);
            }
            match self.answer(work(context)).await {
                Err(error) if is_stale_snapshot(&error) => {
                    options.max_staleness = options.max_staleness.max(RETRY_SNAPSHOT_AGE);
                }
                answer => return answer,
            }
        }
        let stale_tail = StaleTail::Rebuild;
        let context = self.query_context(databases, options, request, stale_tail, &cancellation);
        self.answer(work(context.await?)).await
    }

    /// Returns the answer to a request from the kept ones, if it has one for the snapshot.
    fn kept_answer(&self, pending: &PendingQuery, context: &QueryContext) -> Option<QueryAnswer> {
        let key = pending.answer_key.as_ref()?;
        let kept = self.answers.find(key, context)?;
        Some(QueryAnswer::Kept(kept, last_stamp(&context.snapshot)))
    }

    /// Answers a request from a snapshot. Deletes are executed on the caller's runtime because they wait for the commit
    /// order of writes, as writes do.
    async fn answer(&self, work: QueryTask) -> Result<QueryAnswer, QueryError> {
        let (context, pending) = (work.context.clone(), Arc::clone(&work.pending));
        let tracker = Arc::clone(&work.tracker);
        let (mut job, beginning, receiver) = work.spawn(self.executor());
        let Ok(started_at) = beginning.await else {
            tracker.record_failure();
            job.ended().await;
            return Err(QueryError::Stopped);
        };
        let (schema, workers, times, copy) = match started_at {
            Ok(StartedQuery::Rows {
                schema,
                workers,
                times,
            }) => (schema, workers, times, None),
            Ok(StartedQuery::Copy(copy)) => (Arc::clone(&copy.schema), 0, None, Some(copy)),
            Ok(StartedQuery::Delete(delete)) => {
                job.done();
                return Ok(QueryAnswer::Deleted(self.delete(&pending, delete).await?));
            }
            Err(error) => {
                job.done();
                return Err(error);
            }
        };
        // Each of several snapshots reaches to another stamp.
        let is_of_snapshot =
            context.snapshot.database != INTERNAL_DATABASE_ID && !context.has_several_databases();
        let recorded = pending.answer_key.as_ref().zip(times);
        let recorder =
            recorded.and_then(|(key, times)| self.answers.recorder(key, &context, times));
        let rows = RowReceiver {
            schema,
            as_of: is_of_snapshot.then(|| last_stamp(&context.snapshot)),
            workers,
            recorder,
            receiver,
            job,
        };
        Ok(match copy {
            None => QueryAnswer::Rows(rows),
            Some(copy) => QueryAnswer::Copied(rows, Box::new(copy)),
        })
    }

    /// Deletes rows and returns the stamp of the delete. The number of deleted rows is unknown because no rows are
    /// read.
    async fn delete(&self, pending: &PendingQuery, delete: RowDelete) -> Result<Stamp, QueryError> {
        let deleter = self.deleter.as_ref().ok_or(QueryError::NoWriter)?;
        let (arrived, after) = (pending.started_at, pending.request.after);
        let stamp = deleter.delete_rows(pending.databases.first, vec![delete], arrived, after);
        Ok(stamp.await?)
    }
}

/// The memory of the engine, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// Reserved by running queries.
    pub queries: u64,
    /// Held by the cached tail images of tables.
    pub tails: u64,
}

/// The answer to a request.
enum QueryAnswer {
    Rows(RowReceiver),
    /// A kept answer, and the stamp up to which it includes writes.
    Kept(Arc<KeptAnswer>, Stamp),
    /// Rows that become a file.
    Copied(RowReceiver, Box<StartedCopy>),
    Deleted(Stamp),
}

/// Returns the columns of the answer to a delete.
pub(crate) fn deleted_schema() -> Schema {
    Schema::new(vec![Field::new("stamp", DataType::UInt64, false)])
}

/// Returns the answer to a delete: one row with its stamp.
fn deleted(stamp: Stamp) -> Result<Rows, QueryError> {
    let column = Arc::new(UInt64Array::from_value(stamp.as_u64(), 1));
    let rows = RecordBatch::try_new(Arc::new(deleted_schema()), vec![column])
        .map_err(|error| QueryError::Execution(error.into()))?;
    Ok(Rows {
        deleted_at: Some(stamp),
        ..Rows::from_batch(rows)
    })
}

/// Returns the stamp up to which a snapshot includes writes.
fn last_stamp(snapshot: &Snapshot) -> Stamp {
    let tail = snapshot.tail_names().map(|name| name.stamp);
    tail.fold(snapshot.mark(), Stamp::max)
}
