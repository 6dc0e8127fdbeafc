//! Groups of sections with overlapping days, and the selection of merges in a group.

use std::{collections::BTreeSet, sync::Arc};

use neap_bucket::Stamp;
use neap_manifest::{Section, SectionBounds};

use super::{
    MergeJob, MergePolicy, MergeReason, SectionRef, closed_sections::ClosedSectionSet,
    policy::WriteActivity,
};

/// Number of sections that settled days may keep.
const SETTLED_SECTIONS: usize = 2;

/// Sections that are connected by overlapping days, oldest first by stamp.
#[derive(Debug)]
pub(super) struct OverlapGroup {
    pub(super) sections: Vec<Arc<Section>>,
    /// Sections that cannot be an input: they are claimed, expired, or inputs of another job.
    blocked: Vec<bool>,
    /// Bounds of the outputs of jobs, planned here or claimed by other workers: one section each.
    outputs: Vec<SectionBounds>,
}

/// Divides the sections of a table into overlap groups, in the order of their days.
pub(super) fn components(mut sections: Vec<Arc<Section>>) -> Vec<OverlapGroup> {
    sections.sort_by_key(|section| (section.first_day, section.last_day));
    let mut components: Vec<(i32, Vec<Arc<Section>>)> = Vec::new();
    for section in sections {
        match components.last_mut() {
            Some((last_day, members)) if section.first_day <= *last_day => {
                *last_day = (*last_day).max(section.last_day);
                members.push(section);
            }
            _ => components.push((section.last_day, vec![section])),
        }
    }
    let components = components.into_iter().map(|(_, members)| members);
    components.map(OverlapGroup::new).collect()
}

impl OverlapGroup {
    fn new(mut sections: Vec<Arc<Section>>) -> Self {
        sections.sort_by_key(|section| (section.upto, section.above, section.first_day));
        Self {
            blocked: vec![false; sections.len()],
            sections,
            outputs: Vec::new(),
        }
    }

    /// Returns the upper stamp of the newest section.
    pub(super) fn newest(&self) -> Stamp {
        let newest = self.sections.iter().map(|section| section.upto).max();
        newest.unwrap_or(Stamp::ZERO)
    }

    /// Returns the first and the last day.
    pub(super) fn days(&self) -> (i32, i32) {
        let first = self.sections.iter().map(|section| section.first_day).min();
        let last = self.sections.iter().map(|section| section.last_day).max();
        (first.unwrap_or(0), last.unwrap_or(0))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.sections.iter().map(|section| section.length).sum()
    }

    /// Returns whether all sections can be inputs.
    pub(super) fn is_free(&self) -> bool {
        !self.blocked.contains(&true)
    }

    /// Adds the claims of other workers that intersect this group.
    pub(super) fn add_claims(&mut self, claims: &[SectionBounds]) {
        let Self {
            sections, outputs, ..
        } = self;
        let overlaps = |claim: &&SectionBounds| {
            sections.iter().any(|section| claim.overlaps(&section.bounds()))
        };
        outputs.extend(claims.iter().filter(overlaps));
    }

    /// Excludes sections from merges.
    pub(super) fn block(&mut self, mut is_blocked: impl FnMut(&Arc<Section>) -> bool) {
        for (section, blocked) in self.sections.iter().zip(&mut self.blocked) {
            *blocked |= is_blocked(section);
        }
    }

    fn free(&self) -> usize {
        self.blocked.iter().filter(|blocked| !**blocked).count()
    }

    fn is_blocked(&self, at: usize) -> bool {
        self.blocked.get(at).copied().unwrap_or(true)
    }

