//! Errors of `COPY` statements.

use neap_bucket::StoreError;

use crate::QueryErrorKind;

/// The reason why a `COPY` statement wrote no file.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum CopyError {
    /// The request may not write files.
    #[error("COPY requires a POST request to /api/v3/query_sql")]
    ReadOnly,
    #[error("this server does not write exports")]
    NoStore,
    #[error(
        "the export '{location}' exists: choose another name, or add OPTIONS ('overwrite' 'true')"
    )]
    Exists { location: String },
    #[error("COPY TO: the export '{location}' can't be stored: {reason}")]
    Name {
        location: String,
        /// What is in the way.
        reason: String,
    },
    #[error("query error: the export could not be stored: {0}")]
    Store(#[from] StoreError),
}

impl CopyError {
    /// Returns the class of the error.
    pub(crate) fn kind(&self) -> QueryErrorKind {
        match self {
            Self::ReadOnly | Self::NoStore => QueryErrorKind::NotImplemented,
            Self::Exists { .. } | Self::Name { .. } => QueryErrorKind::Invalid,
            Self::Store(StoreError::Unavailable { .. }) => QueryErrorKind::Unavailable,
            Self::Store(StoreError::Rejected { .. }) => QueryErrorKind::Internal,
        }
    }
}
