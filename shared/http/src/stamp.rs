//! The header that orders requests: a client sends back the stamp of an answer to come after it.

use http::{HeaderMap, HeaderName};
use neap_bucket::Stamp;

use crate::{ApiError, Kind};

/// The stamp of a write, in answers; in requests, the stamp to be ordered after.
pub const STAMP_HEADER: HeaderName = HeaderName::from_static("x-neap-stamp");

/// The stamp that a request is to be ordered after.
///
/// # Errors
/// `Invalid` when the header is not a number.
pub fn requested_stamp(headers: &HeaderMap) -> Result<Option<Stamp>, ApiError> {
    let Some(value) = headers.get(STAMP_HEADER) else {
        return Ok(None);
    };
    let stamp = value.to_str().ok().and_then(|text| text.parse().ok());
    let malformed = || {
        ApiError::text(
            Kind::Invalid,
            format!("header {STAMP_HEADER} is not a stamp"),
        )
    };
    stamp.map(Some).ok_or_else(malformed)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_stamp_is_a_number() {
        let of = |value: &'static str| {
            let value = HeaderValue::from_static(value);
            requested_stamp(&HeaderMap::from_iter([(STAMP_HEADER, value)]))
        };
        assert_eq!(requested_stamp(&HeaderMap::new()), Ok(None));
        assert_eq!(of("42"), Ok(Some(Stamp::from_u64(42))));
        for malformed in ["", "-1", "4 2", "stamp", "18446744073709551616"] {
            assert_eq!(of(malformed).unwrap_err().kind(), Kind::Invalid);
        }
    }
}
