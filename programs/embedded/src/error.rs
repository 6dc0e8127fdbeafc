//! Errors of connections.

use arrow_schema::ArrowError;
use neap_assembly::stores::StoresError;
use neap_catalog::CatalogError;
use neap_http::Kind;
use neap_query::{ClientQueryError, QueryError, QueryErrorKind};
use neap_rows::columnar::MappingError;
use neap_write::WriteFailure;

/// The reason why a connection, a statement or a write failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The location names no store.
    #[error("cannot connect to '{location}': {reason}")]
    Location {
        /// The location.
        location: String,
        /// The reason.
        reason: String,
    },
    /// An environment variable has an invalid value.
    #[error("a setting of the environment is invalid: {0}")]
    Environment(String),
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] StoresError),
    /// The cluster can't be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The statement has no answer.
    #[error(transparent)]
    Query(#[from] ClientQueryError),
    /// Lines are not stored.
    #[error(transparent)]
    Lines(Box<WriteFailure>),
    /// Rows of record batches are not stored.
    #[error("{}{}", row_failure(.failure), stored(.stored_rows))]
    Rows {
        /// The number of rows before them that are stored.
        stored_rows: usize,
        /// The reason.
        #[source]
        failure: Box<WriteFailure>,
    },
    /// Record batches don't fit the table.
    #[error("{error}{}", stored(.stored_rows))]
    Columns {
        /// The number of rows before them that are stored.
        stored_rows: usize,
        /// The reason.
        #[source]
        error: MappingError,
    },
    /// The source of record batches failed.
    #[error("cannot read the rows: {error}{}", stored(.stored_rows))]
    Batches {
        /// The number of rows before the failure that are stored.
        stored_rows: usize,
        /// The reason.
        #[source]
        error: ArrowError,
    },
}

impl Error {
    /// Returns whether the same call may succeed later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Store(StoresError::Store(_))
            | Self::Catalog(
                CatalogError::Store(_) | CatalogError::NoStoreTime | CatalogError::Unknown { .. },
            ) => true,
            Self::Query(ClientQueryError::Query(error)) => {
                error.kind() == QueryErrorKind::Unavailable
            }
            Self::Query(ClientQueryError::Request(error)) => {
                matches!(error.kind(), Kind::Unavailable | Kind::Unknown)
            }
            Self::Lines(failure) | Self::Rows { failure, .. } => failure.retry_after().is_some(),
            _ => false,
        }
    }
}

impl From<QueryError> for Error {
    fn from(error: QueryError) -> Self {
        Self::Query(error.into())
    }
}

/// Returns the message for the caller of a function, who numbers rows and sends no headers.
fn row_failure(failure: &WriteFailure) -> String {
    match failure {
        WriteFailure::Rejected(error) => {
            format!("row {}: {}", error.line_number, error.error_message)
        }
        WriteFailure::MissingTags(missing) => missing.reason(),
        other => other.to_string(),
    }
}

/// Returns the number of stored rows, as a suffix of a message.
fn stored(rows: &usize) -> String {
    match rows {
        0 => String::new(),
        rows => format!("; {rows} rows before are stored"),
    }
}
