//! The optimizer rule of operators that compute other operators in their place.

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

/// Returns an operator with a plan as its input; `None` if the plan is executed as it is.
type Substitute = fn(&Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>>;

/// Puts an operator above each plan that it computes in its place.
#[derive(Debug)]
pub(crate) struct SubstitutionRule {
    /// The name of the rule.
    pub(crate) name: &'static str,
    /// Chooses the operator.
    pub(crate) substitute: Substitute,
}

impl PhysicalOptimizerRule for SubstitutionRule {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            Ok(match (self.substitute)(&node) {
                Some(substitute) => Transformed::yes(substitute),
                None => Transformed::no(node),
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        self.name
    }

    fn schema_check(&self) -> bool {
        true
    }
}
