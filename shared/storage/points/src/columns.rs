//! Converts rows to the columns of a table, in its order. Missing columns are null. Integers of a field that was widened since are
//! floats.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, DictionaryArray, RecordBatch, RecordBatchOptions, StringArray,
    TimestampNanosecondArray,
    cast::AsArray,
    new_null_array,
    types::{Int32Type, TimestampNanosecondType},
};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType, Field, SchemaRef};
use neap_schema::{
    ColumnType, TIME_COLUMN,
    narrow_integers::{narrowest_type, wide_type},
};

use crate::PointsError;

/// Returns the rows of `batch` with exactly the columns of `schema`. Columns that the batch lacks are null; columns
/// that the schema lacks are omitted.
pub fn conform_to_schema(
    batch: &RecordBatch,
    schema: &SchemaRef,
) -> Result<RecordBatch, PointsError> {
    let rows = batch.num_rows();
    let columns = schema
        .fields()
        .iter()
        .map(|field| conform_column(batch, field))
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// Returns the column of `batch` for a field of the table; nulls if the batch lacks it.
pub(crate) fn conform_column(batch: &RecordBatch, field: &Field) -> Result<ArrayRef, PointsError> {
    match batch.column_by_name(field.name()) {
        Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
        Some(column) if is_widened(column.data_type(), field.data_type()) => {
            Ok(widened_to_float(column)?)
        }
        Some(column) => Err(PointsError::ColumnType {
            column: field.name().clone(),
            found: column.data_type().to_string(),
            expected: field.data_type().to_string(),
        }),
        None => Ok(null_column(field.data_type(), batch.num_rows())),
    }
}

/// Returns the column of `batch` for a field of the table, as [`conform_column`], but with the type of the batch if integers are
/// narrow there; nulls of the narrowest type if the batch lacks it.
pub(crate) fn conform_narrow_column(
    batch: &RecordBatch,
    field: &Field,
) -> Result<ArrayRef, PointsError> {
    match batch.column_by_name(field.name()) {
        Some(column) if wide_type(column.data_type()) == field.data_type() => {
            Ok(Arc::clone(column))
        }
        Some(_) => conform_column(batch, field),
        None => {
            let data_type = narrowest_type(field.data_type());
            Ok(null_column(data_type, batch.num_rows()))
        }
    }
}

/// Whether a field of one type may have been stored with the other type, because it was widened since.
pub(crate) fn is_widened(stored: &DataType, present: &DataType) -> bool {
    *present == DataType::Float64 && stored.is_integer()
}

/// Returns integers of any width as floats. Those beyond 53 bits are rounded.
pub(crate) fn widened_to_float(integers: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    cast(integers, &DataType::Float64)
}

/// Returns a column of nulls. A dictionary column has an empty dictionary.
pub(crate) fn null_column(data_type: &DataType, rows: usize) -> ArrayRef {
    if !ColumnType::is_tag_type(data_type) {
        return new_null_array(data_type, rows);
    }
    let keys = arrow_array::Int32Array::new_null(rows);
    let values = Arc::new(StringArray::from(Vec::<&str>::new()));
    match DictionaryArray::<Int32Type>::try_new(keys, values) {
        Ok(column) => Arc::new(column),
        Err(_) => new_null_array(data_type, rows),
    }
}

/// Returns the time column of rows.
pub fn times(batch: &RecordBatch) -> Result<&TimestampNanosecondArray, PointsError> {
    batch
        .column_by_name(TIME_COLUMN)
        .and_then(|column| column.as_primitive_opt::<TimestampNanosecondType>())
        .ok_or(PointsError::MissingTimeColumn)
}

/// Returns the earliest and the latest time of rows; `None` if there are no rows.
pub(crate) fn time_range(batch: &RecordBatch) -> Result<Option<(i64, i64)>, PointsError> {
    let times = times(batch)?.values();
    let (min, max) = (times.iter().min(), times.iter().max());
    Ok(min.copied().zip(max.copied()))
}
