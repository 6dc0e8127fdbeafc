//! The body of a request.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderValue, header};
use neap_formats::annotated_csv::{AnnotatedCsvDialect, Annotation};
use neap_http::{ApiError, Kind};
use serde::Deserialize;

/// The content type of a body that is the text of a query.
const FLUX_TYPE: &str = "application/vnd.flux";

#[derive(Debug, Default, Deserialize)]
pub(super) struct QueryBody {
    #[serde(default)]
    pub(super) query: String,
    /// `flux` or `influxql`.
    #[serde(rename = "type")]
    pub(super) language: Option<String>,
    dialect: Option<DialectBody>,
    #[serde(rename = "extern")]
    pub(super) extern_file: Option<serde_json::Value>,
    pub(super) params: Option<BTreeMap<String, serde_json::Value>>,
    /// The time of `now()`.
    pub(super) now: Option<String>,
    /// The bucket of a query in InfluxQL.
    pub(super) bucket: Option<String>,
}

/// The format of the answer.
#[derive(Debug, Default, Deserialize)]
struct DialectBody {
    header: Option<bool>,
    delimiter: Option<String>,
    #[serde(rename = "commentPrefix")]
    comment_prefix: Option<String>,
    #[serde(rename = "dateTimeFormat")]
    date_time_format: Option<String>,
    annotations: Option<Vec<String>>,
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::v2(Kind::Invalid, message)
}

impl QueryBody {
    /// Parses a body: the text of a query, or JSON.
    pub(super) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Self, ApiError> {
        let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        let is_text = content_type.is_some_and(|name| name.starts_with(FLUX_TYPE.as_bytes()));
        let parsed = if is_text {
            let text = std::str::from_utf8(body);
            Self {
                query: text.map_err(|_| invalid("the query is not valid UTF-8"))?.to_owned(),
                ..Self::default()
            }
        } else {
            let json = serde_json::from_slice::<Self>(body);
            json.map_err(|error| invalid(format!("failed parsing request body as JSON: {error}")))?
        };
        if parsed.query.is_empty() {
            return Err(invalid("request body requires a query"));
        }
        Ok(parsed)
    }

    /// Returns the format of the answer.
    pub(super) fn dialect(&self) -> Result<AnnotatedCsvDialect, ApiError> {
        let default = AnnotatedCsvDialect::default();
        let Some(dialect) = &self.dialect else {
            return Ok(default);
        };
        let delimiter = match dialect.delimiter.as_deref().unwrap_or_default().as_bytes() {
            [] => default.delimiter,
            [delimiter] if !matches!(delimiter, b'\r' | b'\n' | b'"') => *delimiter,
            _ => return Err(invalid("invalid dialect delimiter: must be one character")),
        };
        match dialect.date_time_format.as_deref() {
            None | Some("" | "RFC3339" | "RFC3339Nano") => {}
            Some(other) => {
                return Err(invalid(format!("unknown dialect date time format: {other}")));
            }
        }
        let comment_prefix = dialect.comment_prefix.clone().unwrap_or(default.comment_prefix);
        if comment_prefix.len() > 1 {
            return Err(invalid("invalid dialect comment prefix: must be length 0 or 1"));
        }
        let names = dialect.annotations.iter().flatten();
        let annotations = names.map(|name| {
            let unknown = || invalid(format!("unknown dialect annotation type: {name}"));
            Annotation::from_name(name).ok_or_else(unknown)
        });
        Ok(AnnotatedCsvDialect {
            has_header: dialect.header.unwrap_or(true),
            delimiter,
            annotations: annotations.collect::<Result<_, _>>()?,
            comment_prefix,
        })
    }
}
