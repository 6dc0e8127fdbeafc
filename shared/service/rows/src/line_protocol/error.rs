//! Errors of a body or of one of its lines, with the texts of InfluxDB 3.

use std::{borrow::Cow, str::Utf8Error};

use arrow_schema::ArrowError;
use neap_schema::{ColumnType, CreationRefused, NulInColumnName};
use thiserror::Error;

use crate::{line_protocol::precision::Precision, schema_limits::LimitExceeded};

/// Reasons why a whole body is refused.
#[derive(Debug, Error)]
pub enum ParseError {
    /// The body is not UTF-8. In the dialects other than that of InfluxDB 3, single lines are refused instead.
    #[error("body content is not valid utf8: {0}")]
    NotUtf8(#[from] Utf8Error),
    /// The body is too large, because Arrow counts the bytes of a text column in 32 bits.
    #[error("a body of {size} bytes is larger than the {limit} bytes that can be parsed at once")]
    TooLarge {
        /// The size of the body in bytes.
        size: usize,
        /// The maximum size in bytes.
        limit: usize,
    },
    /// The columns of a table did not form a record batch.
    #[error("cannot build columns from line protocol: {0}")]
    Arrow(#[from] ArrowError),
}

/// A refused line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// The number of the line, from 1. Blank lines and comments do not count, and a line whose strings contain newlines
    /// counts once, as in InfluxDB 3. Skipped lines of the QuestDB dialect count.
    pub line_number: usize,
    /// The text of the whole line, without its newline. In the QuestDB dialect, at most 64 KiB of it, and bytes that are
    /// not UTF-8 are shown as `\xf0`.
    pub original_line: String,
    /// The error, with the text of InfluxDB 3.
    pub error_message: String,
    /// The kind of rule that the line violates.
    pub kind: LineErrorKind,
    /// The conflict of field types, if that is the error of a line of line protocol.
    pub conflict: Option<FieldConflict>,
}

/// A field whose type differs from that of its column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldConflict {
    /// The name of the table.
    pub table: String,
    /// The name of the field.
    pub field: String,
    /// The type of the column.
    pub existing: ColumnType,
    /// The type in the line.
    pub input: ColumnType,
}

/// The kinds of rules that a line can violate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LineErrorKind {
    /// The text is not line protocol.
    Parse,
    /// The text does not fit the table, or its timestamp is out of range.
    Schema,
    /// The line would exceed a limit of [`crate::line_protocol::Options`].
    Limit,
}

