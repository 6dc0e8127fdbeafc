//! Tasks of distributed queries, which this invocation executes for another one.

use std::{io, sync::Arc, time::Duration};

use async_trait::async_trait;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion_distributed::{ChannelResolver, WorkerChannel};
use neap_bucket::{Bucket, ObjectUploads};
use neap_distributed::{
    ClusterTickets, DEFAULT_MAX_TASKS, WorkerSettings,
    invocation::{TaskFailureKind, TaskReply, TaskRequest, TaskRunner},
    worker,
};
use neap_scan::ScanEnvironment;
use tokio::runtime::{Builder, Runtime};
use url::Url;

use super::worker_version::version_of_workers;
use crate::runtime::THREAD_STACK_BYTES;

/// Time before the deadline of an invocation at which a task ends.
const RESERVE: Duration = Duration::from_millis(500);

/// Maximum time for an answer of another worker. Invocations reach none.
const START_LIMIT: Duration = Duration::from_secs(1);

/// The threads that execute tasks. They are not those of queries, which wait for tasks.
struct TaskThreads(Option<Runtime>);

impl Drop for TaskThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // The drop may happen inside a task, which must not block.
            runtime.shutdown_background();
        }
    }
}

/// Executes tasks in this instance.
#[derive(derive_more::Debug)]
#[debug("TaskService {{ runner: {runner:?}, .. }}")]
pub(super) struct TaskService {
    runner: TaskRunner,
    tickets: Arc<ClusterTickets>,
    _threads: TaskThreads,
}

impl TaskService {
    /// Starts `threads` threads for tasks.
    pub(super) fn new(
        environment: Arc<ScanEnvironment>,
        tickets: Arc<ClusterTickets>,
        bucket: &Bucket,
        uploads: ObjectUploads,
        threads: usize,
    ) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("neap-worker")
            .thread_stack_size(THREAD_STACK_BYTES)
            .enable_all()
            .build()?;
        let settings = WorkerSettings {
            version: version_of_workers(),
            max_tasks: DEFAULT_MAX_TASKS,
            tickets: Some(tickets.verifier()),
            channels: Arc::new(NoOtherWorkers),
            start_timeout: START_LIMIT,
        };
        let (worker, _) = worker(environment, settings, bucket.world().clone());
        let handle = runtime.handle().clone();
        Ok(Self {
            runner: TaskRunner::new(worker, bucket.clone(), uploads, handle),
            tickets,
            _threads: TaskThreads(Some(runtime)),
        })
    }

    /// Executes the task in an event within the time that is left of the invocation.
    pub(super) async fn run(&self, event: &str, left: Duration) -> TaskReply {
        let request = match TaskRequest::parse(event) {
            Ok(request) => request,
            Err(error) => return refusal(error.to_string()),
        };
        if let Err(error) = self.tickets.refresh_or_read_again().await {
            return TaskReply::Failure {
                kind: TaskFailureKind::Temporary,
                message: format!("cannot read the secret of the cluster: {error}"),
            };
        }
        self.runner.run(request, left.saturating_sub(RESERVE)).await
    }
}

/// Returns the reply to a task that is not accepted.
pub(super) fn refusal(message: String) -> TaskReply {
    TaskReply::Failure { kind: TaskFailureKind::Refused, message }
}

/// The channels of a worker that can't reach others.
struct NoOtherWorkers;

#[async_trait]
impl ChannelResolver for NoOtherWorkers {
    async fn get_worker_client_for_url(
        &self,
        worker: &Url,
    ) -> DataFusionResult<Box<dyn WorkerChannel>> {
        let message = format!("an invocation can't reach {worker}");
        Err(DataFusionError::Internal(message))
    }
}
