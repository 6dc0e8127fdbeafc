//! The sender of a change.

use serde::{Deserialize, Serialize};

use super::UserId;
use crate::TokenId;

/// The sender of a change: the holder of a token or a user with a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// The holder of a token.
    Token(TokenId),
    /// A user.
    User(UserId),
}

impl From<TokenId> for Actor {
    fn from(id: TokenId) -> Self {
        Self::Token(id)
    }
}
