//! Reasons why conditions on labels cannot be used.

/// Reasons why conditions on labels cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum MatcherError {
    #[error("a matcher has no label")]
    UnnamedLabel,
    /// A pattern is malformed, too long, or it takes too much memory.
    #[error("the pattern {pattern:?} is invalid: {error}")]
    Pattern {
        /// The beginning of the pattern.
        pattern: String,
        error: String,
    },
    #[error("the request has more than {0} matchers")]
    TooManyMatchers(usize),
}
