//! The sessions of tasks on a worker.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use datafusion::{
    common::Result,
    error::DataFusionError,
    execution::{SessionState, SessionStateBuilder},
    prelude::SessionConfig,
};
use datafusion_distributed::{
    DistributedConfig, DistributedExt, Worker, WorkerQueryContext, WorkerSessionBuilder,
};
use futures::future::BoxFuture;
use http::HeaderMap;
use neap_bucket::World;
use neap_operators::Cancellation;
use neap_scan::ScanEnvironment;
use tokio::sync::{Semaphore, oneshot};

use crate::{
    dynamic_filters::TaskFilters,
    guarded_channel::{Channels, FirstFailure, GuardedChannels},
    interruption::TaskInterruption,
    scan_codec::ScanCodec,
    ticket::{MAX_CLOCK_DIFFERENCE, TICKET_HEADER},
    ticket_check::TicketVerifier,
};

/// The usual maximum number of tasks that a worker executes at once.
pub const DEFAULT_MAX_TASKS: usize = 64;

/// A worker executes as many tasks as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the worker already executes {limit} tasks; try again later")]
pub struct TooManyTasks {
    limit: usize,
}

/// The properties of a worker.
#[derive(derive_more::Debug)]
#[debug("WorkerSettings {{ version: {version:?}, max_tasks: {max_tasks:?}, .. }}")]
pub struct WorkerSettings {
    /// The version, which coordinators compare with their own.
    pub version: String,
    /// The maximum number of tasks at once.
    pub max_tasks: usize,
    /// Checks the tickets of tasks; `None` if the transport admits only the worker's own coordinator.
    pub tickets: Option<TicketVerifier>,
    /// The channels to other workers.
    pub channels: Channels,
    /// Maximum time for a connection to another worker, and for its answer before its rows.
    pub start_timeout: Duration,
}

/// Counters of the tasks of a worker. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct TaskCounters(Arc<TaskCounts>);

#[derive(Debug, Default)]
struct TaskCounts {
    started: AtomicU64,
    refused: AtomicU64,
}

impl TaskCounters {
    /// The number of tasks that were accepted.
    pub fn started(&self) -> u64 {
        self.0.started.load(Ordering::Relaxed)
    }

    /// The number of tasks that were refused, because of their tickets or because there were too many.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }
}

/// Creates a worker that executes scans in `environment`, with the functions, the limits and the memory pool of the
/// queries of its process. Call its methods on a runtime of its own: a task computes without permission of the query
/// permits, and tasks of several queries wait for each other's rows.
pub fn worker(
    environment: Arc<ScanEnvironment>,
    settings: WorkerSettings,
    world: World,
) -> (Worker, TaskCounters) {
    let counters = TaskCounters::default();
    let runtime = Arc::clone(environment.session().runtime_env());
    let sessions = WorkerSessions {
        places: Arc::new(Semaphore::new(settings.max_tasks)),
        max_tasks: settings.max_tasks,
        environment,
        tickets: settings.tickets,
        channels: settings.channels,
        start_timeout: settings.start_timeout,
        world,
        counters: counters.clone(),
    };
    let worker = Worker::from_session_builder(sessions)
        .with_runtime_env(runtime)
        .with_version(settings.version);
    (worker, counters)
}

/// Builds the sessions of tasks.
struct WorkerSessions {
    environment: Arc<ScanEnvironment>,
    tickets: Option<TicketVerifier>,
    channels: Channels,
    start_timeout: Duration,
    world: World,
    places: Arc<Semaphore>,
    max_tasks: usize,
    counters: TaskCounters,
}

/// An extension of the session configuration of a task. The library may keep it for a while after the task has ended.
struct RunningTask {
    _end: oneshot::Sender<Infallible>,
}

/// A task that may run.
struct AdmittedTask {
    codec: ScanCodec,
    cancellation: Cancellation,
    running: RunningTask,
}

