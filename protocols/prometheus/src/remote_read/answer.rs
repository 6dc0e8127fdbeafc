//! Answers in the form of Prometheus: `{"status":"success","data":…}` and `{"status":"error","errorType":…,"error":…}`.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header::CONTENT_TYPE};
use neap_http::{ApiError, Kind};
use serde_json::{Value, json};

use crate::remote_read::failure::{ReadFailure, ReadResult};

/// The warning of an answer that has only a part of its series.
pub(crate) const TRUNCATED: &str = "results truncated due to limit";

/// A list of which a part may be left out.
#[derive(Debug)]
pub(crate) struct List {
    data: Value,
    is_truncated: bool,
}

impl List {
    /// Returns the first results.
    pub(crate) fn new(values: impl IntoIterator<Item = Value>, limit: Option<usize>) -> Self {
        let mut values = values.into_iter();
        let data: Vec<Value> = values.by_ref().take(limit.unwrap_or(usize::MAX)).collect();
        Self::of_data(Value::Array(data), values.next().is_some())
    }

    /// Returns results of any form.
    pub(crate) fn of_data(data: Value, is_truncated: bool) -> Self {
        Self { data, is_truncated }
    }
}

impl IntoResponse for List {
    fn into_response(self) -> Response {
        let mut body = json!({ "status": "success", "data": self.data });
        if self.is_truncated
            && let Some(body) = body.as_object_mut()
        {
            body.insert("warnings".to_owned(), json!([TRUNCATED]));
        }
        json_response(body.to_string().into_response())
    }
}

/// Returns an answer, or an error in the form of Prometheus.
pub(crate) fn respond(answer: ReadResult<impl IntoResponse>) -> Response {
    match answer {
        Ok(answer) => answer.into_response(),
        Err(failure) => error_response(failure),
    }
}

/// Returns an error in the form of Prometheus.
fn error_response(failure: ReadFailure) -> Response {
    let own_type = failure.error_type();
    let error = ApiError::from(failure);
    let error_type = own_type.unwrap_or_else(|| match error.kind() {
        Kind::Invalid | Kind::TooLarge | Kind::UnsupportedMediaType => "bad_data",
        Kind::NotFound => "not_found",
        Kind::Unavailable | Kind::Unknown | Kind::RequestTimeout => "unavailable",
        Kind::Internal | Kind::Corrupt => "internal",
        _ => "execution",
    });
    let body = json!({
        "status": "error",
        "errorType": error_type,
        "error": error.message(),
    });
    let mut response = error.into_response();
    *response.body_mut() = body.to_string().into();
    json_response(response)
}

/// Returns a response whose body is JSON.
pub(crate) fn json_response(mut response: Response) -> Response {
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_leaves_a_warning() {
        let values = || ["a", "b"].into_iter().map(|value| json!(value));
        let all = List::new(values(), Some(2));
        assert_eq!((all.data, all.is_truncated), (json!(["a", "b"]), false));
        let first = List::new(values(), Some(1));
        assert_eq!((first.data, first.is_truncated), (json!(["a"]), true));
    }

    #[test]
    fn errors_have_the_form_of_prometheus() {
        let response = error_response(ReadFailure::NoMatch);
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        for (failure, status) in [
            (ReadFailure::TimedOut, 503),
            (ReadFailure::Canceled, 503),
            (ReadFailure::Execution("too many samples".to_owned()), 422),
        ] {
            assert_eq!(error_response(failure).status(), status);
        }
    }
}
