//! Functions over series: each value is combined with previous ones.

use std::sync::Arc;

use datafusion::{
    common::{Result, ScalarValue, plan_err},
    logical_expr::{
        Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, SortExpr, WindowUDF, cast, ident,
        lit,
    },
};
use neap_formats::series::AnswerInterface;
use neap_influxql::{Call, Expr as Ast, TimeOrder};
use neap_schema::{ColumnType, TIME_COLUMN};
use neap_tables::balanced;

use super::{
    argument_types::check_type,
    condition::nanos,
    group_values::{GroupValues, drop_empty_rows},
    indicators::Indicator,
    query::{AnswerPart, SelectQuery},
    running_functions::{RunningFunction, running},
    shape::{count, duration},
    typed_expr::TypedExpr,
    window::WindowSpec,
};

const SECOND: i64 = 1_000_000_000;

/// Plans a query of series functions over rows.
pub(super) fn over_rows(query: &SelectQuery<'_>, rows: LogicalPlan) -> Result<AnswerPart> {
    let value = |arg: &Ast| match arg {
        Ast::Column(column) => query.argument(column),
        _ => TypedExpr::null(),
    };
    let mut order = query.series_order();
    if let Some(time) = order.first_mut() {
        time.asc = !is_backwards(query);
    }
    let (plan, steps) = with_steps(query, rows, order, Some(SECOND), &value)?;
    let plan = drop_empty_rows(plan, &steps)?;
    query.project(plan, ident(TIME_COLUMN), query.other_keys(), &|expr| known(&steps, expr))
}

/// Adds the values of series functions over groups to the values of the groups.
pub(super) fn over_groups(query: &SelectQuery<'_>, computed: GroupValues) -> Result<GroupValues> {
    let GroupValues { plan, mut values } = computed;
    let order = vec![ident(TIME_COLUMN).sort(!is_backwards(query), false)];
    let unit = query.window.as_ref().map_or(Some(SECOND), WindowSpec::nanos);
    let value = |arg: &Ast| known(&values, arg).unwrap_or_else(TypedExpr::null);
    let (mut plan, steps) = with_steps(query, plan, order, unit, &value)?;
    if !query.survey.has_plain_groups() && query.survey.forecast_calls().is_empty() {
        plan = drop_empty_rows(plan, &steps)?;
    }
    if let (Some(shown), Some(window)) = (query.shown, &query.window) {
        let mut kept = Vec::new();
        if let Some(from) = shown.lower {
            let from = query.window_start(window, nanos(from))?;
            kept.push(ident(TIME_COLUMN).gt_eq(from));
        }
        if let Some(until) = shown.upper {
            kept.push(ident(TIME_COLUMN).lt_eq(nanos(until)));
        }
        let shown = LogicalPlanBuilder::from(plan).filter(balanced(kept, Expr::and))?;
        plan = shown.build()?;
    }
    values.extend(steps);
    Ok(GroupValues { plan, values })
}

/// Whether functions of a series go from later rows to earlier ones, as in InfluxDB 1 with descending times.
fn is_backwards(query: &SelectQuery<'_>) -> bool {
    query.interface == AnswerInterface::V1 && query.order == TimeOrder::Descending
}

/// The time that derivatives divide by. It rises in the order of the rows.
fn rising_time(query: &SelectQuery<'_>) -> Expr {
    let time = ident(TIME_COLUMN);
    if !is_backwards(query) {
        return time;
    }
    let negated = lit(0_i64) - cast(time, ColumnType::Integer.data_type());
    cast(negated, ColumnType::Time.data_type())
}

fn known(values: &[(Ast, TypedExpr)], expr: &Ast) -> Option<TypedExpr> {
    let known = values.iter().find(|(call, _)| call == expr);
    known.map(|(_, value)| value.clone())
}

/// Adds a column for each call. `unit` is the default unit of derivatives; `None`: they need one.
fn with_steps(
    query: &SelectQuery<'_>,
    plan: LogicalPlan,
    order: Vec<SortExpr>,
    unit: Option<i64>,
    value: &dyn Fn(&Ast) -> TypedExpr,
) -> Result<(LogicalPlan, Vec<(Ast, TypedExpr)>)> {
    let mut columns: Vec<Expr> = Vec::new();
    let mut steps = Vec::new();
    for call in query.survey.series_calls() {
        let argument = call.args.first().map_or_else(TypedExpr::null, value);
        let Some(kind) = argument.kind else {
            steps.push((Ast::Call(call), TypedExpr::null()));
            continue;
        };
        check_type(&call.name, kind)?;
        let (function, args, kind) = step(query, &call, argument.expr, kind, unit)?;
        let column = function
            .call(args)
            .partition_by(query.tag_columns().collect())
            .order_by(order.clone())
            .build()?;
        // Calls that differ only in an argument's default have one column: DataFusion can't plan equal ones.
        let known = columns.iter().position(|known| *known == column);
        let index = known.unwrap_or(columns.len());
        if known.is_none() {
            columns.push(column);
        }
        let value = TypedExpr::new(ident(step_column(index)), kind);
        steps.push((Ast::Call(call), value));
    }
    let columns: Vec<_> = columns
        .into_iter()
        .enumerate()
        .map(|(index, column)| column.alias(step_column(index)))
        .collect();
    let plan = if columns.is_empty() {
        plan
    } else {
        LogicalPlanBuilder::from(plan).window(columns)?.build()?
    };
    Ok((plan, steps))
}

/// Returns the name of a column with the values of series functions.
fn step_column(index: usize) -> String {
    format!("step:{index}")
}

/// Returns the window function of a call, its arguments, and the type of its values.
fn step(
    query: &SelectQuery<'_>,
    call: &Call,
    x: Expr,
    kind: ColumnType,
    unit: Option<i64>,
) -> Result<(Arc<WindowUDF>, Vec<Expr>, ColumnType)> {
    let time = ident(TIME_COLUMN);
    let named = duration(call.args.get(1));
    Ok(match call.name.as_str() {
        "difference" | "non_negative_difference" => {
            let kind = match kind {
                ColumnType::UInteger => ColumnType::Integer,
                other => other,
            };
            (query.functions.window(&call.name)?, vec![x], kind)
        }
        "derivative" | "non_negative_derivative" => {
            let Some(length) = named.or(unit) else {
                return plan_err!("{} of months and years needs a unit", call.name);
            };
            let unit_interval = ScalarValue::new_interval_mdn(0, 0, length);
            let function = query.functions.window(&call.name)?;
            let time = rising_time(query);
            (function, vec![x, lit(unit_interval), time], ColumnType::Float)
        }
        "moving_average" => {
            let values = count(call.args.get(1)).and_then(|n| usize::try_from(n).ok());
            let function = RunningFunction::MovingAverage(values.unwrap_or(usize::MAX));
            (running(function), vec![x, time], ColumnType::Float)
        }
        "elapsed" => {
            let function = RunningFunction::Elapsed {
                unit: named.unwrap_or(1),
                // InfluxDB 1 has no row for the first value.
                first: (query.interface == AnswerInterface::V3).then_some(0),
            };
            (running(function), vec![x, time], ColumnType::Integer)
        }
        _ => match Indicator::from_call(call)? {
            Some(indicator) => {
                let function = RunningFunction::Indicator(indicator);
                (running(function), vec![x, time], ColumnType::Float)
            }
            None => (running(RunningFunction::CumulativeSum), vec![x, time], kind),
        },
    })
}
