//! Errors of backups and restores.

use std::collections::BTreeSet;

use neap_bucket::{FormatError, Key, MissingObject, RegisterError, StoreError};
use neap_catalog::CatalogError;
use neap_compact::{CompactError, FlushSkipped};
use neap_fsck::FsckError;
use neap_manifest::{ManifestError, RestoreError, VersionGone};
use neap_wal::TailError;

/// Maximum number of damaged objects in the error of a backup.
const SHOWN_OBJECTS: usize = 3;

/// A backup or restore can't be started, or has failed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum BackupError {
    #[error("{0}")]
    Invalid(String),
    /// There is no such backup, restore or database.
    #[error("{0}")]
    NotFound(String),
    /// The state of the backups does not permit the request.
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Limit(String),
    #[error("it was cancelled")]
    Cancelled,
    /// Another process may continue the job, because this one did not renew its lease.
    #[error("the process did not report for {0} s")]
    LeaseLost(u64),
    #[error("{0} processes in succession ended while they ran it")]
    Interrupted(u32),
    #[error("no process has continued it for {0} hours")]
    Abandoned(u64),
    /// The segments of a tail could not be copied before they may be deleted.
    #[error("the newest rows of database {0:?} were not copied in time, try again")]
    TooSlow(String),
    /// An object is damaged or missing.
    #[error("'{key}' is damaged: {reason}")]
    Damaged {
        key: String,
        /// The evidence.
        reason: String,
    },
    #[error(
        "{count} objects are damaged and not in the backup, which contains everything else: {names}"
    )]
    Incomplete {
        count: usize,
        /// The first of them.
        names: String,
    },
    #[error("backup place {place:?}: {reason}")]
    Place { place: String, reason: String },
    /// The tail of a copy can't be flushed.
    #[error("the copied rows can't be flushed: {0}")]
    Flush(FlushSkipped),
    #[error("the store's responses have no Date header")]
    NoStoreTime,
    /// It is unknown whether a change took effect.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
    /// A catalog can't be read or changed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A manifest can't be read or changed.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A manifest can't be pinned or adopted.
    #[error(transparent)]
    Adopt(#[from] RestoreError),
    /// The requested state can no longer be read.
    #[error(transparent)]
    Gone(#[from] VersionGone),
    #[error(transparent)]
    Tail(#[from] TailError),
    /// A tail can't be flushed.
    #[error(transparent)]
    Compact(#[from] CompactError),
    /// A damaged object can't be set aside.
    #[error(transparent)]
    Fsck(#[from] FsckError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An object can't be decoded.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A register is lost.
    #[error(transparent)]
    Missing(#[from] MissingObject),
}

impl BackupError {
    pub(crate) fn damaged(key: &Key, reason: impl Into<String>) -> Self {
        Self::Damaged { key: key.to_string(), reason: reason.into() }
    }

    pub(crate) fn incomplete(damaged: &BTreeSet<String>) -> Self {
        let names = damaged.iter().take(SHOWN_OBJECTS).cloned();
        let more = (damaged.len() > SHOWN_OBJECTS).then(|| "…".to_owned());
        let names: Vec<_> = names.chain(more).collect();
        Self::Incomplete { count: damaged.len(), names: names.join(", ") }
    }
}

impl From<RegisterError> for BackupError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Store(error) => Self::Store(error),
            RegisterError::Format(error) => Self::Format(error),
            RegisterError::Missing(error) => Self::Missing(error),
        }
    }
}
