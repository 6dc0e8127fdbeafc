//! Reasons why a request cannot be answered.

use neap_http::{ApiError, ErrorBody, Kind};
use neap_query::{ClientQueryError, QueryError};
use thiserror::Error;

use crate::DecodeError;

/// Reasons why a request cannot be answered.
#[derive(Debug, Error)]
pub(crate) enum ReadFailure {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("a matcher has no label")]
    UnnamedLabel,
    #[error("the matcher type {0} is unknown")]
    MatcherType(i32),
    #[error("a pattern has more than {0} bytes")]
    PatternTooLong(usize),
    #[error("the pattern {pattern:?} is invalid: {error}")]
    Pattern { pattern: String, error: String },
    #[error("the request has more than {0} matchers")]
    TooManyMatchers(usize),
    #[error("the request has more than {0} match[] parameters")]
    TooManySelectors(usize),
    #[error("other reads use all memory for answers: try again later")]
    Busy,
    #[error("the answer has more than {0} bytes: select fewer series or a shorter time")]
    TooLarge(usize),
    #[error(
        "native histograms cannot be streamed as chunks: accept samples (SAMPLES), or select only metrics without histograms"
    )]
    HistogramChunks,
    #[error("the selector {selector:?} is invalid at byte {position}: {problem}")]
    Selector {
        selector: String,
        position: usize,
        problem: &'static str,
    },
    #[error("no match[] parameter provided")]
    NoMatch,
    #[error("invalid parameter {name:?}: {value:?} is not {expected}")]
    Parameter {
        name: &'static str,
        value: String,
        expected: &'static str,
    },
    #[error("the answer of a query has unexpected columns: {0}")]
    Columns(#[from] arrow_schema::ArrowError),
    #[error(transparent)]
    Request(#[from] ApiError),
}

impl From<ClientQueryError> for ReadFailure {
    fn from(error: ClientQueryError) -> Self {
        Self::Request(error.into())
    }
}

impl From<QueryError> for ReadFailure {
    fn from(error: QueryError) -> Self {
        Self::Request(error.into())
    }
}

impl From<ReadFailure> for ApiError {
    fn from(failure: ReadFailure) -> Self {
        let kind = match failure {
            ReadFailure::Request(error) => return error.with_body(ErrorBody::Text),
            ReadFailure::Decode(DecodeError::TooLarge { .. }) => Kind::TooLarge,
            ReadFailure::TooLarge(_) => Kind::Limit,
            ReadFailure::Busy => Kind::Unavailable,
            ReadFailure::Columns(_) => Kind::Internal,
            _ => Kind::Invalid,
        };
        Self::text(kind, failure.to_string())
    }
}
