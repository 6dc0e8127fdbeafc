//! The memory budgets of the components.

use std::sync::Arc;

use neap_bucket::World;
use neap_memory::{MemoryMonitor, limit_bytes};
use neap_query::QueryEngine;
use tokio_util::sync::CancellationToken;

/// Minimum of an amount given as a percentage, in bytes.
const MIN_SHARE_BYTES: usize = 16 << 20;

/// Minimum memory limit of `neap serve` in bytes.
const MIN_LIMIT_BYTES: usize = 128 << 20;

/// Sum of all budgets in percent of the limit. The rest is for memory that is not counted, such as batches in flight
/// between operators, and for the overhead of the allocator.
const PLANNED_PERCENT: usize = 84;

/// Memory of the program itself in bytes: code, threads, catalog, connections.
const PROCESS_BYTES: usize = 48 << 20;

/// Minimum memory in bytes for merges to produce sections of a useful size.
const MIN_MERGE_BYTES: usize = 80 << 20;

/// Maximum memory for merges in bytes.
const MAX_MERGE_BYTES: usize = 1 << 30;

/// Maximum memory in bytes for cache objects between two flushes.
const MAX_CACHE_OBJECT_BYTES: usize = 64 << 20;

/// Minimum memory in bytes for segments in flight to the store, which limits the encoded rows of one request, too.
const MIN_SEGMENT_BYTES: usize = 16 << 20;

/// Maximum memory in bytes for segments in flight to the store.
const MAX_SEGMENT_BYTES: usize = 256 << 20;

/// An amount of memory, as an option.
pub(super) type MemoryAmount = neap_assembly::options::MemoryAmount<MIN_SHARE_BYTES>;

/// The memory budget of each component, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MemoryPlan {
    /// Memory limit of the process.
    pub(super) limit: usize,
    /// Running queries; sorts, aggregations and joins that need more spill to disk.
    pub(super) queries: usize,
    /// Deduplicated tails of tables; larger ones spill to disk.
    pub(super) tails: usize,
    /// Cached column chunks of sections.
    pub(super) chunks: usize,
    /// Kept answers of queries.
    pub(super) answers: usize,
    /// Cached footers of sections.
    pub(super) footers: usize,
    /// Contents of last and distinct value caches.
    pub(super) caches: usize,
    /// Segments and manifests retained between queries.
    pub(super) snapshots: usize,
    /// Segments that one query reads.
    pub(super) query_segments: usize,
    /// Bodies of writes and their decoded rows.
    pub(super) bodies: usize,
    /// Segments in flight to the store.
    pub(super) segments: usize,
    /// Rows that a flush deduplicates.
    pub(super) flush: usize,
    /// Cache objects retained between two flushes.
    pub(super) cache_objects: usize,
    /// Results that are buffered completely, such as pretty tables.
    pub(super) results: usize,
    /// All merges together.
    pub(super) merges: usize,
}

impl MemoryPlan {
    /// Creates a plan for this limit; the default is that of the control group or of the machine. `queries` is the
    /// operator's setting for queries.
    pub(super) fn new(limit: Option<usize>, queries: Option<MemoryAmount>) -> Self {
        let limit = limit.unwrap_or_else(limit_bytes);
        Self::with_limit(limit, queries.map(|queries| queries.bytes_of(limit)))
    }

    fn with_limit(limit: usize, queries: Option<usize>) -> Self {
        let merges = (limit / 10).clamp(MIN_MERGE_BYTES, MAX_MERGE_BYTES);
        let planned = limit / 100 * PLANNED_PERCENT;
        // On a machine below the minimum, each component still gets a small budget.
        let rest = planned.saturating_sub(PROCESS_BYTES + merges).max(limit / 4);
        // Shares in percent.
        let of = |rest: usize, part: usize| rest / 100 * part;
        let queries = queries.unwrap_or_else(|| of(rest, 24));
        let available = rest.saturating_sub(queries).max(rest / 4);
        let share = available / 76 * 4;
        let segments = share.clamp(MIN_SEGMENT_BYTES, MAX_SEGMENT_BYTES);
        // A minimum above the share of segments reduces the other 72 shares.
        let others = available.saturating_sub(segments.max(share)) / 72 * 100;
        Self {
            limit,
            queries,
            tails: of(others, 14),
            chunks: of(others, 7),
            answers: of(others, 1),
            footers: of(others, 2),
            caches: of(others, 6),
            snapshots: of(others, 4),
            query_segments: of(others, 8),
            bodies: of(others, 10),
            segments,
            flush: of(others, 14),
            cache_objects: of(others, 2).min(MAX_CACHE_OBJECT_BYTES),
            results: of(others, 4),
            merges,
        }
    }

    /// Returns the same plan with the operator's setting for kept answers, at most half of their memory and that of chunks.
    #[must_use]
    pub(super) fn with_answers(self, answers: Option<usize>) -> Self {
        let shared = self.chunks + self.answers;
        let answers = answers.map_or(self.answers, |bytes| bytes.min(shared / 2));
        Self { chunks: shared - answers, answers, ..self }
    }

