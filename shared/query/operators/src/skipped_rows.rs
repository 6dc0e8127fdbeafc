//! Rows that an `OFFSET` skips within a statement.
//!
//! Which rows these are depends on the order of the rows, and DataFusion 55.2 changes it for operators above the `OFFSET`:
//!
//! * A sort that such an operator needs is moved below the `OFFSET`, as in `SELECT ... FROM (SELECT id FROM o ORDER BY id DESC OFFSET 2)
//!   AS d ORDER BY id`.
//! * If no operator above needs an order, the sort below the `OFFSET` is left out, as in `SELECT sum(id) FROM (SELECT id FROM o ORDER BY v
//!   OFFSET 2) AS d`, and in a subquery with one value. It looks for the order of the rows that the `OFFSET` gets, and a projection has
//!   removed the column `v`.

use std::sync::Arc;

use datafusion::{
    common::Result,
    physical_plan::{
        ExecutionPlan, execution_plan::replace_children_if_necessary, limit::GlobalLimitExec,
        projection::ProjectionExec,
    },
};

use crate::{
    derived_orders::with_inputs, grouping_sets::UnorderedExec, substitution_rule::SubstitutionRule,
};

/// The operators above an `OFFSET` that return its rows in their order as the answer.
const OPERATORS_OF_ANSWERS: [&str; 4] =
    ["ProjectionExec", "GlobalLimitExec", "LocalLimitExec", "ScalarSubqueryExec"];

/// Moves projections above an `OFFSET`, and hides the order of its rows from the operators above within a statement.
pub(crate) const SKIPPED_ROWS: SubstitutionRule = SubstitutionRule {
    name: "skipped_rows",
    substitute: |plan| {
        if let Some(limit) = as_offset(plan) {
            return with_projections_above(limit);
        }
        if OPERATORS_OF_ANSWERS.contains(&plan.name()) {
            return Ok(None);
        }
        with_inputs(plan, |input| {
            if as_offset(below_projections(input, &mut Vec::new())).is_some() {
                return Ok(Some(Arc::new(UnorderedExec::new(Arc::clone(input)))));
            }
            Ok(None)
        })
    },
};

/// Returns the operator if it skips rows.
fn as_offset(plan: &Arc<dyn ExecutionPlan>) -> Option<&GlobalLimitExec> {
    plan.downcast_ref::<GlobalLimitExec>().filter(|limit| limit.skip() > 0)
}

/// Returns the rows of an `OFFSET` with the projections below it above it. Returns `None` if there are none.
fn with_projections_above(limit: &GlobalLimitExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let mut projections = Vec::new();
    let all = below_projections(limit.input(), &mut projections);
    if projections.is_empty() {
        return Ok(None);
    }
    let offset = GlobalLimitExec::new(Arc::clone(all), limit.skip(), limit.fetch());
    let mut rows: Arc<dyn ExecutionPlan> = Arc::new(offset);
    for projection in projections.into_iter().rev() {
        rows = replace_children_if_necessary(Arc::clone(projection), vec![rows])?;
    }
    Ok(Some(rows))
}

/// Returns the operator below projections, and adds them to the others from the topmost one on.
fn below_projections<'a>(
    operator: &'a Arc<dyn ExecutionPlan>,
    projections: &mut Vec<&'a Arc<dyn ExecutionPlan>>,
) -> &'a Arc<dyn ExecutionPlan> {
    let mut below = operator;
    while let Some(projection) = below.downcast_ref::<ProjectionExec>() {
        projections.push(below);
        below = projection.input();
    }
    below
}
