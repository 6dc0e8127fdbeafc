//! The task of a query on the query threads: plans, executes and sends rows.
//!
//! ```text
//!   QueryTask --oneshot--> StartedQuery: the columns, the requested delete, or the file for the rows
//!      \---channel--> rows, rows, ...
//! ```

mod attempt;
mod placement;
mod row_channel;
mod row_receiver;

use std::{borrow::Cow, sync::Arc, time::Duration};

use datafusion::{
    execution::{
        SessionState, TaskContext,
        memory_pool::{MemoryConsumer, PeakRecordingPool},
        runtime_env::RuntimeEnv,
    },
    logical_expr::LogicalPlan,
    physical_plan::execute_stream,
};
use futures::{StreamExt, stream};
use neap_bucket::{ClockReading, TRACE_TARGET, World};
use neap_operators::{interruptible, with_cancellation};
use neap_row_delete::RowDelete;
use neap_scan::SeriesOrder;
use neap_tables::{QueryContext, ScannedTimes, create_optimized_plan, is_repeatable, optimize};
use tokio::sync::mpsc;
use tracing::{Instrument, trace_span};

use crate::{
    CopyError, QueryError, QueryRequest, TextPieces,
    answer_cache::AnswerKey,
    copy::StartedCopy,
    delete,
    distribution::{Distribution, DistributionCounters, EngineDistributor},
    executor::{Executor, QueryPermit, QueryTaskHandle},
    planning_memory::reserve_planning,
    query_log::QueryTracker,
    request::{Planner, QueryDatabases},
    statement::PlannedStatement,
    views::{ViewReader, answer_from_views, reads_source},
};
use attempt::{JoinAlgorithm, QueryAttempt};
pub(crate) use row_channel::StartedQuery;
use row_channel::{ExecutedRows, RowMessage, RowSender, SendOutcome, StartedReceiver, row_channel};
pub(crate) use row_receiver::RowReceiver;

/// A request while it is answered.
#[derive(Debug)]
pub(crate) struct PendingQuery {
    pub(crate) databases: QueryDatabases,
    pub(crate) request: QueryRequest,
    pub(crate) planner: Arc<dyn Planner>,
    pub(crate) started_at: ClockReading,
    /// When the timeout is reached, by the monotonic clock: a step of the wall clock must not end queries.
    pub(crate) deadline: Duration,
    /// The maximum number of rows in the answer.
    pub(crate) max_rows: Option<u64>,
    /// Identifies the answer in the answer cache; `None`: it is not kept.
    pub(crate) answer_key: Option<AnswerKey>,
}

impl PendingQuery {
    /// Returns the time until the timeout.
    pub(crate) fn remaining_time(&self, world: &World) -> Duration {
        self.deadline.saturating_sub(world.clock.monotonic())
    }
}

/// A query over a snapshot.
#[derive(Debug)]
pub(crate) struct QueryTask {
    pub(crate) context: QueryContext,
    pub(crate) pending: Arc<PendingQuery>,
    pub(crate) tracker: Arc<QueryTracker>,
    pub(crate) permit: Arc<QueryPermit>,
    pub(crate) distributor: Option<EngineDistributor>,
    pub(crate) views: ViewReader,
    pub(crate) world: World,
}

impl QueryTask {
    /// Spawns the task. The first receiver yields the outcome of planning, the second one the rows.
    pub(crate) fn spawn(
        self,
        executor: &Executor,
    ) -> (QueryTaskHandle, StartedReceiver, mpsc::Receiver<RowMessage>) {
        let (sender, started, receiver) = row_channel();
        let permit = Arc::clone(&self.permit);
        let work = Box::pin(self.run(sender));
        (executor.spawn(&permit, work), started, receiver)
    }

