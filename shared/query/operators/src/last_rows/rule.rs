//! The optimizer rule that adds the operator below aggregates.

use std::{collections::BTreeSet, sync::Arc};

use arrow::datatypes::Schema;
use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    physical_expr::{PhysicalExpr, expressions::Column},
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ExecutionPlan,
        aggregates::{AggregateExec, AggregateInputMode},
        execution_plan::replace_children_if_necessary,
        udaf::AggregateFunctionExpr,
    },
};

use super::{LastRowsExec, LastRowsParameters, TimeEnd, newest_rows::read_newest_rows};

/// Adds [`LastRowsExec`] below aggregates of which all functions need only the last rows of a group, or only the first
/// ones. Scans below it read only the newest rows of each series from tails, and no sections of which another one has newer rows of
/// all series.
#[derive(Debug)]
pub(crate) struct LastRowsRule;

impl PhysicalOptimizerRule for LastRowsRule {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let Some(aggregate) = node.downcast_ref::<AggregateExec>() else {
                return Ok(Transformed::no(node));
            };
            let Some(parameters) = parameters_of(aggregate) else {
                return Ok(Transformed::no(node));
            };
            let input = read_newest_rows(aggregate.input(), &parameters, config)?
                .unwrap_or_else(|| Arc::clone(aggregate.input()));
            let input = LastRowsExec::try_new(input, parameters)?;
            let node = replace_children_if_necessary(node, vec![Arc::new(input)])?;
            Ok(Transformed::yes(node))
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "last_rows"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Returns the rows that an aggregate needs; `None` if it may need all.
fn parameters_of(aggregate: &AggregateExec) -> Option<LastRowsParameters> {
    let is_raw = aggregate.mode().input_mode() == AggregateInputMode::Raw;
    let groups = aggregate.group_expr();
    let is_plain = groups.is_single();
    let is_filtered = aggregate.filter_expr().iter().any(Option::is_some);
    if !is_raw || !is_plain || is_filtered || aggregate.limit_options().is_some() {
        return None;
    }
    let keys: Vec<usize> =
        groups.expr().iter().map(|(key, _)| index_of(key)).collect::<Option<_>>()?;
    let functions = aggregate.aggr_expr().iter();
    let needs: Vec<FunctionNeeds> = functions
        .map(|function| FunctionNeeds::from_aggregate(function, &keys))
        .collect::<Option<_>>()?;
    let first = needs.iter().find(|needs| needs.selects_values)?;
    let (time, end) = (first.time, first.end);
    let is_same = needs.iter().all(|needs| (needs.time, needs.end) == (time, end));
    let required: BTreeSet<usize> = needs.iter().filter_map(|needs| needs.required).collect();
    let parameters =
        LastRowsParameters { keys, time, end, required: required.into_iter().collect() };
    let input: &Schema = &aggregate.input().schema();
    (is_same && parameters.check(input).is_ok()).then_some(parameters)
}

/// The rows of a group that a function needs.
struct FunctionNeeds {
    /// The column of times.
    time: usize,
    end: TimeEnd,
    /// The column without whose value a row does not count.
    required: Option<usize>,
    /// Whether the function returns values of the row, not only its time.
    selects_values: bool,
}

impl FunctionNeeds {
    /// Returns what a function needs; `None` if it may need all rows.
    fn from_aggregate(function: &AggregateFunctionExpr, keys: &[usize]) -> Option<Self> {
        let arguments = function.expressions();
        let argument = |at: usize| arguments.get(at).and_then(index_of);
        let of_time = |time, end| Self { time, end, required: None, selects_values: false };
        match function.fun().name() {
            "max" => Some(of_time(argument(0)?, TimeEnd::Last)),
            "min" => Some(of_time(argument(0)?, TimeEnd::First)),
            name @ ("selector_first" | "selector_last") => Some(Self {
                time: argument(1)?,
                end: match name {
                    "selector_first" => TimeEnd::First,
                    _ => TimeEnd::Last,
                },
                required: Some(argument(0)?),
                selects_values: true,
            }),
            name @ ("first_value" | "last_value") => {
                let (time, is_descending) = order_in_group(function, keys)?;
                let required = if function.ignore_nulls() {
                    Some(argument(0)?)
                } else {
                    None
                };
                Some(Self {
                    time,
                    end: if (name == "last_value") == is_descending {
                        TimeEnd::First
                    } else {
                        TimeEnd::Last
                    },
                    required,
                    selects_values: true,
                })
            }
            _ => None,
        }
    }
}

/// Returns the column by which a function orders the rows of a group, and whether the order is descending; `None` if
/// there is none, or several.
fn order_in_group(function: &AggregateFunctionExpr, keys: &[usize]) -> Option<(usize, bool)> {
    let mut ordering = None;
    for sort in function.order_bys() {
        let column = index_of(&sort.expr)?;
        if keys.contains(&column) {
            continue;
        }
        if ordering.is_some() {
            return None;
        }
        ordering = Some((column, sort.options.descending));
    }
    ordering
}

fn index_of(expr: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    expr.downcast_ref::<Column>().map(Column::index)
}
