//! The tokens of a cluster, with their permissions and expiry.
//!
//! ```text
//!   apiv3_<base64 of 64 random bytes>      shown once, in the answer to the creation
//!        └── SHA-512 ──> TokenEntry        in the root catalog: hash, name, expiry, permissions
//! ```
//!
//! They are in the root catalog, which every function reads anyway, so checking a token needs no extra request.
//!
//! The key of a client that signs a challenge instead is a token without a secret: see [`client_key`].

pub(crate) mod changes;
mod client_key;
pub(crate) mod grammar;
mod permissions;
mod secret;
mod token_set;

use std::fmt;

use neap_bucket::StoreTime;
use serde::{Deserialize, Serialize};

pub use changes::{IssuedToken, RegisteredKey};
pub use client_key::{ClientKeyError, ClientPrivateKey, ClientPublicKey, NewClientKey};
pub use grammar::{
    MAX_PERMISSION_NAMES, MAX_PERMISSIONS, PermissionRequest, PermissionRequestError,
};
pub use permissions::{
    DatabaseAction, Permission, Permissions, ResourceSet, SystemEndpoint, TokenAction, UserAction,
};
pub use secret::{SecretToken, TokenHash, generate_token};
pub(crate) use token_set::TokenSet;

use crate::UserId;

/// Maximum number of tokens in a cluster.
pub const MAX_TOKENS: usize = 10_000;

/// Maximum bytes of the name of a token.
pub const MAX_TOKEN_NAME_BYTES: usize = 255;

/// The name of the operator token.
pub const OPERATOR_TOKEN_NAME: &str = "_admin";

/// The id of a token. Ids are never reused; the operator token keeps its id when it is regenerated.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct TokenId(u64);

impl TokenId {
    /// The operator token, `_admin`.
    pub const OPERATOR: Self = Self(0);

    /// Creates the id with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns the next id; `None` if all are used.
    pub(crate) fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The entry of a token in the root catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenEntry {
    /// The name, unique among the existing tokens.
    pub name: String,
    /// The hash of the token. The entry of a key has the hash of a random secret that is discarded.
    pub hash: TokenHash,
    /// The public key of a client that signs a challenge; `None`: the client sends the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<ClientPublicKey>,
    /// The permissions of its holder.
    pub permissions: Permissions,
    /// When it was created, by the store's clock.
    pub created: StoreTime,
    /// When it expires; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<StoreTime>,
    /// The token that created it; `None`: the operator token, or a program that accesses the store directly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<TokenId>,
    /// The user who created it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by_user: Option<UserId>,
    /// The nearest existing token above `created_by` in the chain of creators, if that token was revoked alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inherited_by: Option<TokenId>,
    /// When it was last changed; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated: Option<StoreTime>,
    /// The token that changed it; `None`: as for `created_by`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_by: Option<TokenId>,
    /// A description of its purpose, given by the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl TokenEntry {
    /// Returns the token with which this one is revoked on request: its creator, or the creator's creator if the creator
    /// was revoked alone.
    pub(crate) fn parent(&self) -> Option<TokenId> {
        self.inherited_by.or(self.created_by)
    }

    /// Returns whether the token is valid at this time of the store. It is invalid from its expiry on, as in InfluxDB
    /// 3.
    pub fn is_active(&self, now: StoreTime) -> bool {
        self.expiry.is_none_or(|expiry| expiry > now)
    }
}

#[cfg(test)]
mod tests;
