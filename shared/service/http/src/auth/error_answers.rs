//! Error answers of authentication and authorization, exactly as in InfluxDB 3: JSON with a space after the colon.

use std::time::Duration;

use crate::{ApiError, Kind};

/// The request has no valid token.
pub(super) fn unauthenticated() -> ApiError {
    ApiError::refusal(Kind::Unauthenticated, "the request was not authenticated")
}

/// The `Authorization` header is malformed.
pub(super) fn malformed() -> ApiError {
    ApiError::refusal(
        Kind::Invalid,
        "Authorization header was malformed, the request was not in the form of \
         'Authorization: <auth-scheme> <token>', supported auth-schemes are Bearer, Token and Basic",
    )
}

/// The token does not permit the request.
pub(super) fn forbidden() -> ApiError {
    ApiError::refusal(Kind::Forbidden, "unauthorized to perform requested action with the token")
}

/// The endpoints for tokens and users are disabled, because the server was started without authentication.
pub(super) fn tokens_disabled() -> ApiError {
    ApiError::text(Kind::NotAllowed, "endpoint disabled, started without auth")
}

/// The store did not return the tokens in time.
pub(super) fn store_timeout() -> ApiError {
    let error = ApiError::text(Kind::Unavailable, "the store does not answer");
    error.retry_after(Some(Duration::from_secs(1)))
}
