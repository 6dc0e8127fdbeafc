//! The parameters of a search.

use neap_http::{ApiError, Kind, last_parameter};
use neap_query::promql::TimeRange;
use serde_json::{Map, Value};

/// The number of traces that a search returns if it does not say how many.
const DEFAULT_LIMIT: usize = 20;

/// Maximum number of traces that a search returns.
const MAX_LIMIT: usize = 1_000;

/// The time before now that a search without a start covers, in milliseconds.
const DEFAULT_RANGE_MS: i64 = 2 * 86_400_000;

/// Maximum number of tags of a search.
const MAX_TAGS: usize = 100;

/// The hexadecimal digits of a trace id.
const ID_DIGITS: usize = 32;

/// What the spans of a search have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TraceSearch {
    pub(crate) service: String,
    pub(crate) operation: Option<String>,
    pub(crate) range: TimeRange,
    pub(crate) min_duration_ns: Option<u64>,
    pub(crate) max_duration_ns: Option<u64>,
    /// Names and values.
    pub(crate) tags: Vec<(String, String)>,
    /// Maximum number of traces.
    pub(crate) limit: usize,
}

fn invalid(text: String) -> ApiError {
    ApiError::text(Kind::Invalid, text)
}

/// Returns a trace id as it is stored: with all digits, in lower case.
///
/// # Errors
/// `Invalid`: it is not hexadecimal, or too long.
pub(crate) fn trace_id(text: &str) -> Result<String, ApiError> {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if text.is_empty() || text.len() > ID_DIGITS || !is_hex {
        return Err(invalid(format!("{text:?} is not a trace ID")));
    }
    Ok(format!("{:0>ID_DIGITS$}", text.to_ascii_lowercase()))
}

/// Returns the value of a parameter; `None` if it is missing or empty.
fn value<'a>(params: &'a [(String, String)], name: &str) -> Option<&'a str> {
    last_parameter(params, name).filter(|text| !text.is_empty())
}

/// Returns the milliseconds of a parameter that is a time in microseconds.
fn time_ms(params: &[(String, String)], name: &str) -> Result<Option<i64>, ApiError> {
    value(params, name).map(|text| micros(name, text)).transpose()
}

/// Returns the range of `start` and `end` in a request for traces of ids. It is open where a parameter is missing.
///
/// # Errors
/// `Invalid`: a value is malformed.
pub(crate) fn range_of_ids(params: &[(String, String)]) -> Result<TimeRange, ApiError> {
    Ok(TimeRange {
        start_ms: time_ms(params, "start")?.unwrap_or(TimeRange::ALL.start_ms),
        end_ms: time_ms(params, "end")?.unwrap_or(TimeRange::ALL.end_ms),
    })
}

impl TraceSearch {
    /// Reads the parameters of a search at a time in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// `Invalid`: the service is missing, or a value is malformed.
    pub(crate) fn parse(params: &[(String, String)], now_ms: i64) -> Result<Self, ApiError> {
        let given = |name| value(params, name);
        let service = given("service")
            .ok_or_else(|| invalid("parameter 'service' is required".to_owned()))?;
        let duration = |name| given(name).map(|text| nanos(name, text)).transpose();
        let end_ms = time_ms(params, "end")?.unwrap_or(now_ms);
        let start_ms = time_ms(params, "start")?.unwrap_or(end_ms.saturating_sub(DEFAULT_RANGE_MS));
        let limit = match given("limit") {
            Some(text) => text.parse().map_err(|_| malformed("limit", text, "a number"))?,
            None => DEFAULT_LIMIT,
        };
        Ok(Self {
            service: service.to_owned(),
            operation: given("operation").map(str::to_owned),
            range: TimeRange { start_ms, end_ms },
            min_duration_ns: duration("minDuration")?,
            max_duration_ns: duration("maxDuration")?,
            tags: tags(params)?,
            limit: limit.clamp(1, MAX_LIMIT),
        })
    }
}

fn malformed(name: &str, text: &str, expected: &str) -> ApiError {
    invalid(format!("parameter '{name}': {text:?} is not {expected}"))
}

/// Returns a time in milliseconds of one in microseconds.
fn micros(name: &str, text: &str) -> Result<i64, ApiError> {
    let value: i64 = text.parse().map_err(|_| malformed(name, text, "a time in microseconds"))?;
    Ok(value.div_euclid(1_000))
}

