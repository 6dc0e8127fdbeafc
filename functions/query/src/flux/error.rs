//! Errors of Flux queries, in the form of InfluxDB 2.

use datafusion::common::DataFusionError;
use neap_http::{ApiError, Kind};

use crate::{ClientQueryError, QueryError};

/// Returns the answer to a query that failed before its answer began.
pub(super) fn refusal(error: QueryError) -> ApiError {
    let text = error_text(&error);
    let answer = ApiError::from(error);
    let kind = match answer.kind() {
        Kind::NotAllowed => Kind::Invalid,
        kind => kind,
    };
    answer.into_v2(kind, text)
}

/// Returns the answer to a query of a bucket that the caller may not read, or that does not exist.
pub(super) fn bucket_refusal(bucket: &str, error: ClientQueryError) -> ApiError {
    match error {
        ClientQueryError::Query(QueryError::DatabaseNotFound(_)) => {
            ApiError::v2(Kind::NotFound, format!("could not find bucket \"{bucket}\""))
        }
        ClientQueryError::Query(error) => refusal(error),
        ClientQueryError::Request(error) => error,
    }
}

/// Returns the text of an error without the words that DataFusion adds to it.
pub(super) fn error_text(error: &QueryError) -> String {
    match error {
        QueryError::Planning(cause) | QueryError::Execution(cause) => match cause.find_root() {
            DataFusionError::Plan(text)
            | DataFusionError::NotImplemented(text)
            | DataFusionError::Execution(text) => text.clone(),
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}
