//! The grammar of one line: series, fields, timestamp.

use std::borrow::Cow;

use memchr::memchr;

use crate::line_protocol::{
    error::{LineRefusal, excerpt, excerpt_or_end, text, whole_or_end},
    number::{FieldValue, scan_timestamp, scan_value},
    scan::{Token, TokenKind, bytes_from},
};

/// Measurement and tags as written. The vectors are reused from line to line.
#[derive(Debug)]
pub(crate) struct SeriesText<'a> {
    pub(crate) measurement: Token<'a>,
    pub(crate) tags: Vec<(Token<'a>, Token<'a>)>,
}

impl<'a> SeriesText<'a> {
    pub(crate) fn new() -> Self {
        Self {
            measurement: Token { raw: b"", escaped: false, escapes_newlines: false },
            tags: Vec::new(),
        }
    }

    /// Scans measurement and tags at the start of a line. Returns their length.
    pub(crate) fn scan(&mut self, line: &'a [u8]) -> Result<usize, LineRefusal> {
        self.tags.clear();
        self.measurement = Token::scan(line, TokenKind::Measurement)?;
        // An unescaped NUL ends the measurement.
        let has_nul = self.measurement.escaped && self.measurement.raw.contains(&b'\0');
        if self.measurement.raw.is_empty() || has_nul {
            return Err(LineRefusal::InvalidMeasurement);
        }
        let mut at = self.measurement.raw.len();
        let tag_set = at + 1;
        while line.get(at) == Some(&b',') {
            let key = Token::scan(bytes_from(line, at + 1), TokenKind::Key)?;
            at += 1 + key.raw.len();
            match line.get(at) {
                Some(b'=') if !key.raw.is_empty() => at += 1,
                Some(b',') => {
                    return Err(LineRefusal::TagSetMalformed(excerpt(bytes_from(line, tag_set))));
                }
                _ if key.raw.is_empty() => {
                    return Err(LineRefusal::ExpectedTagKey(excerpt_or_end(bytes_from(line, at))));
                }
                _ => {
                    return Err(LineRefusal::TagSetMalformed(excerpt(bytes_from(line, tag_set))));
                }
            }
            let value = Token::scan(bytes_from(line, at), TokenKind::TagValue)?;
            if value.raw.is_empty() {
                return Err(LineRefusal::ExpectedTagValue(excerpt_or_end(bytes_from(line, at))));
            }
            at += value.raw.len();
            self.tags.push((key, value));
        }
        Ok(at)
    }

    /// Refuses tag values that have an escaped comma and an unescaped equals sign after it. Clients that do not know
    /// that no value can end with a backslash send such lines: `t=C:\,u=x` is the tags `t` and `u` to them.
    pub(crate) fn check_escaped_commas(&self) -> Result<(), LineRefusal> {
        let swallowed = |(_, value): &&(Token<'_>, Token<'_>)| {
            value.escaped && has_equals_after_escaped_comma(value.raw)
        };
        match self.tags.iter().find(swallowed) {
            None => Ok(()),
            Some((key, value)) => Err(LineRefusal::EscapedComma {
                key: text(&key.unescape(TokenKind::Key)).into_owned(),
                value: text(&value.unescape(TokenKind::TagValue)).into_owned(),
            }),
        }
    }
}

fn has_equals_after_escaped_comma(raw: &[u8]) -> bool {
    let mut has_comma = false;
    let mut bytes = raw.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => has_comma |= bytes.next() == Some(&b','),
            b'=' if has_comma => return true,
            _ => {}
        }
    }
    false
}

/// A field key that is expected at a position in the line, because the previous line of the table had it there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExpectedField<'a> {
    /// The key as written, with its equals sign.
    pub(crate) key: &'a [u8],
    pub(crate) column: u32,
}

/// A field as written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FieldText<'a> {
    /// The key as written, with its equals sign.
    pub(crate) key: &'a [u8],
    /// Whether the key differs from the expected one.
    pub(crate) unexpected: bool,
    /// The column: that of the expected key, or set when the key is resolved.
    pub(crate) column: Option<u32>,
    pub(crate) value: FieldValue<'a>,
}

