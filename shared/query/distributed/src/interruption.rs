//! Checks for cancellation in the operators of distributed plans.
//!
//! An operator that computes for a long time without a batch of rows does not notice that its rows are no longer wanted.
//! [`with_cancellation`] adds checks to a plan, but changes its nodes. The library matches the nodes of stages by their
//! places, so the checks are added where it does not: above the stages, and on workers after a stage has arrived.

use std::{fmt, sync::Arc};

use datafusion::{
    common::{
        Result, internal_err,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{
        ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        ReplaceChildrenOptions, repartition::RepartitionExec,
    },
};
use datafusion_distributed::{
    BroadcastExec, DistributedExec, NetworkBoundaryExt, WorkerPlanRewriteEvent,
    WorkerPlanRewriteEventResponse, WorkerPlanRewriteHandler,
};
use neap_operators::{Cancellation, with_cancellation};

/// Adds checks to the operators above the stages of a distributed plan.
pub(crate) fn interrupt_head(
    plan: Arc<dyn ExecutionPlan>,
    cancellation: &Cancellation,
) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(head) = plan
        .is::<DistributedExec>()
        .then(|| plan.children().into_iter().next().cloned())
        .flatten()
    else {
        return Ok(plan);
    };
    let hidden = head.transform_down(|node| {
        Ok(if node.is_network_boundary() {
            Transformed::new(Arc::new(HiddenStage(node)) as _, true, TreeNodeRecursion::Jump)
        } else {
            Transformed::no(node)
        })
    })?;
    let checked = with_cancellation(hidden.data, cancellation)?;
    let shown = checked.transform_down(|node| {
        let stage = node.downcast_ref::<HiddenStage>();
        Ok(match stage.map(|stage| Arc::clone(&stage.0)) {
            Some(boundary) => Transformed::new(boundary, true, TreeNodeRecursion::Jump),
            None => Transformed::no(node),
        })
    })?;
    plan.replace_children(
        vec![shown.data],
        ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
    )
}

/// Adds checks to the stage of a task when it arrives on a worker.
pub(crate) struct TaskInterruption(pub(crate) Cancellation);

impl WorkerPlanRewriteHandler for TaskInterruption {
    fn rewrite_worker_plan(
        &self,
        event: WorkerPlanRewriteEvent<'_>,
    ) -> Result<WorkerPlanRewriteEventResponse> {
        let plan = event.plan;
        // The library looks for these operators at the top of a stage.
        let is_exchange = plan.is::<RepartitionExec>() || plan.is::<BroadcastExec>();
        let plan = if is_exchange {
            let inputs = plan
                .children()
                .into_iter()
                .cloned()
                .map(|input| with_cancellation(input, &self.0))
                .collect::<Result<Vec<_>>>()?;
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            plan.replace_children(inputs, options)?
        } else {
            with_cancellation(plan, &self.0)?
        };
        Ok(WorkerPlanRewriteEventResponse::new(plan))
    }
}

/// Stands for a stage while the operators above it are rewritten.
#[derive(Debug)]
struct HiddenStage(Arc<dyn ExecutionPlan>);

impl DisplayAs for HiddenStage {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ExecutionPlan for HiddenStage {
    fn name(&self) -> &'static str {
        "HiddenStage"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.0.properties()
    }

    neap_scan::leaf_methods!();
    neap_scan::no_expressions_method!();

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        internal_err!("a hidden stage is not executed")
    }
}
