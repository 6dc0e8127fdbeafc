//! Conditions on time, as ranges and back.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::{
    common::{DFSchema, Result, ScalarValue},
    execution::SessionState,
    logical_expr::{
        BinaryExpr, Expr, Operator, lit, simplify::SimplifyContext, utils::split_conjunction,
    },
    optimizer::simplify_expressions::ExprSimplifier,
};
use neap_manifest::TimeRange;
use neap_schema::TIME_COLUMN;

/// Returns the times that meet a condition on the column `time`; `None` if they are no range.
pub(super) fn time_range(
    state: &SessionState,
    schema: &Arc<DFSchema>,
    condition: &Expr,
) -> Option<TimeRange> {
    let start = state.execution_props().query_execution_start_time;
    let context = SimplifyContext::builder()
        .with_schema(Arc::clone(schema))
        .with_config_options(Arc::clone(state.config_options()))
        .with_query_execution_start_time(start)
        .build();
    let simplifier = ExprSimplifier::new(context);
    let typed = simplifier.coerce(condition.clone(), schema).ok()?;
    let simplified = simplifier.simplify(typed).ok()?;
    let mut range = TimeRange::ALL;
    for comparison in split_conjunction(&simplified) {
        narrow(&mut range, comparison)?;
    }
    Some(range)
}

/// Narrows a range by a comparison of the time with a literal.
fn narrow(range: &mut TimeRange, comparison: &Expr) -> Option<()> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = comparison else {
        return None;
    };
    let (op, time) = match (is_time(left), nanoseconds(right)) {
        (true, Some(time)) => (*op, time),
        _ if is_time(right) => (op.swap()?, nanoseconds(left)?),
        _ => return None,
    };
    match op {
        Operator::Eq => {
            range.first = range.first.max(time);
            range.last = range.last.min(time);
        }
        Operator::GtEq => range.first = range.first.max(time),
        Operator::Gt => range.first = range.first.max(time.checked_add(1)?),
        Operator::LtEq => range.last = range.last.min(time),
        Operator::Lt => range.last = range.last.min(time.checked_sub(1)?),
        _ => return None,
    }
    Some(())
}

fn is_time(expr: &Expr) -> bool {
    match expr {
        Expr::Column(column) => column.name == TIME_COLUMN,
        // A time in UTC is the same number.
        Expr::Cast(cast) => {
            let is_utc = match cast.field.data_type() {
                DataType::Timestamp(TimeUnit::Nanosecond, None) => true,
                DataType::Timestamp(TimeUnit::Nanosecond, Some(zone)) => {
                    matches!(zone.as_ref(), "UTC" | "+00:00")
                }
                _ => false,
            };
            is_utc && is_time(&cast.expr)
        }
        _ => false,
    }
}

fn nanoseconds(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::TimestampNanosecond(time, _), _) => *time,
        _ => None,
    }
}

/// Returns the condition that a time is in one of the ranges, which are in order: scans read only the objects from the
/// first to the last time, and skip those between two ranges.
pub(super) fn in_ranges(time: &Expr, ranges: &[TimeRange]) -> Expr {
    let literal = |time| lit(ScalarValue::TimestampNanosecond(Some(time), None));
    let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else {
        return lit(false);
    };
    let from = time.clone().gt_eq(literal(first.first));
    let bounds = from.and(time.clone().lt_eq(literal(last.last)));
    let gaps = ranges.iter().zip(ranges.iter().skip(1));
    let outside = gaps.map(|(before, after)| {
        let is_before = time.clone().lt_eq(literal(before.last));
        is_before.or(time.clone().gt_eq(literal(after.first)))
    });
    outside.fold(bounds, Expr::and)
}

/// Returns the column `time` of a plan.
pub(super) fn time_column(schema: &DFSchema) -> Result<Expr> {
    let (qualifier, field) = schema.qualified_field_with_unqualified_name(TIME_COLUMN)?;
    Ok(Expr::Column((qualifier, field).into()))
}