impl<'a> FieldText<'a> {
    /// Returns the key without escapes.
    pub(crate) fn name(&self) -> Cow<'a, [u8]> {
        let raw = self.key.strip_suffix(b"=").unwrap_or(self.key);
        Token {
            raw,
            escaped: memchr(b'\\', raw).is_some(),
            escapes_newlines: false,
        }
        .unescape(TokenKind::Key)
    }
}

/// Scans the rest of a line after the series: the fields, into `fields`, and the timestamp.
pub(crate) fn scan_fields_and_timestamp<'a>(
    line: &'a [u8],
    at: usize,
    expected: &[ExpectedField<'a>],
    fields: &mut Vec<FieldText<'a>>,
) -> Result<Option<i64>, LineRefusal> {
    let spaces = count_spaces(bytes_from(line, at));
    if spaces == 0 {
        return Err(LineRefusal::ExpectedSpace(whole_or_end(bytes_from(line, at))));
    }
    let at = scan_fields(line, at + spaces, expected, fields)?;
    scan_timestamp_to_end(bytes_from(line, at))
}

#[inline]
fn scan_fields<'a>(
    line: &'a [u8],
    mut at: usize,
    expected: &[ExpectedField<'a>],
    fields: &mut Vec<FieldText<'a>>,
) -> Result<usize, LineRefusal> {
    fields.clear();
    let mut expected = expected.iter();
    loop {
        let Some((field, length)) = scan_field(bytes_from(line, at), expected.next())? else {
            return Err(missing_field_error(line, at, fields.len()));
        };
        fields.push(field);
        at += length;
        if line.get(at) != Some(&b',') {
            return Ok(at);
        }
        at += 1;
    }
}

/// Returns the error of a line that has no field at `at`, where one is expected after `fields` others.
#[cold]
pub(crate) fn missing_field_error(line: &[u8], at: usize, fields: usize) -> LineRefusal {
    match fields {
        0 => LineRefusal::NoFields,
        // InfluxDB 3 quotes the rest with its comma from the third field on.
        1 => LineRefusal::TrailingContent(excerpt(bytes_from(line, at))),
        _ => LineRefusal::TrailingContent(excerpt(bytes_from(line, at - 1))),
    }
}

/// The key of a field as written, with its equals sign.
pub(crate) struct FieldKey<'a> {
    pub(crate) key: &'a [u8],
    /// The column, if the key is the expected one.
    pub(crate) column: Option<u32>,
}

/// Scans the key of the field at the start of `input`.
#[inline(always)]
// Lines of another dialect are rare, and their code must not cost these the inlining.
pub(crate) fn scan_key<'a>(
    input: &'a [u8],
    expected: Option<&ExpectedField<'a>>,
) -> Result<Option<FieldKey<'a>>, LineRefusal> {
    let (key, column) = match expected {
        Some(expected) if input.starts_with(expected.key) => (expected.key, Some(expected.column)),
        _ => {
            let length = Token::scan(input, TokenKind::Key)?.raw.len();
            match input.get(..=length) {
                Some(key) if length > 0 && key.ends_with(b"=") => (key, None),
                _ => return Ok(None),
            }
        }
    };
    Ok(Some(FieldKey { key, column }))
}

/// Scans the field at the start of `input`. Returns the field and its length.
#[inline(always)]
// The loop over the fields of a line is the hottest one.
fn scan_field<'a>(
    input: &'a [u8],
    expected: Option<&ExpectedField<'a>>,
) -> Result<Option<(FieldText<'a>, usize)>, LineRefusal> {
    let Some(FieldKey { key, column }) = scan_key(input, expected)? else {
        return Ok(None);
    };
    let value = scan_value(bytes_from(input, key.len()))?;
    Ok(value.map(|(value, length)| {
        (
            FieldText { key, unexpected: column.is_none(), column, value },
            key.len() + length,
        )
    }))
}

/// Scans the rest of a line after its fields: a timestamp or nothing.
fn scan_timestamp_to_end(rest: &[u8]) -> Result<Option<i64>, LineRefusal> {
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
    let rest = bytes_from(rest, count_spaces(rest));
    if rest.is_empty() {
        Ok(Some(timestamp))
    } else {
        Err(LineRefusal::TrailingContent(excerpt(rest)))
    }
}

pub(crate) fn count_spaces(input: &[u8]) -> usize {
    input.iter().take_while(|byte| **byte == b' ').count()
}
