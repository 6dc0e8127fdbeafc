//! Last value and distinct value caches: `last_cache(table[, cache])`, `distinct_cache(table[, cache])`.
//!
//! What a cache holds is defined by the rows of its table and the time ([`definition`]), as if nothing were
//! kept. What is kept ready only makes it fast:
//!
//! ```text
//!   bases      the newest rows of each key in all sections: an object that flushes keep up to date, or
//!              made by a scan; in memory, bounded
//!   overlays   the newest rows of each key in the tail, kept beside it (`scan/tail.rs`)
//!   answer     both, merged for the keys that are asked for, as of the snapshot of the query
//! ```
//!
//! Where nothing kept can answer exactly, the definition is planned over the table in its place.

mod bases;
mod build;
mod contents;
mod definition;
mod exec;
mod feed;
mod filters;
mod functions;
mod narrow;
mod table;

use std::{sync::Arc, time::Duration};

use arrow::datatypes::SchemaRef;
use neap_catalog::{DistinctCache, LastCache, Table};
use neap_schema::CacheId;

pub(crate) use bases::Bases;
pub use bases::CacheStats;
pub(crate) use filters::is_lookup;
pub(crate) use functions::{DISTINCT_CACHE, DistinctCacheFunction, LAST_CACHE, LastCacheFunction};
pub(crate) use narrow::NarrowToCache;
pub(crate) use table::CacheTable;

/// A cache of a table.
#[derive(Clone, Debug)]
pub(crate) enum Cache {
    /// The newest rows of each key.
    Last(Arc<LastCache>),
    /// The combinations of values.
    Distinct(Arc<DistinctCache>),
}

impl Cache {
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

    /// How old rows may be.
    fn age(&self) -> Duration {
        match self {
            Self::Last(cache) => cache.ttl(),
            Self::Distinct(cache) => cache.max_age(),
        }
    }

    /// The columns whose values make a key.
    fn key_names(&self, table: &Table) -> Vec<String> {
        match self {
            Self::Last(cache) => cache.key_names(table),
            Self::Distinct(cache) => cache.column_names(table),
        }
    }

    /// What it shows.
    fn schema(&self, table: &Table) -> SchemaRef {
        match self {
            Self::Last(cache) => definition::last_schema(table, cache),
            Self::Distinct(cache) => definition::distinct_schema(table, cache),
        }
    }
}
