//! Error answers: what went wrong decides on the status, the endpoint on the form of the body.
//!
//! InfluxDB 3 has four forms: plain text, `{"error"}`, `{"error","data"}`, and on `/api/v2` `{"code","message"}`.
//! None of them is sent with a `Content-Type`.

use std::{fmt, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header::RETRY_AFTER};
use neap_bucket::Stamp;
use serde_json::{Value, json};

use crate::STAMP_HEADER;

/// What went wrong, as far as a client has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request is wrong and will always be.
    Invalid,
    /// The request has no valid credentials.
    Unauthenticated,
    /// Too many requests had no valid credentials.
    TooMany,
    /// The credentials don't allow it.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// There was such a thing, and it will not come back.
    Gone,
    /// The request is understood and not supported, or switched off.
    NotAllowed,
    /// The request did not arrive in time.
    TooSlow,
    /// There is such a thing already, or it is gone already.
    Conflict,
    /// The request is larger than allowed.
    TooLarge,
    /// The body is of a type that is not understood.
    MediaType,
    /// A configured ceiling is reached.
    Limit,
    /// It did not happen now and may happen later.
    Unavailable,
    /// It can't be told whether it happened; the client repeats it.
    Unknown,
    /// Stored data can't be read.
    Corrupt,
    /// A mistake of the server.
    Internal,
}

impl Kind {
    /// The status of answers about it: the only place that decides on one.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Gone => StatusCode::GONE,
            Self::NotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Limit => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unavailable | Self::Unknown => StatusCode::SERVICE_UNAVAILABLE,
            Self::Corrupt | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The `code` in bodies of `/api/v2`, in the words of InfluxDB 2.
    pub fn v2_code(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unauthenticated => "unauthorized",
            Self::TooMany => "too many requests",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not found",
            Self::Gone => "gone",
            Self::NotAllowed => "method not allowed",
            Self::TooSlow => "request timeout",
            Self::Conflict => "conflict",
            Self::TooLarge => "request too large",
            Self::MediaType => "unsupported media type",
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
    /// `{"error": message}` with a space, as InfluxDB 3 refuses requests for who sent them.
    Refusal,
    /// `{"error": message, "data": …}`.
    Data(Value),
    /// `{"code": …, "message": message}`, as on `/api/v2`.
    V2,
}

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
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

    /// The message as plain text.
    pub fn text(kind: Kind, message: impl Into<String>) -> Self {
        Self::new(kind, message, ErrorBody::Text)
    }

    /// The message in `{"error"}`.
    pub fn json(kind: Kind, message: impl Into<String>) -> Self {
        Self::new(kind, message, ErrorBody::Json)
    }

    /// The message in `{"error"}` as InfluxDB 3 writes it where it is about who sent the request.
    pub fn refusal(kind: Kind, message: impl Into<String>) -> Self {
        Self::new(kind, message, ErrorBody::Refusal)
    }

    /// The message in `{"error","data"}`.
    pub fn with_data(kind: Kind, message: impl Into<String>, data: Value) -> Self {
        Self::new(kind, message, ErrorBody::Data(data))
    }

    /// The message in `{"code","message"}`.
    pub fn v2(kind: Kind, message: impl Into<String>) -> Self {
        Self::new(kind, message, ErrorBody::V2)
    }

    /// No such path, or not with this method: InfluxDB 3 makes no difference.
    pub fn no_route() -> Self {
        Self::text(Kind::NotFound, "Not found")
    }

    /// The same error in another form; data is left out where the form has no place for it. A refusal for who
    /// sent the request has one form everywhere.
    #[must_use]
    pub fn in_form(self, body: ErrorBody) -> Self {
        match self.body {
            ErrorBody::Refusal => self,
            _ => Self { body, ..self },
        }
    }

    /// The same error of another kind, with another message and without data, in `{"code","message"}`; a refusal
    /// as it is.
    #[must_use]
    pub fn rephrased_v2(self, kind: Kind, message: impl Into<String>) -> Self {
        if self.body == ErrorBody::Refusal {
            return self;
        }
        Self {
            kind,
            message: message.into(),
            body: ErrorBody::V2,
            ..self
        }
    }

    /// The same error with a time to wait before the request is sent again.
    #[must_use]
    pub fn retry_after(self, wait: Option<Duration>) -> Self {
        Self {
            retry_after: wait,
            ..self
        }
    }

    /// The same error with the stamp that was taken for the request.
    #[must_use]
    pub fn stamped(self, stamp: Option<Stamp>) -> Self {
        Self { stamp, ..self }
    }

    /// What went wrong.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

/// The message of an answer with a status of 500 or more, left in the extensions of the response for the
/// log: such a message is about the server and not about what a client sent.
#[derive(Clone, Debug)]
pub(crate) struct ServerFault(pub(crate) String);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.kind.status();
        let message = self.message;
        let fault = status
            .is_server_error()
            .then(|| ServerFault(message.clone()));
        let body = match self.body {
            ErrorBody::Text => message,
            ErrorBody::Json => json!({ "error": message }).to_string(),
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
        if let Some(fault) = fault {
            response.extensions_mut().insert(fault);
        }
        response
    }
}

/// A wait in seconds, rounded up, and never none at all.
fn whole_seconds(wait: Duration) -> u64 {
    let begun = u64::from(wait.subsec_nanos() > 0);
    wait.as_secs().saturating_add(begun).max(1)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn parts(error: ApiError) -> (u16, Vec<String>, String) {
        let (head, body) = error.into_response().into_parts();
        let headers = head.headers.iter();
        let headers = headers.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        (head.status.as_u16(), headers.collect(), body)
    }

    #[tokio::test]
    async fn bodies_have_the_four_forms_and_no_content_type() {
        let cases = [
            (ApiError::text(Kind::NotFound, "x"), 404, "x"),
            (
                ApiError::json(Kind::Limit, "\"x\""),
                422,
                r#"{"error":"\"x\""}"#,
            ),
            (
                ApiError::with_data(Kind::Invalid, "x", json!([{"line_number": 1}])),
                400,
                r#"{"error":"x","data":[{"line_number":1}]}"#,
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
            .stamped(Some(Stamp::from_u64(u64::MAX)));
        let (status, headers, _) = parts(error).await;
        assert_eq!(status, 503);
        assert_eq!(
            headers,
            ["retry-after: 2", "x-neap-stamp: 18446744073709551615"]
        );
    }

    #[test]
    fn a_wait_is_at_least_a_second() {
        assert_eq!(whole_seconds(Duration::ZERO), 1);
        assert_eq!(whole_seconds(Duration::from_secs(5)), 5);
    }
}
