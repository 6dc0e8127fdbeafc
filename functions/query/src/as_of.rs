//! The `x-neap-as-of` header, which requests an answer as of an earlier time.

use chrono::DateTime;
use http::{HeaderMap, HeaderName};
use neap_bucket::{Stamp, StoreTime};
use neap_http::{ApiError, Kind};

/// In a request: the time (RFC 3339) or stamp as of which to answer. In an answer: the stamp up to which the answer
/// includes writes.
pub const AS_OF_HEADER: HeaderName = HeaderName::from_static("x-neap-as-of");

/// Returns the stamp that a request asks for, if any. A time means the last stamp of its microsecond.
/// Fails with `Invalid` when the header is neither a time nor a stamp.
pub(crate) fn requested_as_of(headers: &HeaderMap) -> Result<Option<Stamp>, ApiError> {
    let Some(value) = headers.get(AS_OF_HEADER) else {
        return Ok(None);
    };
    let stamp = value.to_str().ok().and_then(|text| {
        let number = text.parse().ok();
        number.or_else(|| {
            let time = DateTime::parse_from_rfc3339(text).ok()?;
            let time = StoreTime::from_micros(time.timestamp_micros());
            Some(Stamp::end_of(time))
        })
    });
    let malformed = || {
        let text = format!(
            "header {AS_OF_HEADER} is neither a time such as 2026-01-31T12:00:00Z nor a stamp"
        );
        ApiError::text(Kind::Invalid, text)
    };
    stamp.map(Some).ok_or_else(malformed)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(value: &'static str) -> Result<Option<Stamp>, ApiError> {
        let value = HeaderValue::from_static(value);
        requested_as_of(&HeaderMap::from_iter([(AS_OF_HEADER, value)]))
    }

    #[test]
    fn a_time_is_the_end_of_its_microsecond() {
        let time = StoreTime::from_micros(1_700_000_000_000_001);
        for text in ["2023-11-14T22:13:20.000001Z", "2023-11-14T23:13:20.000001999+01:00"] {
            assert_eq!(of(text), Ok(Some(Stamp::end_of(time))));
        }
    }

    #[test]
    fn a_number_is_a_stamp() {
        assert_eq!(requested_as_of(&HeaderMap::new()), Ok(None));
        assert_eq!(of("42"), Ok(Some(Stamp::from_u64(42))));
    }

    #[test]
    fn a_header_that_is_neither_time_nor_stamp_is_rejected() {
        for malformed in ["", "-1", "yesterday", "2023-11-14", "1h"] {
            let error = of(malformed).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid);
            assert!(error.message().contains("x-neap-as-of"), "{error}");
        }
    }
}
