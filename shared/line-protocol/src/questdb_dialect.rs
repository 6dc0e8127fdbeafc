//! The QuestDB dialect of line protocol.
//!
//! QuestDB's text protocol (version 1) is line protocol with additional kinds of values. They are recognised only where
//! a line of InfluxDB would be refused.
//!
//! | text | meaning | here |
//! |---|---|---|
//! | `1700000000000000t` | a timestamp in microseconds | an integer |
//! | `NaN` | QuestDB's null | absent |
//! | `Infinity`, `-Infinity` | also QuestDB's null | refused, because no value of the client is dropped silently |
//! | `0x1fi` | a number of 256 bits | refused |
//! | `=` and bytes | a binary value of protocol version 2 | refused |
//! | a backslash before a newline in a string | a newline | a newline |
//! | the same in a symbol | a newline | refused |
//! | a row with symbols only | a row | refused |

use std::str;

use memchr::{memchr, memmem};

use crate::{
    error::{LineRefusal, text, whole_or_end},
    line::{
        ExpectedField, FieldText, count_spaces, missing_field_error, scan_field,
        scan_timestamp_to_end,
    },
    number::FieldValue,
    scan::{Token, TokenKind, bytes_from},
};

/// Scans the rest of a line after the series, like [`crate::line::scan_fields_and_timestamp`]: the fields, into
/// `fields`, and the timestamp.
#[cold]
pub(crate) fn scan_fields_and_timestamp<'a>(
    line: &'a [u8],
    at: usize,
    expected: &[ExpectedField<'a>],
    fields: &mut Vec<FieldText<'a>>,
) -> Result<Option<i64>, LineRefusal> {
    let spaces = count_spaces(bytes_from(line, at));
    if spaces == 0 {
        return Err(LineRefusal::ExpectedSpace(whole_or_end(bytes_from(
            line, at,
        ))));
    }
    let mut at = at + spaces;
    let mut expected = expected.iter();
    fields.clear();
    loop {
        let input = bytes_from(line, at);
        match scan_field(input, expected.next())? {
            Some((field, length)) => {
                let (value, length) = questdb_value(field, input, length)?;
                fields.push(FieldText { value, ..field });
                at += length;
            }
            None => match absent_field(input)? {
                Some(length) => at += length,
                None if fields.is_empty() => return Err(missing_fields_error(input)),
                None => return Err(missing_field_error(line, at, fields.len())),
            },
        }
        if line.get(at) != Some(&b',') {
            break;
        }
        at += 1;
    }
    if fields.is_empty() {
        return Err(missing_fields_error(bytes_from(line, at)));
    }
    scan_timestamp_to_end(bytes_from(line, at))
}

/// Returns the value of a field in the QuestDB dialect, and its length. `length` is its length as a field of InfluxDB.
fn questdb_value<'a>(
    field: FieldText<'a>,
    input: &[u8],
    length: usize,
) -> Result<(FieldValue<'a>, usize), LineRefusal> {
    match (field.value, input.get(length)) {
        (FieldValue::String(token), _) => {
            let escapes_newlines = true;
            let token = Token {
                escapes_newlines,
                ..token
            };
            Ok((FieldValue::String(token), length))
        }
        (FieldValue::Float(_), Some(b't')) => {
            let digits = input.get(field.key.len()..length).unwrap_or_default();
            let value = str::from_utf8(digits)
                .ok()
                .and_then(|text| text.parse().ok());
            match value {
                Some(value) => Ok((FieldValue::Integer(value), length + 1)),
                None => Err(LineRefusal::Integer(text(digits).into_owned())),
            }
        }
        (FieldValue::Float(_), Some(b'x')) => Err(LineRefusal::UnsupportedLong256),
        (value, _) => Ok((value, length)),
    }
}

/// Returns the length of the field without a value at the start of `input`; `None` if it is not a field. Called only if
/// `input` is not a field by the other rules.
fn absent_field(input: &[u8]) -> Result<Option<usize>, LineRefusal> {
    let key = Token::scan(input, TokenKind::Key)?.raw.len();
    if key == 0 || input.get(key) != Some(&b'=') {
        return Ok(None);
    }
    let value = bytes_from(input, key + 1);
    if value.starts_with(b"NaN") {
        return Ok(Some(key + 1 + b"NaN".len()));
    }
    let unsigned = value.strip_prefix(b"-").unwrap_or(value);
    if unsigned.starts_with(b"Infinity") {
        return Err(LineRefusal::Infinity);
    }
    if value.starts_with(b"=") {
        return Err(LineRefusal::BinaryValue);
    }
    Ok(None)
}

/// Returns the reason why a line without a field before `rest` is refused.
fn missing_fields_error(rest: &[u8]) -> LineRefusal {
    match memchr(b'=', rest) {
        Some(_) => LineRefusal::NoFields,
        None => LineRefusal::SymbolsOnly,
    }
}

/// Refuses tags that only QuestDB can store.
pub(crate) fn check_tags(tags: &[(Token<'_>, Token<'_>)]) -> Result<(), LineRefusal> {
    let has_newline =
        |token: &Token<'_>| token.escaped && memmem::find(token.raw, b"\\\n").is_some();
    if tags.iter().any(|(_, value)| has_newline(value)) {
        return Err(LineRefusal::NewlineInSymbol);
    }
    Ok(())
}