    /// Returns the number of concurrent queries, at most `most`, such that each gets a useful share of the query
    /// memory.
    pub(super) fn queries_within(&self, most: usize) -> usize {
        most.min(self.queries / USEFUL_QUERY_BYTES).max(1)
    }
}

/// Minimum useful memory per query in bytes: with less, a query with a few operators would mostly spill. Batches in
/// flight, files being read, and decoded pages use about the same amount again, which is not counted. Measured with 512
/// MiB beside 4 writers: one query at a time answers as many queries as three, and holds 170 MiB less.
const USEFUL_QUERY_BYTES: usize = 64 << 20;

/// Parses the memory limit option into bytes.
pub(super) fn parse_limit(text: &str) -> Result<usize, String> {
    let amount: MemoryAmount = text
        .parse()
        .map_err(|error: neap_assembly::options::OptionValueError| error.to_string())?;
    let bytes = amount.bytes_of(limit_bytes());
    if bytes >= MIN_LIMIT_BYTES {
        Ok(bytes)
    } else {
        Err(format!("at least {} MiB are needed", MIN_LIMIT_BYTES >> 20))
    }
}

/// Watches the memory of the process, and releases caches when it runs short.
#[derive(Debug)]
pub(super) struct MemoryWatcher {
    pub(super) monitor: Arc<MemoryMonitor>,
    /// Query engine, which caches column chunks, if this process answers queries.
    pub(super) queries: Option<Arc<QueryEngine>>,
    pub(super) world: World,
}

impl MemoryWatcher {
    /// Watches until `stop`.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        let relieve = || {
            if let Some(queries) = &self.queries {
                queries.release_memory();
            }
        };
        let end_work = || {
            if let Some(queries) = &self.queries {
                queries.end_newest_query();
            }
        };
        tokio::select! {
            () = self.monitor.run(&self.world, relieve, end_work) => {}
            () = stop.cancelled() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the sum of all budgets of a plan.
    fn sum(plan: &MemoryPlan) -> usize {
        let MemoryPlan {
            limit: _,
            queries,
            tails,
            chunks,
            answers,
            footers,
            caches,
            snapshots,
            query_segments,
            bodies,
            segments,
            flush,
            cache_objects,
            results,
            merges,
        } = *plan;
        [
            PROCESS_BYTES,
            queries,
            tails,
            chunks,
            answers,
            footers,
            caches,
            snapshots,
            query_segments,
            bodies,
            segments,
            flush,
            cache_objects,
            results,
            merges,
        ]
        .into_iter()
        .sum()
    }

    #[test]
    fn all_bounds_together_stay_below_85_percent_of_the_limit() {
        for mebibytes in [256, 512, 1_024, 2_048, 4_096, 65_536] {
            let limit = mebibytes << 20;
            let plan = MemoryPlan::with_limit(limit, None);
            assert!(sum(&plan) * 100 < limit * 85, "{mebibytes} MiB: {plan:?}");
        }
    }

    #[test]
    fn a_larger_query_budget_reduces_the_other_budgets() {
        let limit = 4 << 30;
        let plan = MemoryPlan::with_limit(limit, Some(limit / 3));
        assert_eq!(plan.queries, limit / 3);
        assert!(sum(&plan) * 100 < limit * 85, "{plan:?}");
    }

    #[test]
    fn kept_answers_share_the_memory_of_chunks() {
        let plan = MemoryPlan::with_limit(4 << 30, None);
        for (size, answers) in [
            (None, plan.answers),
            (Some(0), 0),
            (Some(1 << 20), 1 << 20),
            (Some(usize::MAX), (plan.chunks + plan.answers) / 2),
        ] {
            let with_answers = plan.with_answers(size);
            assert_eq!(with_answers.answers, answers);
            assert_eq!(sum(&with_answers), sum(&plan));
        }
    }

    #[test]
    fn fewer_queries_run_at_once_where_there_is_little_memory() {
        assert_eq!(MemoryPlan::with_limit(256 << 20, None).queries_within(32), 1);
        let plan = MemoryPlan::with_limit(512 << 20, None);
        assert_eq!((plan.queries >> 20, plan.queries_within(32)), (72, 1));
        let larger = MemoryPlan::with_limit(4 << 30, None);
        assert_eq!((larger.queries >> 20, larger.queries_within(32)), (715, 11));
        assert_eq!(MemoryPlan::with_limit(16 << 30, None).queries_within(32), 32);
        assert_eq!(plan.queries_within(1), 1);
    }

    #[test]
    fn a_limit_is_bytes_or_a_share_and_not_too_small() {
        assert_eq!(parse_limit("512MiB"), Ok(512 << 20));
        assert_eq!(parse_limit("100%"), Ok(limit_bytes() / 100 * 100));
        assert_eq!(parse_limit("1MiB"), Err("at least 128 MiB are needed".to_owned()));
        assert!(parse_limit("much").is_err());
    }
}
