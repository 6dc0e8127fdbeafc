//! The task of a query on the query threads: plans, executes and sends rows.
//!
//! ```text
//!   QueryTask --oneshot--> StartedQuery: the columns, or the requested delete
//!      \---channel--> batch, batch, ..., None
//! ```

use std::{sync::Arc, time::Duration};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    error::DataFusionError,
    execution::{
        SessionState, TaskContext, memory_pool::PeakRecordingPool, runtime_env::RuntimeEnv,
    },
    logical_expr::LogicalPlan,
    physical_plan::execute_stream,
};
use futures::{Stream, StreamExt, stream};
use neap_bucket::{Moment, World};
use neap_row_delete::RowDelete;
use neap_schema::DatabaseId;
use neap_tables::{QueryContext, with_cancellation};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Batches, QueryError, QueryRequest, delete,
    executor::{Executor, Job, QueryPermit},
    log::QueryTracker,
    request::Planner,
    statement::Planned,
};

/// A request while it is answered.
#[derive(Debug)]
pub(crate) struct PendingQuery {
    pub(crate) database: DatabaseId,
    pub(crate) request: QueryRequest,
    pub(crate) planner: Arc<dyn Planner>,
    pub(crate) begun: Moment,
    /// The maximum duration, from its start to the end of its answer.
    pub(crate) timeout: Duration,
    /// The maximum number of rows in the answer.
    pub(crate) max_rows: Option<u64>,
}

/// The outcome of planning a query.
#[derive(Debug)]
pub(crate) enum StartedQuery {
    /// Rows with these columns follow.
    Rows(SchemaRef),
    /// The statement deletes rows. The caller executes the delete, because it waits for the commit order of writes, as
    /// writes do.
    Delete(RowDelete),
}

/// A message of the row channel; `None` ends the rows.
pub(crate) type Handed = Option<Result<RecordBatch, QueryError>>;

/// A query over a snapshot.
#[derive(Debug)]
pub(crate) struct QueryTask {
    pub(crate) context: QueryContext,
    pub(crate) pending: Arc<PendingQuery>,
    pub(crate) tracker: Arc<QueryTracker>,
    pub(crate) permit: Arc<QueryPermit>,
}

impl QueryTask {
    /// Spawns the task. The first receiver yields the outcome of planning, the second one the rows.
    pub(crate) fn spawn(
        self,
        executor: &Executor,
        world: World,
    ) -> (
        Job,
        oneshot::Receiver<Result<StartedQuery, QueryError>>,
        mpsc::Receiver<Handed>,
    ) {
        let (begun, beginning) = oneshot::channel();
        let (sender, receiver) = mpsc::channel(1);
        let permit = Arc::clone(&self.permit);
        let work = async move {
            let rows = match self.begin(Joins::Usual).await {
                Ok(Started::Rows(schema, rows)) => {
                    self.tracker.gives_rows();
                    begun.send(Ok(StartedQuery::Rows(schema))).ok();
                    rows
                }
                Ok(Started::Delete(delete)) => {
                    begun.send(Ok(StartedQuery::Delete(delete))).ok();
                    return;
                }
                Err(error) => {
                    begun.send(Err(error)).ok();
                    return;
                }
            };
            let last = self.give(rows, &sender, &world).await;
            // Releases the permit, even if the last message is never received.
            drop(self);
            if let Some(last) = last {
                // An error means that the receiver is gone, which needs no action.
                sender.send(last).await.ok();
            }
        };
        (executor.spawn(&permit, work), beginning, receiver)
    }

    async fn begin(&self, joins: Joins) -> Result<Started, QueryError> {
        let (context, request) = (&self.context, &self.pending.request);
        let planned = self.pending.planner.plan(context, request).await;
        self.tracker.is_planned();
        match planned.map_err(QueryError::Planning)? {
            Planned::Query(mut state, plan) => {
                if joins == Joins::Spilling {
                    let options = state.config_mut().options_mut();
                    options.optimizer.prefer_hash_join = false;
                }
                self.execute(&state, &plan).await
            }
            Planned::Rows(rows) => {
                let schema = rows.schema();
                Ok(Started::Rows(schema, Box::pin(stream::iter([Ok(rows)]))))
            }
            Planned::Delete(..) if !request.may_delete => Err(QueryError::ReadOnly),
            Planned::Delete(..) if request.as_of.is_some() => Err(QueryError::PastIsFixed),
            Planned::Delete(state, statement) => {
                let delete = delete::row_delete(&state, &context.snapshot, &statement);
                Ok(Started::Delete(delete.map_err(QueryError::Planning)?))
            }
        }
    }

