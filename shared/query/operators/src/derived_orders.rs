//! Orders that DataFusion 55.2 derives wrongly from the inputs of unions and outer joins, or from a filter.
//!
//! * A sort above a union is moved to the inputs, where the second of two equal columns does not order rows. The union does not
//!   know that they are equal, and so the plan is refused: `ORDER BY k, copy` over the union of `SELECT k, k AS copy ...`.
//! * A column with one value in an input of an outer join is taken for one with one value in the result, although it is null in
//!   rows without a partner. So nothing is sorted: `o LEFT JOIN (SELECT ... WHERE v = 1) AS d ... ORDER BY d.v NULLS FIRST`.
//! * A filter knows that an expression has one value, until a rule gives the filter a projection. The sort that another rule has
//!   left out by then is missing, and so the plan is refused: `rank() OVER (ORDER BY x)` over the rows of `SELECT lower(k) AS x ...
//!   WHERE lower(k) = 'a' AND w > 0`.

use std::sync::Arc;

use datafusion::{
    common::{JoinType, Result},
    physical_expr::expressions::{Column, Literal},
    physical_plan::{
        ExecutionPlan, ExecutionPlanProperties,
        execution_plan::replace_children_if_necessary,
        filter::{FilterExec, FilterExecBuilder},
        joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec},
        union::UnionExec,
    },
};

use crate::{grouping_sets::UnorderedExec, substitution_rule::SubstitutionRule};

/// Hides the orders and constants from which another rule would derive a wrong order.
pub(crate) const DERIVED_ORDERS: SubstitutionRule = SubstitutionRule {
    name: "derived_orders",
    substitute,
};

/// Hides the constants that a filter would forget later.
pub(crate) const COMPUTED_CONSTANTS: SubstitutionRule = SubstitutionRule {
    name: "computed_constants",
    substitute: without_computed_constants,
};

fn substitute(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if plan.is::<UnionExec>() {
        let has_equal = plan.children().into_iter().any(has_equal_columns);
        return Ok(has_equal.then(|| unordered(plan)));
    }
    let mut inputs = Vec::with_capacity(2);
    let mut is_changed = false;
    for (input, is_optional) in plan.children().into_iter().zip(optional_inputs(plan)) {
        let is_hidden = is_optional && !input.equivalence_properties().constants().is_empty();
        is_changed |= is_hidden;
        inputs.push(if is_hidden {
            unordered(input)
        } else {
            Arc::clone(input)
        });
    }
    if is_changed {
        replace_children_if_necessary(Arc::clone(plan), inputs).map(Some)
    } else {
        Ok(None)
    }
}

fn unordered(plan: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    Arc::new(UnorderedExec::new(Arc::clone(plan)))
}

fn has_equal_columns(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let classes = plan.equivalence_properties().eq_group();
    classes.iter().any(|class| class.len() > 1)
}

/// Returns a filter that knows of constant columns only; `None` if it knows of no others, and for other operators.
fn without_computed_constants(
    plan: &Arc<dyn ExecutionPlan>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(filter) = plan.downcast_ref::<FilterExec>() else {
        return Ok(None);
    };
    let constants = plan.equivalence_properties().constants();
    let is_kept = constants
        .iter()
        .all(|constant| constant.expr.is::<Column>() || constant.expr.is::<Literal>());
    if is_kept {
        return Ok(None);
    }
    // Any projection makes the filter forget them, also that of all columns.
    let columns = (0..plan.schema().fields().len()).collect();
    let projected = FilterExecBuilder::from(filter).apply_projection(Some(columns))?;
    Ok(Some(Arc::new(projected.build()?)))
}

/// Returns for the left and the right input of a join whether its columns are null in rows without a partner.
fn optional_inputs(plan: &Arc<dyn ExecutionPlan>) -> [bool; 2] {
    let join_type = if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        *join.join_type()
    } else if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        *join.join_type()
    } else if let Some(join) = plan.downcast_ref::<SortMergeJoinExec>() {
        join.join_type()
    } else {
        return [false; 2];
    };
    match join_type {
        JoinType::Left => [false, true],
        JoinType::Right => [true, false],
        JoinType::Full => [true, true],
        _ => [false; 2],
    }
}