    /// Returns the merges that reduce the group to few enough sections, or that come as close as the limits allow.
    pub(super) fn jobs(&mut self, rest: WriteActivity, policy: &MergePolicy) -> Vec<MergeJob> {
        let settled = rest != WriteActivity::Active;
        let (enough, reason) = if settled {
            (SETTLED_SECTIONS, MergeReason::Settled)
        } else {
            let enough = policy.recent_sections.saturating_sub(1).max(1);
            (enough, MergeReason::Recent)
        };
        let mut jobs = Vec::new();
        loop {
            let count = self.free() + self.outputs.len();
            let pair = settled && count == SETTLED_SECTIONS && self.outputs.is_empty();
            if count <= enough && !pair {
                return jobs;
            }
            let needed = (count + 1).saturating_sub(enough);
            let Some(taken) = self.pick(needed, rest, policy) else {
                return jobs;
            };
            jobs.extend(self.take(&taken, reason));
        }
    }

    /// Returns rewrites of single sections that are not inputs of another job.
    pub(super) fn rewrites(&mut self, wanted: &BTreeSet<SectionRef>) -> Vec<MergeJob> {
        let mut jobs = Vec::new();
        for (section, blocked) in self.sections.iter().zip(&mut self.blocked) {
            if !*blocked && wanted.contains(&SectionRef::from_section(section)) {
                *blocked = true;
                jobs.extend(MergeJob::new(
                    vec![Arc::clone(section)],
                    MergeReason::Deletes,
                ));
            }
        }
        jobs
    }

    fn take(&mut self, places: &[usize], reason: MergeReason) -> Option<MergeJob> {
        let inputs = places.iter().filter_map(|at| self.sections.get(*at)).cloned();
        let job = MergeJob::new(inputs.collect(), reason);
        for at in places {
            if let Some(blocked) = self.blocked.get_mut(*at) {
                *blocked = true;
            }
        }
        self.outputs.extend(job.as_ref().map(MergeJob::bounds));
        job
    }

    /// Selects the newest sections that can be merged: at least `needed` if the limits allow it, and more as long as
    /// they are worth the cost of writing them. If the newest sections cannot be merged, tries older ones.
    fn pick(&self, needed: usize, rest: WriteActivity, policy: &MergePolicy) -> Option<Vec<usize>> {
        let fits = |set: &ClosedSectionSet<'_>| {
            set.bytes <= policy.max_output_bytes
                && set.count <= policy.max_inputs
                && !set.places().any(|at| self.is_blocked(at))
                && !self.outputs.iter().any(|output| set.overlaps(output))
        };
        for newest in (1..self.sections.len()).rev() {
            let mut set = ClosedSectionSet::new(&self.sections);
            set.add(newest);
            let mut best = None;
            for older in (0..newest).rev() {
                if set.contains(older) {
                    continue;
                }
                if !self.is_worth(&set, older, needed, rest, policy) {
                    break;
                }
                set.add(older);
                if !fits(&set) {
                    break;
                }
                best = Some(set.clone());
            }
            if let Some(best) = best {
                return Some(best.places().collect());
            }
        }
        None
    }

    /// Returns whether the next older section should also be an input.
    fn is_worth(
        &self,
        set: &ClosedSectionSet<'_>,
        older: usize,
        needed: usize,
        rest: WriteActivity,
        policy: &MergePolicy,
    ) -> bool {
        let Some(section) = self.sections.get(older) else {
            return false;
        };
        let (bytes, settled) = (section.length, rest != WriteActivity::Active);
        let mut inputs = set.places().filter_map(|at| self.sections.get(at));
        // Every query must deduplicate overlapping sections.
        let overlaps = inputs.any(|other| other.overlaps(section));
        let left = self.free().saturating_sub(set.count) + self.outputs.len();
        let is_last = settled && left == 1 && self.outputs.is_empty();
        let is_pair = is_last && set.count == 1;
        set.count < needed
            || (!is_pair && bytes <= set.bytes)
            || (is_last && policy.are_similar(bytes, set.bytes))
            || (is_last && overlaps && policy.is_worth_deduplicating(bytes, set.bytes, rest))
    }
}
