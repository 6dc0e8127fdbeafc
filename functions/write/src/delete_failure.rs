//! The failures of a row delete.

use std::time::Duration;

use neap_bucket::Stamp;
use neap_catalog::CatalogError;
use neap_row_delete::{ConditionLimitError, PredicateError};
use neap_schema::TableId;
use neap_wal::WriteError;

use crate::WriteFailure;

/// The reason why rows are not deleted.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum DeleteFailure {
    #[error("database not found: {0}")]
    NoDatabase(String),
    #[error("table not found: {0}")]
    NoTable(String),
    /// The table was dropped after the delete was planned.
    #[error("table {0} was dropped")]
    TableGone(TableId),
    /// The predicate cannot be parsed.
    #[error(transparent)]
    Predicate(#[from] PredicateError),
    /// The condition is too large.
    #[error(transparent)]
    TooComplex(#[from] ConditionLimitError),
    #[error("the predicate excludes table '{0}'")]
    OtherTable(String),
    /// The condition refers to a field.
    #[error(
        "column '{column}' of table '{table}' is a field: rows are deleted by time and tags only"
    )]
    Field { table: String, column: String },
    /// The condition refers to a tag that the table does not have.
    #[error("table '{table}' has no tag '{tag}'")]
    NoTag { table: String, tag: String },
    /// The condition refers to a tag that no table has.
    #[error("no table has a tag '{0}'")]
    NoTagAnywhere(String),
    /// A failure shared with writes.
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
    /// Returns the stamp taken for the delete, whether or not the delete exists.
    pub fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::Write(failure) => failure.stamp(),
            _ => None,
        }
    }

    /// Returns how long to wait before a retry; `None` if a retry is useless or the wait is not known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Write(failure) => failure.retry_after(),
            _ => None,
        }
    }
}
