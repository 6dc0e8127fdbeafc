//! Answers queries: finds the database, takes a snapshot, plans, and streams the rows.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use arrow::{
    array::{RecordBatch, UInt64Array},
    datatypes::{DataType, Field, Schema},
};
use neap_bucket::{Bucket, MAX_CATALOG_AGE, Stamp, StoreTime, Versioned, World};
use neap_catalog::{Catalog, EngineLogs, INTERNAL_DATABASE, INTERNAL_DATABASE_ID};
use neap_manifest::{ManifestStore, Snapshot, SnapshotOptions, SnapshotReader};
use neap_row_delete::{RowDelete, RowDeleter};
use neap_schema::DatabaseId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    CacheStats, DataCacheStats, PluginFiles, QueryError, QueryRequest, QuerySettings, QueryStats,
    Rows,
    caches::Bases,
    executor::Executor,
    interrupt::Interrupt,
    job::{Asked, Begun, Work},
    log::{Course, QueryLog},
    request::{Planner, SqlPlanner},
    rows::Incoming,
    scan::{self, Behind, Data, DataCacheLimits, Shared, TailImages},
    session::{Scope, Sessions, Times, runtime},
    system::Cluster,
};

/// The age up to which the name of a database is taken from memory. A drop is answered after that time.
const NAME_AGE: Duration = MAX_CATALOG_AGE;

/// The longest that a query waits for others to end.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How often a query takes a newer snapshot because what is kept of a tail has overtaken the one that it had.
const MAX_OVERTAKEN: usize = 3;

/// The age of the newer snapshot, which is at hand.
const OVERTAKING_AGE: Duration = Duration::from_secs(1);

/// Answers queries over the databases of a bucket.
#[derive(Debug)]
pub struct QueryEngine {
    catalog: Arc<Catalog>,
    snapshots: Arc<SnapshotReader>,
    sessions: Arc<Sessions>,
    settings: QuerySettings,
    running: Arc<Semaphore>,
    log: Arc<QueryLog>,
    bucket: Bucket,
    deleter: Option<Arc<dyn RowDeleter>>,
}

