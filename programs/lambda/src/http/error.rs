//! The errors that clients get when a handler or a body fails.

use std::any::Any;

use axum::BoxError;
use neap_http::{ApiError, Kind};

/// Converts the error with which the body of a response broke off.
pub type BodyErrorMapper = fn(BoxError) -> ApiError;

/// Logs a panic and returns the error for the client.
pub(crate) fn panic_error(panic: &(dyn Any + Send)) -> ApiError {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("of unknown cause"), "the handler panicked");
    ApiError::json(Kind::Internal, "internal error")
}
