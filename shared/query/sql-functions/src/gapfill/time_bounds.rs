//! Extracts the time bounds of a gap-filling query from the predicates below its aggregate.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result, plan_err};
use datafusion::logical_expr::utils::iter_conjunction;
use datafusion::logical_expr::{
    Aggregate, Between, BinaryExpr, Expr, ExprSchemable, Join, LogicalPlan, Operator, Projection,
    SubqueryAlias, TableScan,
};

use crate::time_zone::TimeZoneFunction;

/// The end of the time range that a bound applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum BoundSide {
    Lower,
    Upper,
}

/// A bound on the times that a query reads. All bounds apply, so the tightest one is effective.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TimeBound {
    pub(super) side: BoundSide,
    pub(super) inclusive: bool,
    /// A constant expression. It can contain `now()`, so it is evaluated only during physical planning.
    pub(super) value: Expr,
}

impl TimeBound {
    /// Returns a bound that is in the range.
    pub(super) fn inclusive(side: BoundSide, value: Expr) -> Self {
        Self { side, inclusive: true, value }
    }
}

/// Returns the bounds that the predicates in and below `plan` set for `time`, an expression over the columns of
/// `plan`.
///
/// # Errors
///
/// Returns a planning error if there is no lower or no upper bound.
pub(super) fn find(plan: &LogicalPlan, time: &Expr) -> Result<Vec<TimeBound>> {
    let mut bounds = Vec::new();
    collect(plan, instant(time, plan.schema()), &mut bounds)?;
    let has = |side| bounds.iter().any(|bound| bound.side == side);
    match (has(BoundSide::Lower), has(BoundSide::Upper)) {
        (true, true) => Ok(bounds),
        (false, false) => {
            plan_err!("gap-filling query is missing both upper and lower time bounds")
        }
        (false, true) => plan_err!("gap-filling query is missing lower time bound"),
        (true, false) => plan_err!("gap-filling query is missing upper time bound"),
    }
}

/// Collects bounds. Descends as long as the rows of an input have the same times as the rows of its parent node.
fn collect(plan: &LogicalPlan, time: &Expr, bounds: &mut Vec<TimeBound>) -> Result<()> {
    match plan {
        LogicalPlan::Filter(filter) => {
            add_all(iter_conjunction(&filter.predicate), time, plan.schema(), bounds);
            collect(&filter.input, time, bounds)
        }
        LogicalPlan::TableScan(TableScan { filters, .. }) => {
            add_all(filters.iter().flat_map(iter_conjunction), time, plan.schema(), bounds);
            Ok(())
        }
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, schema, .. }) => {
            let inner = replace_columns(time, |column| {
                let index = schema.index_of_column(column).ok()?;
                Some(Expr::Column(Column::from(input.schema().qualified_field(index))))
            })?;
            collect_below(input, &inner, bounds)
        }
        LogicalPlan::Projection(Projection { expr, input, schema, .. }) => {
            let inner = replace_columns(time, |column| {
                expr.get(schema.index_of_column(column).ok()?).cloned()
            })?;
            collect_below(input, &inner, bounds)
        }
        LogicalPlan::Aggregate(Aggregate { group_expr, input, schema, .. }) => {
            let inner = replace_columns(time, |column| {
                group_expr.get(schema.index_of_column(column).ok()?).cloned()
            })?;
            collect_below(input, &inner, bounds)
        }
        LogicalPlan::Join(Join { left, right, .. }) => {
            collect_below(left, time, bounds)?;
            collect_below(right, time, bounds)
        }
        LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Window(_) => plan
            .inputs()
            .into_iter()
            .try_for_each(|input| collect_below(input, time, bounds)),
        _ => Ok(()),
    }
}

/// Calls [`collect`] if `time` consists of columns of `input`.
fn collect_below(input: &LogicalPlan, time: &Expr, bounds: &mut Vec<TimeBound>) -> Result<()> {
    let columns = time.column_refs();
    if !columns.is_empty() && columns.iter().all(|column| input.schema().has_column(column)) {
        collect(input, instant(time, input.schema()), bounds)?;
    }
    Ok(())
}

