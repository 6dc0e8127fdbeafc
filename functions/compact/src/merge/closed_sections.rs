//! Closed sets of sections, which can be merged.

use std::sync::Arc;

use neap_manifest::{Section, SectionBounds};

/// A set of sections that is closed on each addition: every section that intersects the set's bounds is a member. Only
/// a closed set can become one section, because otherwise the output would claim days and stamps of another section.
#[derive(Clone, Debug)]
pub(super) struct ClosedSectionSet<'a> {
    sections: &'a [Arc<Section>],
    members: Vec<bool>,
    pub(super) count: usize,
    pub(super) bytes: u64,
    bounds: Option<SectionBounds>,
}

impl<'a> ClosedSectionSet<'a> {
    pub(super) fn new(sections: &'a [Arc<Section>]) -> Self {
        Self {
            sections,
            members: vec![false; sections.len()],
            count: 0,
            bytes: 0,
            bounds: None,
        }
    }

    pub(super) fn contains(&self, at: usize) -> bool {
        self.members.get(at).copied().unwrap_or(false)
    }

    /// Returns whether the bounds of the set intersect `other`.
    pub(super) fn overlaps(&self, other: &SectionBounds) -> bool {
        self.bounds.is_some_and(|bounds| bounds.overlaps(other))
    }

    pub(super) fn places(&self) -> impl Iterator<Item = usize> + '_ {
        let members = self.members.iter().enumerate();
        members.filter(|(_, member)| **member).map(|(at, _)| at)
    }

    /// Adds a section and all sections that are needed to close the set.
    pub(super) fn add(&mut self, at: usize) {
        self.take(at);
        loop {
            let before = self.count;
            for at in 0..self.sections.len() {
                if !self.contains(at) && self.is_met(at) {
                    self.take(at);
                }
            }
            if self.count == before {
                return;
            }
        }
    }

    fn is_met(&self, at: usize) -> bool {
        let section = self.sections.get(at);
        section.is_some_and(|section| self.overlaps(&section.bounds()))
    }

    fn take(&mut self, at: usize) {
        if let (Some(section), Some(member)) = (self.sections.get(at), self.members.get_mut(at))
            && !*member
        {
            *member = true;
            self.count += 1;
            self.bytes = self.bytes.saturating_add(section.length);
            let added = section.bounds();
            self.bounds = Some(self.bounds.map_or(added, |all| all.union(added)));
        }
    }
}
