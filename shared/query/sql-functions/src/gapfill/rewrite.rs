//! The analyzer rule that replaces the gap-filling functions with [`GapFill`] nodes.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, ScalarValue, internal_err, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, Extension, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use super::functions::{BinAlignment, FillStrategy, GapFillFunction, GapFillPlaceholder};
use super::node::GapFill;
use super::time_bounds::{self, BoundSide, TimeBound};
use crate::time_zone::TimeZoneFunction;

/// The analyzer rule. It runs after type coercion, and leaves a plan without gap-filling functions unchanged.
#[derive(Debug)]
pub(crate) struct GapFillRule;

impl AnalyzerRule for GapFillRule {
    fn name(&self) -> &str {
        "gap_fill"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        with_gap_fill_nodes(plan)
    }
}

/// Replaces the gap-filling functions of a plan after type coercion, as the analyzer does, so that aggregates below the new
/// nodes have plain functions. A plan without gap-filling functions is returned unchanged.
///
/// # Errors
/// A gap-filling function is used where it has no meaning, or the query has no time bounds.
pub fn with_gap_fill_nodes(plan: LogicalPlan) -> Result<LogicalPlan> {
    if first_placeholder(&plan)?.is_none() {
        return Ok(plan);
    }
    // An operator above a replaced one has the keys of the former input, by which DataFusion leaves out columns of `ORDER BY`,
    // `GROUP BY` and `DISTINCT`.
    let rewritten = plan
        .transform_up_with_subqueries(rewrite_node)?
        .data
        .transform_up_with_subqueries(|node| node.recompute_schema().map(Transformed::yes))?
        .data;
    match first_placeholder(&rewritten)? {
        None => Ok(rewritten),
        Some(meaning @ GapFillFunction::Bin(_)) => {
            plan_err!("{} may only be used as a GROUP BY expression", meaning.name())
        }
        Some(meaning @ GapFillFunction::Fill(_)) => {
            plan_err!(
                "{} may only be used around an aggregate of a gap-filling query",
                meaning.name()
            )
        }
    }
}

/// Returns the first call of a gap-filling function in `plan`, if any.
fn first_placeholder(plan: &LogicalPlan) -> Result<Option<GapFillFunction>> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                found = GapFillPlaceholder::called_by(expr).map(|(meaning, _)| meaning);
                Ok(if found.is_some() {
                    TreeNodeRecursion::Stop
                } else {
                    TreeNodeRecursion::Continue
                })
            })
        })
    })?;
    Ok(found)
}

fn rewrite_node(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match node {
        LogicalPlan::Aggregate(aggregate) => rewrite_aggregate(aggregate),
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Sort(_) => rewrite_fills(node),
        _ => Ok(Transformed::no(node)),
    }
}

/// The gap-filling binning function among the `GROUP BY` expressions of an aggregate.
struct BinningCall {
    /// Its index among the expressions.
    index: usize,
    /// The expression with the plain binning function instead.
    plain: Expr,
    clock: BinAlignment,
    args: Vec<Expr>,
}

fn rewrite_aggregate(aggregate: Aggregate) -> Result<Transformed<LogicalPlan>> {
    let Some(binning) = find_binning(&aggregate.group_expr)? else {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    };
    let mut args = binning.args.into_iter();
    let (Some(stride), Some(time), origin) = (args.next(), args.next(), args.next()) else {
        return internal_err!("a binning function takes an interval and a time");
    };
    let bounds = match (args.next(), args.next()) {
        (Some(lower), Some(upper)) => vec![
            TimeBound::inclusive(BoundSide::Lower, lower),
            TimeBound::inclusive(BoundSide::Upper, upper),
        ],
        _ => time_bounds::find(&aggregate.input, &time)?,
    };
    let zone = match time.get_type(aggregate.input.schema())? {
        DataType::Timestamp(_, zone) => zone,
        other => return plan_err!("gap filling needs a timestamp, not {other}"),
    };
    let group_columns = aggregate.group_expr.len();
    let defaults = defaults(&aggregate)?;

    let mut group_expr = aggregate.group_expr;
    if let Some(expr) = group_expr.get_mut(binning.index) {
        *expr = binning.plain;
    }
    let plain = Aggregate::try_new(aggregate.input, group_expr, aggregate.aggr_expr)?;
    let gap_fill = GapFill {
        input: Arc::new(LogicalPlan::Aggregate(plain)),
        schema: Arc::new(DFSchema::empty()),
        group_columns,
        time_column: binning.index,
        clock: binning.clock,
        zone,
        stride,
        origin,
        bounds,
        defaults,
        filled: Vec::new(),
    };
    Ok(Transformed::yes(plan_of(gap_fill.with_schema()?)))
}

fn plan_of(gap_fill: GapFill) -> LogicalPlan {
    LogicalPlan::Extension(Extension { node: Arc::new(gap_fill) })
}

