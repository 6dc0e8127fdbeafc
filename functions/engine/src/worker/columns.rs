//! Encodes rows for Python in binary, column by column. The host builds dicts from the columns (`rows.py`) in a
//! fraction of the time that parsing each row would take.
//!
//! The header of a batch describes its columns; the bytes of the columns follow each other:
//!
//! | type | bytes |
//! |---|---|
//! | `q`, `Q`, `d`, `?` | the values as i64, u64, f64 or one byte, in native byte order |
//! | `string` | a JSON list |
//! | `tag` | a JSON list of labels, of `labels` bytes, then the index of each row's label as i32 |
//!
//! A column with nulls has a list of row indexes (u32) before its values: the rows of the nulls if there is a value for
//! every row, or the rows of the values if the column is `sparse` and has only these values.

use arrow_array::{
    Array, ArrayRef, Int32Array, RecordBatch, UInt32Array,
    cast::AsArray,
    types::{
        ArrowPrimitiveType, Float64Type, Int32Type, Int64Type, TimestampNanosecondType, UInt64Type,
    },
};
use arrow_cast::cast;
use arrow_schema::{DataType, TimeUnit};
use arrow_select::take::take;
use serde::Serialize;

use crate::worker::frames::{self, kind};

/// Maximum rows of a frame, small enough that encoding a frame does not block other tasks for long.
const FRAME_ROWS: usize = 8_192;

/// A column has a type that plugins do not support.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("Unsupported data type: {0}")]
pub(super) struct UnsupportedType(String);

#[derive(Debug, Serialize)]
struct RowsHeader<'a> {
    rows: usize,
    columns: Vec<ColumnHeader<'a>>,
}

#[derive(Debug, Serialize)]
struct ColumnHeader<'a> {
    name: &'a str,
    r#type: &'static str,
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    places: Option<usize>,
    sparse: bool,
}

/// Encodes the rows of a batch as frames, lazily.
pub(super) fn row_frames(
    batch: &RecordBatch,
) -> impl Iterator<Item = Result<Vec<u8>, UnsupportedType>> {
    let rows = batch.num_rows();
    (0..rows).step_by(FRAME_ROWS).map(move |start| {
        let part = batch.slice(start, FRAME_ROWS.min(rows - start));
        row_frame(&part)
    })
}

fn row_frame(batch: &RecordBatch) -> Result<Vec<u8>, UnsupportedType> {
    let mut data = Vec::new();
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        columns.push(push_column(field.name(), array, &mut data)?);
    }
    let header = RowsHeader { rows: batch.num_rows(), columns };
    let mut frame = Vec::with_capacity(data.len() + 64 * (1 + batch.num_columns()));
    frames::push_header(&mut frame, kind::ROWS, &header, &data);
    Ok(frame)
}

fn push_column<'a>(
    name: &'a str,
    array: &ArrayRef,
    data: &mut Vec<u8>,
) -> Result<ColumnHeader<'a>, UnsupportedType> {
    let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
    let Some(nulls) = nulls else {
        return push_values(name, array, data);
    };
    let sparse = nulls.null_count() * 2 > array.len();
    let places: UInt32Array = (0_u32..)
        .zip(nulls.iter())
        .filter(|(_, valid)| *valid == sparse)
        .map(|(place, _)| Some(place))
        .collect();
    data.extend_from_slice(places.values().inner());
    let column = if sparse {
        // The indexes are within the array, so `take` fails only for unsupported types.
        let values = take(array, &places, None).map_err(|_| unsupported(array))?;
        push_values(name, &values, data)?
    } else {
        push_values(name, array, data)?
    };
    Ok(ColumnHeader { places: Some(places.len()), sparse, ..column })
}

