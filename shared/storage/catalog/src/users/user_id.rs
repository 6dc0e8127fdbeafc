//! The id of a user.

use derive_more::Display;
use serde::{Deserialize, Serialize};

/// The id of a user. Ids are never reused.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Display,
)]
#[serde(transparent)]
pub struct UserId(u64);

impl UserId {
    /// Creates the id with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number.
    pub const fn get(self) -> u64 {
        self.0
    }
}
