//! Distributed queries: the coordinator is one invocation of this function, and its workers are others.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use clap::Args;
use datafusion::{
    error::DataFusionError, execution::SessionState, logical_expr::LogicalPlan,
    physical_plan::ExecutionPlan,
};
use neap_bucket::{Bucket, World};
use neap_distributed::{
    ClusterTickets, DistributedPlanner, DistributionSettings, Exchange, PlanOutcome, PlanRequest,
    WorkerAddress, WorkerSet,
    invocation::{
        InvocationChannels, InvocationQuery, InvocationSettings, TaskInvoker, check_reduction,
    },
};
use neap_query::{
    DistributedPlan, Distribution, DistributionAttempt, PlanDistributor, WorkerFailure,
};
use neap_scan::{IoRuntime, ScanEnvironment};
use url::Url;

use super::worker_version::version_of_workers;
use crate::options::{parse_bytes, parse_count};

/// Maximum time for sending a task to its channel. The channel waits for nothing but the plan of the task.
const START_LIMIT: Duration = Duration::from_secs(15);

/// The name of the coordinator in tickets.
const COORDINATOR: &str = "lambda";

/// Time by which a ticket outlives its query.
const TICKET_RESERVE: Duration = Duration::from_secs(10);

/// Options of distributed queries.
#[derive(Args, Clone, Debug)]
pub struct DistributionOptions {
    /// Maximum number of invocations that execute one query together. 0 executes each query in its own invocation.
    /// Invocations cost money; see the table in `docs/cost.md`
    #[arg(long, value_name = "NUMBER", value_parser = parse_workers, default_value = "0")]
    pub(super) distributed_max_workers: usize,

    /// Number of bytes that each of these invocations reads. A query that reads less than twice as many is executed in
    /// its own invocation
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "256MiB")]
    pub(super) distributed_bytes_per_worker: usize,

    /// The function whose invocations execute queries; Lambda sets it to this function
    #[arg(
        long,
        env = "AWS_LAMBDA_FUNCTION_NAME",
        value_name = "NAME",
        default_value = ""
    )]
    pub(super) distributed_function: String,

    /// The version of that function; Lambda sets it to this version
    #[arg(
        long,
        env = "AWS_LAMBDA_FUNCTION_VERSION",
        value_name = "VERSION",
        default_value = "$LATEST"
    )]
    pub(super) distributed_function_version: String,

    /// The URL of Lambda's endpoint, if it is not that of the region
    #[arg(long, value_name = "URL")]
    pub(super) lambda_endpoint: Option<String>,
}

/// Maximum number of invocations of a query. Lambda executes 1,000 at once in an account, unless it is raised.
const MAX_WORKERS: usize = 10_000;

fn parse_workers(text: &str) -> Result<usize, String> {
    if text.trim() == "0" {
        return Ok(0);
    }
    let number = parse_count(text).map_err(|error| error.to_string())?;
    if number <= MAX_WORKERS {
        Ok(number)
    } else {
        Err(format!("a number of at most {MAX_WORKERS} is expected"))
    }
}

/// Invocations as workers. Each has a name, but Lambda chooses the instance, so that any of them is as good.
#[derive(Debug)]
struct InvocationWorkers(Vec<WorkerAddress>);

impl InvocationWorkers {
    fn new(number: usize) -> Self {
        let workers = (0..number).filter_map(|number| {
            Some(WorkerAddress {
                name: format!("invocation-{number}"),
                url: Url::parse(&format!("invocation://worker/{number}")).ok()?,
            })
        });
        Self(workers.collect())
    }
}

#[async_trait]
impl WorkerSet for InvocationWorkers {
    async fn workers(&self) -> Vec<WorkerAddress> {
        self.0.clone()
    }
}

/// The parts of an [`InvocationDistributor`].
pub(super) struct DistributorParts<'a> {
    pub(super) options: &'a DistributionOptions,
    pub(super) environment: Arc<ScanEnvironment>,
    pub(super) invoker: Arc<dyn TaskInvoker>,
    pub(super) bucket: &'a Bucket,
    pub(super) tickets: Arc<ClusterTickets>,
    /// The runtime for requests. Plans are executed on the threads of queries.
    pub(super) io: IoRuntime,
}

