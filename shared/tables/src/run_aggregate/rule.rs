//! The optimizer rule that chooses the operator.

use std::sync::Arc;

use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::ExecutionPlan,
};

use super::RunAggregateExec;

/// Adds [`RunAggregateExec`] above the partial aggregates that it can compute.
#[derive(Debug)]
pub(crate) struct RunAggregateRule;

impl PhysicalOptimizerRule for RunAggregateRule {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            Ok(match RunAggregateExec::supports(&node) {
                true => Transformed::yes(Arc::new(RunAggregateExec::new(node))),
                false => Transformed::no(node),
            })
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "run_aggregate"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
