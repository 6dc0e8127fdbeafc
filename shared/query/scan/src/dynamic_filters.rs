//! Filters that change while a query runs, such as the bound that the rows of `ORDER BY ... LIMIT` have found so far.

use std::sync::Arc;

use datafusion::{
    common::{Result, config::ConfigOptions},
    physical_expr::{PhysicalExpr, conjunction},
    physical_optimizer::{PhysicalOptimizerRule, filter_pushdown::FilterPushdown},
    physical_plan::{ExecutionPlan, filter::FilterExecBuilder},
};

/// Filters the rows of a plan, and pushes the filters into the operators that can skip rows by them.
pub(crate) fn push_filters(
    plan: Arc<dyn ExecutionPlan>,
    filters: &[Arc<dyn PhysicalExpr>],
    options: &ConfigOptions,
) -> Result<Arc<dyn ExecutionPlan>> {
    if filters.is_empty() {
        return Ok(plan);
    }
    let filtered = FilterExecBuilder::new(conjunction(filters.iter().cloned()), plan)
        .with_batch_size(options.execution.batch_size.into());
    FilterPushdown::new().optimize(Arc::new(filtered.build()?), options)
}
