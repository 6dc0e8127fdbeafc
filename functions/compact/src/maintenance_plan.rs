//! The plan of a database's maintenance, and its merges as batches that share an object and a commit.

use std::collections::BTreeSet;

use neap_schema::{DatabaseId, TableId};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::merge::{MergeJobRef, MergeReason};

/// Maximum number of merges in one commit.
const BATCH_MERGES: usize = 256;

/// Maximum bytes of the inputs of merges in one commit, because their outputs are in memory at the same time. A single
/// merge may exceed it.
const BATCH_BYTES: u64 = 16 << 20;

/// Maximum number of merges that do not share an object.
const FEW_MERGES: usize = 64;

/// A claimed merge, as dispatched to a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimedMerge {
    /// The database.
    pub database: DatabaseId,
    /// The claim.
    pub job: Ulid,
    /// The merge.
    pub merge: MergeJobRef,
}

/// Merges to run, and sections that were removed during planning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaintenancePlan {
    /// Merges that are claimed for the caller, who should run all of them.
    pub orders: Vec<ClaimedMerge>,
    /// Number of sections that were removed without being read.
    pub removed: usize,
    /// Tables that were skipped because of damaged pages, with these pages.
    pub failures: Vec<String>,
    /// Tables whose merges do not share an object, because other tools read their sections.
    pub(crate) own_objects: BTreeSet<TableId>,
    /// Bytes of the inputs of a merge from which its output is worth an object of its own.
    pub(crate) small_bytes: u64,
}

impl MaintenancePlan {
    /// Divides the orders into batches that are run together: small merges of neighbouring tables, which share pages.
    /// The inputs of a batch have at most `bytes` bytes, unless it has one order. Up to 64 orders are batches of one,
    /// so that other tools can read their outputs as Parquet files. These always are: orders of published tables,
    /// extractions, orders with a cold output, and large ones, whose output would have to be extracted later. Outputs of
    /// [`MergeReason::Recent`] are merged again.
    pub(crate) fn batches(&mut self, bytes: u64) -> Vec<Vec<ClaimedMerge>> {
        let orders = std::mem::take(&mut self.orders);
        let is_few = orders.len() <= FEW_MERGES;
        let (own, mut orders): (Vec<_>, Vec<_>) = orders.into_iter().partition(|order| {
            let is_own = match order.merge.reason {
                MergeReason::Extracted => true,
                MergeReason::Recent => false,
                _ => order.merge.bytes >= self.small_bytes,
            };
            let is_cold = order.merge.class.is_some();
            is_few || is_own || is_cold || self.own_objects.contains(&order.merge.table)
        });
        let own = own.into_iter().map(|order| vec![order]);
        orders.sort_by_key(|order| (order.merge.table, order.merge.first_day));
        let limit = BATCH_BYTES.min(bytes);
        let mut batches: Vec<Vec<ClaimedMerge>> = own.collect();
        let mut filled = u64::MAX;
        for order in orders {
            filled = filled.saturating_add(order.merge.bytes);
            match batches.last_mut() {
                Some(batch) if batch.len() < BATCH_MERGES && filled <= limit => batch.push(order),
                _ => {
                    filled = order.merge.bytes;
                    batches.push(vec![order]);
                }
            }
        }
        batches
    }
}

#[cfg(test)]
mod tests {
    use neap_bucket::Stamp;

    use super::*;

    fn order(table: u32, bytes: u64) -> ClaimedMerge {
        ClaimedMerge {
            database: DatabaseId::new(1),
            job: Ulid::nil(),
            merge: MergeJobRef {
                table: TableId::new(table),
                first_day: 0,
                last_day: 0,
                above: Stamp::ZERO,
                upto: Stamp::ZERO,
                inputs: Vec::new(),
                bytes,
                reason: MergeReason::Settled,
                class: None,
            },
        }
    }

    fn small(count: u32) -> Vec<ClaimedMerge> {
        (0..count).map(|table| order(table, 1_000)).collect()
    }

    fn batches(orders: Vec<ClaimedMerge>, bytes: u64) -> Vec<usize> {
        let mut plan =
            MaintenancePlan { orders, small_bytes: 1 << 20, ..MaintenancePlan::default() };
        plan.batches(bytes).iter().map(Vec::len).collect()
    }

    #[test]
    fn more_than_64_small_merges_share_commits_of_up_to_256_merges_and_16_mebibytes() {
        assert_eq!(batches(small(64), u64::MAX), [1; 64]);
        assert_eq!(batches(small(65), u64::MAX), [65]);
        assert_eq!(batches(small(600), u64::MAX), [256, 256, 88]);
        assert_eq!(batches(small(65), 50_000), [50, 15]);
        let mut large: Vec<_> = (0..66).map(|table| order(table, 5 << 20)).collect();
        large.iter_mut().for_each(|order| order.merge.reason = MergeReason::Recent);
        assert_eq!(batches(large, u64::MAX), [3; 22]);
        let mut mixed = small(70);
        mixed[10].merge.bytes = 1 << 30;
        mixed[10].merge.reason = MergeReason::Recent;
        assert_eq!(batches(mixed, u64::MAX), [10, 1, 59]);
    }

    #[test]
    fn extractions_and_large_outputs_of_settled_days_share_no_object() {
        let mut orders = small(70);
        orders[10].merge.reason = MergeReason::Extracted;
        orders[20].merge.bytes = 1 << 20;
        assert_eq!(batches(orders, u64::MAX), [1, 1, 68]);
    }
}
