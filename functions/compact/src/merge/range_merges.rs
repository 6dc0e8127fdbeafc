//! Merges small neighbouring days.
//!
//! Ranges of days are aligned, like those of flushes: two ranges are either nested or disjoint, so that late rows of
//! one range never require a merge of the next one.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    MergeJob, MergePolicy, MergeReason, TablePlanInput,
    day_ranges::{NARROWEST_RANGE_BITS, is_range_over},
    overlap_group::OverlapGroup,
};

/// Widths of ranges, as powers of two: from 4,096 days down to 4 days, each a quarter of the previous one.
const RANGE_BITS: [u32; 6] = [12, 10, 8, 6, 4, NARROWEST_RANGE_BITS];

/// A range covers at most this fraction of the retention period, because expired rows stay until all rows of their
/// section have expired.
const RETENTION_PART: u32 = 8;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Merges groups of overlapping sections that are small together, widest ranges first. Blocks the merged groups.
pub(super) fn range_jobs(
    components: &mut [OverlapGroup],
    state: &TablePlanInput<'_>,
    policy: &MergePolicy,
) -> Vec<MergeJob> {
    let mut jobs = Vec::new();
    for bits in RANGE_BITS {
        if !is_short(bits, state.retention) {
            continue;
        }
        for places in groups(components, bits) {
            let first = places.first().and_then(|at| components.get(*at));
            if !first.is_some_and(|first| is_range_over(first.days().0, bits, state.now))
                || !is_ready(components, &places, state, policy)
            {
                continue;
            }
            let members = || places.iter().filter_map(|at| components.get(*at));
            let inputs = members().flat_map(|component| component.sections.iter().map(Arc::clone));
            jobs.extend(MergeJob::new(inputs.collect(), MergeReason::Range));
            for at in places {
                if let Some(component) = components.get_mut(at) {
                    component.block(|_| true);
                }
            }
        }
    }
    jobs
}

fn is_short(bits: u32, retention: Option<Duration>) -> bool {
    retention.is_none_or(|retention| DAY * (1 << bits) <= retention / RETENTION_PART)
}

/// Returns the overlap groups that lie within each aligned range.
fn groups(components: &[OverlapGroup], bits: u32) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    for (at, component) in components.iter().enumerate() {
        let (first, last) = component.days();
        if first >> bits == last >> bits {
            groups.entry(first >> bits).or_default().push(at);
        }
    }
    groups.into_values().filter(|group| group.len() > 1).collect()
}

/// Returns whether the overlap groups are unclaimed and quiet, and fit into one section.
fn is_ready(
    components: &[OverlapGroup],
    places: &[usize],
    state: &TablePlanInput<'_>,
    policy: &MergePolicy,
) -> bool {
    let members = || places.iter().filter_map(|at| components.get(*at));
    let sections: usize = members().map(|component| component.sections.len()).sum();
    let bytes: u64 = members().map(OverlapGroup::bytes).sum();
    let is_quiet =
        |component: &OverlapGroup| state.now.since(component.newest().time()) >= policy.range_after;
    bytes < policy.range_target.min(policy.max_output_bytes)
        && sections <= policy.max_inputs
        && members().all(|component| component.is_free() && is_quiet(component))
}
