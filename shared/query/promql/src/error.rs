//! Errors of parsing and evaluation.

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;

/// An error of a PromQL query. Its text is the `error` of the answer.
#[derive(Debug, thiserror::Error)]
pub enum PromqlError {
    /// The expression or a parameter is wrong: `bad_data`. The text of a syntax error is that of Prometheus,
    /// `1:5: parse error: …`, where the parser knows the position.
    #[error("{0}")]
    BadData(String),
    /// The evaluation failed because of the values or because it exceeded a limit: `execution`.
    #[error("{0}")]
    Execution(String),
    /// Reading the samples failed, or the memory pool is exhausted.
    #[error(transparent)]
    Storage(#[from] DataFusionError),
}

impl PromqlError {
    /// Returns the `errorType` of the answer.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::BadData(_) => "bad_data",
            Self::Execution(_) | Self::Storage(_) => "execution",
        }
    }
}

impl From<ArrowError> for PromqlError {
    fn from(error: ArrowError) -> Self {
        Self::Storage(error.into())
    }
}

/// Returns the error of a wrong expression or parameter.
pub(crate) fn bad_data(text: impl Into<String>) -> PromqlError {
    PromqlError::BadData(text.into())
}

/// Returns the error of a function that is not part of the stable language.
pub(crate) fn unsupported_function(name: &str) -> PromqlError {
    bad_data(format!("the function {name} is not supported"))
}