fn find_binning(group_expr: &[Expr]) -> Result<Option<BinningCall>> {
    let mut calls = 0;
    for expr in group_expr {
        expr.apply(|expr| {
            calls += usize::from(matches!(
                GapFillPlaceholder::called_by(expr),
                Some((GapFillFunction::Bin(_), _))
            ));
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    match calls {
        0 => return Ok(None),
        1 => {}
        _ => return plan_err!("a query can have only one gap-filling GROUP BY expression"),
    }
    for (index, expr) in group_expr.iter().enumerate() {
        if let Some((clock, args)) = top_level_binning(expr) {
            // Keep the column name, because the nodes above refer to the column by it.
            let plain = plain_binning(expr.clone())?.alias(expr.schema_name().to_string());
            return Ok(Some(BinningCall { index, plain, clock, args: args.to_vec() }));
        }
    }
    plan_err!(
        "the gap-filling function must be a GROUP BY expression of its own, not a part of one"
    )
}

/// Returns the clock and the arguments if `expr` is a gap-filling binning function, possibly inside `tz`.
fn top_level_binning(expr: &Expr) -> Option<(BinAlignment, &[Expr])> {
    match (expr, GapFillPlaceholder::called_by(expr)) {
        (_, Some((GapFillFunction::Bin(clock), args))) => Some((clock, args)),
        (Expr::Alias(alias), _) => top_level_binning(&alias.expr),
        (Expr::ScalarFunction(call), _) if TimeZoneFunction::is(call.func.inner().as_ref()) => {
            call.args.first().and_then(top_level_binning)
        }
        _ => None,
    }
}

fn plain_binning(expr: Expr) -> Result<Expr> {
    let replaced =
        expr.transform_up(|expr| match (GapFillPlaceholder::called_by(&expr), &expr) {
            (Some((GapFillFunction::Bin(clock), _)), Expr::ScalarFunction(call)) => {
                // The bounds are no arguments of the plain function.
                let args = call.args.iter().take(3).cloned().collect();
                Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(
                    clock.binning_function(),
                    args,
                ))))
            }
            _ => Ok(Transformed::no(expr)),
        })?;
    Ok(replaced.data)
}

/// Returns the aggregates' values over no rows; NULL for aggregates that can be NULL.
fn defaults(aggregate: &Aggregate) -> Result<Vec<ScalarValue>> {
    let fields = aggregate.schema.fields().iter().skip(aggregate.group_expr.len());
    let default = |(field, expr): (&Arc<arrow::datatypes::Field>, &Expr)| match expr
        .clone()
        .unalias_nested()
        .data
    {
        Expr::AggregateFunction(call) if !field.is_nullable() => {
            call.func.default_value(field.data_type())
        }
        _ => ScalarValue::try_from(field.data_type()),
    };
    fields.zip(&aggregate.aggr_expr).map(default).collect()
}

/// Replaces calls of `locf` and `interpolate` in a node above a [`GapFill`] with columns added to the [`GapFill`].
fn rewrite_fills(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let input = match node.inputs().as_slice() {
        [input] if has_gap_fill(input) => (*input).clone(),
        _ => return Ok(Transformed::no(node)),
    };
    let names = NamePreserver::new(&node);
    let mut fills: Vec<(String, FillStrategy, Expr)> = Vec::new();
    let mut exprs = Vec::new();
    for expr in node.expressions() {
        let name = names.save(&expr);
        let replaced = expr.transform_down(|expr| {
            let Some((GapFillFunction::Fill(fill), [source])) =
                GapFillPlaceholder::called_by(&expr)
            else {
                return Ok(Transformed::no(expr));
            };
            let name = expr.schema_name().to_string();
            if !fills.iter().any(|(known, ..)| *known == name) {
                fills.push((name.clone(), fill, source.clone()));
            }
            Ok(Transformed::yes(Expr::Column(Column::new_unqualified(name))))
        })?;
        exprs.push(name.restore(replaced.data));
    }
    if fills.is_empty() {
        return Ok(Transformed::no(node));
    }
    let input = add_fills(input, &fills)?;
    Ok(Transformed::yes(node.with_new_exprs(exprs, vec![input])?))
}

/// Returns whether `plan` is a [`GapFill`] or passes through all columns of one.
fn has_gap_fill(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Extension(Extension { node }) => node.as_any().is::<GapFill>(),
        LogicalPlan::Filter(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_) => plan.inputs().first().is_some_and(|input| has_gap_fill(input)),
        _ => false,
    }
}

/// Adds columns to the [`GapFill`] found by [`has_gap_fill`].
fn add_fills(plan: LogicalPlan, fills: &[(String, FillStrategy, Expr)]) -> Result<LogicalPlan> {
    if let LogicalPlan::Extension(Extension { node }) = &plan
        && let Some(gap_fill) = node.as_any().downcast_ref::<GapFill>()
    {
        return Ok(plan_of(gap_fill.clone().with_fills(fills)?));
    }
    let inputs = plan
        .inputs()
        .into_iter()
        .map(|input| add_fills(input.clone(), fills))
        .collect::<Result<_>>()?;
    plan.with_new_exprs(plan.expressions(), inputs)
}
