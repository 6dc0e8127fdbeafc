//! The error of a specification that is not understood.

/// An error of parsing a trigger specification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to parse trigger from {text}: {reason}")]
pub struct SpecificationError {
    /// The rejected text.
    pub text: String,
    /// The reason.
    pub reason: String,
}
