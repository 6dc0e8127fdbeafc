//! What can go wrong with manifests and their pages.

use neap_bucket::{FormatError, Key, RegisterError, StoreError};

/// Why a manifest or its pages could not be read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ManifestError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The object is damaged, or too new for this release.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A page is gone that the manifest names: the manifest is so old that a newer one has to be read.
    #[error("the page '{key}' is gone")]
    PageGone {
        /// The page.
        key: Key,
    },
    /// It can't be told whether a commit took effect.
    #[error("the outcome of a commit is unknown: {reason}")]
    Unsettled {
        /// The cause.
        reason: String,
    },
    /// What was to be committed can't be true.
    #[error("a commit that can't be: {reason}")]
    Impossible {
        /// What contradicts what.
        reason: String,
    },
}

impl ManifestError {
    /// Whether an object is not what was written.
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Format(FormatError::Damaged { .. } | FormatError::Magic { .. })
        )
    }
}

impl From<RegisterError> for ManifestError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Store(error) => Self::Store(error),
            RegisterError::Format(error) => Self::Format(error),
        }
    }
}
