//! The run of one query, from its start to its answer.

use std::{sync::Arc, time::Duration};

use arrow::{array::RecordBatch, datatypes::Schema};
use neap_bucket::{Stamp, TRACE_TARGET};
use neap_catalog::INTERNAL_DATABASE_ID;
use neap_manifest::Snapshot;
use neap_operators::Cancellation;
use neap_row_delete::RowDelete;
use neap_scan::{StaleTail, is_stale_snapshot};
use neap_schema::DatabaseId;
use neap_tables::QueryContext;
use tracing::{Instrument, trace_span};

use super::QueryEngine;
use crate::{
    QueryError, QueryRequest, Rows,
    answer_cache::{AnswerReuse, KeptAnswer},
    copy::StartedCopy,
    delete::deleted,
    query_log::QueryTracker,
    query_task::{PendingQuery, QueryTask, RowReceiver, StartedQuery},
    request::{Planner, QueryDatabases},
    sql_planner::CachedSqlPlanner,
    views::ViewReader,
};

/// The maximum number of times that a query takes a newer snapshot because a cached tail image is newer than its
/// snapshot.
const MAX_SNAPSHOT_RETRIES: usize = 3;

/// The maximum age of that newer snapshot. A cached one satisfies it.
const RETRY_SNAPSHOT_AGE: Duration = Duration::from_secs(1);

/// The answer to a request.
enum QueryAnswer {
    Rows(RowReceiver),
    /// A kept answer, and the stamp up to which it includes writes.
    Kept(Arc<KeptAnswer>, Stamp),
    /// Rows that become a file.
    Copied(RowReceiver, Box<StartedCopy>),
    Deleted(Stamp),
}

impl QueryEngine {
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
        left.map_or(self.settings.timeout, |left| left.min(self.settings.timeout))
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
            Ok(StartedQuery::Rows { schema, workers, times }) => (schema, workers, times, None),
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

/// Returns the stamp up to which a snapshot includes writes.
fn last_stamp(snapshot: &Snapshot) -> Stamp {
    let tail = snapshot.tail_names().map(|name| name.stamp);
    tail.fold(snapshot.mark(), Stamp::max)
}
