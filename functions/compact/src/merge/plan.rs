//! The plan of a table: what to merge, and what has expired, from what the manifest says of its sections.
//!
//! Sections whose days meet form a component; the others never share a point with it. While a component is
//! written to, its newest sections are merged now and then, so that a query doesn't open too many. When it
//! has been quiet for a while it is merged down to one section, or two where the second is small beside the
//! first or has other times. Later, quiet components that are small are merged with their neighbours.
//!
//! ```text
//!   length   8 1 1 1 1 1 1 1      recent, eight sections: the newest, as long as the next is no larger
//!              \___________/      than all of them together
//!            8 7
//!   length   36 7 1 1 1 1 1       settled: at most two stay
//!               \_________/
//!            36 12                and these differ by less than four: one
//! ```

use std::{cmp::Reverse, collections::BTreeSet, sync::Arc, time::Duration};

use neap_bucket::StoreTime;
use neap_manifest::Section;
use neap_schema::TableId;

use super::{
    Hull, InputRef, MergeJob,
    component::{Component, components},
    range::range_jobs,
};

/// What came late to settled days is merged with them when it is at least this part of them.
const FOLD_SHARE: u64 = 32;

/// For how long nothing was written to days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// They are written to.
    Written,
    /// They are settled.
    Settled,
    /// So long that they may share a range with their neighbours.
    Long,
}

/// When to merge what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergePolicy {
    /// Days count as settled when nothing was written to them for so long.
    pub settle_after: Duration,
    /// Days that are still written to are merged when they have so many sections.
    pub recent_sections: usize,
    /// Two sections of settled days are merged when both are smaller than this, in bytes.
    pub small_bytes: u64,
    /// The most bytes of all inputs of a merge: no section grows larger.
    pub max_output_bytes: u64,
    /// The most inputs of a merge.
    pub max_inputs: usize,
    /// Neighbouring days become one section that is smaller than this, in bytes.
    pub range_target: u64,
    /// Neighbouring days are merged when nothing was written to any of them for so long.
    pub range_after: Duration,
    /// Sections are rewritten without deleted rows when the delete is so old.
    pub delete_after: Duration,
}

impl Default for MergePolicy {
    fn default() -> Self {
        Self {
            settle_after: Duration::from_secs(30 * 60),
            recent_sections: 8,
            small_bytes: 1 << 20,
            max_output_bytes: 256 << 20,
            // A footer of each is in memory at once, and a window of its rows.
            max_inputs: 64,
            range_target: 32 << 20,
            range_after: Duration::from_secs(24 * 60 * 60),
            delete_after: Duration::from_secs(10 * 60),
        }
    }
}

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct TableState<'a> {
    /// The table.
    pub table: TableId,
    /// All its sections, in any order.
    pub sections: &'a [Arc<Section>],
    /// Those among them that may hold rows which were deleted long enough ago.
    pub rewrites: &'a BTreeSet<InputRef>,
    /// What others are working on.
    pub claimed: &'a [Hull],
    /// Rows before this time, in nanoseconds since the Unix epoch, have expired.
    pub cutoff: Option<i64>,
    /// How long rows are kept; `None`: for ever.
    pub retention: Option<Duration>,
    /// The store's time.
    pub now: StoreTime,
}

/// What is to be done with the sections of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TablePlan {
    /// Merges that have no section in common, those that rid queries of most sections first.
    pub jobs: Vec<MergeJob>,
    /// Sections all of whose rows have expired: they leave without being read.
    pub expired: Vec<Arc<Section>>,
}

/// What comes first is less: number of inputs, cost, table, day, stamp.
pub(super) type Urgency = (Reverse<usize>, u64, TableId, i32, u64);

/// Below this, merges cost the same: their requests take longer than their bytes. Neighbouring tables then come together.
const SAME_COST_BYTES: u64 = 1 << 20;

/// What rids queries of most sections comes first, then what costs least.
pub(super) fn urgency(job: &MergeJob) -> Urgency {
    let bytes = job.bytes();
    (
        Reverse(job.inputs.len()),
        if bytes < SAME_COST_BYTES { 0 } else { bytes },
        job.table,
        job.first_day,
        job.above.as_u64(),
    )
}

/// Plans the work on a table. The same state gives the same plan.
pub fn plan_table(state: &TableState<'_>, policy: &MergePolicy) -> TablePlan {
    let is_expired =
        |section: &Section| state.cutoff.is_some_and(|cutoff| section.max_time < cutoff);
    let is_claimed = |section: &Section| {
        let hull = Hull::of(section);
        state.claimed.iter().any(|claimed| claimed.meets(&hull))
    };
    let of_table = state
        .sections
        .iter()
        .filter(|section| section.table == state.table);
    let mut components: Vec<Component> = components(of_table.cloned().collect());
    let mut expired = Vec::new();
    for component in &mut components {
        component.note_claims(state.claimed);
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
    jobs.sort_by_cached_key(urgency);
    TablePlan { jobs, expired }
}

impl MergePolicy {
    /// Whether two sections of settled days are worth a merge.
    pub(super) fn are_similar(&self, one: u64, other: u64) -> bool {
        let (smaller, larger) = (one.min(other), one.max(other));
        larger < self.small_bytes || smaller >= larger / 4
    }

    /// Whether two sections of settled days whose times overlap are worth a merge: a query of these times reads
    /// both and folds them. What came late and is little waits for more, but not for ever.
    pub(super) fn is_worth_a_fold(&self, one: u64, other: u64, rest: Rest) -> bool {
        let (smaller, larger) = (one.min(other), one.max(other));
        rest == Rest::Long || smaller >= larger / FOLD_SHARE
    }

    fn rest(&self, quiet: Duration) -> Rest {
        if quiet >= self.range_after.max(self.settle_after) {
            Rest::Long
        } else if quiet >= self.settle_after {
            Rest::Settled
        } else {
            Rest::Written
        }
    }
}
