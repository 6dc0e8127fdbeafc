//! Distribution of queries over workers. The engine plans each statement for this process first; a distributor may then
//! replace the plan by one whose scans run on workers.
//!
//! ```text
//!   logical plan ── this process ──► local plan ── distributor ──► local plan, or plan over workers
//!                                                                     │ a worker fails before the first row
//!                                                                     ▼
//!                                         plan without that worker, and at last the local plan
//! ```
//!
//! An answer comes from one plan alone: once a row was sent, a failure of a worker ends the answer with an error.

use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use datafusion::{
    error::DataFusionError, execution::SessionState, logical_expr::LogicalPlan,
    physical_plan::ExecutionPlan, prelude::SessionConfig,
};
use neap_operators::Cancellation;
use neap_schema::DatabaseId;
use uuid::Uuid;

/// Plans queries over workers.
#[async_trait]
pub trait PlanDistributor: fmt::Debug + Send + Sync {
    /// Distributes a query, unless the local plan is better or the only one. `state` is the session that planned the
    /// local plan.
    ///
    /// # Errors
    /// The query can't be planned. The engine executes the local plan then.
    async fn distribute(
        &self,
        state: &SessionState,
        query: &LogicalPlan,
        local: &Arc<dyn ExecutionPlan>,
        attempt: &DistributionAttempt,
    ) -> Result<Distribution, DataFusionError>;

    /// Returns a text of the stages of a plan, for `EXPLAIN`.
    fn describe(&self, plan: &DistributedPlan) -> String;

    /// Returns the failure of a worker that caused an error of a distributed plan; `None` if the statement caused it.
    fn worker_failure(&self, error: &DataFusionError) -> Option<WorkerFailure>;
}

/// An attempt to distribute a query.
#[derive(Clone, Debug)]
pub struct DistributionAttempt {
    /// The database of the query.
    pub database: DatabaseId,
    /// The id of the query in `system.queries`.
    pub query: Uuid,
    /// The time until the timeout of the query.
    pub remaining: Duration,
    /// Workers that failed in earlier attempts, as named by [`WorkerFailure::worker`].
    pub excluded: Vec<String>,
    /// Whether the query was cancelled.
    pub cancellation: Cancellation,
}

/// A decision on where a query runs.
#[derive(Debug)]
pub enum Distribution {
    /// In this process, for this reason.
    Local(Cow<'static, str>),
    /// On workers.
    Workers(DistributedPlan),
}

/// A plan whose stages run on workers.
#[derive(Clone, Debug)]
pub struct DistributedPlan {
    /// The plan. Its nodes are matched by their places: it is executed as it is.
    pub plan: Arc<dyn ExecutionPlan>,
    /// The configuration that executes it.
    pub config: SessionConfig,
    /// The names of its workers.
    pub workers: Vec<String>,
}

/// The failure of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerFailure {
    /// The worker, if it is known.
    pub worker: Option<String>,
}

/// Counters of distributed queries since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DistributionStats {
    /// Queries that ran on workers.
    pub queries: u64,
    /// Failures of workers during these queries.
    pub worker_failures: u64,
    /// Attempts after a failure, on workers or in this process.
    pub retries: u64,
}

/// Counts distributed queries.
#[derive(Debug, Default)]
pub(crate) struct DistributionCounters {
    queries: AtomicU64,
    worker_failures: AtomicU64,
    retries: AtomicU64,
}

impl DistributionCounters {
    /// Counts a query that runs on workers.
    pub(crate) fn count_query(&self) {
        self.queries.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a failure of a worker.
    pub(crate) fn count_failure(&self) {
        self.worker_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an attempt after a failure.
    pub(crate) fn count_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self) -> DistributionStats {
        DistributionStats {
            queries: self.queries.load(Ordering::Relaxed),
            worker_failures: self.worker_failures.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
        }
    }
}

/// The distributor of an engine, with its counters.
#[derive(Clone, Debug)]
pub(crate) struct EngineDistributor {
    pub(crate) plans: Arc<dyn PlanDistributor>,
    pub(crate) counters: Arc<DistributionCounters>,
}
