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
mod limits;
mod permission_request_error;
mod permissions;
mod secret;
mod token_id;
mod token_set;

use neap_bucket::StoreTime;
use serde::{Deserialize, Serialize};

pub use changes::{IssuedToken, RegisteredKey};
pub use client_key::{ClientKeyError, ClientPrivateKey, ClientPublicKey, NewClientKey};
pub use grammar::PermissionRequest;
pub use limits::{MAX_PERMISSION_NAMES, MAX_PERMISSIONS, MAX_TOKEN_NAME_BYTES, MAX_TOKENS};
pub use permission_request_error::PermissionRequestError;
pub use permissions::{
    DatabaseAction, Permission, Permissions, ResourceSet, SiteName, SystemEndpoint, TokenAction,
    UserAction,
};
pub use secret::{SecretToken, TokenHash, TokenHashError, generate_token};
pub use token_id::TokenId;
pub(crate) use token_set::TokenSet;

use crate::UserId;

/// The name of the operator token.
pub const OPERATOR_TOKEN_NAME: &str = "_admin";

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
