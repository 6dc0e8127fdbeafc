//! Errors that a statement causes, on whatever process it runs.

use datafusion::arrow::error::ArrowError;

/// Returns whether a statement causes an error: a value that can't be computed, or more text or more values in a column
/// than Arrow's offsets and keys of 32 bits can address.
pub fn is_of_statement(error: &ArrowError) -> bool {
    matches!(
        error,
        ArrowError::CastError(_)
            | ArrowError::ParseError(_)
            | ArrowError::DivideByZero
            | ArrowError::ArithmeticOverflow(_)
            | ArrowError::InvalidArgumentError(_)
            | ArrowError::ComputeError(_)
            | ArrowError::DictionaryKeyOverflowError
            | ArrowError::OffsetOverflowError(_)
    )
}
