//! Errors that a statement causes, on whatever process it runs.

use datafusion::arrow::error::ArrowError;

/// Returns whether a statement causes an error: a value or a type that can't be computed, or more text or more values in a
/// column than Arrow's offsets and keys of 32 bits can address.
pub fn is_of_statement(error: &ArrowError) -> bool {
    matches!(
        error,
        ArrowError::CastError(_)
            | ArrowError::ParseError(_)
            | ArrowError::NotYetImplemented(_)
            | ArrowError::DivideByZero
            | ArrowError::ArithmeticOverflow(_)
            | ArrowError::InvalidArgumentError(_)
            | ArrowError::ComputeError(_)
            | ArrowError::DictionaryKeyOverflowError
            | ArrowError::OffsetOverflowError(_)
    )
}

/// The start of DataFusion's internal error for a pattern that can't be compiled.
const FAILED_PATTERN: &str = "failed to call 'regex_match_dyn_scalar'";

/// Returns whether an internal error of DataFusion is that of a pattern, which is too large, or that of `SIMILAR TO`, which is
/// compiled only when it is evaluated.
pub fn is_of_pattern(text: &str) -> bool {
    text.starts_with(FAILED_PATTERN)
}
