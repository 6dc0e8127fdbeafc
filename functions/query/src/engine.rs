//! Answers queries: finds the database, takes a snapshot, plans, and streams the rows.

use std::{pin::Pin, sync::Arc, time::Duration};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::physical_plan::execute_stream;
use futures::{Stream, StreamExt, stream};
use neap_bucket::{Bucket, Moment, Stamp, World};
use neap_catalog::Catalog;
use neap_manifest::{ManifestStore, SnapshotOptions, SnapshotReader};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::{
    Parameters, QueryError, QuerySettings,
    scan::{Data, DataCacheLimits, Shared, TailImages},
    session::{self, Sessions},
};

/// The age up to which the name of a database is taken from memory.
const NAME_AGE: Duration = Duration::from_secs(5);

/// The longest that a query waits for others to end.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

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
}

/// Rows as they come.
pub type Batches = Pin<Box<dyn Stream<Item = Result<RecordBatch, QueryError>> + Send>>;

/// The rows of an answer, as they come.
pub struct Rows {
    /// Their columns.
    pub schema: SchemaRef,
    /// The rows. An error ends them.
    pub batches: Batches,
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
    shared: Arc<Shared>,
    sessions: Sessions,
    settings: QuerySettings,
    running: Arc<Semaphore>,
    world: World,
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
        let world = bucket.world().clone();
        let shared = Shared {
            manifests,
            data: Data::new(bucket, limits),
            tails: TailImages::new(settings.tail_bytes),
        };
        Ok(Self {
            catalog,
            snapshots,
            shared: Arc::new(shared),
            sessions: Sessions::new(&settings)?,
            running: Arc::new(Semaphore::new(settings.concurrent_queries)),
            settings,
            world,
        })
    }

    /// The limits of the engine.
    pub fn settings(&self) -> &QuerySettings {
        &self.settings
    }

    /// Time, waiting and chance.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The databases of the bucket.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Answers one query. The answer may begin before all of it is known.
    pub async fn query(&self, request: QueryRequest) -> Result<Rows, QueryError> {
        let begun = self.world.moment();
        let timeout = self.settings.timeout;
        let answer = self.world.timeout(timeout, self.begin(request)).await;
        let (rows, permit) = answer.ok_or(QueryError::Timeout(timeout))??;
        Ok(Rows {
            schema: rows.schema,
            batches: self.bounded(rows.batches, begun, permit),
        })
    }

    async fn begin(
        &self,
        request: QueryRequest,
    ) -> Result<(Rows, OwnedSemaphorePermit), QueryError> {
        let permit = Arc::clone(&self.running).acquire_owned();
        let permit = self.world.timeout(LONGEST_WAIT, permit).await;
        let permit = permit.and_then(Result::ok).ok_or(QueryError::Busy)?;
        let database = self
            .catalog
            .database_by_name(&request.database, NAME_AGE)
            .await?
            .ok_or_else(|| QueryError::DatabaseNotFound(request.database.clone()))?;
        let options = SnapshotOptions {
            max_staleness: request.max_staleness.unwrap_or(self.settings.max_staleness),
            at_least: request.after,
        };
        let snapshot = self.snapshots.read(database, options).await?;
        let now = self.world.clock.wall_micros();
        let state = self.sessions.over(&self.shared, &snapshot, now);
        let plan = session::plan(&state, &request.sql, request.parameters).await;
        let plan = plan.map_err(QueryError::Planning)?;
        let plan = state
            .create_physical_plan(&plan)
            .await
            .map_err(QueryError::Planning)?;
        let batches = execute_stream(plan, state.task_ctx())?;
        let schema = batches.schema();
        let batches = batches.map(|batch| batch.map_err(QueryError::Execution));
        Ok((
            Rows {
                schema,
                batches: Box::pin(batches),
            },
            permit,
        ))
    }

    /// The same rows, with an error when the query's time is over. The query then ends and gives its place
    /// back, even if nobody reads on.
    fn bounded(
        &self,
        mut batches: Batches,
        begun: Moment,
        permit: OwnedSemaphorePermit,
    ) -> Batches {
        let (world, timeout) = (self.world.clone(), self.settings.timeout);
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
