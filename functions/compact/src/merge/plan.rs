//! The plan of a table: selects merges and expired sections from the metadata in the manifest.
//!
//! Sections with overlapping days form an overlap group; sections of different groups never share a point. While a
//! group is written to, its newest sections are merged from time to time, so that a query opens few sections. When it
//! has been quiet for a while, it is merged into one section, or into two if the second is small compared to the first
//! or covers other times. Later, quiet groups that are small are merged with their neighbours.
//!
//! ```text
//!   length   8 1 1 1 1 1 1 1      recent, eight sections: the newest, as long as the next is no larger
//!              \___________/      than all of them together
//!            8 7
//!   length   36 7 1 1 1 1 1       settled: at most two stay
//!               \_________/
//!            36 12                and if these differ by less than a factor of four: one
//! ```

use std::{cmp::Reverse, collections::BTreeSet, sync::Arc, time::Duration};

use neap_bucket::StoreTime;
use neap_manifest::{Manifest, Section};
use neap_schema::TableId;
use neap_wal::DeleteLimits;

use super::{
    MergeJob, SectionBounds, SectionRef,
    overlap_group::{OverlapGroup, components},
    range_merges::range_jobs,
};

/// Late sections of settled days are merged with the older section if they have at least 1/32 of its size.
const LATE_DATA_RATIO: u64 = 32;

/// Write activity of days, by the time since the last write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteActivity {
    /// The days are written to.
    Active,
    /// The days are settled.
    Settled,
    /// The days have been quiet for so long that they may share a range with their neighbours.
    Cold,
}

/// Policy of merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergePolicy {
    /// Time without writes after which days count as settled.
    pub settle_after: Duration,
    /// Number of sections at which days that are still written to are merged.
    pub recent_sections: usize,
    /// Two sections of settled days are merged if both are smaller than this, in bytes.
    pub small_bytes: u64,
    /// Maximum bytes of all inputs of a merge, so that no section grows larger.
    pub max_output_bytes: u64,
    /// Maximum number of inputs of a merge.
    pub max_inputs: usize,
    /// Maximum size of a section for several neighbouring days, in bytes (exclusive).
    pub range_target: u64,
    /// Time without writes to any of several neighbouring days after which they are merged.
    pub range_after: Duration,
    /// Age of a delete at which sections are rewritten without the deleted rows.
    pub delete_after: Duration,
    /// Bytes of the pending deletes of a database above which sections are rewritten at once, whatever the age of the
    /// deletes: far below the limit at which writers refuse deletes.
    pub max_delete_bytes: u64,
}

impl Default for MergePolicy {
    fn default() -> Self {
        Self {
            settle_after: Duration::from_secs(30 * 60),
            recent_sections: 8,
            small_bytes: 1 << 20,
            max_output_bytes: 256 << 20,
            // The footers of all inputs and a window of each are in memory at the same time.
            max_inputs: 64,
            range_target: 32 << 20,
            range_after: Duration::from_secs(24 * 60 * 60),
            delete_after: Duration::from_secs(10 * 60),
            max_delete_bytes: DeleteLimits::DEFAULT.pending_bytes / 16,
        }
    }
}

/// Inputs of a plan.
#[derive(Clone, Copy, Debug)]
pub struct TablePlanInput<'a> {
    /// The table.
    pub table: TableId,
    /// All its sections, in any order.
    pub sections: &'a [Arc<Section>],
    /// Sections that may hold deleted rows which merges remove now.
    pub rewrites: &'a BTreeSet<SectionRef>,
    /// Bounds of merges that other workers have claimed.
    pub claimed: &'a [SectionBounds],
    /// Rows before this time, in nanoseconds since the Unix epoch, have expired.
    pub cutoff: Option<i64>,
    /// Retention period; `None` without limit.
    pub retention: Option<Duration>,
    /// The store's time.
    pub now: StoreTime,
}

/// Planned work on the sections of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TablePlan {
    /// Disjoint merges, in order of how many sections they save queries.
    pub jobs: Vec<MergeJob>,
    /// Sections in which all rows have expired; they are removed without being read.
    pub expired: Vec<Arc<Section>>,
}

/// Sort key of a merge, smallest first: number of inputs (descending), cost, table, day, stamp.
pub(super) type MergePriority = (Reverse<usize>, u64, TableId, i32, u64);

/// Merges below this size count as equally expensive, because their requests take longer than the transfer. Thus merges
/// of neighbouring tables are adjacent.
const SAME_COST_BYTES: u64 = 1 << 20;

/// Returns the sort key of a merge: merges that save queries the most sections come first, then the cheapest.
pub(super) fn merge_priority(job: &MergeJob) -> MergePriority {
    let bytes = job.bytes();
    (
        Reverse(job.inputs.len()),
        if bytes < SAME_COST_BYTES { 0 } else { bytes },
        job.table,
        job.first_day,
        job.above.as_u64(),
    )
}

/// Plans the work on a table. Deterministic: the same state gives the same plan.
pub fn plan_table(state: &TablePlanInput<'_>, policy: &MergePolicy) -> TablePlan {
    let is_expired =
        |section: &Section| state.cutoff.is_some_and(|cutoff| section.max_time < cutoff);
    let is_claimed = |section: &Section| {
        let hull = SectionBounds::of(section);
        state.claimed.iter().any(|claimed| claimed.meets(&hull))
    };
    let of_table = state
        .sections
        .iter()
        .filter(|section| section.table == state.table);
    let mut components: Vec<OverlapGroup> = components(of_table.cloned().collect());
    let mut expired = Vec::new();
    for component in &mut components {
        component.add_claims(state.claimed);
        component.block(|section| {
            let (gone, busy) = (is_expired(section), is_claimed(section));
            if gone && !busy {
                expired.push(Arc::clone(section));
            }
            gone || busy
        });
    }
    let mut jobs = range_jobs(&mut components, state, policy);
    for component in &mut components {
        let quiet = state.now.since(component.newest().time());
        jobs.extend(component.jobs(policy.rest(quiet), policy));
        jobs.extend(component.rewrites(state.rewrites));
    }
    jobs.sort_by_cached_key(merge_priority);
    TablePlan { jobs, expired }
}

impl MergePolicy {
    /// Returns whether two sections of settled days are worth a merge.
    pub(super) fn are_similar(&self, one: u64, other: u64) -> bool {
        let (smaller, larger) = (one.min(other), one.max(other));
        larger < self.small_bytes || smaller >= larger / 4
    }

    /// Returns whether two sections of settled days with overlapping times are worth a merge, because a query of these
    /// times reads and deduplicates both. A small late section waits for more data, but at most until the days are
    /// cold.
    pub(super) fn is_worth_deduplicating(&self, one: u64, other: u64, rest: WriteActivity) -> bool {
        let (smaller, larger) = (one.min(other), one.max(other));
        rest == WriteActivity::Cold || smaller >= larger / LATE_DATA_RATIO
    }

    /// Returns whether all pending deletes of a database are applied at once.
    pub(crate) fn are_deletes_urgent(&self, manifest: &Manifest) -> bool {
        manifest.delete_bytes().pending > self.max_delete_bytes
    }

    fn rest(&self, quiet: Duration) -> WriteActivity {
        if quiet >= self.range_after.max(self.settle_after) {
            WriteActivity::Cold
        } else if quiet >= self.settle_after {
            WriteActivity::Settled
        } else {
            WriteActivity::Active
        }
    }
}
