//! The decisions of the library's planner and coordinator: the number of tasks of a stage, their scans, and their
//! workers.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::{
    common::{Result, exec_err, plan_err},
    physical_expr::Partitioning,
    physical_plan::{ExecutionPlan, repartition::RepartitionExec},
};
use datafusion_distributed::{
    DesiredTaskCountEvent, DesiredTaskCountEventResponse, DesiredTaskCountHandler,
    DistributedLeafExec, RouteTasksEvent, RouteTasksEventResponse, RouteTasksHandler,
    ScaleUpLeafNodeEvent, ScaleUpLeafNodeEventResponse, ScaleUpLeafNodeHandler, WorkerResolver,
};
use neap_scan::SnapshotScanExec;
use url::Url;

use crate::{exchange::Exchange, portability::Portability, worker_set::WorkerAddress};

/// The workers of one query, in the order of their tasks: task `i` of each stage runs on worker `i`.
#[derive(Clone, Debug)]
pub(crate) struct QueryWorkers {
    workers: Arc<[WorkerAddress]>,
    min_part_bytes: u64,
}

impl QueryWorkers {
    /// Uses these workers in their order, and divides scans by series into parts of at least `min_part_bytes`.
    pub(crate) fn new(workers: Vec<WorkerAddress>, min_part_bytes: u64) -> Self {
        Self { workers: workers.into(), min_part_bytes }
    }

    pub(crate) fn len(&self) -> usize {
        self.workers.len()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.workers.iter().map(|worker| worker.name.clone()).collect()
    }

    /// Returns the workers of a stage with this number of tasks.
    fn of_stage(&self, tasks: usize) -> Option<&[WorkerAddress]> {
        self.workers.get(..tasks)
    }
}

impl WorkerResolver for QueryWorkers {
    fn get_urls(&self) -> Result<Vec<Url>> {
        Ok(self.workers.iter().map(|worker| worker.url.clone()).collect())
    }
}

impl RouteTasksHandler for QueryWorkers {
    fn handle(&self, event: RouteTasksEvent<'_>) -> Option<Result<RouteTasksEventResponse>> {
        let tasks = event.task_count;
        Some(match self.of_stage(tasks) {
            Some(workers) => Ok(RouteTasksEventResponse::new(
                workers.iter().map(|worker| worker.url.clone()).collect(),
            )),
            None => exec_err!("a stage has {tasks} tasks for {} workers", self.len()),
        })
    }
}

impl ScaleUpLeafNodeHandler for QueryWorkers {
    fn handle(
        &self,
        event: ScaleUpLeafNodeEvent<'_>,
    ) -> Option<Result<ScaleUpLeafNodeEventResponse>> {
        let scan = event.plan.downcast_ref::<SnapshotScanExec>()?;
        // The only task of a stage reads everything, also in this process.
        if event.task_count <= 1 {
            return None;
        }
        let divided = self.divide(event.plan, scan, event.task_count);
        Some(divided.map(|leaf| ScaleUpLeafNodeEventResponse::new(Arc::new(leaf))))
    }
}

impl QueryWorkers {
    /// Divides a scan among the workers of its stage.
    fn divide(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        scan: &SnapshotScanExec,
        tasks: usize,
    ) -> Result<DistributedLeafExec> {
        let Some(workers) = self.of_stage(tasks) else {
            return plan_err!("a stage has {tasks} tasks for {} workers", self.len());
        };
        let names: Vec<&str> = workers.iter().map(|worker| worker.name.as_str()).collect();
        let parts = scan
            .assign(&names, self.min_part_bytes)?
            .into_iter()
            .map(|part| part as Arc<dyn ExecutionPlan>);
        DistributedLeafExec::try_new(Arc::clone(plan), parts)
    }
}

/// Decides the number of tasks of a stage.
#[derive(Clone, Debug)]
pub(crate) struct TaskCounts {
    pub(crate) bytes_per_worker: u64,
    pub(crate) max_tasks: usize,
    pub(crate) portability: Portability,
    pub(crate) exchange: Exchange,
}

impl TaskCounts {
    /// Returns the number of tasks for this many bytes; the maximum if there is no limit for one worker.
    pub(crate) fn of_bytes(&self, bytes: u64) -> usize {
        let tasks = match self.bytes_per_worker {
            0 => self.max_tasks,
            bytes_per_worker => {
                usize::try_from(bytes.div_ceil(bytes_per_worker)).unwrap_or(usize::MAX)
            }
        };
        tasks.clamp(1, self.max_tasks.max(1))
    }

    fn of_operator(&self, node: &Arc<dyn ExecutionPlan>) -> Option<DesiredTaskCountEventResponse> {
        if let Some(scan) = node.downcast_ref::<SnapshotScanExec>() {
            let tasks = self.of_bytes(scan.read_bytes());
            return Some(DesiredTaskCountEventResponse::desired(tasks));
        }
        let needs_this_process = !self.portability.is_portable(node.as_ref())
            || (self.exchange == Exchange::Coordinator && reads_shuffle(node));
        needs_this_process.then(|| DesiredTaskCountEventResponse::maximum(1))
    }
}

/// Whether an input of an operator becomes a shuffle between stages.
fn reads_shuffle(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.children().into_iter().any(|input| {
        let repartition = input.downcast_ref::<RepartitionExec>();
        repartition.is_some_and(|input| matches!(input.partitioning(), Partitioning::Hash(..)))
    })
}

#[async_trait]
impl DesiredTaskCountHandler for TaskCounts {
    async fn handle(
        &self,
        event: DesiredTaskCountEvent<'_>,
    ) -> Option<Result<DesiredTaskCountEventResponse>> {
        self.of_operator(event.plan).map(Ok)
    }
}
