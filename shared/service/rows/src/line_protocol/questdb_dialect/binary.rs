//! Binary values: a byte for the type, and the value.
//!
//! ```text
//! double   16  value (8 bytes, little-endian)
//! array    14  type of elements (10: double)  dimensions d (1 byte)  shape (d * 4 bytes, little-endian)
//!              values (8 bytes each, little-endian, row-major)
//!          14  33                             null: nothing follows
//!          14  10  0                          null: nothing follows
//! decimal  23  scale (1 byte)  length n (1 byte)  unscaled value (n bytes, two's complement, big-endian)
//!          23  scale  0                       null: nothing follows
//! ```
//!
//! In a line, the value follows two equals signs. The value of an array with a dimension of 0 has no values.

use super::{array::ArrayBytes, decimal::BinaryDecimal, scanned_value::ScannedValue};
use crate::line_protocol::{error::LineRefusal, number::FieldValue};

pub(super) const DOUBLE: u8 = 16;
pub(super) const ARRAY: u8 = 14;
pub(super) const DECIMAL: u8 = 23;

/// The bytes of a double with its type.
const DOUBLE_LENGTH: usize = 9;

/// Returns the length of the binary value at the start of `input` with its type; `None` if `input` ends before the
/// length is known. The value itself can be cut off.
#[inline]
pub(super) fn binary_length(input: &[u8]) -> Result<Option<usize>, LineRefusal> {
    match input.first() {
        Some(&DOUBLE) => Ok(Some(DOUBLE_LENGTH)),
        Some(&ARRAY) => ArrayBytes::length(input),
        Some(&DECIMAL) => BinaryDecimal::length(input),
        Some(other) => Err(LineRefusal::UnknownBinaryType(*other)),
        None => Ok(None),
    }
}

/// Scans the binary value at the start of `input`.
pub(super) fn scan_binary(input: &[u8]) -> Result<ScannedValue<'_>, LineRefusal> {
    let length = binary_length(input)?.ok_or(LineRefusal::BinaryValueCutOff)?;
    let bytes = input.get(..length).ok_or(LineRefusal::BinaryValueCutOff)?;
    let value = match bytes {
        [DOUBLE, double @ ..] => scan_double(double)?,
        [ARRAY, ..] => ArrayBytes::scan(bytes)?.map(FieldValue::Array),
        _ => BinaryDecimal::scan(bytes)?.map(FieldValue::BinaryDecimal),
    };
    Ok(ScannedValue { value, length })
}

/// Returns a double; `None` if it is not a number, which is QuestDB's null.
fn scan_double(bytes: &[u8]) -> Result<Option<FieldValue<'static>>, LineRefusal> {
    let bytes = bytes.first_chunk().ok_or(LineRefusal::BinaryValueCutOff)?;
    let value = f64::from_le_bytes(*bytes);
    if value.is_infinite() {
        return Err(LineRefusal::Infinity);
    }
    Ok((!value.is_nan()).then_some(FieldValue::Float(value)))
}
