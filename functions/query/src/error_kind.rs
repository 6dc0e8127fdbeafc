//! The classes of errors.

/// The class of an error, which tells the caller how to react.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryErrorKind {
    /// The statement is wrong, or the data do not allow it.
    Invalid,
    /// A name in the request is unknown.
    NotFound,
    /// The requested time can no longer be read.
    Gone,
    /// The statement uses an unsupported feature.
    NotImplemented,
    /// A temporary failure: retry later.
    Unavailable,
    /// A failure of the database.
    Internal,
}
