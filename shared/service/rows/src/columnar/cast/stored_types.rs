//! Casts for columns that have the type in which they are stored.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, StringArray,
    cast::AsArray,
    types::{Float64Type, Int32Type, Int64Type, TimestampNanosecondType, UInt64Type},
};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use chrono::DateTime;

/// Returns the array if it has the type, or the integers of nanoseconds.
/// Fails if the array has another type.
pub(crate) fn cast_values(array: &dyn Array, to: &DataType) -> Result<ArrayRef, ArrowError> {
    match (array.data_type(), to) {
        (from, to) if from == to => Ok(array.slice(0, array.len())),
        (DataType::Timestamp(TimeUnit::Nanosecond, _), DataType::Int64) => {
            let times = array.as_primitive::<TimestampNanosecondType>();
            Ok(Arc::new(times.reinterpret_cast::<Int64Type>()))
        }
        (from, to) => {
            Err(ArrowError::CastError(format!("this program does not convert {from} to {to}")))
        }
    }
}

/// Returns a value as text; empty if it is null, `None` if its type is not one of those that are stored.
pub(crate) fn value_to_string(column: &dyn Array, row: usize) -> Option<String> {
    if column.is_null(row) {
        return Some(String::new());
    }
    Some(match column.data_type() {
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        DataType::Float64 => format!("{:?}", column.as_primitive::<Float64Type>().value(row)),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(row).to_string(),
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        DataType::Dictionary(..) => {
            let tags = column.as_dictionary_opt::<Int32Type>()?;
            let texts = tags.values().as_any().downcast_ref::<StringArray>()?;
            texts.value(tags.key(row)?).to_owned()
        }
        DataType::Timestamp(TimeUnit::Nanosecond, None) => {
            let nanos = column.as_primitive::<TimestampNanosecondType>().value(row);
            format!("{:?}", DateTime::from_timestamp_nanos(nanos).naive_utc())
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use arrow_array::{
        BooleanArray, DictionaryArray, Float64Array, Int64Array, TimestampMillisecondArray,
        TimestampNanosecondArray, UInt64Array,
    };
    use neap_schema::ColumnType;

    use super::*;

    /// Returns an array of each stored type, with a null.
    fn stored_arrays() -> Vec<ArrayRef> {
        let tags: DictionaryArray<Int32Type> = [Some("é"), None, Some("")].into_iter().collect();
        vec![
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
            Arc::new(Float64Array::from(vec![
                Some(1.0),
                None,
                Some(-0.0),
                Some(0.1),
                Some(1e16),
                Some(1e-7),
                Some(f64::MAX),
                Some(5e-324),
            ])),
            Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(3)])),
            Arc::new(UInt64Array::from(vec![Some(u64::MAX), None])),
            Arc::new(StringArray::from(vec![Some("a \"b\""), None])),
            Arc::new(tags),
            Arc::new(TimestampNanosecondArray::from(vec![
                Some(0),
                None,
                Some(1_700_000_000_123_456_789),
                Some(1_700_000_000_120_000_000),
                Some(-1),
            ])),
        ]
    }

    #[test]
    fn stored_types_are_shown_as_arrow_shows_them() {
        for array in stored_arrays() {
            for row in 0..array.len() {
                assert_eq!(
                    value_to_string(&array, row),
                    super::super::any_types::value_to_string(&array, row),
                    "{:?}",
                    array.data_type()
                );
            }
        }
    }

    #[test]
    fn stored_types_stay_as_they_are_and_others_are_refused() {
        for array in stored_arrays() {
            assert_eq!(&cast_values(&array, array.data_type()).unwrap(), &array);
        }
        let milliseconds: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![1]));
        let error = cast_values(&milliseconds, &ColumnType::Time.data_type()).unwrap_err();
        assert!(error.to_string().contains("does not convert"), "{error}");
    }

    #[test]
    fn nanoseconds_become_integers() {
        let times = stored_arrays().pop().unwrap();
        assert_eq!(
            &cast_values(&times, &DataType::Int64).unwrap(),
            &arrow_cast::cast(&times, &DataType::Int64).unwrap()
        );
    }
}
