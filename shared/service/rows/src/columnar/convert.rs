//! Converts the values of a column to the type in which they are stored.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, Decimal128Array, PrimitiveArray, StringArray,
    cast::AsArray,
    types::{Decimal128Type, Float64Type, Int32Type, Int64Type, UInt64Type},
};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::{ArrowError, DataType};
use neap_schema::ColumnType;

use crate::{
    columnar::cast::{cast, cast_to_null},
    line_protocol::MAX_STRING_BYTES,
};

/// The values of a column in the type in which they are stored.
#[derive(Clone, Debug)]
pub(crate) struct ConvertedColumn {
    /// An array of the Arrow type of the column; a tag column may also be `Utf8`.
    pub(crate) values: ArrayRef,
    /// The rows that have a value.
    pub(crate) nulls: Option<NullBuffer>,
    /// The rows whose value cannot be stored.
    pub(crate) refused: Option<BooleanBuffer>,
}

/// Returns whether values of a type are texts.
pub(crate) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// Returns the array without an encoding: dictionaries, except those of texts, and runs become plain values. Values that
/// cannot be stored keep their encoding, because they may be large.
pub(crate) fn decode_encoding(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let can_be_stored = |values: &DataType| field_type(values).is_some() || is_moment(values);
    match array.data_type() {
        DataType::Dictionary(_, values) if !is_text(values) && can_be_stored(values) => {
            cast(array, values)
        }
        DataType::RunEndEncoded(_, values) if can_be_stored(values.data_type()) => {
            cast(array, values.data_type())
        }
        _ => Ok(Arc::clone(array)),
    }
}

/// Returns whether values of a type are timestamps or dates.
pub(crate) fn is_moment(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64)
}

/// Returns the type of field in which values of an Arrow type are stored; `None` if they cannot be stored.
pub(crate) fn field_type(data_type: &DataType) -> Option<ColumnType> {
    if is_text(data_type) {
        return Some(ColumnType::String);
    }
    match data_type {
        DataType::Boolean => Some(ColumnType::Boolean),
        data_type if data_type.is_signed_integer() => Some(ColumnType::Integer),
        data_type if data_type.is_unsigned_integer() => Some(ColumnType::UInteger),
        data_type if data_type.is_floating() || data_type.is_decimal() => Some(ColumnType::Float),
        _ => None,
    }
}

/// Returns whether a column of numbers can hold some of the values of another type of numbers.
pub(crate) fn are_numeric(types: [ColumnType; 2]) -> bool {
    types.into_iter().all(|column_type| {
        matches!(column_type, ColumnType::Float | ColumnType::Integer | ColumnType::UInteger)
    })
}

pub(crate) fn convert_tag(array: &ArrayRef) -> Result<ConvertedColumn, ArrowError> {
    let values = match array.data_type() {
        data_type if ColumnType::is_tag_type(data_type) => Arc::clone(array),
        DataType::Dictionary(..) => cast(array, &ColumnType::Tag.data_type())?,
        _ => cast(array, &DataType::Utf8)?,
    };
    let (empty, refused) = find_unfit_tags(values.as_ref());
    let nulls = match (values.logical_nulls(), empty) {
        (nulls, None) => nulls,
        (None, Some(empty)) => Some(NullBuffer::new(!&empty)),
        (Some(nulls), Some(empty)) => Some(NullBuffer::new(nulls.inner() & &!&empty)),
    };
    Ok(ConvertedColumn { values, nulls, refused })
}

/// Returns the rows with an empty tag, and those with a tag that is too long.
fn find_unfit_tags(values: &dyn Array) -> (Option<BooleanBuffer>, Option<BooleanBuffer>) {
    let is_long = |text: &str| text.len() > MAX_STRING_BYTES;
    let Some(dictionary) = values.as_dictionary_opt::<Int32Type>() else {
        let texts = values.as_string::<i32>();
        let empty = texts.offsets().lengths().any(|length| length == 0);
        let is_empty = |text: Option<&str>| text.is_some_and(str::is_empty);
        return (empty.then(|| texts.iter().map(is_empty).collect()), find_long_texts(texts));
    };
    let Some(texts) = dictionary.downcast_dict::<StringArray>() else {
        return (None, None);
    };
    let mut lengths = texts.values().offsets().lengths();
    if !lengths.any(|length| length == 0 || length > MAX_STRING_BYTES) {
        return (None, None);
    }
    let is_empty = |text: Option<&str>| text.is_some_and(str::is_empty);
    let is_long = |text: Option<&str>| text.is_some_and(is_long);
    (
        Some(texts.into_iter().map(is_empty).collect()),
        Some(texts.into_iter().map(is_long).collect()),
    )
}

/// Converts the values of a field of type `from` to the type `to`. The types are the same, or both are numeric.
pub(crate) fn convert_field(
    array: &ArrayRef,
    from: ColumnType,
    to: ColumnType,
) -> Result<ConvertedColumn, ArrowError> {
    if array.data_type().is_decimal() && to != ColumnType::Float {
        return convert_decimal(array, to);
    }
    let values = cast(array, &from.data_type())?;
    if from != to {
        return Ok(convert_number(&values, from, to));
    }
    let refused = match to {
        ColumnType::Float => find_not_finite(values.as_primitive()),
        ColumnType::String => find_long_texts(values.as_string::<i32>()),
        _ => None,
    };
    Ok(ConvertedColumn { nulls: values.logical_nulls(), values, refused })
}

