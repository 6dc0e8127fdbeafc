//! The states of functions for runs of rows.
//!
//! A state is merged into that of its group once for each run. To add the rows of a run one by one, each addition has to wait for
//! the one before to be stored, which takes longer than to read the values.

use std::{cmp::Ordering, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, Int64Array,
        PrimitiveArray, RecordBatch, UInt64Array,
    },
    compute::cast,
    datatypes::{
        DataType, Float64Type, Int64Type, Schema, TimeUnit, TimestampNanosecondType, UInt64Type,
    },
};
use datafusion::{
    common::Result,
    physical_expr::{PhysicalExpr, expressions::CastExpr},
    physical_plan::udaf::AggregateFunctionExpr,
};

use crate::row_groups::RowRuns;

/// A function of one argument whose state for a run is computed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunFunction {
    Count,
    Sum,
    Mean,
    Min,
    Max,
}

impl RunFunction {
    /// Returns the function; `None` if its rows have to be added one by one.
    pub(super) fn from_aggregate(function: &AggregateFunctionExpr) -> Option<Self> {
        if function.is_distinct() || !function.order_bys().is_empty() {
            return None;
        }
        match function.fun().name() {
            "count" => Some(Self::Count),
            "sum" => Some(Self::Sum),
            "avg" => Some(Self::Mean),
            "min" => Some(Self::Min),
            "max" => Some(Self::Max),
            _ => None,
        }
    }

    /// Returns the values of an argument. Those of a mean of integers are integers.
    pub(super) fn values(
        self,
        argument: &Arc<dyn PhysicalExpr>,
        batch: &RecordBatch,
    ) -> Result<ArrayRef> {
        let argument = match self {
            Self::Mean => integers_of(argument, &batch.schema())?.unwrap_or(argument),
            _ => argument,
        };
        argument.evaluate(batch)?.into_array(batch.num_rows())
    }

    /// Returns the argument for [`values`](Self::values).
    pub(super) fn argument_of(self, values: &ArrayRef) -> Result<ArrayRef> {
        match (self, values.data_type()) {
            (Self::Mean, DataType::Int64) => Ok(cast(values, &DataType::Float64)?),
            _ => Ok(Arc::clone(values)),
        }
    }

    /// Returns the states of the runs of values, a column for each field of the state; `None` if values are null, or of another type.
    /// The states are those of DataFusion's function for the rows of a run.
    pub(super) fn states(self, values: &ArrayRef, runs: RowRuns<'_>) -> Option<Vec<ArrayRef>> {
        if values.logical_null_count() > 0 {
            return None;
        }
        let rows = runs.ranges().map(|run| run.len());
        Some(match self {
            Self::Count => {
                let rows = rows.map(|rows| i64::try_from(rows).ok());
                vec![Arc::new(rows.collect::<Option<Int64Array>>()?)]
            }
            Self::Mean => {
                let sums = match values.data_type() {
                    DataType::Int64 => reduced::<Int64Type, Float64Type>(values, runs, float_sum)?,
                    _ => reduced::<Float64Type, Float64Type>(values, runs, sum)?,
                };
                let rows = rows.map(|rows| u64::try_from(rows).ok());
                vec![Arc::new(rows.collect::<Option<UInt64Array>>()?), Arc::new(sums)]
            }
            Self::Sum => vec![match values.data_type() {
                DataType::Int64 => Arc::new(reduced::<Int64Type, Int64Type>(values, runs, sum)?),
                DataType::UInt64 => Arc::new(reduced::<UInt64Type, UInt64Type>(values, runs, sum)?),
                _ => Arc::new(reduced::<Float64Type, Float64Type>(values, runs, sum)?),
            }],
            Self::Min => vec![extremes(values, runs, Ordering::Less)?],
            Self::Max => vec![extremes(values, runs, Ordering::Greater)?],
        })
    }
}

/// Returns the integers whose floats are an argument of a mean.
fn integers_of<'a>(
    argument: &'a Arc<dyn PhysicalExpr>,
    schema: &Schema,
) -> Result<Option<&'a Arc<dyn PhysicalExpr>>> {
    let cast = argument
        .downcast_ref::<CastExpr>()
        .filter(|cast| *cast.cast_type() == DataType::Float64);
    let Some(cast) = cast else {
        return Ok(None);
    };
    let is_integer = cast.expr().data_type(schema)? == DataType::Int64;
    Ok(is_integer.then_some(cast.expr()))
}

/// Returns the result of `reduce` for each run of values; `None` if they have another type.
fn reduced<T: ArrowPrimitiveType, R: ArrowPrimitiveType>(
    values: &ArrayRef,
    runs: RowRuns<'_>,
    reduce: fn(&[T::Native]) -> R::Native,
) -> Option<PrimitiveArray<R>> {
    let values: &[T::Native] = values.as_primitive_opt::<T>()?.values();
    let results: Vec<R::Native> =
        runs.ranges().map(|run| values.get(run).map(reduce)).collect::<Option<_>>()?;
    Some(PrimitiveArray::new(results.into(), None))
}

fn sum<T: ArrowNativeTypeOp>(values: &[T]) -> T {
    let zero = T::default();
    values.iter().fold(zero, |sum, value| sum.add_wrapping(*value))
}

// As in the cast of the argument.
fn float_sum(values: &[i64]) -> f64 {
    let floats = values.iter().map(|value| *value as f64);
    floats.fold(0.0, |sum, value| sum + value)
}

/// Returns the minimum of each run, or the maximum; `None` if there is none for the type.
fn extremes(values: &ArrayRef, runs: RowRuns<'_>, order: Ordering) -> Option<ArrayRef> {
    fn of_type<T: ArrowPrimitiveType>(
        values: &ArrayRef,
        runs: RowRuns<'_>,
        order: Ordering,
    ) -> Option<ArrayRef> {
        let extremes = match order {
            Ordering::Greater => reduced::<T, T>(values, runs, max)?,
            _ => reduced::<T, T>(values, runs, min)?,
        };
        // Times have the time zone of the values.
        Some(Arc::new(extremes.with_data_type(values.data_type().clone())))
    }
    match values.data_type() {
        DataType::Int64 => of_type::<Int64Type>(values, runs, order),
        DataType::UInt64 => of_type::<UInt64Type>(values, runs, order),
        DataType::Float64 => of_type::<Float64Type>(values, runs, order),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            of_type::<TimestampNanosecondType>(values, runs, order)
        }
        _ => None,
    }
}

/// In a run, a value replaces a NaN before it, and a NaN replaces all values before it, as in DataFusion's function.
fn min<T: ArrowNativeTypeOp + PartialOrd>(values: &[T]) -> T {
    let values = values.iter().copied();
    let minimum = values.reduce(|minimum, value| match value.partial_cmp(&minimum) {
        Some(Ordering::Less) | None => value,
        _ => minimum,
    });
    minimum.unwrap_or_default()
}

fn max<T: ArrowNativeTypeOp + PartialOrd>(values: &[T]) -> T {
    let values = values.iter().copied();
    let maximum = values.reduce(|maximum, value| match value.partial_cmp(&maximum) {
        Some(Ordering::Greater) | None => value,
        _ => maximum,
    });
    maximum.unwrap_or_default()
}
