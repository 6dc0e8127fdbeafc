//! The optimizer rule that lets `first_value` and `last_value` read tags as plain texts.
//!
//! DataFusion has an accumulator of all groups for texts, but for dictionaries, the type of tags, one for each group: with
//! 4,000 groups and 10 tags, these took three quarters of the processor time of a query of the last rows.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    common::{Column, DFSchema, Result, tree_node::Transformed},
    logical_expr::{
        Aggregate, Expr, ExprSchemable, LogicalPlan, Projection, cast, expr::AggregateFunction,
    },
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule},
};

/// Converts tags to texts below `first_value` and `last_value`, and their results back to tags.
#[derive(Debug)]
pub(crate) struct LastTextsRule;

impl OptimizerRule for LastTextsRule {
    fn name(&self) -> &'static str {
        "last_texts"
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
        Ok(match of_texts(aggregate)? {
            Some(rewritten) => Transformed::yes(rewritten),
            None => Transformed::no(plan),
        })
    }
}

/// Returns an aggregate whose functions read texts, below a projection with its columns; `None` if no function reads tags.
fn of_texts(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    let input = aggregate.input.schema();
    let functions = aggregate.aggr_expr.iter();
    let texts: Vec<Option<Expr>> = functions
        .clone()
        .map(|function| of_text(function, input))
        .collect();
    if texts.iter().all(Option::is_none) {
        return Ok(None);
    }
    let schema = &aggregate.schema;
    let keys = schema.fields().len().saturating_sub(texts.len());
    let names = schema.fields().iter().skip(keys);
    let rewritten = functions.zip(&texts).zip(names);
    let rewritten = rewritten.map(|((function, text), field)| match text {
        Some(text) => text.clone().alias(field.name()),
        None => function.clone(),
    });
    let groups = aggregate.group_expr.clone();
    let rewritten = Aggregate::try_new(Arc::clone(&aggregate.input), groups, rewritten.collect())?;
    let changed = texts.iter().map(Option::is_some);
    let changed = std::iter::repeat_n(false, keys).chain(changed);
    let columns = schema
        .iter()
        .zip(changed)
        .map(|((qualifier, field), changed)| {
            let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            match changed {
                true => cast(column, field.data_type().clone())
                    .alias_qualified(qualifier.cloned(), field.name()),
                false => column,
            }
        });
    let projection = Projection::try_new_with_schema(
        columns.collect(),
        Arc::new(LogicalPlan::Aggregate(rewritten)),
        Arc::clone(schema),
    )?;
    Ok(Some(LogicalPlan::Projection(projection)))
}

/// Returns a function that reads a tag as text; `None` if it is another function.
fn of_text(function: &Expr, input: &DFSchema) -> Option<Expr> {
    let function = match function {
        Expr::Alias(alias) => alias.expr.as_ref(),
        other => other,
    };
    let Expr::AggregateFunction(AggregateFunction { func, params }) = function else {
        return None;
    };
    if !matches!(func.name(), "first_value" | "last_value") || params.order_by.is_empty() {
        return None;
    }
    let [argument] = params.args.as_slice() else {
        return None;
    };
    match argument.get_type(input).ok()? {
        DataType::Dictionary(_, values) if *values == DataType::Utf8 => {}
        _ => return None,
    }
    let mut params = params.clone();
    params.args = vec![cast(argument.clone(), DataType::Utf8)];
    let func = Arc::clone(func);
    Some(Expr::AggregateFunction(AggregateFunction { func, params }))
}
