//! What is answered to whom is not let in, to the letter of InfluxDB 3: JSON with a space after the colon.

use std::time::Duration;

use crate::{ApiError, Kind};

/// There is no token, or none that counts.
pub(super) fn unauthenticated() -> ApiError {
    ApiError::refusal(Kind::Unauthenticated, "the request was not authenticated")
}

/// The header can't be understood.
pub(super) fn malformed() -> ApiError {
    ApiError::refusal(
        Kind::Invalid,
        "Authorization header was malformed, the request was not in the form of \
         'Authorization: <auth-scheme> <token>', supported auth-schemes are Bearer, Token and Basic",
    )
}

/// The token does not allow it.
pub(super) fn forbidden() -> ApiError {
    ApiError::refusal(
        Kind::Forbidden,
        "unauthorized to perform requested action with the token",
    )
}

/// There are no tokens where nobody is asked for one.
pub(super) fn disabled() -> ApiError {
    ApiError::text(Kind::NotAllowed, "endpoint disabled, started without auth")
}

/// The store has not said in time which tokens there are.
pub(super) fn unanswered() -> ApiError {
    let error = ApiError::text(Kind::Unavailable, "the store does not answer");
    error.retry_after(Some(Duration::from_secs(1)))
}
