//! The statistics of the engine, and the release of memory.

use neap_scan::DataCacheStats;
use neap_tables::CacheStats;

use super::QueryEngine;
use crate::{AnswerCacheStats, DistributionStats, QueryStats};

/// The memory of the engine, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// Reserved by running queries.
    pub queries: u64,
    /// Held by the cached tail images of tables.
    pub tails: u64,
}

impl QueryEngine {
    /// Counters of distributed queries since the process started.
    pub fn distribution_stats(&self) -> DistributionStats {
        let distributor = self.distributor.as_ref();
        let stats = distributor.map(|distributor| distributor.counters.stats());
        stats.unwrap_or_default()
    }

    /// Counters of lookups in last and distinct value caches.
    pub fn cache_stats(&self) -> CacheStats {
        self.tables().cache_layers.stats()
    }

    /// The contents, hits and misses of the caches of section data.
    pub fn data_cache_stats(&self) -> DataCacheStats {
        self.tables().scan.data.stats()
    }

    /// The contents, hits and misses of the cache of answers.
    pub fn answer_cache_stats(&self) -> AnswerCacheStats {
        self.answers.stats()
    }

    /// Releases the cached column chunks of sections, and the kept answers. They are only kept to avoid reading and computing
    /// them again.
    pub fn release_memory(&self) {
        self.tables().scan.data.release_chunks();
        self.answers.release();
    }

    /// Ends the newest running query. Operators may hold memory that the memory of queries does not count, such as rows that are
    /// collected until a batch is full; only the memory of the process shows it.
    pub fn end_newest_query(&self) {
        if let Some(id) = self.log.kill_newest() {
            tracing::warn!(%id, "the memory is exhausted: the newest query was ended");
        }
    }

    /// The bytes reserved by running queries, and those of the cached tail images of tables.
    pub fn memory_stats(&self) -> MemoryStats {
        MemoryStats {
            queries: self.sessions.reserved_bytes() as u64,
            tails: self.tables().scan.tails.size_bytes(),
        }
    }

    /// Counters of finished queries since the process started.
    pub fn query_stats(&self) -> QueryStats {
        self.log.totals().stats()
    }
}
