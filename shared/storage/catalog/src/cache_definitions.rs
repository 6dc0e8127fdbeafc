//! Definitions of last value and distinct value caches.
//!
//! ```text
//!   last cache       the newest `count` rows for each combination of values of the key columns
//!   distinct cache   the combinations of values of some columns in recent rows
//! ```
//!
//! The content of a cache is a function of the rows of its table and the time; a definition says which part is kept
//! ready. A definition names columns by id. Its own id is not reused in the database, so its content cannot be taken
//! for that of a later cache with the same name. (Restoring an older copy of a catalog does reuse ids, so the content
//! also records the definition that it belongs to.)

use std::time::Duration;

use neap_schema::{CacheId, ColumnId};
use serde::{Deserialize, Serialize};

/// The definition of a last value cache, which holds the newest rows of each key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastCacheDefinition {
    /// The id. No other cache of the database, of either kind, ever has the same id.
    pub id: CacheId,
    /// The name, unique among the last value caches of the table.
    pub name: String,
    /// The columns whose values form a key, in output order. Empty: all rows have the same key.
    pub key_columns: Vec<ColumnId>,
    /// The other columns in the output.
    pub value_columns: ValueColumns,
    /// Number of rows kept for each key; at least 1.
    pub count: u64,
    /// Maximum age of a row by its timestamp, in seconds.
    pub ttl_s: u64,
}

/// The output columns of a last value cache besides its key columns. `time` is always the last column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueColumns {
    /// All columns outside the key, including columns added later.
    AllNonKey,
    /// These columns, in this order; without `time`.
    Explicit(Vec<ColumnId>),
}

/// The definition of a distinct value cache, which holds the combinations of values in recent rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DistinctCacheDefinition {
    /// The id. No other cache of the database, of either kind, ever has the same id.
    pub id: CacheId,
    /// The name, unique among the distinct value caches of the table.
    pub name: String,
    /// The columns, in output and sort order; at least one.
    pub columns: Vec<ColumnId>,
    /// Maximum number of combinations kept; the most recently seen ones stay.
    pub max_cardinality: u64,
    /// Maximum age of a row by its timestamp, in seconds.
    pub max_age_s: u64,
}

impl LastCacheDefinition {
    /// Returns the maximum age of a row by its timestamp.
    pub fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl_s)
    }

    /// Returns the approximate memory size of the definition, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        let values = match &self.value_columns {
            ValueColumns::AllNonKey => 0,
            ValueColumns::Explicit(columns) => columns.len(),
        };
        size_of::<Self>()
            + self.name.len()
            + (self.key_columns.len() + values) * size_of::<ColumnId>()
    }
}

impl DistinctCacheDefinition {
    /// Returns the maximum age of a row by its timestamp.
    pub fn max_age(&self) -> Duration {
        Duration::from_secs(self.max_age_s)
    }

    /// Returns the approximate memory size of the definition, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.name.len() + self.columns.len() * size_of::<ColumnId>()
    }
}

/// Returns the id of the first cache in a database.
pub(crate) fn first_id() -> CacheId {
    CacheId::new(1)
}

pub(crate) fn is_first_id(id: &CacheId) -> bool {
    *id == first_id()
}
