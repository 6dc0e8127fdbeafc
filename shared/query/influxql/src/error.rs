//! The error of the parser.

/// A syntax error and its position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parsing error: {message} at pos {position}")]
pub struct ParseError {
    /// The error message, usually the expected token.
    pub message: String,
    /// The byte offset of the unexpected token.
    pub position: usize,
}

impl ParseError {
    pub(crate) fn new(message: impl Into<String>, position: usize) -> Self {
        Self { message: message.into(), position }
    }
}