    /// Plans, executes and sends rows.
    async fn run(self, mut sender: RowSender) {
        let attempt = QueryAttempt::first();
        // Held until the end, because the operators of the plan have the literals of the statement.
        let pool = self.context.memory_pool();
        let language = self.pending.planner.language();
        let _planning = match reserve_planning(pool, language, &self.pending.request.text) {
            Ok(reservation) => reservation,
            Err(error) => return sender.send_outcome(Err(error)),
        };
        let first_step = self.begin(&attempt).instrument(trace_span!(target: TRACE_TARGET, "plan"));
        let (rows, started, max_rows) = match first_step.await {
            Ok(QueryExecution::Rows(rows)) => {
                let started = StartedQuery::Rows {
                    schema: Arc::clone(&rows.schema),
                    workers: rows.workers,
                    times: rows.times.clone(),
                };
                (rows, started, self.pending.max_rows)
            }
            // The answer has one row, whatever the number of rows in the file.
            Ok(QueryExecution::Copy(copy, rows)) => (rows, StartedQuery::Copy(copy), None),
            Ok(QueryExecution::Delete(delete)) => {
                return sender.send_outcome(Ok(StartedQuery::Delete(delete)));
            }
            Err(error) => return sender.send_outcome(Err(error)),
        };
        self.tracker.record_first_rows();
        sender.record_start(started);
        let last = self
            .send_until_timeout(rows, attempt, max_rows, &mut sender)
            .instrument(trace_span!(target: TRACE_TARGET, "execute"))
            .await;
        // Releases the permit, even if the last message is never received.
        drop(self);
        match last {
            Some(last) => {
                sender.send(last).await;
            }
            None => sender.send_start(),
        }
    }

    /// Plans an attempt, and begins to execute it.
    async fn begin(&self, attempt: &QueryAttempt) -> Result<QueryExecution, QueryError> {
        interruptible(self.context.cancellation.clone(), self.plan(attempt)).await
    }

    async fn plan(&self, attempt: &QueryAttempt) -> Result<QueryExecution, QueryError> {
        let request = &self.pending.request;
        let guarded = self.context.with_running_guard(&self.permit.guard());
        let of_statement = guarded.with_statement(&request.text);
        // Writes may have reached the cached tail since the first attempt.
        let context = &if attempt.is_first() {
            of_statement
        } else {
            of_statement.rebuilding_tails()
        };
        let planned = self.pending.planner.plan(context, request).await;
        self.tracker.record_planned();
        match planned.map_err(QueryError::from_planning)? {
            PlannedStatement::Query(state, plan) => {
                let may_be_kept = self.may_be_kept(context, &plan);
                let plan = self.with_views(context, &state, plan).await?;
                let rows = self.execute(state, QueryPlan::Logical(&plan), attempt).await?;
                Ok(QueryExecution::Rows(rows.kept_if(may_be_kept)))
            }
            PlannedStatement::Optimized(state, plan) => {
                let may_be_kept = self.may_be_kept(context, &plan);
                let plan = QueryPlan::Optimized(&plan);
                let rows = self.execute(state, plan, attempt).await?;
                Ok(QueryExecution::Rows(rows.kept_if(may_be_kept)))
            }
            PlannedStatement::Rows(rows) => Ok(QueryExecution::Rows(ExecutedRows {
                schema: rows.schema(),
                batch_size: usize::MAX,
                batches: Box::pin(stream::iter([Ok(rows)])),
                workers: 0,
                is_text: false,
                times: None,
            })),
            PlannedStatement::Text(pieces) => Ok(QueryExecution::Rows(ExecutedRows {
                schema: TextPieces::schema(),
                batch_size: usize::MAX,
                batches: Box::pin(pieces.into_batches()),
                workers: 0,
                is_text: true,
                times: None,
            })),
            PlannedStatement::Copy(..) if !request.may_copy => Err(CopyError::ReadOnly.into()),
            PlannedStatement::Copy(state, plan, target) => {
                let plan = self.with_views(context, &state, plan).await?;
                let memory = MemoryConsumer::new("COPY").register(&state.runtime_env().memory_pool);
                let rows = self.execute(state, QueryPlan::Logical(&plan), attempt).await?;
                let copy = StartedCopy { schema: Arc::clone(&rows.schema), target, memory };
                Ok(QueryExecution::Copy(copy, rows))
            }
            PlannedStatement::Delete(..) if !request.may_delete => Err(QueryError::ReadOnly),
            PlannedStatement::Delete(..) if request.as_of.is_some() => Err(QueryError::DeleteAsOf),
            PlannedStatement::Delete(state, statement) => {
                let delete = delete::row_delete(&state, &context.snapshot, &statement);
                Ok(QueryExecution::Delete(delete.map_err(QueryError::Planning)?))
            }
        }
    }

