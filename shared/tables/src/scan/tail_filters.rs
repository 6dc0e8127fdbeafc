//! An optimizer rule that lets scans of tails evaluate the filters above them.
//!
//! ```text
//!   FilterExec (v > 90)    ->   UnionExec
//!     UnionExec                   FilterExec (v > 90)
//!       DataSourceExec              DataSourceExec
//!       TailScanExec              TailScanExec (v > 90)
//! ```
//!
//! The scan reads the columns of the condition first, and then copies only the rows that meet it, from integers that are still narrow.

use std::sync::Arc;

use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ExecutionPlan,
        filter::{FilterExec, FilterExecBuilder},
        union::UnionExec,
    },
};

use super::{TailScanExec, redundant_time_bounds::inputs_of};

/// Moves filters into scans of tails.
#[derive(Debug)]
pub(crate) struct TailFilters;

impl PhysicalOptimizerRule for TailFilters {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            Ok(match filtered_scans(&node)? {
                Some(scans) => Transformed::yes(scans),
                None => Transformed::no(node),
            })
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "tail_filters"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Returns the replacement of a filter above scans: scans of tails that evaluate it, and filters above the others. `None` if no scan is
/// of a tail, and for other operators.
fn filtered_scans(node: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(filter) = node.downcast_ref::<FilterExec>() else {
        return Ok(None);
    };
    let inputs = inputs_of(filter.input());
    if let [input] = inputs {
        return filtered_tail(input, filter);
    }
    let mut is_changed = false;
    let mut scans = Vec::new();
    for input in inputs.iter().filter(|_| has_tail(inputs)) {
        let filter = FilterExecBuilder::from(filter).with_input(Arc::clone(input));
        let filter = filter.build()?;
        let tail = filtered_tail(input, &filter)?;
        is_changed |= tail.is_some();
        scans.push(tail.unwrap_or_else(|| Arc::new(filter)));
    }
    match is_changed {
        true => UnionExec::try_new(scans).map(Some),
        false => Ok(None),
    }
}

fn has_tail(inputs: &[Arc<dyn ExecutionPlan>]) -> bool {
    inputs.iter().any(|input| input.is::<TailScanExec>())
}

/// Returns a scan of a tail that evaluates the filter above it; `None` for other scans.
fn filtered_tail(
    scan: &Arc<dyn ExecutionPlan>,
    filter: &FilterExec,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(scan) = scan.downcast_ref::<TailScanExec>() else {
        return Ok(None);
    };
    let filtered = scan.filtered(filter)?;
    Ok(filtered.map(|scan| Arc::new(scan) as _))
}
