//! The manifest of a database: what the data objects hold, and the mark up to which they hold it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use neap_bucket::{Format, RegisterValue, Stamp, StoreTime, Versioned};
use neap_schema::TableId;
use serde::{Deserialize, Serialize};

use crate::{PageRef, Section, section::day_of};

/// The number of marks that a manifest remembers.
const MARKS: usize = 12;

/// Marks that are closer than this in time are thinned out, so that [`MARKS`] of them always reach back
/// three minutes: further than the time after which segments below a mark may be deleted.
const MARK_SPACING: Duration = Duration::from_secs(15);

/// A low-water mark and when it was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkRecord {
    /// The mark.
    pub mark: Stamp,
    /// The version of the manifest that set it.
    pub version: u64,
    /// When that version was committed, by the store's clock; filled in by the commit that replaces it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<StoreTime>,
}

/// The register with the sections of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The stamp up to which segments are in sections; what is above it is the tail.
    pub low_water_mark: Stamp,
    /// The version of the database catalog that names every table and column of the sections.
    #[serde(default)]
    pub needs_catalog: u64,
    /// The recent sections, in the order of their intervals.
    #[serde(default)]
    pub sections: Vec<Arc<Section>>,
    /// Where older sections are written down.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pages: Vec<PageRef>,
    /// The last marks, oldest first.
    #[serde(default)]
    pub marks: Vec<MarkRecord>,
}

impl RegisterValue for Manifest {
    const FORMAT: Format = Format {
        magic: *b"NMAN",
        kind: "manifest",
        version: 1,
    };
}

/// What is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the manifest contradicts itself: {0}")]
pub struct Contradiction(String);

impl Manifest {
    /// A copy of `base` to change and commit in its place: it writes down when `base` was committed. Every
    /// commit to a manifest starts with it.
    pub fn successor(base: &Versioned<Self>) -> Self {
        let mut next = Self::clone(&base.value);
        for record in &mut next.marks {
            if record.version == base.version && record.committed.is_none() {
                record.committed = base.committed;
            }
        }
        next
    }

    /// Raises the low-water mark in what becomes version `version`.
    pub(crate) fn raise_mark(&mut self, mark: Stamp, version: u64) {
        self.low_water_mark = self.low_water_mark.max(mark);
        if let [.., before, last] = self.marks.as_slice()
            && last.mark.time().since(before.mark.time()) < MARK_SPACING
        {
            self.marks.pop();
        }
        self.marks.push(MarkRecord {
            mark: self.low_water_mark,
            version,
            committed: None,
        });
        let surplus = self.marks.len().saturating_sub(MARKS);
        self.marks.drain(..surplus);
    }

    /// The greatest mark that was committed at least `grace` before `now`: no snapshot that began before it
    /// still needs segments at or below it.
    pub fn settled_mark(
        current: &Versioned<Self>,
        now: StoreTime,
        grace: Duration,
    ) -> Option<Stamp> {
        let committed = |record: &MarkRecord| {
            if record.version == current.version {
                current.committed
            } else {
                record.committed
            }
        };
        let settled = current.value.marks.iter().filter(|record| {
            committed(record).is_some_and(|committed| now.since(committed) >= grace)
        });
        settled.map(|record| record.mark).max()
    }

    /// The number of sections, those in pages too.
    pub fn section_count(&self) -> u64 {
        let paged: u64 = self.pages.iter().map(|page| u64::from(page.sections)).sum();
        paged + self.sections.len() as u64
    }

    /// Whether the manifest can be true: sections are in order and within the mark, and no two claim the
    /// same table, day and stamp.
    pub fn check(&self) -> Result<(), Contradiction> {
        let fail = |what: &str, section: &Section| {
            let text = format!("{what}: {section:?}");
            Err(Contradiction(text))
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
                return fail("its times don't fit its days", section);
            }
            if u64::from(section.footer_length) > section.length {
                return fail("its footer is longer than itself", section);
            }
            let others = by_table.entry(section.table).or_default();
            if others.iter().any(|other| section.collides(other)) {
                return fail("it collides with another one", section);
            }
            others.push(section);
        }
        for page in &self.pages {
            if page.above >= page.upto || page.upto > self.low_water_mark || page.sections == 0 {
                return Err(Contradiction(format!("a page that can't be: {page:?}")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tests::{section, stamp};

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
    fn format() {
        let mut section = section(3, 1, 10, 20);
        section.object = ulid::Ulid::from_parts(1, 2);
        let range = crate::TagRange {
            min: Some("a".to_owned()),
            max: None,
            has_null: true,
        };
        section.tags.insert("host".to_owned(), range);
        let mut manifest = manifest(vec![section]);
        manifest.needs_catalog = 5;
        manifest.raise_mark(stamp(1_000), 4);
        insta::assert_json_snapshot!(manifest, @r#"
        {
          "low_water_mark": 1000,
          "needs_catalog": 5,
          "sections": [
            {
              "object": "00000000010000000000000002",
              "offset": 0,
              "length": 32,
              "footer_length": 8,
              "table": 3,
              "first_day": 1,
              "last_day": 1,
              "above": 10,
              "upto": 20,
              "rows": 1,
              "min_time": 86400000000000,
              "max_time": 86400000000000,
              "tags": {
                "host": {
                  "min": "a",
                  "has_null": true
                }
              }
            }
          ],
          "marks": [
            {
              "mark": 1000,
              "version": 4
            }
          ]
        }
        "#);
    }

    #[test]
    fn json_of_the_first_release_is_read() {
        let old = r#"{"low_water_mark":9,"sections":[{"object":"0000000001000000000000002A","offset":0,"length":10,
            "footer_length":8,"table":1,"first_day":0,"last_day":0,"above":1,"upto":9,"rows":1,"min_time":5,"max_time":5}]}"#;
        let manifest: Manifest = serde_json::from_str(old).unwrap();
        assert_eq!(manifest.check(), Ok(()));
        assert_eq!(manifest.sections.len(), 1);
    }

    #[test]
    fn marks_are_thinned_so_that_they_reach_back_for_minutes() {
        let mut manifest = Manifest::default();
        for second in 1..=600 {
            let time = StoreTime::from_micros(second * 1_000_000);
            manifest.raise_mark(Stamp::end_of(time), u64::try_from(second).unwrap());
        }
        assert_eq!(manifest.marks.len(), MARKS);
        let times: Vec<_> = manifest
            .marks
            .iter()
            .map(|record| record.mark.time())
            .collect();
        assert!(times[MARKS - 1].since(times[0]) >= Duration::from_secs(150));
        assert_eq!(times[MARKS - 1], StoreTime::from_micros(600_000_000));
    }

    #[test]
    fn a_mark_that_would_go_back_stays() {
        let mut manifest = Manifest::default();
        manifest.raise_mark(stamp(10), 1);
        manifest.raise_mark(stamp(5), 2);
        assert_eq!(manifest.low_water_mark, stamp(10));
    }

    #[test]
    fn contradictions_are_found() {
        let good = || {
            vec![
                section(1, 0, 0, 10),
                section(1, 0, 10, 20),
                section(2, 0, 5, 20),
            ]
        };
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
        #[test]
        fn a_manifest_is_consistent_exactly_if_no_stamp_of_a_table_and_day_is_claimed_twice(
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
            let mut claimed = std::collections::BTreeSet::new();
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
