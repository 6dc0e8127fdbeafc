//! Support for QuestDB clients that send rows over HTTP: the negotiation of the protocol version, and errors in the
//! form that they understand.
//!
//! A client requests `/settings` first, without credentials, and gives up on any error but 404. It sends rows to
//! `/write?precision=n`, without a database. It retries on 500, 503 and a few other statuses for ten seconds. For other
//! errors it shows `code` and `message` if the answer is declared as JSON.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header::CONTENT_TYPE};
use neap_http::{ApiError, ErrorBody};
use neap_line_protocol::ParseError;
use serde_json::{Value, json};

use super::error_response;
use crate::WriteFailure;

/// `GET /settings`: the supported protocol versions. Version 1 is text; later versions have binary values.
pub(super) async fn settings() -> Json<Value> {
    Json(json!({
        "config": {
            "line.proto.support.versions": [1],
            "line.proto.transports": ["http"],
        },
    }))
}

/// Converts a failure to an error with QuestDB's wording.
pub(super) fn failed(failure: WriteFailure) -> ApiError {
    let message = match &failure {
        WriteFailure::Rejected(error) => {
            let (line, message) = (error.line_number, &error.error_message);
            Some(format!(
                "error in line {line}: {message}; nothing of the request is stored"
            ))
        }
        WriteFailure::Parse(ParseError::NotUtf8(error)) => Some(format!(
            "the body is not UTF-8 ({error}): use version 1 of the protocol (protocol_version=1)"
        )),
        _ => None,
    };
    let answer = error_response::of(failure);
    match message {
        Some(message) => {
            let kind = answer.kind();
            answer.into_v2(kind, message)
        }
        None => answer,
    }
}

/// Returns the answer to a refused request.
pub(super) fn refused(error: ApiError) -> Response {
    let mut response = error.with_body(ErrorBody::V2).into_response();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
