//! The parameters of the listing routes, in the query string or in a form.

use axum::body::Body;
use chrono::DateTime;
use http::{Method, header::CONTENT_TYPE, request::Parts};
use neap_http::{ApiError, BodyLimits, Kind, parse_query, read_body};
use neap_query::QueryEngine;

use crate::remote_read::{condition::TimeRange, failure::ReadFailure};

/// Maximum size of a form, in bytes.
const MAX_FORM_BYTES: usize = 1 << 20;

/// The media type of a form.
const FORM: &str = "application/x-www-form-urlencoded";

/// The parameters of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListParams {
    pub(crate) database: Option<String>,
    /// The selectors of series.
    pub(crate) selectors: Vec<String>,
    pub(crate) range: TimeRange,
    /// Maximum number of results; `None` is no limit.
    pub(crate) limit: Option<usize>,
    /// The only metric of `/api/v1/metadata`.
    pub(crate) metric: Option<String>,
    /// Maximum number of descriptions of a metric; `None` is no limit.
    pub(crate) limit_per_metric: Option<usize>,
}

impl ListParams {
    /// Reads the parameters of a request. Unknown ones are ignored.
    ///
    /// # Errors
    /// The query string or the form is malformed, or a parameter has no valid value.
    pub(crate) async fn read(
        engine: &QueryEngine,
        head: &Parts,
        body: Body,
    ) -> Result<Self, ReadFailure> {
        let mut pairs: Vec<(String, String)> = parse_query(&head.uri)?;
        let content_type = head.headers.get(CONTENT_TYPE);
        let is_form =
            content_type.is_some_and(|value| value.as_bytes().starts_with(FORM.as_bytes()));
        if head.method == Method::POST && is_form {
            let limits = BodyLimits {
                max_bytes: MAX_FORM_BYTES,
                ..BodyLimits::default()
            };
            let form = read_body(&head.headers, body, &limits, engine.world())
                .await
                .map_err(ApiError::from)?;
            let form: Vec<(String, String)> = serde_urlencoded::from_bytes(&form)
                .map_err(|error| ApiError::text(Kind::Invalid, error.to_string()))?;
            pairs.extend(form);
        }
        Self::of_pairs(pairs)
    }

    fn of_pairs(pairs: Vec<(String, String)>) -> Result<Self, ReadFailure> {
        let mut params = Self {
            database: None,
            selectors: Vec::new(),
            range: TimeRange::ALL,
            limit: None,
            metric: None,
            limit_per_metric: None,
        };
        for (name, value) in pairs {
            match name.as_str() {
                "db" => params.database = Some(value),
                "match[]" => params.selectors.push(value),
                "start" => params.range.start_ms = parse_time("start", &value)?,
                "end" => params.range.end_ms = parse_time("end", &value)?,
                "limit" => params.limit = parse_limit("limit", &value)?,
                "metric" => params.metric = Some(value).filter(|value| !value.is_empty()),
                "limit_per_metric" => {
                    params.limit_per_metric = parse_limit("limit_per_metric", &value)?;
                }
                _ => {}
            }
        }
        Ok(params)
    }
}

/// Parses a number of results; 0 and negative numbers are no limit.
fn parse_limit(name: &'static str, text: &str) -> Result<Option<usize>, ReadFailure> {
    let limit = text.parse::<i64>().map_err(|_| ReadFailure::Parameter {
        name,
        value: text.to_owned(),
        expected: "an integer",
    })?;
    Ok(usize::try_from(limit).ok().filter(|limit| *limit > 0))
}

/// Parses a time: seconds since the Unix epoch, or RFC 3339. Returns milliseconds.
fn parse_time(name: &'static str, text: &str) -> Result<i64, ReadFailure> {
    if let Ok(seconds) = text.parse::<f64>()
        && seconds.is_finite()
    {
        return Ok(to_millis(seconds));
    }
    let time = DateTime::parse_from_rfc3339(text).map_err(|_| ReadFailure::Parameter {
        name,
        value: text.to_owned(),
        expected: "a time: seconds since 1970, or RFC 3339",
    })?;
    Ok(time.timestamp_millis())
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

    fn parse(query: &str) -> Result<ListParams, String> {
        let pairs = serde_urlencoded::from_str(query).unwrap();
        ListParams::of_pairs(pairs).map_err(|error| error.to_string())
    }

    #[test]
    fn times_are_seconds_or_rfc_3339() {
        let range = |query| {
            let range = parse(query).unwrap().range;
            (range.start_ms, range.end_ms)
        };
        assert_eq!(range("start=1.5&end=1970-01-01T00:00:02Z"), (1_500, 2_000));
        assert_eq!(range("start=-1"), (-1_000, i64::MAX));
        assert_eq!(range("start=1e300").0, i64::MAX);
        assert_eq!(
            parse("end=soon"),
            Err(
                r#"invalid parameter "end": "soon" is not a time: seconds since 1970, or RFC 3339"#
                    .to_owned()
            )
        );
        assert!(parse("start=NaN").is_err());
    }

    #[test]
    fn parameters_may_repeat() {
        let params = parse("match[]=up&match[]=down&limit=5&limit_per_metric=0&db=d&x=y").unwrap();
        assert_eq!(params.selectors, ["up", "down"]);
        assert_eq!((params.limit, params.limit_per_metric), (Some(5), None));
        assert_eq!(params.database.as_deref(), Some("d"));
        assert!(parse("limit=many").is_err());
    }
}
