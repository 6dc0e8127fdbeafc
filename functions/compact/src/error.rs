//! Errors of compaction jobs.

use neap_bucket::{ClockDoubt, FormatError, RegisterError, StoreError};
use neap_catalog::CatalogError;
use neap_manifest::ManifestError;
use neap_points::PointsError;
use neap_wal::{SegmentError, TailError};
use parquet::errors::ParquetError;

use crate::MergeError;

/// Reason why a job failed. A failed job damages nothing: uncommitted changes are not visible.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum CompactError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store's clock may be wrong, so nothing is removed by it.
    #[error("nothing expires and nothing is deleted: {0}")]
    Clock(#[from] ClockDoubt),
    #[error(transparent)]
    Register(#[from] RegisterError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The manifest could not be read or changed.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Tail(#[from] TailError),
    /// A segment is damaged.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// An object is damaged.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Rows do not match the schema of their table.
    #[error(transparent)]
    Points(#[from] PointsError),
    /// Sections could not be merged.
    #[error(transparent)]
    Merge(#[from] MergeError),
    #[error("the metadata of a published table could not be encoded: {0}")]
    PublishedMetadata(serde_json::Error),
    #[error("rows of table '{table}' could not be written: {source}")]
    Encode { table: String, source: ParquetError },
}

impl CompactError {
    /// Returns the key of the damaged or missing page, bundle or segment, if that is the reason for the failure.
    pub(crate) fn damaged_object(&self) -> Option<&str> {
        match self {
            Self::Format(error)
            | Self::Manifest(ManifestError::Format(error))
            | Self::Merge(
                MergeError::Format(error) | MergeError::Manifest(ManifestError::Format(error)),
            ) => match error {
                FormatError::Damaged { key, .. } | FormatError::Magic { key, .. } => Some(key),
                FormatError::Newer { .. } => None,
            },
            Self::Merge(MergeError::Missing(key) | MergeError::NotSorted(key)) => Some(key),
            _ => None,
        }
    }

    /// Returns whether a commit was abandoned because it lost every race, or because the store did not report its
    /// outcome in time. A retry starts from the current manifest.
    pub(crate) fn is_unsettled(&self) -> bool {
        matches!(
            self,
            Self::Catalog(CatalogError::Unknown { .. })
                | Self::Manifest(ManifestError::OutcomeUnknown { .. })
                | Self::Merge(MergeError::Manifest(ManifestError::OutcomeUnknown { .. }))
        )
    }
}
