//! `integral`: the area under the line through the points of a series.
//!
//! The area between two points of one window is that of the trapezium below them. Between points of different windows,
//! the line is cut at the end of the first point's window; the rest belongs to the window of the second point. As in
//! InfluxDB 1, a last window whose only points lie at its start has no area. Points of the same time have the order of other
//! functions of series, so that the same statement has the same answer.

use datafusion::{
    common::Result,
    functions::expr_fn::coalesce,
    functions_aggregate::expr_fn::{max, sum},
    logical_expr::{
        Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, cast, expr::NullTreatment, ident,
        lit, when,
    },
};
use neap_influxql::{Call, Column};
use neap_schema::{ColumnType, TIME_COLUMN};

use super::{
    query::SelectQuery,
    shape::{argument, duration},
    typed_expr::TypedExpr,
};

const SECOND: i64 = 1_000_000_000;

/// The names of the columns with the previous and the next point of a field.
struct NeighbourColumns {
    time_before: String,
    value_before: String,
    time_after: String,
    value_after: String,
}

impl NeighbourColumns {
    fn from_column(column: &Column) -> Self {
        let name = |what: &str| format!("{what}:{}", column.name);
        Self {
            time_before: name("time before"),
            value_before: name("value before"),
            time_after: name("time after"),
            value_after: name("value after"),
        }
    }
}

/// Returns the numeric fields that have an integral.
fn integrated<'a>(query: &SelectQuery<'_>, calls: &'a [Call]) -> Vec<&'a Column> {
    let mut columns: Vec<&Column> = Vec::new();
    for call in calls.iter().filter(|call| call.name == "integral") {
        let column = argument(call).filter(|column| query.argument(column).is_number());
        columns.extend(column.filter(|column| !columns.contains(column)));
    }
    columns
}

/// Adds the neighbouring points to each row, if the calls include integrals.
pub(super) fn with_neighbours(
    query: &SelectQuery<'_>,
    rows: LogicalPlan,
    calls: &[Call],
) -> Result<LogicalPlan> {
    let columns = integrated(query, calls);
    if columns.is_empty() {
        return Ok(rows);
    }
    let mut shifts = Vec::new();
    for column in columns {
        let value = float(query.argument(column).expr);
        let time = nanos(ident(TIME_COLUMN));
        let time = when(value.clone().is_not_null(), time).end()?;
        let names = NeighbourColumns::from_column(column);
        for (function, of, name) in [
            ("lag", &time, names.time_before),
            ("lag", &value, names.value_before),
            ("lead", &time, names.time_after),
            ("lead", &value, names.value_after),
        ] {
            shifts.push(neighbour(query, function, of.clone())?.alias(name));
        }
    }
    LogicalPlanBuilder::from(rows).window(shifts)?.build()
}

/// Returns the value of the previous or the next row of the series that has one. The functions are those of the session,
/// because DataFusion's own forget rows past a gap of nulls.
fn neighbour(query: &SelectQuery<'_>, function: &str, value: Expr) -> Result<Expr> {
    let shift = query.functions.window(function)?.call(vec![value]);
    shift
        .partition_by(query.tag_columns().collect())
        .order_by(query.series_order())
        .null_treatment(NullTreatment::IgnoreNulls)
        .build()
}

/// Returns the area of a group.
pub(super) fn total(
    query: &SelectQuery<'_>,
    call: &Call,
    mut aggregate: impl FnMut(Expr) -> Expr,
) -> Result<TypedExpr> {
    let Some(column) = argument(call) else {
        return Ok(TypedExpr::null());
    };
    let unit = duration(call.args.get(1)).unwrap_or(SECOND);
    let names = NeighbourColumns::from_column(column);
    let here = LinePoint {
        time: nanos(ident(TIME_COLUMN)),
        value: float(query.argument(column).expr),
    };
    let before = LinePoint {
        time: ident(names.time_before),
        value: ident(names.value_before),
    };
    let nothing = || lit(0.0);
    let has_value = here.value.clone().is_not_null();
    let scaled = |area: Expr| when(has_value.clone(), area / lit(unit as f64)).end();
    let area = match &query.window {
        None => {
            let area =
                when(before.time.clone().is_null(), nothing()).otherwise(before.area_to(&here))?;
            aggregate(sum(scaled(area)?))
        }
        Some(window) => {
            let after = LinePoint {
                time: ident(names.time_after),
                value: ident(names.value_after),
            };
            let start = |time: Expr| -> Result<Expr> {
                let time = cast(time, ColumnType::Time.data_type());
                Ok(nanos(query.window_start(window, time)?))
            };
            let own = start(here.time.clone())?;
            let reached = coalesce(vec![after.time.clone(), here.time.clone()]) - own.clone();
            let reached = aggregate(max(when(has_value.clone(), reached).end()?));
            let end = window.next_start(query.functions, own.clone())?;
            let end_before = window.next_start(query.functions, start(before.time.clone())?)?;
            let cut_before = before.towards(&here, end_before);
            let cut = here.towards(&after, end.clone());
            let left = when(before.time.clone().is_null(), nothing())
                .when(before.time.clone().gt_eq(own), before.area_to(&here))
                .otherwise(cut_before.area_to(&here))?;
            let right = when(after.time.clone().is_null(), nothing())
                .when(after.time.clone().lt(end), nothing())
                .otherwise(here.area_to(&cut))?;
            let total = aggregate(sum(scaled(left + right)?));
            when(reached.gt(lit(0_i64)), total).end()?
        }
    };
    Ok(TypedExpr::new(area, ColumnType::Float))
}

/// A point of the line: a time in integer nanoseconds, which a float can't represent exactly, and a float.
struct LinePoint {
    time: Expr,
    value: Expr,
}

impl LinePoint {
    fn until(&self, time: Expr) -> Expr {
        float(time - self.time.clone())
    }

    /// Returns the area below the line to another point.
    fn area_to(&self, other: &Self) -> Expr {
        (self.value.clone() + other.value.clone()) * lit(0.5) * self.until(other.time.clone())
    }

    /// Returns the point at `time` on the line to another point.
    fn towards(&self, other: &Self, time: Expr) -> Self {
        let share = self.until(time.clone()) / self.until(other.time.clone());
        Self {
            value: self.value.clone() + (other.value.clone() - self.value.clone()) * share,
            time,
        }
    }
}

fn float(expr: Expr) -> Expr {
    cast(expr, ColumnType::Float.data_type())
}

fn nanos(time: Expr) -> Expr {
    cast(time, ColumnType::Integer.data_type())
}