/// Plans queries over invocations.
#[derive(Debug)]
pub(super) struct InvocationDistributor {
    planner: DistributedPlanner,
    tickets: Arc<ClusterTickets>,
    /// Number of bytes from which a query may be distributed.
    threshold: u64,
    world: World,
}

impl InvocationDistributor {
    pub(super) fn new(parts: DistributorParts<'_>) -> Self {
        let options = parts.options;
        let bytes_per_worker = options.distributed_bytes_per_worker.max(1) as u64;
        let settings = DistributionSettings {
            bytes_per_worker,
            max_workers: options.distributed_max_workers,
            exchange: Exchange::Coordinator,
            start_timeout: START_LIMIT,
        };
        let world = parts.bucket.world().clone();
        let channels = InvocationChannels::new(
            parts.invoker,
            parts.bucket.clone(),
            parts.io,
            &version_of_workers(),
            InvocationSettings::default(),
        );
        let workers = InvocationWorkers::new(options.distributed_max_workers);
        let planner = DistributedPlanner::new(
            parts.environment,
            Arc::new(workers),
            Arc::new(channels),
            settings,
            world.clone(),
        );
        Self {
            planner: planner.with_tickets(parts.tickets.issuer(COORDINATOR)),
            tickets: parts.tickets,
            threshold: bytes_per_worker.saturating_mul(2),
            world,
        }
    }

    /// Returns the session with the state that the channels need.
    fn session(&self, state: &SessionState, attempt: &DistributionAttempt) -> SessionState {
        let now = self.world.clock.monotonic();
        let issuer = self.tickets.issuer(COORDINATOR);
        let lifetime = attempt.remaining.saturating_add(TICKET_RESERVE);
        let ticket = issuer.ticket(attempt.database, lifetime);
        let ends = now.saturating_add(attempt.remaining);
        let query = InvocationQuery::new(ends, Some((issuer, ticket)));
        let mut state = state.clone();
        state.config_mut().set_extension(Arc::new(query));
        state
    }
}

#[async_trait]
impl PlanDistributor for InvocationDistributor {
    async fn distribute(
        &self,
        state: &SessionState,
        query: &LogicalPlan,
        local: &Arc<dyn ExecutionPlan>,
        attempt: &DistributionAttempt,
    ) -> Result<Distribution, DataFusionError> {
        if !attempt.excluded.is_empty() {
            return Ok(Distribution::Local("an invocation failed".into()));
        }
        if neap_scan::read_bytes(local) >= self.threshold {
            let prepared = self.tickets.refresh_or_create().await;
            prepared.map_err(|error| DataFusionError::External(Box::new(error)))?;
        }
        let state = self.session(state, attempt);
        let request = PlanRequest {
            database: attempt.database,
            remaining: attempt.remaining,
            excluded: Vec::new(),
            cancellation: attempt.cancellation.clone(),
        };
        let plan = match self.planner.plan(&state, query, local, &request).await? {
            PlanOutcome::Local(reason) => return Ok(Distribution::Local(reason)),
            PlanOutcome::Distributed(plan) => plan,
        };
        if let Err(refusal) = check_reduction(&plan.plan) {
            return Ok(Distribution::Local(refusal.to_string().into()));
        }
        tracing::info!(workers = plan.workers.len(), "a query is distributed");
        Ok(Distribution::Workers(DistributedPlan {
            plan: plan.plan,
            config: plan.config,
            workers: plan.workers,
        }))
    }

    fn describe(&self, plan: &DistributedPlan) -> String {
        self.planner.describe(&plan.plan, &plan.workers)
    }

    fn worker_failure(&self, error: &DataFusionError) -> Option<WorkerFailure> {
        let worker = self.planner.worker_failure(error)?;
        Some(WorkerFailure { worker: Some(worker) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_workers_is_limited_and_zero_disables_them() {
        assert_eq!(parse_workers("0"), Ok(0));
        assert_eq!(parse_workers("64"), Ok(64));
        assert!(parse_workers("10001").unwrap_err().contains("10000"));
        assert!(parse_workers("many").is_err());
    }
}