    /// Whether a planned statement, before it is optimized, has the same answer again over the same snapshot, apart from rows that
    /// expire meanwhile.
    fn may_be_kept(&self, context: &QueryContext, plan: &LogicalPlan) -> bool {
        let pending = self.pending.as_ref();
        pending.answer_key.is_some()
            && !pending.planner.depends_on_now()
            && is_repeatable(plan)
            && !reads_expiring_source(context, plan)
    }

    /// Returns a plan whose aggregates read materialized views, as far as the request allows it. Views of several databases
    /// are not read, because plans name their sources without a database.
    async fn with_views(
        &self,
        context: &QueryContext,
        state: &SessionState,
        plan: LogicalPlan,
    ) -> Result<LogicalPlan, QueryError> {
        if context.has_several_databases() {
            return Ok(plan);
        }
        let usage = self.pending.request.rollups;
        let plan = answer_from_views(&self.views, context, state, usage, plan).await;
        plan.map_err(QueryError::from_planning)
    }

    async fn execute(
        &self,
        mut state: SessionState,
        query: QueryPlan<'_>,
        attempt: &QueryAttempt,
    ) -> Result<ExecutedRows, QueryError> {
        if attempt.joins == JoinAlgorithm::SortMerge {
            let options = state.config_mut().options_mut();
            options.optimizer.prefer_hash_join = false;
        }
        if self.pending.request.in_series_order {
            state.config_mut().set_extension(Arc::new(SeriesOrder));
        }
        let (optimized, query) = match query {
            QueryPlan::Logical(plan) => {
                let optimized = optimize(&mut state, plan).map_err(QueryError::from_planning)?;
                (Cow::Owned(optimized), plan)
            }
            QueryPlan::Optimized(plan) => (Cow::Borrowed(plan), plan),
        };
        let planned = create_optimized_plan(&mut state, &optimized).await;
        let local = planned.map_err(QueryError::from_planning)?;
        let key = self.pending.answer_key.as_ref();
        let times = key.and_then(|_| ScannedTimes::from_plan(&optimized));
        // It is not needed while the rows are computed.
        drop(optimized);
        let stages = self
            .explain_stages(&state, query, attempt)
            .await
            .map_err(QueryError::from_planning)?;
        let distribution = self.distribute(&state, query, &local, attempt).await;
        let (plan, config, workers) = match distribution {
            Some(Distribution::Workers(plan)) => (plan.plan, plan.config, plan.workers),
            Some(Distribution::Local(_)) | None => {
                let plan = with_cancellation(local, &self.context.cancellation)?;
                (plan, state.config().clone(), Vec::new())
            }
        };
        let runtime = state.runtime_env();
        let pool = Arc::clone(&runtime.memory_pool);
        let memory = Arc::new(PeakRecordingPool::new(pool));
        let runtime = RuntimeEnv {
            memory_pool: Arc::clone(&memory) as _,
            ..RuntimeEnv::clone(runtime)
        };
        let batch_size = config.batch_size();
        let context = TaskContext::from(&state)
            .with_session_config(config.with_extension(self.permit.guard()))
            .with_runtime(Arc::new(runtime));
        let number = workers.len();
        self.tracker.record_execution(Arc::clone(&plan), memory, workers);
        let batches = execute_stream(plan, Arc::new(context))?;
        let schema = batches.schema();
        let batches = batches
            .map(|batch| batch.map_err(QueryError::Execution))
            .chain(stream::iter(stages.map(Ok)));
        Ok(ExecutedRows {
            schema,
            batches: Box::pin(batches),
            batch_size,
            workers: number,
            is_text: false,
            times,
        })
    }

