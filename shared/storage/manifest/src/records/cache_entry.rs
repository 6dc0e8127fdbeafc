//! The object of a table cache.

use neap_bucket::Key;
use neap_schema::{CacheId, DatabaseId, TableId};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// The object of a cache. It covers the sections up to the low-water mark of the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheEntry {
    /// The cache.
    pub cache: CacheId,
    /// The table.
    pub table: TableId,
    /// The object.
    pub object: Ulid,
    /// The size of the object in bytes.
    pub length: u64,
    /// The number of rows or values in the object.
    pub rows: u64,
    /// The CRC-32C of the object.
    pub crc32c: u32,
    /// The object has all rows from this time on (nanoseconds since the epoch), and no earlier rows.
    pub complete_from: i64,
    /// Rows before this time have expired since the object was written, and must be ignored (nanoseconds since the
    /// epoch). Always later than `complete_from`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<i64>,
}

impl CacheEntry {
    /// Returns the key of the object.
    pub fn key(&self, database: DatabaseId) -> Key {
        Key::Cache(database, self.cache, self.object)
    }

    /// Returns the time from which on the object has all rows of the sections.
    pub fn reaches_back_to(&self) -> i64 {
        self.floor.map_or(self.complete_from, |floor| floor.max(self.complete_from))
    }

    /// Records that rows before a time have expired, if the object may have any.
    pub(crate) fn expire(&mut self, before: i64) {
        if before > self.complete_from {
            self.floor = self.floor.max(Some(before));
        }
    }
}
