//! Why a text is not InfluxQL.

/// Why a text is not InfluxQL, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parsing error: {message} at pos {position}")]
pub struct ParseError {
    /// What was expected.
    pub message: String,
    /// The byte of the text at which something else was.
    pub position: usize,
}

impl ParseError {
    pub(crate) fn new(message: impl Into<String>, position: usize) -> Self {
        Self {
            message: message.into(),
            position,
        }
    }
}
