//! Errors in the text of a predicate.

use crate::MAX_TEXT_BYTES;

/// An error in the text of a predicate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PredicateError {
    /// The text is too long.
    #[error("the delete predicate has {bytes} bytes; the maximum is {MAX_TEXT_BYTES}")]
    TooLong {
        /// The length of the text.
        bytes: usize,
    },
    /// The text is not a predicate, or uses a feature that deletes do not support.
    #[error("delete predicate, character {position}: {message}")]
    Syntax {
        /// The 1-based position of the character; one more than the length for the end of the text.
        position: usize,
        /// Description of the error.
        message: String,
    },
}

impl PredicateError {
    pub(crate) fn syntax(position: usize, message: impl Into<String>) -> Self {
        Self::Syntax { position, message: message.into() }
    }
}
