//! Result sizes of list functions, in bytes per row.

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::Result;

use super::arguments::{ArgumentRow, CallArguments};
use super::sizes;

/// Bytes per list element besides its content: the index that it was taken from.
const INDEX_BYTES: u64 = 8;

/// Maximum characters of an integer, a decimal, a time or a boolean as text.
const MAX_SHORT_TEXT_BYTES: u64 = 80;

/// Characters of a float other than leading and trailing zeros, including the sign and the point.
const FLOAT_DIGITS: u64 = 20;

pub(super) fn compare(row: &ArgumentRow) -> u64 {
    row.elements(0).saturating_mul(row.elements(1))
}

pub(super) fn repeat(row: &ArgumentRow) -> u64 {
    let elements = row.elements(0).saturating_mul(INDEX_BYTES);
    let one = row.bytes(0).saturating_add(elements).saturating_add(INDEX_BYTES);
    row.count(1).saturating_mul(one)
}

pub(super) fn resize(row: &ArgumentRow) -> u64 {
    let one = row.element_width(0).saturating_add(row.bytes(2));
    let added = row.count(1).saturating_mul(one);
    row.bytes(0).saturating_add(added)
}

pub(super) fn replace(row: &ArgumentRow) -> u64 {
    let replaced = row.elements(0).saturating_mul(row.bytes(2));
    row.bytes(0).saturating_add(replaced)
}

pub(super) fn zip(row: &ArgumentRow) -> u64 {
    let longest = (0..row.len()).map(|i| row.elements(i)).max().unwrap_or(0);
    let one = |sum: u64, i| {
        let padding = longest.saturating_mul(row.element_width(i));
        sum.saturating_add(padding).saturating_add(row.bytes(i))
    };
    (0..row.len()).fold(0, one)
}

/// Returns the bytes of the elements as text, and of the separators between them.
pub(super) fn to_string(args: &CallArguments) -> Result<u64> {
    let Some((lists, index)) = args.column(0) else {
        return Ok(0);
    };
    let Some(texts) = TextSizes::from_array(lists)? else {
        return Ok(0);
    };
    Ok(args.sum(|row| {
        let at = index(row.number());
        if at >= lists.len() {
            return 0;
        }
        let (elements, bytes) = texts.bytes(at, 1);
        let between = row.length(1).saturating_add(row.length(2));
        bytes.saturating_add(elements.saturating_mul(between))
    }))
}

/// Measures the bytes of values as text.
enum TextSizes<'a> {
    /// Elements of lists.
    In(&'a dyn Array, Box<Self>),
    /// Floats. Very large or very small floats have hundreds of digits.
    Floats(arrow::array::ArrayRef),
    /// All other values.
    Values(&'a dyn Array),
}

impl<'a> TextSizes<'a> {
    /// Returns `None` if the values have no text.
    fn from_array(array: &'a dyn Array) -> Result<Option<Self>> {
        Ok(Some(match (sizes::child(array), array.data_type()) {
            (Some(values), _) => match Self::from_array(values)? {
                Some(inner) => Self::In(array, Box::new(inner)),
                None => return Ok(None),
            },
            (None, DataType::Null) => return Ok(None),
            (None, data_type) if data_type.is_floating() => {
                Self::Floats(cast(array, &DataType::Float64)?)
            }
            (None, _) => Self::Values(array),
        }))
    }

    /// Returns the number of values and their bytes as text.
    fn bytes(&self, from: usize, length: usize) -> (u64, u64) {
        let count = length as u64;
        match self {
            Self::In(array, inner) => {
                let (from, length) = sizes::elements(*array, from, length);
                inner.bytes(from, length)
            }
            Self::Floats(floats) => {
                let floats = floats.as_primitive::<Float64Type>().values().iter();
                let part = floats.skip(from).take(length).copied();
                (count, part.map(digits).fold(0, u64::saturating_add))
            }
            Self::Values(array) => {
                let short = match array.data_type() {
                    DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => 0,
                    _ => MAX_SHORT_TEXT_BYTES,
                };
                let bytes = sizes::bytes(*array, from, length);
                (count, bytes.saturating_add(count.saturating_mul(short)))
            }
        }
    }
}

/// Returns the maximum number of characters of a float written without an exponent.
fn digits(float: f64) -> u64 {
    if float == 0.0 || !float.is_finite() {
        return FLOAT_DIGITS;
    }
    // The binary exponent. A third of it is larger than the decimal exponent.
    let exponent = (float.to_bits() >> 52 & 0x7ff).abs_diff(1023);
    FLOAT_DIGITS + exponent / 3
}
