//! What can go wrong in a merge.

use std::fmt;

use neap_bucket::{FormatError, StoreError};
use neap_catalog::CatalogError;
use neap_manifest::ManifestError;
use neap_points::PointsError;
use neap_row_delete::MaskError;

use crate::EncodeError;

/// Why a merge failed. Nothing is damaged by it: what was not committed is not there.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The catalog could not be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The manifest could not be read or changed.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A section is not what the manifest says.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The object of a section is gone.
    #[error("'{0}' is missing from the bucket")]
    Missing(String),
    /// The rows of a section are not in its order.
    #[error("the rows of '{0}' are not sorted")]
    NotSorted(String),
    /// A section has a column that its table lacks, or has with another type.
    #[error("column '{column}' of '{section}' is not one of the table")]
    Column {
        /// The section.
        section: String,
        /// The column.
        column: String,
    },
    /// Rows are not those of their table.
    #[error(transparent)]
    Points(#[from] PointsError),
    /// A row delete could not be asked.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// Rows could not be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The process is ending.
    #[error("the work was stopped")]
    Stopped,
}

impl MergeError {
    /// A section that can't be read as what it should be.
    pub(super) fn damaged(section: &str, reason: &impl fmt::Display) -> Self {
        let (key, reason) = (section.to_owned(), reason.to_string());
        FormatError::Damaged { key, reason }.into()
    }
}
