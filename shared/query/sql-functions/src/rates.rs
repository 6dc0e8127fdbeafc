//! `difference`, `derivative` and their non-negative forms: the change of a value from row to row.
//!
//! They are window functions, called with `OVER (PARTITION BY series ORDER BY time)`:
//!
//! * `difference(value)`: the value minus the value of the previous row. Integers return an `Int64`.
//! * `derivative(value[, unit][, time])`: the difference per `unit` (an interval or a duration, 1
//!   second by default), a `Float64`. The default time is taken from the window's `ORDER BY`.
//! * `non_negative_…`: the same, but NULL where the value falls.
//!
//! As in InfluxQL, rows without a value are skipped, and the first value has no result. Two values at the same time
//! have no derivative. Integers whose difference exceeds the range of `Int64` have no difference.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, Float64Array, Int64Array, PrimitiveArray,
};
use arrow::datatypes::{
    DataType, Field, FieldRef, Float64Type, Int64Type, IntervalUnit, TimeUnit,
    TimestampNanosecondType, UInt64Type,
};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawWindowExpr};
use datafusion::logical_expr::{
    Expr, PartitionEvaluator, Signature, Volatility, WindowFunctionDefinition, WindowUDFImpl,
};

use crate::bins::Stride;

const SECOND: i64 = 1_000_000_000;

/// The computation on two consecutive values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RateKind {
    Difference,
    Derivative,
}

/// One of the four window functions.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct RateFunction {
    rate: RateKind,
    non_negative: bool,
    signature: Signature,
}

impl RateFunction {
    pub(crate) fn new(rate: RateKind, non_negative: bool) -> Self {
        Self {
            rate,
            non_negative,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl WindowUDFImpl for RateFunction {
    fn name(&self) -> &str {
        match (self.rate, self.non_negative) {
            (RateKind::Difference, false) => "difference",
            (RateKind::Difference, true) => "non_negative_difference",
            (RateKind::Derivative, false) => "derivative",
            (RateKind::Derivative, true) => "non_negative_derivative",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let value = match types.first() {
            Some(DataType::UInt64) => DataType::UInt64,
            Some(integer) if integer.is_integer() => DataType::Int64,
            Some(number) if number.is_numeric() || number.is_null() => DataType::Float64,
            Some(other) => {
                return plan_err!(
                    "the first argument of {} must be a number, not {other}",
                    self.name()
                );
            }
            None => return plan_err!("{} takes a number", self.name()),
        };
        let time = |time: &DataType| match time {
            DataType::Timestamp(_, zone) => {
                Ok(DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()))
            }
            other => plan_err!("the time of {} must be a timestamp, not {other}", self.name()),
        };
        match (self.rate, types) {
            (RateKind::Difference, [_]) => Ok(vec![value]),
            (RateKind::Derivative, [_, when]) => Ok(vec![value, time(when)?]),
            (RateKind::Derivative, [_, DataType::Duration(_), when]) => {
                Ok(vec![value, DataType::Duration(TimeUnit::Nanosecond), time(when)?])
            }
            (
                RateKind::Derivative,
                [_, DataType::Interval(_) | DataType::Utf8 | DataType::Utf8View, when],
            ) => Ok(vec![value, DataType::Interval(IntervalUnit::MonthDayNano), time(when)?]),
            (RateKind::Difference, _) => plan_err!("{} takes a number", self.name()),
            (RateKind::Derivative, _) => {
                plan_err!(
                    "{} takes a number, optionally an interval, and optionally a time",
                    self.name()
                )
            }
        }
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let integer = self.rate == RateKind::Difference
            && args.input_fields().first().is_some_and(|value| value.data_type().is_integer());
        let data_type = if integer {
            DataType::Int64
        } else {
            DataType::Float64
        };
        Ok(Arc::new(Field::new(args.name(), data_type, true)))
    }

    fn partition_evaluator(
        &self,
        _args: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(RateEvaluator { rate: self.rate, non_negative: self.non_negative }))
    }
}

#[derive(Debug)]
struct RateEvaluator {
    rate: RateKind,
    non_negative: bool,
}

impl PartitionEvaluator for RateEvaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], _rows: usize) -> Result<ArrayRef> {
        match (self.rate, values) {
            (RateKind::Difference, [value]) => self.difference(value),
            (RateKind::Derivative, [value, time]) => self.derivative(value, SECOND, time),
            (RateKind::Derivative, [value, unit, time]) => {
                self.derivative(value, unit_nanos(unit)?, time)
            }
            _ => exec_err!("{:?} cannot be computed from {} columns", self.rate, values.len()),
        }
    }
}

