//! Orders that DataFusion 55.2 derives wrongly.
//!
//! * A column with one value in an input of an outer join is taken for one with one value in the result, although it is null in
//!   rows without a partner. So nothing is sorted: `o LEFT JOIN (SELECT ... WHERE v = 1) AS d ... ORDER BY d.v NULLS FIRST`.
//! * A sort is moved below an operator, or left out, because its input has the order. The operator, or one that another rule
//!   puts in its place, does not pass the order on, and so the plan is refused:
//!   * a union does not know that two columns are equal in all its inputs: `ORDER BY k, copy` over the union of `SELECT k, k AS
//!     copy ...`
//!   * a join forgets that a column of its right input has one value: `o JOIN (SELECT id, 7 AS n ...) AS d ... ORDER BY n`
//!   * a filter forgets that an expression has one value, once it has a projection: `rank() OVER (ORDER BY x)` over the rows of
//!     `SELECT lower(k) AS x ... WHERE lower(k) = 'a' AND w > 0`.
//! * A sort has one of several equal columns in the place of all of them. A window looks for its partitions in the order of the sort,
//!   one after the other, and does not find those after an expression with another of these columns: `sum(o.v) OVER (PARTITION BY o.id
//!   + i.id, o.k)` over `o JOIN i ON o.id = i.id` fails.

use std::sync::Arc;

use datafusion::{
    common::{JoinType, Result},
    physical_expr::{LexOrdering, PhysicalExpr},
    physical_plan::{
        ExecutionPlan, ExecutionPlanProperties,
        execution_plan::replace_children_if_necessary,
        joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec},
        sorts::sort::SortExec,
        windows::{BoundedWindowAggExec, WindowAggExec},
    },
};

use crate::{grouping_sets::UnorderedExec, substitution_rule::SubstitutionRule};

/// Hides the orders and constants from which another rule would derive a wrong order.
pub(crate) const DERIVED_ORDERS: SubstitutionRule = SubstitutionRule {
    name: "derived_orders",
    substitute: |plan| {
        let mut are_optional = optional_inputs(plan).into_iter();
        with_inputs(plan, |input| {
            let is_optional = are_optional.next() == Some(true);
            if is_optional && !input.equivalence_properties().constants().is_empty() {
                return Ok(Some(Arc::new(UnorderedExec::new(Arc::clone(input)))));
            }
            Ok(None)
        })
    },
};

/// Hides the equal columns of its input from a window that would not find its partitions because of them.
pub(crate) const WINDOW_PARTITIONS: SubstitutionRule = SubstitutionRule {
    name: "window_partitions",
    substitute: |plan| {
        let partition = partition_of_window(plan);
        with_inputs(plan, |input| {
            let equal = input.equivalence_properties().eq_group();
            let is_replaced = |expr: &Arc<dyn PhysicalExpr>| {
                equal.get_equivalence_class(expr).is_none()
                    && equal.normalize_expr(Arc::clone(expr)).ne(expr)
            };
            if partition.len() > 1 && partition.iter().any(is_replaced) {
                return Ok(Some(Arc::new(UnorderedExec::new(Arc::clone(input)))));
            }
            Ok(None)
        })
    },
};

/// Sorts the inputs that lack the order which an operator needs.
pub(crate) const MISSING_SORTS: SubstitutionRule = SubstitutionRule {
    name: "missing_sorts",
    substitute: |plan| {
        let mut needed = plan.required_input_ordering().into_iter();
        with_inputs(plan, |input| {
            let Some(order) = needed.next().flatten() else {
                return Ok(None);
            };
            let order = order.into_single();
            let known = input.equivalence_properties();
            if known.ordering_satisfy_requirement(order.clone())? {
                return Ok(None);
            }
            let sort = SortExec::new(LexOrdering::from(order), Arc::clone(input));
            Ok(Some(Arc::new(sort.with_preserve_partitioning(true))))
        })
    },
};

/// Substitutes inputs of an operator. Returns `None` if all of them stay.
pub(crate) fn with_inputs(
    plan: &Arc<dyn ExecutionPlan>,
    mut substitute: impl FnMut(&Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let mut inputs = Vec::new();
    let mut is_changed = false;
    for input in plan.children() {
        let substituted = substitute(input)?;
        is_changed |= substituted.is_some();
        inputs.push(substituted.unwrap_or_else(|| Arc::clone(input)));
    }
    if is_changed {
        replace_children_if_necessary(Arc::clone(plan), inputs).map(Some)
    } else {
        Ok(None)
    }
}

/// Returns the expressions of `PARTITION BY` of a window; none for other operators.
fn partition_of_window(plan: &Arc<dyn ExecutionPlan>) -> &[Arc<dyn PhysicalExpr>] {
    let windows = if let Some(window) = plan.downcast_ref::<WindowAggExec>() {
        window.window_expr()
    } else if let Some(window) = plan.downcast_ref::<BoundedWindowAggExec>() {
        window.window_expr()
    } else {
        return &[];
    };
    // All of them have the same.
    windows.first().map(|window| window.partition_by()).unwrap_or_default()
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