impl QueryEngine {
    /// An engine with empty caches.
    ///
    /// # Errors
    /// When the directory for spilling can't be used.
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
        let home = settings.executor.home();
        let runtime = Arc::new(runtime(&settings)?);
        let shared = Shared {
            manifests,
            data: Data::new(bucket.clone(), home.clone(), limits),
            tails: TailImages::new(settings.tail_bytes, Arc::clone(&runtime)),
            bases: Bases::new(
                bucket.clone(),
                home.clone(),
                settings.cache_bytes,
                settings.timeout,
            ),
            home: home.clone(),
        };
        let log = Arc::new(QueryLog::new(
            bucket.world().clone(),
            settings.query_log_size,
        ));
        let cluster = Arc::new(Cluster {
            catalog: Arc::clone(&catalog),
            log: Arc::clone(&log),
            plugin_logs: OnceLock::new(),
            plugin_files: OnceLock::new(),
            shows_token_hashes: settings.with_authentication,
        });
        Ok(Self {
            catalog,
            snapshots,
            sessions: Arc::new(Sessions::new(&settings, runtime, Arc::new(shared), cluster)),
            log,
            running: Arc::new(Semaphore::new(settings.concurrent_queries)),
            settings,
            bucket,
            deleter: None,
        })
    }

    /// The same engine, which also takes `DELETE` statements.
    #[must_use]
    pub fn with_deleter(self, deleter: Arc<dyn RowDeleter>) -> Self {
        Self {
            deleter: Some(deleter),
            ..self
        }
    }

    /// Says where plugins of this process log, which shows lines before they are in the bucket. What was said first
    /// counts.
    pub fn set_plugin_logs(&self, logs: Arc<EngineLogs>) {
        self.sessions.cluster().plugin_logs.get_or_init(|| logs);
    }

    /// Says where the files of plugins are. What was said first counts.
    pub fn set_plugin_files(&self, files: Arc<dyn PluginFiles>) {
        self.sessions.cluster().plugin_files.get_or_init(|| files);
    }

    /// The limits of the engine.
    pub fn settings(&self) -> &QuerySettings {
        &self.settings
    }

    /// Time, waiting and chance.
    pub fn world(&self) -> &World {
        self.bucket.world()
    }

    /// What the tables of all queries share.
    pub(crate) fn shared(&self) -> &Shared {
        self.sessions.shared()
    }

    /// What became of the questions to last and distinct value caches.
    pub fn cache_stats(&self) -> CacheStats {
        self.shared().bases.stats()
    }

    /// What the caches of sections hold, and how often they had what was looked for.
    pub fn data_cache_stats(&self) -> DataCacheStats {
        self.shared().data.stats()
    }

    /// Gives back the memory of what is kept of sections only to save reading it again.
    pub fn release_memory(&self) {
        self.shared().data.release_chunks();
    }

    /// The bytes that running queries have set aside, and those of the folded tails of tables.
    pub fn memory_stats(&self) -> MemoryStats {
        MemoryStats {
            queries: self.sessions.reserved_bytes() as u64,
            tails: self.shared().tails.size_bytes(),
        }
    }

    /// What became of the queries since the process started.
    pub fn query_stats(&self) -> QueryStats {
        self.log.totals().stats()
    }

    /// The databases of the bucket.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The database of a name as far as it is known here, which may be a few seconds old.
    ///
    /// # Errors
    /// The catalog can't be read.
    pub(crate) async fn known_database(
        &self,
        name: &str,
    ) -> Result<Option<DatabaseId>, QueryError> {
        if name == INTERNAL_DATABASE {
            return Ok(Some(INTERNAL_DATABASE_ID));
        }
        Ok(self.catalog.root(NAME_AGE).await?.value.database(name))
    }

    /// The database of a name. A request asks for it before it knows whether the caller may query it.
    ///
    /// # Errors
    /// `DatabaseNotFound`, or the catalog can't be read.
    pub async fn find_database(&self, name: &str) -> Result<DatabaseId, QueryError> {
        if name == INTERNAL_DATABASE {
            return Ok(INTERNAL_DATABASE_ID);
        }
        let database = self.catalog.database_by_name(name, NAME_AGE).await?;
        database.ok_or_else(|| QueryError::DatabaseNotFound(name.to_owned()))
    }

    /// Where queries are planned and executed.
    pub fn executor(&self) -> &Executor {
        &self.settings.executor
    }

    /// Answers one statement in SQL. The answer may begin before all of it is known.
    pub async fn query(
        &self,
        database: DatabaseId,
        request: QueryRequest,
    ) -> Result<Rows, QueryError> {
        self.run(database, request, Arc::new(SqlPlanner)).await
    }

    /// Answers one statement, whatever it is written in.
    pub(crate) async fn run(
        &self,
        database: DatabaseId,
        request: QueryRequest,
        planner: Arc<dyn Planner>,
    ) -> Result<Rows, QueryError> {
        let begun = self.world().moment();
        let timeout = self.time_for(&request);
        let running = self.log.begin(database, planner.language(), &request);
        let course = Arc::clone(running.course());
        let asked = Asked {
            database,
            request,
            planner,
            begun,
            timeout,
            max_rows: self.settings.max_rows,
        };
        let answer = self.begin(Arc::new(asked), &course);
        // It is watched here: whatever answers may compute, and look at nothing.
        let answer = self.world().timeout(timeout, answer).await;
        match answer.unwrap_or(Err(QueryError::Timeout(timeout))) {
            Ok(Answered::Rows(answer)) => {
                let left = timeout.saturating_sub(self.world().elapsed(&begun));
                Ok(answer.rows(running, timeout, left, self.world()))
            }
            Ok(Answered::Deleted(stamp)) => {
                let rows = deleted(stamp).inspect_err(|_| course.fails())?;
                course.gives_rows();
                course.totals().gave(1);
                course.succeeds();
                Ok(rows)
            }
            Err(error) => {
                course.fails();
                Err(error)
            }
        }
    }

    /// How long a request may take that begins now.
    fn time_for(&self, request: &QueryRequest) -> Duration {
        let now = self.world().clock.monotonic();
        let left = request.ends.map(|ends| ends.saturating_sub(now));
        // Who reads the error has no use for nanoseconds.
        let left = left.map(|left| {
            Duration::from_millis(left.as_secs() * 1000 + u64::from(left.subsec_millis()))
        });
        left.map_or(self.settings.timeout, |left| {
            left.min(self.settings.timeout)
        })
    }

    /// Does what asks the store without being a query over a snapshot: in a place among the queries that run,
    /// and for no longer than one of them.
    ///
    /// # Errors
    /// `Busy`, `Timeout`, and what the work itself ends with.
    pub(crate) async fn in_place<T, E: From<QueryError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let placed = async {
            let _permit = self.place().await?;
            work.await
        };
        let timeout = self.settings.timeout;
        let done = self.world().timeout(timeout, placed).await;
        done.unwrap_or_else(|| Err(QueryError::Timeout(timeout).into()))
    }

    /// A place among the queries that run, which others may have to give back first.
    async fn place(&self) -> Result<OwnedSemaphorePermit, QueryError> {
        let permit = Arc::clone(&self.running).acquire_owned();
        let permit = self.world().timeout(LONGEST_WAIT, permit).await;
        let permit = permit.and_then(Result::ok).ok_or(QueryError::Busy)?;
        let pressure = &self.settings.pressure;
        match pressure.relieved(self.world(), LONGEST_WAIT).await {
            true => Ok(permit),
            false => Err(QueryError::Busy),
        }
    }

    async fn begin(&self, asked: Arc<Asked>, course: &Arc<Course>) -> Result<Answered, QueryError> {
        let permit = self.place().await?;
        course.has_place();
        let interrupt = Interrupt::default();
        let place = self.executor().place(permit, interrupt.clone());
        let (database, request) = (asked.database, &asked.request);
        let mut options = SnapshotOptions {
            max_staleness: request.max_staleness.unwrap_or(self.settings.max_staleness),
            at_least: request.after,
            as_of: request.as_of,
        };
        let work = |scope| Work {
            scope,
            asked: Arc::clone(&asked),
            course: Arc::clone(course),
            place: Arc::clone(&place),
        };
        for _ in 0..MAX_OVERTAKEN {
            let scope = self.scope(database, options, request, Behind::Fail, interrupt.clone());
            match self.answer(work(scope.await?)).await {
                Err(error) if scan::is_overtaken(&error) => {
                    options.max_staleness = options.max_staleness.max(OVERTAKING_AGE);
                }
                answer => return answer,
            }
        }
        let behind = Behind::FoldAnew;
        let scope = self.scope(database, options, request, behind, interrupt.clone());
        self.answer(work(scope.await?)).await
    }

    /// A snapshot for a request, and the times that it counts with.
    pub(crate) async fn scope(
        &self,
        database: DatabaseId,
        options: SnapshotOptions,
        request: &QueryRequest,
        behind: Behind,
        interrupt: Interrupt,
    ) -> Result<Arc<Scope>, QueryError> {
        let snapshot = match database {
            INTERNAL_DATABASE_ID => Arc::new(self.nothing()),
            _ => self.snapshots.read(database, options).await?,
        };
        Ok(Arc::new(Scope {
            times: self.times(&snapshot, request.as_of),
            sessions: Arc::clone(&self.sessions),
            uses_caches: self.settings.use_caches
                && !request.without_caches
                && snapshot.as_of.is_none(),
            behind: match snapshot.as_of {
                None => behind,
                Some(_) => Behind::FoldAnew,
            },
            snapshot,
            interrupt,
        }))
    }

    /// The tables of the database that has none of its own.
    fn nothing(&self) -> Snapshot {
        let shown = self.bucket.clock().now();
        let wall = self.world().clock.wall_micros();
        Snapshot {
            database: INTERNAL_DATABASE_ID,
            catalog: Versioned::absent(shown),
            manifest: Versioned::absent(shown),
            tail: Arc::default(),
            taken: self.world().moment(),
            shown: shown.unwrap_or(StoreTime::from_micros(wall)),
            as_of: None,
        }
    }

    /// Answers a request from a snapshot. A delete is made on this side: others wait for the order of writes, too.
    async fn answer(&self, work: Work) -> Result<Answered, QueryError> {
        let (scope, asked) = (Arc::clone(&work.scope), Arc::clone(&work.asked));
        let course = Arc::clone(&work.course);
        let (mut job, beginning, receiver) = work.spawn(self.executor(), self.world().clone());
        let Ok(begun) = beginning.await else {
            course.fails();
            job.ended().await;
            return Err(QueryError::Stopped);
        };
        let schema = match begun {
            Ok(Begun::Rows(schema)) => schema,
            Ok(Begun::Delete(delete)) => {
                job.done();
                return Ok(Answered::Deleted(self.delete(&asked, delete).await?));
            }
            Err(error) => {
                job.done();
                return Err(error);
            }
        };
        let is_of_snapshot = scope.snapshot.database != INTERNAL_DATABASE_ID;
        Ok(Answered::Rows(Incoming {
            schema,
            as_of: is_of_snapshot.then(|| last_stamp(&scope.snapshot)),
            receiver,
            job,
        }))
    }

    /// The times that a query over a snapshot counts with. As of an earlier time, tables have the rows that
    /// they had then, but `now()` is the present.
    fn times(&self, snapshot: &Snapshot, as_of: Option<Stamp>) -> Times {
        let present = self.bucket.clock().now().unwrap_or(snapshot.shown);
        let past = as_of.map(|stamp| stamp.time().min(present));
        Times {
            now: self.world().clock.wall_micros(),
            kept_until: past.unwrap_or(present),
        }
    }

    /// Has rows deleted; the stamp of the delete. How many rows go is not known: nobody has looked.
    async fn delete(&self, asked: &Asked, delete: RowDelete) -> Result<Stamp, QueryError> {
        let deleter = self.deleter.as_ref().ok_or(QueryError::NoWrites)?;
        let (arrived, after) = (asked.begun, asked.request.after);
        let stamp = deleter.delete_rows(asked.database, vec![delete], arrived, after);
        Ok(stamp.await?)
    }
}

/// What the engine has set aside, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// For running queries.
    pub queries: u64,
    /// For the folded tails of tables.
    pub tails: u64,
}

/// What a request is answered with.
enum Answered {
    Rows(Incoming),
    Deleted(Stamp),
}

/// The answer to a delete: its stamp.
fn deleted(stamp: Stamp) -> Result<Rows, QueryError> {
    let schema = Schema::new(vec![Field::new("stamp", DataType::UInt64, false)]);
    let column = Arc::new(UInt64Array::from_value(stamp.as_u64(), 1));
    let rows = RecordBatch::try_new(Arc::new(schema), vec![column]);
    let rows = rows.map_err(|error| QueryError::Execution(error.into()))?;
    Ok(Rows {
        deleted_at: Some(stamp),
        ..Rows::at_hand(rows)
    })
}

/// The stamp up to which writes are in a snapshot.
fn last_stamp(snapshot: &Snapshot) -> Stamp {
    let tail = snapshot.tail_names().map(|name| name.stamp);
    tail.fold(snapshot.mark(), Stamp::max)
}
