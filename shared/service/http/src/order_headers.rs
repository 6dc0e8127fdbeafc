//! The headers that order requests: a client returns the stamp of an earlier answer to order a request after it, or
//! asks for strict order of its writes.

use http::{HeaderMap, HeaderName};
use neap_bucket::{Stamp, WriteOrder};

use crate::{ApiError, Kind, STAMP_HEADER};

/// Returns the stamp that a request must be ordered after.
///
/// # Errors
/// `Invalid` if the header is not a number.
pub fn requested_stamp(headers: &HeaderMap) -> Result<Option<Stamp>, ApiError> {
    let Some(value) = headers.get(STAMP_HEADER) else {
        return Ok(None);
    };
    let stamp = value.to_str().ok().and_then(|text| text.parse().ok());
    let malformed =
        || ApiError::text(Kind::Invalid, format!("header {STAMP_HEADER} is not a stamp"));
    stamp.map(Some).ok_or_else(malformed)
}

/// The header with the order of a write relative to writes of other instances: `strict` or `clock`.
pub const ORDER_HEADER: HeaderName = HeaderName::from_static("x-neap-order");

/// Returns the order of writes that a request asks for.
///
/// # Errors
/// `Invalid` if the header is neither `strict` nor `clock`.
pub fn requested_order(headers: &HeaderMap) -> Result<WriteOrder, ApiError> {
    let Some(value) = headers.get(ORDER_HEADER) else {
        return Ok(WriteOrder::default());
    };
    let order = value.to_str().ok().and_then(|text| text.parse().ok());
    order.ok_or_else(|| {
        let text = format!("header {ORDER_HEADER} is neither `strict` nor `clock`");
        ApiError::text(Kind::Invalid, text)
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn an_order_is_strict_or_clock() {
        let of = |value: &'static str| {
            let value = HeaderValue::from_static(value);
            requested_order(&HeaderMap::from_iter([(ORDER_HEADER, value)]))
        };
        assert_eq!(requested_order(&HeaderMap::new()), Ok(WriteOrder::Clock));
        assert_eq!(of("clock"), Ok(WriteOrder::Clock));
        assert_eq!(of("strict"), Ok(WriteOrder::Strict));
        for unknown in ["", "Strict", "yes"] {
            assert_eq!(of(unknown).unwrap_err().kind(), Kind::Invalid);
        }
    }

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
