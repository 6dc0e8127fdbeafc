//! Lets scans of tails evaluate the filters above them, for an optimizer rule.
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
    common::Result,
    physical_plan::{
        ExecutionPlan,
        filter::{FilterExec, FilterExecBuilder},
        union::UnionExec,
    },
};

use crate::{redundant_time_bounds::inputs_of, tail::TailScanExec};

/// Returns the replacement of a filter above scans: scans of tails that evaluate it, and filters above the others. `None` if no scan is
/// of a tail, and for other operators.
///
/// # Errors
/// DataFusion can't create an operator.
pub fn with_filtered_tails(
    node: &Arc<dyn ExecutionPlan>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
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
        let filter = FilterExecBuilder::from(filter).with_input(Arc::clone(input)).build()?;
        let tail = filtered_tail(input, &filter)?;
        is_changed |= tail.is_some();
        scans.push(tail.unwrap_or_else(|| Arc::new(filter)));
    }
    if is_changed {
        UnionExec::try_new(scans).map(Some)
    } else {
        Ok(None)
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
