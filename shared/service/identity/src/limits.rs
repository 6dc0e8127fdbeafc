//! Limits of the length of a password.

/// Minimum bytes of a new password.
pub const MIN_PASSWORD_BYTES: usize = 8;

/// Maximum bytes of a password.
pub const MAX_PASSWORD_BYTES: usize = 1_024;
