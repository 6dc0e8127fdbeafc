//! The QuestDB dialect of line protocol: versions 1, 2 and 3 of QuestDB's protocol.
//!
//! Version 1 is line protocol with additional kinds of values. Version 2 adds binary floats and arrays, and units of
//! timestamps. Version 3 adds decimals. All of them are accepted in any line, because a request does not name its
//! version. The additional values are recognised only where a line of InfluxDB would be refused.
//!
//! | value | as sent | stored as |
//! |---|---|---|
//! | timestamp, in a field | `1700000000000000t` (µs), `…n` (ns), `…m` (ms) | an integer, in the unit in which it was sent |
//! | timestamp of the row | digits, and `n`, `t` or `m` from version 2 on | the time of the row. Without a suffix, the unit is that of the request |
//! | double | `=`, byte 16, 8 bytes, little-endian | a float |
//! | array of doubles | `=`, byte 14, see [`binary`] | a string: JSON, such as `[[1.0,2.0],[3.0,null]]`. A `NaN` is `null`; an array without values is `[]` |
//! | null array | an element type of 33, or no dimensions | absent |
//! | decimal | `123.45d`; or `=`, byte 23, see [`binary`] | a string: the exact number in plain notation, such as `123.45` |
//! | null decimal | `NaNd`, or no bytes | absent |
//! | `long256` | `0x1fi` | a string: the digits as sent, in lower case, such as `0x1f` |
//! | `char`, `uuid`, `geohash`, IPv4 | strings or symbols | strings or tags, as sent |
//! | QuestDB's null of a double | `NaN` | absent |
//! | an infinite double, in an array, too | `Infinity`, `-Infinity` | refused, because no value of the client is dropped silently |
//! | a backslash before a newline or a carriage return, in a string | the character alone | the character alone |
//! | the same in a symbol | the character alone | a carriage return: the character alone; a newline: refused |
//! | a row with symbols only | a row | refused |
//! | a row whose values are all null | a row | skipped |
//! | a name that a line has before, as a symbol or as a column | skipped | skipped |
//! | several rows without a timestamp | rows | rows whose times differ by a nanosecond |
//!
//! # Lines and text
//!
//! A binary value can contain newlines, and is not UTF-8. [`line_length`] finds the ends of lines outside of strings
//! and binary values. A carriage return before a newline is ignored, unless it belongs to a binary value. Names, symbols and strings are checked to be UTF-8 one by one, when they are first seen.
//!
//! The length of a malformed binary value is not known, so the ends of the following lines are not known either.
//! Therefore parsing stops at the first refused line.

mod array;
mod binary;
mod decimal;
mod line_length;
mod long256;
mod scanned_value;
mod utf8;
mod value;

use std::fmt::Write;

use memchr::{memchr, memmem};

pub use self::line_length::questdb_line_length;
pub(crate) use self::{
    array::ArrayBytes,
    decimal::{BinaryDecimal, TextDecimal},
    line_length::line_length,
    long256::Long256,
};
use self::{utf8::check_utf8, value::scan_value};
use crate::line_protocol::{
    error::{LineRefusal, excerpt, whole_or_end},
    line::{
        ExpectedField, FieldKey, FieldText, SeriesText, count_spaces, missing_field_error, scan_key,
    },
    number::{FieldValue, scan_timestamp},
    precision::Precision,
    scan::bytes_from,
};

/// Maximum bytes of a refused line that an error shows. A line with a malformed binary value ends with the body.
const MAX_SHOWN_BYTES: usize = 64 << 10;

/// The rest of a line after its fields, and a property of the fields.
#[derive(Debug)]
pub(crate) struct LineEnd {
    /// The timestamp and its unit, if there is one.
    pub(crate) timestamp: Option<(i64, Precision)>,
    /// Maximum bytes of the texts that are stored for arrays and decimals.
    pub(crate) text_bytes: usize,
}

/// Scans the rest of a line after the series, like [`crate::line_protocol::line::scan_fields_and_timestamp`]: the fields, into
/// `fields`, which stays empty if all values are null; and the timestamp. The line may end with a carriage return.
/// `precision` is the unit of a timestamp without a suffix.
#[cold]
pub(crate) fn scan_fields_and_timestamp<'a>(
    line: &'a [u8],
    at: usize,
    expected: &[ExpectedField<'a>],
    fields: &mut Vec<FieldText<'a>>,
    precision: Precision,
) -> Result<LineEnd, LineRefusal> {
    // Only the call is cold, so that it costs lines of the other dialect nothing.
    let (end, text_bytes) = scan_fields(line, at, expected, fields)?;
    let timestamp = scan_timestamp_to_end(bytes_from(line, end), precision)?;
    Ok(LineEnd { timestamp, text_bytes })
}

