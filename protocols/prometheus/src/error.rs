//! Errors of a message.

use thiserror::Error;

/// Reasons why a message is refused as a whole.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// The bytes are not a block of snappy.
    #[error("the body is not a block of snappy: {0}")]
    Snappy(#[from] snap::Error),
    /// The decompressed message is too large.
    #[error("the body has {bytes} bytes when it is decompressed, more than {limit}")]
    TooLarge {
        /// The decompressed size in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The points of the message take too much memory.
    #[error(
        "the samples, their labels and the metadata take more than {0} bytes of memory: send smaller requests"
    )]
    TooManyPoints(usize),
    /// The bytes are not the expected message.
    #[error("the message is not protobuf: {problem} at byte {position}")]
    Wire {
        /// The problem.
        problem: WireProblem,
        /// The position in the message.
        position: usize,
    },
    /// A nested message cannot be decoded.
    #[error("the message is not protobuf: {0}")]
    Message(#[from] prost::DecodeError),
    /// The table of symbols is too large.
    #[error("the message has more than {0} symbols")]
    TooManySymbols(usize),
    /// A request of remote read has too many queries.
    #[error("the request has more than {0} queries")]
    TooManyQueries(usize),
    /// The queries of a request of remote read have too many matchers.
    #[error("the request has more than {0} matchers")]
    TooManyMatchers(usize),
}

/// Reasons why bytes are not protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WireProblem {
    /// The message ends within a value.
    #[error("the message ends within a value")]
    Truncated,
    /// A number has more than 64 bits.
    #[error("a number has more than 64 bits")]
    Varint,
    /// A value has a type that protobuf does not have, or a group.
    #[error("a field has an unknown wire type")]
    WireType,
    /// The number of a field is 0 or too large.
    #[error("the number of a field is invalid")]
    FieldNumber,
    /// A known field has another type.
    #[error("a field has an unexpected type")]
    UnexpectedType,
}
