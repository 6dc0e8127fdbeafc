//! Error answers of the Iceberg catalog: `{"error": {"message", "type", "code"}}`, as its REST specification says.
//!
//! They replace the answers of all layers, so that an error has one form wherever it arises.

use axum::{body::Body, response::Response};
use http::{
    HeaderValue,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use serde_json::json;

use crate::{Kind, error::AnsweredError};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Returns whether errors on a path are answered as those of the Iceberg catalog.
pub(crate) fn is_of_iceberg(path: &str) -> bool {
    path.starts_with("/iceberg/")
}

/// Turns an error into one of the Iceberg catalog. Its type is the code of the error, if it has one. Other answers are
/// returned unchanged.
pub(crate) fn into_iceberg(response: Response) -> Response {
    let Some(error) = response.extensions().get::<AnsweredError>().cloned() else {
        return response;
    };
    let (mut head, _) = response.into_parts();
    let body = json!({ "error": {
        "code": head.status.as_u16(),
        "message": error.message,
        "type": error.code.unwrap_or_else(|| error_type(error.kind)),
    } });
    head.headers.remove(CONTENT_LENGTH);
    head.headers.insert(CONTENT_TYPE, JSON);
    Response::from_parts(head, Body::from(body.to_string()))
}

/// Returns the type of errors of a kind, with the names of the specification.
fn error_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Unauthenticated => "NotAuthorizedException",
        Kind::Forbidden => "ForbiddenException",
        Kind::NotFound | Kind::Gone => "NotFoundException",
        Kind::NotAllowed => "UnsupportedOperationException",
        Kind::TooManyRequests => "TooManyRequestsException",
        Kind::RequestTimeout | Kind::Unavailable | Kind::Unknown => "ServiceUnavailableException",
        Kind::Corrupt | Kind::Internal => "InternalServerError",
        Kind::Invalid
        | Kind::Conflict
        | Kind::TooLarge
        | Kind::UnsupportedMediaType
        | Kind::Limit => "BadRequestException",
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use http_body_util::BodyExt;

    use super::*;
    use crate::ApiError;

    async fn answer(error: ApiError) -> (u16, String) {
        let response = into_iceberg(error.into_response());
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn errors_of_every_form_become_errors_of_the_specification() {
        for (error, status, body) in [
            (
                ApiError::no_route(),
                404,
                r#"{"error":{"code":404,"message":"Not found","type":"NotFoundException"}}"#,
            ),
            (
                ApiError::refusal(Kind::Unauthenticated, "x"),
                401,
                r#"{"error":{"code":401,"message":"x","type":"NotAuthorizedException"}}"#,
            ),
            (
                ApiError::with_code(Kind::NotFound, "x", "NoSuchTableException"),
                404,
                r#"{"error":{"code":404,"message":"x","type":"NoSuchTableException"}}"#,
            ),
            (
                ApiError::text(Kind::Unavailable, "x"),
                503,
                r#"{"error":{"code":503,"message":"x","type":"ServiceUnavailableException"}}"#,
            ),
        ] {
            assert_eq!(answer(error).await, (status, body.to_owned()));
        }
    }

    #[test]
    fn other_answers_stay_as_they_are() {
        let response = into_iceberg("body".into_response());
        assert_eq!(response.status(), 200);
        assert_ne!(response.headers()[CONTENT_TYPE], "application/json");
    }
}
