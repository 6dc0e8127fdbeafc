//! Sessions of users.

use std::str::FromStr;

use derive_more::Display;
use neap_bucket::StoreTime;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::UserId;

/// The random id of a session. It is no secret: the tokens of a session are signed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Display,
)]
#[serde(transparent)]
pub struct SessionId(Ulid);

impl SessionId {
    /// Creates an id from random bits.
    pub fn new(random: u128) -> Self {
        Self(Ulid(random))
    }
}

impl FromStr for SessionId {
    type Err = ulid::DecodeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// The entry of a session in the root catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEntry {
    /// The user.
    pub user: UserId,
    /// When it began, by the store's clock.
    pub created: StoreTime,
    /// When it was begun or last renewed.
    pub renewed: StoreTime,
    /// When it ends unless it is renewed.
    pub expires: StoreTime,
    /// When it ends in any case.
    pub ends: StoreTime,
    /// The number of renewals. The refresh token of the session contains it, and is refused if it is not the present
    /// one.
    pub generation: u64,
}

impl SessionEntry {
    /// Returns whether the session has not ended at this time of the store.
    pub fn is_active(&self, now: StoreTime) -> bool {
        self.expires > now && self.ends > now
    }
}
