//! `lttb(time, value, points)` and `m4(time, value, points[, start, end])`: aggregates that reduce a series to the points that a
//! chart needs.
//!
//! The result is a list of structs with the fields `time` and `value`, in the order of their times; NULL if the group has no point.
//! Rows without a time or without a finite value are ignored. The order of the rows does not matter. `points` is the maximum
//! number of points:
//!
//! | function | points that remain |
//! | --- | --- |
//! | `lttb` | the first, the last, and of each bucket between them that with the largest triangle |
//! | `m4` | the first, the last, the lowest and the highest of each of `points / 4` parts of the time |
//!
//! A group keeps 16 bytes for each point until the last one is known, because only then are the buckets. If `m4` has `start` and
//! `end`, which are inclusive, it keeps about as many points as its result has.

mod accumulator;
mod lttb;
mod m4;
mod method;
mod series;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, TimeUnit};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_datafusion_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, ColumnarValue, Signature, Volatility,
};

pub(crate) use method::DownsamplingKind;

use accumulator::SeriesAccumulator;
use method::Downsampling;
use series::list_type;

/// One of the two aggregate functions.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct DownsamplingFunction {
    kind: DownsamplingKind,
    signature: Signature,
}

impl DownsamplingFunction {
    pub(crate) fn new(kind: DownsamplingKind) -> Self {
        Self {
            kind,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }

    /// Returns the error of a call with other arguments.
    fn usage(&self) -> DataFusionError {
        let range = match self.kind {
            DownsamplingKind::Lttb => "",
            DownsamplingKind::M4 => ", and optionally the first and the last time, in this order",
        };
        plan_datafusion_err!(
            "{} takes a time, a number and the maximum number of points, which is at least {}{range}",
            self.name(),
            self.kind.min_points()
        )
    }

    /// Returns the arguments after the time and the value.
    fn constants(&self, args: &AccumulatorArgs) -> Result<Vec<ScalarValue>> {
        let no_columns = RecordBatch::new_empty(Arc::new(Schema::empty()));
        let constants =
            args.exprs.iter().skip(2).map(|argument| match argument.evaluate(&no_columns) {
                Ok(ColumnarValue::Scalar(constant)) => Ok(constant),
                _ => {
                    plan_err!("the arguments of {} after the value must be constants", self.name())
                }
            });
        constants.collect()
    }

    fn method(&self, args: &AccumulatorArgs) -> Result<Downsampling> {
        let constants = self.constants(args)?;
        let (points, bounds) = match constants.as_slice() {
            [ScalarValue::Int64(Some(points))] => (*points, None),
            [
                ScalarValue::Int64(Some(points)),
                ScalarValue::TimestampNanosecond(Some(start), _),
                ScalarValue::TimestampNanosecond(Some(end), _),
            ] if start <= end => (*points, Some(*start..=*end)),
            _ => return Err(self.usage()),
        };
        match usize::try_from(points) {
            Ok(max_points) if max_points >= self.kind.min_points() => {
                Ok(Downsampling { kind: self.kind, max_points, bounds })
            }
            _ => Err(self.usage()),
        }
    }
}

impl AggregateUDFImpl for DownsamplingFunction {
    fn name(&self) -> &str {
        match self.kind {
            DownsamplingKind::Lttb => "lttb",
            DownsamplingKind::M4 => "m4",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [DataType::Timestamp(_, zone), value, points, bounds @ ..] = types else {
            return Err(self.usage());
        };
        // Placeholders without a value have the type of NULL.
        let are_numbers =
            (value.is_numeric() || value.is_null()) && (points.is_integer() || points.is_null());
        let has_range = bounds.len() == 2 && self.kind == DownsamplingKind::M4;
        if !are_numbers || !(bounds.is_empty() || has_range) {
            return Err(self.usage());
        }
        let time = DataType::Timestamp(TimeUnit::Nanosecond, zone.clone());
        let mut coerced = vec![time.clone(), DataType::Float64, DataType::Int64];
        coerced.resize(types.len(), time);
        Ok(coerced)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.first().map(list_type).ok_or_else(|| self.usage())
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "points");
        Ok(vec![Arc::new(Field::new(name, args.return_type().clone(), true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let Some(time) = args.expr_fields.first() else {
            return Err(self.usage());
        };
        Ok(Box::new(SeriesAccumulator::new(self.method(&args)?, time.data_type().clone())))
    }
}

#[cfg(test)]
mod tests;
