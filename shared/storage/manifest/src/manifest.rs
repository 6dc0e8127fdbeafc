//! The manifest of a database: the data objects, and the low-water mark up to which they hold all writes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use neap_bucket::{ObjectFormat, RegisterValue, Stamp, VersionedValue, formats};
use neap_schema::TableId;
use neap_wal::TailState;
use serde::{Deserialize, Serialize};

use crate::{
    CacheEntry, Claim, CondemnedEntry, DamageRecord, ImportedRows, JobRecord, MarkRecord,
    ObjectName, PageRef, Publication, RecordedDelete, Section, ShippingHold, TableExpiry,
    VersionPin, condemned::DroppedItem, section::day_of,
};

/// The register value that lists the sections of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The stamp up to which all segments are in sections. Segments above it form the tail.
    pub low_water_mark: Stamp,
    /// The lowest version of the database catalog that defines every table and column of the sections.
    pub needs_catalog: u64,
    /// The recent sections, in the order of their stamp intervals.
    pub sections: Vec<Arc<Section>>,
    /// References to the pages that list older sections.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pages: Vec<PageRef>,
    /// The latest low-water marks, oldest first.
    pub marks: Vec<MarkRecord>,
    /// The row deletes that flushes have recorded, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deletes: Vec<RecordedDelete>,
    /// The dropped items that earlier versions can still read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub condemned: Vec<CondemnedEntry>,
    /// Damaged objects whose rows are missing, and those that operators have quarantined. None of them is deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damage: Vec<DamageRecord>,
    /// The objects of the table caches at the mark. A cache without an object has no entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caches: Vec<CacheEntry>,
    /// The latest expiries, oldest first. An expiry is removed when a later one of the same table covers it. The number
    /// is limited.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expiries: Vec<TableExpiry>,
    /// Versions from which databases were restored. Their objects are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<VersionPin>,
    /// The published states of tables, whose objects are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publications: Vec<Publication>,
    /// Versions below this number can no longer be read.
    pub oldest_readable: u64,
    /// Claims of running jobs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<Claim>,
    /// The latest committed jobs, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<JobRecord>,
    /// The rows of import jobs, and the parts of sites, in segments up to the mark, in the order of their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<ImportedRows>,
    /// The segments that are kept until they are shipped to another database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping: Option<ShippingHold>,
    /// The state of the tail above the mark, as the last flusher published it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<TailState>,
    /// The version number, if this manifest is a view made by [`Manifest::at`].
    #[serde(skip)]
    pub as_of: Option<u64>,
}

impl RegisterValue for Manifest {
    const FORMAT: ObjectFormat = formats::MANIFEST;
}

/// A manifest violates an invariant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the manifest is inconsistent: {0}")]
pub struct ManifestInconsistency(String);

impl Manifest {
    /// Returns a copy of `base` for the next version, with the commit time of `base` filled in. Every commit to a
    /// manifest starts with it.
    pub fn successor(base: &VersionedValue<Self>) -> Self {
        let mut next = Self::clone(&base.value);
        for record in &mut next.marks {
            if record.version == base.version && record.committed.is_none() {
                record.committed = base.committed;
            }
        }
        for condemned in &mut next.condemned {
            if condemned.version == base.version && condemned.committed.is_none() {
                condemned.committed = base.committed;
            }
        }
        next
    }

    /// Returns whether a section of one of its pages belongs to this version.
    pub(crate) fn has(&self, section: &Section) -> bool {
        self.as_of.is_none_or(|version| section.is_in_version(version))
    }

    /// Records items as dropped by the commit that creates version `version`.
    pub(crate) fn condemn(&mut self, what: impl IntoIterator<Item = DroppedItem>, version: u64) {
        let entries = what.into_iter().map(|what| CondemnedEntry::new(what, version));
        self.condemned.extend(entries);
    }

