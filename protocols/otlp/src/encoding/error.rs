//! The error of a malformed message.

use thiserror::Error;

/// A malformed message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}{reason}", prefix(path))]
pub(crate) struct DecodeError {
    /// The path to the message, such as `resourceSpans[0].scopeSpans[1]`; empty: the request.
    pub(crate) path: String,
    pub(crate) reason: String,
}

fn prefix(path: &str) -> String {
    match path {
        "" => String::new(),
        path => format!("{path}: "),
    }
}

impl DecodeError {
    pub(super) fn new(reason: impl ToString) -> Self {
        Self { path: String::new(), reason: reason.to_string() }
    }

    /// Adds a parent to the path.
    pub(crate) fn within(self, parent: &str) -> Self {
        let path = match self.path.as_str() {
            "" => parent.to_owned(),
            path => format!("{parent}.{path}"),
        };
        Self { path, ..self }
    }
}
