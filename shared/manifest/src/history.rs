//! Earlier versions of a manifest, as long as what they name is there.
//!
//! The current manifest knows of every section when it was added and when it was dropped, so an earlier
//! version needs no object of its own: it is what was there at its number.

use std::{sync::Arc, time::Duration};

use neap_bucket::{Stamp, StoreTime, Versioned};
use serde::{Deserialize, Serialize};

use crate::{Manifest, condemned::Dropped};

/// The number of marks that a manifest remembers.
pub(crate) const MARKS: usize = 240;

/// Of these many newest marks none is forgotten: they tell which segments may be deleted.
pub(crate) const RECENT_MARKS: usize = 12;

/// Marks that are closer than this in time are thinned out, so that [`RECENT_MARKS`] of them always reach
/// back three minutes: further than the time after which segments below a mark may be deleted. All of them
/// reach back for an hour at least; further back they are thinned out by their age.
const MARK_SPACING: Duration = Duration::from_secs(15);

/// A low-water mark and when it was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkRecord {
    /// The mark.
    pub mark: Stamp,
    /// The version of the manifest that set it.
    pub version: u64,
    /// The last version that had it; `None` while it is the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
    /// When the first of them was committed, by the store's clock; filled in by the commit that replaces it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<StoreTime>,
}

/// A version of a manifest that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionInfo {
    /// The number of the version.
    pub version: u64,
    /// It has all writes up to this stamp.
    pub mark: Stamp,
    /// When the mark was committed, by the store's clock; `None` for a manifest that was never committed.
    pub committed: Option<StoreTime>,
}

/// The version that was asked for can't be read any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the data as of then are gone")]
pub struct VersionGone {
    /// The mark of the oldest version that can be read.
    pub oldest: Option<Stamp>,
}

impl Manifest {
    /// Raises the low-water mark in what becomes version `version`.
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

    /// Forgets the mark, not one of the newest and not the oldest one, that leaves the smallest hole for its
    /// age. Who asks for its version is shown the one before.
    fn thin_marks(&mut self, now: StoreTime) {
        let times = self.marks.iter().map(|record| record.mark.time());
        let times: Vec<_> = times.collect();
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

    /// Forgets the marks of versions that can't be read.
    pub(crate) fn forget_marks(&mut self) {
        let oldest = self.oldest_readable;
        let spare = self.marks.len().saturating_sub(RECENT_MARKS);
        let gone = self
            .marks
            .iter()
            .take(spare)
            .take_while(|record| record.last.unwrap_or(record.version) < oldest);
        let gone = gone.count();
        self.marks.drain(..gone);
    }

    /// The greatest mark that was committed at least `grace` before `now`: no snapshot that began before it
    /// still needs segments at or below it.
    pub fn settled_mark(
        current: &Versioned<Self>,
        now: StoreTime,
        grace: Duration,
    ) -> Option<Stamp> {
        let settled = current.value.marks.iter().filter(|record| {
            committed(current, record).is_some_and(|committed| now.since(committed) >= grace)
        });
        settled.map(|record| record.mark).max()
    }

    /// The oldest version that can be read. The first release did not write down what was when.
    pub(crate) fn oldest_readable(current: &Versioned<Self>) -> u64 {
        match current.value.is_of_first_release() {
            true => current.version,
            false => current.value.oldest_readable,
        }
    }

    /// The versions that can be read, one for each mark, oldest first.
    pub fn versions(current: &Versioned<Self>) -> Vec<VersionInfo> {
        let newest = current.value.marks.last();
        let version = |record: &MarkRecord| {
            // Marks of the first release don't say which version was their last.
            let last = match record.last {
                None if newest == Some(record) => current.version,
                last => last?,
            };
            Some(VersionInfo {
                version: last,
                mark: record.mark,
                committed: committed(current, record),
            })
        };
        let marks = current.value.marks.iter();
        let oldest = Self::oldest_readable(current);
        marks
            .filter_map(version)
            .filter(|found| found.version >= oldest)
            .collect()
    }

    /// The newest version whose mark is not above `as_of`, with the number of that version.
    ///
    /// # Errors
    /// It was dropped longer ago than earlier versions are kept.
    pub fn at(current: &Versioned<Self>, as_of: Stamp) -> Result<(u64, Arc<Self>), VersionGone> {
        if as_of >= current.value.low_water_mark {
            return Ok((current.version, Arc::clone(&current.value)));
        }
        let versions = Self::versions(current);
        let found = versions.iter().rev().find(|found| found.mark <= as_of);
        match found {
            Some(found) => Ok((found.version, Arc::new(current.value.view(*found)))),
            None if Self::oldest_readable(current) == 0 => Ok((0, Arc::default())),
            None => Err(VersionGone {
                oldest: versions.first().map(|version| version.mark),
            }),
        }
    }

    fn view(&self, of: VersionInfo) -> Self {
        let version = of.version;
        let was_there = self
            .condemned
            .iter()
            .filter(|entry| entry.may_be_in(version));
        let mut view = Self {
            low_water_mark: of.mark,
            needs_catalog: self.needs_catalog,
            as_of: Some(version),
            damage: self.damage_in(version),
            ..Self::default()
        };
        let live = self.sections.iter();
        view.sections = live
            .filter(|section| section.is_in_version(version))
            .cloned()
            .collect();
        let pages = self.pages.iter();
        view.pages = pages
            .filter(|page| page.first_added <= version)
            .cloned()
            .collect();
        for entry in was_there {
            match &entry.what {
                Dropped::Section(section) => view.sections.push(Arc::clone(section)),
                Dropped::Page(page) => view.pages.push(page.clone()),
                Dropped::Object(_) => {}
            }
        }
        view.sections.sort_by_key(|section| section.order());
        let deletes = self.deletes.iter();
        view.deletes = deletes
            .filter(|recorded| recorded.is_in_version(version))
            .cloned()
            .map(|recorded| crate::RecordedDelete {
                dropped: None,
                ..recorded
            })
            .collect();
        view
    }
}

/// When the mark was committed.
fn committed(current: &Versioned<Manifest>, record: &MarkRecord) -> Option<StoreTime> {
    if record.version == current.version {
        current.committed
    } else {
        record.committed
    }
}
