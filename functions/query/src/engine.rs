//! Answers queries: finds the database, takes a snapshot, plans, and streams the rows.

use std::{pin::Pin, sync::Arc, time::Duration};

use arrow::{
    array::{RecordBatch, UInt64Array},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::{
    execution::SessionState, logical_expr::LogicalPlan, physical_plan::execute_stream,
};
use futures::{Stream, StreamExt, stream};
use neap_bucket::{Bucket, Moment, Stamp, World};
use neap_catalog::Catalog;
use neap_manifest::{ManifestStore, Snapshot, SnapshotOptions, SnapshotReader};
use neap_row_delete::{RowDelete, RowDeleter};
use neap_schema::DatabaseId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::{
    CacheStats, Parameters, QueryError, QuerySettings,
    caches::Bases,
    delete,
    scan::{self, Behind, Data, DataCacheLimits, Shared, TailImages},
    session::{Scope, Sessions, Times},
    statement::{self, Planned},
};

/// The age up to which the name of a database is taken from memory.
const NAME_AGE: Duration = Duration::from_secs(5);

/// The longest that a query waits for others to end.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How often a query takes a newer snapshot because what is kept of a tail has overtaken the one that it had.
const MAX_OVERTAKEN: usize = 3;

/// The age of the newer snapshot, which is at hand.
const OVERTAKING_AGE: Duration = Duration::from_secs(1);

/// A query as a client sends it.
#[derive(Clone, Debug, Default)]
pub struct QueryRequest {
    /// The name of the database.
    pub database: String,
    /// One SQL statement.
    pub sql: String,
    /// Values for its placeholders.
    pub parameters: Parameters,
    /// The age that the snapshot may have; the server's default if absent.
    pub max_staleness: Option<Duration>,
    /// A stamp that the answer must not be older than.
    pub after: Option<Stamp>,
    /// The stamp as of which to answer: without the writes after it; the present if absent.
    pub as_of: Option<Stamp>,
    /// Whether the statement may delete rows.
    pub may_delete: bool,
    /// Whether to read tables even where a cache has the rows at hand (`x-neap-cache: off`).
    pub without_caches: bool,
}

/// Rows as they come.
pub type Batches = Pin<Box<dyn Stream<Item = Result<RecordBatch, QueryError>> + Send>>;

/// The rows of an answer, as they come.
pub struct Rows {
    /// Their columns.
    pub schema: SchemaRef,
    /// The rows. An error ends them.
    pub batches: Batches,
    /// The stamp up to which writes are in the answer; none if it is no answer of a snapshot.
    pub as_of: Option<Stamp>,
    /// The stamp of the delete, if the statement was one: what comes after it does not see the rows.
    pub deleted_at: Option<Stamp>,
}

impl Rows {
    /// Rows that are there already.
    pub(crate) fn at_hand(rows: RecordBatch) -> Self {
        Self {
            schema: rows.schema(),
            batches: Box::pin(stream::iter([Ok(rows)])),
            as_of: None,
            deleted_at: None,
        }
    }
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows")
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

/// Answers queries over the databases of a bucket.
#[derive(Debug)]
pub struct QueryEngine {
    catalog: Arc<Catalog>,
    snapshots: Arc<SnapshotReader>,
    sessions: Arc<Sessions>,
    settings: QuerySettings,
    running: Arc<Semaphore>,
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
        let shared = Shared {
            manifests,
            data: Data::new(bucket.clone(), limits),
            tails: TailImages::new(settings.tail_bytes),
            bases: Bases::new(bucket.clone(), settings.cache_bytes, settings.timeout),
        };
        Ok(Self {
            catalog,
            snapshots,
            sessions: Arc::new(Sessions::new(&settings, Arc::new(shared))?),
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

    /// The databases of the bucket.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Answers one query. The answer may begin before all of it is known.
    pub async fn query(&self, request: QueryRequest) -> Result<Rows, QueryError> {
        let begun = self.world().moment();
        let timeout = self.settings.timeout;
        let answer = self
            .world()
            .timeout(timeout, self.begin(request, begun))
            .await;
        let (rows, permit) = answer.ok_or(QueryError::Timeout(timeout))??;
        Ok(Rows {
            batches: self.bounded(rows.batches, begun, permit),
            ..rows
        })
    }

    async fn begin(
        &self,
        request: QueryRequest,
        begun: Moment,
    ) -> Result<(Rows, OwnedSemaphorePermit), QueryError> {
        let permit = Arc::clone(&self.running).acquire_owned();
        let permit = self.world().timeout(LONGEST_WAIT, permit).await;
        let permit = permit.and_then(Result::ok).ok_or(QueryError::Busy)?;
        let database = self
            .catalog
            .database_by_name(&request.database, NAME_AGE)
            .await?
            .ok_or_else(|| QueryError::DatabaseNotFound(request.database.clone()))?;
        let mut options = SnapshotOptions {
            max_staleness: request.max_staleness.unwrap_or(self.settings.max_staleness),
            at_least: request.after,
            as_of: request.as_of,
        };
        for _ in 0..MAX_OVERTAKEN {
            let scope = self.scope(database, options, &request, Behind::Fail);
            match self.answer(&scope.await?, &request, begun).await {
                Err(error) if scan::is_overtaken(&error) => {
                    options.max_staleness = options.max_staleness.max(OVERTAKING_AGE);
                }
                answer => return Ok((answer?, permit)),
            }
        }
        let scope = self.scope(database, options, &request, Behind::FoldAnew);
        let answer = self.answer(&scope.await?, &request, begun).await?;
        Ok((answer, permit))
    }

    /// A snapshot for a request, and the times that it counts with.
    pub(crate) async fn scope(
        &self,
        database: DatabaseId,
        options: SnapshotOptions,
        request: &QueryRequest,
        behind: Behind,
    ) -> Result<Arc<Scope>, QueryError> {
        let snapshot = self.snapshots.read(database, options).await?;
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
        }))
    }

    /// Answers a request from a snapshot.
    async fn answer(
        &self,
        scope: &Arc<Scope>,
        request: &QueryRequest,
        begun: Moment,
    ) -> Result<Rows, QueryError> {
        let snapshot = &scope.snapshot;
        let planned = statement::plan(scope, &request.sql, request.parameters.clone()).await;
        match planned.map_err(QueryError::Planning)? {
            Planned::Query(state, plan) => Ok(Rows {
                as_of: Some(last_stamp(snapshot)),
                ..execute(&state, &plan).await?
            }),
            Planned::Delete(..) if !request.may_delete => Err(QueryError::ReadOnly),
            Planned::Delete(..) if request.as_of.is_some() => Err(QueryError::PastIsFixed),
            Planned::Delete(state, statement) => {
                let delete = delete::row_delete(&state, snapshot, &statement);
                let delete = delete.map_err(QueryError::Planning)?;
                self.delete(snapshot.database, delete, begun, request.after)
                    .await
            }
        }
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

    /// Has rows deleted; the answer is the one stamp of the delete. How many rows go is not known: nobody
    /// has looked.
    async fn delete(
        &self,
        database: DatabaseId,
        delete: RowDelete,
        arrived: Moment,
        after: Option<Stamp>,
    ) -> Result<Rows, QueryError> {
        let deleter = self.deleter.as_ref().ok_or(QueryError::NoWrites)?;
        let stamp = deleter
            .delete_rows(database, vec![delete], arrived, after)
            .await?;
        let schema = Schema::new(vec![Field::new("stamp", DataType::UInt64, false)]);
        let column = Arc::new(UInt64Array::from_value(stamp.as_u64(), 1));
        let rows = RecordBatch::try_new(Arc::new(schema), vec![column]);
        let rows = rows.map_err(|error| QueryError::Execution(error.into()))?;
        Ok(Rows {
            deleted_at: Some(stamp),
            ..Rows::at_hand(rows)
        })
    }

    /// The same rows, with an error when the query's time is over. The query then ends and gives its place
    /// back, even if nobody reads on.
    fn bounded(
        &self,
        mut batches: Batches,
        begun: Moment,
        permit: OwnedSemaphorePermit,
    ) -> Batches {
        let (world, timeout) = (self.world().clone(), self.settings.timeout);
        // `None` is the end of the rows: a channel that closes without it was given up.
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            let _permit = permit;
            let left = timeout.saturating_sub(world.elapsed(&begun));
            let pump = async {
                while let Some(batch) = batches.next().await {
                    let is_last = batch.is_err();
                    if sender.send(Some(batch)).await.is_err() || is_last {
                        return;
                    }
                }
                // Whoever does not listen any more need not be told.
                sender.send(None).await.ok();
            };
            world.timeout(left, pump).await;
        });
        let rows = stream::unfold(Some(receiver), move |open| async move {
            let mut receiver = open?;
            match receiver.recv().await {
                Some(Some(Ok(batch))) => Some((Ok(batch), Some(receiver))),
                Some(Some(Err(error))) => Some((Err(error), None)),
                Some(None) => None,
                None => Some((Err(QueryError::Timeout(timeout)), None)),
            }
        });
        Box::pin(rows)
    }
}

/// The stamp up to which writes are in a snapshot.
fn last_stamp(snapshot: &Snapshot) -> Stamp {
    let tail = snapshot.tail_names().map(|name| name.stamp);
    tail.fold(snapshot.mark(), Stamp::max)
}

async fn execute(state: &SessionState, plan: &LogicalPlan) -> Result<Rows, QueryError> {
    let plan = state.create_physical_plan(plan).await;
    let batches = execute_stream(plan.map_err(QueryError::Planning)?, state.task_ctx())?;
    Ok(Rows {
        schema: batches.schema(),
        batches: Box::pin(batches.map(|batch| batch.map_err(QueryError::Execution))),
        as_of: None,
        deleted_at: None,
    })
}
