//! The settings of the query function.

use std::{path::PathBuf, time::Duration};

use neap_catalog::HardDelete;

use neap_memory::MemoryPressure;

use crate::Executor;

/// Limits of the query function. The defaults suit a machine or function with 1 GiB of memory.
#[derive(Clone, Debug)]
pub struct QuerySettings {
    /// Plans and executes queries. By default that happens on the runtime of the caller, which it blocks.
    pub executor: Executor,
    /// The memory of all running queries together, in bytes. Sorts and aggregations that need more spill.
    pub memory_pool_bytes: usize,
    /// The disk space for spilling in [`Self::spill_dir`], in bytes.
    pub spill_bytes: u64,
    /// The spill directory; the system's temporary directory by default.
    pub spill_dir: Option<PathBuf>,
    /// The memory for tail images of tables, in bytes. A tail that needs more than half of it is spilled.
    pub tail_bytes: usize,
    /// The memory for decoded Parquet footers, in bytes.
    pub metadata_cache_bytes: u64,
    /// The memory for column chunks, in bytes.
    pub chunk_cache_bytes: u64,
    /// The memory for the contents of last and distinct value caches, in bytes.
    pub cache_bytes: u64,
    /// Whether the contents of last and distinct value caches answer queries. If not, their definitions are evaluated
    /// over the tables, and no answers are kept.
    pub use_caches: bool,
    /// The memory for answers of repeated statements, in bytes. None are kept by default, because only a server encodes them.
    pub answer_cache_bytes: usize,
    /// The number of partitions that a query is executed in.
    pub partitions: usize,
    /// The maximum duration of a query, from its start to the end of its answer.
    pub timeout: Duration,
    /// The memory monitor; new queries wait while memory is short.
    pub pressure: MemoryPressure,
    /// The maximum number of running queries; others wait for a permit.
    pub concurrent_queries: usize,
    /// The default maximum age of a snapshot that is reused without asking the store.
    pub max_staleness: Duration,
    /// The maximum size of an answer in the table format, which is buffered in memory, in bytes.
    pub pretty_bytes: usize,
    /// The maximum number of rows in an answer; more rows end it with an error. `None`: unlimited.
    pub max_rows: Option<u64>,
    /// The maximum number of windows of time that a query fills for one series; more are an error.
    pub max_windows: u64,
    /// The maximum number of queries that `system.queries` shows.
    pub query_log_size: usize,
    /// When dropped databases and tables are physically deleted.
    pub hard_delete: HardDelete,
    /// Whether requests need a token. If not, `system.tokens` hides the prefixes of hashes, as InfluxDB 3 does.
    pub with_authentication: bool,
}

impl Default for QuerySettings {
    fn default() -> Self {
        Self {
            executor: Executor::of_caller(),
            memory_pool_bytes: 512 << 20,
            spill_bytes: 8 << 30,
            spill_dir: None,
            tail_bytes: 256 << 20,
            metadata_cache_bytes: 32 << 20,
            chunk_cache_bytes: 128 << 20,
            cache_bytes: 64 << 20,
            use_caches: true,
            answer_cache_bytes: 0,
            partitions: 2,
            timeout: Duration::from_secs(300),
            pressure: MemoryPressure::none(),
            concurrent_queries: 32,
            max_staleness: Duration::ZERO,
            pretty_bytes: 64 << 20,
            max_rows: None,
            max_windows: 5_000_000,
            query_log_size: 1_000,
            hard_delete: HardDelete::DEFAULT,
            with_authentication: false,
        }
    }
}
