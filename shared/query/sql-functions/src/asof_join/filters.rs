//! The optimizer rule that moves conditions below an `ASOF JOIN`.

use std::sync::Arc;

use datafusion::{
    common::{
        Result,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{
        BinaryExpr, Expr, Extension, Filter, LogicalPlan, Operator,
        utils::{conjunction, split_conjunction_owned},
    },
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule},
};

use super::node::AsOfJoin;

/// Lets the left input check the conditions on its columns, and the right input those that hold for each match, too: conditions on
/// keys, and bounds of times in the direction of the matches.
///
/// Conditions on columns of the right input stay above the join, because they don't change which row is the nearest.
#[derive(Debug)]
pub(crate) struct AsOfFilterRule;

impl OptimizerRule for AsOfFilterRule {
    fn name(&self) -> &'static str {
        "asof_join_filters"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        Ok(match below_join(&plan)? {
            Some(moved) => Transformed::yes(moved),
            None => Transformed::no(plan),
        })
    }
}

/// Returns the plan with conditions below its join; `None` if no condition moves.
fn below_join(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    let LogicalPlan::Filter(filter) = plan else {
        return Ok(None);
    };
    let LogicalPlan::Extension(extension) = filter.input.as_ref() else {
        return Ok(None);
    };
    let Some(join) = extension.node.as_any().downcast_ref::<AsOfJoin>() else {
        return Ok(None);
    };
    let conditions = split_conjunction_owned(filter.predicate.clone());
    let (of_left, above): (Vec<_>, Vec<_>) =
        conditions.into_iter().partition(|condition| is_of_left(join, condition));
    let mut of_right = Vec::new();
    for condition in &of_left {
        of_right.extend(of_matches(join, condition)?);
    }
    let Some(left) = conjunction(of_left) else {
        return Ok(None);
    };
    let joined = AsOfJoin::try_new(
        Arc::new(filtered(&join.left, left)?),
        match conjunction(of_right) {
            Some(right) => Arc::new(filtered(&join.right, right)?),
            None => Arc::clone(&join.right),
        },
        join.on.clone(),
        join.times.clone(),
        join.operator,
        join.join_type,
    )?;
    let node = LogicalPlan::Extension(Extension { node: Arc::new(joined) });
    Ok(Some(match conjunction(above) {
        Some(above) => LogicalPlan::Filter(Filter::try_new(above, Arc::new(node))?),
        None => node,
    }))
}

fn filtered(input: &Arc<LogicalPlan>, condition: Expr) -> Result<LogicalPlan> {
    Filter::try_new(condition, Arc::clone(input)).map(LogicalPlan::Filter)
}

/// Whether the left input can check a condition.
fn is_of_left(join: &AsOfJoin, condition: &Expr) -> bool {
    let schema = join.left.schema();
    let has_subquery = condition.exists(|expr| {
        Ok(matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::SetComparison(_)
        ))
    });
    !has_subquery.unwrap_or(true)
        && !condition.is_volatile()
        && condition.column_refs().iter().all(|column| schema.has_column(column))
}

/// Returns a condition on the left input as one on the right input; `None` if it does not hold for each match.
fn of_matches(join: &AsOfJoin, condition: &Expr) -> Result<Option<Expr>> {
    let refs = condition.column_refs();
    let mut columns = refs.iter().map(|column| Expr::Column((*column).clone()));
    let is_of_keys =
        !refs.is_empty() && columns.all(|column| join.on.iter().any(|(left, _)| *left == column));
    if !is_of_keys && !bounds_matches(join, condition) {
        return Ok(None);
    }
    let replaced = condition.clone().transform_up(|expr| {
        let mut pairs = join.on.iter().chain([&join.times]);
        Ok(match pairs.find(|(left, _)| *left == expr) {
            Some((_, right)) => Transformed::yes(right.clone()),
            None => Transformed::no(expr),
        })
    })?;
    Ok(Some(replaced.data))
}

/// Whether a condition is a bound of the times of the left input that those of matches are within, too: an upper bound, if matches are
/// earlier.
fn bounds_matches(join: &AsOfJoin, condition: &Expr) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else {
        return false;
    };
    let is_bound = match join.operator {
        Operator::Gt | Operator::GtEq => matches!(op, Operator::Lt | Operator::LtEq),
        _ => matches!(op, Operator::Gt | Operator::GtEq),
    };
    is_bound && **left == join.times.0 && right.column_refs().is_empty()
}
