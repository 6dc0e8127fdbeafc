//! Errors of queries, with their positions.

use std::fmt;

/// A position in the text of a query. Lines and columns count from 1; columns count bytes, as in InfluxDB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The line; 0 if the position is not in the text.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// A part of the text of a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The position of the first byte.
    pub start: Position,
    /// The position after the last byte.
    pub end: Position,
}

impl Span {
    /// Returns the part from the start of this one to the end of another one.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self { start: self.start, end: other.end }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start, end } = self;
        let Position { line, column } = start;
        write!(f, "{line}:{column}-{}:{}", end.line, end.column)
    }
}

/// The reason why a query is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("error{}: {message}", place(.span))]
pub struct FluxError {
    /// The reason.
    pub message: String,
    /// The part of the query; empty if it is not in the text.
    pub span: Span,
}

impl FluxError {
    /// Creates the error of a part of a query.
    pub fn new(span: Span, message: impl Into<String>) -> Self {
        Self { message: message.into(), span }
    }
}

/// Returns the position of an error as InfluxDB writes it.
fn place(span: &Span) -> String {
    if *span == Span::default() {
        String::new()
    } else {
        format!(" @{span}")
    }
}
