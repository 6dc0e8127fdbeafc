//! What clients of QuestDB need that send rows over HTTP: how they learn which version of the protocol to use, and
//! errors in the form that they understand.
//!
//! They ask `/settings` first, without their credentials, and give up on anything but an answer or 404. Rows go to
//! `/write?precision=n`, without a database. 500, 503 and a few more are tried again for ten seconds; of other
//! errors they show `code` and `message`, if the answer is declared to be JSON.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header::CONTENT_TYPE};
use neap_http::{ApiError, ErrorBody};
use neap_line_protocol::ParseError;
use serde_json::{Value, json};

use super::answer;
use crate::WriteFailure;

/// `GET /settings`: the versions of the protocol that are understood. 1 is text; 2 and later ones have binary
/// values.
pub(super) async fn settings() -> Json<Value> {
    Json(json!({
        "config": {
            "line.proto.support.versions": [1],
            "line.proto.transports": ["http"],
        },
    }))
}

/// A failure in their words.
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
    let answer = answer::of(failure);
    match message {
        Some(message) => {
            let kind = answer.kind();
            answer.rephrased_v2(kind, message)
        }
        None => answer,
    }
}

/// The answer to a request that is refused.
pub(super) fn refused(error: ApiError) -> Response {
    let mut response = error.in_form(ErrorBody::V2).into_response();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
