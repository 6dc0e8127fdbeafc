//! The flags of client commands that variables and the configuration file can set.

/// Flags of client commands that variables and the configuration file can set: connection settings only, no arguments of
/// the command.
pub(super) const CLIENT_FLAGS: [&str; 8] = [
    "credentials",
    "database",
    "host",
    "query-host",
    "tls-ca",
    "tls-no-verify",
    "token",
    "write-host",
];
