//! The optimizer rule that finds plans which a cache can help.

use std::sync::Arc;

use datafusion::{
    common::{
        Result,
        tree_node::{Transformed, TreeNode},
    },
    datasource::provider_as_source,
    logical_expr::LogicalPlan,
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule},
};

use super::{Need, need::table_of, table::NarrowedTable};

/// Lets scans give only the rows that matter, where they can.
#[derive(Debug)]
pub(crate) struct NarrowToCache;

impl OptimizerRule for NarrowToCache {
    fn name(&self) -> &'static str {
        "narrow_to_cache"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let Some(need) = Need::of(&plan) else {
            return Ok(Transformed::no(plan));
        };
        // There is one scan below, and nothing between that makes other rows of its rows.
        plan.transform_down(|node| {
            let LogicalPlan::TableScan(mut scan) = node else {
                return Ok(Transformed::no(node));
            };
            let rows = table_of(&scan);
            let Some((scope, rows)) = rows.as_ref().and_then(|rows| Some((rows.caches()?, rows)))
            else {
                return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
            };
            let narrowed = NarrowedTable::new(scope, rows.clone(), need.clone());
            scan.source = provider_as_source(Arc::new(narrowed));
            Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
        })
    }
}
