//! The parameters of a request, in the query string or in a form.

use axum::body::Body;
use chrono::DateTime;
use http::{Method, header::CONTENT_TYPE, request::Parts};
use neap_http::{ApiError, BodyLimits, Kind, last_parameter, parse_query, read_body};
use neap_query::QueryEngine;

use crate::remote_read::failure::{ReadFailure, ReadResult};

/// Maximum size of a form, in bytes.
const MAX_FORM_BYTES: usize = 1 << 20;

/// The media type of a form.
const FORM: &str = "application/x-www-form-urlencoded";

/// The parameters of a request: those of its query string, then those of its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestParams {
    pub(crate) pairs: Vec<(String, String)>,
}

impl RequestParams {
    /// Reads the parameters of a request.
    ///
    /// # Errors
    /// The query string or the form is malformed.
    pub(crate) async fn read(engine: &QueryEngine, head: &Parts, body: Body) -> ReadResult<Self> {
        let mut pairs: Vec<(String, String)> = parse_query(&head.uri)?;
        let content_type = head.headers.get(CONTENT_TYPE);
        let is_form =
            content_type.is_some_and(|value| value.as_bytes().starts_with(FORM.as_bytes()));
        if head.method == Method::POST && is_form {
            let limits = BodyLimits::with_max_bytes(MAX_FORM_BYTES);
            let form = read_body(&head.headers, body, &limits, engine.world())
                .await
                .map_err(ApiError::from)?;
            let form: Vec<(String, String)> = serde_urlencoded::from_bytes(&form)
                .map_err(|error| ApiError::text(Kind::Invalid, error.to_string()))?;
            pairs.extend(form);
        }
        Ok(Self { pairs })
    }

    /// Returns the parameters of a query string.
    #[cfg(test)]
    pub(crate) fn of_query(query: &str) -> Self {
        Self { pairs: serde_urlencoded::from_str(query).unwrap() }
    }

    /// Returns the value of a parameter, the last one if there are several; `None` if it is absent or empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        last_parameter(&self.pairs, name).filter(|value| !value.is_empty())
    }
}

/// Parses a number of results; 0 is no limit.
///
/// # Errors
/// The text is no integer, or it is negative.
pub(crate) fn parse_limit(name: &'static str, text: &str) -> ReadResult<Option<usize>> {
    let limit = parse_integer(name, text)?;
    let count = usize::try_from(limit).map_err(|_| ReadFailure::NegativeLimit(name))?;
    Ok(Some(count).filter(|count| *count > 0))
}

/// Parses an integer.
pub(crate) fn parse_integer(name: &'static str, text: &str) -> ReadResult<i64> {
    text.parse().map_err(|_| ReadFailure::Parameter {
        name,
        value: text.to_owned(),
        expected: "an integer",
    })
}

/// Parses a time: seconds since the Unix epoch, or RFC 3339. Returns milliseconds.
pub(crate) fn parse_time(name: &'static str, text: &str) -> ReadResult<i64> {
    if let Some(millis) = parse_seconds(text) {
        return Ok(millis);
    }
    let time = DateTime::parse_from_rfc3339(text).map_err(|_| ReadFailure::Parameter {
        name,
        value: text.to_owned(),
        expected: "a time: seconds since 1970, or RFC 3339",
    })?;
    Ok(time.timestamp_millis())
}

/// Parses a duration: seconds, or units as in `1h30m`. Returns milliseconds.
pub(crate) fn parse_duration(name: &'static str, text: &str) -> ReadResult<i64> {
    let of_units = || i64::try_from(neap_rules::parse_duration(text)?).ok();
    let duration = parse_seconds(text).or_else(of_units);
    duration.ok_or_else(|| ReadFailure::Parameter {
        name,
        value: text.to_owned(),
        expected: "a duration: seconds, or units such as 1h30m",
    })
}

/// Parses a finite number of seconds. Returns milliseconds.
fn parse_seconds(text: &str) -> Option<i64> {
    let seconds = text.parse::<f64>().ok()?;
    seconds.is_finite().then(|| to_millis(seconds))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the conversion saturates, and such a range has no end"
)]
fn to_millis(seconds: f64) -> i64 {
    (seconds * 1_000.0).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds_or_units_in_descending_order() {
        let parse = |text| parse_duration("step", text).ok();
        for (text, millis) in [
            ("15", 15_000),
            ("0.5", 500),
            ("1m", 60_000),
            ("5ms", 5),
            ("1h30m", 5_400_000),
            ("1d2ms", 86_400_002),
            ("1y", 31_536_000_000),
            ("-1", -1_000),
        ] {
            assert_eq!(parse(text), Some(millis), "{text}");
        }
        for text in ["", "m", "1m1h", "1x", "1h 1m", "NaN", "99999999999999999999y", "-1m"] {
            assert_eq!(parse(text), None, "{text}");
        }
        let refused = parse_duration("step", "soon").unwrap_err();
        assert_eq!(
            refused.to_string(),
            r#"invalid parameter "step": "soon" is not a duration: seconds, or units such as 1h30m"#
        );
    }

    #[test]
    fn the_last_value_of_a_parameter_applies() {
        let params = RequestParams::of_query("db=a&db=b&limit=");
        assert_eq!(params.get("db"), Some("b"));
        assert_eq!((params.get("limit"), params.get("query")), (None, None));
    }
}
