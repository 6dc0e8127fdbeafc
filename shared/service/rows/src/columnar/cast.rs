//! Casts of arrays to other Arrow types, and their values as text.
//!
//! Arrow's casts between all types are megabytes of code. The columns of [`PointBatches`](crate::columnar::PointBatches) have the
//! types in which they are stored, so a program that receives only such rows leaves out the feature `conversions`. It
//! refuses arrays of other types.

#[cfg(any(test, not(feature = "conversions")))]
mod stored_types;

use std::sync::Arc;

use arrow_array::{Array, ArrayRef};
use arrow_schema::{ArrowError, DataType};

#[cfg(any(test, feature = "conversions"))]
use any_types::cast_values;
#[cfg(any(test, feature = "conversions"))]
pub(crate) use any_types::{cast_to_null, value_to_string};
#[cfg(not(any(test, feature = "conversions")))]
use stored_types::cast_values;
#[cfg(not(any(test, feature = "conversions")))]
pub(crate) use stored_types::{cast_values as cast_to_null, value_to_string};

/// Casts an array. An array that has the type already is not rebuilt.
/// Fails if Arrow has no such cast, or this program does not convert values of other types.
pub(crate) fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == to {
        Ok(Arc::clone(array))
    } else {
        cast_values(array, to)
    }
}

#[cfg(any(test, feature = "conversions"))]
mod any_types {
    use arrow_array::{Array, ArrayRef};
    pub(crate) use arrow_cast::cast as cast_values;
    use arrow_cast::{
        CastOptions, cast_with_options,
        display::{ArrayFormatter, FormatOptions},
    };
    use arrow_schema::{ArrowError, DataType};

    /// Casts an array. A value that does not fit becomes null.
    pub(crate) fn cast_to_null(array: &dyn Array, to: &DataType) -> Result<ArrayRef, ArrowError> {
        let options = CastOptions { safe: true, ..CastOptions::default() };
        cast_with_options(array, to, &options)
    }

    /// Returns a value as text; `None` if Arrow cannot format it.
    pub(crate) fn value_to_string(column: &dyn Array, row: usize) -> Option<String> {
        let formatter = ArrayFormatter::try_new(column, &FormatOptions::default()).ok()?;
        formatter.value(row).try_to_string().ok()
    }
}
