//! Answers of the HTTP layer to gRPC requests.
//!
//! A client of gRPC reads the outcome of a request from `grpc-status` and `grpc-message`, not from the HTTP status. An
//! answer without a message may have both in its headers (`Trailers-Only` of the gRPC specification), which every
//! server can send, even one that can't send trailers.

use axum::{body::Body, response::Response};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::{
    Kind,
    error::{AnsweredError, text_prefix},
};

const GRPC_CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// The code `PERMISSION_DENIED`.
const PERMISSION_DENIED: &[u8] = b"7";

/// The code `UNIMPLEMENTED`.
const UNIMPLEMENTED: u8 = 12;

/// Maximum length of a message in bytes, as in InfluxDB 3. Proxies limit the size of headers.
pub const MAX_GRPC_MESSAGE_BYTES: usize = 2_000;

/// The characters that a message must not contain as they are.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

const NO_SERVICE: &str = "this server does not offer this gRPC service: Arrow Flight needs a server process (`neap \
                          serve`, for example as a container service), because functions can't answer gRPC; they \
                          answer queries on /api/v3/query_sql and /api/v3/query_influxql";

/// Returns whether a request is a gRPC request.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(GRPC_CONTENT_TYPE.as_bytes()))
}

/// Returns whether a gRPC answer refuses a request for lack of permission.
pub(crate) fn is_permission_denied(response: &Response) -> bool {
    let status = response.headers().get(GRPC_STATUS);
    status.is_some_and(|status| status.as_bytes() == PERMISSION_DENIED)
}

/// Returns the message of a gRPC answer, with the texts of InfluxDB 3 for errors of authentication and authorization.
pub fn grpc_message(kind: Kind, message: &str) -> &str {
    match kind {
        Kind::Unauthenticated => "Unauthenticated",
        Kind::Forbidden => "Permission denied",
        _ => text_prefix(message, MAX_GRPC_MESSAGE_BYTES),
    }
}

/// Turns an answer of the HTTP layer to a gRPC request into an answer of gRPC. Answers of gRPC are returned unchanged.
pub(crate) fn into_grpc(response: Response, has_route: bool) -> Response {
    let is_answer = response.status() == StatusCode::OK && is_grpc(response.headers());
    if is_answer {
        return response;
    }
    let (mut head, _) = response.into_parts();
    let error = head.extensions.get::<AnsweredError>();
    let (code, message) = match error {
        _ if !has_route && head.status == StatusCode::NOT_FOUND => (UNIMPLEMENTED, NO_SERVICE),
        Some(error) => (error.kind.grpc_code(), grpc_message(error.kind, &error.message)),
        None => (Kind::Internal.grpc_code(), "unexpected answer"),
    };
    let message = utf8_percent_encode(message, ENCODED).to_string();
    // Encoded text is ASCII, so the other branch is never taken.
    let message = HeaderValue::try_from(message).unwrap_or(HeaderValue::from_static(""));
    head.status = StatusCode::OK;
    // The answer has no body. Clients refuse one whose announced length is another.
    head.headers.remove(CONTENT_LENGTH);
    head.headers.insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
    head.headers.insert(GRPC_STATUS, HeaderValue::from(u16::from(code)));
    head.headers.insert(GRPC_MESSAGE, message);
    Response::from_parts(head, Body::empty())
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;
    use crate::ApiError;

    fn answer(error: ApiError, has_route: bool) -> (u16, String, String) {
        let mut refusal = error.into_response();
        // As the router does.
        refusal.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(68));
        let response = into_grpc(refusal, has_route);
        assert!(!response.headers().contains_key(CONTENT_LENGTH));
        let header = |name| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "application/grpc");
        (response.status().as_u16(), header("grpc-status"), header("grpc-message"))
    }

    #[test]
    fn errors_of_the_http_layer_are_statuses_of_grpc() {
        let refused = ApiError::text(Kind::Invalid, "the request was\nnot 100 % ü");
        let expected = "the request was%0Anot 100 %25 %C3%BC".to_owned();
        assert_eq!(answer(refused, true), (200, "3".to_owned(), expected));
        let refused = ApiError::refusal(Kind::Unauthenticated, "the request was not authenticated");
        let expected = "Unauthenticated".to_owned();
        assert_eq!(answer(refused, true), (200, "16".to_owned(), expected));
        let long = ApiError::text(Kind::Unavailable, "ü".repeat(2_000));
        let (_, code, message) = answer(long, true);
        assert_eq!((code.as_str(), message.len()), ("14", 6_000));
    }

    #[test]
    fn an_unknown_service_is_answered_with_what_offers_it() {
        let (status, code, message) = answer(ApiError::no_route(), false);
        assert_eq!((status, code.as_str()), (200, "12"));
        assert!(message.contains("`neap serve`"), "{message}");
        // A database that does not exist is another matter.
        assert_eq!(answer(ApiError::no_route(), true).1, "5");
    }

    #[test]
    fn answers_of_grpc_stay_as_they_are() {
        let response = ([(CONTENT_TYPE, "application/grpc")], "message").into_response();
        let response = into_grpc(response, true);
        assert!(!response.headers().contains_key("grpc-status"));
    }
}
