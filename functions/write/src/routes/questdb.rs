//! Support for QuestDB clients that send rows over HTTP: the negotiation of the protocol version, and errors in the
//! form that they understand.
//!
//! A client requests `/settings` first, without credentials, and gives up on any error but 404. It sends rows to
//! `/write?precision=n`, without a database. It retries on 500, 503 and a few other statuses for ten seconds. For other
//! errors it shows `code`, `message`, `line` and `errorId` if the answer is declared as JSON.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header::CONTENT_TYPE};
use neap_http::{ApiError, ErrorBody, Kind, RequestId};
use serde::Serialize;
use serde_json::{Value, json};

use super::error_response;
use crate::{WriteFailure, WriteService};

/// The versions of the protocol: text; binary floats and arrays; decimals. A client chooses the highest one that it
/// knows.
const VERSIONS: [u8; 3] = [1, 2, 3];

/// The maximum length of the names of tables and columns that clients allow, in bytes. It is QuestDB's default.
const MAX_NAME_BYTES: u16 = 127;

/// `GET /settings`: the supported versions and transports, with the keys of QuestDB.
pub(super) async fn settings(State(service): State<Arc<WriteService>>) -> Json<Value> {
    let transports: &[&str] = if service.settings.questdb_over_tcp {
        &["tcp", "http"]
    } else {
        &["http"]
    };
    Json(json!({
        "config": {
            "line.proto.support.versions": VERSIONS,
            "ilp.proto.transports": transports,
            "cairo.max.file.name.length": MAX_NAME_BYTES,
        },
    }))
}

/// The reason why a request is refused.
#[derive(Debug)]
pub(super) struct QuestDbError {
    answer: ApiError,
    /// The number of the refused line, from 1.
    line: Option<usize>,
}

impl From<ApiError> for QuestDbError {
    fn from(answer: ApiError) -> Self {
        Self { answer, line: None }
    }
}

impl From<WriteFailure> for QuestDbError {
    /// Errors of lines have QuestDB's wording.
    fn from(failure: WriteFailure) -> Self {
        let WriteFailure::Rejected(error) = &failure else {
            return error_response::of(failure).into();
        };
        let line = error.line_number;
        let message = format!(
            "failed to parse line protocol:errors encountered on line(s):\nerror in line {line}: {}",
            error.error_message
        );
        let answer = error_response::of(failure);
        let kind = answer.kind();
        Self { answer: answer.into_v2(kind, message), line: Some(line) }
    }
}

/// The body of an answer, in QuestDB's order.
#[derive(Serialize)]
struct QuestDbErrorBody<'a> {
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(rename = "errorId", skip_serializing_if = "Option::is_none")]
    error_id: Option<String>,
}

impl QuestDbError {
    /// Returns the answer to a refused request. The id of the request is the id of the error, because the log has it.
    pub(super) fn into_response(self, request: Option<RequestId>) -> Response {
        let kind = self.answer.kind();
        let body = json!(QuestDbErrorBody {
            code: kind.v2_code(),
            message: self.answer.message(),
            line: self.line,
            error_id: request.map(|id| id.to_string()),
        });
        let mut response = self.answer.with_body(ErrorBody::V2).into_response();
        // Errors of authentication and authorization have the same form everywhere.
        if !matches!(kind, Kind::Unauthenticated | Kind::Forbidden) {
            *response.body_mut() = Body::from(body.to_string());
        }
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    }
}
