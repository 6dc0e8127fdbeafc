//! Merges of neighbouring days that are small.
//!
//! Ranges of days are aligned, as those that a flush writes are: they contain each other or have nothing in
//! common, so that late rows of one range never bring the next one along.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use neap_manifest::day_of;

use super::{
    MergeJob, MergeReason,
    component::Component,
    plan::{MergePolicy, TableState},
};

/// Ranges of 4 days are the narrowest, and each step is four times as wide, up to 4,096 days.
const STEPS: [u32; 6] = [12, 10, 8, 6, 4, 2];

/// A range is at most this part of the time that rows are kept: expired rows stay until all rows of their
/// section have expired.
const RETENTION_PART: u32 = 8;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Merges of components that together are small, the widest ranges first. The components are then blocked.
pub(super) fn range_jobs(
    components: &mut [Component],
    state: &TableState<'_>,
    policy: &MergePolicy,
) -> Vec<MergeJob> {
    let mut jobs = Vec::new();
    for bits in STEPS {
        if !is_short(bits, state.retention) {
            continue;
        }
        for places in groups(components, bits) {
            if !is_over(components, &places, bits, state)
                || !is_ready(components, &places, state, policy)
            {
                continue;
            }
            let members = || places.iter().filter_map(|at| components.get(*at));
            let inputs = members().flat_map(|component| component.sections.iter().map(Arc::clone));
            jobs.extend(MergeJob::of(inputs.collect(), MergeReason::Range));
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

/// The components of each aligned range, if they end within it.
fn groups(components: &[Component], bits: u32) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    for (at, component) in components.iter().enumerate() {
        let (first, last) = component.days();
        if first >> bits == last >> bits {
            groups.entry(first >> bits).or_default().push(at);
        }
    }
    groups
        .into_values()
        .filter(|group| group.len() > 1)
        .collect()
}

/// Whether the range has ended before yesterday.
fn is_over(components: &[Component], places: &[usize], bits: u32, state: &TableState<'_>) -> bool {
    let first = places.first().and_then(|at| components.get(*at));
    let today = day_of(state.now.micros().saturating_mul(1_000));
    first.is_some_and(|component| {
        let last_day = component.days().0 >> bits << bits | ((1 << bits) - 1);
        last_day < today - 1
    })
}

/// Whether nobody works on the components, they are quiet, and they fit one section.
fn is_ready(
    components: &[Component],
    places: &[usize],
    state: &TableState<'_>,
    policy: &MergePolicy,
) -> bool {
    let members = || places.iter().filter_map(|at| components.get(*at));
    let sections: usize = members().map(|component| component.sections.len()).sum();
    let bytes: u64 = members().map(Component::bytes).sum();
    let is_quiet =
        |component: &Component| state.now.since(component.newest().time()) >= policy.range_after;
    bytes < policy.range_target.min(policy.max_output_bytes)
        && sections <= policy.max_inputs
        && members().all(|component| component.is_free() && is_quiet(component))
}
