//! The settings of functions, from the options and the memory of a process.

use std::thread;

use neap_catalog::HardDelete;
use neap_compact::FlushLimits;
use neap_query::QuerySettings;
use neap_write::WriteSettings;

use crate::{memory::MemoryPlan, options::ServeArgs, postgres, questdb};

/// Returns the resource limits of a flush.
pub(super) fn flush_limits(memory: &MemoryPlan) -> FlushLimits {
    FlushLimits {
        segment_bytes: (memory.flush as u64 / 8).clamp(1 << 20, 64 << 20),
        // A flush holds the rows of a table with caches, and beside them the encoded sections; of other tables, a few
        // columns at a time.
        table_bytes: memory.flush as u64 / 4,
        cached_bytes: memory.cache_objects as u64,
        ..FlushLimits::default()
    }
}

pub(super) fn write_settings(args: &ServeArgs, memory: &MemoryPlan) -> WriteSettings {
    let of_questdb = args.questdb_bind.as_ref().map_or(0, |_| questdb::buffered_bytes(memory));
    let of_postgres = args.postgres_bind.as_ref().map_or(0, |_| postgres::buffered_bytes(memory));
    let of_bodies = memory.bodies.saturating_sub(of_questdb + of_postgres);
    WriteSettings {
        max_request_bytes: args.limits.max_http_request_size,
        body_timeout: args.limits.http_timeout,
        // The minima of the listeners may exceed the memory of a small process.
        max_bytes_in_flight: of_bodies.max(memory.bodies / 2),
        questdb_over_tcp: args.questdb_bind.is_some(),
        hard_delete: HardDelete::After(args.hard_delete_default_duration),
        default_database: args.default_database.clone(),
        legacy_writes: args.legacy_writes,
        max_new_tables: args.limits.max_new_tables,
        ..WriteSettings::default()
    }
}

pub(super) fn query_settings(args: &ServeArgs, memory: &MemoryPlan) -> QuerySettings {
    let concurrent_queries = memory.queries_within(args.limits.max_concurrent_queries);
    QuerySettings {
        memory_pool_bytes: memory.queries,
        spill_dir: args.spill_dir.clone(),
        spill_bytes: args.max_spill_bytes as u64,
        tail_bytes: memory.tails,
        metadata_cache_bytes: memory.footers as u64,
        chunk_cache_bytes: memory.chunks as u64,
        cache_bytes: memory.caches as u64,
        answer_cache_bytes: memory.answers,
        pretty_bytes: (memory.results / concurrent_queries).min(64 << 20),
        use_caches: !args.disable_caches,
        partitions: thread::available_parallelism().map_or(1, usize::from),
        timeout: args.limits.query_timeout,
        max_rows: args.limits.max_result_rows.map(|rows| rows as u64),
        max_windows: args.limits.max_windows as u64,
        concurrent_queries,
        max_staleness: args.max_staleness,
        query_log_size: args.query_log_entries(),
        hard_delete: HardDelete::After(args.hard_delete_default_duration),
        with_authentication: !args.access.without_auth,
        ..QuerySettings::default()
    }
}
