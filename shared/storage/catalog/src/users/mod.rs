//! Users, their roles and sessions, and the keys that sign the tokens of sessions.
//!
//! ```text
//!   UserEntry ── roles ──> RoleEntry      permissions: the union of those of the roles
//!       └── sessions ──> SessionEntry     ends: the access tokens of the session are refused
//!   SigningKeyEntry                       public key, and the secret unless a file of the process has it
//! ```
//!
//! They are in the root catalog, which every function reads anyway, so checking the token of a session needs no extra
//! request. A token is valid only as long as its session is in the catalog: a sign-out removes the session, so that it
//! is effective wherever the catalog is read again.

mod actor;
mod changes;
mod grants;
mod lookup;
mod password_hash;
mod role_changes;
mod roles;
mod session_changes;
mod sessions;
mod signing_keys;
#[cfg(test)]
mod tests;
mod user_id;
mod user_set;

use std::collections::BTreeSet;

use neap_bucket::StoreTime;
use serde::{Deserialize, Serialize};

pub use actor::Actor;
pub use changes::{FirstUser, NewUser, UserChange};
pub use password_hash::PasswordHash;
pub use role_changes::NewRole;
pub use roles::{Role, RoleEntry, RoleId};
pub use session_changes::{ExternalUser, RenewedSession, SessionLifetime, StartedSession};
pub use sessions::{SessionEntry, SessionId};
pub use signing_keys::{
    NewSigningKey, SigningKeyEntry, SigningKeyRequest, SigningSecret, VerificationKey,
};
pub use user_id::UserId;
pub(crate) use user_set::UserSet;

use crate::{CatalogError, OPERATOR_TOKEN_NAME};

/// Maximum number of users of a cluster.
pub const MAX_USERS: usize = 10_000;

/// Maximum number of roles of a cluster, besides the built-in ones.
pub const MAX_ROLES: usize = 1_000;

/// Maximum number of roles of a user.
pub const MAX_ROLES_PER_USER: usize = 50;

/// Maximum number of sessions of a cluster. A new session ends the one that was renewed longest ago.
pub const MAX_SESSIONS: usize = 5_000;

/// Maximum number of sessions of a user. A new session ends the one that was renewed longest ago.
pub const MAX_SESSIONS_PER_USER: usize = 20;

/// Maximum bytes of the name of a user or role, of a display name and of a description.
pub const MAX_USER_TEXT_BYTES: usize = 255;

/// The entry of a user in the root catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserEntry {
    /// The name for signing in, unique among the existing users.
    pub name: String,
    /// The name to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The hash of the password; `None`: the user can't sign in with a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<PasswordHash>,
    /// Whether the user must set another password before the next sign-in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requires_reset: bool,
    /// The id at the identity provider; `None`: the user can't sign in there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth_id: Option<String>,
    /// Whether the user can't sign in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
    /// The roles that another user or a token assigned.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub roles: BTreeSet<RoleId>,
    /// The roles that follow from the groups at the identity provider, as of the last sign-in there.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub group_roles: BTreeSet<RoleId>,
    /// When it was created, by the store's clock.
    pub created: StoreTime,
    /// When it was last changed.
    pub updated: StoreTime,
    /// When it expires; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<StoreTime>,
}

impl UserEntry {
    /// Returns whether the user may act at this time of the store.
    pub fn is_active(&self, now: StoreTime) -> bool {
        !self.disabled && self.expiry.is_none_or(|expiry| expiry > now)
    }

    /// Returns all roles.
    pub fn all_roles(&self) -> impl Iterator<Item = RoleId> {
        self.roles.union(&self.group_roles).copied()
    }
}

/// Checks the name of a user or a role.
fn check_name(what: &'static str, name: &str) -> Result<(), CatalogError> {
    if name.is_empty() {
        return Err(CatalogError::EmptyName { what });
    }
    let is_trimmed = name.trim() == name;
    if !is_trimmed || name.chars().any(char::is_control) {
        let reason =
            format!("the name of a {what} has no control characters and no space around it");
        return Err(CatalogError::InvalidUser { reason });
    }
    if name == OPERATOR_TOKEN_NAME {
        let reason = format!("the name {OPERATOR_TOKEN_NAME} is that of the first token");
        return Err(CatalogError::InvalidUser { reason });
    }
    check_text(what, name)
}

/// Returns whether a character is invisible or changes the direction of a text, so that a name looks like another one
/// (Unicode's general category Cf, as far as names of people do not need it).
fn is_deceptive(char: char) -> bool {
    matches!(
        char,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// Checks the length and the characters of a text.
fn check_text(what: &'static str, text: &str) -> Result<(), CatalogError> {
    if text.chars().any(is_deceptive) {
        let reason = format!(
            "{what}: a text has invisible characters, or characters that change the direction"
        );
        return Err(CatalogError::InvalidUser { reason });
    }
    if text.len() > MAX_USER_TEXT_BYTES {
        let reason = format!("{what}: a text is longer than {MAX_USER_TEXT_BYTES} bytes");
        return Err(CatalogError::InvalidUser { reason });
    }
    Ok(())
}
