//! Errors of option values.

/// Why the value of an option is invalid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OptionValueError {
    /// The value is not a number of bytes.
    #[error("a number of bytes is expected")]
    InvalidByteCount,
    /// The text after the number of bytes is not a unit.
    #[error("'{0}' is not a unit of bytes")]
    UnknownUnit(String),
    /// The number of bytes is 0 or exceeds `usize`.
    #[error("the number of bytes is out of range")]
    BytesOutOfRange,
    /// The value is not a number, or is less than 1.
    #[error("a number of at least 1 is expected")]
    InvalidCount,
    /// The value is not a duration.
    #[error(transparent)]
    InvalidDuration(#[from] humantime::DurationError),
    /// The duration is 0.
    #[error("a duration longer than 0s is expected")]
    ZeroDuration,
    /// The percentage of a [`MemoryAmount`](crate::options::MemoryAmount) is not from 1% to 100%.
    #[error("'{0}' is not a percentage from 1% to 100%")]
    InvalidPercentage(String),
}