    async fn execute(
        &self,
        state: &SessionState,
        plan: &LogicalPlan,
    ) -> Result<Started, QueryError> {
        let plan = state.create_physical_plan(plan).await;
        let plan = plan.map_err(QueryError::Planning)?;
        let plan = with_cancellation(plan, &self.context.cancellation)?;
        let runtime = state.runtime_env();
        let pool = Arc::clone(&runtime.memory_pool);
        let memory = Arc::new(PeakRecordingPool::new(pool));
        let runtime = RuntimeEnv {
            memory_pool: Arc::clone(&memory) as _,
            ..RuntimeEnv::clone(runtime)
        };
        let config = state.config().clone().with_extension(self.permit.guard());
        let context = TaskContext::from(state)
            .with_session_config(config)
            .with_runtime(Arc::new(runtime));
        self.tracker.executes(Arc::clone(&plan), memory);
        let batches = execute_stream(plan, Arc::new(context))?;
        let schema = batches.schema();
        let batches = batches.map(|batch| batch.map_err(QueryError::Execution));
        Ok(Started::Rows(schema, Box::pin(batches)))
    }

    /// Sends rows until the timeout. Returns the final message, or `None` if there is none.
    async fn give(
        &self,
        rows: Batches,
        sender: &mpsc::Sender<Handed>,
        world: &World,
    ) -> Option<Handed> {
        let pending = &self.pending;
        let left = pending
            .timeout
            .saturating_sub(world.elapsed(&pending.begun));
        let given = world.timeout(left, self.give_all(rows, sender)).await;
        // Cancels remaining work of the query, because its rows are no longer needed.
        self.permit.give_up();
        // Updates the tracker before the final message, so that its receiver sees a finished query.
        match given {
            Some(Given::All) => {
                self.tracker.succeeds();
                Some(None)
            }
            Some(Given::NotAll) => None,
            Some(Given::Failed { error, .. }) => {
                self.tracker.fails();
                Some(Some(Err(error)))
            }
            // A channel that closes without a final message signals a timeout.
            None => {
                self.tracker.fails();
                None
            }
        }
    }
}

impl QueryTask {
    /// Sends rows. If a join runs out of memory before any row was sent, plans the query once more with sort-merge
    /// joins.
    async fn give_all(&self, rows: Batches, sender: &mpsc::Sender<Handed>) -> Given {
        let most = self.pending.max_rows;
        match give(rows, most, sender, &self.tracker).await {
            Given::Failed { error, rows: 0 } if is_out_of_memory(&error) => {
                match self.begin(Joins::Spilling).await {
                    Ok(Started::Rows(_, rows)) => give(rows, most, sender, &self.tracker).await,
                    Ok(Started::Delete(_)) | Err(_) => Given::Failed { error, rows: 0 },
                }
            }
            given => given,
        }
    }
}

/// The algorithm of equi-joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Joins {
    /// DataFusion's preference: a hash join, which needs one side in memory.
    Usual,
    /// A sort-merge join, which can spill.
    Spilling,
}

/// Whether a query ran out of memory.
fn is_out_of_memory(error: &QueryError) -> bool {
    match error {
        QueryError::Execution(error) => {
            matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
        }
        _ => false,
    }
}

/// A query that was planned and has started to execute.
enum Started {
    Rows(SchemaRef, Batches),
    Delete(RowDelete),
}

/// The outcome of sending rows.
enum Given {
    All,
    /// The receiver is gone.
    NotAll,
    /// The query failed after this number of rows.
    Failed {
        error: QueryError,
        rows: usize,
    },
}

async fn give(
    mut batches: impl Stream<Item = Result<RecordBatch, QueryError>> + Unpin,
    max_rows: Option<u64>,
    sender: &mpsc::Sender<Handed>,
    tracker: &QueryTracker,
) -> Given {
    let mut rows: usize = 0;
    loop {
        let next = tokio::select! {
            next = batches.next() => next,
            () = sender.closed() => return Given::NotAll,
        };
        let batch = match next {
            Some(Ok(batch)) => batch,
            Some(Err(error)) => return Given::Failed { error, rows },
            None => return Given::All,
        };
        rows += batch.num_rows();
        if let Some(limit) = max_rows.filter(|limit| rows as u64 > *limit) {
            let error = QueryError::TooManyRows { limit };
            return Given::Failed { error, rows };
        }
        let given = batch.num_rows();
        if sender.send(Some(Ok(batch))).await.is_err() {
            return Given::NotAll;
        }
        tracker.totals().gave(given);
    }
}
