//! Plans queries over workers.
//!
//! ```text
//!   logical plan ──► physical plan with scans by name ──► stages with tasks ──► check ──► DistributedExec
//!                       │                                    │                    │
//!                       └ no scan, or too few bytes          └ no stage           └ a stage can't be sent
//!                         ▼                                    ▼                    ▼
//!                       the query runs in this process
//! ```

use std::{borrow::Cow, collections::HashSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use datafusion::{
    catalog::Session,
    common::{
        Result,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    error::DataFusionError,
    execution::{SessionState, SessionStateBuilder, context::QueryPlanner},
    logical_expr::LogicalPlan,
    physical_plan::{ExecutionPlan, analyze::AnalyzeExec, recursive_query::RecursiveQueryExec},
    prelude::SessionConfig,
};
use datafusion_distributed::{DistributedExt, SessionStateBuilderExt, display_plan_ascii};
use http::{HeaderMap, HeaderName};
use neap_bucket::World;
use neap_operators::Cancellation;
use neap_scan::{DistributedScans, ScanEnvironment, SnapshotScanExec, read_bytes};
use neap_schema::DatabaseId;
use url::Url;

use crate::{
    exchange::Exchange,
    guarded_channel::{Channels, FirstFailure, GuardedChannels},
    interruption::interrupt_head,
    portability::Portability,
    scan_codec::ScanCodec,
    stage_check::{StageCheck, check_encoding, check_order},
    stage_handlers::{QueryWorkers, TaskCounts},
    ticket::TICKET_HEADER,
    ticket_check::TicketIssuer,
    worker_error::failed_worker,
    worker_session::task_session,
    worker_set::{WorkerAddress, WorkerSet},
};

/// A query is distributed if it reads this many times the bytes of one worker.
const THRESHOLD_FACTOR: u64 = 2;

/// The minimum number of bytes of a part of a scan that is divided by series.
const MIN_PART_BYTES: u64 = 1 << 20;

/// The rows of one connection that a reader buffers, in bytes.
const CONNECTION_BUFFER_BYTES: usize = 8 << 20;

/// The minimum number of partitions of a scan. With one partition DataFusion plans operators that would see all rows of
/// the table, which no task does.
const MIN_PARTITIONS: usize = 2;

/// The time by which tickets outlive their query, for its last requests.
const TICKET_RESERVE: Duration = Duration::from_secs(10);

/// Limits of distribution.
#[derive(Clone, Copy, Debug)]
pub struct DistributionSettings {
    /// The bytes that one worker reads. Queries that read less than twice as many are not distributed. Zero: all queries
    /// are distributed over as many workers as possible.
    pub bytes_per_worker: u64,
    /// The maximum number of workers of one query.
    pub max_workers: usize,
    /// The places where stages may exchange rows.
    pub exchange: Exchange,
    /// Maximum time for a connection to a worker, and for its answer to a request before its rows.
    pub start_timeout: Duration,
}

/// The query to plan, beside its plans.
#[derive(Clone, Debug)]
pub struct PlanRequest {
    /// The database of the query.
    pub database: DatabaseId,
    /// The time until the timeout of the query.
    pub remaining: Duration,
    /// The URLs of workers that failed the query before.
    pub excluded: Vec<String>,
    /// Whether the query was cancelled.
    pub cancellation: Cancellation,
}

/// The result of planning a query.
#[derive(Debug)]
pub enum PlanOutcome {
    /// The query runs in this process, for this reason.
    Local(Cow<'static, str>),
    /// The query runs on workers.
    Distributed(WorkerPlan),
}

/// A plan whose stages run on workers.
#[derive(Clone, Debug)]
pub struct WorkerPlan {
    /// The plan. The library matches its nodes by their places: execute it as it is, in one task.
    pub plan: Arc<dyn ExecutionPlan>,
    /// The configuration that executes it.
    pub config: SessionConfig,
    /// The names of its workers.
    pub workers: Vec<String>,
}

/// Plans queries over workers.
#[derive(derive_more::Debug)]
#[debug("DistributedPlanner {{ workers: {workers:?}, settings: {settings:?}, .. }}")]
pub struct DistributedPlanner {
    environment: Arc<ScanEnvironment>,
    portability: Portability,
    workers: Arc<dyn WorkerSet>,
    channels: Channels,
    tickets: Option<TicketIssuer>,
    settings: DistributionSettings,
    world: World,
}

impl DistributedPlanner {
    /// Plans queries of the process of `environment` over `workers`, which `channels` reach. Connections and their I/O
    /// must run on the I/O runtime, because queries compute on the threads that execute plans.
    pub fn new(
        environment: Arc<ScanEnvironment>,
        workers: Arc<dyn WorkerSet>,
        channels: Channels,
        settings: DistributionSettings,
        world: World,
    ) -> Self {
        let session = environment.session();
        let session = task_session(&environment, session.config().clone());
        Self {
            portability: Portability::new(Arc::new(session)),
            environment,
            workers,
            channels,
            tickets: None,
            settings,
            world,
        }
    }

    /// Signs a ticket for each task.
    #[must_use]
    pub fn with_tickets(self, tickets: TicketIssuer) -> Self {
        Self { tickets: Some(tickets), ..self }
    }

    /// Plans a query over workers, if its local plan reads enough bytes. `state` is the session that planned the local
    /// plan.
    ///
    /// # Errors
    /// The query can't be planned. The local plan answers it.
    pub async fn plan(
        &self,
        state: &SessionState,
        query: &LogicalPlan,
        local: &Arc<dyn ExecutionPlan>,
        request: &PlanRequest,
    ) -> Result<PlanOutcome> {
        let threshold = self.settings.bytes_per_worker.saturating_mul(THRESHOLD_FACTOR);
        let bytes = read_bytes(local);
        if bytes < threshold {
            let reason = format!("reads {bytes} bytes, less than {threshold}");
            return Ok(PlanOutcome::Local(reason.into()));
        }
        let mut workers = self.workers.workers().await;
        workers.retain(|worker| {
            let url = worker.url.as_str();
            request.excluded.iter().all(|excluded| excluded != url)
        });
        let mut names = HashSet::new();
        workers.retain(|worker| names.insert(worker.name.clone()));
        if workers.len().min(self.settings.max_workers) < 2 {
            return Ok(PlanOutcome::Local("there are less than two workers".into()));
        }
        let physical = self.plan_scans_by_name(state, query).await?;
        let scans = Scans::from_plan(&physical)?;
        if scans.is_recursive {
            return Ok(PlanOutcome::Local("the query is recursive".into()));
        }
        let Some(largest) = scans.largest else {
            return Ok(PlanOutcome::Local("no table is scanned".into()));
        };
        let counts = TaskCounts {
            bytes_per_worker: self.settings.bytes_per_worker,
            max_tasks: workers.len().min(self.settings.max_workers),
            portability: self.portability.clone(),
            exchange: self.settings.exchange,
        };
        let number = counts.of_bytes(scans.bytes).max(2);
        let workers = QueryWorkers::new(choose(&largest, &workers, number), self.min_part_bytes());
        let counts = TaskCounts { max_tasks: workers.len(), ..counts };
        self.divide(state, query, physical, counts, workers, request).await
    }

    /// Returns the minimum number of bytes of a part. It is less than usual if workers read less.
    fn min_part_bytes(&self) -> u64 {
        MIN_PART_BYTES.min(self.settings.bytes_per_worker)
    }

    /// Plans a query with scans that workers can execute.
    async fn plan_scans_by_name(
        &self,
        state: &SessionState,
        query: &LogicalPlan,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut state = state.clone();
        let config = state.config_mut();
        config.set_extension(Arc::new(DistributedScans {
            environment: Arc::clone(&self.environment),
            min_part_bytes: self.min_part_bytes(),
        }));
        let options = config.options_mut();
        let partitions = &mut options.execution.target_partitions;
        *partitions = (*partitions).max(MIN_PARTITIONS);
        // A dynamic filter is updated in the process that makes it, which is not the one that scans.
        options.optimizer.enable_dynamic_filter_pushdown = false;
        options.optimizer.enable_topk_dynamic_filter_pushdown = false;
        options.optimizer.enable_join_dynamic_filter_pushdown = false;
        options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
        // A subquery of this kind hands its value over within its process.
        options.optimizer.enable_physical_uncorrelated_scalar_subquery = false;
        state.create_physical_plan(query).await
    }

    /// Divides a plan into stages and tasks, and checks them.
    async fn divide(
        &self,
        state: &SessionState,
        query: &LogicalPlan,
        physical: Arc<dyn ExecutionPlan>,
        counts: TaskCounts,
        workers: QueryWorkers,
        request: &PlanRequest,
    ) -> Result<PlanOutcome> {
        let names = workers.names();
        let is_analyzed = physical.is::<AnalyzeExec>();
        let state = self.stage_session(state, physical, counts, workers, is_analyzed, request)?;
        let planner = state.query_planner();
        let plan = planner.create_physical_plan(query, &state).await?;
        let check = StageCheck {
            portability: &self.portability,
            exchange: self.settings.exchange,
        };
        match check.check(&plan) {
            Ok(0) => return Ok(PlanOutcome::Local("no stage can be divided".into())),
            Ok(_) => {}
            Err(reason) => return Ok(PlanOutcome::Local(reason)),
        }
        let config = SessionConfig::clone(state.config());
        let codec = ScanCodec::new(Arc::clone(&self.environment));
        let task_config =
            self.environment.session().config().clone().with_distributed_user_codec(codec);
        let task = task_session(&self.environment, task_config).task_ctx();
        let checked = check_order(&plan, &config);
        if let Err(reason) = checked.and_then(|()| check_encoding(&plan, &config, &task)) {
            tracing::warn!(%reason, "query_not_distributed");
            return Ok(PlanOutcome::Local(reason));
        }
        let plan = if is_analyzed {
            plan
        } else {
            interrupt_head(plan, &request.cancellation)?
        };
        Ok(PlanOutcome::Distributed(WorkerPlan { plan, config, workers: names }))
    }

    /// Returns the session in which the library divides `physical`, and whose configuration executes the result.
    fn stage_session(
        &self,
        state: &SessionState,
        physical: Arc<dyn ExecutionPlan>,
        counts: TaskCounts,
        workers: QueryWorkers,
        is_analyzed: bool,
        request: &PlanRequest,
    ) -> Result<SessionState> {
        let ticket = self.tickets.as_ref().map(|issuer| {
            let lifetime = request.remaining.saturating_add(TICKET_RESERVE);
            (issuer.clone(), issuer.ticket(request.database, lifetime))
        });
        let mut headers = HeaderMap::new();
        if let Some((issuer, ticket)) = &ticket {
            let ticket = issuer
                .sign(ticket)
                .map_err(|error| DataFusionError::External(Box::new(error)))?;
            headers.insert(HeaderName::from_static(TICKET_HEADER), ticket);
        }
        let channels = GuardedChannels {
            inner: Arc::clone(&self.channels),
            world: self.world.clone(),
            start_timeout: self.settings.start_timeout,
            tickets: ticket,
            failure: FirstFailure::default(),
        };
        let codec = ScanCodec::new(Arc::clone(&self.environment));
        let max_tasks = workers.len();
        let broadcasts = self.settings.exchange == Exchange::Workers;
        Ok(SessionStateBuilder::new()
            .with_config(state.config().clone())
            .with_runtime_env(Arc::clone(state.runtime_env()))
            .with_query_planner(Arc::new(PreparedPlan(physical)))
            .with_distributed_planner()
            .with_distributed_worker_resolver(workers.clone())
            .with_distributed_route_tasks_handler(workers.clone())
            .with_distributed_scale_up_leaf_node_handler(workers)
            .with_distributed_desired_task_count_handler(counts)
            .with_distributed_channel_resolver(channels)
            .with_distributed_user_codec(codec)
            .with_distributed_passthrough_headers(headers)?
            .with_distributed_max_tasks_per_stage(max_tasks)?
            .with_distributed_broadcast_joins(broadcasts)?
            .with_distributed_children_isolator_unions(false)?
            .with_distributed_metrics_collection(is_analyzed)?
            .with_distributed_worker_connection_buffer_budget_bytes(CONNECTION_BUFFER_BYTES)?
            .build())
    }

    /// Returns a text of the stages of a plan, for `EXPLAIN`.
    pub fn describe(&self, plan: &Arc<dyn ExecutionPlan>, workers: &[String]) -> String {
        let stages = display_plan_ascii(plan.as_ref(), false);
        format!("{stages}\nworkers: {}", workers.join(", "))
    }

    /// Returns the URL of the worker whose failure caused an error, and records the failure; `None` if no worker failed.
    pub fn worker_failure(&self, error: &DataFusionError) -> Option<String> {
        let worker = failed_worker(error)?;
        if let Ok(url) = Url::parse(&worker) {
            self.workers.record_failure(&url);
        }
        Some(worker)
    }
}

/// Chooses the workers of a query: those that most likely have the data of its largest scan in their caches.
fn choose(
    largest: &Arc<dyn ExecutionPlan>,
    workers: &[WorkerAddress],
    number: usize,
) -> Vec<WorkerAddress> {
    let names: Vec<&str> = workers.iter().map(|worker| worker.name.as_str()).collect();
    let scan = largest.downcast_ref::<SnapshotScanExec>();
    let order = scan.map(|scan| scan.rank(&names)).unwrap_or_default();
    let chosen = order.into_iter().filter_map(|at| workers.get(at).cloned());
    chosen.take(number).collect()
}

/// The scans of a plan.
#[derive(Default)]
struct Scans {
    bytes: u64,
    largest: Option<Arc<dyn ExecutionPlan>>,
    /// Whether an operator executes its inputs repeatedly, which those of other processes can't.
    is_recursive: bool,
}

impl Scans {
    fn from_plan(plan: &Arc<dyn ExecutionPlan>) -> Result<Self> {
        let mut scans = Self::default();
        let mut most = 0;
        plan.apply(|node| {
            scans.is_recursive |= node.is::<RecursiveQueryExec>();
            if let Some(scan) = node.downcast_ref::<SnapshotScanExec>() {
                let bytes = scan.read_bytes();
                scans.bytes = scans.bytes.saturating_add(bytes);
                if scans.largest.is_none() || bytes > most {
                    most = bytes;
                    scans.largest = Some(Arc::clone(node));
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(scans)
    }
}

/// A planner that returns a plan made before.
#[derive(Debug)]
struct PreparedPlan(Arc<dyn ExecutionPlan>);

#[async_trait]
impl QueryPlanner for PreparedPlan {
    async fn create_physical_plan(
        &self,
        _: &LogicalPlan,
        _: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::clone(&self.0))
    }
}
