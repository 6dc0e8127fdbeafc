//! Error answers. The kind of the error determines the status, and the endpoint determines the form of the body.
//!
//! InfluxDB 3 has four forms: plain text, `{"error"}`, `{"error","data"}`, and on `/api/v2` `{"code","message"}`. Causes that
//! InfluxDB 3 does not have may have a fifth, `{"code","error"}`. None of them has a `Content-Type`. The layers around all
//! routes replace them on the paths of InfluxDB 2 and of the Iceberg catalog.

use std::time::Duration;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header::RETRY_AFTER};
use neap_bucket::Stamp;
use serde_json::{Value, json};

use crate::STAMP_HEADER;

/// The code of the error that a name is an alias, which is no resource with this name.
pub const NAME_IS_ALIAS: &str = "name is an alias";

/// The kind of an error, as far as a client needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request is invalid and a retry does not help.
    Invalid,
    /// The request has no valid credentials.
    Unauthenticated,
    /// Too many requests had no valid credentials.
    TooManyRequests,
    /// The credentials do not permit the request.
    Forbidden,
    /// The resource does not exist.
    NotFound,
    /// The resource existed, and will not exist again.
    Gone,
    /// The request is valid, but not supported or switched off.
    NotAllowed,
    /// The request did not arrive in time.
    RequestTimeout,
    /// The resource exists already, or is deleted already.
    Conflict,
    /// The request is larger than allowed.
    TooLarge,
    /// The content type of the body is not supported.
    UnsupportedMediaType,
    /// A configured limit is reached.
    Limit,
    /// The request had no effect. It may succeed later.
    Unavailable,
    /// It is unknown whether the request took effect. The client repeats it.
    Unknown,
    /// Stored data can't be read.
    Corrupt,
    /// A bug in the server.
    Internal,
}

impl Kind {
    /// Returns the status of answers of this kind. No code outside of this type maps errors to statuses.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Gone => StatusCode::GONE,
            Self::NotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Limit => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unavailable | Self::Unknown => StatusCode::SERVICE_UNAVAILABLE,
            Self::Corrupt | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the status of answers of this kind in the interface of InfluxDB 2, which has no status for conflicts.
    pub(crate) fn v2_status(self) -> StatusCode {
        match self {
            Self::Conflict => StatusCode::UNPROCESSABLE_ENTITY,
            _ => self.status(),
        }
    }

    /// Returns the code of gRPC answers of this kind, by the table of the gRPC specification. No other code maps errors
    /// to codes.
    pub fn grpc_code(self) -> u8 {
        match self {
            Self::Invalid | Self::TooLarge | Self::UnsupportedMediaType => 3,
            Self::RequestTimeout => 4,
            Self::NotFound => 5,
            Self::Conflict => 6,
            Self::Forbidden => 7,
            Self::TooManyRequests | Self::Limit => 8,
            Self::Gone => 9,
            Self::NotAllowed => 12,
            Self::Internal => 13,
            Self::Unavailable | Self::Unknown => 14,
            Self::Corrupt => 15,
            Self::Unauthenticated => 16,
        }
    }

    /// Returns the `code` in bodies of `/api/v2`, with the texts of InfluxDB 2.
    pub fn v2_code(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unauthenticated => "unauthorized",
            Self::TooManyRequests => "too many requests",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not found",
            Self::Gone => "gone",
            Self::NotAllowed => "method not allowed",
            Self::RequestTimeout => "request timeout",
            Self::Conflict => "conflict",
            Self::TooLarge => "request too large",
            Self::UnsupportedMediaType => "unsupported media type",
            Self::Limit => "unprocessable entity",
            Self::Unavailable | Self::Unknown => "unavailable",
            Self::Corrupt | Self::Internal => "internal error",
        }
    }
}

/// The form of the body of an error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorBody {
    /// The message alone.
    Text,
    /// `{"error": message}`.
    Json,
    /// `{"code": …, "error": message}`.
    Code(&'static str),
    /// `{"error": message}` with a space, as in InfluxDB 3 for errors of authentication and authorization.
    Refusal,
    /// `{"error": message, "data": …}`.
    Data(Value),
    /// `{"code": …, "message": message}`, as on `/api/v2`.
    V2,
}

/// An error answer.
///
/// # Examples
///
/// ```
/// use axum::response::IntoResponse;
/// use neap_http::{ApiError, Kind};
///
/// let error = ApiError::json(Kind::NotFound, "database not found: sensors");
/// assert_eq!(error.message(), "database not found: sensors");
/// assert_eq!(error.into_response().status(), 404);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    kind: Kind,
    message: String,
    body: ErrorBody,
    retry_after: Option<Duration>,
    stamp: Option<Stamp>,
}

impl ApiError {
    fn new(kind: Kind, message: impl Into<String>, body: ErrorBody) -> Self {
        Self {
            kind,
            message: message.into(),
            body,
            retry_after: None,
            stamp: None,
        }
    }

    /// Creates an error with the message as plain text.
    pub fn text(kind: Kind, message: impl Into<String>) -> Self {
        Self::new(kind, message, ErrorBody::Text)
    }

    /// Creates an error with the message in `{"error"}`.
    pub fn json(kind: Kind, message: impl Into<String>) -> Self {
        Self::new(kind, message, ErrorBody::Json)
    }

    /// Creates an error of authentication or authorization, with the message in `{"error"}` as InfluxDB 3 formats it.
    pub fn refusal(kind: Kind, message: impl Into<String>) -> Self {
        Self::new(kind, message, ErrorBody::Refusal)
    }

    /// Creates an error with the message in `{"error","data"}`.
    pub fn with_data(kind: Kind, message: impl Into<String>, data: Value) -> Self {
        Self::new(kind, message, ErrorBody::Data(data))
    }

