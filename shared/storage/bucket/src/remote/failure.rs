//! Calls that fail, and the errors of their operations.

use http::StatusCode;
use object_store::path::Path;

use super::exchange::HttpExchange;
use crate::{Operation, StoreError, StoreTime};

/// The outcome of a call that did not succeed.
#[derive(Debug)]
pub(super) enum CallFailure {
    Missing {
        date: Option<StoreTime>,
        reason: String,
    },
    Refused {
        date: Option<StoreTime>,
        reason: String,
    },
    Unchanged {
        date: Option<StoreTime>,
    },
    OutOfRange,
    Error(StoreError),
}

impl CallFailure {
    /// Converts the failure to an error, for operations without such an outcome.
    pub(super) fn into_error(self, task: OperationContext<'_>) -> StoreError {
        match self {
            Self::Error(error) => error,
            Self::Missing { reason, .. } => task.rejected(reason),
            Self::Refused { reason, .. } => task.unavailable(reason),
            Self::Unchanged { .. } => task.unavailable("the answer is 304"),
            Self::OutOfRange => task.unavailable("the range is outside of the object"),
        }
    }
}

/// Returns the text of an error with that of its innermost cause, because users can fix the innermost cause: an unknown
/// certificate, a name that does not resolve.
fn with_root_cause(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    match causes.last().map(ToString::to_string) {
        Some(root) if !text.contains(&root) => format!("{text}: {root}"),
        _ => text,
    }
}

/// Converts the error of an operation that ran without an exchange.
pub(crate) fn error_without_exchange(
    operation: Operation,
    key: &str,
    error: object_store::Error,
) -> StoreError {
    let task = OperationContext(operation, key);
    task.failure(error, &HttpExchange::default()).into_error(task)
}

/// A running operation and its key, for error messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct OperationContext<'a>(pub(super) Operation, pub(super) &'a str);

impl OperationContext<'_> {
    pub(super) fn path(self, key: &str) -> Result<Path, StoreError> {
        Path::parse(key).map_err(|error| self.rejected(error.to_string()))
    }

    fn unavailable(self, reason: impl Into<String>) -> StoreError {
        StoreError::Unavailable {
            operation: self.0,
            key: self.1.to_owned(),
            reason: reason.into(),
        }
    }

    fn rejected(self, reason: impl Into<String>) -> StoreError {
        StoreError::Rejected {
            operation: self.0,
            key: self.1.to_owned(),
            reason: reason.into(),
        }
    }

    pub(super) fn failure(
        self,
        error: object_store::Error,
        exchange: &HttpExchange,
    ) -> CallFailure {
        use object_store::Error;

        /// The error codes of stores for a bucket that does not exist.
        const NO_BUCKET: [&str; 2] = ["NoSuchBucket", "ContainerNotFound"];

        let date = exchange.date;
        let reason = with_root_cause(&error);
        let status = exchange.status.unwrap_or_default();
        let refuses = match error {
            Error::NotModified { .. } => return CallFailure::Unchanged { date },
            Error::NotFound { .. } if NO_BUCKET.iter().any(|name| reason.contains(name)) => true,
            Error::NotFound { .. } => return CallFailure::Missing { date, reason },
            Error::Precondition { .. } | Error::AlreadyExists { .. } => {
                return CallFailure::Refused { date, reason };
            }
            _ if exchange.is_out_of_range => return CallFailure::OutOfRange,
            _ if status == StatusCode::NOT_IMPLEMENTED => true,
            Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::InvalidPath { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::UnknownConfigurationKey { .. } => true,
            _ => {
                let passing = [
                    StatusCode::REQUEST_TIMEOUT,
                    StatusCode::CONFLICT,
                    StatusCode::TOO_MANY_REQUESTS,
                ];
                (status.is_client_error() || status.is_redirection()) && !passing.contains(&status)
            }
        };
        // An earlier attempt of the same call may have taken effect.
        let certain = self.0 != Operation::Put || !exchange.uncertain;
        CallFailure::Error(if refuses && certain {
            self.rejected(reason)
        } else {
            self.unavailable(reason)
        })
    }
}