impl RateEvaluator {
    fn difference(&self, value: &ArrayRef) -> Result<ArrayRef> {
        let keep = |negative: bool| !(self.non_negative && negative);
        if let Some(floats) = value.as_primitive_opt::<Float64Type>() {
            let result: Float64Array = neighbours(floats, |_, before, now| {
                Some(now - before).filter(|change| keep(*change < 0.0))
            });
            return Ok(Arc::new(result));
        }
        let change = |before: i128, now: i128| {
            i64::try_from(now - before).ok().filter(|change| keep(*change < 0))
        };
        let result: Int64Array = match value.data_type() {
            DataType::Int64 => neighbours(value.as_primitive::<Int64Type>(), |_, before, now| {
                change(before.into(), now.into())
            }),
            DataType::UInt64 => neighbours(value.as_primitive::<UInt64Type>(), |_, before, now| {
                change(before.into(), now.into())
            }),
            other => return exec_err!("there is no difference of {other}"),
        };
        Ok(Arc::new(result))
    }

    fn derivative(&self, value: &ArrayRef, unit: i64, time: &ArrayRef) -> Result<ArrayRef> {
        let Some(times) = time.as_primitive_opt::<TimestampNanosecondType>() else {
            return exec_err!(
                "a derivative needs timestamps in nanoseconds, not {}",
                time.data_type()
            );
        };
        let slope = |rows: RowPair, change: f64| {
            let (before, now) =
                (i128::from(times.value(rows.before)), i128::from(times.value(rows.now)));
            let units = (now - before) as f64 / unit as f64;
            let known = times.is_valid(rows.before) && times.is_valid(rows.now) && now != before;
            Some(change / units).filter(|slope| known && !(self.non_negative && *slope < 0.0))
        };
        let result: Float64Array = match value.data_type() {
            DataType::Float64 => {
                neighbours(value.as_primitive::<Float64Type>(), |rows, before, now| {
                    slope(rows, now - before)
                })
            }
            DataType::Int64 => {
                neighbours(value.as_primitive::<Int64Type>(), |rows, before, now| {
                    slope(rows, (i128::from(now) - i128::from(before)) as f64)
                })
            }
            DataType::UInt64 => {
                neighbours(value.as_primitive::<UInt64Type>(), |rows, before, now| {
                    slope(rows, (i128::from(now) - i128::from(before)) as f64)
                })
            }
            other => return exec_err!("there is no derivative of {other}"),
        };
        Ok(Arc::new(result))
    }
}

/// The values of two rows with consecutive values.
#[derive(Debug, Clone, Copy)]
struct RowPair {
    before: usize,
    now: usize,
}

/// Applies `change` to each value and the previous one, skipping NULLs.
fn neighbours<T: ArrowPrimitiveType, R: ArrowPrimitiveType>(
    values: &PrimitiveArray<T>,
    change: impl Fn(RowPair, T::Native, T::Native) -> Option<R::Native>,
) -> PrimitiveArray<R> {
    let mut last = None;
    (0..values.len())
        .map(|now| {
            if values.is_null(now) {
                return None;
            }
            let before = last.replace(now)?;
            change(RowPair { before, now }, values.value(before), values.value(now))
        })
        .collect()
}

/// Returns the unit of a derivative in nanoseconds. The unit must be a constant column.
fn unit_nanos(unit: &ArrayRef) -> Result<i64> {
    if unit.is_empty() {
        return Ok(SECOND);
    }
    match ScalarValue::try_from_array(unit, 0)? {
        ScalarValue::DurationNanosecond(Some(nanos)) if nanos > 0 => Ok(nanos),
        interval => match Stride::try_new(&interval, "a derivative")? {
            Stride::Nanos(nanos) => Ok(nanos),
            Stride::Months(_) => plan_err!("the unit of a derivative cannot be months or years"),
        },
    }
}

/// Adds the time of the window's `ORDER BY` to derivatives called without a time.
///
/// This happens while SQL is converted to a plan, because a window function later sees only its arguments.
#[derive(Debug)]
pub(crate) struct DerivativeTimePlanner;

impl ExprPlanner for DerivativeTimePlanner {
    fn plan_window(&self, mut expr: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        let derivative = match &expr.func_def {
            WindowFunctionDefinition::WindowUDF(function) => function
                .inner()
                .downcast_ref::<RateFunction>()
                .is_some_and(|function| function.rate == RateKind::Derivative),
            WindowFunctionDefinition::AggregateUDF(_) => false,
        };
        let without_time = match expr.args.as_slice() {
            [_] => true,
            // With two arguments, the second one is the unit if it is a constant.
            [_, second] => is_constant(second),
            _ => false,
        };
        if derivative && without_time {
            let Some(order) = expr.order_by.first() else {
                return plan_err!(
                    "{} needs a window that is ordered by time",
                    expr.func_def.name()
                );
            };
            expr.args.push(order.expr.clone());
        }
        Ok(PlannerResult::Original(expr))
    }
}

fn is_constant(expr: &Expr) -> bool {
    expr.column_refs().is_empty()
}

#[cfg(test)]
mod tests;
