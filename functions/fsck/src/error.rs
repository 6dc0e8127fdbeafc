//! Errors of a check or a repair.

use neap_bucket::{RegisterError, StoreError};
use neap_catalog::CatalogError;
use neap_manifest::{ManifestError, QuarantineError};

/// Why a check or a repair failed. Damage is not an error but a finding.
#[derive(Clone, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum FsckError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("database not found: {0}")]
    DatabaseNotFound(String),
    /// A repair could not be committed.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The object to quarantine is not damaged.
    #[error("'{0}' is not damaged")]
    NotDamaged(String),
    /// No manifest references the object to quarantine.
    #[error("the manifest of its database does not name '{0}'")]
    NotReferenced(String),
    /// The object could not be quarantined.
    #[error(transparent)]
    Quarantine(#[from] QuarantineError),
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// A catalog could not be read or changed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("the listing of '{prefix}' has more than {pages} pages")]
    ListingTooLong { prefix: String, pages: usize },
    #[error("the check was aborted: {0}")]
    Aborted(String),
}
