//! Channels to workers with the rules of every transport: a start takes limited time, an error names its worker, each
//! task has a ticket of its own, and a task that can't be set ends the query at once.

use std::{sync::Arc, time::Duration};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::{
    common::{Result, exec_datafusion_err},
    error::DataFusionError,
    execution::TaskContext,
    physical_plan::metrics::ExecutionPlanMetricsSet,
};
use datafusion_distributed::{
    ChannelResolver, CoordinatorToWorkerMsg, ExecuteTaskRequest, GetWorkerInfoRequest,
    GetWorkerInfoResponse, SetPlanRequest, TaskKey, WorkerChannel, WorkerToCoordinatorMsg,
};
use futures::{
    StreamExt, TryStreamExt,
    future::{Either, select},
    stream::{self, BoxStream},
};
use http::HeaderMap;
use neap_bucket::World;
use tokio::sync::watch;
use url::Url;

use crate::{
    ticket::{TICKET_HEADER, Ticket},
    ticket_check::TicketIssuer,
    worker_error::{failed_worker, name_worker, worker_error},
};

/// The channels of one transport.
pub type Channels = Arc<dyn ChannelResolver + Send + Sync>;

/// Adds the rules of every transport to channels.
#[derive(Clone)]
pub(crate) struct GuardedChannels {
    pub(crate) inner: Channels,
    pub(crate) world: World,
    /// Maximum time for a connection, and for the answer to a request before its rows.
    pub(crate) start_timeout: Duration,
    /// Signs the tickets of tasks; `None` on a worker, which passes its own ticket on.
    pub(crate) tickets: Option<(TicketIssuer, Ticket)>,
    pub(crate) failure: FirstFailure,
}

/// The first task of a query that could not be set. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct FirstFailure(Arc<watch::Sender<Option<Arc<DataFusionError>>>>);

impl Default for FirstFailure {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl FirstFailure {
    fn set(&self, error: &Arc<DataFusionError>) {
        self.0.send_if_modified(|failure| {
            let is_first = failure.is_none();
            failure.get_or_insert_with(|| Arc::clone(error));
            is_first
        });
    }

    async fn wait(mut failures: watch::Receiver<Option<Arc<DataFusionError>>>) -> DataFusionError {
        let failure = failures.wait_for(Option::is_some).await;
        match failure.ok().and_then(|failure| failure.clone()) {
            Some(error) => DataFusionError::Shared(error),
            // All channels of the query are gone.
            None => std::future::pending().await,
        }
    }
}

#[async_trait]
impl ChannelResolver for GuardedChannels {
    async fn get_worker_client_for_url(&self, url: &Url) -> Result<Box<dyn WorkerChannel>> {
        // The connection is made with the first request, so that its error belongs to a task.
        Ok(Box::new(GuardedChannel { channels: self.clone(), url: url.clone() }))
    }
}

/// A channel to one worker.
struct GuardedChannel {
    channels: GuardedChannels,
    url: Url,
}

impl GuardedChannel {
    async fn connect(&self) -> Result<Box<dyn WorkerChannel>> {
        let inner = &self.channels.inner;
        inner.get_worker_client_for_url(&self.url).await
    }

    /// Runs the start of a request within the time limit.
    async fn start<T>(&self, request: impl Future<Output = Result<T>>) -> Result<T> {
        let limit = self.channels.start_timeout;
        let answer = self.channels.world.timeout(limit, request).await;
        let silent = || {
            let error = exec_datafusion_err!("no answer within {} s", limit.as_secs_f64());
            Err(worker_error(error, self.url.as_str()))
        };
        answer.unwrap_or_else(silent)
    }

    /// Replaces the ticket of the query with that of a task.
    fn add_ticket(&self, headers: &mut HeaderMap, task: &TaskKey) -> Result<()> {
        if let Some((issuer, ticket)) = &self.channels.tickets {
            let task = format!("{}/{}/{}", task.query_id, task.stage_id, task.task_number);
            let ticket = issuer
                .sign_task(ticket, task)
                .map_err(|error| DataFusionError::External(Box::new(error)))?;
            headers.insert(TICKET_HEADER, ticket);
        }
        Ok(())
    }
}

#[async_trait]
impl WorkerChannel for GuardedChannel {
    async fn coordinator_channel(
        &mut self,
        mut headers: HeaderMap,
        request: SetPlanRequest,
        messages: BoxStream<'static, CoordinatorToWorkerMsg>,
        metrics: ExecutionPlanMetricsSet,
        context: &Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<WorkerToCoordinatorMsg>>> {
        self.add_ticket(&mut headers, &request.task_key)?;
        let set = async {
            let mut channel = self.connect().await?;
            let messages =
                channel.coordinator_channel(headers, request, messages, metrics, context);
            messages.await
        };
        let worker = self.url.to_string();
        match self.start(set).await {
            Ok(messages) => {
                let name = move |error| name_worker(error, &worker);
                Ok(messages.map_err(name).boxed())
            }
            // Whatever the error is: the same plan was decoded by the coordinator.
            Err(error) => {
                let error = match failed_worker(&error) {
                    Some(_) => error,
                    None => worker_error(error, &worker),
                };
                let error = Arc::new(error);
                self.channels.failure.set(&error);
                Err(DataFusionError::Shared(error))
            }
        }
    }

    async fn execute_task(
        &mut self,
        headers: HeaderMap,
        request: ExecuteTaskRequest,
        metrics: ExecutionPlanMetricsSet,
        context: &Arc<TaskContext>,
    ) -> Result<Vec<BoxStream<'static, Result<RecordBatch>>>> {
        let failure = &self.channels.failure;
        let run = async {
            let mut channel = self.connect().await?;
            channel.execute_task(headers, request, metrics, context).await
        };
        let run = std::pin::pin!(self.start(run));
        let failed = std::pin::pin!(FirstFailure::wait(failure.0.subscribe()));
        let streams = match select(run, failed).await {
            Either::Left((streams, _)) => streams,
            Either::Right((error, _)) => Err(error),
        };
        let worker = self.url.as_str();
        let streams = streams.map_err(|error| name_worker(error, worker))?;
        let guarded = |rows| guard_rows(rows, worker.to_owned(), failure);
        Ok(streams.into_iter().map(guarded).collect())
    }

    async fn get_worker_info(
        &mut self,
        request: GetWorkerInfoRequest,
    ) -> Result<GetWorkerInfoResponse> {
        let attempt = async { self.connect().await?.get_worker_info(request).await };
        let info = self.start(attempt).await;
        info.map_err(|error| name_worker(error, self.url.as_str()))
    }
}

/// Names the worker in errors of its rows, and ends the rows with an error if a task of the query can't be set.
fn guard_rows(
    rows: BoxStream<'static, Result<RecordBatch>>,
    worker: String,
    failure: &FirstFailure,
) -> BoxStream<'static, Result<RecordBatch>> {
    let failed = Box::pin(FirstFailure::wait(failure.0.subscribe()));
    let rows = stream::unfold(Some((rows, failed, worker)), |state| async move {
        let (mut rows, failed, worker) = state?;
        let (next, failed) = match select(rows.next(), failed).await {
            Either::Left((next, failed)) => (next?, failed),
            Either::Right((error, _)) => return Some((Err(error), None)),
        };
        match next {
            Ok(batch) => Some((Ok(batch), Some((rows, failed, worker)))),
            Err(error) => Some((Err(name_worker(error, &worker)), None)),
        }
    });
    rows.boxed()
}