fn replace_columns(expr: &Expr, by: impl Fn(&Column) -> Option<Expr>) -> Result<Expr> {
    let replaced = expr.clone().transform_up(|expr| {
        Ok(match &expr {
            Expr::Column(column) => {
                by(column).map_or_else(|| Transformed::no(expr.clone()), Transformed::yes)
            }
            _ => Transformed::no(expr),
        })
    })?;
    Ok(replaced.data)
}

fn add_all<'a>(
    predicates: impl Iterator<Item = &'a Expr>,
    time: &Expr,
    schema: &DFSchema,
    bounds: &mut Vec<TimeBound>,
) {
    for predicate in predicates {
        match predicate {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                if let Some(op) = op.swap() {
                    add(right, op, left, time, schema, bounds);
                }
                add(left, *op, right, time, schema, bounds);
            }
            Expr::Between(Between { expr, negated: false, low, high }) => {
                add(expr, Operator::GtEq, low, time, schema, bounds);
                add(expr, Operator::LtEq, high, time, schema, bounds);
            }
            _ => {}
        }
    }
}

/// Adds the bounds implied by `left op right` if `left` is the time and `right` is a constant.
fn add(
    left: &Expr,
    op: Operator,
    right: &Expr,
    time: &Expr,
    schema: &DFSchema,
    bounds: &mut Vec<TimeBound>,
) {
    let (sides, inclusive): (&[BoundSide], bool) = match op {
        Operator::Gt => (&[BoundSide::Lower], false),
        Operator::GtEq => (&[BoundSide::Lower], true),
        Operator::Lt => (&[BoundSide::Upper], false),
        Operator::LtEq => (&[BoundSide::Upper], true),
        Operator::Eq => (&[BoundSide::Lower, BoundSide::Upper], true),
        _ => return,
    };
    if instant(left, schema) == time && is_constant(right) {
        bounds.extend(sides.iter().map(|side| TimeBound {
            side: *side,
            inclusive,
            value: right.clone(),
        }));
    }
}

fn is_constant(expr: &Expr) -> bool {
    let varies = expr.exists(|expr| {
        Ok(matches!(
            expr,
            Expr::Column(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::Placeholder(_)
        ))
    });
    matches!(varies, Ok(false)) && !expr.is_volatile()
}

/// Removes wrappers that change a time's type but not its instant: aliases, `tz`, and casts.
fn instant<'a>(expr: &'a Expr, schema: &DFSchema) -> &'a Expr {
    match expr {
        Expr::Alias(alias) => instant(&alias.expr, schema),
        Expr::Cast(cast) if keeps_instant(&cast.expr, cast.field.data_type(), schema) => {
            instant(&cast.expr, schema)
        }
        Expr::ScalarFunction(call) if TimeZoneFunction::is(call.func.inner().as_ref()) => {
            call.args.first().map_or(expr, |time| instant(time, schema))
        }
        _ => expr,
    }
}

/// Returns whether a cast keeps the instant: between timestamps without a shift, or to nanoseconds as a number.
///
/// A cast from a timestamp without a zone to one with a zone interprets it as local time in that zone.
fn keeps_instant(from: &Expr, to: &DataType, schema: &DFSchema) -> bool {
    match (from.get_type(schema), to) {
        (Ok(DataType::Timestamp(_, Some(_))), DataType::Timestamp(_, Some(_))) => true,
        (Ok(DataType::Timestamp(_, None)), DataType::Timestamp(_, zone)) => {
            zone.as_deref().is_none_or(|zone| matches!(zone, "UTC" | "Z" | "+00:00"))
        }
        (Ok(DataType::Timestamp(TimeUnit::Nanosecond, _)), DataType::Int64) => true,
        _ => false,
    }
}
