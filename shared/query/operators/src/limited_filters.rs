//! The filters below sorts with a limit.
//!
//! DataFusion's filter collects the rows that meet its condition until they fill a batch. The sort knows the times of its
//! rows only after it has got a batch, and tells the scan then which sections it can skip. If a section has few rows of a
//! series, the scan would read many sections until then. So the filter collects only as many rows as the limit.

use std::sync::Arc;

use datafusion::{
    common::{
        Result,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    physical_plan::{
        ExecutionPlan, filter::FilterExec, projection::ProjectionExec, sorts::sort::SortExec,
    },
};

use crate::{
    derived_orders::with_inputs, passing_operators::passes_all_rows,
    substitution_rule::SubstitutionRule,
};

/// Minimum number of rows that a filter collects, because a sort needs hardly less time for a smaller batch. More than half as many
/// rows of one input batch are passed on at once.
const MIN_ROWS: usize = 128;

/// Lets filters below a sort with a limit collect about as many rows as the limit.
pub(crate) const LIMITED_FILTERS: SubstitutionRule = SubstitutionRule {
    name: "limited_filters",
    substitute: |plan| {
        let sort = plan.downcast_ref::<SortExec>();
        let Some(limit) = sort.and_then(|sort| sort.fetch()) else {
            return Ok(None);
        };
        with_inputs(plan, |input| with_batches(input, limit.max(MIN_ROWS)))
    },
};

/// Returns a plan whose filters collect at most so many rows. Returns `None` if they do already.
fn with_batches(
    plan: &Arc<dyn ExecutionPlan>,
    rows: usize,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let changed = Arc::clone(plan).transform_down(|operator| {
        if let Some(filter) = operator.downcast_ref::<FilterExec>()
            && rows < filter.batch_size()
        {
            let limited: Arc<dyn ExecutionPlan> = Arc::new(filter.with_batch_size(rows)?);
            return Ok(Transformed::yes(limited));
        }
        let keeps_rows = passes_all_rows(operator.as_ref())
            || operator.is::<FilterExec>()
            || operator.is::<ProjectionExec>();
        let recursion = if keeps_rows {
            TreeNodeRecursion::Continue
        } else {
            TreeNodeRecursion::Jump
        };
        Ok(Transformed::new(operator, false, recursion))
    })?;
    Ok(changed.transformed.then_some(changed.data))
}
