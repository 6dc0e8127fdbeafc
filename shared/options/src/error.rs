//! What is wrong with a value.

/// Why the value of an option can't be understood.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ValueError {
    /// It is no number of bytes.
    #[error("a number of bytes is expected")]
    NoBytes,
    /// What follows the number of bytes is no unit.
    #[error("'{0}' is no unit of bytes")]
    UnknownUnit(String),
    /// The bytes are none, or more than can be counted.
    #[error("the number of bytes is out of range")]
    BytesOutOfRange,
    /// It is no number, or less than one.
    #[error("a number of at least 1 is expected")]
    NoCount,
    /// It is no span of time.
    #[error(transparent)]
    NoDuration(#[from] humantime::DurationError),
    /// The span of time is empty.
    #[error("a time of more than 0s is expected")]
    NoTime,
    /// The percent of a [`MemoryAmount`](crate::MemoryAmount) are none.
    #[error("'{0}' is not a share from 1% to 100%")]
    NoShare(String),
}