/// Returns the tags of `tags`, a JSON object, and of each `tag`, a name and a value with a colon between them.
fn tags(params: &[(String, String)]) -> Result<Vec<(String, String)>, ApiError> {
    let mut all = Vec::new();
    for (name, text) in params {
        match name.as_str() {
            "tags" if !text.is_empty() => {
                let object: Map<String, Value> = serde_json::from_str(text)
                    .map_err(|_| malformed(name, text, "a JSON object"))?;
                all.extend(object.into_iter().map(|(key, value)| match value {
                    Value::String(text) => (key, text),
                    other => (key, other.to_string()),
                }));
            }
            "tag" => {
                let pair = text.split_once(':');
                let (key, value) =
                    pair.ok_or_else(|| malformed(name, text, "a name and a value"))?;
                all.push((key.to_owned(), value.to_owned()));
            }
            _ => {}
        }
    }
    if all.len() > MAX_TAGS {
        return Err(invalid(format!("a search has at most {MAX_TAGS} tags")));
    }
    Ok(all)
}

/// The units of durations in nanoseconds.
const UNITS: [(&str, f64); 7] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 6e10),
    ("h", 3.6e12),
];

/// Returns the nanoseconds of a duration of Go, such as `1.2s` or `1m30s`.
fn nanos(name: &str, text: &str) -> Result<u64, ApiError> {
    let wrong = || malformed(name, text, "a duration such as 1.2s, 100ms or 500us");
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
        let (number, tail) = rest.split_at(digits.ok_or_else(wrong)?);
        let letters = tail.find(|letter: char| letter.is_ascii_digit() || letter == '.');
        let (unit, next) = tail.split_at(letters.unwrap_or(tail.len()));
        let (_, size) = UNITS.iter().find(|(known, _)| *known == unit).ok_or_else(wrong)?;
        total += number.parse::<f64>().map_err(|_| wrong())? * size;
        rest = next;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "durations are not negative, and those beyond the maximum become the maximum"
    )]
    let nanos = total as u64;
    Ok(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(params: &[(&str, &str)]) -> Result<TraceSearch, String> {
        let owned: Vec<(String, String)> =
            params.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        TraceSearch::parse(&owned, 200_000_000).map_err(|error| error.to_string())
    }

    #[test]
    fn a_search_has_the_parameters_of_jaeger() {
        let search = parse(&[
            ("service", "shop"),
            ("operation", "GET /buy"),
            ("start", "1500000"),
            ("end", "2500000"),
            ("minDuration", "1.5ms"),
            ("maxDuration", "1m30s"),
            ("tags", r#"{"http.status_code":"500","retry":true}"#),
            ("tag", "a:b:c"),
            ("limit", "5000"),
        ]);
        let tag = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            search.unwrap(),
            TraceSearch {
                service: "shop".to_owned(),
                operation: Some("GET /buy".to_owned()),
                range: TimeRange { start_ms: 1_500, end_ms: 2_500 },
                min_duration_ns: Some(1_500_000),
                max_duration_ns: Some(90_000_000_000),
                tags: vec![tag("http.status_code", "500"), tag("retry", "true"), tag("a", "b:c")],
                limit: MAX_LIMIT,
            }
        );
        let plain = parse(&[("service", "shop"), ("operation", "")]).unwrap();
        assert_eq!(plain.range, TimeRange { start_ms: 27_200_000, end_ms: 200_000_000 });
        assert_eq!((plain.operation, plain.limit), (None, DEFAULT_LIMIT));
    }

    #[test]
    fn malformed_parameters_are_named() {
        assert!(parse(&[]).unwrap_err().contains("'service' is required"));
        for (name, value) in [
            ("start", "now"),
            ("limit", "-1"),
            ("minDuration", "5"),
            ("minDuration", "ms"),
            ("maxDuration", "1.2.3s"),
            ("tags", "[]"),
            ("tag", "a"),
        ] {
            let error = parse(&[("service", "shop"), (name, value)]).unwrap_err();
            assert!(error.contains(&format!("'{name}'")), "{error}");
        }
    }

    #[test]
    fn the_range_of_ids_is_open_where_a_parameter_is_missing() {
        let range = |params: &[(&str, &str)]| {
            let owned: Vec<(String, String)> =
                params.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            range_of_ids(&owned).map_err(|error| error.to_string())
        };
        assert_eq!(range(&[]), Ok(TimeRange::ALL));
        assert_eq!(
            range(&[("start", "1500000"), ("end", "")]),
            Ok(TimeRange { start_ms: 1_500, ..TimeRange::ALL })
        );
        assert!(range(&[("end", "now")]).unwrap_err().contains("'end'"));
    }

    #[test]
    fn ids_have_all_digits() {
        let id = trace_id("0AF7651916cd43dd").unwrap();
        assert_eq!(id, "00000000000000000af7651916cd43dd");
        for wrong in ["", "x", "0af7651916cd43dd8448eb211c80319c0"] {
            assert!(trace_id(wrong).is_err(), "{wrong}");
        }
    }
}
