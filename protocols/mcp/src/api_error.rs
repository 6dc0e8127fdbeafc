//! The error of a request without an answer.

/// The server did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ApiUnavailable(pub String);
