//! The library's channel to a worker that is an invocation.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::{
    common::{
        internal_datafusion_err,
        runtime::SpawnedTask,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    error::{DataFusionError, Result},
    execution::{TaskContext, memory_pool::MemoryConsumer},
    physical_plan::{
        ExecutionPlan,
        metrics::{ExecutionPlanMetricsSet, MetricsSet},
    },
};
use datafusion_distributed::{
    ChannelResolver, CoordinatorToWorkerMsg, ExecuteTaskRequest, GetWorkerInfoRequest,
    GetWorkerInfoResponse, MaybeEncoded, ProducerHead, SetPlanRequest, TaskKey, TaskMetrics,
    WorkerChannel, WorkerToCoordinatorMsg,
};
use futures::{StreamExt, stream, stream::BoxStream};
use http::{HeaderMap, HeaderValue};
use neap_bucket::{Bucket, World};
use neap_scan::IoRuntime;
use tokio::sync::{Notify, oneshot};
use url::Url;

use super::{
    InvocationCounts, InvocationSettings, TaskInvoker, TaskRequest, TaskRequestError,
    attempts::TaskSender,
    request::{EncodedExecution, EncodedHead, EncodedPlan},
    rows::{AnswerStore, partition_streams},
};
use crate::{ticket::Ticket, ticket_check::TicketIssuer};

/// Maximum time that the execution of a task waits for its plan. The library sends both at the same time.
const PLAN_WAIT: Duration = Duration::from_secs(10);

/// The channels to workers that are invocations. Clones share the limit of concurrent invocations.
///
/// The configuration of a query must have an [`InvocationQuery`] as an extension.
#[derive(Clone, Debug)]
pub struct InvocationChannels {
    sender: TaskSender,
    answers: AnswerStore,
    version: Arc<str>,
}

impl InvocationChannels {
    /// Invokes workers of the same `version` through `invoker`, and reads large answers from `bucket`. All requests run
    /// on `io`.
    pub fn new(
        invoker: Arc<dyn TaskInvoker>,
        bucket: Bucket,
        io: IoRuntime,
        version: &str,
        settings: InvocationSettings,
    ) -> Self {
        Self {
            sender: TaskSender::new(invoker, io.clone(), settings, bucket.world().clone()),
            answers: AnswerStore { bucket, io },
            version: version.into(),
        }
    }

    /// Counts of invocations since the process started.
    pub fn counts(&self) -> InvocationCounts {
        self.sender.counts()
    }

    fn world(&self) -> &World {
        self.sender.world()
    }
}

#[async_trait]
impl ChannelResolver for InvocationChannels {
    async fn get_worker_client_for_url(&self, _: &Url) -> Result<Box<dyn WorkerChannel>> {
        Ok(Box::new(self.clone()))
    }
}

/// The state of a query whose workers are invocations: an extension of the configuration that executes it.
#[derive(Debug)]
pub struct InvocationQuery {
    /// The end of the query, by the monotonic clock.
    ends: Duration,
    /// Signs the tickets of repeated tasks, because a worker accepts each ticket once.
    tickets: Option<(TicketIssuer, Ticket)>,
    /// Plans whose execution was not requested yet.
    plans: Mutex<HashMap<TaskKey, PendingTask>>,
    arrived: Notify,
}

/// A task whose execution was not requested yet.
#[derive(Debug)]
struct PendingTask {
    plan: EncodedPlan,
    metrics: oneshot::Sender<TaskMetrics>,
}

impl InvocationQuery {
    /// A query that ends at `ends` by the monotonic clock. A task that is repeated gets a ticket like this one.
    pub fn new(ends: Duration, tickets: Option<(TicketIssuer, Ticket)>) -> Self {
        Self {
            ends,
            tickets,
            plans: Mutex::default(),
            arrived: Notify::new(),
        }
    }

    fn from_context(context: &TaskContext) -> Result<Arc<Self>> {
        let query = context.session_config().get_extension();
        query.ok_or_else(|| internal_datafusion_err!("the query has no state for invocations"))
    }

    fn plans(&self) -> MutexGuard<'_, HashMap<TaskKey, PendingTask>> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the plan of a task.
    async fn plan(&self, key: TaskKey, world: &World) -> Result<PendingTask> {
        let arrival = async {
            loop {
                let arrived = self.arrived.notified();
                tokio::pin!(arrived);
                arrived.as_mut().enable();
                if let Some(pending) = self.plans().remove(&key) {
                    return pending;
                }
                arrived.await;
            }
        };
        let pending = world.timeout(PLAN_WAIT, arrival).await;
        pending.ok_or_else(|| {
            internal_datafusion_err!("the plan of task {} did not arrive", key.task_number)
        })
    }

