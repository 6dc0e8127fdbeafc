//! Errors of refreshes.

use neap_bucket::RegisterError;
use neap_manifest::ManifestError;

use crate::ViewDataError;

/// A view was not refreshed. Its windows stay listed, and a later refresh computes them.
#[derive(Clone, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum RefreshError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The progress can't be read or written.
    #[error(transparent)]
    Register(#[from] RegisterError),
    #[error("it is unknown whether the progress was recorded: {0}")]
    ProgressUnknown(String),
    /// The rows can't be read or written.
    #[error(transparent)]
    Data(#[from] ViewDataError),
    /// The claim has ended, or ends too soon for another write.
    #[error("the claim has ended")]
    ClaimEnded,
    #[error("the store's time is unknown")]
    NoStoreTime,
}
