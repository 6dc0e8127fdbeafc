//! The values of fields, in text and in binary.

use std::str;

use super::{
    binary::{DOUBLE, scan_binary},
    decimal::TextDecimal,
    long256::scan_long256,
    scanned_value::ScannedValue,
    utf8::check_utf8,
};
use crate::line_protocol::{
    error::{LineRefusal, text},
    number::{self, FieldValue},
    scan::Token,
};

/// Scans the value at the start of `input`, after the key of its field; `None` if there is no value.
#[inline(always)]
// Most values of version 2 are doubles, and a result of this type is returned in memory.
pub(super) fn scan_value(input: &[u8]) -> Result<Option<ScannedValue<'_>>, LineRefusal> {
    if let Some((&[b'=', DOUBLE, bytes @ ..], _)) = input.split_first_chunk::<10>() {
        let value = f64::from_le_bytes(bytes);
        if value.is_finite() {
            return Ok(some(FieldValue::Float(value), 2 + bytes.len()));
        }
    }
    scan_any_value(input)
}

fn scan_any_value(input: &[u8]) -> Result<Option<ScannedValue<'_>>, LineRefusal> {
    if let Some(binary) = input.strip_prefix(b"=") {
        let ScannedValue { value, length } = scan_binary(binary)?;
        let length = length + 1;
        return Ok(Some(ScannedValue { value, length }));
    }
    match number::scan_value(input)? {
        Some((FieldValue::String(token), length)) => {
            check_utf8(token.raw, "a string")?;
            let escapes_newlines = true;
            let token = Token { escapes_newlines, ..token };
            Ok(some(FieldValue::String(token), length))
        }
        Some((value @ FieldValue::Float(_), length)) => scan_suffix(value, input, length).map(Some),
        Some((value, length)) => Ok(some(value, length)),
        None => scan_other(input),
    }
}

#[inline]
fn some(value: FieldValue<'_>, length: usize) -> Option<ScannedValue<'_>> {
    let value = Some(value);
    Some(ScannedValue { value, length })
}

/// Scans what follows a float of this length, and makes it another kind of value.
#[inline]
fn scan_suffix<'a>(
    float: FieldValue<'a>,
    input: &'a [u8],
    length: usize,
) -> Result<ScannedValue<'a>, LineRefusal> {
    let number = input.get(..length).unwrap_or(input);
    let (value, length) = match input.get(length) {
        Some(b't' | b'n' | b'm') => (FieldValue::Integer(parse_integer(number)?), length + 1),
        Some(b'd') => (FieldValue::TextDecimal(TextDecimal::scan(number)?), length + 1),
        Some(b'x' | b'X') if number == b"0" => {
            let long = scan_long256(input)?;
            (FieldValue::Long256(long), long.0.len() + 1)
        }
        _ => (float, length),
    };
    let value = Some(value);
    Ok(ScannedValue { value, length })
}

fn parse_integer(digits: &[u8]) -> Result<i64, LineRefusal> {
    let value = str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
    value.ok_or_else(|| LineRefusal::Integer(text(digits).into_owned()))
}

/// Scans a value that is none in the dialect of InfluxDB.
#[cold]
fn scan_other(input: &[u8]) -> Result<Option<ScannedValue<'_>>, LineRefusal> {
    if let Some(rest) = input.strip_prefix(b"NaN") {
        let length = b"NaN".len() + usize::from(rest.first() == Some(&b'd'));
        return Ok(Some(ScannedValue { value: None, length }));
    }
    let unsigned = match input.split_first() {
        Some((b'-' | b'+', unsigned)) => unsigned,
        _ => input,
    };
    if unsigned.starts_with(b"Infinity") {
        return Err(LineRefusal::Infinity);
    }
    if !input.starts_with(b"+") {
        return Ok(None);
    }
    // Only decimals have a plus sign.
    match number::scan_value(unsigned)? {
        Some((FieldValue::Float(_), length)) if unsigned.get(length) == Some(&b'd') => {
            let decimal = TextDecimal::scan(unsigned.get(..length).unwrap_or(unsigned))?;
            Ok(some(FieldValue::TextDecimal(decimal), length + 2))
        }
        _ => Ok(None),
    }
}
