//! The optimizer rules that replace single operators.

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

/// Returns the replacement of an operator; `None` if the operator stays.
type Substitute = fn(&Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>>;

/// Replaces operators, from the scans upwards.
#[derive(Debug)]
pub(crate) struct SubstitutionRule {
    pub(crate) name: &'static str,
    /// Returns the replacement.
    pub(crate) substitute: Substitute,
}

impl PhysicalOptimizerRule for SubstitutionRule {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            Ok(match (self.substitute)(&node)? {
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
