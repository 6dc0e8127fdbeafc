//! What a query function may use.

use std::{path::PathBuf, time::Duration};

use neap_catalog::HardDelete;

use neap_memory::MemoryPressure;

use crate::Executor;

/// Limits of the query function. The defaults suit a machine or function with 1 GiB of memory.
#[derive(Clone, Debug)]
pub struct QuerySettings {
    /// Where queries are planned and executed; on the runtime of their caller by default, which they hold up.
    pub executor: Executor,
    /// The memory of all running queries together; sorts and aggregations that need more spill.
    pub memory_pool_bytes: usize,
    /// The disk that spilling may use, in [`Self::spill_dir`].
    pub spill_bytes: u64,
    /// Where to spill; the system's directory for temporary files by default.
    pub spill_dir: Option<PathBuf>,
    /// The memory for the folded tails of tables. A tail that needs more than half of it is spilled.
    pub tail_bytes: usize,
    /// The memory for decoded Parquet footers.
    pub metadata_cache_bytes: u64,
    /// The memory for column chunks.
    pub chunk_cache_bytes: u64,
    /// The memory for the contents of last and distinct value caches.
    pub cache_bytes: u64,
    /// Whether contents of last and distinct value caches answer queries; if not, their definitions do, over
    /// the tables.
    pub use_caches: bool,
    /// The parts that a query is worked on in at once.
    pub partitions: usize,
    /// The longest that a query may take, from its start to the end of its answer.
    pub timeout: Duration,
    /// New queries wait while memory runs short.
    pub pressure: MemoryPressure,
    /// The number of queries that run at once; others wait.
    pub concurrent_queries: usize,
    /// The age up to which a snapshot is used again without asking the store, for requests that don't say.
    pub max_staleness: Duration,
    /// The largest answer in the table format, which is kept in memory.
    pub pretty_bytes: usize,
    /// The most rows of an answer, which ends with an error after them; `None`: any number.
    pub max_rows: Option<u64>,
    /// The number of queries that `system.queries` shows.
    pub query_log_size: usize,
    /// When the data of what `DROP` drops goes.
    pub hard_delete: HardDelete,
    /// Whether requests need a token. If not, `system.tokens` does not show what hashes begin with, as in
    /// InfluxDB 3.
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
            partitions: 2,
            timeout: Duration::from_secs(300),
            pressure: MemoryPressure::none(),
            concurrent_queries: 32,
            max_staleness: Duration::ZERO,
            pretty_bytes: 64 << 20,
            max_rows: None,
            query_log_size: 1_000,
            hard_delete: HardDelete::DEFAULT,
            with_authentication: false,
        }
    }
}
