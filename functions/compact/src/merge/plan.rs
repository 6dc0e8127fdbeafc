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
//!
//! Cold sections take no part in these merges. They are rewritten if [their rows change](super::cold_rows).

use std::{cmp::Reverse, sync::Arc};

use neap_manifest::Section;
use neap_schema::TableId;

use super::{
    MergeJob, MergePolicy, MergeReason, TablePlanInput,
    cold_rows::class_of,
    overlap_group::{OverlapGroup, components},
    range_merges::range_jobs,
};

/// Planned work on the sections of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TablePlan {
    /// Disjoint merges, in order of how many sections they save queries.
    pub jobs: Vec<MergeJob>,
    /// Sections in which all rows have expired; they are removed without being read.
    pub expired: Vec<Arc<Section>>,
}

/// Sort key of a merge, smallest first: number of inputs (descending), whether it is an extraction, cost, table, day, stamp.
pub(super) type MergePriority = (Reverse<usize>, bool, u64, TableId, i32, u64);

/// Merges below this size count as equally expensive, because their requests take longer than the transfer. Thus merges
/// of neighbouring tables are adjacent.
const SAME_COST_BYTES: u64 = 1 << 20;

/// Returns the sort key of a merge: merges that save queries the most sections come first, then the cheapest. Extractions come after
/// rewrites without deleted rows, which must not wait.
pub(super) fn merge_priority(job: &MergeJob) -> MergePriority {
    let bytes = job.bytes();
    (
        Reverse(job.inputs.len()),
        job.reason == MergeReason::Extracted,
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
        let bounds = section.bounds();
        state.claimed.iter().any(|claim| claim.overlaps(&bounds))
    };
    let of_table = state.sections.iter().filter(|section| section.table == state.table);
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
        let rest = policy.rest(state.now.since(component.newest().time()));
        jobs.extend(component.backfills(rest, policy));
        jobs.extend(component.jobs(rest, policy));
        jobs.extend(component.rewrites(state.rewrites));
        if let Some(cold) = state.cold {
            jobs.extend(component.moves(rest, cold, policy));
        }
        jobs.extend(component.extractions(state.extraction, rest, state.now, policy));
    }
    for job in &mut jobs {
        job.class = class_of(job, state.cold, state.classes, state.now, policy);
    }
    jobs.sort_by_cached_key(merge_priority);
    TablePlan { jobs, expired }
}
