//! Errors of other crates.

use std::error::Error;

use datafusion::error::DataFusionError;

/// Wraps an error of another crate for DataFusion.
pub fn external(error: impl Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
