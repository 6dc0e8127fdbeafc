//! The settings of sign-ins.

use std::{collections::BTreeMap, time::Duration};

use neap_catalog::SessionLifetime;
use url::Url;

use crate::key_file::{ConfiguredKey, KeyFileError};

/// The lifetime of a session that began with a password.
pub(crate) const PASSWORD_SESSION: SessionLifetime = SessionLifetime {
    idle: Duration::from_secs(7 * 24 * 60 * 60),
    total: Duration::from_secs(30 * 24 * 60 * 60),
};

/// The lifetime of a session that began at an identity provider. It is short, because a user who is removed there keeps
/// the session.
pub(crate) const PROVIDER_SESSION: SessionLifetime = SessionLifetime {
    idle: Duration::from_secs(12 * 60 * 60),
    total: Duration::from_secs(12 * 60 * 60),
};

/// Why settings of sign-ins are unusable.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum SettingsError {
    /// The file of the private key can't be read or used.
    #[error("--jwt-private-key {path}: {error}")]
    KeyFile { path: String, error: KeyFileError },
    #[error("--user-auth-type oauth needs {option}")]
    Missing { option: &'static str },
    /// The address of the identity provider is unusable.
    #[error("--oauth-issuer must be an https URL, or an http URL of this machine")]
    Issuer,
    /// The lifetime of access tokens is not between 10 s and 1 day.
    #[error("--jwt-default-ttl-seconds must be between 10 and 86400")]
    Lifetime,
}

/// The cost of a password hash. Each hash in progress holds `memory_kib`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordCost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
}

impl Default for PasswordCost {
    /// 19 MiB and 2 passes: the smallest cost that OWASP recommends for argon2id, because functions have little memory.
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, passes: 2 }
    }
}

/// The settings of an identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcSettings {
    /// The issuer, whose discovery document is below it.
    pub issuer: Url,
    /// The audience that tokens must have.
    pub audience: String,
    /// The id of the client with which users sign in.
    pub client_id: String,
    /// The scopes that a client requests.
    pub scopes: Vec<String>,
    /// The names of roles, by the name of the group that grants them.
    pub group_roles: BTreeMap<String, String>,
}

/// The settings of sign-ins.
#[derive(Clone, Debug)]
pub struct IdentitySettings {
    /// Whether users can sign in with a password.
    pub allows_passwords: bool,
    /// The identity provider, if users can sign in there.
    pub provider: Option<OidcSettings>,
    /// The issuer in the tokens of sessions.
    pub issuer: String,
    /// The lifetime of access tokens.
    pub access_lifetime: Duration,
    /// The private key that signs tokens; `None`: a generated key in the root catalog.
    pub key: Option<ConfiguredKey>,
    /// The cost of password hashes.
    pub password_cost: PasswordCost,
}

impl IdentitySettings {
    /// The issuer in the tokens of sessions by default.
    pub const DEFAULT_ISSUER: &str = "neap";

    /// The lifetime of access tokens by default.
    pub const DEFAULT_ACCESS_LIFETIME: Duration = Duration::from_secs(60 * 60);
}

impl Default for IdentitySettings {
    /// Sign-in by password with a generated key.
    fn default() -> Self {
        Self {
            allows_passwords: true,
            provider: None,
            issuer: Self::DEFAULT_ISSUER.to_owned(),
            access_lifetime: Self::DEFAULT_ACCESS_LIFETIME,
            key: None,
            password_cost: PasswordCost::default(),
        }
    }
}
