//! Reasons why a request cannot be answered.

use neap_http::{ApiError, ErrorBody, Kind};
use neap_promql::{PromqlError, RangeError};
use neap_query::{
    ClientQueryError, QueryError, QueryErrorKind,
    promql::{MatcherError, PromqlQueryError},
};
use thiserror::Error;

use crate::DecodeError;

/// The outcome of a part of a read.
pub(crate) type ReadResult<T = ()> = Result<T, ReadFailure>;

/// Reasons why a request cannot be answered.
#[derive(Debug, Error)]
pub(crate) enum ReadFailure {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("the matcher type {0} is unknown")]
    MatcherType(i32),
    #[error(transparent)]
    Matcher(#[from] MatcherError),
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
    #[error("invalid parameter \"match[]\": {0}")]
    Selector(String),
    #[error("no match[] parameter provided")]
    NoMatch,
    #[error("invalid parameter {name:?}: {value:?} is not {expected}")]
    Parameter {
        name: &'static str,
        value: String,
        expected: &'static str,
    },
    #[error("end timestamp must not be before start timestamp")]
    ExemplarTimes,
    #[error("invalid parameter {0:?}: limit must be non-negative")]
    NegativeLimit(&'static str),
    #[error("invalid parameter {0:?}: it is missing")]
    MissingParameter(&'static str),
    #[error("{}", range_text(*.0))]
    Range(#[from] RangeError),
    #[error("invalid parameter \"query\": {0}")]
    Expression(String),
    #[error("{0}")]
    Execution(String),
    #[error("{0}")]
    Rules(String),
    #[error("query timed out in expression evaluation")]
    TimedOut,
    #[error("query was canceled in expression evaluation")]
    Canceled,
    #[error("the answer of a query has unexpected columns: {0}")]
    Columns(#[from] arrow_schema::ArrowError),
    #[error(transparent)]
    Request(#[from] ApiError),
}

/// Returns the error of the times of a query, with the parameter that Prometheus names.
fn range_text(error: RangeError) -> String {
    let parameter = match error {
        RangeError::EndBeforeStart => "end",
        RangeError::Step => "step",
        RangeError::TooManyPoints(_) => return error.to_string(),
    };
    format!("invalid parameter {parameter:?}: {error}")
}

impl From<ClientQueryError> for ReadFailure {
    fn from(error: ClientQueryError) -> Self {
        match error {
            ClientQueryError::Query(error) => error.into(),
            ClientQueryError::Request(error) => Self::Request(error),
        }
    }
}

impl From<QueryError> for ReadFailure {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Timeout(_) => Self::TimedOut,
            QueryError::Killed => Self::Canceled,
            other => Self::Request(other.into()),
        }
    }
}

impl From<PromqlError> for ReadFailure {
    fn from(error: PromqlError) -> Self {
        match error {
            PromqlError::BadData(text) => Self::Expression(text),
            PromqlError::Execution(text) => Self::Execution(text),
            PromqlError::Storage(error) => QueryError::Execution(error).into(),
        }
    }
}

impl From<PromqlQueryError> for ReadFailure {
    fn from(error: PromqlQueryError) -> Self {
        match error {
            PromqlQueryError::Expression(error) => error.into(),
            // The samples or a limit do not permit the evaluation.
            PromqlQueryError::Query(ClientQueryError::Query(error @ QueryError::Planning(_)))
                if error.kind() == QueryErrorKind::Invalid =>
            {
                Self::Execution(error.to_string())
            }
            PromqlQueryError::Query(error) => error.into(),
        }
    }
}

impl ReadFailure {
    /// Returns the `errorType` of an error that its kind does not tell.
    pub(crate) fn error_type(&self) -> Option<&'static str> {
        match self {
            Self::TimedOut => Some("timeout"),
            Self::Canceled => Some("canceled"),
            _ => None,
        }
    }
}

impl From<ReadFailure> for ApiError {
    fn from(failure: ReadFailure) -> Self {
        let kind = match failure {
            ReadFailure::Request(error) => return error.with_body(ErrorBody::Text),
            ReadFailure::Decode(DecodeError::TooLarge { .. }) => Kind::TooLarge,
            ReadFailure::TooLarge(_) | ReadFailure::Execution(_) => Kind::Limit,
            ReadFailure::Busy | ReadFailure::TimedOut | ReadFailure::Canceled => Kind::Unavailable,
            ReadFailure::Columns(_) => Kind::Internal,
            _ => Kind::Invalid,
        };
        Self::text(kind, failure.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn all_queries_have_the_errors_of_their_time_limit() {
        let timeout = || QueryError::Timeout(Duration::from_secs(1));
        for failure in [
            ReadFailure::from(timeout()),
            ReadFailure::from(ClientQueryError::from(timeout())),
            ReadFailure::from(PromqlQueryError::from(timeout())),
        ] {
            assert_eq!(failure.error_type(), Some("timeout"));
        }
        let killed = ReadFailure::from(ClientQueryError::from(QueryError::Killed));
        assert_eq!(killed.error_type(), Some("canceled"));
    }
}
