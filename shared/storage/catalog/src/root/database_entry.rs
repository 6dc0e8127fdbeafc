//! The entry of a database in the root catalog.

use neap_bucket::StoreTime;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::Deletion;

/// The entry of a database in the root catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseEntry {
    /// The name; a dropped database has the name that the drop gave it.
    pub name: String,
    /// When it was created, by the store's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<StoreTime>,
    /// Set if it is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Deletion>,
    /// The name of a dropped database before its drop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_name: Option<String>,
    /// The former names that still stand for it, oldest first. Those of a dropped database stand for nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Whether it has or had triggers. Only then is its own catalog searched for triggers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_triggers: bool,
    /// Whether it was created by a restore.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_restored: bool,
    /// The backup that holds this database, a hidden copy that can't be undeleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Ulid>,
    /// The retention policy that writes and queries without one use, if it is not the database itself. It may be dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_policy: Option<String>,
}

impl DatabaseEntry {
    /// Returns the name; of a dropped database, the name before its drop.
    pub fn original_name(&self) -> &str {
        self.original_name.as_deref().unwrap_or(&self.name)
    }

    /// Returns the name and the aliases.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.name).chain(&self.aliases).map(String::as_str)
    }
}
