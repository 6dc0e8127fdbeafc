//! Why a check could not be finished.

use neap_bucket::{RegisterError, StoreError};
use neap_manifest::{ManifestError, QuarantineError};

/// Why a check or a repair could not be finished. Damage is no error but a finding.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FsckError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such database.
    #[error("database not found: {0}")]
    NoDatabase(String),
    /// A repair could not be committed.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// An object that was to be set aside is whole.
    #[error("'{0}' is not damaged")]
    NotDamaged(String),
    /// No database needs the object that was to be set aside.
    #[error("the manifest of its database does not name '{0}'")]
    NotNamed(String),
    /// An object could not be set aside.
    #[error(transparent)]
    Quarantine(#[from] QuarantineError),
    /// A register could not be written.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The listing of a store has no end.
    #[error("the listing of '{prefix}' has more than {pages} pages")]
    Endless {
        /// The prefix.
        prefix: String,
        /// The most pages that are read.
        pages: usize,
    },
    /// The check of an object was broken off.
    #[error("the check was broken off: {0}")]
    BrokenOff(String),
}
