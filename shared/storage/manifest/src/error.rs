//! Errors of manifests and their pages.

use neap_bucket::{FormatError, Key, MissingObject, RegisterError, StoreError};
use neap_catalog::CatalogError;

/// A manifest or one of its pages could not be read or written.
#[derive(Clone, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum ManifestError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The object is damaged, or its format is too new for this release.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The manifest, or the log of row deletes, is lost.
    #[error(transparent)]
    Missing(#[from] MissingObject),
    /// A page that the manifest references is gone: the manifest is outdated, and a newer version must be read.
    #[error("the page '{key}' is gone")]
    PageGone { key: Key },
    #[error("the outcome of a commit is unknown: {reason}")]
    OutcomeUnknown { reason: String },
    /// The commit is invalid: its parts contradict each other or the manifest.
    #[error("invalid commit: {reason}")]
    InvalidCommit {
        /// Description of the contradiction.
        reason: String,
    },
}

impl ManifestError {
    /// Returns whether the error is a damaged object: its content differs from the content that was written.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Format(FormatError::Damaged { .. } | FormatError::Magic { .. }))
    }
}

impl From<RegisterError> for ManifestError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Store(error) => Self::Store(error),
            RegisterError::Format(error) => Self::Format(error),
            RegisterError::Missing(error) => Self::Missing(error),
        }
    }
}

impl From<CatalogError> for ManifestError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Store(error) => Self::Store(error),
            CatalogError::Format(error) => Self::Format(error),
            CatalogError::Missing(error) => Self::Missing(error),
            error => Self::OutcomeUnknown { reason: error.to_string() },
        }
    }
}

/// Returns the error for a store that has not yet sent a time. Object names can't be drawn without it.
pub(crate) fn no_date() -> ManifestError {
    ManifestError::InvalidCommit {
        reason: "the store's responses have no Date header".to_owned(),
    }
}