    /// Creates an error with the message in `{"code","error"}`, for a client that treats the cause in its own way.
    pub fn with_code(kind: Kind, message: impl Into<String>, code: &'static str) -> Self {
        Self::new(kind, message, ErrorBody::Code(code))
    }

    /// Creates an error with the message in `{"code","message"}`.
    pub fn v2(kind: Kind, message: impl Into<String>) -> Self {
        Self::new(kind, message, ErrorBody::V2)
    }

    /// Creates the error for an unknown path or a wrong method, which InfluxDB 3 does not distinguish.
    pub fn no_route() -> Self {
        Self::text(Kind::NotFound, "Not found")
    }

    /// Returns the error in another form, without data if the form has none. An error of authentication or
    /// authorization is returned unchanged, because it has the same form everywhere.
    #[must_use]
    pub fn with_body(self, body: ErrorBody) -> Self {
        match self.body {
            ErrorBody::Refusal => self,
            _ => Self { body, ..self },
        }
    }

    /// Returns the error with its message in `{"error"}` if it is plain text.
    #[must_use]
    pub fn text_into_json(self) -> Self {
        match self.body {
            ErrorBody::Text => self.with_body(ErrorBody::Json),
            _ => self,
        }
    }

    /// Returns the error with another kind and message and without data, in `{"code","message"}`. An error of
    /// authentication or authorization is returned unchanged.
    #[must_use]
    pub fn into_v2(self, kind: Kind, message: impl Into<String>) -> Self {
        if self.body == ErrorBody::Refusal {
            return self;
        }
        Self { kind, message: message.into(), body: ErrorBody::V2, ..self }
    }

    /// Sets the time that the client waits before a retry.
    #[must_use]
    pub fn retry_after(self, wait: Option<Duration>) -> Self {
        Self { retry_after: wait, ..self }
    }

    /// Sets the stamp that was taken for the request.
    #[must_use]
    pub fn with_stamp(self, stamp: Option<Stamp>) -> Self {
        Self { stamp, ..self }
    }

    /// The kind of the error.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// The error of an answer. Stored in the extensions of the response, for the log and for answers in other forms.
#[derive(Clone, Debug)]
pub(crate) struct AnsweredError {
    pub(crate) kind: Kind,
    pub(crate) message: String,
    /// The code of [`ErrorBody::Code`].
    pub(crate) code: Option<&'static str>,
}

/// Returns the longest prefix of a text that has at most `max_bytes`.
pub fn text_prefix(text: &str, max_bytes: usize) -> &str {
    let mut end = max_bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.kind.status();
        let message = self.message;
        let error = AnsweredError {
            kind: self.kind,
            message: message.clone(),
            code: match self.body {
                ErrorBody::Code(code) => Some(code),
                _ => None,
            },
        };
        let body = match self.body {
            ErrorBody::Text => message,
            ErrorBody::Json => json!({ "error": message }).to_string(),
            ErrorBody::Code(code) => json!({ "code": code, "error": message }).to_string(),
            ErrorBody::Refusal => format!(r#"{{"error": {}}}"#, json!(message)),
            ErrorBody::Data(data) => format!(r#"{{"error":{},"data":{data}}}"#, json!(message)),
            ErrorBody::V2 => json!({ "code": self.kind.v2_code(), "message": message }).to_string(),
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, whole_seconds(wait).into());
        }
        if let Some(stamp) = self.stamp {
            headers.insert(STAMP_HEADER, HeaderValue::from(stamp.as_u64()));
        }
        response.extensions_mut().insert(error);
        response
    }
}

/// Returns a wait in seconds, rounded up, at least 1 s.
fn whole_seconds(wait: Duration) -> u64 {
    let partial_second = u64::from(wait.subsec_nanos() > 0);
    wait.as_secs().saturating_add(partial_second).max(1)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn parts(error: ApiError) -> (u16, Vec<String>, String) {
        let (head, body) = error.into_response().into_parts();
        let headers = head
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        (head.status.as_u16(), headers.collect(), body)
    }

    #[tokio::test]
    async fn bodies_have_one_of_the_forms_and_no_content_type() {
        let cases = [
            (ApiError::text(Kind::NotFound, "x"), 404, "x"),
            (ApiError::json(Kind::Limit, "\"x\""), 422, r#"{"error":"\"x\""}"#),
            (
                ApiError::with_data(Kind::Invalid, "x", json!([{"line_number": 1}])),
                400,
                r#"{"error":"x","data":[{"line_number":1}]}"#,
            ),
            (
                ApiError::with_code(Kind::Conflict, "x", NAME_IS_ALIAS),
                409,
                r#"{"code":"name is an alias","error":"x"}"#,
            ),
            (
                ApiError::v2(Kind::TooLarge, "x"),
                413,
                r#"{"code":"request too large","message":"x"}"#,
            ),
        ];
        for (error, status, body) in cases {
            assert_eq!(parts(error).await, (status, Vec::new(), body.to_owned()));
        }
    }

    #[tokio::test]
    async fn waits_and_stamps_are_headers() {
        let error = ApiError::text(Kind::Unavailable, "busy")
            .retry_after(Some(Duration::from_millis(1_001)))
            .with_stamp(Some(Stamp::from_u64(u64::MAX)));
        let (status, headers, _) = parts(error).await;
        assert_eq!(status, 503);
        assert_eq!(headers, ["retry-after: 2", "x-neap-stamp: 18446744073709551615"]);
    }

    #[test]
    fn a_wait_is_at_least_a_second() {
        assert_eq!(whole_seconds(Duration::ZERO), 1);
        assert_eq!(whole_seconds(Duration::from_secs(5)), 5);
    }
}
