//! Linear interpolation between rows of a column.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, StructArray, UInt32Array,
    new_null_array,
};
use arrow::compute::{cast, take};
use arrow::datatypes::{
    DataType, Float64Type, Int64Type, TimeUnit, TimestampNanosecondType, UInt64Type,
};
use datafusion::common::Result;

/// A position between two rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct InterpolationPoint {
    pub(super) before: Option<u32>,
    pub(super) after: Option<u32>,
    /// Time from the row before to this position, in nanoseconds.
    pub(super) elapsed: i64,
    /// Time from the row before to the row after, in nanoseconds; not 0 if both exist.
    pub(super) span: i64,
}

impl InterpolationPoint {
    /// Returns a position on a row.
    pub(super) fn at(row: u32) -> Self {
        Self { before: Some(row), after: Some(row), elapsed: 0, span: 1 }
    }
}

/// Interpolates `values` linearly at `places`. The result is NULL where one of the two neighbours is missing.
///
/// Integers are rounded towards zero, as in InfluxQL's `fill(linear)`. In a struct, the numbers and timestamps are
/// interpolated, so a selector's value and time stay on one line.
pub(super) fn interpolate(values: &ArrayRef, places: &[InterpolationPoint]) -> Result<ArrayRef> {
    match values.data_type() {
        DataType::Float64 => interpolate_primitive::<Float64Type>(values, places, float),
        DataType::Int64 => {
            interpolate_primitive::<Int64Type>(values, places, |before, after, place| {
                i64::try_from(integer(before.into(), after.into(), place)).unwrap_or(before)
            })
        }
        DataType::UInt64 => {
            interpolate_primitive::<UInt64Type>(values, places, |before, after, place| {
                u64::try_from(integer(before.into(), after.into(), place)).unwrap_or(before)
            })
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            interpolate_primitive::<TimestampNanosecondType>(
                values,
                places,
                |before, after, place| {
                    i64::try_from(integer(before.into(), after.into(), place)).unwrap_or(before)
                },
            )
        }
        DataType::Struct(fields) => {
            let children =
                values.as_struct().columns().iter().map(|child| match child.data_type() {
                    number if number.is_numeric() => interpolate(child, places),
                    DataType::Timestamp(..) => interpolate(child, places),
                    other => Ok(new_null_array(other, places.len())),
                });
            let children = children.collect::<Result<Vec<_>>>()?;
            let nulls = places
                .iter()
                .map(|place| place.before.is_some() && place.after.is_some())
                .collect::<Vec<_>>();
            Ok(Arc::new(StructArray::try_new(fields.clone(), children, Some(nulls.into()))?))
        }
        integer if integer.is_integer() => interpolate_as::<Int64Type>(values, places),
        timestamp @ DataType::Timestamp(_, zone) => {
            let nanos = cast(values, &DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()))?;
            Ok(cast(&interpolate(&nanos, places)?, timestamp)?)
        }
        _ => interpolate_as::<Float64Type>(values, places),
    }
}

/// Interpolates numbers of another type by converting them to type `T` and back.
fn interpolate_as<T: ArrowPrimitiveType>(
    values: &ArrayRef,
    places: &[InterpolationPoint],
) -> Result<ArrayRef> {
    let wide = cast(values, &T::DATA_TYPE)?;
    Ok(cast(&interpolate(&wide, places)?, values.data_type())?)
}

fn interpolate_primitive<T: ArrowPrimitiveType>(
    values: &ArrayRef,
    places: &[InterpolationPoint],
    at: impl Fn(T::Native, T::Native, &InterpolationPoint) -> T::Native,
) -> Result<ArrayRef> {
    let both = |place: &InterpolationPoint| place.before.zip(place.after);
    let before: UInt32Array =
        places.iter().map(|place| both(place).map(|(before, _)| before)).collect();
    let after: UInt32Array =
        places.iter().map(|place| both(place).map(|(_, after)| after)).collect();
    let (before, after) = (take(values, &before, None)?, take(values, &after, None)?);
    let pairs = before.as_primitive::<T>().iter().zip(after.as_primitive::<T>().iter());
    let blended: PrimitiveArray<T> = pairs
        .zip(places)
        .map(|((before, after), place)| Some(at(before?, after?, place)))
        .collect();
    Ok(Arc::new(blended.with_data_type(values.data_type().clone())))
}

fn float(before: f64, after: f64, place: &InterpolationPoint) -> f64 {
    if place.elapsed == 0 {
        return before;
    }
    before + (after - before) * (place.elapsed as f64 / place.span as f64)
}

fn integer(before: i128, after: i128, place: &InterpolationPoint) -> i128 {
    let (elapsed, span) = (i128::from(place.elapsed), i128::from(place.span.max(1)));
    (before * (span - elapsed) + after * elapsed) / span
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, UInt64Array};

    use super::*;

    fn place(elapsed: i64, span: i64) -> InterpolationPoint {
        InterpolationPoint { before: Some(0), after: Some(1), elapsed, span }
    }

    #[test]
    fn extreme_integers_do_not_overflow() {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX]));
        let places = [
            InterpolationPoint::at(0),
            place(i64::MAX / 2, i64::MAX),
            InterpolationPoint::at(1),
        ];
        let result = interpolate(&values, &places).unwrap();
        assert_eq!(result.as_primitive::<Int64Type>().values(), &[i64::MIN, -1, i64::MAX]);
        let values: ArrayRef = Arc::new(UInt64Array::from(vec![0, u64::MAX]));
        let result = interpolate(&values, &[place(1, 2), place(i64::MAX, i64::MAX)]).unwrap();
        assert_eq!(result.as_primitive::<UInt64Type>().values(), &[u64::MAX / 2, u64::MAX]);
    }

    #[test]
    fn integers_round_towards_zero() {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![10, 5]));
        let result = interpolate(&values, &[place(1, 2)]).unwrap();
        assert_eq!(result.as_primitive::<Int64Type>().values(), &[7]);
        let values: ArrayRef = Arc::new(Int64Array::from(vec![-10, -5]));
        let result = interpolate(&values, &[place(1, 2)]).unwrap();
        assert_eq!(result.as_primitive::<Int64Type>().values(), &[-7]);
    }

    #[test]
    fn other_numbers_are_interpolated_in_their_own_type() {
        let wide: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        for data_type in
            [DataType::Int16, DataType::UInt8, DataType::Float32, DataType::Decimal128(10, 2)]
        {
            let values = cast(&wide, &data_type).unwrap();
            let result =
                interpolate(&values, &[place(1, 2), InterpolationPoint::default()]).unwrap();
            assert_eq!(result.data_type(), &data_type);
            assert!(result.is_valid(0) && result.is_null(1));
        }
    }
}
