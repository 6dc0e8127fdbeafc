//! Tokens: who may do what, and how long.
//!
//! ```text
//!   apiv3_<base64 of 64 random bytes>      shown once, to whoever creates it
//!        └── SHA-512 ──> TokenEntry        in the root catalog: hash, name, expiry, permissions
//! ```
//!
//! They are in the root catalog, which every function reads anyway: to check one costs no request of its own.

mod changes;
mod grammar;
mod permissions;
mod register;
mod secret;

use std::fmt;

use neap_bucket::StoreTime;
use serde::{Deserialize, Serialize};

pub use changes::NewToken;
pub use grammar::{GrammarError, MAX_PERMISSION_NAMES, MAX_PERMISSIONS, PermissionRequest};
pub use permissions::{
    DatabaseAction, Names, Permission, Permissions, SystemEndpoint, TokenAction,
};
pub(crate) use register::Tokens;
pub use secret::{SecretToken, TokenHash, generate_token};

/// The most tokens that a cluster has.
pub const MAX_TOKENS: usize = 10_000;

/// The greatest length of the name of a token.
pub const MAX_TOKEN_NAME_BYTES: usize = 255;

/// The name of the operator token.
pub const OPERATOR_TOKEN_NAME: &str = "_admin";

/// Identifies a token. It is never given again; the operator token keeps its own through regenerations.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct TokenId(u64);

impl TokenId {
    /// The operator token, `_admin`.
    pub const OPERATOR: Self = Self(0);

    /// The identifier with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The next identifier; `None` when they are used up.
    pub(crate) fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A token as the root catalog knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenEntry {
    /// The name, unique among the tokens that are there.
    pub name: String,
    /// What is kept of the token itself.
    pub hash: TokenHash,
    /// What its holder may do.
    pub permissions: Permissions,
    /// When it was created, by the store's clock.
    pub created: StoreTime,
    /// From when on it counts no more; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<StoreTime>,
    /// The token that created it; `None`: the operator token, or somebody at the store itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<TokenId>,
    /// When it was changed last; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated: Option<StoreTime>,
    /// The token that changed it; `None` as for `created_by`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_by: Option<TokenId>,
    /// What it is for, in somebody's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl TokenEntry {
    /// Whether it counts at this time of the store: as long as its expiry is later, as in InfluxDB 3.
    pub fn is_active(&self, now: StoreTime) -> bool {
        self.expiry.is_none_or(|expiry| expiry > now)
    }
}

#[cfg(test)]
mod tests;