    /// Returns the ticket of a repeated task.
    fn ticket(&self, key: &TaskKey, attempt: u32) -> Result<Option<HeaderValue>, TaskRequestError> {
        let Some((issuer, ticket)) = self.tickets.as_ref().filter(|_| attempt > 1) else {
            return Ok(None);
        };
        let (query, stage, task) = (key.query_id, key.stage_id, key.task_number);
        let ticket = issuer.sign_task(ticket, format!("{query}/{stage}/{task}/{attempt}"));
        ticket.map(Some).map_err(|_| TaskRequestError::Invalid("ticket"))
    }
}

#[async_trait]
impl WorkerChannel for InvocationChannels {
    async fn coordinator_channel(
        &mut self,
        headers: HeaderMap,
        set_plan_request: SetPlanRequest,
        c2w_stream: BoxStream<'static, CoordinatorToWorkerMsg>,
        _: ExecutionPlanMetricsSet,
        context: &Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<WorkerToCoordinatorMsg>>> {
        if !set_plan_request.work_unit_feed_declarations.is_empty() {
            return Err(external(TaskRequestError::WorkUnitFeeds));
        }
        let without_metrics = empty_metrics(&set_plan_request.plan)?;
        let plan = EncodedPlan {
            headers,
            tasks: set_plan_request.task_count,
            started_ns: set_plan_request.query_start_time_ns,
            plan: set_plan_request.plan.encode(context)?,
        };
        let (metrics, received) = oneshot::channel();
        let pending = PendingTask { plan, metrics };
        let query = InvocationQuery::from_context(context)?;
        query.plans().insert(set_plan_request.task_key, pending);
        query.arrived.notify_waiters();
        let message = async move {
            let mut received = received;
            let query_end = c2w_stream.for_each(|_| std::future::ready(()));
            let metrics = tokio::select! {
                biased;
                metrics = &mut received => metrics.ok(),
                () = query_end => received.try_recv().ok(),
            };
            // The library waits for metrics of every task, even of one whose rows were not needed.
            let metrics = metrics.unwrap_or(without_metrics);
            Ok(WorkerToCoordinatorMsg::TaskMetrics(metrics))
        };
        Ok(stream::once(message).boxed())
    }

    async fn execute_task(
        &mut self,
        _: HeaderMap,
        request: ExecuteTaskRequest,
        _: ExecutionPlanMetricsSet,
        context: &Arc<TaskContext>,
    ) -> Result<Vec<BoxStream<'static, Result<RecordBatch>>>> {
        let query = InvocationQuery::from_context(context)?;
        let execution = encode_execution(request, context)?;
        let partitions = execution.partitions.clone();
        let pending = query.plan(execution.key, self.world()).await?;
        let (sender, version) = (self.sender.clone(), Arc::clone(&self.version));
        let plan = pending.plan;
        // The task is aborted when the last stream is dropped.
        let invocation = SpawnedTask::spawn(async move {
            let request = |attempt, limit_ms| {
                let ticket = query.ticket(&execution.key, attempt)?;
                TaskRequest::new(&version, &plan, &execution, ticket, limit_ms)
            };
            sender.execute(query.ends, request).await
        });
        let memory = MemoryConsumer::new("TaskRows").register(context.memory_pool());
        Ok(partition_streams(
            invocation,
            self.answers.clone(),
            &partitions,
            Some(pending.metrics),
            memory,
        ))
    }

    async fn get_worker_info(&mut self, _: GetWorkerInfoRequest) -> Result<GetWorkerInfoResponse> {
        // Each task names the version, and a worker of another version refuses it.
        Ok(GetWorkerInfoResponse { version: self.version.to_string() })
    }
}

fn external(error: TaskRequestError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Returns empty metrics for each operator of a plan.
fn empty_metrics(plan: &MaybeEncoded<Arc<dyn ExecutionPlan>>) -> Result<TaskMetrics> {
    let mut operators = Vec::new();
    if let MaybeEncoded::Decoded(plan) = plan {
        plan.apply(|_| {
            operators.push(MetricsSet::new());
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    Ok(TaskMetrics {
        pre_order_plan_metrics: operators,
        task_metrics: MetricsSet::new(),
    })
}

fn encode_execution(
    request: ExecuteTaskRequest,
    context: &Arc<TaskContext>,
) -> Result<EncodedExecution> {
    Ok(EncodedExecution {
        key: request.task_key,
        partitions: request.target_partition_start..request.target_partition_end,
        head: match request.producer_head {
            ProducerHead::None => EncodedHead::None,
            ProducerHead::BroadcastExec { output_partitions } => {
                EncodedHead::Broadcast { partitions: output_partitions }
            }
            ProducerHead::RepartitionExec { partitioning } => {
                EncodedHead::Repartition { partitioning: partitioning.encode(context)? }
            }
        },
    })
}
