//! Bounds of sections (days and stamps), and closed sets of sections, which can be merged.

use std::sync::Arc;

use neap_bucket::Stamp;
use neap_manifest::Section;

/// A range of days and an interval of stamps of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionBounds {
    /// The first day, in days since the Unix epoch.
    pub first_day: i32,
    /// The last day.
    pub last_day: i32,
    /// Exclusive lower stamp of the segments.
    pub above: Stamp,
    /// Inclusive upper stamp of the segments.
    pub upto: Stamp,
}

impl SectionBounds {
    /// Returns the days and the interval of stamps of a section.
    pub fn of(section: &Section) -> Self {
        Self {
            first_day: section.first_day,
            last_day: section.last_day,
            above: section.above,
            upto: section.upto,
        }
    }

    /// Returns the smallest bounds that contain both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            first_day: self.first_day.min(other.first_day),
            last_day: self.last_day.max(other.last_day),
            above: self.above.min(other.above),
            upto: self.upto.max(other.upto),
        }
    }

    /// Returns whether both have a day and a stamp in common.
    pub fn meets(&self, other: &Self) -> bool {
        self.first_day <= other.last_day
            && other.first_day <= self.last_day
            && self.above < other.upto
            && other.above < self.upto
    }
}

/// A set of sections that is closed on each addition: every section that intersects the set's bounds is a member. Only
/// a closed set can become one section, because otherwise the output would claim days and stamps of another section.
#[derive(Clone, Debug)]
pub(super) struct ClosedSectionSet<'a> {
    sections: &'a [Arc<Section>],
    members: Vec<bool>,
    pub(super) count: usize,
    pub(super) bytes: u64,
    hull: Option<SectionBounds>,
}

impl<'a> ClosedSectionSet<'a> {
    pub(super) fn new(sections: &'a [Arc<Section>]) -> Self {
        Self {
            sections,
            members: vec![false; sections.len()],
            count: 0,
            bytes: 0,
            hull: None,
        }
    }

    pub(super) fn contains(&self, at: usize) -> bool {
        self.members.get(at).copied().unwrap_or(false)
    }

    /// Returns whether the bounds of the set intersect `other`.
    pub(super) fn meets(&self, other: &SectionBounds) -> bool {
        self.hull.is_some_and(|hull| hull.meets(other))
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
        let section = self
            .sections
            .get(at)
            .map(|section| SectionBounds::of(section));
        self.hull
            .zip(section)
            .is_some_and(|(hull, section)| hull.meets(&section))
    }

    fn take(&mut self, at: usize) {
        if let (Some(section), Some(member)) = (self.sections.get(at), self.members.get_mut(at))
            && !*member
        {
            *member = true;
            self.count += 1;
            self.bytes = self.bytes.saturating_add(section.length);
            let hull = SectionBounds::of(section);
            self.hull = Some(self.hull.map_or(hull, |all| all.with(hull)));
        }
    }
}
