//! Reasons why conditions on labels cannot be used.

/// Reasons why conditions on labels cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatcherError {
    /// A condition has no label.
    #[error("a matcher has no label")]
    UnnamedLabel,
    /// A pattern is malformed, too long, or it takes too much memory.
    #[error("the pattern {pattern:?} is invalid: {error}")]
    Pattern {
        /// The beginning of the pattern.
        pattern: String,
        /// The reason.
        error: String,
    },
    /// A request has too many conditions.
    #[error("the request has more than {0} matchers")]
    TooManyMatchers(usize),
}
