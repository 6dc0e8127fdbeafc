//! Distributes the queries of an engine over the workers of a cluster.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::{
    error::DataFusionError, execution::SessionState, logical_expr::LogicalPlan,
    physical_plan::ExecutionPlan,
};
use neap_distributed::{DistributedPlanner, PlanOutcome, PlanRequest};
use neap_query::{
    DistributedPlan, Distribution, DistributionAttempt, PlanDistributor, WorkerFailure,
};

/// Distributes queries over the workers of a cluster.
#[derive(Debug)]
pub struct ClusterDistributor {
    planner: DistributedPlanner,
}

impl ClusterDistributor {
    /// Distributes queries with this planner.
    pub fn new(planner: DistributedPlanner) -> Self {
        Self { planner }
    }
}

#[async_trait]
impl PlanDistributor for ClusterDistributor {
    async fn distribute(
        &self,
        state: &SessionState,
        query: &LogicalPlan,
        local: &Arc<dyn ExecutionPlan>,
        attempt: &DistributionAttempt,
    ) -> Result<Distribution, DataFusionError> {
        let request = PlanRequest {
            database: attempt.database,
            remaining: attempt.remaining,
            excluded: attempt.excluded.clone(),
            cancellation: attempt.cancellation.clone(),
        };
        let planned = self.planner.plan(state, query, local, &request).await?;
        Ok(match planned {
            PlanOutcome::Local(reason) => Distribution::Local(reason),
            PlanOutcome::Distributed(plan) => Distribution::Workers(DistributedPlan {
                plan: plan.plan,
                config: plan.config,
                workers: plan.workers,
            }),
        })
    }

    fn describe(&self, plan: &DistributedPlan) -> String {
        self.planner.describe(&plan.plan, &plan.workers)
    }

    fn worker_failure(&self, error: &DataFusionError) -> Option<WorkerFailure> {
        let worker = self.planner.worker_failure(error)?;
        Some(WorkerFailure { worker: Some(worker) })
    }
}
