//! The points of a series, and lists of them in Arrow.

use std::sync::Arc;

use arrow::array::{Float64Array, StructArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{Result, ScalarValue};

/// A finite value at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    /// Nanoseconds since 1970-01-01.
    pub(super) time: i64,
    pub(super) value: f64,
}

/// Returns the type of lists of points whose times have the type `time`.
pub(super) fn list_type(time: &DataType) -> DataType {
    DataType::new_list(DataType::Struct(fields(time)), true)
}

fn fields(time: &DataType) -> Fields {
    Fields::from(vec![
        Field::new("time", time.clone(), true),
        Field::new("value", DataType::Float64, true),
    ])
}

/// Returns points as a list of [`list_type`]; NULL if there are none.
pub(super) fn to_list(points: &[Point], time: &DataType) -> Result<ScalarValue> {
    if points.is_empty() {
        return ScalarValue::try_from(&list_type(time));
    }
    let times = TimestampNanosecondArray::from_iter_values(points.iter().map(|point| point.time));
    let values = Float64Array::from_iter_values(points.iter().map(|point| point.value));
    let structs = StructArray::try_new(
        fields(time),
        vec![Arc::new(times.with_data_type(time.clone())), Arc::new(values)],
        None,
    )?;
    Ok(SingleRowListArrayBuilder::new(Arc::new(structs)).build_list_scalar())
}
