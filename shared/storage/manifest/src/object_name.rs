//! The names of data objects.

use neap_bucket::Key;
use neap_schema::DatabaseId;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// The name of a data object, without the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectName {
    /// One section: a Parquet file.
    Parquet(Ulid),
    /// A bundle of several sections.
    Bundle(Ulid),
    /// An object with pages.
    Page(Ulid),
}

impl ObjectName {
    /// Returns the key of the object.
    pub fn key(self, database: DatabaseId) -> Key {
        match self {
            Self::Parquet(ulid) => Key::Parquet(database, ulid),
            Self::Bundle(ulid) => Key::Bundle(database, ulid),
            Self::Page(ulid) => Key::Page(database, ulid),
        }
    }

    /// Returns the database and the name in a key; `None` if it is not the key of a data object.
    pub fn of_key(key: &Key) -> Option<(DatabaseId, Self)> {
        match key {
            Key::Parquet(database, ulid) => Some((*database, Self::Parquet(*ulid))),
            Key::Bundle(database, ulid) => Some((*database, Self::Bundle(*ulid))),
            Key::Page(database, ulid) => Some((*database, Self::Page(*ulid))),
            _ => None,
        }
    }
}