    /// Returns whether the manifest itself references a table: in sections, row deletes or damage records, including
    /// those that only earlier versions can read. Pages are checked by [`crate::ManifestStore::unnamed_tables`].
    pub(crate) fn names_table(&self, table: TableId) -> bool {
        let is_dropped = |entry: &CondemnedEntry| match &entry.what {
            DroppedItem::Section(section) => section.table == table,
            DroppedItem::Page(_) | DroppedItem::Object(_) => false,
        };
        let mut lost = self.damage.iter().flat_map(|record| &record.lost);
        self.sections.iter().any(|section| section.table == table)
            || self.deletes.iter().any(|one| one.delete.table == table)
            || self.condemned.iter().any(is_dropped)
            || lost.any(|rows| rows.may_be_of(table))
    }

    /// Returns whether the manifest references all of these pages.
    pub(crate) fn has_pages<'a>(&self, pages: impl IntoIterator<Item = &'a PageRef>) -> bool {
        let wanted: BTreeSet<_> = pages.into_iter().map(PageRef::place).collect();
        let there = self.pages.iter().filter(|page| wanted.contains(&page.place()));
        there.count() == wanted.len()
    }

    /// Removes pages whose sections are listed elsewhere from version `version` on. Their objects are condemned,
    /// because readers of an earlier version still need them.
    pub(crate) fn retire_pages<'a>(
        &mut self,
        pages: impl IntoIterator<Item = &'a PageRef>,
        version: u64,
    ) {
        let retired: BTreeSet<_> = pages.into_iter().map(PageRef::place).collect();
        self.pages.retain(|page| !retired.contains(&page.place()));
        let objects: BTreeSet<_> = retired.into_iter().map(|(object, _)| object).collect();
        let names = objects.into_iter().map(ObjectName::Page);
        self.condemn(names.map(DroppedItem::Object), version);
    }

    pub(crate) fn add_sections(
        &mut self,
        sections: impl IntoIterator<Item = Section>,
        version: u64,
    ) {
        let sections = sections.into_iter().map(|section| Section {
            added: version,
            dropped: None,
            ..section
        });
        self.sections.extend(sections.map(Arc::new));
        self.sections.sort_by_key(|section| section.order());
    }

    /// Returns the number of sections, including those in pages.
    pub fn section_count(&self) -> u64 {
        let paged: u64 = self.pages.iter().map(|page| u64::from(page.sections)).sum();
        paged + self.sections.len() as u64
    }

    /// Checks the invariants: sections are in order and at or below the mark, and no two sections of a table cover the
    /// same day and stamp.
    pub fn check(&self) -> Result<(), ManifestInconsistency> {
        let fail = |what: &str, section: &Section| {
            let text = format!("{what}: {section:?}");
            Err(ManifestInconsistency(text))
        };
        for pair in self.sections.windows(2) {
            if let [one, next] = pair
                && one.order() > next.order()
            {
                return fail("out of order", next);
            }
        }
        let mut by_table: BTreeMap<TableId, Vec<&Section>> = BTreeMap::new();
        for section in &self.sections {
            if section.above >= section.upto || section.upto > self.low_water_mark {
                return fail("its interval is empty or above the mark", section);
            }
            let days = day_of(section.min_time) >= section.first_day
                && day_of(section.max_time) <= section.last_day;
            if !days || section.min_time > section.max_time || section.rows == 0 {
                return fail("its times do not fit its days", section);
            }
            if u64::from(section.footer_length) > section.length {
                return fail("its footer is longer than itself", section);
            }
            let others = by_table.entry(section.table).or_default();
            others.push(section);
        }
        for of_table in by_table.values() {
            if let Some(section) = collision(of_table) {
                return fail("another section covers the same day and stamp", section);
            }
        }
        let caches: BTreeSet<_> = self.caches.iter().map(|entry| entry.cache).collect();
        if caches.len() < self.caches.len() {
            return Err(ManifestInconsistency("a cache has two objects".to_owned()));
        }
        for page in &self.pages {
            if page.above >= page.upto || page.upto > self.low_water_mark || page.sections == 0 {
                return Err(ManifestInconsistency(format!("invalid page reference: {page:?}")));
            }
        }
        Ok(())
    }
}

