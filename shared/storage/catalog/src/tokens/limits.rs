//! Limits of tokens and their permissions.

/// Maximum number of tokens in a cluster.
pub const MAX_TOKENS: usize = 10_000;

/// Maximum bytes of the name of a token.
pub const MAX_TOKEN_NAME_BYTES: usize = 255;

/// Maximum number of permissions of a token, after merging permissions for the same names.
pub const MAX_PERMISSIONS: usize = 100;

/// Maximum number of databases and endpoints that the permissions of a token name.
pub const MAX_PERMISSION_NAMES: usize = 1_000;
