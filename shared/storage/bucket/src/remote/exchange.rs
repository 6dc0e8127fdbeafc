//! The `Date`, status and failures that the HTTP client sees during a call and that `object_store` does not expose.

use std::cell::RefCell;

use chrono::DateTime;
use http::{HeaderMap, StatusCode, header};
use object_store::client::{HttpError, HttpResponse};

use crate::StoreTime;

tokio::task_local! {
    static EXCHANGE: RefCell<HttpExchange>;
}

/// Runs a call with its own exchange.
pub(super) async fn with_exchange<T>(call: impl Future<Output = T>) -> (T, HttpExchange) {
    let watched = async {
        let outcome = call.await;
        (outcome, EXCHANGE.with(RefCell::take))
    };
    EXCHANGE.scope(RefCell::default(), watched).await
}

/// The observations of the HTTP client during one call.
#[derive(Debug, Default)]
pub(super) struct HttpExchange {
    /// The `Date` of the newest answer, unless the answer came from an intermediate cache.
    pub(super) date: Option<StoreTime>,
    /// The status of the newest answer; `None` if the connection broke since.
    pub(super) status: Option<StatusCode>,
    /// Whether the newest answer says that the requested range has no bytes of the object.
    pub(super) is_out_of_range: bool,
    /// Whether a request of the call failed but may have taken effect.
    pub(super) uncertain: bool,
    /// Whether a request of the call timed out after the short first wait.
    waited: bool,
}

/// Whether the current code runs within a call and no request of the call has timed out after the short first wait.
pub(super) fn may_use_short_wait() -> bool {
    let waited = EXCHANGE.try_with(|exchange| exchange.borrow().waited);
    waited.is_ok_and(|waited| !waited)
}

/// Whether a request of the current call timed out after the short first wait.
pub(super) fn had_short_timeout() -> bool {
    let waited = EXCHANGE.try_with(|exchange| exchange.borrow().waited);
    waited.unwrap_or_default()
}

/// Records that a request of the current call timed out after the short first wait.
pub(super) fn record_short_timeout() {
    EXCHANGE
        .try_with(|exchange| exchange.borrow_mut().waited = true)
        .unwrap_or_default();
}

/// Records an answer, or its failure, in the exchange of the current call.
pub(super) fn record_answer(answer: &Result<HttpResponse, HttpError>) {
    // Outside of a call there is no exchange.
    EXCHANGE
        .try_with(|exchange| exchange.borrow_mut().saw(answer))
        .unwrap_or_default();
}

/// Returns whether a request with an unsuccessful answer may have taken effect. A store that does not implement a request has
/// not executed it.
fn may_have_taken_effect(status: StatusCode) -> bool {
    (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
        || status == StatusCode::REQUEST_TIMEOUT
}

impl HttpExchange {
    fn saw(&mut self, answer: &Result<HttpResponse, HttpError>) {
        match answer {
            Ok(response) => {
                let (status, headers) = (response.status(), response.headers());
                self.date = date(headers);
                self.status = Some(status);
                self.is_out_of_range = status == StatusCode::RANGE_NOT_SATISFIABLE
                    || (status == StatusCode::PARTIAL_CONTENT && starts_at_end(headers));
                self.uncertain |= may_have_taken_effect(status);
            }
            Err(_) => {
                self.status = None;
                self.is_out_of_range = false;
                self.uncertain = true;
            }
        }
    }
}

/// Returns whether the range of a partial answer starts at the end of the object. RFC 9110 requires 416 instead, but Azurite
/// answers `bytes 10-9/10`, and `bytes 0--1/0` for an empty object.
fn starts_at_end(headers: &HeaderMap) -> bool {
    let start_and_size = || {
        let range = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
        let (range, size) = range.strip_prefix("bytes ")?.split_once('/')?;
        let (start, _) = range.split_once('-')?;
        Some((start, size))
    };
    start_and_size().is_some_and(|(start, size)| start == size)
}

/// Returns the time at which the store itself answered; `None` for an answer from a cache.
fn date(headers: &HeaderMap) -> Option<StoreTime> {
    if headers.contains_key(header::AGE) {
        return None;
    }
    let date = headers.get(header::DATE)?.to_str().ok()?;
    let date = DateTime::parse_from_rfc2822(date).ok()?;
    Some(StoreTime::from_micros(date.timestamp_micros()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn the_date_of_an_answer_counts_unless_it_comes_from_a_cache() {
        let fresh = [(header::DATE, "Tue, 14 Nov 2023 22:13:20 GMT")];
        let micros = 1_700_000_000_000_000;
        assert_eq!(date(&headers(&fresh)), Some(StoreTime::from_micros(micros)));
        let cached = [fresh[0].clone(), (header::AGE, "0")];
        assert_eq!(date(&headers(&cached)), None);
        assert_eq!(date(&headers(&[(header::DATE, "yesterday")])), None);
        assert_eq!(date(&HeaderMap::new()), None);
    }

    #[test]
    fn the_range_of_a_partial_answer_starts_at_the_end_if_its_first_byte_is_the_size() {
        for (range, expected) in [
            ("bytes 10-9/10", true),
            ("bytes 0--1/0", true),
            ("bytes 0-9/10", false),
            ("bytes 9-9/10", false),
            ("bytes */10", false),
            ("10-9/10", false),
        ] {
            let headers = headers(&[(header::CONTENT_RANGE, range)]);
            assert_eq!(starts_at_end(&headers), expected, "{range}");
        }
        assert!(!starts_at_end(&HeaderMap::new()));
    }
}