/// Returns a section that covers the same day and stamp as another one. All `sections` are of one table.
fn collision<'a>(sections: &[&'a Section]) -> Option<&'a Section> {
    let mut by_day = sections.to_vec();
    by_day.sort_by_key(|section| section.first_day);
    let mut open: Vec<&Section> = Vec::new();
    for section in by_day {
        open.retain(|other| other.last_day >= section.first_day);
        if open.iter().any(|other| section.collides(other)) {
            return Some(section);
        }
        open.push(section);
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::time::Duration;

    use neap_bucket::StoreTime;

    use super::*;
    use crate::{
        history::{MARKS, RECENT_MARKS},
        tests::{section, stamp},
    };

    fn manifest(sections: Vec<Section>) -> Manifest {
        let mut manifest = Manifest {
            low_water_mark: stamp(1_000),
            sections: sections.into_iter().map(Arc::new).collect(),
            ..Manifest::default()
        };
        manifest.sections.sort_by_key(|section| section.order());
        manifest
    }

    #[test]
    fn marks_are_thinned_but_cover_the_whole_history() {
        let mut manifest = Manifest::default();
        for second in 1..=100_000 {
            let time = StoreTime::from_micros(second * 1_000_000);
            manifest.raise_mark(Stamp::end_of(time), u64::try_from(second).unwrap());
        }
        assert_eq!(manifest.marks.len(), MARKS);
        let times: Vec<_> = manifest.marks.iter().map(|record| record.mark.time()).collect();
        let newest = times[MARKS - 1];
        assert_eq!(newest, StoreTime::from_micros(100_000_000_000));
        assert!(newest.since(times[MARKS - RECENT_MARKS]) >= Duration::from_secs(150));
        assert_eq!(times[0], StoreTime::from_micros(1_000_000));
        for pair in times.windows(2) {
            let (hole, age) = (pair[1].since(pair[0]), newest.since(pair[1]));
            assert!(hole <= Duration::from_secs(30) + age / 10, "{hole:?} at {age:?}");
        }
        assert_eq!(manifest.oldest_readable, 0);
    }

    #[test]
    fn a_mark_never_goes_back() {
        let mut manifest = Manifest::default();
        manifest.raise_mark(stamp(10), 1);
        manifest.raise_mark(stamp(5), 2);
        assert_eq!(manifest.low_water_mark, stamp(10));
    }

    #[test]
    fn violated_invariants_are_detected() {
        let good = || vec![section(1, 0, 0, 10), section(1, 0, 10, 20), section(2, 0, 5, 20)];
        assert_eq!(manifest(good()).check(), Ok(()));
        let break_with = |change: fn(&mut Vec<Section>)| {
            let mut sections = good();
            change(&mut sections);
            manifest(sections).check()
        };
        assert!(break_with(|sections| sections[1].above = stamp(9)).is_err());
        assert!(break_with(|sections| sections[2].above = stamp(20)).is_err());
        assert!(break_with(|sections| sections[2].upto = stamp(1_001)).is_err());
        assert!(break_with(|sections| sections[0].max_time = i64::MAX).is_err());
        assert!(break_with(|sections| sections[0].rows = 0).is_err());
        let mut unordered = manifest(good());
        unordered.sections.reverse();
        assert!(unordered.check().is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn a_manifest_is_consistent_iff_no_stamp_of_a_table_and_day_is_covered_twice(
            claims in proptest::collection::vec((1u32..3, 0i32..3, 0i32..2, 0u64..12, 1u64..4), 1..8),
        ) {
            let sections: Vec<_> = claims
                .iter()
                .map(|(table, day, days, above, width)| {
                    let mut section = section(*table, *day, *above, above + width);
                    section.last_day = day + days;
                    section
                })
                .collect();
            let mut claimed = BTreeSet::new();
            let mut twice = false;
            for (table, day, days, above, width) in &claims {
                for day in *day..=day + days {
                    for stamp in above + 1..=above + width {
                        twice |= !claimed.insert((*table, day, stamp));
                    }
                }
            }
            prop_assert_eq!(manifest(sections).check().is_err(), twice);
        }
    }
}
