//! Last value and distinct value caches: `last_cache(table[, cache])`, `distinct_cache(table[, cache])`.
//!
//! The rows of a cache are defined by the rows of its table and the time ([`definition`]). The layers in memory only
//! make reads faster:
//!
//! ```text
//!   base layer   the newest rows of each key in all sections: loaded from an object that flushes update, or
//!                built by a scan; in memory, bounded
//!   overlay      the newest rows of each key in the tail, stored with the tail image (`scan/tail.rs`)
//!   answer       both layers, merged for the requested keys, as of the snapshot of the query
//! ```
//!
//! If the layers cannot answer exactly, the query executes the definition as a plan over the table.

mod cached_table;
mod contents;
mod definition;
mod exec;
mod filters;
mod functions;
mod rewrite;
mod table;

use std::{sync::Arc, time::Duration};

use arrow::datatypes::SchemaRef;
use neap_catalog::{DistinctCacheDefinition, LastCacheDefinition, Table};
use neap_schema::CacheId;

pub(crate) use cached_table::{CachedTable, refresh, table_provider};
pub(crate) use functions::{DISTINCT_CACHE, DistinctCacheFunction, LAST_CACHE, LastCacheFunction};
pub(crate) use rewrite::{CacheRewrite, RewrittenTable};
pub use table::CacheTable;

#[derive(Clone, Debug)]
pub(crate) enum TableCacheDefinition {
    /// A last value cache: the newest rows of each key.
    Last(Arc<LastCacheDefinition>),
    /// A distinct value cache: the combinations of values.
    Distinct(Arc<DistinctCacheDefinition>),
}

impl TableCacheDefinition {
    /// The id, unique in the database.
    pub(crate) fn id(&self) -> CacheId {
        match self {
            Self::Last(cache) => cache.id,
            Self::Distinct(cache) => cache.id,
        }
    }

    /// The name, unique among the caches of its kind and table.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Last(cache) => &cache.name,
            Self::Distinct(cache) => &cache.name,
        }
    }

    /// The maximum age of rows.
    fn age(&self) -> Duration {
        match self {
            Self::Last(cache) => cache.ttl(),
            Self::Distinct(cache) => cache.max_age(),
        }
    }

    /// The names of the key columns.
    fn key_names(&self, table: &Table) -> Vec<String> {
        match self {
            Self::Last(cache) => cache.key_names(table),
            Self::Distinct(cache) => cache.column_names(table),
        }
    }

    /// The schema of the rows that the cache shows.
    fn schema(&self, table: &Table) -> SchemaRef {
        match self {
            Self::Last(cache) => definition::last_schema(table, cache),
            Self::Distinct(cache) => definition::distinct_schema(table, cache),
        }
    }
}
