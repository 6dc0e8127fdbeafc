//! Errors of merges.

use std::fmt;

use neap_bucket::{FormatError, StoreError};
use neap_catalog::CatalogError;
use neap_manifest::ManifestError;
use neap_points::PointsError;
use neap_row_delete::MaskError;

use crate::EncodeError;

/// Reason why a merge failed. A failed merge damages nothing: uncommitted changes are not visible.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum MergeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The manifest could not be read or changed.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A section does not match the manifest.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The object of a section is missing.
    #[error("'{0}' is missing from the bucket")]
    Missing(String),
    #[error("the rows of '{0}' are not sorted")]
    NotSorted(String),
    /// A section has a column that its table does not have, or has with another type.
    #[error("column '{column}' of '{section}' is not one of the table")]
    Column { section: String, column: String },
    /// Rows do not match the schema of their table.
    #[error(transparent)]
    Points(#[from] PointsError),
    /// A row delete could not be evaluated.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// Rows could not be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("the task was cancelled because the process is shutting down")]
    Stopped,
}

impl MergeError {
    /// Creates the error for a damaged section.
    pub(super) fn damaged(section: &str, reason: &impl fmt::Display) -> Self {
        let (key, reason) = (section.to_owned(), reason.to_string());
        FormatError::Damaged { key, reason }.into()
    }
}
