//! What a row delete is told that is not acknowledged.

use std::time::Duration;

use neap_bucket::Stamp;
use neap_catalog::CatalogError;
use neap_row_delete::{PredicateError, TooComplex};
use neap_schema::TableId;
use neap_wal::WriteError;

use crate::WriteFailure;

/// Why rows are not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteFailure {
    /// There is no such database.
    #[error("database not found: {0}")]
    NoDatabase(String),
    /// There is no such table.
    #[error("table not found: {0}")]
    NoTable(String),
    /// A table was dropped meanwhile.
    #[error("there is no table {0} any more")]
    TableGone(TableId),
    /// The text is no predicate.
    #[error(transparent)]
    Predicate(#[from] PredicateError),
    /// The condition is too large.
    #[error(transparent)]
    TooComplex(#[from] TooComplex),
    /// The predicate can't hold for a row of the table that the request names.
    #[error("the condition is not about table '{0}'")]
    OtherTable(String),
    /// The condition asks for a field.
    #[error(
        "column '{column}' of table '{table}' is a field: rows are deleted by time and tags only"
    )]
    Field {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// The condition asks for a tag that the table does not have.
    #[error("table '{table}' has no tag '{tag}'")]
    NoTag {
        /// The table.
        table: String,
        /// The tag.
        tag: String,
    },
    /// The condition asks for a tag that no table has.
    #[error("no table has a tag '{0}'")]
    NoTagAnywhere(String),
    /// What fails as a write does.
    #[error(transparent)]
    Write(#[from] WriteFailure),
}

impl From<CatalogError> for DeleteFailure {
    fn from(error: CatalogError) -> Self {
        Self::Write(error.into())
    }
}

impl From<WriteError> for DeleteFailure {
    fn from(error: WriteError) -> Self {
        Self::Write(error.into())
    }
}

impl DeleteFailure {
    /// The stamp that was taken for the delete, whether or not it exists.
    pub fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::Write(failure) => failure.stamp(),
            _ => None,
        }
    }

    /// How long to wait before the delete is asked for again; `None` when that is of no use, or nothing is
    /// known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Write(failure) => failure.retry_after(),
            _ => None,
        }
    }
}