fn find_not_finite(array: &PrimitiveArray<Float64Type>) -> Option<BooleanBuffer> {
    let values = array.values();
    let are_finite = values.iter().all(|value| value.is_finite());
    (!are_finite).then(|| {
        BooleanBuffer::collect_bool(array.len(), |row| {
            array.is_valid(row) && !array.value(row).is_finite()
        })
    })
}

fn find_long_texts(texts: &StringArray) -> Option<BooleanBuffer> {
    let is_long = |length: usize| length > MAX_STRING_BYTES;
    texts.offsets().lengths().any(is_long).then(|| {
        let is_long = texts.iter().map(|text| text.is_some_and(|text| is_long(text.len())));
        is_long.collect()
    })
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "each result is compared with its origin, or its range is checked"
)]
fn convert_number(values: &ArrayRef, from: ColumnType, to: ColumnType) -> ConvertedColumn {
    /// 2^63 and 2^64, the first floats that are too large.
    const INTEGER_END: f64 = 9_223_372_036_854_775_808.0;
    const UINTEGER_END: f64 = 18_446_744_073_709_551_616.0;
    match (from, to) {
        (ColumnType::Integer, ColumnType::Float) => {
            convert_exactly::<Int64Type, Float64Type>(values.as_primitive(), |value| {
                let float = value as f64;
                (float as i128 == i128::from(value)).then_some(float)
            })
        }
        (ColumnType::UInteger, ColumnType::Float) => {
            convert_exactly::<UInt64Type, Float64Type>(values.as_primitive(), |value| {
                let float = value as f64;
                (float as i128 == i128::from(value)).then_some(float)
            })
        }
        (ColumnType::Integer, _) => {
            convert_exactly::<Int64Type, UInt64Type>(values.as_primitive(), |value| {
                u64::try_from(value).ok()
            })
        }
        (ColumnType::UInteger, _) => {
            convert_exactly::<UInt64Type, Int64Type>(values.as_primitive(), |value| {
                i64::try_from(value).ok()
            })
        }
        (_, ColumnType::UInteger) => {
            convert_exactly::<Float64Type, UInt64Type>(values.as_primitive(), |value| {
                let fits = value.fract() == 0.0 && (0.0..UINTEGER_END).contains(&value);
                fits.then_some(value as u64)
            })
        }
        _ => convert_exactly::<Float64Type, Int64Type>(values.as_primitive(), |value| {
            let fits = value.fract() == 0.0 && (-INTEGER_END..INTEGER_END).contains(&value);
            fits.then_some(value as i64)
        }),
    }
}

/// Converts decimals of any width to 128 bits with a scale of at least 0. A value that does not fit becomes null.
pub(crate) fn widen_decimals(array: &ArrayRef) -> Result<Decimal128Array, ArrowError> {
    let scale = match array.data_type() {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => *scale,
        _ => 0,
    };
    let wide = DataType::Decimal128(arrow_schema::DECIMAL128_MAX_PRECISION, scale.max(0));
    let decimals = cast_to_null(array, &wide)?;
    Ok(decimals.as_primitive::<Decimal128Type>().clone())
}

/// Converts decimals to integers. Decimals of all widths are read as 128 bits.
fn convert_decimal(array: &ArrayRef, to: ColumnType) -> Result<ConvertedColumn, ArrowError> {
    let decimals = &widen_decimals(array)?;
    let divisor = 10i128.checked_pow(u32::from(decimals.scale().unsigned_abs()));
    let integer = |value: i128| {
        let divisor = divisor?;
        (value % divisor == 0).then_some(value / divisor)
    };
    let mut converted = match to {
        ColumnType::UInteger => convert_exactly::<_, UInt64Type>(decimals, |value| {
            integer(value).and_then(|value| u64::try_from(value).ok())
        }),
        _ => convert_exactly::<_, Int64Type>(decimals, |value| {
            integer(value).and_then(|value| i64::try_from(value).ok())
        }),
    };
    // A value that does not fit in 128 bits has become null.
    if decimals.null_count() > array.logical_null_count() {
        let was_lost = |row| array.is_valid(row) && decimals.is_null(row);
        let lost = BooleanBuffer::collect_bool(array.len(), was_lost);
        converted.refused = union(converted.refused, &lost);
        converted.nulls = array.logical_nulls();
    }
    Ok(converted)
}

fn convert_exactly<S, T>(
    array: &PrimitiveArray<S>,
    convert: impl Fn(S::Native) -> Option<T::Native>,
) -> ConvertedColumn
where
    S: ArrowPrimitiveType,
    T: ArrowPrimitiveType,
{
    let mut all_exact = true;
    let values = array.values().iter().enumerate().map(|(row, value)| {
        let converted = convert(*value);
        all_exact &= converted.is_some() || array.is_null(row);
        converted.unwrap_or_default()
    });
    let values: Vec<T::Native> = values.collect();
    let refused = (!all_exact).then(|| {
        BooleanBuffer::collect_bool(array.len(), |row| {
            array.is_valid(row) && convert(array.value(row)).is_none()
        })
    });
    ConvertedColumn {
        values: Arc::new(PrimitiveArray::<T>::new(values.into(), array.nulls().cloned())),
        nulls: array.nulls().cloned(),
        refused,
    }
}

/// Returns the rows of both sets.
pub(crate) fn union(set: Option<BooleanBuffer>, other: &BooleanBuffer) -> Option<BooleanBuffer> {
    Some(match set {
        Some(set) => &set | other,
        None => other.clone(),
    })
}
