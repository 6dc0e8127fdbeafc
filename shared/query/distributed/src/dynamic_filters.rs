//! Filters that operators of a task change while they run.
//!
//! The coordinator plans without them, because a filter reaches only operators of its own process. A worker adds those
//! that begin and end in the same task: the bounds of `ORDER BY ... LIMIT`, and of minimum and maximum. Those of joins
//! are left out, because their operators wait for all partitions of the join, which other tasks may not ask for.

use datafusion::{
    common::Result,
    physical_optimizer::{PhysicalOptimizerRule, filter_pushdown::FilterPushdown},
};
use datafusion_distributed::{
    WorkerPlanRewriteEvent, WorkerPlanRewriteEventResponse, WorkerPlanRewriteHandler,
};

/// Adds the filters to the stage of a task when it arrives on a worker.
pub(crate) struct TaskFilters;

impl WorkerPlanRewriteHandler for TaskFilters {
    fn rewrite_worker_plan(
        &self,
        event: WorkerPlanRewriteEvent<'_>,
    ) -> Result<WorkerPlanRewriteEventResponse> {
        let mut options = event.session_config.options().as_ref().clone();
        options.optimizer.enable_join_dynamic_filter_pushdown = false;
        let rule = FilterPushdown::new_post_optimization();
        let plan = rule.optimize(event.plan, &options)?;
        Ok(WorkerPlanRewriteEventResponse::new(plan))
    }
}
