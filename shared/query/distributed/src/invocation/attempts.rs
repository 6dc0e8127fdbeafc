//! The attempts to get a task executed: limits, pauses and repetitions.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use datafusion::error::DataFusionError;
use neap_bucket::World;
use neap_scan::IoRuntime;
use tokio::sync::Semaphore;

use super::{InvokeError, TaskFailureKind, TaskInvoker, TaskReply, TaskRequest, TaskRequestError};

/// Maximum number of invocations of a task. One that was throttled does not count.
const MAX_ATTEMPTS: u32 = 2;

/// First pause after a throttled invocation. Each further pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Maximum pause after a throttled invocation.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// Settings of invocations.
#[derive(Clone, Copy, Debug)]
pub struct InvocationSettings {
    /// Maximum number of invocations at once, of all queries of this process.
    pub concurrent: usize,
    /// Maximum time that a task waits because it is throttled. It waits at most half of the query's time in any case, so
    /// that time is left to answer the query in another way.
    pub throttle_limit: Duration,
}

impl Default for InvocationSettings {
    fn default() -> Self {
        Self { concurrent: 1_000, throttle_limit: Duration::from_secs(10) }
    }
}

/// Counts of invocations since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InvocationCounts {
    /// Requests to the service, including throttled ones.
    pub sent: u64,
    /// Requests that were throttled.
    pub throttled: u64,
    /// Tasks that were invoked again because an invocation failed.
    pub repeated: u64,
    /// Tasks that failed.
    pub failed: u64,
}

/// A task failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum TaskError {
    /// The invocation has no reply.
    #[error("{0}")]
    Invoke(#[from] InvokeError),
    /// The request or the reply is invalid.
    #[error("{0}")]
    Message(#[from] TaskRequestError),
    /// The worker reports a failure.
    #[error("{message}")]
    Worker {
        kind: TaskFailureKind,
        message: String,
    },
    /// The query timed out.
    #[error("no time is left for a task")]
    Timeout,
}

impl TaskError {
    /// Whether another invocation may succeed.
    fn is_worth_repeating(&self) -> bool {
        match self {
            Self::Invoke(error) => {
                matches!(error, InvokeError::Unavailable(_) | InvokeError::Failed(_))
            }
            Self::Worker { kind, .. } => *kind == TaskFailureKind::Temporary,
            Self::Message(_) | Self::Timeout => false,
        }
    }

    /// Returns the error for the query.
    pub(super) fn into_datafusion(self) -> DataFusionError {
        let of_statement = match &self {
            Self::Worker { kind, message } => kind.statement_error(message),
            _ => None,
        };
        of_statement.unwrap_or_else(|| DataFusionError::External(Box::new(self)))
    }
}

/// Sends tasks to invocations. Clones share the limits and counts.
#[derive(Clone, Debug)]
pub(super) struct TaskSender(Arc<TaskSenderInner>);

#[derive(Debug)]
struct TaskSenderInner {
    invoker: Arc<dyn TaskInvoker>,
    io: IoRuntime,
    settings: InvocationSettings,
    places: Semaphore,
    world: World,
    sent: AtomicU64,
    throttled: AtomicU64,
    repeated: AtomicU64,
    failed: AtomicU64,
}

impl TaskSender {
    pub(super) fn new(
        invoker: Arc<dyn TaskInvoker>,
        io: IoRuntime,
        settings: InvocationSettings,
        world: World,
    ) -> Self {
        Self(Arc::new(TaskSenderInner {
            invoker,
            io,
            places: Semaphore::new(settings.concurrent.clamp(1, Semaphore::MAX_PERMITS)),
            settings,
            world,
            sent: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }))
    }

    pub(super) fn world(&self) -> &World {
        &self.0.world
    }

    pub(super) fn counts(&self) -> InvocationCounts {
        let inner = &self.0;
        InvocationCounts {
            sent: inner.sent.load(Ordering::Relaxed),
            throttled: inner.throttled.load(Ordering::Relaxed),
            repeated: inner.repeated.load(Ordering::Relaxed),
            failed: inner.failed.load(Ordering::Relaxed),
        }
    }

    /// Gets a task executed before `ends` by the monotonic clock. `request` builds the request for the number of an
    /// attempt, counted from 1, and the time in milliseconds that is left. A task whose invocation fails is invoked once
    /// more.
    /// Fails if every attempt failed.
    pub(super) async fn execute(
        &self,
        ends: Duration,
        request: impl Fn(u32, u64) -> Result<TaskRequest, TaskRequestError>,
    ) -> Result<TaskReply, TaskError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.attempt(ends, attempts, &request).await {
                Err(error) if attempts < MAX_ATTEMPTS && error.is_worth_repeating() => {
                    tracing::warn!(%error, "a task of a distributed query is invoked again");
                    self.0.repeated.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    self.0.failed.fetch_add(1, Ordering::Relaxed);
                    return Err(error);
                }
                reply => return reply,
            }
        }
    }

    fn left(&self, ends: Duration) -> Result<Duration, TaskError> {
        let left = ends.saturating_sub(self.world().clock.monotonic());
        if left.is_zero() {
            Err(TaskError::Timeout)
        } else {
            Ok(left)
        }
    }

    /// Invokes until the invocation is not throttled.
    async fn attempt(
        &self,
        ends: Duration,
        number: u32,
        request: &impl Fn(u32, u64) -> Result<TaskRequest, TaskRequestError>,
    ) -> Result<TaskReply, TaskError> {
        let clock = &self.world().clock;
        let patience = self.0.settings.throttle_limit.min(self.left(ends)? / 2);
        let gives_up = clock.monotonic().saturating_add(patience);
        let mut pause = FIRST_PAUSE;
        loop {
            match self.invoke(ends, number, request).await {
                Err(TaskError::Invoke(InvokeError::Throttled(reason))) => {
                    self.0.throttled.fetch_add(1, Ordering::Relaxed);
                    let wait = pause / 2 + self.world().entropy.below(pause / 2);
                    if clock.monotonic().saturating_add(wait) > gives_up {
                        return Err(InvokeError::Throttled(reason).into());
                    }
                    clock.sleep(wait).await;
                    pause = (pause * 2).min(MAX_PAUSE);
                }
                reply => return reply,
            }
        }
    }

    async fn invoke(
        &self,
        ends: Duration,
        attempt: u32,
        request: &impl Fn(u32, u64) -> Result<TaskRequest, TaskRequestError>,
    ) -> Result<TaskReply, TaskError> {
        let left = self.left(ends)?;
        let place = self.world().timeout(left, self.0.places.acquire()).await;
        let _place = place.ok_or(TaskError::Timeout)?;
        let left = self.left(ends)?;
        let limit_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        let event = Bytes::from(request(attempt, limit_ms)?.to_event()?);
        self.0.sent.fetch_add(1, Ordering::Relaxed);
        let invoker = Arc::clone(&self.0.invoker);
        let invocation = async move { invoker.invoke(event, left).await };
        let reply = self.world().timeout(left, self.0.io.run(invocation));
        match TaskReply::parse(&reply.await.ok_or(TaskError::Timeout)??)? {
            TaskReply::Failure { kind, message } => Err(TaskError::Worker { kind, message }),
            reply => Ok(reply),
        }
    }
}
