//! The window functions behind `cumulative_sum`, `moving_average`, `elapsed` and the technical indicators.
//!
//! Each takes a value and a time, over a window that is ordered by time. Rows without a value are skipped: they have no
//! result and do not affect others.

use std::{collections::VecDeque, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, AsArray, Float64Array, Int64Array, PrimitiveArray,
    },
    compute::cast,
    datatypes::{ArrowNativeTypeOp, DataType, Field, FieldRef, Float64Type, Int64Type, UInt64Type},
};
use datafusion::{
    common::{Result, exec_err, plan_err},
    logical_expr::{
        PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
        function::{PartitionEvaluatorArgs, WindowUDFFieldArgs},
    },
};

use super::indicators::Indicator;

/// A running window function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum RunningFunction {
    /// The sum of the values so far, in their type; it wraps around.
    CumulativeSum,
    /// The mean of this number of values, ending with the current one.
    MovingAverage(usize),
    /// The time since the previous value.
    Elapsed {
        /// The unit, in nanoseconds.
        unit: i64,
        /// The result of the first value.
        first: Option<i64>,
    },
    /// A technical indicator.
    Indicator(Indicator),
}

pub(super) fn running(what: RunningFunction) -> Arc<WindowUDF> {
    Arc::new(WindowUDF::from(RunningUdf {
        what,
        signature: Signature::any(2, Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RunningUdf {
    what: RunningFunction,
    signature: Signature,
}

impl WindowUDFImpl for RunningUdf {
    fn name(&self) -> &str {
        match self.what {
            RunningFunction::CumulativeSum => "cumulative_sum",
            RunningFunction::MovingAverage(_) => "moving_average",
            RunningFunction::Elapsed { .. } => "elapsed",
            RunningFunction::Indicator(indicator) => indicator.name(),
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let Some(value) = args.input_fields().first() else {
            return plan_err!("{} takes a value and a time", self.name());
        };
        let data_type = match self.what {
            RunningFunction::CumulativeSum => value.data_type().clone(),
            RunningFunction::MovingAverage(_) | RunningFunction::Indicator(_) => DataType::Float64,
            RunningFunction::Elapsed { .. } => DataType::Int64,
        };
        Ok(Arc::new(Field::new(args.name(), data_type, true)))
    }

    fn partition_evaluator(
        &self,
        _args: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(RunningEvaluator(self.what)))
    }
}

#[derive(Debug)]
struct RunningEvaluator(RunningFunction);

impl PartitionEvaluator for RunningEvaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], _rows: usize) -> Result<ArrayRef> {
        let [values, times] = values else {
            return exec_err!("a running function takes a value and a time");
        };
        match self.0 {
            RunningFunction::CumulativeSum => cumulative_sum(values),
            RunningFunction::MovingAverage(count) => moving_average(values, count),
            RunningFunction::Elapsed { unit, first } => elapsed(values, times, unit, first),
            RunningFunction::Indicator(indicator) => indicator.results(values),
        }
    }
}

fn cumulative_sum(values: &ArrayRef) -> Result<ArrayRef> {
    fn sums<T: ArrowPrimitiveType>(values: &PrimitiveArray<T>) -> ArrayRef {
        let mut sum = T::Native::ZERO;
        let sums: PrimitiveArray<T> = values
            .iter()
            .map(|value| {
                sum = sum.add_wrapping(value?);
                Some(sum)
            })
            .collect();
        Arc::new(sums)
    }
    Ok(match values.data_type() {
        DataType::Float64 => sums(values.as_primitive::<Float64Type>()),
        DataType::Int64 => sums(values.as_primitive::<Int64Type>()),
        DataType::UInt64 => sums(values.as_primitive::<UInt64Type>()),
        other => return exec_err!("can't sum values of type {other}"),
    })
}

fn moving_average(values: &ArrayRef, count: usize) -> Result<ArrayRef> {
    let values = cast(values, &DataType::Float64)?;
    let mut last = VecDeque::new();
    let mut sum = 0.0;
    let averages: Float64Array = values
        .as_primitive::<Float64Type>()
        .iter()
        .map(|value| {
            let value = value?;
            last.push_back(value);
            sum += value;
            if last.len() > count {
                sum -= last.pop_front().unwrap_or_default();
            }
            (last.len() == count).then_some(sum / count as f64)
        })
        .collect();
    Ok(Arc::new(averages))
}

fn elapsed(values: &ArrayRef, times: &ArrayRef, unit: i64, first: Option<i64>) -> Result<ArrayRef> {
    let integers = cast(times, &DataType::Int64)?;
    let times = integers.as_primitive::<Int64Type>();
    let mut before = None;
    let elapsed: Int64Array = (0..values.len())
        .map(|row| {
            if values.is_null(row) {
                return None;
            }
            let now = times.value(row);
            match before.replace(now) {
                None => first,
                Some(before) => now.checked_sub(before)?.checked_div(unit),
            }
        })
        .collect();
    Ok(Arc::new(elapsed))
}
