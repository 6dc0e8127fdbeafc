//! The errors of requests about users.

use neap_http::{ApiError, Kind};

pub(super) fn invalid(text: &str) -> ApiError {
    ApiError::text(Kind::Invalid, text)
}

pub(super) fn not_found(what: String) -> ApiError {
    ApiError::json(Kind::NotFound, format!("the requested resource was not found: {what}"))
}
