//! The names of the formats: `format=` values, `Accept` headers and content types.

use std::str::FromStr;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};

/// The format of a query's answer.
///
/// Deserialises from (and parses) the values of the request field `format` of InfluxDB 3: `json`, `jsonl` or
/// `json_lines`, `csv`, `pretty`, `parquet`; and `arrow`, which InfluxDB 3 lacks.
///
/// # Examples
///
/// ```
/// use neap_formats::Format;
///
/// assert_eq!("jsonl".parse::<Format>()?, Format::JsonLines);
/// assert_eq!(Format::from_accept("text/csv")?, Format::Csv);
/// assert_eq!(Format::Csv.content_type(), "text/csv");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
// The variants are in the order in which InfluxDB 3 lists them when it rejects another value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, strum::Display)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One Apache Parquet file.
    Parquet,
    /// Comma-separated values with a header line, RFC 4180 with `\n` line ends.
    Csv,
    /// A text table drawn with `+`, `-` and `|`.
    Pretty,
    /// One JSON array of objects.
    #[default]
    Json,
    /// One JSON object per line.
    #[serde(alias = "jsonl")]
    #[strum(serialize = "jsonl")]
    JsonLines,
    /// One Arrow IPC stream.
    Arrow,
}

impl Format {
    /// The value of the answer's `Content-Type` header.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Csv => "text/csv",
            Self::Pretty => "text/plain; charset=utf-8",
            Self::Json => "application/json",
            Self::JsonLines => "application/jsonl",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    /// Returns the format of an `Accept` header. Use it only when the request has no `format`.
    ///
    /// As in InfluxDB 3 the header is one media type, not a list; only browsers (`text/html`) and callers that accept
    /// anything (`*/*`) may list several, and get JSON. `application/jsonl` and `application/vnd.apache.arrow.stream` are
    /// accepted in addition.
    ///
    /// # Errors
    /// Any other value. Answer 400 with the error's text.
    pub fn from_accept(accept: &str) -> Result<Self, InvalidMimeType> {
        match accept {
            "application/vnd.apache.parquet" => Ok(Self::Parquet),
            "text/csv" => Ok(Self::Csv),
            "text/plain" => Ok(Self::Pretty),
            "application/json" => Ok(Self::Json),
            "application/jsonl" => Ok(Self::JsonLines),
            "application/vnd.apache.arrow.stream" => Ok(Self::Arrow),
            _ if accept.contains("text/html") || accept.contains("*/*") => Ok(Self::Json),
            _ => Err(InvalidMimeType(accept.to_owned())),
        }
    }

    /// Whether the answer is emitted row by row, rather than in a few large pieces.
    pub(crate) fn is_row_wise(self) -> bool {
        matches!(self, Self::Csv | Self::Json | Self::JsonLines)
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        let name: StrDeserializer<'_, ValueError> = name.into_deserializer();
        Self::deserialize(name).map_err(|error| UnknownFormat(error.to_string()))
    }
}

/// A `format` that does not exist. The text is that of a failed deserialisation: ``unknown variant `xml`, expected one
/// of `parquet`, …``.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnknownFormat(String);

/// An `Accept` header that names no format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid mime type ({0})")]
pub struct InvalidMimeType(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_names_parse_and_others_are_listed() {
        for (name, format) in [
            ("json", Format::Json),
            ("jsonl", Format::JsonLines),
            ("json_lines", Format::JsonLines),
            ("csv", Format::Csv),
            ("pretty", Format::Pretty),
            ("parquet", Format::Parquet),
            ("arrow", Format::Arrow),
        ] {
            assert_eq!(name.parse(), Ok(format));
        }
        insta::assert_snapshot!(
            Format::from_str("xml").unwrap_err(),
            @"unknown variant `xml`, expected one of `parquet`, `csv`, `pretty`, `json`, `json_lines`, `jsonl`, `arrow`"
        );
        assert_eq!("JSON".parse::<Format>().ok(), None);
    }

    #[test]
    fn accept_is_one_exact_type_or_anything() {
        for (accept, format) in [
            ("application/vnd.apache.parquet", Format::Parquet),
            ("text/csv", Format::Csv),
            ("text/plain", Format::Pretty),
            ("application/json", Format::Json),
            ("application/jsonl", Format::JsonLines),
            ("application/vnd.apache.arrow.stream", Format::Arrow),
            ("*/*", Format::Json),
            ("text/csv, */*;q=0.1", Format::Json),
            ("text/html,application/xhtml+xml", Format::Json),
        ] {
            assert_eq!(Format::from_accept(accept), Ok(format), "{accept}");
        }
        let list = Format::from_accept("text/csv, application/json;q=0.5").unwrap_err();
        assert_eq!(list.to_string(), "invalid mime type (text/csv, application/json;q=0.5)");
        assert!(Format::from_accept("").is_err());
    }
}
