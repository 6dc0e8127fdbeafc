//! The mode of an upload, and its outcome.

use crate::PutMode;

/// Whether an upload may replace an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadMode {
    /// The object must not exist.
    Create,
    /// An existing object is replaced.
    Replace,
}

impl UploadMode {
    pub(super) fn put_mode(self) -> PutMode {
        match self {
            Self::Create => PutMode::Create,
            Self::Replace => PutMode::Overwrite,
        }
    }
}

/// The outcome of a finished upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadOutcome {
    /// The object is stored.
    Stored,
    /// An object of this name exists. It is unchanged.
    Exists,
}
