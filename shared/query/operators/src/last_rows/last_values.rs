//! The optimizer rule that gives `first_value` and `last_value` arguments that DataFusion reads fast.
//!
//! DataFusion has an accumulator of all groups for texts, but for dictionaries, the type of tags, one for each group: with
//! 4,000 groups and 10 tags, these took three quarters of the processor time of a query of the last rows. And it keeps the
//! values that the rows are ordered by for each group and function, of which group keys say nothing: `DISTINCT ON (host)` must
//! be ordered by the host first.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    common::{Column, Result, tree_node::Transformed},
    logical_expr::{
        Aggregate, Expr, ExprSchemable, LogicalPlan, Projection, cast,
        expr::{AggregateFunction, Sort},
    },
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule},
};

/// Converts tags to texts below `first_value` and `last_value`, and their results back to tags. Rows of a group are not
/// ordered by its keys.
#[derive(Debug)]
pub struct LastValuesRule;

impl OptimizerRule for LastValuesRule {
    fn name(&self) -> &'static str {
        "last_values"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else {
            return Ok(Transformed::no(plan));
        };
        Ok(match rewritten(aggregate)? {
            Some(rewritten) => Transformed::yes(rewritten),
            None => Transformed::no(plan),
        })
    }
}

/// Returns an aggregate whose functions have other arguments, below a projection with its columns; `None` if no function
/// changes.
fn rewritten(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    let functions = aggregate.aggr_expr.iter();
    let changed: Vec<Option<ChangedFunction>> = functions
        .clone()
        .map(|function| ChangedFunction::from_aggregate(function, aggregate))
        .collect();
    if changed.iter().all(Option::is_none) {
        return Ok(None);
    }
    let schema = &aggregate.schema;
    let keys = schema.fields().len().saturating_sub(changed.len());
    let names = schema.fields().iter().skip(keys);
    let functions =
        functions
            .zip(&changed)
            .zip(names)
            .map(|((function, changed), field)| match changed {
                Some(changed) => changed.function.clone().alias(field.name()),
                None => function.clone(),
            });
    let groups = aggregate.group_expr.clone();
    let input = Arc::clone(&aggregate.input);
    let aggregate = Aggregate::try_new(input, groups, functions.collect())?;
    let is_text = |changed: &Option<ChangedFunction>| changed.as_ref().is_some_and(|it| it.is_text);
    let are_texts = std::iter::repeat_n(false, keys).chain(changed.iter().map(is_text));
    let columns = schema.iter().zip(are_texts).map(|((qualifier, field), is_text)| {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        if is_text {
            cast(column, field.data_type().clone())
                .alias_qualified(qualifier.cloned(), field.name())
        } else {
            column
        }
    });
    let projection = Projection::try_new_with_schema(
        columns.collect(),
        Arc::new(LogicalPlan::Aggregate(aggregate)),
        Arc::clone(schema),
    )?;
    Ok(Some(LogicalPlan::Projection(projection)))
}

/// A function with other arguments.
struct ChangedFunction {
    function: Expr,
    /// Whether it returns a text instead of a tag.
    is_text: bool,
}

impl ChangedFunction {
    /// Returns `None` if another function, or the same arguments, are as fast.
    fn from_aggregate(function: &Expr, aggregate: &Aggregate) -> Option<Self> {
        let function = match function {
            Expr::Alias(alias) => alias.expr.as_ref(),
            other => other,
        };
        let Expr::AggregateFunction(AggregateFunction { func, params }) = function else {
            return None;
        };
        let [argument] = params.args.as_slice() else {
            return None;
        };
        if !matches!(func.name(), "first_value" | "last_value") || params.order_by.is_empty() {
            return None;
        }
        let argument_type = argument.get_type(aggregate.input.schema()).ok()?;
        let is_text = matches!(
            &argument_type,
            DataType::Dictionary(_, values) if **values == DataType::Utf8
        );
        let mut params = params.clone();
        if is_text {
            params.args = vec![cast(argument.clone(), DataType::Utf8)];
        }
        let is_key = |sort: &Sort| aggregate.group_expr.contains(&sort.expr);
        let is_ordered_by_key = params.order_by.iter().any(is_key);
        // Without an order, the function would return the value of any row.
        if is_ordered_by_key && !params.order_by.iter().all(is_key) {
            params.order_by.retain(|sort| !is_key(sort));
        } else if !is_text {
            return None;
        }
        let func = Arc::clone(func);
        let function = Expr::AggregateFunction(AggregateFunction { func, params });
        Some(Self { function, is_text })
    }
}
