//! Earlier versions of a manifest, readable as long as their objects exist.
//!
//! The current manifest records for every section the versions that added and dropped it. So an earlier version needs
//! no object of its own: it is derived from the current manifest by its number.

use std::{sync::Arc, time::Duration};

use neap_bucket::{Stamp, StoreTime, VersionedValue};

use crate::{Manifest, MarkRecord, condemned::DroppedItem};

/// Maximum number of marks that a manifest keeps.
pub(crate) const MARKS: usize = 240;

/// Number of newest marks that are never thinned out, because they tell which segments may be deleted.
pub(crate) const RECENT_MARKS: usize = 12;

/// Minimum distance of two marks; closer ones are thinned out. So [`RECENT_MARKS`] marks always cover three minutes,
/// which is longer than the time after which segments below a mark may be deleted. All marks cover at least one hour;
/// older ones are thinned out by age.
const MARK_SPACING: Duration = Duration::from_secs(15);

/// A readable version of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionInfo {
    /// The number of the version.
    pub version: u64,
    /// The version has all writes up to this stamp.
    pub mark: Stamp,
    /// Commit time of the mark, by the store's clock; `None` for a manifest that was never committed.
    pub committed: Option<StoreTime>,
}

/// The requested version can no longer be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the requested earlier state is no longer available")]
pub struct VersionGone {
    /// The mark of the oldest readable version.
    pub oldest: Option<Stamp>,
}

impl Manifest {
    /// Raises the low-water mark in version `version`.
    pub(crate) fn raise_mark(&mut self, mark: Stamp, version: u64) {
        self.low_water_mark = self.low_water_mark.max(mark);
        if let Some(before) = self.marks.last_mut() {
            before.last.get_or_insert(version.saturating_sub(1));
        }
        if let [.., before, last] = self.marks.as_slice()
            && last.mark.time().since(before.mark.time()) < MARK_SPACING
        {
            self.marks.pop();
        }
        self.marks.push(MarkRecord {
            mark: self.low_water_mark,
            version,
            last: None,
            committed: None,
        });
        while self.marks.len() > MARKS {
            self.thin_marks(mark.time());
        }
    }

    /// Removes the mark whose removal leaves the smallest gap relative to its age. The newest marks and the oldest one
    /// stay. A reader that requests the removed version gets the version before it.
    fn thin_marks(&mut self, now: StoreTime) {
        let times: Vec<_> = self.marks.iter().map(|record| record.mark.time()).collect();
        let old = times.len().saturating_sub(RECENT_MARKS);
        let holes = times.windows(3).take(old.saturating_sub(2));
        let hole = |window: &[StoreTime]| match window {
            [before, at, after] => {
                let age = now.since(*at).as_micros().max(1);
                after.since(*before).as_micros().saturating_mul(1_000_000) / age
            }
            _ => u128::MAX,
        };
        let smallest = holes.enumerate().min_by_key(|(_, window)| hole(window));
        self.marks.remove(smallest.map_or(0, |(at, _)| at + 1));
    }

    /// Removes the marks of versions that can no longer be read.
    pub(crate) fn forget_marks(&mut self) {
        let oldest = self.oldest_readable;
        let spare = self.marks.len().saturating_sub(RECENT_MARKS);
        let gone = self
            .marks
            .iter()
            .take(spare)
            .take_while(|record| record.last.is_some_and(|last| last < oldest))
            .count();
        self.marks.drain(..gone);
    }

    /// Returns the highest mark that was committed at least `grace` before `now`. No snapshot still needs segments at
    /// or below it.
    pub fn settled_mark(
        current: &VersionedValue<Self>,
        now: StoreTime,
        grace: Duration,
    ) -> Option<Stamp> {
        let settled = current.value.marks.iter().filter(|record| {
            committed(current, record).is_some_and(|committed| now.since(committed) >= grace)
        });
        settled.map(|record| record.mark).max()
    }

    /// Returns the readable versions, one for each mark, oldest first.
    pub fn versions(current: &VersionedValue<Self>) -> Vec<VersionInfo> {
        let version = |record: &MarkRecord| VersionInfo {
            version: record.last.unwrap_or(current.version),
            mark: record.mark,
            committed: committed(current, record),
        };
        let marks = current.value.marks.iter();
        marks
            .map(version)
            .filter(|found| found.version >= current.value.oldest_readable)
            .collect()
    }

    /// Returns the newest version whose mark is not above `as_of`, with its number.
    ///
    /// # Errors
    /// [`VersionGone`]: the version is older than the time-travel period.
    pub fn at(
        current: &VersionedValue<Self>,
        as_of: Stamp,
    ) -> Result<(u64, Arc<Self>), VersionGone> {
        if as_of >= current.value.low_water_mark {
            return Ok((current.version, Arc::clone(&current.value)));
        }
        let versions = Self::versions(current);
        let found = versions.iter().rev().find(|found| found.mark <= as_of);
        match found {
            Some(found) => Ok((found.version, Arc::new(current.value.view(*found)))),
            None if current.value.oldest_readable == 0 => Ok((0, Arc::default())),
            None => Err(VersionGone { oldest: versions.first().map(|version| version.mark) }),
        }
    }

    fn view(&self, of: VersionInfo) -> Self {
        let version = of.version;
        let was_there = self.condemned.iter().filter(|entry| entry.may_be_in(version));
        let mut view = Self {
            low_water_mark: of.mark,
            needs_catalog: self.needs_catalog,
            as_of: Some(version),
            damage: self.damage_in(version),
            ..Self::default()
        };
        let live = self.sections.iter();
        view.sections = live.filter(|section| section.is_in_version(version)).cloned().collect();
        let pages = self.pages.iter();
        view.pages = pages.filter(|page| page.first_added <= version).cloned().collect();
        for entry in was_there {
            match &entry.what {
                DroppedItem::Section(section) => view.sections.push(Arc::clone(section)),
                DroppedItem::Page(page) => view.pages.push(page.clone()),
                DroppedItem::Object(_) => {}
            }
        }
        view.sections.sort_by_key(|section| section.order());
        let deletes = self.deletes.iter();
        view.deletes = deletes
            .filter(|recorded| recorded.is_in_version(version))
            .cloned()
            .map(|recorded| crate::RecordedDelete { dropped: None, ..recorded })
            .collect();
        view
    }
}

/// Returns the commit time of a mark.
fn committed(current: &VersionedValue<Manifest>, record: &MarkRecord) -> Option<StoreTime> {
    if record.version == current.version {
        current.committed
    } else {
        record.committed
    }
}
