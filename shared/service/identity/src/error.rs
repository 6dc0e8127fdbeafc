//! Errors of sign-ins.

use std::time::Duration;

use neap_catalog::CatalogError;

use crate::limits::{MAX_PASSWORD_BYTES, MIN_PASSWORD_BYTES};

/// Why a user could not sign in.
#[derive(Clone, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum IdentityError {
    /// The name, the password or the token is wrong, or the user is disabled or expired.
    #[error("the user was not authenticated")]
    WrongCredentials,
    /// The password is right, but the user must set another one first.
    #[error("password reset required")]
    ResetRequired,
    /// The refresh token was used before. The session is ended.
    #[error("the refresh token was used before: the session is ended, sign in again")]
    Replayed,
    /// The new password is too short or too long.
    #[error("a password has {MIN_PASSWORD_BYTES} to {MAX_PASSWORD_BYTES} bytes")]
    PasswordLength,
    #[error("the new password must differ from the old one")]
    SamePassword,
    /// There were too many wrong attempts with this name or from this address.
    #[error("too many attempts to sign in")]
    Throttled {
        /// The time until the next attempt.
        wait: Duration,
    },
    /// Too many passwords are being checked.
    #[error("too many users sign in at the same time")]
    Busy,
    #[error("signing in by {method} is not enabled")]
    NotEnabled {
        /// `password` or `an identity provider`.
        method: &'static str,
    },
    /// The identity provider does not answer, or its answer is unusable.
    #[error("the identity provider can't be used: {reason}")]
    Provider { reason: String },
    /// A key can't sign or a password can't be hashed.
    #[error("cannot {operation}")]
    Cryptography { operation: &'static str },
    /// The catalog could not be read or changed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}
