//! Groups of sections with overlapping days, and the selection of merges in a group.

use std::{collections::BTreeSet, sync::Arc};

use neap_bucket::{Stamp, StoreTime};
use neap_manifest::{Section, SectionBounds};

use super::{
    ColdRows, Extraction, MergeJob, MergePolicy, MergeReason, SectionRef,
    closed_sections::ClosedSectionSet, policy::WriteActivity,
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

    /// Returns whether all sections can be inputs of a merge that changes no rows.
    pub(super) fn is_free(&self) -> bool {
        self.free() == self.sections.len()
    }

    /// Adds the claims of other workers that intersect this group.
    pub(super) fn add_claims(&mut self, claims: &[SectionBounds]) {
        let Self { sections, outputs, .. } = self;
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
        (0..self.sections.len()).filter(|at| self.is_warm(*at)).count()
    }

    fn is_blocked(&self, at: usize) -> bool {
        self.blocked.get(at).copied().unwrap_or(true)
    }

    /// Returns whether a section can be an input of a merge that changes no rows.
    fn is_warm(&self, at: usize) -> bool {
        let section = self.sections.get(at);
        !self.is_blocked(at) && section.is_some_and(|section| !section.is_cold())
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
                jobs.extend(MergeJob::new(vec![Arc::clone(section)], MergeReason::Deletes));
            }
        }
        jobs
    }

    /// Returns the merges of cold sections with newer rows of the same times, once the days have been quiet for long.
    pub(super) fn backfills(&mut self, rest: WriteActivity, policy: &MergePolicy) -> Vec<MergeJob> {
        let mut jobs = Vec::new();
        if rest != WriteActivity::Cold {
            return jobs;
        }
        for newest in (0..self.sections.len()).rev() {
            if let Some(taken) = self.backfill(newest, policy) {
                jobs.extend(self.take(&taken, MergeReason::Backfill));
            }
        }
        jobs
    }

    /// Returns the inputs of the merge of a section with the cold sections of the same times, if there are any and the
    /// section is worth their retrieval.
    fn backfill(&self, newest: usize, policy: &MergePolicy) -> Option<Vec<usize>> {
        let added = self.sections.get(newest).filter(|_| self.is_warm(newest))?;
        let mut set = ClosedSectionSet::new(&self.sections);
        set.add(newest);
        for (at, section) in self.sections.iter().enumerate() {
            if section.is_cold() && section.overlaps(added) {
                set.add(at);
            }
        }
        let inputs = || set.places().filter_map(|at| self.sections.get(at));
        let (cold, warm): (Vec<_>, Vec<_>) = inputs().partition(|section| section.is_cold());
        let changes = |section: &&Arc<Section>| warm.iter().any(|other| other.overlaps(section));
        let bytes = |sections: &[&Arc<Section>]| -> u64 {
            sections.iter().map(|section| section.length).sum()
        };
        let is_worth = !cold.is_empty()
            && cold.iter().all(changes)
            && policy.is_worth_retrieving(bytes(&cold), bytes(&warm));
        (is_worth && self.fits(&set, policy)).then(|| set.places().collect())
    }

    /// Returns whether a set can be the inputs of a job.
    fn fits(&self, set: &ClosedSectionSet<'_>, policy: &MergePolicy) -> bool {
        set.bytes <= policy.max_output_bytes
            && set.count <= policy.max_inputs
            && !set.places().any(|at| self.is_blocked(at))
            && !self.outputs.iter().any(|output| set.overlaps(output))
    }

    /// Returns rewrites of single sections, which become cold and are not inputs of another job, once the days have been
    /// quiet for long.
    pub(super) fn moves(
        &mut self,
        rest: WriteActivity,
        cold: ColdRows,
        policy: &MergePolicy,
    ) -> Vec<MergeJob> {
        let mut jobs = Vec::new();
        if rest != WriteActivity::Cold {
            return jobs;
        }
        for (section, blocked) in self.sections.iter().zip(&mut self.blocked) {
            if !*blocked && cold.is_due(section, policy) {
                *blocked = true;
                jobs.extend(MergeJob::new(vec![Arc::clone(section)], MergeReason::Cold));
            }
        }
        jobs
    }

    /// Returns rewrites of single sections, which leave their bundles and are not inputs of another job. Of a table that is
    /// not published, none if the group has other jobs, whose outputs may be merged with them.
    pub(super) fn extractions(
        &mut self,
        extraction: Extraction,
        rest: WriteActivity,
        now: StoreTime,
        policy: &MergePolicy,
    ) -> Vec<MergeJob> {
        let mut jobs = Vec::new();
        if extraction == Extraction::Large && !self.outputs.is_empty() {
            return jobs;
        }
        for (section, blocked) in self.sections.iter().zip(&mut self.blocked) {
            if !*blocked && extraction.is_due(section, &self.sections, rest, now, policy) {
                *blocked = true;
                let inputs = vec![Arc::clone(section)];
                jobs.extend(MergeJob::new(inputs, MergeReason::Extracted));
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
            set.places().all(|at| self.is_warm(at)) && self.fits(set, policy)
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
