//! The check that workers send less than they read.

use std::sync::Arc;

use datafusion::physical_plan::{ExecutionPlan, aggregates::AggregateExec, filter::FilterExec};
use datafusion_distributed::{NetworkBoundaryExt, NetworkShuffleExec};

/// A plan whose workers would send most of the rows that they read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invocations would send the rows that they read, without aggregating, filtering or limiting them"
)]
pub struct NotReduced;

/// Checks that the workers of a plan reduce their rows: each stage has an aggregation, a filter or a limit, and rows that
/// are exchanged by their values go to an aggregation, not to a join or window function.
///
/// # Errors
/// Workers would send most of the rows that they read.
pub fn check_reduction(plan: &Arc<dyn ExecutionPlan>) -> Result<(), NotReduced> {
    for input in plan.children() {
        let Some(boundary) = input.as_network_boundary() else {
            check_reduction(input)?;
            continue;
        };
        let is_shuffle = input.is::<NetworkShuffleExec>();
        let stage = boundary.input_stage().local_plan();
        let is_reduced = stage.is_some_and(reduces_rows);
        if !is_reduced || (is_shuffle && !plan.is::<AggregateExec>()) {
            return Err(NotReduced);
        }
    }
    Ok(())
}

/// Whether a stage sends less rows than it reads.
fn reduces_rows(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<AggregateExec>()
        || plan.is::<FilterExec>()
        || plan.fetch().is_some()
        || plan.children().into_iter().any(reduces_rows)
}
