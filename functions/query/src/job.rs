//! What is done for a query by the threads of queries: planning, executing, and handing its rows over.
//!
//! ```text
//!   Work --oneshot--> Begun: its columns, or the delete that it asks for
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
use tokio::sync::{mpsc, oneshot};

use crate::{
    Batches, QueryError, QueryRequest, delete,
    executor::{Executor, Job, Place},
    interrupt::interruptible,
    log::Course,
    request::Planner,
    session::Scope,
    statement::Planned,
};

/// A request while it is answered.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) database: DatabaseId,
    pub(crate) request: QueryRequest,
    pub(crate) planner: Arc<dyn Planner>,
    pub(crate) begun: Moment,
    /// The time that it may take.
    pub(crate) timeout: Duration,
    /// The most rows of its answer.
    pub(crate) max_rows: Option<u64>,
}

/// What a query comes to when it is planned.
#[derive(Debug)]
pub(crate) enum Begun {
    /// Rows of these columns are on their way.
    Rows(SchemaRef),
    /// Rows are to be deleted, which is not done here: others wait for the order of writes, too.
    Delete(RowDelete),
}

/// What is handed over: `None` is the end of the rows.
pub(crate) type Handed = Option<Result<RecordBatch, QueryError>>;

/// A query over a snapshot.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) scope: Arc<Scope>,
    pub(crate) asked: Arc<Asked>,
    pub(crate) course: Arc<Course>,
    pub(crate) place: Arc<Place>,
}

impl Work {
    /// Begins with it. Rows come once it is known what there will be.
    pub(crate) fn spawn(
        self,
        executor: &Executor,
        world: World,
    ) -> (
        Job,
        oneshot::Receiver<Result<Begun, QueryError>>,
        mpsc::Receiver<Handed>,
    ) {
        let (begun, beginning) = oneshot::channel();
        let (sender, receiver) = mpsc::channel(1);
        let place = Arc::clone(&self.place);
        let work = async move {
            let rows = match self.begin(Joins::Usual).await {
                Ok(Started::Rows(schema, rows)) => {
                    self.course.gives_rows();
                    begun.send(Ok(Begun::Rows(schema))).ok();
                    rows
                }
                Ok(Started::Delete(delete)) => {
                    begun.send(Ok(Begun::Delete(delete))).ok();
                    return;
                }
                Err(error) => {
                    begun.send(Err(error)).ok();
                    return;
                }
            };
            let last = self.give(rows, &sender, &world).await;
            // Its place is free now, even if nobody takes the last word.
            drop(self);
            if let Some(last) = last {
                // Whoever does not listen any more need not be told.
                sender.send(last).await.ok();
            }
        };
        (executor.spawn(&place, work), beginning, receiver)
    }

    async fn begin(&self, joins: Joins) -> Result<Started, QueryError> {
        let (scope, request) = (&self.scope, &self.asked.request);
        let planned = self.asked.planner.plan(scope, request).await;
        self.course.is_planned();
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
                let delete = delete::row_delete(&state, &scope.snapshot, &statement);
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
        let plan = interruptible(plan, &self.scope.interrupt)?;
        let runtime = state.runtime_env();
        let pool = Arc::clone(&runtime.memory_pool);
        let memory = Arc::new(PeakRecordingPool::new(pool));
        let runtime = RuntimeEnv {
            memory_pool: Arc::clone(&memory) as _,
            ..RuntimeEnv::clone(runtime)
        };
        let config = state
            .config()
            .clone()
            .with_extension(Arc::clone(&self.place));
        let context = TaskContext::from(state)
            .with_session_config(config)
            .with_runtime(Arc::new(runtime));
        self.course.executes(Arc::clone(&plan), memory);
        let batches = execute_stream(plan, Arc::new(context))?;
        let schema = batches.schema();
        let batches = batches.map(|batch| batch.map_err(QueryError::Execution));
        Ok(Started::Rows(schema, Box::pin(batches)))
    }

    /// Hands rows over for as long as the query may take; the last word, unless there is none.
    async fn give(
        &self,
        rows: Batches,
        sender: &mpsc::Sender<Handed>,
        world: &World,
    ) -> Option<Handed> {
        let asked = &self.asked;
        let left = asked.timeout.saturating_sub(world.elapsed(&asked.begun));
        let given = world.timeout(left, self.give_all(rows, sender)).await;
        // Whatever ended it, what still computes for it does so for nobody.
        self.place.give_up();
        // Before the last word, so that whoever has it finds the query ended.
        match given {
            Some(Given::All) => {
                self.course.succeeds();
                Some(None)
            }
            Some(Given::NotAll) => None,
            Some(Given::Failed { error, .. }) => {
                self.course.fails();
                Some(Some(Err(error)))
            }
            // A channel that closes without a last word was given up.
            None => {
                self.course.fails();
                None
            }
        }
    }
}

impl Work {
    /// Hands rows over. A join that did not fit into its memory, before any row was handed over, is planned once more.
    async fn give_all(&self, rows: Batches, sender: &mpsc::Sender<Handed>) -> Given {
        let most = self.asked.max_rows;
        match give(rows, most, sender, &self.course).await {
            Given::Failed { error, rows: 0 } if is_out_of_memory(&error) => {
                match self.begin(Joins::Spilling).await {
                    Ok(Started::Rows(_, rows)) => give(rows, most, sender, &self.course).await,
                    Ok(Started::Delete(_)) | Err(_) => Given::Failed { error, rows: 0 },
                }
            }
            given => given,
        }
    }
}

/// How equal values are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Joins {
    /// As DataFusion prefers: by a hash table of one side, which has to fit into memory.
    Usual,
    /// By sorting both sides, which spills.
    Spilling,
}

/// Whether a query needed more memory than there was for it.
fn is_out_of_memory(error: &QueryError) -> bool {
    match error {
        QueryError::Execution(error) => {
            matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
        }
        _ => false,
    }
}

/// A query that is planned and has begun to execute.
enum Started {
    Rows(SchemaRef, Batches),
    Delete(RowDelete),
}

/// What became of the rows of a query.
enum Given {
    All,
    /// Nobody waits for them.
    NotAll,
    /// After so many rows.
    Failed {
        error: QueryError,
        rows: usize,
    },
}

async fn give(
    mut batches: impl Stream<Item = Result<RecordBatch, QueryError>> + Unpin,
    max_rows: Option<u64>,
    sender: &mpsc::Sender<Handed>,
    course: &Course,
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
        course.totals().gave(given);
    }
}