impl WorkerSessions {
    /// Checks the ticket and the number of tasks. The task is cancelled when its coordinator disconnects, and when its
    /// ticket expires.
    fn admit(&self, headers: &HeaderMap) -> Result<AdmittedTask> {
        let mut codec = ScanCodec::new(Arc::clone(&self.environment));
        let (mut watched, mut expires) = (None, None);
        if let Some(tickets) = &self.tickets {
            let ticket = tickets
                .admit(headers)
                .map_err(|error| DataFusionError::External(Box::new(error)))?;
            codec = codec.with_database(ticket.database);
            watched = tickets.watched(&ticket);
            expires = Some(ticket.expires);
        }
        let place = Arc::clone(&self.places).try_acquire_owned();
        let limit = self.max_tasks;
        let place =
            place.map_err(|_| DataFusionError::External(Box::new(TooManyTasks { limit })))?;
        let cancellation =
            watched.as_ref().map(|task| task.cancellation.clone()).unwrap_or_default();
        let (end, ended) = oneshot::channel();
        let expired = self.expiry(expires);
        let (connection, cancels) = (watched.map(|task| task.connection), cancellation.clone());
        tokio::spawn(async move {
            let disconnected = async {
                match connection {
                    // Never changes, so this is the end of the connection.
                    Some(mut connection) => drop(connection.changed().await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = expired => {}
                () = disconnected => {}
                _ = ended => {}
            }
            cancels.cancel();
            drop(place);
        });
        Ok(AdmittedTask { codec, cancellation, running: RunningTask { _end: end } })
    }

    /// Waits for a time in microseconds since the Unix epoch; for ever if there is none.
    fn expiry(&self, time: Option<i64>) -> BoxFuture<'static, ()> {
        let Some(time) = time else {
            return Box::pin(std::future::pending());
        };
        let micros = time.saturating_sub(self.world.clock.wall_micros());
        let left = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
        // The clock of the coordinator may be behind.
        self.world.clock.sleep(left.saturating_add(MAX_CLOCK_DIFFERENCE))
    }
}

#[async_trait]
impl WorkerSessionBuilder for WorkerSessions {
    async fn build_session_state(&self, context: WorkerQueryContext) -> Result<SessionState> {
        let WorkerQueryContext { mut builder, headers } = context;
        let task = self.admit(&headers).inspect_err(|_| {
            self.counters.0.refused.fetch_add(1, Ordering::Relaxed);
        })?;
        self.counters.0.started.fetch_add(1, Ordering::Relaxed);
        let channels = GuardedChannels {
            inner: Arc::clone(&self.channels),
            world: self.world.clone(),
            start_timeout: self.start_timeout,
            tickets: None,
            failure: FirstFailure::default(),
        };
        let config = std::mem::take(builder.config()).unwrap_or_default();
        let ticket = headers
            .get(TICKET_HEADER)
            .cloned()
            .map(|ticket| (http::HeaderName::from_static(TICKET_HEADER), ticket));
        let mut config = task_config(&self.environment, config)
            .with_extension(Arc::new(task.running))
            .with_distributed_user_codec(task.codec)
            .with_distributed_channel_resolver(channels)
            .with_distributed_passthrough_headers(ticket.into_iter().collect())?
            .with_distributed_worker_plan_rewrite_handler(TaskFilters);
        // The metrics of `EXPLAIN ANALYZE` are matched with nodes by their places, so its stages get no checks.
        if !DistributedConfig::from_session_config(&config)?.collect_metrics {
            let interruption = TaskInterruption(task.cancellation);
            config = config.with_distributed_worker_plan_rewrite_handler(interruption);
        }
        Ok(task_session(&self.environment, config))
    }
}

/// Returns the configuration of a task with the options of the queries of this process.
fn task_config(environment: &ScanEnvironment, mut config: SessionConfig) -> SessionConfig {
    let mut options = environment.session().config().options().as_ref().clone();
    let extensions = std::mem::take(&mut config.options_mut().extensions);
    options.extensions = extensions;
    *config.options_mut() = options;
    config
}

/// Returns a session with the functions of the queries of this process.
pub(crate) fn task_session(environment: &ScanEnvironment, config: SessionConfig) -> SessionState {
    let mut builder = SessionStateBuilder::new_from_existing(environment.session().clone());
    let functions = builder.scalar_functions().get_or_insert_default();
    functions.extend(neap_sql_functions::execution_functions());
    builder.with_config(config).build()
}
