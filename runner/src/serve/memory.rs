//! Which part of the memory is for what.

use std::sync::Arc;

use neap_bucket::World;
use neap_memory::{MemoryMonitor, limit_bytes};
use neap_query::QueryEngine;
use tokio_util::sync::CancellationToken;

/// The least that an amount has that is given as a share.
const LEAST_BYTES: usize = 16 << 20;

/// The least memory that `neap serve` works with.
const LEAST_LIMIT_BYTES: usize = 128 << 20;

/// What all parts have together, in percent of the limit: the rest is for memory that is not counted, such as batches on
/// their way between operators, and for what the allocator keeps.
const PLANNED_PERCENT: usize = 84;

/// The program itself: its code, its threads, the catalog, connections.
const PROCESS_BYTES: usize = 48 << 20;

/// The least memory in which merges make sections of a useful size.
const LEAST_MERGE_BYTES: usize = 80 << 20;

/// The most memory for merges.
const MOST_MERGE_BYTES: usize = 1 << 30;

/// The most memory for objects of caches between two flushes.
const MOST_CACHE_OBJECT_BYTES: usize = 64 << 20;

/// The most memory for what is under way to the store.
const MOST_SEGMENT_BYTES: usize = 256 << 20;

/// An amount of memory, as an option.
pub(super) type MemoryAmount = neap_options::MemoryAmount<LEAST_BYTES>;

/// The memory of each part, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MemoryPlan {
    /// All of it.
    pub(super) limit: usize,
    /// Running queries: sorts, groups and joins that need more spill.
    pub(super) queries: usize,
    /// The folded tails of tables; larger ones are spilled.
    pub(super) tails: usize,
    /// Pieces of sections.
    pub(super) chunks: usize,
    /// Footers of sections.
    pub(super) footers: usize,
    /// What last and distinct value caches hold of sections.
    pub(super) caches: usize,
    /// Segments and manifests between queries.
    pub(super) snapshots: usize,
    /// The segments that a query reads.
    pub(super) query_segments: usize,
    /// Bodies of writes, and what is made of them.
    pub(super) bodies: usize,
    /// Segments on their way to the store.
    pub(super) segments: usize,
    /// Rows that a flush folds.
    pub(super) flush: usize,
    /// Objects of caches between two flushes.
    pub(super) cache_objects: usize,
    /// Results that are kept until they are whole, such as pretty tables.
    pub(super) results: usize,
    /// All merges together.
    pub(super) merges: usize,
}

impl MemoryPlan {
    /// A plan for this limit; by default that of the control group or of the machine. `queries` is what an operator has
    /// set aside for queries.
    pub(super) fn new(limit: Option<usize>, queries: Option<MemoryAmount>) -> Self {
        let limit = limit.unwrap_or_else(limit_bytes);
        Self::of(limit, queries.map(|queries| queries.bytes_of(limit)))
    }

    fn of(limit: usize, queries: Option<usize>) -> Self {
        let merges = (limit / 10).clamp(LEAST_MERGE_BYTES, MOST_MERGE_BYTES);
        let planned = limit / 100 * PLANNED_PERCENT;
        // On a machine that is too small for all, each part has a little all the same.
        let rest = planned
            .saturating_sub(PROCESS_BYTES + merges)
            .max(limit / 4);
        // Parts of a hundred.
        let of = |rest: usize, part: usize| rest / 100 * part;
        let others = match queries {
            Some(queries) => rest.saturating_sub(queries).max(rest / 4) / 76 * 100,
            None => rest,
        };
        Self {
            limit,
            queries: queries.unwrap_or_else(|| of(rest, 24)),
            tails: of(others, 14),
            chunks: of(others, 8),
            footers: of(others, 2),
            caches: of(others, 6),
            snapshots: of(others, 4),
            query_segments: of(others, 8),
            bodies: of(others, 10),
            segments: of(others, 4).min(MOST_SEGMENT_BYTES),
            flush: of(others, 14),
            cache_objects: of(others, 2).min(MOST_CACHE_OBJECT_BYTES),
            results: of(others, 4),
            merges,
        }
    }

    /// Of so many queries at once, as many as have a useful share of the memory for queries.
    pub(super) fn queries_within(&self, most: usize) -> usize {
        most.min((self.queries / USEFUL_QUERY_BYTES).max(2)).max(1)
    }
}

/// With less, a query of a few operators would do little but spill. Batches under way, files that are read, and decoded pages
/// take about as much again, which is not counted.
const USEFUL_QUERY_BYTES: usize = 24 << 20;

/// The memory that the process may use, as an option; in bytes.
pub(super) fn parse_limit(text: &str) -> Result<usize, String> {
    let amount: MemoryAmount = text
        .parse()
        .map_err(|error: neap_options::ValueError| error.to_string())?;
    let bytes = amount.bytes_of(limit_bytes());
    match bytes >= LEAST_LIMIT_BYTES {
        true => Ok(bytes),
        false => Err(format!(
            "at least {} MiB are needed",
            LEAST_LIMIT_BYTES >> 20
        )),
    }
}

/// Watches the memory of the process, and gives some back when it runs short.
#[derive(Debug)]
pub(super) struct MemoryWatch {
    pub(super) monitor: Arc<MemoryMonitor>,
    /// What keeps pieces of sections, if this process answers queries.
    pub(super) queries: Option<Arc<QueryEngine>>,
    pub(super) world: World,
}

impl MemoryWatch {
    /// Watches until `stop`.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        let relieve = || {
            if let Some(queries) = &self.queries {
                queries.release_memory();
            }
        };
        tokio::select! {
            () = self.monitor.run(&self.world, relieve) => {}
            () = stop.cancelled() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All parts of a plan together.
    fn sum(plan: &MemoryPlan) -> usize {
        let MemoryPlan {
            limit: _,
            queries,
            tails,
            chunks,
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
            let plan = MemoryPlan::of(limit, None);
            assert!(sum(&plan) * 100 < limit * 85, "{mebibytes} MiB: {plan:?}");
        }
    }

    #[test]
    fn what_queries_get_beyond_their_share_others_have_not() {
        let limit = 4 << 30;
        let plan = MemoryPlan::of(limit, Some(limit / 3));
        assert_eq!(plan.queries, limit / 3);
        assert!(sum(&plan) * 100 < limit * 85, "{plan:?}");
    }

    #[test]
    fn fewer_queries_run_at_once_where_there_is_little_memory() {
        let plan = MemoryPlan::of(512 << 20, None);
        assert_eq!(plan.queries_within(32), 3);
        assert_eq!(MemoryPlan::of(16 << 30, None).queries_within(32), 32);
        assert_eq!(plan.queries_within(1), 1);
    }

    #[test]
    fn a_limit_is_bytes_or_a_share_and_not_too_small() {
        assert_eq!(parse_limit("512MiB"), Ok(512 << 20));
        assert_eq!(parse_limit("100%"), Ok(limit_bytes() / 100 * 100));
        assert_eq!(
            parse_limit("1MiB"),
            Err("at least 128 MiB are needed".to_owned())
        );
        assert!(parse_limit("much").is_err());
    }
}
