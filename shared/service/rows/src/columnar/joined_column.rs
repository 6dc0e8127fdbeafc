//! One field column from the columns of several batches.
//!
//! Arrow's kernels `filter` and `concat` take arrays of any type, and are a tenth of the code of the write function. Fields
//! have one of five types.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType,
    builder::{BooleanBuilder, PrimitiveBuilder, StringBuilder},
    cast::AsArray,
    types::{Float64Type, Int64Type, UInt64Type},
};
use arrow_buffer::BooleanBuffer;
use arrow_schema::ArrowError;
use neap_schema::ColumnType;

/// The rows of a batch for one column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ColumnPart<'a> {
    /// The values of all rows of the batch; `None` if it lacks the column.
    pub(crate) values: Option<&'a dyn Array>,
    /// The rows to take; `None` for all.
    pub(crate) selection: Option<&'a BooleanBuffer>,
    /// The number of rows to take.
    pub(crate) rows: usize,
}

/// Returns the selected rows of all parts, one part after the other.
/// Fails if the values of a part have another type than the column, or the column is no field.
pub(crate) fn join_parts(
    column_type: ColumnType,
    parts: &[ColumnPart<'_>],
) -> Result<ArrayRef, ArrowError> {
    match column_type {
        ColumnType::Float => join_primitives::<Float64Type>(parts),
        ColumnType::Integer => join_primitives::<Int64Type>(parts),
        ColumnType::UInteger => join_primitives::<UInt64Type>(parts),
        ColumnType::Boolean => join_booleans(parts),
        ColumnType::String => join_strings(parts),
        ColumnType::Tag | ColumnType::Time => Err(unexpected_type()),
    }
}

fn join_primitives<T: ArrowPrimitiveType>(
    parts: &[ColumnPart<'_>],
) -> Result<ArrayRef, ArrowError> {
    let mut joined = PrimitiveBuilder::<T>::with_capacity(row_count(parts));
    for part in parts {
        let Some(values) = part.values else {
            joined.append_nulls(part.rows);
            continue;
        };
        let values = values.as_primitive_opt::<T>().ok_or_else(unexpected_type)?;
        match part.selection {
            None => joined.append_array(values),
            Some(selection) => {
                for row in selection.set_indices() {
                    joined.append_option(values.is_valid(row).then(|| values.value(row)));
                }
            }
        }
    }
    Ok(Arc::new(joined.finish()))
}

fn join_booleans(parts: &[ColumnPart<'_>]) -> Result<ArrayRef, ArrowError> {
    let mut joined = BooleanBuilder::with_capacity(row_count(parts));
    for part in parts {
        let Some(values) = part.values else {
            joined.append_nulls(part.rows);
            continue;
        };
        let values = values.as_boolean_opt().ok_or_else(unexpected_type)?;
        for row in selected_rows(part) {
            joined.append_option(values.is_valid(row).then(|| values.value(row)));
        }
    }
    Ok(Arc::new(joined.finish()))
}

fn join_strings(parts: &[ColumnPart<'_>]) -> Result<ArrayRef, ArrowError> {
    let mut joined = StringBuilder::with_capacity(row_count(parts), 0);
    for part in parts {
        let Some(values) = part.values else {
            joined.append_nulls(part.rows);
            continue;
        };
        let values = values.as_string_opt::<i32>().ok_or_else(unexpected_type)?;
        for row in selected_rows(part) {
            joined.append_option(values.is_valid(row).then(|| values.value(row)));
        }
    }
    Ok(Arc::new(joined.finish()))
}

fn row_count(parts: &[ColumnPart<'_>]) -> usize {
    parts.iter().map(|part| part.rows).sum()
}

/// Returns the selected rows of a part that has values.
fn selected_rows(part: &ColumnPart<'_>) -> impl Iterator<Item = usize> {
    let all = match part.selection {
        None => 0..part.rows,
        Some(_) => 0..0,
    };
    let selected = part.selection.into_iter().flat_map(BooleanBuffer::set_indices);
    all.chain(selected)
}

fn unexpected_type() -> ArrowError {
    ArrowError::InvalidArgumentError("a column has values of another type".to_owned())
}

#[cfg(test)]
mod tests {
    use arrow_array::{
        BooleanArray, Float64Array, Int64Array, StringArray, UInt64Array, new_null_array,
    };
    use arrow_select::{concat::concat, filter::filter};

    use super::*;

    #[test]
    fn parts_are_joined_as_arrow_filters_and_concatenates_them() {
        let columns: [(ColumnType, ArrayRef); 5] = [
            (
                ColumnType::Float,
                Arc::new(Float64Array::from(vec![Some(1.5), None, Some(f64::NAN)])),
            ),
            (
                ColumnType::Integer,
                Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(3)])),
            ),
            (
                ColumnType::UInteger,
                Arc::new(UInt64Array::from(vec![None, Some(u64::MAX), Some(0)])),
            ),
            (
                ColumnType::Boolean,
                Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
            ),
            (ColumnType::String, Arc::new(StringArray::from(vec![Some("é"), None, Some("")]))),
        ];
        for (column_type, values) in columns {
            for bits in 0..8_u8 {
                let selection = BooleanBuffer::collect_bool(3, |row| bits & (1 << row) != 0);
                let filtered =
                    filter(&values, &BooleanArray::new(selection.clone(), None)).unwrap();
                let parts = [
                    part(None, None, 2),
                    part(Some(&values), Some(&selection), filtered.len()),
                    part(Some(&values), None, 3),
                ];
                let nulls = new_null_array(values.data_type(), 2);
                let expected = concat(&[&nulls, &filtered, &values]).unwrap();
                let joined = join_parts(column_type, &parts).unwrap();
                assert_eq!(&joined, &expected, "{column_type} {bits:03b}");
                assert_eq!(joined.data_type(), &column_type.data_type());
            }
        }
    }

    #[test]
    fn values_of_another_type_are_an_error() {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        for column_type in
            [ColumnType::Float, ColumnType::Boolean, ColumnType::String, ColumnType::Tag]
        {
            let joined = join_parts(column_type, &[part(Some(&values), None, 1)]);
            assert!(joined.is_err(), "{column_type}");
        }
    }

    fn part<'a>(
        values: Option<&'a ArrayRef>,
        selection: Option<&'a BooleanBuffer>,
        rows: usize,
    ) -> ColumnPart<'a> {
        ColumnPart { values: values.map(AsRef::as_ref), selection, rows }
    }
}
