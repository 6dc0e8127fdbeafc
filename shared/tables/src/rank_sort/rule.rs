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

use super::RankSortExec;

/// Adds [`RankSortExec`] above the sorts by several columns that it can do. DataFusion compares one column as fast, and sorts
/// the partitions at the same time.
#[derive(Debug)]
pub(crate) struct RankSortRule;

impl PhysicalOptimizerRule for RankSortRule {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            Ok(match RankSortExec::sorted_columns(&node) > 1 {
                true => Transformed::yes(Arc::new(RankSortExec::new(node))),
                false => Transformed::no(node),
            })
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "rank_sort"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
