//! Errors of `COPY` statements.

use neap_bucket::StoreError;

use crate::QueryErrorKind;

/// The reason why a `COPY` statement wrote no file.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The request may not write files.
    #[error("COPY requires a POST request to /api/v3/query_sql")]
    ReadOnly,
    /// The server has no store for exports.
    #[error("this server does not write exports")]
    NoStore,
    /// A file of this name exists.
    #[error(
        "the export '{location}' exists: choose another name, or add OPTIONS ('overwrite' 'true')"
    )]
    Exists {
        /// The key of the file.
        location: String,
    },
    /// The store can't have a file of this name.
    #[error("COPY TO: the export '{location}' can't be stored: {reason}")]
    Name {
        /// The key of the file.
        location: String,
        /// What is in the way.
        reason: String,
    },
    /// The file could not be stored.
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
