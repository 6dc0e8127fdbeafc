//! Error answers of the interface of InfluxDB 2: `{"code", "message"}` with a content type, which its clients need to
//! read them.
//!
//! They replace the answers of all layers, so that an error has one form wherever it arises.

use axum::{body::Body, response::Response};
use http::{
    HeaderName, HeaderValue,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use serde_json::json;

use crate::error::AnsweredError;

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const CODE_HEADER: HeaderName = HeaderName::from_static("x-platform-error-code");

const PREFIX: &str = "/api/v2";

/// Paths whose errors have the forms of InfluxDB 3, which has the first of them, too.
const OF_INFLUXDB_3: [&str; 2] = ["/api/v2/write", "/api/v2/delete"];

/// Returns whether errors on a path are answered as in InfluxDB 2.
pub(crate) fn is_of_influxdb2(path: &str) -> bool {
    let rest = path.strip_prefix(PREFIX);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        && !OF_INFLUXDB_3.contains(&path)
}

/// Turns an error into one of InfluxDB 2. Other answers are returned unchanged.
pub(crate) fn into_influxdb2(response: Response) -> Response {
    let Some(AnsweredError { kind, message, .. }) = response.extensions().get().cloned() else {
        return response;
    };
    let code = kind.v2_code();
    let body = json!({ "code": code, "message": message }).to_string();
    let (mut head, _) = response.into_parts();
    head.status = kind.v2_status();
    head.headers.remove(CONTENT_LENGTH);
    head.headers.insert(CONTENT_TYPE, JSON);
    head.headers.insert(CODE_HEADER, HeaderValue::from_static(code));
    Response::from_parts(head, Body::from(body))
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use http_body_util::BodyExt;

    use super::*;
    use crate::{ApiError, Kind};

    async fn answer(error: ApiError) -> (u16, String) {
        let response = into_influxdb2(error.into_response());
        let content_type = &response.headers()[CONTENT_TYPE];
        assert_eq!(content_type, "application/json; charset=utf-8");
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn errors_of_every_form_become_errors_of_influxdb_2() {
        for (error, status, body) in [
            (ApiError::no_route(), 404, r#"{"code":"not found","message":"Not found"}"#),
            (
                ApiError::refusal(Kind::Unauthenticated, "x"),
                401,
                r#"{"code":"unauthorized","message":"x"}"#,
            ),
            (ApiError::v2(Kind::Conflict, "x"), 422, r#"{"code":"conflict","message":"x"}"#),
            (
                ApiError::json(Kind::Limit, "\"x\""),
                422,
                r#"{"code":"unprocessable entity","message":"\"x\""}"#,
            ),
        ] {
            assert_eq!(answer(error).await, (status, body.to_owned()));
        }
    }

    #[test]
    fn writes_and_deletes_keep_the_errors_of_influxdb_3() {
        for path in ["/api/v2", "/api/v2/", "/api/v2/buckets", "/api/v2/nope", "/api/v2/write/x"] {
            assert!(is_of_influxdb2(path), "{path}");
        }
        for path in ["/api/v2/write", "/api/v2/delete", "/api/v20", "/api/v3/users", "/"] {
            assert!(!is_of_influxdb2(path), "{path}");
        }
    }

    #[test]
    fn other_answers_stay_as_they_are() {
        let response = into_influxdb2("body".into_response());
        assert_eq!(response.status(), 200);
        assert!(!response.headers().contains_key(CODE_HEADER));
    }
}