/// Reasons why a line is refused. The texts are those of InfluxDB 3.
#[derive(Debug, Error, PartialEq)]
pub(crate) enum LineRefusal {
    #[error("Invalid measurement was provided")]
    InvalidMeasurement,
    #[error("Expected at least one space character, got {0}")]
    ExpectedSpace(String),
    #[error("Expected tag key, got {0}")]
    ExpectedTagKey(String),
    #[error("Expected tag value, got {0}")]
    ExpectedTagValue(String),
    #[error(
        r"the value of tag '{key}' is read as '{value}', because the backslash escapes the comma: remove a backslash at the end of a value, or write `=` in a value as `\=`"
    )]
    EscapedComma { key: String, value: String },
    #[error("Tag set malformed: could not find equals sign in {0}")]
    TagSetMalformed(String),
    #[error("Must not contain duplicate tags, but '{0}' was repeated")]
    DuplicateTag(String),
    #[error("No fields were provided")]
    NoFields,
    #[error("a row needs a column besides its symbols and its timestamp")]
    SymbolsOnly,
    #[error("a symbol can't contain a newline")]
    NewlineInSymbol,
    #[error("an infinite number can't be stored")]
    Infinity,
    #[error("{0} is not UTF-8")]
    NotUtf8(&'static str),
    #[error("Unable to parse number of 256 bits {0}")]
    Long256(String),
    #[error("Unable to parse decimal value {0}, or it has more than 76 digits")]
    Decimal(String),
    #[error("a decimal has more than 76 digits")]
    DecimalTooLarge,
    #[error("a decimal has {0} digits after the point, more than 76")]
    DecimalScale(usize),
    #[error("a binary value has the unknown type {0}")]
    UnknownBinaryType(u8),
    #[error("the body ends inside a binary value")]
    BinaryValueCutOff,
    #[error("the elements of an array have type {0}, not 10 (double)")]
    ArrayElements(u8),
    #[error("an array has {0} dimensions, more than 32")]
    ArrayDimensions(u8),
    #[error("an array is larger than 1MB as text, where each value counts as 25 bytes")]
    ArrayTooLarge,
    #[error("the body with its arrays and decimals as text is larger than 2GB")]
    TextsTooLarge,
    #[error("Unable to parse integer value `{0}`")]
    Integer(String),
    #[error("Unable to parse unsigned integer value `{0}`")]
    UnsignedInteger(String),
    #[error("Unable to parse floating-point value `{0}`")]
    Float(String),
    #[error("Unable to parse timestamp value `{0}`")]
    Timestamp(String),
    #[error("Could not parse entire line. Found trailing content: {0}")]
    TrailingContent(String),
    #[error("Measurements, tag keys and values, and field keys may not end with a backslash")]
    EndsWithBackslash,
    #[error("String is greater than 1MB")]
    StringTooLong,
    #[error("invalid column type for column '{column}', expected {expected}, got {got}")]
    ColumnType {
        table: String,
        column: String,
        expected: ColumnType,
        got: ColumnType,
    },
    #[error("'{0}' is a reserved column")]
    ReservedColumn(String),
    #[error(transparent)]
    ColumnName(#[from] NulInColumnName),
    #[error("invalid line protocol - multiple instances of '{0}' field found")]
    DuplicateField(String),
    #[error("timestamp, {0}, out of range for precision: {1:?}")]
    TimestampOutOfRange(i64, Precision),
    #[error(transparent)]
    Creation(#[from] CreationRefused),
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}

impl LineRefusal {
    pub(crate) fn kind(&self) -> LineErrorKind {
        match self {
            Self::ColumnType { .. }
            | Self::ReservedColumn(_)
            | Self::ColumnName(_)
            | Self::DuplicateField(_)
            | Self::TimestampOutOfRange(..)
            | Self::Creation(_) => LineErrorKind::Schema,
            Self::Limit(_) | Self::TextsTooLarge => LineErrorKind::Limit,
            _ => LineErrorKind::Parse,
        }
    }

    /// Returns the conflict of two field types, if that is the reason.
    pub(crate) fn into_field_conflict(self) -> Option<FieldConflict> {
        let is_field = |kind| !matches!(kind, ColumnType::Tag | ColumnType::Time);
        match self {
            Self::ColumnType { table, column, expected, got }
                if is_field(expected) && is_field(got) =>
            {
                Some(FieldConflict { table, field: column, existing: expected, input: got })
            }
            _ => None,
        }
    }
}

/// Maximum length of an excerpt of a line in a message, in characters.
const MAX_EXCERPT_CHARS: usize = 10;

/// Returns the start of the rest of a line, quoted.
///
/// As in InfluxDB 3, the text is cut if it has more than ten bytes, and it is cut after ten characters.
pub(crate) fn excerpt(rest: &[u8]) -> String {
    let rest = text(rest);
    if rest.len() > MAX_EXCERPT_CHARS {
        format!("`{}...`", rest.chars().take(MAX_EXCERPT_CHARS).collect::<String>())
    } else {
        format!("`{rest}`")
    }
}

/// Describes unexpected input: an excerpt, or that the line has ended.
pub(crate) fn excerpt_or_end(rest: &[u8]) -> String {
    if rest.is_empty() {
        "end of input".to_owned()
    } else {
        excerpt(rest)
    }
}

/// Describes unexpected input where a space is expected, in full.
pub(crate) fn whole_or_end(rest: &[u8]) -> String {
    if rest.is_empty() {
        "end of input".to_owned()
    } else {
        format!("`{}`", text(rest))
    }
}

/// Returns bytes of the body as text.
///
/// The conversion is lossless, except in messages of the QuestDB dialect: names and values are valid UTF-8, and are cut
/// only next to ASCII characters.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_cut_after_ten_characters_if_longer_than_ten_bytes() {
        assert_eq!(excerpt(b" abcdefghi"), "` abcdefghi`");
        assert_eq!(excerpt(b" abcdefghij"), "` abcdefghi...`");
        assert_eq!(excerpt(" ééééééééééé".as_bytes()), "` ééééééééé...`");
        assert_eq!(excerpt("éééééé".as_bytes()), "`éééééé...`");
        assert_eq!(excerpt_or_end(b""), "end of input");
    }
}