/// Scans the fields. Returns the position of their end, and the maximum bytes of the texts of arrays and
/// decimals.
#[inline(never)]
fn scan_fields<'a>(
    line: &'a [u8],
    at: usize,
    expected: &[ExpectedField<'a>],
    fields: &mut Vec<FieldText<'a>>,
) -> Result<(usize, usize), LineRefusal> {
    let spaces = count_spaces(bytes_from(line, at));
    if spaces == 0 {
        return Err(LineRefusal::ExpectedSpace(whole_or_end(bytes_from(line, at))));
    }
    let mut at = at + spaces;
    let mut expected = expected.iter();
    let mut text_bytes = 0;
    let mut scanned_fields = 0;
    fields.clear();
    loop {
        let input = bytes_from(line, at);
        let Some(FieldKey { key, column }) = scan_key(input, expected.next())? else {
            return Err(missing_value_error(line, at, scanned_fields));
        };
        let Some(scanned) = scan_value(bytes_from(input, key.len()))? else {
            return Err(missing_value_error(line, at, scanned_fields));
        };
        scanned_fields += 1;
        if let Some(value) = scanned.value {
            if column.is_none() {
                check_utf8(key, "a column name")?;
            }
            text_bytes += text_bytes_of(value);
            fields.push(FieldText { key, unexpected: column.is_none(), column, value });
        }
        at += key.len() + scanned.length;
        if line.get(at) != Some(&b',') {
            break;
        }
        at += 1;
    }
    Ok((at, text_bytes))
}

/// Returns the maximum bytes of the text that is stored for a value; 0 if it is stored as it was sent.
#[inline]
fn text_bytes_of(value: FieldValue<'_>) -> usize {
    match value {
        FieldValue::Array(array) => array.text_bytes(),
        FieldValue::BinaryDecimal(_) | FieldValue::TextDecimal(_) => decimal::MAX_TEXT_BYTES,
        _ => 0,
    }
}

/// Returns the error of a line that has no field at `at`, where one is expected after `fields` others.
#[cold]
fn missing_value_error(line: &[u8], at: usize, fields: usize) -> LineRefusal {
    match fields {
        0 => missing_fields_error(bytes_from(line, at)),
        _ => missing_field_error(line, at, fields),
    }
}

/// Returns the reason why a line without a field before `rest` is refused.
fn missing_fields_error(rest: &[u8]) -> LineRefusal {
    match memchr(b'=', rest) {
        Some(_) => LineRefusal::NoFields,
        None => LineRefusal::SymbolsOnly,
    }
}

/// Scans the rest of a line after its fields: a timestamp with an optional unit, or nothing; and a carriage return.
fn scan_timestamp_to_end(
    rest: &[u8],
    precision: Precision,
) -> Result<Option<(i64, Precision)>, LineRefusal> {
    let rest = rest.strip_suffix(b"\r").unwrap_or(rest);
    let spaces = count_spaces(rest);
    if spaces == rest.len() {
        return Ok(None);
    }
    let timestamp = if spaces == 0 {
        None
    } else {
        scan_timestamp(bytes_from(rest, spaces))?
    };
    let Some((timestamp, length)) = timestamp else {
        return Err(LineRefusal::TrailingContent(excerpt(rest)));
    };
    let rest = bytes_from(rest, spaces + length);
    let (precision, suffix) = match rest.first() {
        Some(b'n') => (Precision::Nanosecond, 1),
        Some(b't') => (Precision::Microsecond, 1),
        Some(b'm') => (Precision::Millisecond, 1),
        _ => (precision, 0),
    };
    let rest = bytes_from(rest, suffix);
    let rest = bytes_from(rest, count_spaces(rest));
    if rest.is_empty() {
        Ok(Some((timestamp, precision)))
    } else {
        Err(LineRefusal::TrailingContent(excerpt(rest)))
    }
}

/// Checks the measurement and the symbols of a line, whose text is `series_text`.
pub(crate) fn check_series(
    series: &mut SeriesText<'_>,
    series_text: &[u8],
) -> Result<(), LineRefusal> {
    check_utf8(series_text, "the table name or a symbol")?;
    for (_, value) in &mut series.tags {
        if value.escaped && memmem::find(value.raw, b"\\\n").is_some() {
            return Err(LineRefusal::NewlineInSymbol);
        }
        value.escapes_newlines = true;
    }
    Ok(())
}

/// Returns the text of a refused line. Bytes that are not UTF-8 are shown as `\xf0`, and a long line is cut.
pub(crate) fn shown_line(line: &[u8]) -> String {
    let shown = line.get(..MAX_SHOWN_BYTES).unwrap_or(line);
    let mut text = String::with_capacity(shown.len());
    for chunk in shown.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a string does not fail.
            write!(text, "\\x{byte:02x}").unwrap_or_default();
        }
    }
    text
}