    /// Updates the counters of distributed queries.
    fn count(&self, update: impl FnOnce(&DistributionCounters)) {
        if let Some(distributor) = &self.distributor {
            update(&distributor.counters);
        }
    }

    /// Returns the time until the timeout of the query.
    fn remaining_time(&self) -> Duration {
        self.pending.remaining_time(&self.world)
    }

    /// Sends rows until the timeout. Returns the final message, or `None` if there is none.
    async fn send_until_timeout(
        &self,
        rows: ExecutedRows,
        attempt: QueryAttempt,
        max_rows: Option<u64>,
        sender: &mut RowSender,
    ) -> Option<RowMessage> {
        let sent = async {
            tokio::select! {
                outcome = self.send_with_retry(rows, attempt, max_rows, sender) => outcome,
                error = self.tracker.killed() => SendOutcome::Failed { error, rows: 0 },
            }
        };
        let sent = self.world.timeout(self.remaining_time(), sent).await;
        // Cancels remaining work of the query, because its rows are no longer needed.
        self.permit.cancel();
        // Updates the tracker before the final message, so that its receiver sees a finished query.
        match sent {
            Some(SendOutcome::Complete(rows)) => {
                self.tracker.record_success();
                Some(rows.map_or(RowMessage::End, RowMessage::LastRows))
            }
            Some(SendOutcome::ReceiverDropped) => None,
            Some(SendOutcome::Failed { error, .. }) => {
                self.tracker.record_failure();
                Some(RowMessage::Failed(error))
            }
            // A channel that closes without a final message signals a timeout.
            None => {
                self.tracker.record_failure();
                None
            }
        }
    }
}

impl QueryTask {
    /// Sends rows. If no row was sent yet, plans the query again after the failure of a worker, without that worker,
    /// and after a lack of memory, with sort-merge joins.
    async fn send_with_retry(
        &self,
        mut rows: ExecutedRows,
        mut attempt: QueryAttempt,
        max_rows: Option<u64>,
        sender: &mut RowSender,
    ) -> SendOutcome {
        if rows.workers > 0 {
            self.count(DistributionCounters::count_query);
        }
        loop {
            let is_distributed = rows.workers > 0;
            let outcome = sender.send_rows(rows, max_rows, &self.tracker).await;
            let SendOutcome::Failed { error, rows: sent } = outcome else {
                return outcome;
            };
            let next = if is_distributed {
                self.after_failure(&attempt, &error)
            } else {
                None
            };
            let error = if next.is_some() {
                error.into_worker_failure()
            } else {
                error
            };
            let is_first = attempt.joins == JoinAlgorithm::Hash;
            let next = next.or_else(|| {
                let sorts = error.is_out_of_memory() && is_first;
                sorts.then(QueryAttempt::with_sort_merge_joins)
            });
            let Some(next) = next.filter(|_| sent == 0) else {
                return SendOutcome::Failed { error, rows: sent };
            };
            if is_distributed {
                self.count(DistributionCounters::count_retry);
            }
            attempt = next;
            sender.send_start();
            rows = match self.begin(&attempt).await {
                Ok(QueryExecution::Rows(rows) | QueryExecution::Copy(_, rows)) => rows,
                Ok(QueryExecution::Delete(_)) | Err(_) => {
                    return SendOutcome::Failed { error, rows: 0 };
                }
            };
        }
    }
}

/// Whether a plan may read a table that has materialized views in a database where rows expire. A view answers for rows of its
/// source without showing when these expire.
fn reads_expiring_source(context: &QueryContext, plan: &LogicalPlan) -> bool {
    let catalog = &context.snapshot.catalog.value;
    catalog.has_retention() && reads_source(catalog, plan).unwrap_or(true)
}

#[derive(Clone, Copy)]
enum QueryPlan<'a> {
    Logical(&'a LogicalPlan),
    Optimized(&'a LogicalPlan),
}

/// A query that was planned and has started to execute.
enum QueryExecution {
    Rows(ExecutedRows),
    Copy(StartedCopy, ExecutedRows),
    Delete(RowDelete),
}