/// Appends the values. The value of a null is arbitrary.
fn push_values<'a>(
    name: &'a str,
    array: &ArrayRef,
    data: &mut Vec<u8>,
) -> Result<ColumnHeader<'a>, UnsupportedType> {
    let start = data.len();
    let mut labels = None;
    let kind = match array.data_type() {
        DataType::Int64 => primitive::<Int64Type>(array, data, "q"),
        DataType::UInt64 => primitive::<UInt64Type>(array, data, "Q"),
        DataType::Float64 => primitive::<Float64Type>(array, data, "d"),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            primitive::<TimestampNanosecondType>(array, data, "q")
        }
        DataType::Int8 | DataType::Int16 | DataType::Int32 => {
            primitive::<Int64Type>(&cast_to(array, &DataType::Int64)?, data, "q")
        }
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => {
            primitive::<UInt64Type>(&cast_to(array, &DataType::UInt64)?, data, "Q")
        }
        DataType::Float16 | DataType::Float32 => {
            primitive::<Float64Type>(&cast_to(array, &DataType::Float64)?, data, "d")
        }
        DataType::Boolean => {
            data.extend(array.as_boolean().values().iter().map(u8::from));
            "?"
        }
        DataType::Utf8 => strings(array.as_string::<i32>().iter(), data),
        DataType::LargeUtf8 => strings(array.as_string::<i64>().iter(), data),
        DataType::Utf8View => strings(array.as_string_view().iter(), data),
        DataType::Null => strings(std::iter::repeat_n(None, array.len()), data),
        DataType::Dictionary(_, values) if values.is_string() => {
            labels = push_labels(array, data)?;
            if labels.is_some() { "tag" } else { "string" }
        }
        _ => return Err(unsupported(array)),
    };
    Ok(ColumnHeader {
        name,
        r#type: kind,
        bytes: data.len() - start,
        labels,
        places: None,
        sparse: false,
    })
}

fn primitive<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    data: &mut Vec<u8>,
    kind: &'static str,
) -> &'static str {
    data.extend_from_slice(array.as_primitive::<T>().values().inner());
    kind
}

fn strings<'a>(values: impl Iterator<Item = Option<&'a str>>, data: &mut Vec<u8>) -> &'static str {
    push_list(values.map(Option::unwrap_or_default), data);
    "string"
}

/// Appends a JSON list of strings.
fn push_list<'a>(values: impl Iterator<Item = &'a str>, data: &mut Vec<u8>) {
    data.push(b'[');
    for (place, value) in values.enumerate() {
        if place > 0 {
            data.push(b',');
        }
        let written = serde_json::to_writer(&mut *data, value);
        debug_assert!(written.is_ok());
    }
    data.push(b']');
}

/// Appends labels and indexes, and returns the size of the labels in bytes. If there are more labels than rows, appends
/// the strings instead and returns `None`.
fn push_labels(array: &ArrayRef, data: &mut Vec<u8>) -> Result<Option<usize>, UnsupportedType> {
    let few = array
        .as_any_dictionary_opt()
        .is_some_and(|dictionary| dictionary.values().len() <= array.len());
    let dictionary = array.as_dictionary_opt::<Int32Type>();
    let Some(dictionary) = dictionary.filter(|_| few) else {
        let plain = cast_to(array, &DataType::Utf8)?;
        strings(plain.as_string::<i32>().iter(), data);
        return Ok(None);
    };
    let start = data.len();
    let labels = cast_to(dictionary.values(), &DataType::Utf8)?;
    push_list(labels.as_string::<i32>().iter().map(Option::unwrap_or_default), data);
    let bytes = data.len() - start;
    let keys = dictionary.keys();
    if keys.null_count() == 0 {
        data.extend_from_slice(keys.values().inner());
    } else {
        // The key of a null may not be a valid index.
        let keys: Int32Array = keys.iter().map(|key| Some(key.unwrap_or(0))).collect();
        data.extend_from_slice(keys.values().inner());
    }
    Ok(Some(bytes))
}

fn cast_to(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, UnsupportedType> {
    cast(array, to).map_err(|_| unsupported(array))
}

fn unsupported(array: &ArrayRef) -> UnsupportedType {
    UnsupportedType(format!("{:?}", array.data_type()))
}
