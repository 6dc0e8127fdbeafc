//! The optimizer rule that finds plans that a cache may answer.

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

use super::{RequiredRows, required_rows::table_of, table::RewrittenTable};
use crate::caches::cached_table::CachedTable;

/// Replaces the table of a scan by a [`RewrittenTable`], which may read only the required rows, from a cache.
#[derive(Debug)]
pub(crate) struct CacheRewrite;

impl OptimizerRule for CacheRewrite {
    fn name(&self) -> &'static str {
        "cache_rewrite"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let Some(need) = RequiredRows::from_plan(&plan) else {
            return Ok(Transformed::no(plan));
        };
        // `RequiredRows::from_plan` has checked that there is one scan below, and only filters and projections in between.
        plan.transform_down(|node| {
            let LogicalPlan::TableScan(mut scan) = node else {
                return Ok(Transformed::no(node));
            };
            let Some(CachedTable { scope, rows }) = table_of(&scan) else {
                return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
            };
            let narrowed = RewrittenTable::new(&scope, rows, need.clone());
            scan.source = provider_as_source(Arc::new(narrowed));
            Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
        })
    }
}
