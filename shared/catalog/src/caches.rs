//! Definitions of last value and distinct value caches.
//!
//! ```text
//!   last cache       the newest `count` rows for each combination of values of the key columns
//!   distinct cache   the combinations of values of some columns that rows of late have
//! ```
//!
//! What they hold follows from the rows of their table and the time; a definition says which part of that
//! is kept ready. It names columns by id, and its own id is not given again in the database, so that contents
//! are not taken for those of a later namesake. (A catalog that is put back to an older copy does give ids again;
//! contents say which definition they are of.)

use std::{sync::Arc, time::Duration};

use neap_schema::{CacheId, ColumnId, ColumnType, TIME_COLUMN};
use serde::{Deserialize, Serialize};

use crate::{Column, DatabaseCatalog, Table};

/// A last value cache: the newest rows of each key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastCache {
    /// The id, unique in the database for all time, also among distinct value caches.
    pub id: CacheId,
    /// The name, unique among the last value caches of the table.
    pub name: String,
    /// The columns whose values make a key, in the order in which they are shown; none: one key for all rows.
    pub key_columns: Vec<ColumnId>,
    /// The other columns that are shown.
    pub value_columns: ValueColumns,
    /// The number of rows that are kept of each key; at least 1.
    pub count: u64,
    /// How old a row may be by its own time, in seconds.
    pub ttl_s: u64,
}

/// The columns that a last value cache shows beside those of its key. `time` is always the last one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueColumns {
    /// All columns that are not in the key, those that come later too.
    AllNonKey,
    /// These, in this order; without `time`.
    Explicit(Vec<ColumnId>),
}

/// A distinct value cache: the combinations of values that rows have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DistinctCache {
    /// The id, unique in the database for all time, also among last value caches.
    pub id: CacheId,
    /// The name, unique among the distinct value caches of the table.
    pub name: String,
    /// The columns, in the order in which they are shown and sorted by; at least one.
    pub columns: Vec<ColumnId>,
    /// The most combinations that are kept: those that were seen latest.
    pub max_cardinality: u64,
    /// How old a row may be by its own time, in seconds.
    pub max_age_s: u64,
}

impl LastCache {
    /// How old a row may be by its own time.
    pub fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl_s)
    }

    /// The names of the key columns, in their order.
    pub fn key_names(&self, table: &Table) -> Vec<String> {
        names(&self.key_columns, table)
    }

    /// The names of the other columns without `time`: in the order of an explicit list, else sorted.
    pub fn value_names(&self, table: &Table) -> Vec<String> {
        match &self.value_columns {
            ValueColumns::Explicit(columns) => names(columns, table),
            ValueColumns::AllNonKey => {
                let columns = table.columns().iter().filter(|column| {
                    column.name != TIME_COLUMN && !self.key_columns.contains(&column.id)
                });
                let mut names: Vec<_> = columns.map(|column| column.name.clone()).collect();
                names.sort_unstable();
                names
            }
        }
    }

    /// Whether a key column is a field, so that a later write can move a row to another key.
    pub fn is_keyed_by_fields(&self, table: &Table) -> bool {
        has_fields(&self.key_columns, table)
    }

    /// About how many bytes of memory the definition takes.
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

impl DistinctCache {
    /// How old a row may be by its own time.
    pub fn max_age(&self) -> Duration {
        Duration::from_secs(self.max_age_s)
    }

    /// The names of the columns, in their order.
    pub fn column_names(&self, table: &Table) -> Vec<String> {
        names(&self.columns, table)
    }

    /// Whether a column is a field, so that a later write can take a combination away from a row.
    pub fn is_keyed_by_fields(&self, table: &Table) -> bool {
        has_fields(&self.columns, table)
    }

    /// About how many bytes of memory the definition takes.
    pub(crate) fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.name.len() + self.columns.len() * size_of::<ColumnId>()
    }
}

/// Columns are never removed, so all of them are there.
fn columns<'a>(ids: &'a [ColumnId], table: &'a Table) -> impl Iterator<Item = &'a Column> {
    ids.iter().filter_map(|id| table.column_by_id(*id))
}

fn names(ids: &[ColumnId], table: &Table) -> Vec<String> {
    columns(ids, table)
        .map(|column| column.name.clone())
        .collect()
}

fn has_fields(ids: &[ColumnId], table: &Table) -> bool {
    columns(ids, table).any(|column| column.column_type != ColumnType::Tag)
}

impl Table {
    /// The last value caches, in order of creation.
    pub fn last_caches(&self) -> &[Arc<LastCache>] {
        &self.last_caches
    }

    /// The distinct value caches, in order of creation.
    pub fn distinct_caches(&self) -> &[Arc<DistinctCache>] {
        &self.distinct_caches
    }

    /// The last value cache of a name.
    pub fn last_cache(&self, name: &str) -> Option<&Arc<LastCache>> {
        self.last_caches.iter().find(|cache| cache.name == name)
    }

    /// The distinct value cache of a name.
    pub fn distinct_cache(&self, name: &str) -> Option<&Arc<DistinctCache>> {
        self.distinct_caches.iter().find(|cache| cache.name == name)
    }
}

impl DatabaseCatalog {
    /// The id that the next cache gets: all that were ever given are smaller.
    pub fn next_cache(&self) -> CacheId {
        self.next_cache
    }

    /// The caches of all tables, dropped tables too.
    pub fn cache_ids(&self) -> impl Iterator<Item = CacheId> {
        self.all_tables().flat_map(|table| {
            let last = table.last_caches.iter().map(|cache| cache.id);
            last.chain(table.distinct_caches.iter().map(|cache| cache.id))
        })
    }
}

/// The id of the first cache of a database.
pub(crate) fn first_id() -> CacheId {
    CacheId::new(1)
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
pub(crate) fn is_first_id(id: &CacheId) -> bool {
    *id == first_id()
}
